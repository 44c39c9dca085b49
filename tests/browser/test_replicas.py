"""Behind the proxy of `deploy/`: a visitor stays with one replica, and loses nothing when it dies."""

import os
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.product.server import ROOT, Server, free_port, healthy, serve
from pages.parts.registry import pages
from tests.browser.test_share import numbers, parameter, ready, set_batch

SITE = (ROOT / "deploy" / "nginx" / "site.conf").read_text(encoding="utf-8")
BATCH = 'input[type=range][aria-label="Batch size [sequences]"]'
MAIN = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream dashboard {{
        hash $replica consistent;
        {replicas}
    }}
    include {folder}/site.conf;
}}
"""


@dataclass(frozen=True)
class Proxy:
    """The proxy's address and the replicas behind it."""

    url: str
    replicas: tuple[Server, Server]
    folder: Path


def nginx() -> str:
    """The proxy's program. Its absence skips the test on a desk and fails it in CI."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no nginx found; install the package nginx-light")
    return found


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """The site of `deploy/nginx` on a free port, in front of two processes of the app."""
    program, port = nginx(), free_port()
    with ExitStack() as stack:
        replicas = [stack.enter_context(serve(log=tmp_path / f"{name}.log")) for name in "ab"]
        lines = "".join(f"server {one.url.removeprefix('http://')} max_fails=1 fail_timeout=5s;" for one in replicas)
        (tmp_path / "site.conf").write_text(SITE.replace("listen 8080;", f"listen 127.0.0.1:{port};"))
        (tmp_path / "nginx.conf").write_text(MAIN.format(folder=tmp_path, replicas=lines))
        process = subprocess.Popen([program, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", "stderr"])
        stack.callback(process.wait, 10)
        stack.callback(process.terminate)
        url, give_up = f"http://127.0.0.1:{port}", time.monotonic() + 20
        while not healthy(url):
            assert process.poll() is None, "the proxy does not start with the site of deploy/nginx"
            assert time.monotonic() < give_up, "the proxy does not answer"
            time.sleep(0.05)
        yield Proxy(url, (replicas[0], replicas[1]), tmp_path)


def open_home(browser: Browser, proxy: Proxy, complaints: list[str]) -> Page:
    """A fresh visitor at the proxy's door; what the page complains about is kept."""
    tab = browser.new_context(base_url=proxy.url, viewport={"width": 1280, "height": 900}).new_page()
    tab.set_default_timeout(30_000)
    tab.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    tab.goto("/?batch=8&in=777&model=mixtral-8x7b&w=int8")
    ready(tab)
    return tab


def sockets(server: Server) -> int:
    """How many visitors a replica serves now: its established connections."""
    port = int(server.url.rsplit(":", 1)[1])
    rows = Path(f"/proc/{server.pid}/net/tcp").read_text().splitlines()[1:]
    return sum(row.split()[3] == "01" and row.split()[1].endswith(f":{port:04X}") for row in rows)


def test_a_lost_replica_costs_one_reconnect(browser: Browser, proxy: Proxy) -> None:
    """Killing the replica that serves a visitor in the middle of use brings the page back from the other, unchanged."""
    complaints: list[str] = []
    tab = open_home(browser, proxy, complaints)
    set_batch(tab, 3)
    before, address = numbers(tab), tab.url
    assert parameter(tab, "batch") == "11"
    serving, other = sorted(proxy.replicas, key=sockets, reverse=True)
    assert sockets(serving) > 0
    assert sockets(other) == 0
    neighbour = browser.new_context().new_page()  # the other replica is in use as well
    neighbour.goto(other.url)
    ready(neighbour)
    neighbour.context.close()
    before_visit = sockets(other)
    serving.process.kill()
    serving.process.wait()
    deadline = time.monotonic() + 30
    while sockets(other) == before_visit:
        assert time.monotonic() < deadline, "the browser did not come back"
        tab.wait_for_timeout(100)
    expect(tab.get_by_test_id("stApp")).to_have_attribute("data-test-connection-state", "CONNECTED")
    expect(tab.locator(BATCH)).to_be_enabled()
    tab.wait_for_timeout(1000)  # the run of the new session begins after the connection
    ready(tab)
    assert numbers(tab) == before
    assert tab.url == address
    set_batch(tab, 1)
    assert parameter(tab, "batch") == "12"
    tab.context.close()


def test_the_proxy_protects_and_the_page_obeys(browser: Browser, proxy: Proxy) -> None:
    """Every answer carries the security headers, the cookie is drawn once, and the policy forbids nothing we use."""
    with urllib.request.urlopen(f"{proxy.url}/_stcore/health") as answer:
        headers = answer.headers
    assert "frame-ancestors 'self'" in headers["Content-Security-Policy"]
    assert "object-src 'none'" in headers["Content-Security-Policy"]
    assert "'unsafe-eval'" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert any(text.startswith("replica=") and "HttpOnly" in text for text in headers.get_all("Set-Cookie", []))
    complaints: list[str] = []
    tab = open_home(browser, proxy, complaints)
    cookies = [cookie["value"] for cookie in tab.context.cookies() if cookie["name"] == "replica"]
    tab.get_by_role("link", name="Reference").click()
    tab.wait_for_url(re.compile("/Hardware"))
    ready(tab)
    expect(tab.get_by_role("alert")).to_have_count(0)
    assert cookies == [cookie["value"] for cookie in tab.context.cookies() if cookie["name"] == "replica"]
    assert [text for text in complaints if "404" not in text] == []
    tab.context.close()


def test_every_page_obeys_the_policy(browser: Browser, proxy: Proxy) -> None:
    """No page does what the policy forbids: no text is evaluated, nothing is fetched from elsewhere."""
    complaints: list[str] = []
    tab = open_home(browser, proxy, complaints)
    for page in pages():
        tab.goto("/" if page.path == "app.py" else f"/{page.name.replace(' ', '_')}")
        expect(tab.get_by_test_id("stHeading").first).to_be_visible()
        expect(tab.get_by_test_id("stStatusWidget")).to_have_count(0)
        tab.wait_for_load_state("networkidle")  # what draws the elements has come
    assert [text for text in complaints if "404" not in text] == []
    tab.context.close()
