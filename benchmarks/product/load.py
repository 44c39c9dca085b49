"""Many visitors at once: each moves a slider every few seconds over a real websocket."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import psutil

from benchmarks.product.protocol import Run, Visitor
from benchmarks.product.server import Server
from pages.parts.registry import pages

SLIDER = "Batch size [sequences]"
SLIDERS = (SLIDER, "Input length [tokens]", "Output length [tokens]")
#: So often the memory is looked at, and so many visitors change something at once.
LOOKS, AT_ONCE = 50, 8
MIB = 2**20


@dataclass(frozen=True)
class Load:
    """What the visitors met and what it cost the server."""

    latencies_s: tuple[float, ...]
    errors: int
    cpu_s_per_run: float
    bytes_per_session: float
    bytes_after: float


async def visit(visitor: Visitor, changes: int, every_s: float, first_s: float) -> list[Run]:
    """Move the slider to and fro, one change a period; return the runs."""
    await asyncio.sleep(first_s)
    runs = []
    for change in range(changes):
        began = time.perf_counter()
        runs.append(await visitor.set(SLIDER, 2 + change % 6))
        await asyncio.sleep(max(0.0, every_s - (time.perf_counter() - began)))
    return runs


async def _crowd(server: Server, sessions: int, changes: int, every_s: float, page: str) -> Load:
    process = psutil.Process(server.pid)
    lonely = await Visitor.open(server.url, page)  # the first visitor pays for imports and caches
    await lonely.rerun()
    before = process.memory_info().rss
    visitors: list[Visitor] = []
    for _ in range(sessions):
        visitors.append(await Visitor.open(server.url, page))
        await visitors[-1].rerun()
    connected, cpu = process.memory_info().rss, sum(process.cpu_times()[:2])
    starts = [every_s * index / sessions for index in range(sessions)]
    tasks = [visit(visitor, changes, every_s, start) for visitor, start in zip(visitors, starts, strict=True)]
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    used = sum(process.cpu_times()[:2]) - cpu
    runs = [run for outcome in outcomes if isinstance(outcome, list) for run in outcome]
    failed = sum(isinstance(outcome, BaseException) for outcome in outcomes) + sum(bool(run.exceptions) for run in runs)
    for visitor in (lonely, *visitors):
        await visitor.close()
    per_session = (connected - before) / sessions
    latencies = tuple(run.latency_s for run in runs)
    return Load(latencies, failed, used / max(1, len(runs)), per_session, float(process.memory_info().rss))


def crowd(server: Server, sessions: int, changes: int, every_s: float, page: str = "") -> Load:
    """Let `sessions` visitors change the batch `changes` times each, one change every `every_s` seconds."""
    return asyncio.run(_crowd(server, sessions, changes, every_s, page))


@dataclass(frozen=True)
class Growth:
    """A server's memory [B] after so many changes, all visitors together: the least since the look before.

    The least, because what eight runs hold while they are at work is no leak, and up to 20 MB.
    """

    changes: tuple[int, ...]
    memory: tuple[float, ...]
    errors: int

    def and_then(self, changes: int, memory: float) -> Growth:
        """Return what was seen with one more look."""
        return replace(self, changes=(*self.changes, changes), memory=(*self.memory, memory))

    def per_change(self, warm: float = 0.4) -> float:
        """Return the slope of a straight line through what was seen after the share `warm` of the changes [B]."""
        late = slice(int(len(self.changes) * warm), None)
        return float(np.polyfit(self.changes[late], self.memory[late], 1)[0])


def growth(server: Server, sessions: int, changes: int, tell: Callable[[Growth], None]) -> Growth:
    """Let visitors on all pages make `changes` changes in all, without a pause; watch the server: the leak test.

    Each draws from thousands of scenarios, so that bounded caches are full early and a leak shows as a slope. `tell`
    is called with all looks so far at each one, for whoever does not wait until the end.
    """
    return asyncio.run(_growth(server, sessions, changes, tell))


async def _growth(server: Server, sessions: int, changes: int, tell: Callable[[Growth], None]) -> Growth:
    process = psutil.Process(server.pid)
    names = ["" if page.path == "app.py" else page.name.replace(" ", "_") for page in pages()]
    visitors = [await Visitor.open(server.url, name) for name in names]
    first = [await visitor.rerun() for visitor in visitors]
    # A page of words has no sliders: nobody stays there.
    names = [name for name, visitor in zip(names, visitors, strict=True) if set(SLIDERS) <= set(visitor.widgets)]
    for visitor in visitors:
        await visitor.close()
    visitors = [await Visitor.open(server.url, names[index % len(names)]) for index in range(sessions)]
    seen = Growth((), (), sum(bool(run.exceptions) for run in first))
    done, least = 0, float("inf")
    turn = asyncio.Semaphore(AT_ONCE)  # a longer queue would only be waited in
    # All draw from one store: with a share each, visitors of the slow pages would be alone at the end, all at once.
    left = iter(range(changes))

    async def wander(visitor: Visitor, seed: int) -> None:
        nonlocal done, least, seen
        draw = random.Random(seed)
        await visitor.rerun()
        for _ in left:
            label = draw.choice(SLIDERS)
            slider = visitor.widgets[label]
            async with turn:
                run = await visitor.set(label, draw.randint(int(slider.min), int(slider.max)))
            done += 1
            least = min(least, float(process.memory_info().rss))
            seen = replace(seen, errors=seen.errors + bool(run.exceptions))
            if done % max(1, changes // LOOKS) == 0:
                seen, least = seen.and_then(done, least), float("inf")
                tell(seen)

    await asyncio.gather(*(wander(visitor, seed) for seed, visitor in enumerate(visitors)))
    for visitor in visitors:
        await visitor.close()
    return seen
