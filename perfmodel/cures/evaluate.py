"""All cures tried on one scenario: ranked, with the reason where one is worth nothing, and several together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from perfmodel.cures import attention, chips, numerics, serving, software
from perfmodel.cures.cure import Cure, Goal, Numbers, Outcome, numbers
from perfmodel.estimate import cached_estimate, estimate
from perfmodel.report import Report
from perfmodel.scenario import Scenario
from perfmodel.step import REGIMES
from perfmodel.units import show

#: Every cure, in the order in which several are put together: what is computed first, how much at once last.
CURES: tuple[Cure, ...] = (
    *software.CURES,
    *numerics.CURES,
    *attention.CURES,
    *chips.CURES,
    *serving.CURES,
)
BY_ID = {cure.id: cure for cure in CURES}
#: A gain below this share is nothing.
NOTHING = 0.005


@lru_cache(maxsize=64)
def outcomes(scenario: Scenario) -> tuple[Outcome, ...]:
    """Try every cure on a scenario, in the order of `CURES`.

    Validity: as `estimate`; the numbers of an outcome are those of the estimate of its scenario.
    Source: article_cases S20-S24, S30-S35.
    """
    before = numbers(cached_estimate(scenario))
    return tuple(_tried(cure, scenario, before) for cure in CURES)


def _tried(cure: Cure, scenario: Scenario, before: Numbers) -> Outcome:
    change = cure.change(scenario)
    if change.why_not:
        return Outcome(cure, before, why_not=change.why_not)
    try:
        changed = scenario.change(**change.fields)
        report = estimate(changed)
    except ValueError as error:
        return Outcome(cure, before, change.said, str(error))
    after = numbers(report)
    if before.fits and not after.fits:
        has = show(report.memory.capacity, "B")
        why = f"does not fit: {show(after.memory_bytes, 'B')} on each device, which has {has}"
        return Outcome(cure, before, change.said, why, changed, after)
    return Outcome(cure, before, change.said, "", changed, after)


def ranked(scenario: Scenario, goal: Goal) -> tuple[Outcome, ...]:
    """Return the cures that can be had, the largest gain first; those whose gain cannot be told last."""
    had = [one for one in outcomes(scenario) if one.applies]
    return tuple(sorted(had, key=lambda one: -one.gain(goal) if math.isfinite(one.gain(goal)) else math.inf))


def refused(scenario: Scenario) -> tuple[Outcome, ...]:
    """Return the cures that cannot be had here."""
    return tuple(one for one in outcomes(scenario) if not one.applies)


def without_effect(outcome: Outcome, goal: Goal) -> bool:
    """Return whether a cure leaves the goal as it is."""
    return abs(outcome.gain(goal) - 1.0) < NOTHING


def shares(report: Report, goal: Goal) -> tuple[str, dict[str, float]]:
    """Return what decides a goal, in words, and the share of each regime in its time."""
    parts = numbers(report).parts_s(goal)
    name = {"first": "prefill", "token": "decoding"}.get(goal, "the request")
    return name, {regime: part / sum(parts) for regime, part in zip(REGIMES, parts, strict=True)}


@dataclass(frozen=True)
class Combination:
    """Several cures one after another. `skipped`: what could no longer be had behind the others, and why."""

    cures: tuple[Cure, ...]
    skipped: tuple[tuple[Cure, str], ...]
    scenario: Scenario
    before: Numbers
    after: Numbers
    product: float
    gain: float


@lru_cache(maxsize=64)
def combined(scenario: Scenario, ids: tuple[str, ...], goal: Goal) -> Combination:
    """Apply the cures in the order of `CURES`; each sees the scenario that the ones before it left.

    `product` is what their single gains would give if they did not touch one another.
    """
    unknown = [name for name in ids if name not in BY_ID]
    if unknown:
        raise ValueError(f"cure={unknown[0]!r} is not known; there are {', '.join(BY_ID)}")
    now, used, skipped, product = scenario, [], [], 1.0
    alone = {one.cure.id: one for one in outcomes(scenario)}
    for cure in (one for one in CURES if one.id in ids):
        found = _tried(cure, now, numbers(cached_estimate(now)))
        if found.scenario is None or not found.applies:
            skipped.append((cure, found.why_not))
            continue
        now = found.scenario
        used.append(cure)
        product *= alone[cure.id].gain(goal) if alone[cure.id].after else 1.0
    before, after = numbers(cached_estimate(scenario)), numbers(cached_estimate(now))
    gain = after.value(goal) / before.value(goal)
    return Combination(tuple(used), tuple(skipped), now, before, after, product, gain)
