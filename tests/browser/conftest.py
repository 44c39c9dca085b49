"""The running app and a real Chromium.

`page` is a fresh tab whose relative addresses point at the app: `page.goto("/?v=1&batch=16")`. A test that uses it
fails when the page logs an error to the console or when the server logs an exception.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT_S = 60
ACTION_LIMIT_MS = 20_000
CHROMIUM_FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # The page must live on what its own server sends.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
]


@pytest.hookimpl(tryfirst=True)  # before pytest reads -m
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need the running app or the browser."""
    for item in items:
        if {"server", "app_server", "browser", "page"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.browser)


@dataclass(frozen=True)
class Server:
    """A `streamlit run` of ours: where it answers and what it says."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def words(self, since: int = 0) -> str:
        """What the server wrote to its log after so many bytes."""
        return self.log.read_bytes()[since:].decode(errors="replace")

    def check(self, since: int = 0) -> None:
        """Fail with the server's own words if it is dead or if an exception escaped from a page."""
        if self.process.poll() is not None:
            pytest.fail(f"the server stopped with exit code {self.process.returncode}:\n{self.words()}", pytrace=False)
        if "Uncaught app execution" in self.words(since):
            pytest.fail(f"a page raised an exception:\n{self.words(since)}", pytrace=False)

    def healthy(self) -> bool:
        """Whether Streamlit's health address answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_server(log: Path) -> Server:
    """Launch the app from the repository's root, as `./dev start` does."""
    port = free_port()
    flags = {"server.port": port, "server.address": "127.0.0.1", "server.headless": "true"}
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        "app.py",
        *(f"--{key}={value}" for key, value in flags.items()),
    ]
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
    return Server(f"http://127.0.0.1:{port}", process, log)


@pytest.fixture(scope="session")
def app_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The running app with its process and its log."""
    server = start_server(tmp_path_factory.mktemp("server") / "streamlit.log")
    try:
        give_up = time.monotonic() + START_LIMIT_S
        while not server.healthy():
            server.check()
            if time.monotonic() > give_up:
                pytest.fail(f"the server did not answer within {START_LIMIT_S} s:\n{server.words()}", pytrace=False)
            time.sleep(0.05)
        yield server
    finally:
        server.process.terminate()
        try:
            server.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()


@pytest.fixture(scope="session")
def server(app_server: Server) -> str:
    """The address of the running app."""
    return app_server.url


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program. Its absence skips the test on a desk and fails it in CI."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        message = "no Chromium found; install the package chromium or name the program in CHROMIUM"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    return found


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """One Chromium for the whole run."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield running
        running.close()


@pytest.fixture
def console_errors() -> list[str]:
    """What the page complained about so far; a test that provokes a complaint clears the list itself."""
    return []


@pytest.fixture
def page(browser: Browser, app_server: Server, console_errors: list[str]) -> Iterator[Page]:
    """A tab with its own cookies and storage, 1280 x 900, at the app's address."""
    start = app_server.log.stat().st_size
    app_server.check(start)
    context = browser.new_context(base_url=app_server.url, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(ACTION_LIMIT_MS)
    tab = context.new_page()
    tab.on("console", lambda message: console_errors.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: console_errors.append(str(error)))
    yield tab
    context.close()
    app_server.check(start)
    assert not console_errors, "the page logged errors:\n" + "\n".join(console_errors)
