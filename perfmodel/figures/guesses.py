"""What many people predicted: numbers as a histogram, choices as bars, with the truth marked once it may be seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from perfmodel.figures import theme
from perfmodel.figures.theme import Figure
from perfmodel.step import Array
from perfmodel.units import show

_GUESS, _TRUTH = theme.SERIES_COLOURS[2], theme.SERIES_COLOURS[0]
_BINS = 12
#: Guesses that differ by more than this factor stand on a logarithmic axis.
_LOG_FROM = 8.0
#: So far from the middle a guess counts in the outermost bar: one wild guess does not squeeze the others.
_FAR = 1000.0
_LABEL_CHARS = 46
_QUIET: Figure = {"fixedrange": True, "showgrid": False, "zeroline": False, "automargin": False}


@dataclass(frozen=True)
class Truth:
    """The right number, what is written at its line, and the share by which a guess may be off."""

    value: float
    text: str
    within: float


@dataclass(frozen=True)
class _Scale:
    """What the axis shows: its ends as places on it, which are powers of ten where it is logarithmic."""

    log: bool
    low: float
    high: float

    def place(self, value: float) -> float:
        """Return where a number stands; beyond the ends it stands at them."""
        return min(max(_place(value, self.log), self.low), self.high)

    def text(self, place: float, unit: str) -> str:
        """Return what a place is called."""
        return show(10.0**place if self.log else place, unit)

    @property
    def wide(self) -> tuple[float, float]:
        """The ends with some air, more than nothing where all numbers are the same."""
        air = (self.high - self.low) / 20 or (0.5 if self.log else abs(self.low) / 2 or 1.0)
        return self.low - air, self.high + air


def numbers(guesses: Sequence[float], unit: str = "", truth: Truth | None = None) -> Figure:
    """Return the histogram of at least one number, on a logarithmic axis where they lie far apart."""
    values = np.asarray(guesses, dtype=float)
    centre = truth.value if truth else float(np.median(values))
    marks = [truth.value * (1 + side * truth.within) for side in (-1, 1)] if truth else []
    scale = _scale(np.array([*values, *marks, centre]), centre)
    counts, edges = np.histogram([scale.place(value) for value in values.tolist()], _BINS, scale.wide)
    shown = [scale.text(edge, unit) for edge in edges.tolist()]
    bars = {
        "type": "bar",
        "x": ((edges[:-1] + edges[1:]) / 2).tolist(),
        "y": counts.tolist(),
        "width": float(edges[1] - edges[0]) * 0.94,
        "customdata": [f"{a} – {b}" for a, b in pairwise(shown)],
        "hovertemplate": "%{customdata}: %{y}<extra></extra>",
        "marker": {"color": _GUESS},
    }
    ticks = _ticks(*scale.wide, scale.log)
    axis = {"range": list(scale.wide), "tickvals": ticks, "ticktext": [scale.text(at, unit) for at in ticks]}
    own = _truth(truth, [_place(mark, scale.log) for mark in marks], scale) if truth else {}
    return {"data": [bars], "layout": _layout(int(counts.max()), xaxis=axis | _QUIET, **own)}


def _scale(seen: Array, centre: float) -> _Scale:
    """Return the axis on which all numbers can be seen that are not absurdly far from the centre."""
    positive = seen[seen > 0]
    log = bool(centre > 0 and positive.max() / positive.min() > _LOG_FROM)
    if log:
        low, high = max(positive.min(), centre / _FAR), min(positive.max(), centre * _FAR)
    else:
        reach = _LOG_FROM * abs(centre) or math.inf
        low, high = max(seen.min(), centre - reach), min(seen.max(), centre + reach)
    return _Scale(log, _place(float(low), log), _place(float(high), log))


def _place(value: float, log: bool) -> float:
    if not log:
        return value
    return math.log10(value) if value > 0 else -math.inf


def _layout(most: int, **own: object) -> Figure:
    step = max(1, round(most / 4))
    count_axis = {"range": [0, most * 1.08 or 1], "dtick": step, "fixedrange": True, "automargin": False}
    margin = theme.MARGIN | {"l": 32, "b": 28, "t": 28}
    return theme.layout(yaxis=count_axis, height=260, margin=margin, showlegend=False) | own


def _truth(truth: Truth, marks: Sequence[float], scale: _Scale) -> Figure:
    at, quarter = _place(truth.value, scale.log), (scale.high - scale.low) / 4
    whole = {"yref": "paper", "y0": 0, "y1": 1, "layer": "above"}
    band = {"type": "rect", "x0": marks[0], "x1": marks[1], "fillcolor": _TRUTH, "opacity": 0.18, "line": {"width": 0}}
    line = {"type": "line", "x0": at, "x1": at, "line": {"color": _TRUTH, "width": 2}}
    note = {"x": at, "y": 1, "yref": "paper", "yanchor": "bottom", "text": truth.text, "showarrow": False}
    note["xanchor"] = "left" if at < scale.low + quarter else "right" if at > scale.high - quarter else "center"
    return {"shapes": [band | whole, line | whole], "annotations": [note | {"font": {"color": _TRUTH}}]}


def _ticks(low: float, high: float, log: bool) -> list[float]:
    if log and high - low > 1.5:
        step = float(max(1, round((high - low) / 5)))
    elif log:
        digits = (1, 2, 5) if high - low > 0.9 else (1, 1.5, 2, 3, 5, 7)
        decades = range(math.floor(low), math.ceil(high))
        ticks = (decade + math.log10(digit) for decade in decades for digit in digits)
        return [tick for tick in ticks if low < tick < high]
    else:
        rough = (high - low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = power * next(nice for nice in (1, 2, 5, 10) if nice * power >= rough)
    first = math.ceil(low / step)
    return [step * index for index in range(first, math.floor(high / step) + 1)]


def choices(counts: Sequence[tuple[str, int]], right: int | None = None) -> Figure:
    """Return one bar per choice with its count; the choice of index `right` is marked as the right one."""
    rows = len(counts)
    places = list(range(rows))[::-1]
    many = [count for _, count in counts]
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": places,
        "x": many,
        "width": 0.42,
        "text": [str(count) for count in many],
        "textposition": "outside",
        "cliponaxis": False,
        "customdata": [label for label, _ in counts],
        "hovertemplate": "%{customdata}: %{x}<extra></extra>",
        "marker": {"color": [_TRUTH if index == right else _GUESS for index in range(rows)]},
    }
    labels = [
        {
            "x": 0,
            "y": place + 0.26,
            "xanchor": "left",
            "yanchor": "bottom",
            "showarrow": False,
            "text": ("✓ " if index == right else "") + _short(label),
        }
        for index, ((label, _), place) in enumerate(zip(counts, places, strict=True))
    ]
    axis = {"visible": False, "fixedrange": True, "range": [0, max((*many, 1)) * 1.12]}
    rows_axis = {"visible": False, "fixedrange": True, "range": [-0.4, rows - 0.3]}
    own = {"annotations": labels, "showlegend": False, "height": 52 * rows + 24}
    return {"data": [bars], "layout": theme.layout(xaxis=axis, yaxis=rows_axis, **own)}


def _short(label: str) -> str:
    # A Chinese character is twice as wide as a Latin letter.
    width = 0
    for index, character in enumerate(label):
        width += 2 if ord(character) > 0x2E80 else 1
        if width > _LABEL_CHARS:
            return f"{label[:index]}…"
    return label
