"""Many visitors at once: each moves a slider every few seconds over a real websocket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from benchmarks.product.protocol import Run, Visitor
from benchmarks.product.server import Server

SLIDER = "Batch size [sequences]"
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


def growth(server: Server, changes: int, page: str = "") -> Sequence[float]:
    """Return the server's memory [B] at ten moments of one visitor's `changes` changes: the leak test."""

    async def walk() -> list[float]:
        process, seen = psutil.Process(server.pid), []
        visitor = await Visitor.open(server.url, page)
        await visitor.rerun()
        for change in range(changes):
            await visitor.set(SLIDER, 1 + change % 64)
            if (change + 1) % max(1, changes // 10) == 0:
                seen.append(float(process.memory_info().rss))
        await visitor.close()
        return seen

    return asyncio.run(walk())
