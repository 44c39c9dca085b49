"""The roofline: every operator of prefill and decode under the datasheet's roof and under the achieved one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perfmodel.figures import theme
from perfmodel.figures.theme import Figure
from perfmodel.formulas.roofline import attainable_flops, ridge_intensity
from perfmodel.report import Report
from perfmodel.step import Step, TimedOp
from perfmodel.units import show

#: Symbol of a phase; colour says the operator group, size the share of the phase's time.
SYMBOLS = {"prefill": "diamond", "decode": "circle"}
GLYPHS = {"prefill": "◆", "decode": "●"}
#: What the page may show: the phases behind each choice.
PHASES = {"both": ("prefill", "decode"), "prefill": ("prefill",), "decode": ("decode",)}
#: Diameter of a point without time and of one that takes all of it [px].
_SMALLEST, _LARGEST = 6.0, 30.0
#: How the two kinds of roof are drawn.
ROOFS = {"datasheet": "solid", "achieved": "dot"}
_DASHES = ("solid", "dashdot", "longdash")


@dataclass(frozen=True, slots=True)
class Roof:
    """One roof: the data type, its peak [FLOP/s], the bandwidth [B/s], and whether an engine achieves it."""

    dtype: str
    peak: float
    bandwidth: float
    achieved: bool

    @property
    def ridge(self) -> float:
        """Intensity at which the roof turns flat [FLOP/B]."""
        return float(ridge_intensity(self.peak, self.bandwidth))


@dataclass(frozen=True, slots=True)
class Point:
    """One operator of one phase on the roofline."""

    phase: str
    timed: TimedOp
    share: float

    @property
    def key(self) -> str:
        """Name of the point in a link: "decode.lm_head"."""
        return f"{self.phase}.{self.timed.op.name}"

    @property
    def rate(self) -> float:
        """Achieved rate [FLOP/s]."""
        return self.timed.flops / self.timed.time_s


def roofs(report: Report) -> tuple[Roof, ...]:
    """Return the roofs of the data types this run multiplies in: the datasheet's, then what the engine achieves."""
    setup = report.setup
    rates, engine, bandwidth = setup.rates, setup.engine, setup.chip.memory_bytes_per_s
    peaks = {rates.linear: rates.flops["linear"], rates.wide: rates.flops["wide"]}
    found = [Roof(dtype, peak, bandwidth, False) for dtype, peak in peaks.items()]
    for dtype, unit in ((rates.linear, "linear"), (rates.wide, "wide")):
        reached = engine.kernel_class(unit)
        found.append(Roof(dtype, peaks[dtype] * reached.efficiency, bandwidth * reached.memory_efficiency, True))
    return tuple(dict.fromkeys(found))


def points(report: Report, phases: Sequence[str] = ("prefill", "decode")) -> tuple[Point, ...]:
    """Return the operators that compute and move bytes, largest first; gathers and collectives have no place here."""
    steps: dict[str, Step] = {"prefill": report.prefill, "decode": report.decode}
    found = [
        Point(phase, timed, timed.time_s / float(steps[phase].time_s))
        for phase in phases
        for timed in steps[phase].timed
    ]
    placed = (p for p in found if p.timed.flops > 0 and p.timed.moved_bytes > 0 and p.timed.time_s > 0)
    return tuple(sorted(placed, key=lambda point: -point.share))


def figure(report: Report, phases: Sequence[str] = ("prefill", "decode"), chosen: str = "") -> Figure:
    """Return the roofline of a report; `chosen` is the key of the point to ring."""
    shown, lines = points(report, phases), roofs(report)
    x = _range([p.timed.intensity for p in shown], [roof.ridge for roof in lines], 0.3, 8.0)
    rates = [p.rate for p in shown]
    y = _range(rates, [roof.peak for roof in lines], 0.4, 3.0)
    data = [*(_roof(roof, x, index) for index, roof in enumerate(lines)), _points(shown)]
    if ring := next((p for p in shown if p.key == chosen), None):
        data.append(_ring(ring))
    layout = theme.layout(
        xaxis=theme.log_axis(*x, "", "Arithmetic intensity [FLOP/B]"),
        yaxis=theme.log_axis(*y, "FLOP/s", "Achieved rate per device"),
        annotations=_labels(lines),
        margin={"l": 96, "r": 8, "t": 8, "b": 48},
        showlegend=False,
        hovermode="closest",
        height=430,
    )
    return {"data": data, "layout": layout}


def legend(report: Report, phases: Sequence[str] = ("prefill", "decode")) -> list[theme.Mark]:
    """Return what the colours, symbols and lines mean. Plotly's own legend costs as much time as the whole figure."""
    groups = dict.fromkeys(p.timed.op.group for p in points(report, phases))
    marks = [theme.Mark("⬤", theme.GROUP_COLOURS[group], theme.GROUP_WORDS[group]) for group in groups]
    marks += [theme.Mark(GLYPHS[phase], theme.NEUTRAL, phase) for phase in phases]
    return [*marks, *(theme.Mark(theme.LINE_GLYPHS[dash], theme.NEUTRAL, name) for name, dash in ROOFS.items())]


def describe(report: Report, phases: Sequence[str] = ("prefill", "decode")) -> str:
    """Return in one sentence what the roofline shows."""
    roof, shown = roofs(report)[0], points(report, phases)
    parts = []
    for phase in phases:
        mine = [p for p in shown if p.phase == phase]
        right = sum(p.timed.intensity >= roof.ridge for p in mine)
        largest = mine[0].timed
        parts.append(
            f"in {phase} {right} of {len(mine)} operators lie right of the ridge, the largest is {largest.op.name} "
            f"at {show(largest.intensity)} FLOP/B and {show(mine[0].rate, 'FLOP/s')}"
        )
    return f"{report.setup.chip.name}: {roof.dtype} ridge at {show(roof.ridge)} FLOP/B; {'; '.join(parts)}."


def _range(values: Sequence[float], marks: Sequence[float], below: float, above: float) -> tuple[float, float]:
    found = [value for value in (*values, *marks) if value > 0 and math.isfinite(value)]
    # Whole powers of ten at the lower end keep the axis still while a slider moves.
    return 10.0 ** math.floor(math.log10(min(found) * below)), max(found) * above


def _roof(roof: Roof, x: tuple[float, float], index: int) -> Figure:
    ends = np.array([x[0], roof.ridge, max(x[1], roof.ridge)])
    rate = attainable_flops(ends, roof.peak, roof.bandwidth)
    kind = "achieved" if roof.achieved else "datasheet"
    line = {
        "color": theme.NEUTRAL,
        "width": 1.5 if roof.achieved else 2.5,
        "dash": ROOFS["achieved"] if roof.achieved else _DASHES[index % 3],
    }
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"{roof.dtype} {kind}",
        "x": ends.tolist(),
        "y": np.asarray(rate).tolist(),
        "line": line,
        "hoverinfo": "skip",
    }


def _labels(lines: Sequence[Roof]) -> list[Figure]:
    """Name the roofs where there is room: above the flat part, in the corner that no operator reaches."""
    found = [(roof, f"{roof.dtype} ridge {show(roof.ridge)} FLOP/B") for roof in lines if not roof.achieved]
    base = {
        "showarrow": False,
        "xanchor": "right",
        "yanchor": "bottom",
        "yshift": 2,
        "xshift": -4,
        "font": {"size": 12},
    }
    return [base | {"x": math.log10(roof.ridge), "y": math.log10(roof.peak), "text": text} for roof, text in found]


def _points(shown: Sequence[Point]) -> Figure:
    """Return all operators in one trace, the small ones on top: a trace per group takes a third longer to draw."""
    sizes = [_SMALLEST + (_LARGEST - _SMALLEST) * math.sqrt(min(1.0, p.share)) for p in shown]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [p.timed.intensity for p in shown],
        "y": [p.rate for p in shown],
        "marker": {
            "color": [theme.GROUP_COLOURS[p.timed.op.group] for p in shown],
            "size": sizes,
            "symbol": [SYMBOLS[p.phase] for p in shown],
            "opacity": 0.9,
            "line": {"width": 1, "color": "rgba(125,135,145,0.9)"},
        },
        "customdata": [[p.key] for p in shown],
        "hovertext": [hover(p) for p in shown],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def hover(point: Point) -> str:
    """Return what a point says of itself."""
    timed = point.timed
    lines = (
        f"<b>{timed.op.name}</b>, {point.phase}",
        f"{show(timed.time_s, 's')} = {point.share:.1%} of the pass, {timed.bound}-bound",
        f"{show(timed.flops, 'FLOP')} over {show(timed.moved_bytes, 'B')} = {show(timed.intensity)} FLOP/B",
        f"{show(point.rate, 'FLOP/s')} achieved",
    )
    return "<br>".join(lines)


def _ring(point: Point) -> Figure:
    size = _SMALLEST + (_LARGEST - _SMALLEST) * math.sqrt(min(1.0, point.share)) + 9
    marker = {
        "symbol": "circle-open",
        "size": size,
        "color": theme.WARNING,
        "line": {"width": 2.5, "color": theme.WARNING},
    }
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [point.timed.intensity],
        "y": [point.rate],
        "marker": marker,
        "hoverinfo": "skip",
    }
