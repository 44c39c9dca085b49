"""The operators of a report as a table, one of them with its formulas, and the headline numbers as texts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from perfmodel.difference import spoken
from perfmodel.explain import Card, explain_op
from perfmodel.figures.roofline import Point, points
from perfmodel.report import Report
from perfmodel.step import Step
from perfmodel.units import show, significant

Row = dict[str, str]


def rows(report: Report) -> list[Row]:
    """Return one row per operator of prefill and decode, largest share of its pass first."""
    found = [
        (timed.time_s / float(step.time_s), _row(phase, step, index))
        for phase, step in (("decode", report.decode), ("prefill", report.prefill))
        for index, timed in enumerate(step.timed)
    ]
    return [row for _, row in sorted(found, key=lambda item: -item[0])]


def _row(phase: str, step: Step, index: int) -> Row:
    timed = step.timed[index]
    return {
        "Operator": timed.op.name,
        "Phase": phase,
        "Block": str(timed.op.group),
        "Time": show(timed.time_s, "s"),
        "Share": f"{timed.time_s / float(step.time_s):.1%}",
        "Bound by": timed.bound,
        "FLOPs": show(timed.flops, "FLOP"),
        "Traffic": show(timed.moved_bytes, "B"),
        "FLOP/B": show(timed.intensity),
        "Calls": significant(timed.op.count),
    }


def memory_text(report: Report) -> str:
    """Return what one device needs, of what it has: "20.1 of 80 GB"."""
    need, has = show(report.memory.total, "B"), show(report.memory.capacity, "B")
    same_unit = need.split()[-1] == has.split()[-1]
    return f"{need.split()[0] if same_unit else need} of {has}" if report.memory.capacity > 0 else need


def cost_text(report: Report) -> str:
    """Return the cost of a million output tokens, "$0.42", or a dash without a price."""
    cost = report.usd_per_million_tokens
    return f"${significant(cost)}" if math.isfinite(cost) else "no price"


def labels(keys: Iterable[str]) -> dict[str, str]:
    """Return what a person reads for each key of a point: "LM head, decode"."""
    split = (key.split(".", 1) for key in keys)
    return {f"{phase}.{name}": f"{spoken(name)}, {phase}" for phase, name in split} | {"largest": "the largest"}


def find(report: Report, key: str, phases: Sequence[str]) -> Point:
    """Return the point with this key, or the one with the largest share of its pass."""
    found = points(report, phases)
    return next((point for point in found if point.key == key), found[0])


def title(point: Point) -> str:
    """Return the name of a point with its block and its verdict."""
    name = spoken(point.timed.op.name)
    return f"{name[:1].upper()}{name[1:]} ({point.timed.op.group}, {point.phase}): {point.timed.bound}-bound"


def numbers(point: Point, wanted: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return the headline numbers of one operator, named as their cards are in `how.operator`."""
    timed, per_byte = point.timed, "FLOPs per byte of main-memory traffic."
    times = f"All {significant(timed.op.count)} occurrences together."
    found = {
        "time": ("Time in the pass", show(timed.time_s, "s"), times),
        "share": ("Share of the pass", f"{point.share:.1%}", ""),
        "flops": ("FLOPs", show(timed.flops, "FLOP"), "All occurrences on one device."),
        "bytes": ("Traffic", show(timed.moved_bytes, "B"), "To and from main memory: weights, activations, KV cache."),
        "intensity": ("Arithmetic intensity", show(timed.intensity, "FLOP/B"), per_byte),
        "rate": ("Achieved rate", show(point.rate, "FLOP/s"), "FLOPs over the realistic time, per device."),
    }
    return [found[key] for key in wanted]


def cards(report: Report, point: Point) -> tuple[Card, ...]:
    """Return the card of one operator: its time, and below it needs, FLOPs, bytes and rates down to their sources."""
    return (explain_op(report, point.phase, point.timed.op.name),)
