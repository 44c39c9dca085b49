"""The diagnosis in words: one sentence with the margins, and the numbers behind it as tables."""

from __future__ import annotations

import math
from functools import lru_cache

from perfmodel.diagnosis.case import BOUND, PHASES, Case, case_of
from perfmodel.diagnosis.flips import Flip, Turn, operator_turns
from perfmodel.diagnosis.sensitivity import Effect
from perfmodel.estimate import cached_estimate
from perfmodel.formulas.overhead import elasticity
from perfmodel.formulas.roofline import amdahl_time, arithmetic_intensity, ridge_intensity
from perfmodel.report import Report
from perfmodel.scenario import Scenario
from perfmodel.step import REGIMES, Step, TimedOp
from perfmodel.units import show, significant

Row = dict[str, str]

#: What a table calls an input.
NAMES = {
    "compute": "Compute rate",
    "memory": "Memory bandwidth",
    "network": "Network",
    "overhead": "Launch speed",
    "link": "Link bandwidth alone",
    "batch": "Batch",
    "input": "Input length",
    "output": "Output length",
}


def largest(step: Step) -> TimedOp:
    """Return the operator that takes the most time of a pass."""
    return max(step.timed, key=lambda timed: timed.time_s)


def removed_gain(step: Step, timed: TimedOp, speedup: float = math.inf) -> float:
    """Return how many times faster the pass is once one operator is (Amdahl); infinitely fast removes it."""
    return float(step.time_s / amdahl_time(float(step.time_s), timed.time_s, speedup))


def intensity(step: Step) -> float:
    """Return the FLOPs a whole pass does per byte it moves [FLOP/B]."""
    return float(arithmetic_intensity(step.total("flops"), step.total("moved_bytes")))


def ridge(report: Report) -> float:
    """Return the datasheet's ridge of the linear layers' type [FLOP/B]."""
    return float(ridge_intensity(report.setup.rates.flops["linear"], report.setup.chip.memory_bytes_per_s))


def sentence(report: Report, case: Case, found: tuple[Flip, ...]) -> str:
    """Return the verdict on a phase: regime and shares, distance to the ridge, what flips it, the largest part."""
    regimes = sorted(zip(REGIMES, case.shares.tolist(), strict=True), key=lambda item: -item[1])
    shares = ", ".join(f"{share:.0%} {name}" for name, share in regimes if share >= 0.005)
    step = report.prefill if case.phase == "prefill" else report.decode
    top = largest(step)
    subject = PHASES[case.phase].capitalize()
    whose = " of a decode step" if case.phase == "request" else ""
    return (
        f"**{subject} is {BOUND[case.regime]}**: {shares}. {_distance(report, step, case)} {_flips(found, report)} "
        f"The largest part is {top.op.name} with {top.time_s / float(step.time_s):.0%}{whose}; "
        f"without it the pass would be {significant(removed_gain(step, top))}× faster, and no cure of it gives more."
    )


#: What helps against each regime, in the articles' order, and what is worth nothing.
REMEDIES = {
    "compute": "fewer operations or faster arithmetic (lower precision, tensor cores, pruning, another chip)",
    "memory": "fewer bytes (quantised weights or cache, fusion), more sequences per read (batch), more bandwidth",
    "network": "fewer or smaller messages (another layout, fewer devices), faster links",
    "overhead": "fewer launches (CUDA graphs, compilation, fusion), a leaner host, more work per launch (batch)",
}


@lru_cache(maxsize=256)
def why_and_what(scenario: Scenario) -> str:
    """Return in two sentences why a scenario is slow and what to do, with what the right and a wrong cure give."""
    report, case = cached_estimate(scenario), case_of(scenario, "request")
    now, regime, top = float(case.time_s()), case.regime, largest(report.decode)
    share = float(case.shares[REGIMES.index(regime)])
    helps = now / float(case.time_s({regime: 2.0}))
    needed = [name for name, need in zip(REGIMES, case.needs_s, strict=True) if need > 0 and name != regime]
    gains = {name: now / float(case.time_s({name: 2.0})) for name in needed}
    vain = min(gains, key=lambda name: gains[name])
    part = top.time_s / float(report.decode.time_s)
    cures = REMEDIES[regime]
    return (
        f"**Why.** {share:.0%} of the request's {show(now, 's')} are {_SPENT[regime]}; "
        f"in a decode step {top.op.name} takes most, {part:.0%}.  \n"
        f"**What to do.** {cures[0].upper()}{cures[1:]}: half of that time would make it "
        f"{significant(helps)}× faster. Do not work on the {NAMES[vain].lower()}: "
        f"twice as good, it gives {gains[vain]:.2f}×."
    )


#: What the time of a regime is spent on.
_SPENT = {
    "compute": "spent computing",
    "memory": "spent waiting for memory",
    "network": "spent waiting for other devices",
    "overhead": "spent launching kernels and scheduling",
}


def _distance(report: Report, step: Step, case: Case) -> str:
    at, edge = intensity(step), ridge(report)
    side = "left" if at < edge else "right"
    whose = "Its decode steps lie" if case.phase == "request" else "It lies"
    return f"{whose} {significant(max(at / edge, edge / at))}× {side} of the ridge."


def _flips(found: tuple[Flip, ...], report: Report) -> str:
    said = [text for flip in found for text in _said(flip, report)]
    never = [NAMES[flip.axis].lower() for flip in found if flip.more is None and flip.less is None]
    parts = [f"What flips it: {'; '.join(said)}."] if said else []
    if never:
        parts.append(f"No {' or '.join(never)} within range does.")
    return " ".join(parts)


def _said(flip: Flip, report: Report) -> list[str]:
    """Return the turns of one axis as parts of a sentence; of a resource only those a chip could have."""
    found = []
    for turn in (flip.more, flip.less):
        if turn is None:
            continue
        bound = BOUND[turn.regime]
        if flip.axis == "batch":
            found.append(f"batch {turn.value:,.0f}{_room(turn, report)} ({bound})")
        elif flip.axis == "input":
            found.append(f"input {turn.value:,.0f} tokens ({bound})")
        elif 0.05 <= turn.value <= 20.0:
            found.append(f"{_factor(flip.axis, turn.value)} ({bound})")
    return found


def _room(turn: Turn, report: Report) -> str:
    fits = report.memory.largest_batch
    return f", though only {fits:,} fit," if 0 < fits < turn.value else ""


def _factor(axis: str, factor: float) -> str:
    if axis == "overhead":
        return (
            f"launches {significant(factor)}× cheaper" if factor > 1 else f"launches {significant(1 / factor)}× dearer"
        )
    thing = {"compute": "the compute", "memory": "the bandwidth", "network": "the network"}[axis]
    return f"a chip with {significant(factor)}× {thing}"


def phase_rows(report: Report) -> list[Row]:
    """Return one row per phase: time, shares of the regimes, intensity against the ridge, counters against peaks."""
    edge, rows = ridge(report), []
    for phase in PHASES:
        case = case_of(report.scenario, phase)
        row = {"Phase": phase, "Time": show(float(case.time_s()), "s"), "Bound by": case.regime}
        row |= {name: f"{share:.1%}" for name, share in zip(REGIMES, case.shares.tolist(), strict=True)}
        rows.append(row | (_counters(report, case.steps[0], edge) if phase != "request" else {}))
    return rows


def _counters(report: Report, step: Step, edge: float) -> Row:
    at, time = intensity(step), float(step.time_s)
    flops, moved = float(step.total("flops")) / time, float(step.total("moved_bytes")) / time
    return {
        "FLOP/B": show(at),
        "Ridge": show(edge),
        "Of the ridge": f"{significant(at / edge)}×",
        "Achieved rate": f"{flops / report.setup.rates.flops['linear']:.1%} of peak",
        "Achieved traffic": f"{moved / report.setup.chip.memory_bytes_per_s:.1%} of bandwidth",
    }


def flip_rows(report: Report, found: tuple[Flip, ...]) -> list[Row]:
    """Return one row per axis: the present value, and where less and more of it turn the regime."""
    return [
        {
            "Input": NAMES[flip.axis],
            "Now": _value(report, flip.axis, flip.now),
            "With less": _turn(report, flip, flip.less, flip.low),
            "With more": _turn(report, flip, flip.more, flip.high),
        }
        for flip in found
    ]


def _turn(report: Report, flip: Flip, turn: Turn | None, end: float) -> str:
    if turn is None:
        return "no flip: nothing to try" if end == flip.now else f"no flip to {_value(report, flip.axis, end)}"
    room = _room(turn, report).strip(",") if flip.axis == "batch" else ""
    return f"{_value(report, flip.axis, turn.value)}: {BOUND[turn.regime]}{room}"


def _value(report: Report, axis: str, value: float) -> str:
    """Return a value of an axis: whole numbers as they are, a resource in its unit with the factor."""
    if axis in ("batch", "input"):
        return f"{value:,.0f}" + (" tokens" if axis == "input" else "")
    setup = report.setup
    factor = "" if value == 1.0 else f" ({significant(value)}×)"
    if axis == "compute":
        return show(setup.rates.flops["linear"] * value, "FLOP/s") + factor
    if axis == "memory":
        return show(setup.chip.memory_bytes_per_s * value, "B/s") + factor
    if axis == "network":
        return show(setup.fabric.bytes_per_s * value, "B/s") + factor
    return f"{significant(value)}×" if value != 1.0 else "as it is"


def operator_rows(case: Case) -> list[Row]:
    """Return one row per operator of a single pass, largest first: shares, Amdahl's gains, where its bound turns."""
    step, turns = case.steps[0], operator_turns(case)
    parts = step.parts_s / step.op_time_s
    rows = []
    for index, timed in enumerate(step.timed):
        turn = turns[timed.op.name]
        row = {"Operator": timed.op.name, "Time": show(timed.time_s, "s")}
        row |= {"Of the pass": f"{timed.time_s / float(step.time_s):.1%}", "Bound by": timed.bound}
        row |= {name: f"{parts[r, index]:.0%}" for r, name in enumerate(REGIMES)}
        row["If twice as fast"] = f"{removed_gain(step, timed, 2.0):.3f}×"
        row["Without it"] = f"{removed_gain(step, timed):.3f}×"
        row["Turns at batch"] = f"{turn.value:,.0f}: {turn.regime}" if turn else "never"
        rows.append((timed.time_s, row))
    return [row for _, row in sorted(rows, key=lambda item: -item[0])]


def effect_rows(found: tuple[Effect, ...]) -> list[Row]:
    """Return one row per input: elasticity, the time with twice and half of it, and the most a cure could give."""
    return [
        {
            "Input": NAMES[effect.name],
            "Elasticity": f"{effect.elasticity:+.3f}",
            "Twice": _change(effect.doubled_s, effect.now_s),
            "Half": _change(effect.halved_s, effect.now_s),
            "Without limit": _change(effect.limit_s, effect.now_s) if math.isfinite(effect.limit_s) else "",
        }
        for effect in found
    ]


def _change(time_s: float, now_s: float) -> str:
    return f"{show(time_s, 's')} ({time_s / now_s - 1.0:+.1%})"


def overhead_test(case: Case) -> str:
    """Return the articles' test for overhead on this phase: more work, then more capability, and what each says.

    Twice the FLOPs, bytes and messages through the same launches: an overhead-bound time hardly grows.
    """
    now = float(case.time_s())
    loaded = float(case.time_s({"compute": 0.5, "memory": 0.5, "network": 0.5}))
    batched = float(case.change(batch=2.0 * case.batch).time_s())
    answer = float(elasticity(now, loaded, 2.0))
    verdict = "overhead-bound" if answer < 0.5 else "hardware-bound"
    text = (
        f"Twice the FLOPs, bytes and messages through the same launches take {loaded / now - 1.0:+.0%}: "
        f"elasticity {answer:.2f}, so it is **{verdict}** (0 is pure overhead, 1 pure hardware). "
        f"Twice the batch takes {batched / now - 1.0:+.0%}."
    )
    if case.phase == "decode" and batched < 1.5 * now and answer >= 0.5:
        text += " Sequences share the weights, so in decode the batch alone cannot tell overhead from memory."
    return text
