"""What the cures say: the answer in one sentence, why one is worth nothing, tables and headline numbers."""

from __future__ import annotations

import math

from perfmodel.cures.cure import GOAL_WORDS, GOALS, Goal, Outcome
from perfmodel.cures.evaluate import NOTHING, Combination, ranked, refused, shares, without_effect
from perfmodel.diagnosis.case import BOUND
from perfmodel.estimate import cached_estimate
from perfmodel.scenario import Scenario
from perfmodel.units import significant


def gain_text(gain: float) -> str:
    """Return a gain as it is shown: 1.72×, 0%, 0.8×."""
    if not math.isfinite(gain):
        return "no price"
    return "0%" if abs(gain - 1.0) < NOTHING else f"{significant(gain)}×"


def remark(scenario: Scenario, outcome: Outcome, goal: Goal) -> str:
    """Return why a cure is worth nothing, or less, for a goal; "" where it helps."""
    gain = outcome.gain(goal)
    if not math.isfinite(gain) or gain >= 1.0 + NOTHING:
        return ""
    return f"0%: {_idle(scenario, outcome, goal)}" if without_effect(outcome, goal) else _worse(outcome, goal)


def _idle(scenario: Scenario, outcome: Outcome, goal: Goal) -> str:
    report, treats = cached_estimate(scenario), outcome.cure.treats
    phase, split = shares(report, goal)
    leads = max(split, key=lambda name: split[name])
    if goal == "first" and outcome.after and abs(outcome.gain("token") - 1.0) >= NOTHING:
        return "the first token comes from prefill, which this leaves as it is"
    if goal == "token" and outcome.after and abs(outcome.gain("first") - 1.0) >= NOTHING:
        return "it shortens prefill, not the tokens after it"
    launches = outcome.scenario and outcome.scenario.resolved_engine.host_s < report.setup.engine.host_s
    if launches and float(report.decode.idle_share) < NOTHING:
        return f"{phase} is {BOUND[leads]} ({split[leads]:.0%}); the device never waits for the host"
    if treats == leads:
        return f"{phase} is {BOUND[leads]}, but of what this shortens there is next to nothing"
    return f"{phase} is {BOUND[leads]} ({split[leads]:.0%} of its time), and this treats {treats} ({split[treats]:.0%})"


def _worse(outcome: Outcome, goal: Goal) -> str:
    """Return what a cure that harms this goal buys instead."""
    best = max((g for g in GOALS if math.isfinite(outcome.gain(g))), key=outcome.gain)
    loss = f"{1.0 - outcome.gain(goal):.0%} worse"
    if outcome.gain(best) < 1.0 + NOTHING:
        return f"{loss}: it costs more than it saves"
    return f"{loss}: it trades this for {GOAL_WORDS[best]} ({significant(outcome.gain(best))}× better)"


def interaction(found: Combination) -> str:
    """Return how the cures touch one another, in one sentence."""
    together, alone = f"{significant(found.gain)}×", f"{significant(found.product)}×"
    if not math.isfinite(found.gain * found.product):
        return "Together they cannot be compared: no price is published."
    ratio = found.gain / found.product
    if abs(ratio - 1.0) < NOTHING:
        return f"Together {together}, the product of the single gains: neither touches the other."
    if ratio < 1.0:
        return f"Together {together}; the product of the single gains would be {alone}: they shorten the same time."
    more = f"Together {together}, more than the product of the single gains, {alone}"
    return f"{more}: each makes what the other shortens a larger share."


def answer(scenario: Scenario, goal: Goal) -> str:
    """Return the best cure in one sentence, and one that would bring nothing."""
    found = ranked(scenario, goal)
    best = next((one for one in found if one.gain(goal) >= 1.0 + NOTHING), None)
    phase, split = shares(cached_estimate(scenario), goal)
    leads = max(split, key=lambda name: split[name])
    where = f"{phase[0].upper()}{phase[1:]} is {BOUND[leads]} for {split[leads]:.0%} of its time"
    if best is None:
        return f"{where}; no cure improves the {GOAL_WORDS[goal]}."
    idle = next((one for one in found if without_effect(one, goal)), None)
    wrong = f" {idle.cure.name}: {remark(scenario, idle, goal)}." if idle else ""
    gain = significant(best.gain(goal))
    return f"{where}. The largest gain in {GOAL_WORDS[goal]} is {gain}×: {best.cure.name} ({best.said}).{wrong}"


def effect(outcome: Outcome) -> str:
    """Return what a cure makes of every number, old and new, and what it costs in quality."""
    if outcome.after is None:
        return ""
    old, new = outcome.before.words, outcome.after.words
    changed = ", ".join(f"{name} {old[name]} → {new[name]}" for name in new if old[name] != new[name])
    return f"{outcome.said}. {changed[:1].upper()}{changed[1:]}. Quality: {outcome.cure.quality}."


def idle_rows(scenario: Scenario, goal: Goal) -> list[dict[str, str]]:
    """Return the cures that bring nothing, or less, as rows of a table."""
    return [
        {"cure": one.cure.name, "treats": one.cure.treats, "why it does not help": remark(scenario, one, goal)}
        for one in ranked(scenario, goal)
        if one.gain(goal) < 1.0 + NOTHING
    ]


def refused_rows(scenario: Scenario) -> list[dict[str, str]]:
    """Return the cures that cannot be had here as rows of a table."""
    return [{"cure": one.cure.name, "treats": one.cure.treats, "why not": one.why_not} for one in refused(scenario)]


def all_rows(scenario: Scenario) -> list[dict[str, str]]:
    """Return every cure that can be had with all its numbers as rows of a table, in the order of the request's gain."""
    return [
        {
            "cure": one.cure.name,
            "what changes": one.said,
            **{GOAL_WORDS[goal]: gain_text(one.gain(goal)) for goal in GOALS},
            **(one.after.words if one.after else {}),
            "quality": one.cure.quality,
        }
        for one in ranked(scenario, "request")
    ]


def headline(found: Combination, goal: Goal) -> list[tuple[str, str, str]]:
    """Return the numbers of several cures together: label, text, help."""
    old, new = found.before.words, found.after.words
    gain = (f"Gain in {GOAL_WORDS[goal]}", gain_text(found.gain), "all the chosen cures, one after another")
    return [gain, *((name, text, f"before: {old[name]}") for name, text in new.items())]


def skipped_text(found: Combination) -> str:
    """Return which of the chosen cures could no longer be had behind the others, and why; "" if none."""
    return "; ".join(f"{cure.name} left out: {why}" for cure, why in found.skipped)
