"""What visitors and networks do to a server: many tabs, many steps back, storms, slowness, a file system shut."""

import asyncio
import ctypes
import os
import re
import subprocess
import sys
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest
from playwright.sync_api import Browser, Page

from benchmarks.product.protocol import Visitor
from benchmarks.product.server import ROOT, Server
from tests.browser.test_share import forgive_missing_files, numbers, ready, set_batch

Result = TypeVar("Result")
STATES, STORM = 20, 100
MIB = 2**20


def batch(tab: Page) -> str:
    """The batch in the address bar."""
    return parse_qs(urlsplit(tab.url).query)["batch"][0]


def settled(tab: Page, before: list[str]) -> list[str]:
    """The numbers once they are others than before and have stayed the same for a moment."""
    give_up, last = time.monotonic() + 20, before
    while time.monotonic() < give_up:
        now = numbers(tab)
        if now == last != before:
            return now
        last = now
        tab.wait_for_timeout(300)
    pytest.fail(f"the numbers did not settle: {last}")


def test_two_tabs_of_one_browser(page: Page) -> None:
    """Two tabs of one browser have two scenarios: an edit in one leaves the other as it is."""
    page.goto("/?batch=8")
    ready(page)
    other = page.context.new_page()
    other.goto("/?batch=32&model=mixtral-8x7b")
    ready(other)
    before = numbers(other)
    slider = page.locator('input[type=range][aria-label="Batch size [sequences]"]')
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_url(lambda url: "batch=9" in url)
    other.reload()
    ready(other)
    assert numbers(other) == before
    assert (batch(page), batch(other)) == ("9", "32")


def test_back_and_forward_through_twenty_states(page: Page) -> None:
    """Each of twenty edits is a step of its own with its own numbers; Back and Forward through all show them again."""
    page.goto("/?batch=1")
    ready(page)
    page.wait_for_url(lambda url: "engine=" in url)
    seen = {1: numbers(page)}
    for state in range(2, STATES + 1):
        set_batch(page, 1)
        seen[state] = settled(page, seen[state - 1])
    came = STATES
    for state in (*range(STATES - 1, 0, -1), *range(2, STATES + 1)):
        (page.go_forward if state > int(batch(page)) else page.go_back)()
        page.wait_for_url(lambda url, state=state: parse_qs(urlsplit(url).query)["batch"] == [str(state)])
        assert settled(page, seen[came]) == seen[state]
        came = state


def test_back_leaves_a_page_that_was_opened_by_a_short_link(page: Page, console_errors: list[str]) -> None:
    """The page completes a short link in the address; two steps back leave it, as two steps were made."""
    page.goto("/Hardware")
    ready(page)
    page.goto("/?batch=7")
    ready(page)
    page.wait_for_url(lambda url: "engine=" in url)
    page.go_back()
    page.wait_for_timeout(1500)  # time for a page that would write its address again
    assert urlsplit(page.url).query == "batch=7"
    assert numbers(page)[2] != "0"
    page.go_back()
    page.wait_for_url(re.compile("/Hardware"))
    ready(page)
    forgive_missing_files(console_errors)


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run in a thread of its own: the browser's loop is running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def _storm(url: str) -> int:
    answered = 0
    for _ in range(STORM // 10):
        visitors = await asyncio.gather(*(Visitor.open(url) for _ in range(10)))
        runs = await asyncio.gather(*(visitor.rerun() for visitor in visitors))
        answered += sum(not run.exceptions for run in runs)
        await asyncio.gather(*(visitor.close() for visitor in visitors))
    return answered


def test_a_storm_of_reconnects(app_server: Server) -> None:
    """A hundred visitors who come, run once and vanish are all answered, and leave next to nothing behind."""
    assert run(_storm(app_server.url)) == STORM
    process = psutil.Process(app_server.pid)
    before = process.memory_info().rss
    assert run(_storm(app_server.url)) == STORM
    assert (process.memory_info().rss - before) / STORM < MIB / 2
    app_server.check()


async def _beside_a_sleeper(url: str) -> float:
    sleeper, other = await Visitor.open(url), await Visitor.open(url)
    await other.rerun()
    for _ in range(5):  # asks and never reads
        await sleeper.ask()
    run = await other.set("Batch size [sequences]", 9)
    assert not run.exceptions
    await asyncio.gather(sleeper.close(), other.close())
    return run.latency_s


def test_a_client_that_reads_nothing_delays_nobody(app_server: Server) -> None:
    """A visitor who asks and never reads does not keep the others from their answers."""
    assert run(_beside_a_sleeper(app_server.url)) < 20
    app_server.check()


VISIT = """
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("app.py", default_timeout=120).run()
assert not app.exception, app.exception
assert any("Decode is" in text.value for text in app.subheader)
try:
    open("written", "w")
except OSError:
    print("shut")
"""


def _shut_file_system() -> None:
    """In the child: a mount namespace of its own, in which everything is read-only."""
    libc = ctypes.CDLL(None, use_errno=True)
    clone_newns, rec_private, rdonly, remount, bind = 0x20000, 0x44000, 1, 32, 4096
    root = str(ROOT).encode()
    done = libc.unshare(clone_newns) == 0 and libc.mount(b"none", b"/", None, rec_private, None) == 0
    done = done and libc.mount(root, root, None, bind, None) == 0
    if not (done and libc.mount(root, root, None, remount | bind | rdonly, None) == 0):
        os._exit(77)
    os.chdir(ROOT)


def test_a_read_only_file_system(tmp_path: Path) -> None:
    """Where the project cannot be written to, the app runs as ever: it writes nothing there."""
    command, home = [sys.executable, "-W", "ignore", "-B", "-c", VISIT], os.environ | {"HOME": str(tmp_path)}
    ran = subprocess.run(
        command, cwd=ROOT, env=home, capture_output=True, text=True, check=False, preexec_fn=_shut_file_system
    )
    if ran.returncode == 77:
        pytest.skip("this user may not make a mount namespace")
    assert ran.returncode == 0, ran.stderr
    assert "shut" in ran.stdout


def test_a_page_opened_by_two_visitors_is_two_sessions(browser: Browser, server: str) -> None:
    """Two browsers on one link are two sessions: what one edits the other does not see."""
    tabs = [browser.new_context(viewport={"width": 1280, "height": 900}).new_page() for _ in range(2)]
    for tab in tabs:
        tab.goto(f"{server}/?batch=8")
        ready(tab)
    tabs[0].goto(f"{server}/?batch=64")
    ready(tabs[0])
    tabs[1].reload()
    ready(tabs[1])
    assert [batch(tab) for tab in tabs] == ["64", "8"]
    for tab in tabs:
        tab.context.close()
