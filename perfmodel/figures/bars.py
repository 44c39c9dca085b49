"""A few named quantities of one unit as horizontal bars."""

from __future__ import annotations

import math
from collections.abc import Mapping

from perfmodel.figures import theme
from perfmodel.figures.theme import Figure
from perfmodel.units import show

#: Bars that differ by more than this factor are drawn on a logarithmic axis.
_LOG_FROM = 50.0


def figure(rows: Mapping[str, float], unit: str = "") -> Figure:
    """Return one bar per row in the order given, each with its value; far-apart values on a logarithmic axis."""
    names, values = list(rows)[::-1], [float(value) for value in rows.values()][::-1]
    positive = [value for value in values if value > 0]
    wide = len(positive) == len(values) and max(positive) / min(positive) > _LOG_FROM
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": names,
        "x": values,
        "text": [show(value, unit) for value in values],
        "textposition": "outside",
        "cliponaxis": False,
        "hoverinfo": "skip",
        "marker": {"color": [theme.SERIES_COLOURS[i % len(theme.SERIES_COLOURS)] for i in range(len(names))][::-1]},
    }
    if wide:
        low, high = math.log10(min(positive)), math.log10(max(positive))
        axis: Figure = {"type": "log", "range": [low - 0.5, high + 0.35 * (high - low)]}
    else:
        axis = {"range": [0, 1.3 * max((*values, 0.0)) or 1.0]}
    axis |= {"visible": False, "fixedrange": True}
    own = {"margin": theme.MARGIN | {"l": 8 + 7 * max(map(_width, names)), "r": 24}, "showlegend": False}
    rows_axis = {"fixedrange": True, "showgrid": False, "ticks": "", "automargin": False}
    return {
        "data": [bars],
        "layout": theme.layout(xaxis=axis, yaxis=rows_axis, height=44 * len(names) + 24, bargap=0.35, **own),
    }


def describe(rows: Mapping[str, float], unit: str = "") -> str:
    """Return the rows as one sentence."""
    return "; ".join(f"{name}: {show(value, unit)}" for name, value in rows.items()) + "."


def _width(text: str) -> int:
    # A Chinese character is twice as wide as a Latin letter.
    return sum(2 if ord(character) > 0x2E80 else 1 for character in text)
