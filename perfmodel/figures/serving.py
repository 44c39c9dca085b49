"""Figures of a load: what users see over the arrival rate, up to the rate at which requests pile up."""

from __future__ import annotations

from typing import Any

import numpy as np

from perfmodel.figures import theme
from perfmodel.serving import Load
from perfmodel.serving.words import good_rate
from perfmodel.units import MILLI, show, significant

Figure = dict[str, Any]
SHARES = ((0.5, "dot", "half"), (0.95, "solid", "95 %"), (0.99, "dash", "99 %"))
_TITLES = {"first_s": "time to first token [ms]", "token_s": "time per token [ms]"}
_COLOURS = {"first_s": theme.SERIES_COLOURS[1], "token_s": theme.SERIES_COLOURS[2]}


def over_rate(curve: Load, what: str, rate: float, limit_s: float) -> Figure:
    """Return percentiles of one time over the arrival rate, with the promise, the present rate and the capacity."""
    lines = [
        {
            "type": "scatter", "mode": "lines", "x": np.round(curve.rate, 4).tolist(),
            "y": np.round(curve.quantile(what, share) / MILLI, 4).tolist(),
            "line": {"color": _COLOURS[what], "dash": dash, "width": 2.5 if dash == "solid" else 1.5},
            "hovertemplate": "%{x:.3s} requests/s: %{y:.4s} ms<extra>" + name + "</extra>",
        }
        for share, dash, name in SHARES
    ]  # fmt: skip
    top = float(max(curve.quantile(what, 0.95)[-4], limit_s * 1.2)) / MILLI
    shapes = [
        _line(curve.capacity, curve.capacity, 0, 1, theme.WARNING, "dash", "paper"),
        _line(0.0, curve.capacity, limit_s / MILLI, limit_s / MILLI, theme.NEUTRAL, "dash", "y"),
    ]
    if rate < curve.capacity:
        shapes.append(_line(rate, rate, 0, 1, theme.NEUTRAL, "solid", "paper"))
    notes = [
        _note(curve.capacity, 1.0, f"capacity {significant(curve.capacity)}", "paper", "right"),
        _note(0.0, limit_s / MILLI, f"promise {show(limit_s, 's')}", "y", "left"),
    ]
    axis = {"automargin": False, "rangemode": "tozero"}
    layout = theme.layout(
        height=330,
        margin=theme.MARGIN | {"l": 70, "b": 48},
        xaxis=axis | {"title": {"text": "requests per second, all copies"}, "range": [0, curve.capacity * 1.03]},
        yaxis=axis | {"title": {"text": _TITLES[what]}, "range": [0, top * 1.1]},
        shapes=shapes,
        annotations=notes,
        showlegend=False,
    )
    return {"data": lines, "layout": layout}


def legend(what: str) -> list[theme.Mark]:
    """Return what the dashes mean."""
    return [theme.Mark(theme.LINE_GLYPHS[dash], _COLOURS[what], f"{name} of the requests") for _, dash, name in SHARES]


def describe(curve: Load, what: str, first_s: float, token_s: float) -> str:
    """Return in one sentence what the figure shows."""
    low, high = (float(curve.quantile(what, 0.95)[at]) for at in (0, -1))
    kept = good_rate(curve, first_s, token_s)
    promise = f"; 95 % of the requests keep both promises up to {significant(kept)} requests/s" if kept else ""
    return (
        f"The {_TITLES[what].split(' [')[0]} of 95 % of the requests grows from {show(low, 's')} to {show(high, 's')} "
        f"at 98 % of the capacity of {significant(curve.capacity)} requests/s, and without end beyond it{promise}."
    )


def _line(x0: float, x1: float, y0: float, y1: float, colour: str, dash: str, yref: str) -> dict[str, Any]:
    return {"type": "line", "xref": "x", "yref": yref, "x0": x0, "x1": x1, "y0": y0, "y1": y1,
            "line": {"color": colour, "dash": dash, "width": 1}}  # fmt: skip


def _note(x: float, y: float, text: str, yref: str, anchor: str) -> dict[str, Any]:
    return {"x": x, "xref": "x", "y": y, "yref": yref, "text": text, "showarrow": False, "xanchor": anchor,
            "yanchor": "bottom" if yref == "y" else "top", "font": {"size": 11}}  # fmt: skip
