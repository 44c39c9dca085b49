"""The running app and a real Chromium.

`page` is a fresh tab whose relative addresses point at the app: `page.goto("/?v=1&batch=16")`. A test that uses it
fails when the page logs an error to the console or when the server logs an exception.
"""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks.product.server import CHROMIUM_FLAGS, Server, find_chromium, serve

ACTION_LIMIT_MS = 20_000
expect.set_options(timeout=ACTION_LIMIT_MS)


@pytest.hookimpl(tryfirst=True)  # before pytest reads -m
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need the running app or the browser."""
    for item in items:
        if {"server", "app_server", "browser", "page"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def app_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The running app with its process and its log."""
    with serve(log=tmp_path_factory.mktemp("server") / "streamlit.log") as running:
        yield running


@pytest.fixture(scope="session")
def server(app_server: Server) -> str:
    """The address of the running app."""
    return app_server.url


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program. Its absence skips the test on a desk and fails it in CI."""
    found = find_chromium()
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
