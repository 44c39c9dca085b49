"""Flips: the smallest change of one input after which another regime leads, found by trying and verified on both sides.

The regime of a phase is the one with the largest share of its time. Along each axis a dense grid is tried first, then
the bracket around the first change is narrowed until its ends are neighbours: `Turn.before` still has the present
regime, `Turn.value` has the new one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from perfmodel.diagnosis.case import Case
from perfmodel.formulas.roofline import critical_batch
from perfmodel.scenario import MAX_CONTEXT_STRETCH
from perfmodel.setup import Setup
from perfmodel.step import REGIMES, Array

Indices: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.intp]]
#: For values of shape (rows, points) the index of the leading regime, of the same shape.
Leads: TypeAlias = Callable[[Array], Indices]

#: Numbers of the workload that are searched in whole steps.
WORK = ("batch", "input")
#: Every axis that is searched; the resources as factors of their speed.
AXES = (*WORK, *REGIMES)
#: Largest batch tried, and the largest and smallest factor of a resource.
MOST_BATCH, MOST_FACTOR = 65_536.0, 1000.0
#: Points tried per search and per narrowing; a factor is known to this relative precision.
POINTS, NARROW, PRECISION = 96, 32, 1e-4


@dataclass(frozen=True, slots=True)
class Turn:
    """One change of regime: the last value with the present regime, the first with another, and which that is."""

    before: float
    value: float
    regime: str


@dataclass(frozen=True, slots=True)
class Flip:
    """What one axis can change: the first turn above and below the present value; None if there is none in reach.

    For a resource the values are factors of its speed, now 1. `low` and `high` are the ends of what was tried.
    """

    axis: str
    now: float
    low: float
    high: float
    more: Turn | None
    less: Turn | None


def flips(case: Case) -> tuple[Flip, ...]:
    """Return what flips the regime along every axis that matters: without collectives the network does not."""
    used = [axis for axis in AXES if axis != "network" or case.needs_s[2] > 0]
    return tuple(flip(case, axis) for axis in used)


def flip(case: Case, axis: str) -> Flip:
    """Return the first changes of regime on both sides of the present value of one axis."""
    now, low, high = reach(case, axis)
    more, less = _turns(_leads(case, axis), np.array([now, now]), np.array([high, low]), axis in WORK)
    return Flip(axis, now, low, high, more, less)


def reach(case: Case, axis: str) -> tuple[float, float, float]:
    """Return the present value of an axis and the ends of what can be tried.

    Input lengths go as far as the model's positions, or as a scenario may stretch them.
    """
    if axis == "batch":
        now = float(case.batch)
        return now, float(case.setup.dp), max(MOST_BATCH, now)
    if axis == "input":
        d = case.setup.model.dimensions
        limit = d.max_context * (1 if d.position_rows else MAX_CONTEXT_STRETCH)
        return float(case.input), 1.0, max(float(case.input), limit - float(case.prefix + case.output))
    return 1.0, 1.0 / MOST_FACTOR, MOST_FACTOR


def linear_critical_batch(setup: Setup) -> float:
    """Return b* = (bytes per weight / 2) F / W of the setup's weight type and math on its chip."""
    peak, bandwidth = setup.rates.flops["linear"], setup.chip.memory_bytes_per_s
    return float(critical_batch(setup.precision.weight_bytes, peak, bandwidth))


def operator_turns(case: Case) -> dict[str, Turn | None]:
    """Return for every operator of a single pass the first larger batch at which another resource leads it."""
    names = [op.name for op in case.steps[0].ops]
    rows = np.arange(len(names))[:, None]

    def leads(values: Array) -> Indices:
        step = case.change(batch=values.ravel()).steps[0]
        found = step.parts_s.argmax(axis=0).reshape(len(names), *values.shape)
        return np.asarray(found[rows, rows, np.arange(values.shape[1])[None, :]])

    start = np.full(len(names), float(case.batch))
    return dict(zip(names, _turns(leads, start, np.maximum(start, MOST_BATCH), whole=True), strict=True))


def _leads(case: Case, axis: str) -> Leads:
    def leads(values: Array) -> Indices:
        flat = values.ravel()
        parts = case.change(**{axis: flat}).parts_s() if axis in WORK else case.parts_s({axis: flat})
        return np.asarray(parts.argmax(axis=0).reshape(values.shape))

    return leads


def _turns(leads: Leads, start: Array, end: Array, whole: bool) -> list[Turn | None]:
    """Return for every row the first change of regime on the way from its start to its end, above or below it."""
    present = leads(start[:, None])
    changed, before, after, regimes = _narrow(leads, present, start, end, POINTS, whole)
    for _ in range(10):
        if not np.any(changed & _apart(before, after, whole)):
            break
        _, before, after, regimes = _narrow(leads, present, before, after, NARROW, whole)
    rows = zip(changed.tolist(), before.tolist(), after.tolist(), regimes.tolist(), strict=True)
    return [Turn(b, a, REGIMES[regime]) if found else None for found, b, a, regime in rows]


def _narrow(
    leads: Leads, present: Indices, before: Array, after: Array, points: int, whole: bool
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.bool_]], Array, Array, Indices]:
    """Try values between the ends of each row; return whether any differs, its bracket, and the regime beyond it."""
    tried = np.geomspace(before, after, points, axis=1)
    tried[:, 0], tried[:, -1] = before, after
    if whole:
        tried = np.round(tried)
    found = leads(tried)
    differs, rows = found != present, np.arange(len(before))
    first = np.maximum(differs.argmax(axis=1), 1)
    return differs.any(axis=1), tried[rows, first - 1], tried[rows, first], found[rows, first]


def _apart(before: Array, after: Array, whole: bool) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    if whole:
        return np.asarray(np.abs(after - before) > 1.0)
    return np.asarray(np.abs(np.log(after / before)) > PRECISION)
