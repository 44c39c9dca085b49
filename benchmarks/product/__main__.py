"""Measure the whole product and print figures, targets and verdicts: `./dev bench [--quick] [--only pages,load]`.

Parts: `engine`, `pages` (slider to figure, every page), `cold` (launch to first figure), `load` (many sessions),
`leak` (memory over an hour's worth of changes). Figures of the browser stand as ratios to the page with one slider
and one figure that was measured in the same run; run it on a quiet machine, and more than once. A yardstick before
each part tells a machine that is slow just now from a program that is.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import psutil

from benchmarks.product import engine
from benchmarks.product.server import FLOOR, serve
from pages.parts.registry import pages

if TYPE_CHECKING:
    from benchmarks.product.browser import Start

MIB = 2**20
#: A workshop, and an hour of one visitor who changes something every four seconds.
VISITORS, HOUR_OF_CHANGES = 60, 900


#: What a browser says of a page: field of `Start`, words, unit, its scale, target.
VITALS = (
    ("transferred_bytes", "transferred", " MB", 1e6, None),
    ("requests", "requests", "", 1, None),
    ("largest_paint_s", "largest paint", " s", 1, None),
    ("layout_shift", "layout shift (CLS)", "", 1, 0.1),
    ("long_tasks", "long tasks", "", 1, None),
    ("blocked_s", "total blocking time", " s", 1, None),
    ("longest_task_s", "longest task", " s", 1, None),
)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def line(what: str, value: str, target: str = "", *, ok: bool | None = None) -> None:
    """Print one figure with its target and verdict."""
    verdict = "" if ok is None else ("met" if ok else "MISSED")
    print(f"{what:46}{value:>50}   {target:23}{verdict}", flush=True)


def run_engine(quick: bool) -> None:
    """Microseconds an estimate and points a second, and how they grow."""
    for model in engine.MODELS:
        seconds = engine.estimate_s(model, 30 if quick else 200)
        default = model == engine.MODELS[0]
        line(f"estimate, {model}", f"{seconds * 1e6:.0f} µs", "≤ 500 µs" * default, ok=seconds <= 5e-4 or not default)
    for points in (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000):
        rate = engine.points_per_s(points, 3 if quick else 10)
        line(f"sweep, {points:,} points", f"{rate / 1e6:.2f} M points/s", "≥ 1 M points/s", ok=rate >= 1e6)


def run_pages(quick: bool) -> None:
    """Slider key press to the visible figure of every page, and to all of them, as ratios to the floor."""
    from benchmarks.product.browser import chromium, slider_to_figure

    samples = 8 if quick else 30
    with chromium() as browser, serve(FLOOR) as least, serve() as server:
        for page in pages():
            path = "" if page.path == "app.py" else page.name.replace(" ", "_")
            floor, drawn = slider_to_figure(browser, (least.url, f"{server.url}/{path}"), samples)
            if len(drawn) < samples / 2:
                line(page.name, "no figure follows the batch")
                continue
            least_s = [one.first_s for one in floor]
            first, every = [one.first_s for one in drawn], [one.all_s for one in drawn]
            a, b, c = (
                quantile(found, s) / quantile(least_s, s) for found, s in ((first, 0.5), (first, 0.95), (every, 0.5))
            )
            text = f"{quantile(first, 0.5) * 1e3:.0f} of {quantile(least_s, 0.5) * 1e3:.0f} ms = {a:.2f}x"
            text += f", p95 {b:.2f}x; all {c:.2f}x"
            line(page.name, text, "p50 ≤ 1.8x, p95 ≤ 2.5x", ok=a <= 1.8 and b <= 2.5)


def run_cold(quick: bool) -> None:
    """Launch to first figure of the home page, beside the floor's, and what the page loads and shifts."""
    from benchmarks.product.browser import chromium, first_figure

    def starts(*app: object) -> list[Start]:
        found = []
        for _ in range(2 if quick else 5):
            with chromium() as browser, serve(*app) as server:  # type: ignore[arg-type]
                found.append(first_figure(browser, server))
        return found

    def median(found: list[Start], name: str) -> float:
        return statistics.median(getattr(start, name) for start in found)

    floor, home = starts(FLOOR), starts()
    for name, what in (("launch_s", "launch to first figure"), ("page_s", "page opened to first figure")):
        a, b = median(floor, name), median(home, name)
        line(f"home page: {what}", f"{b:.2f} s, floor {a:.2f} s = {b / a:.2f}x", "≤ 1.5x", ok=b <= 1.5 * a)
    for name, what, unit, scale, target in VITALS:
        a, b = median(floor, name), median(home, name)
        ratio = f" = {b / a:.2f}x" if a else ""
        text = f"{b / scale:.3g}{unit}, floor {a / scale:.3g}{unit}{ratio}"
        line(f"home page: {what}", text, f"≤ {target:g}" if target else "", ok=b <= target if target else None)


def run_load(quick: bool) -> None:
    """Sixty sessions that change something every four seconds, on one process."""
    from benchmarks.product.load import crowd

    changes = 2 if quick else 8
    with serve(FLOOR) as server:
        floor = crowd(server, 20, changes, 1.0)
    with serve() as server:
        home = crowd(server, 60, changes, 4.0)
    latencies = home.latencies_s
    p50, p95 = quantile(latencies, 0.5), quantile(latencies, 0.95)
    line(
        "60 sessions, a change every 4 s",
        f"p50 {p50 * 1e3:.0f} ms, p95 {p95 * 1e3:.0f} ms",
        "p95 ≤ 500 ms",
        ok=p95 <= 0.5,
    )
    line("errors", f"{home.errors} in {len(latencies)} runs", "none", ok=home.errors == 0)
    line("CPU a rerun, home page", f"{home.cpu_s_per_run * 1e3:.1f} ms", "≤ 35 ms", ok=home.cpu_s_per_run <= 0.035)
    more = (home.bytes_per_session - floor.bytes_per_session) / MIB
    text = f"{home.bytes_per_session / MIB:.1f} MiB, floor {floor.bytes_per_session / MIB:.1f} MiB"
    line("memory a session", text, "≤ 5 MiB beyond floor", ok=more <= 5)


def run_leak(quick: bool) -> None:
    """Memory over an hour of sixty visitors, on all pages and as fast as one process can: then it must be flat."""
    from benchmarks.product.load import Growth, growth

    hour = VISITORS * HOUR_OF_CHANGES
    changes = hour // (60 if quick else 1)

    def tell(seen: Growth) -> None:
        slope = f", {seen.per_change() * hour / MIB:+.0f} MiB an hour" if len(seen.changes) > 10 else ""
        line(f"{seen.changes[-1]:,}", f"{seen.memory[-1] / MIB:.0f} MiB{slope}")

    with serve() as server:
        began = time.perf_counter()
        seen = growth(server, VISITORS, changes, tell)
        took, cpu = time.perf_counter() - began, sum(psutil.Process(server.pid).cpu_times()[:2])
        server.check()
    slope = seen.per_change() * hour / MIB
    line(
        f"{changes:,} changes, {VISITORS} visitors",
        f"{took / 60:.1f} min, {seen.errors} errors",
        "none",
        ok=not seen.errors,
    )
    line("CPU a change, all pages", f"{cpu / changes * 1e3:.0f} ms")
    line("slope once warm", f"{slope:+.1f} MiB an hour", "≤ 10 MiB" * (not quick), ok=None if quick else slope <= 10)


PARTS: dict[str, Callable[[bool], None]] = {
    "engine": run_engine,
    "pages": run_pages,
    "cold": run_cold,
    "load": run_load,
    "leak": run_leak,
}


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few samples: does it run at all?")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    given = parser.parse_args()
    chosen = given.only.split(",")
    if unknown := [part for part in chosen if part not in PARTS]:
        parser.error(f"--only={unknown[0]} is not known; parts are {', '.join(PARTS)}")
    for part in chosen:
        print(f"\n== {part}: {(PARTS[part].__doc__ or '').strip()}")
        line("yardstick, the same plain Python each time", f"{engine.yardstick_s() * 1e3:.1f} ms")
        PARTS[part](given.quick)


if __name__ == "__main__":
    main()
