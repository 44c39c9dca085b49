"""A real Chromium: from key press to visible figure, from launch to first figure, what a load transfers and shifts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright

from benchmarks.product.load import SLIDER
from benchmarks.product.server import CHROMIUM_FLAGS, Server, find_chromium

FIGURE = '[data-testid="stPlotlyChart"], [data-testid="stImage"] img'
#: A figure counts as drawn when nothing of it changed for so long.
_QUIET_MS, _PATIENCE_MS = 160, 10_000
_DRAWN = """s => [...document.querySelectorAll(s)].some(
    n => n.tagName === 'IMG' ? n.complete && n.naturalWidth : n.querySelectorAll('path[d], rect').length > 3)"""
#: Watches what the figures show (geometry and text, not ids) at each frame in which something of it may have changed,
#: and the websocket. To read all figures at every frame would itself take a fifteenth of the way.
_WATCH = """
window.watch = (() => {
  let selector, last, changes = [], socket = 0, key = 0, on = false, touched = false;
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    if (!this.watched) { this.watched = true; this.addEventListener('message', () => { socket = performance.now(); }); }
    return send.apply(this, arguments);
  };
  addEventListener('keydown', event => { key = event.timeStamp; }, true);
  // Plotly first, pictures behind; Streamlit keeps what it replaces for a moment, without a size.
  const figures = () => [...document.querySelectorAll(selector)].filter(n => n.offsetWidth).sort(
    (a, b) => (a.tagName === 'IMG') - (b.tagName === 'IMG'));
  const told = ['d', 'transform', 'x', 'y', 'width', 'height'];
  const touch = new MutationObserver(() => { touched = true; });
  const any = {subtree: true, childList: true, characterData: true, attributeFilter: [...told, 'src']};
  const shown = () => figures().map(figure => figure.src || [...figure.querySelectorAll(
    'path, rect, text, circle, image')].map(n => told.map(name => n.getAttribute(name)) + n.textContent).join('|'));
  const tick = () => {
    if (!on) return;
    requestAnimationFrame(tick);
    if (!touched) return;
    touched = false;
    const now = shown(), moved = now.map((text, i) => text === last[i] ? -1 : i).filter(i => i >= 0);
    if (moved.length || now.length !== last.length) {
      last = now;
      const painted = new MessageChannel();
      painted.port1.onmessage = () => changes.push({at: performance.now(), moved});
      painted.port2.postMessage(0);
    }
  };
  return {
    arm(s) {
      selector = s; changes = []; socket = 0; key = 0; on = true; touched = false; last = shown();
      touch.observe(document, any);
      requestAnimationFrame(tick);
    },
    state() { return {now: performance.now(), key, changes, socket}; },
    stop() { on = false; touch.disconnect(); },
  };
})();
"""
_VITALS = """
window.vitals = {shift: 0, tasks: 0, blocked: 0, longest: 0, largest: 0};
new PerformanceObserver(list => list.getEntries().forEach(e => {
  if (!e.hadRecentInput) vitals.shift += e.value; })).observe({type: 'layout-shift', buffered: true});
new PerformanceObserver(list => list.getEntries().forEach(e => {
  vitals.tasks += 1; vitals.blocked += e.duration - 50; vitals.longest = Math.max(vitals.longest, e.duration); }))
  .observe({type: 'longtask', buffered: true});
new PerformanceObserver(list => list.getEntries().forEach(e => { vitals.largest = e.startTime; }))
  .observe({type: 'largest-contentful-paint', buffered: true});
"""


@dataclass(frozen=True)
class Start:
    """A cold start: launch to first figure, page to first figure, what came over the wire, what the page did.

    A task above 50 ms is long, and what it has beyond them blocks the reader; the largest paint is that of the largest
    text or image; a layout shift is a share of the screen that moved, times how far.
    """

    launch_s: float
    page_s: float
    transferred_bytes: float
    requests: int
    layout_shift: float
    long_tasks: int
    blocked_s: float
    longest_task_s: float
    largest_paint_s: float


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the system's Chromium until the block ends."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


def first_figure(browser: Browser, server: Server) -> Start:
    """Open the home page of a server just started, with an empty cache."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.add_init_script(_VITALS)
    traffic = context.new_cdp_session(page)
    traffic.send("Network.enable")
    sizes: list[float] = []
    traffic.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    began = time.perf_counter()
    page.goto(server.url, wait_until="commit")
    page.wait_for_function(_DRAWN, arg=FIGURE, polling=20, timeout=90_000)
    drawn = time.perf_counter()
    page.wait_for_timeout(1500)
    vitals = page.evaluate("vitals")
    context.close()
    seconds = {name: float(vitals[name]) / 1e3 for name in ("blocked", "longest", "largest")}
    return Start(
        drawn - server.started,
        drawn - began,
        sum(sizes),
        len(sizes),
        float(vitals["shift"]),
        int(vitals["tasks"]),
        seconds["blocked"],
        seconds["longest"],
        seconds["largest"],
    )


@dataclass(frozen=True)
class Drawn:
    """Seconds from a key press until the page's first figure stands still, and until all of them do."""

    first_s: float
    all_s: float


def slider_to_figure(browser: Browser, addresses: Sequence[str], samples: int, warmup: int = 4) -> list[list[Drawn]]:
    """Return for each address what so many key presses on the batch slider took, pressed in turn, one after the other.

    In turn, because a machine is not equally fast for minutes. All empty if one of the pages has no slider, no figure,
    or none that depends on the batch.
    """
    tabs = [_open(browser, address) for address in addresses]
    warm = [[_press(page, slider) for _ in range(warmup)] if slider else [] for page, slider in tabs]
    found: list[list[Drawn]] = [[] for _ in tabs]
    for _ in range(samples if all(any(moved) for moved in warm) else 0):
        for (page, slider), seen in zip(tabs, found, strict=True):
            if drawn := _press(page, slider):
                seen.append(drawn)
    for page, _ in tabs:
        page.context.close()
    return found


def _open(browser: Browser, address: str) -> tuple[Page, Any]:
    """Open a page of its own and return it with its slider; None where the batch has no place on it."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.add_init_script(_WATCH)
    page.goto(address)
    slider = page.locator(f"input[type=range][aria-label={json.dumps(SLIDER)}]").first
    try:
        slider.wait_for(state="attached", timeout=_PATIENCE_MS)
        page.wait_for_function(_DRAWN, arg=FIGURE, polling=50, timeout=_PATIENCE_MS)
    except TimeoutError:
        return page, None  # a page of words
    page.wait_for_timeout(2000)
    return page, slider


def _press(page: Page, slider: Any) -> Drawn | None:
    """Move the slider by one step; None when no figure changed (the page shows none that depends on it)."""
    page.bring_to_front()
    at_end = slider.evaluate("e => +e.value >= +e.max")
    slider.focus()
    page.evaluate("s => watch.arm(s)", FIGURE)
    page.wait_for_timeout(40)
    page.keyboard.press("ArrowLeft" if at_end else "ArrowRight")
    until = time.perf_counter() + _PATIENCE_MS / 1e3
    while time.perf_counter() < until:
        page.wait_for_timeout(25)
        state = page.evaluate("watch.state()")
        last = max([state["socket"], *(change["at"] for change in state["changes"])])
        settled = state["now"] - last > _QUIET_MS
        if settled and state["socket"] > state["key"] > 0 and (state["changes"] or state["now"] > state["key"] + 1500):
            break
    page.evaluate("watch.stop()")
    moved = [index for change in state["changes"] for index in change["moved"]]
    if not moved:
        return None
    first = max(change["at"] for change in state["changes"] if min(moved) in change["moved"])
    return Drawn((first - state["key"]) / 1e3, (state["changes"][-1]["at"] - state["key"]) / 1e3)
