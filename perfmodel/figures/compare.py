"""Scenarios side by side: numbers with ratios, time bars on one scale, rooflines over one another, the waterfall."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from perfmodel.catalogue_tables import Row, compared, to_csv
from perfmodel.difference import CAUSES, Difference, reason, signed, spoken
from perfmodel.estimate import cached_estimate
from perfmodel.figures import theme
from perfmodel.figures.roofline import Point, points, roofs
from perfmodel.figures.theme import Figure
from perfmodel.figures.time_bar import picture
from perfmodel.formulas.roofline import attainable_flops
from perfmodel.pins import Pins, labels
from perfmodel.report import Report
from perfmodel.scenario import Scenario
from perfmodel.step import Step
from perfmodel.units import show, significant

#: Key of the scenario that is not pinned.
NOW = "now"
#: Colour and symbol of each side: the four pins, then the present scenario.
_COLOURS = dict(zip(("a", "b", "c", "d", NOW), (*theme.SERIES_COLOURS[:4], theme.NEUTRAL), strict=True))
_SYMBOLS = {"a": "circle", "b": "diamond", "c": "square", "d": "triangle-up", NOW: "star"}
_GLYPHS = {"a": "●", "b": "◆", "c": "■", "d": "▲", NOW: "★"}
#: Parts of a difference that get a bar of their own; what is left is one more bar.
MOST_PARTS = 9
_SMALLEST, _LARGEST = 6.0, 24.0
_CAUSE_COLOURS = theme.REGIME_COLOURS | {"overlap": theme.NEUTRAL}
_CAUSE_PATTERNS = theme.REGIME_PATTERNS | {"overlap": "-", "": ""}
_FIXED = {"fixedrange": True, "zeroline": False, "automargin": False}


@dataclass(frozen=True)
class Side:
    """One scenario of a comparison: its key in the link, what it is called, its report."""

    key: str
    label: str
    report: Report

    @property
    def colour(self) -> str:
        """The colour of this side in every figure."""
        return _COLOURS[self.key]

    def step(self, phase: str) -> Step:
        """Return the pass of a phase."""
        return self.report.prefill if phase == "prefill" else self.report.decode


def sides(pins: Pins, scenario: Scenario) -> tuple[Side, ...]:
    """Return the pinned scenarios and the present one, estimated."""
    names = labels(pins)
    found = [Side(slot, names[slot], cached_estimate(pin.scenario)) for slot, pin in pins.items()]
    return (*found, Side(NOW, "Now", cached_estimate(scenario)))


#: Line of the table -> value and unit.
_LINES: tuple[tuple[str, Callable[[Report], float], str], ...] = (
    ("First token, no queue", lambda r: r.ttft_s, "s"),
    ("Time per output token", lambda r: r.tpot_s, "s"),
    ("Whole request", lambda r: r.e2e_s, "s"),
    ("Output tokens per second", lambda r: r.tokens_per_s, ""),
    ("Tokens per second and device", lambda r: r.tokens_per_s / r.scenario.n, ""),
    ("USD per million output tokens", lambda r: r.usd_per_million_tokens, ""),
    ("Decode step", lambda r: r.decode_step_s, "s"),
    ("FLOPs of a decode step", lambda r: r.flops_decode, "FLOP"),
    ("FLOPs of prefill", lambda r: r.flops_prefill, "FLOP"),
    ("Weights, one copy", lambda r: r.weight_bytes, "B"),
    ("KV cache of the batch", lambda r: r.kv_bytes, "B"),
    ("Memory per device", lambda r: r.memory.total, "B"),
)


def rows(shown: Sequence[Side]) -> list[Row]:
    """Return the numbers side by side, each with its ratio to the first side's."""
    table: list[list[str]] = []
    for _, value, unit in _LINES:
        values = [value(side.report) for side in shown]
        table.append(compared([show(v, unit) for v in values], values))
    table.append(["yes" if side.report.memory.fits else "no" for side in shown])
    table.append([side.report.decode.regime for side in shown])
    table.append([side.report.prefill.regime for side in shown])
    names = (*(name for name, _, _ in _LINES), "Fits", "Decode is bound by", "Prefill is bound by")
    columns = [side.label for side in shown]
    return [
        {"Quantity": name, **dict(zip(columns, cells, strict=True))} for name, cells in zip(names, table, strict=True)
    ]


def bars(shown: Sequence[Side], phase: str) -> str:
    """Return the four-colour time bars of a phase, one above another on one scale of time, as an SVG picture."""
    longest = max((float(side.step(phase).time_s) for side in shown), default=0.0)
    rows = []
    for side in shown:
        step = side.step(phase)
        glyph = f'<tspan fill="{side.colour}">{_GLYPHS[side.key]}</tspan>'
        words = f"{glyph} {escape(side.label)}: {show(float(step.time_s), 's')}"
        rows.append((words, (step.parts_s.sum(axis=1) / longest).tolist()))
    return picture(rows)


def describe_bars(shown: Sequence[Side], phase: str) -> str:
    """Return in one sentence what the bars show."""
    what = "One decode step" if phase == "decode" else "Prefill"
    parts = (f"{side.label} {show(float(side.step(phase).time_s), 's')}, {side.step(phase).regime}" for side in shown)
    return f"{what} on one scale: {'; '.join(parts)}-bound most."


def rooflines(shown: Sequence[Side], phase: str) -> Figure:
    """Return the rooflines of all sides over one another: a line each, and their operators as points."""
    found = {side.key: points(side.report, (phase,)) for side in shown}
    lines = {side.key: next(roof for roof in roofs(side.report) if not roof.achieved) for side in shown}
    intensities = [p.timed.intensity for placed in found.values() for p in placed]
    rates = [p.rate for placed in found.values() for p in placed]
    x = _decades(min(intensities), max(*intensities, *(roof.ridge for roof in lines.values())) * 8.0)
    y = _decades(min(rates), max(roof.peak for roof in lines.values()) * 2.0)
    data = []
    for side in shown:
        roof = lines[side.key]
        ends = [x[0], roof.ridge, max(x[1], roof.ridge)]
        heights = [float(attainable_flops(end, roof.peak, roof.bandwidth)) for end in ends]
        line = {"color": side.colour, "width": 2.5, "dash": "dash" if side.key == NOW else "solid"}
        data.append({"type": "scatter", "mode": "lines", "x": ends, "y": heights, "line": line, "hoverinfo": "skip"})
        data.append(_points(side, found[side.key]))
    layout = theme.layout(
        xaxis=theme.log_axis(*x, "", "Arithmetic intensity [FLOP/B]"),
        yaxis=theme.log_axis(*y, "FLOP/s", "Achieved rate per device"),
        margin={"l": 96, "r": 8, "t": 8, "b": 48},
        showlegend=False,
        hovermode="closest",
        height=400,
    )
    return {"data": data, "layout": layout}


def _decades(low: float, high: float) -> tuple[float, float]:
    return 10.0 ** math.floor(math.log10(low * 0.4)), high


def _points(side: Side, placed: Sequence[Point]) -> Figure:
    marker = {
        "color": side.colour,
        "symbol": _SYMBOLS[side.key],
        "size": [_SMALLEST + (_LARGEST - _SMALLEST) * math.sqrt(min(1.0, p.share)) for p in placed],
        "opacity": 0.85,
        "line": {"width": 1, "color": "rgba(125,135,145,0.9)"},
    }
    text = [
        f"<b>{escape(side.label)}</b>: {spoken(p.timed.op.name)}<br>{show(p.timed.time_s, 's')} = {p.share:.1%}, "
        f"{p.timed.bound}-bound<br>{show(p.timed.intensity)} FLOP/B, {show(p.rate, 'FLOP/s')}"
        for p in placed
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [p.timed.intensity for p in placed],
        "y": [p.rate for p in placed],
        "marker": marker,
        "hovertext": text,
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def marks(shown: Sequence[Side]) -> list[theme.Mark]:
    """Return which colour and symbol belongs to which side."""
    return [theme.Mark(_GLYPHS[side.key], side.colour, side.label) for side in shown]


def describe_rooflines(shown: Sequence[Side], phase: str) -> str:
    """Return in one sentence where each side stands."""
    parts = []
    for side in shown:
        roof = next(roof for roof in roofs(side.report) if not roof.achieved)
        step = side.step(phase)
        intensity = float(step.total("flops")) / float(step.total("moved_bytes"))
        parts.append(f"{side.label} does {significant(intensity)} FLOP/B under a ridge of {significant(roof.ridge)}")
    return f"Points are the operators of {phase}: {'; '.join(parts)}. Lines are the datasheets' roofs."


@dataclass(frozen=True, slots=True)
class _Bar:
    """One bar of the waterfall: where it starts and how long it is [s]."""

    label: str
    cause: str
    start: float
    length: float
    text: str
    hover: str


def _steps(found: Difference, before: str, after: str) -> list[_Bar]:
    """Return the bars from top to bottom; each part starts where the last one ended."""
    bars = [_Bar(before, "", 0.0, found.before_s, show(found.before_s, "s"), before)]
    level = found.before_s
    for part in found.parts[:MOST_PARTS]:
        hover = f"<b>{spoken(part.change.name)}</b>, {part.cause}: {signed(part.delta_s)}<br>{reason(part)}"
        name = f"{_short(part.change.name)}<br>{part.cause}"
        bars.append(_Bar(name, part.cause, level, part.delta_s, signed(part.delta_s), hover))
        level += part.delta_s
    others = found.parts[MOST_PARTS:]
    if others:
        rest = math.fsum(part.delta_s for part in others)
        bars.append(_Bar(f"{len(others)} others", "overlap", level, rest, signed(rest), f"{len(others)} smaller parts"))
    bars.append(_Bar(after, "", 0.0, found.after_s, show(found.after_s, "s"), after))
    return bars


def _short(name: str) -> str:
    return spoken(name).replace(", layers of kind ", " ")


def waterfall(found: Difference, before: Side, after: Side) -> Figure:
    """Return the waterfall from one time to the other: the largest parts by operator and cause, then all others."""
    steps = _steps(found, escape(before.label), escape(after.label))
    low, high = axis(found)
    room = 18 + 6.3 * max(len(line) for bar in steps for line in bar.label.split("<br>"))
    own = {"height": 60 + 34 * len(steps), "margin": {"l": min(room, 168), "r": 8, "t": 4, "b": 28}, "bargap": 0.28}
    colours = [before.colour, *(_CAUSE_COLOURS[bar.cause] for bar in steps[1:-1]), after.colour]
    axes = {"xaxis": _times_axis(low, high), "yaxis": _steps_axis(steps)}
    return {"data": [_fall(steps, low, colours)], "layout": theme.layout(showlegend=False, **axes, **own)}


def _fall(steps: Sequence[_Bar], low: float, colours: list[str]) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "y": list(range(len(steps))),
        # The two totals stand on the axis, wherever it begins; the parts hang between them.
        "base": [bar.start if bar.cause else low for bar in steps],
        "x": [bar.length if bar.cause else bar.length - low for bar in steps],
        "text": [bar.text for bar in steps],
        "textposition": "outside",
        "cliponaxis": False,
        "textangle": 0,
        "hovertext": [bar.hover for bar in steps],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "marker": theme.hatched(colours, [_CAUSE_PATTERNS[bar.cause] for bar in steps]),
    }


def _steps_axis(steps: Sequence[_Bar]) -> dict[str, Any]:
    places = {"tickvals": list(range(len(steps))), "ticktext": [bar.label for bar in steps], "ticks": ""}
    return _FIXED | places | {"range": [len(steps) - 0.5, -0.5], "showgrid": False}


def _times_axis(low: float, high: float) -> dict[str, Any]:
    """Five lines, every other with its time; room on the right for the text of the longest bar."""
    ticks = [low + (high - low) * share for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    texts = [show(tick, "s", 2) if index % 2 == 0 else "" for index, tick in enumerate(ticks)]
    return _FIXED | {"range": [low, high + 0.22 * (high - low)], "tickvals": ticks, "ticktext": texts}


def axis(found: Difference) -> tuple[float, float]:
    """Return the ends of the waterfall's axis [s]: from zero, or closer where the steps would be too small to see."""
    level, levels = found.before_s, [found.before_s, found.after_s]
    for part in found.parts:
        level += part.delta_s
        levels.append(level)
    low, high = min(levels), max(levels)
    zoomed = high - low < 0.3 * high and high > low
    return (low - 0.25 * (high - low) if zoomed else 0.0), high


def describe_waterfall(found: Difference, before: Side, after: Side) -> str:
    """Return in one sentence how to read the waterfall."""
    low, _ = axis(found)
    start = f" The axis starts at {show(low, 's')}, not at zero." if low else ""
    shown = min(MOST_PARTS, len(found.parts))
    return (
        f"From {before.label} to {after.label}, {signed(found.delta_s)} in {len(found.parts)} parts, the {shown} "
        f"largest one by one; all of them add up to the difference exactly.{start}"
    )


def parts_table(found: Difference) -> list[Row]:
    """Return every operator: time before and after, and the change by cause."""
    return [
        {
            "Operator": spoken(change.name),
            "Before": show(change.before.time_s, "s") if change.before else "–",
            "After": show(change.after.time_s, "s") if change.after else "–",
            "Change": signed(change.delta_s),
            **{cause: signed(v) if v else "" for cause, v in zip(CAUSES, change.causes_s, strict=True)},
            "Became": change.flip or (change.status if change.status != "changed" else ""),
        }
        for change in sorted(found.changes, key=lambda change: -abs(change.delta_s))
    ]


def parts_csv(found: Difference) -> str:
    """Return every part of a difference as CSV, in seconds."""
    return to_csv(
        {
            "operator": part.change.name,
            "cause": part.cause,
            "seconds": part.delta_s,
            "status": part.change.status,
            "reason": reason(part),
        }
        for part in found.parts
    )


def neighbours(scenario: Scenario) -> dict[str, Scenario]:
    """Return what -> scenarios that differ in one thing from this one, as far as they are possible."""
    chip = "a100-sxm-80gb" if scenario.gpu != "a100-sxm-80gb" else "h100-sxm"
    wanted: dict[str, dict[str, Any]] = {
        "Eight times the batch": {"batch": scenario.batch * 8},
        "fp8 weights" if scenario.weights != "fp8" else "bf16 weights": {
            "weights": "fp8" if scenario.weights != "fp8" else "bf16"
        },
        "Eager engine" if scenario.engine != "eager" else "Fused engine": {
            "engine": "eager" if scenario.engine != "eager" else "fused"
        },
        "On an A100" if chip == "a100-sxm-80gb" else "On an H100": {"gpu": chip, "chip": None},
    }
    found = {}
    for name, change in wanted.items():
        try:
            found[name] = cached_estimate(scenario.change(**change)).scenario
        except ValueError:
            continue
    return found
