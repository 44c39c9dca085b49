"""Sensitivity: what doubling or halving an input does to the time, and how that adds up.

A time is homogeneous of degree one in what the four resources need, so its elasticities with respect to their speeds
add up to minus one (Euler): whatever the regime, the whole time is somebody's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from perfmodel.diagnosis.case import Case
from perfmodel.formulas.overhead import elasticity
from perfmodel.step import REGIMES, Array, Fabric, relinked

#: Change of an input for a derivative; times are piecewise linear in the needs, so it may be small.
SMALL = 1e-6
#: "Infinitely fast" for a bound: far beyond any chip, far from underflow.
LIMITLESS = 1e15
#: Numbers of the workload whose doubling is tried: the work, as a user would do it.
WORK = ("batch", "input", "output")


@dataclass(frozen=True, slots=True)
class Effect:
    """What one input does to the time: of a resource its speed, of the workload its number.

    `doubled_s`, `halved_s`: time with the input twice and half as large. `limit_s`: with the resource infinitely
    fast, the most that any cure of it can give; NaN for the workload. `elasticity`: d ln T / d ln x at the present
    speed of a resource, over the doubling of a number of the workload.
    """

    name: str
    now_s: float
    doubled_s: float
    halved_s: float
    limit_s: float
    elasticity: float

    @property
    def span(self) -> float:
        """How far apart half and twice the input are, as a share of the time."""
        return abs(self.doubled_s - self.halved_s) / self.now_s


def elasticities(case: Case) -> Array:
    """Return d ln T / d ln(speed) of the four resources, shape (4,): minus what each contributes; adds up to -1."""
    now, step = case.time_s(), 1.0 + SMALL
    return np.array([float(elasticity(now, case.time_s({regime: step}), step)) for regime in REGIMES])


def effects(case: Case) -> tuple[Effect, ...]:
    """Return the effect of every resource that is used and of every number of the workload, largest first."""
    used = [regime for regime, need in zip(REGIMES, case.needs_s, strict=True) if need > 0]
    tried = [name for name in WORK if case.phase != "prefill" or name != "output"]
    found = [_resource(case, regime) for regime in used] + [_work(case, name) for name in tried]
    if case.needs_s[2] > 0:
        found.append(_link(case))
    return tuple(sorted(found, key=lambda effect: -effect.span))


def _resource(case: Case, regime: str) -> Effect:
    double, half, limit, small = (float(t) for t in case.time_s({regime: np.array([2.0, 0.5, LIMITLESS, 1.0 + SMALL])}))
    now = float(case.time_s())
    return Effect(regime, now, double, half, limit, float(elasticity(now, small, 1.0 + SMALL)))


def _work(case: Case, name: str) -> Effect:
    now, value = float(case.time_s()), float(getattr(case, name))
    # Half a sequence is no workload: the least is one.
    half, double = max(1.0, value / 2.0), 2.0 * value
    times = case.change(**{name: np.array([double, half])}).time_s()
    nan = float("nan")
    return Effect(name, now, float(times[0]), float(times[1]), nan, float(elasticity(now, times[0], 2.0)))


def _link(case: Case) -> Effect:
    """Return the effect of the bandwidth of all links alone: the start-up of collectives stays."""

    def time(factor: float) -> float:
        fabric = _with_bandwidth(case.setup.fabric, factor)
        steps = tuple(relinked(step, case.setup.engine, fabric) for step in case.steps)
        return float(case.joined(lambda step: step.time_s, steps))

    now = float(case.time_s())
    small = float(elasticity(now, time(1.0 + SMALL), 1.0 + SMALL))
    return Effect("link", now, time(2.0), time(0.5), time(LIMITLESS), small)


def _with_bandwidth(fabric: Fabric, factor: float) -> Fabric:
    beyond = _with_bandwidth(fabric.network, factor) if fabric.network else None
    return replace(fabric, bytes_per_s=fabric.bytes_per_s * factor, network=beyond)
