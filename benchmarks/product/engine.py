"""The engine alone: microseconds an estimate, points a second, and how both grow."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from perfmodel import Scenario, estimate, sweep

#: Estimates differ by the number of kinds of layers, not by the number of layers.
MODELS = ("llama-3.1-8b", "llama-3.1-405b", "gemma-3-27b", "mixtral-8x7b", "deepseek-v3")


def median_s(work: Callable[[], Any], repeats: int) -> float:
    """Return the median time [s] of a call; a call may be disturbed, the median of many is not."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def yardstick_s() -> float:
    """Return the time of a fixed piece of plain Python: what the machine gives to one process just now."""
    return median_s(lambda: sum(index % 7 for index in range(100_000)), 30)


def estimate_s(model: str, repeats: int = 100) -> float:
    """Return the time of one estimate, nothing cached but the catalogue."""
    scenario = Scenario(model=model)
    estimate(scenario)
    return median_s(lambda: estimate(scenario), repeats)


def points_per_s(points: int, repeats: int = 10) -> float:
    """Return the points a second of a sweep over batch and prompt length."""
    side = int(np.sqrt(points))
    batches, prompts = np.arange(1.0, side + 1)[:, None], np.linspace(128, 8192, side)[None, :]
    scenario = Scenario()
    return side * side / median_s(lambda: sweep(scenario, batch=batches, input=prompts), repeats)
