"""Predicted against measured: published figures, or one machine's own, with corridors of 15 % and 30 %."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from perfmodel.figures.catalogue import scale
from perfmodel.figures.theme import (
    LINE_GLYPHS,
    MARGIN,
    NEUTRAL,
    REGIME_COLOURS,
    REGIME_SYMBOLS,
    SERIES_COLOURS,
    Figure,
    Mark,
    layout,
)
from perfmodel.fitting import Fitted, Roofs
from perfmodel.formulas.roofline import attainable_flops
from perfmodel.score import CLOSE, NEAR, score
from perfmodel.units import show, significant
from perfmodel.validation import SORTS, Check, error_words, percent

#: Corridors around parity, the wide one first, and how strongly they are tinted.
CORRIDORS = ((NEAR, "rgba(125,135,145,0.13)"), (CLOSE, "rgba(125,135,145,0.20)"))
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
GLYPHS = {"circle": "●", "square": "■", "diamond": "◆", "triangle-up": "▲", "cross": "✚", "star": "★", "x": "✖"}
OTHERS = "others"
#: Room around the points, as a factor.
ROOM = 1.8

Style = tuple[str, str]


def styles(names: Sequence[str]) -> dict[str, Style]:
    """Return colour and symbol by name: regimes have their own, the first six others one each, the rest share one."""
    if set(names) <= set(REGIME_COLOURS):
        return {name: (REGIME_COLOURS[name], REGIME_SYMBOLS[name]) for name in names}
    pairs = list(zip(SERIES_COLOURS, SYMBOLS, strict=True))
    return {name: pairs[index] if index < len(pairs) else (NEUTRAL, "circle") for index, name in enumerate(names)}


def marks(names: Sequence[str]) -> tuple[Mark, ...]:
    """Return the legend of a figure told apart by these names."""
    found = styles(names)
    own = [Mark(GLYPHS[symbol], colour, name) for name, (colour, symbol) in found.items() if colour != NEUTRAL]
    return (*own, Mark("●", NEUTRAL, OTHERS)) if len(own) < len(names) else tuple(own)


def figure(found: Sequence[Check], by: str, names: Sequence[str], near: Sequence[Check], picked: str) -> Figure:
    """Draw measured against predicted on logarithmic axes; rows like the scenario are ringed, the picked one twice."""
    if not found:
        return {"data": [], "layout": layout(height=480)}
    look = styles(names)
    values = [value for check in found for value in (check.row.value, check.predicted)]
    ends = (min(values) / ROOM, max(values) * ROOM)
    rings = [_rings([check for check in found if check in near], 15, 1.6)]
    rings += [_rings([check for check in found if check.row.id == picked], 20, 3.0)]
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": [check.row.value for check in found],
        "y": [check.predicted for check in found],
        "customdata": [[check.row.id] for check in found],
        "hovertext": [_hover(check) for check in found],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "marker": {
            "color": [look[getattr(check, SORTS[by])][0] for check in found],
            "symbol": [look[getattr(check, SORTS[by])][1] for check in found],
            "size": 8,
            "opacity": 0.85,
        },
        "showlegend": False,
    }
    return {"data": [*corridors(ends), *filter(None, rings), points], "layout": axes(ends, found[0].row.unit)}


def corridors(ends: tuple[float, float]) -> list[dict[str, Any]]:
    """Return the line of parity and the corridors around it, over a range of both axes."""
    low, high = ends
    quiet = {"type": "scatter", "hoverinfo": "skip", "showlegend": False}
    bands = [
        quiet
        | {
            "x": [low, high, high, low],
            "y": [low * factor, high * factor, high / factor, low / factor],
            "fill": "toself",
            "fillcolor": colour,
            "mode": "lines",
            "line": {"width": 0},
        }
        for factor, colour in CORRIDORS
    ]
    return [*bands, quiet | {"x": [low, high], "y": [low, high], "mode": "lines", "line": {"color": NEUTRAL}}]


def axes(ends: tuple[float, float], unit: str) -> dict[str, Any]:
    """Return the layout: the same logarithmic range on both axes."""
    names = {
        "xaxis": scale(*ends, unit, "Measured"),
        "yaxis": scale(*ends, unit, "Predicted"),
    }
    return layout(height=480, hovermode="closest", margin=MARGIN | {"l": 84, "b": 52}, **names)


def _rings(found: Sequence[Check], size: int, width: float) -> dict[str, Any] | None:
    if not found:
        return None
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [check.row.value for check in found],
        "y": [check.predicted for check in found],
        "hoverinfo": "skip",
        "showlegend": False,
        "marker": {"symbol": "circle-open", "size": size, "color": NEUTRAL, "line": {"width": width}},
    }


def _hover(check: Check) -> str:
    row = check.row
    return (
        f"<b>{check.model}</b> · {row.what}<br>{check.chip} · {check.engine}<br>measured {show(row.value, row.unit)}, "
        f"predicted {show(check.predicted, row.unit)}<br>{error_words(check.error)} · {check.regime}<br>"
        f"{row.source.title}, {row.source.date}"
    )


def describe(found: Sequence[Check]) -> str:
    """Return in two sentences what the figure shows: how many figures, how near, and the worst of them."""
    if not found:
        return "No published figure is of this kind."
    one, worst = score(check.error for check in found), max(found, key=lambda check: abs(check.error))
    return (
        f"{one.rows} published figures against our predictions; the bands are 15 % and 30 %, and "
        f"{percent(one.within_30)} of the points lie in them. The farthest is {worst.model} on "
        f"{worst.chip} ({worst.row.what}): {error_words(worst.error)}. Ringed: the figures nearest to your scenario."
    )


def fitted(measured: Sequence[float], before: Sequence[float], after: Sequence[float], names: Sequence[str]) -> Figure:
    """Draw one machine's measurements against the model before (hollow) and after the fit (filled)."""
    values = [value for value in (*measured, *before, *after) if math.isfinite(value) and value > 0]
    ends = (min(values) / ROOM, max(values) * ROOM)
    hollow = {"symbol": "circle-open", "size": 8, "color": NEUTRAL, "line": {"width": 1.5}}
    filled = {"symbol": "circle", "size": 8, "color": REGIME_COLOURS["memory"]}
    series = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": list(measured),
            "y": list(y),
            "hovertext": [f"<b>{n}</b><br>measured {show(m, 's')}, {when} {show(p, 's')}" for n, m, p in
                          zip(names, measured, y, strict=True)],
            "hovertemplate": "%{hovertext}<extra></extra>",
            "marker": marker,
            "showlegend": False,
        }
        for y, when, marker in ((before, "before the fit", hollow), (after, "fitted", filled))
    ]  # fmt: skip
    return {"data": [*corridors(ends), *series], "layout": axes(ends, "s")}


def roofline(roofs: Roofs) -> Figure:
    """Draw the roofline of the data sheet (dashed) and the one that the machine reached."""
    ridge = roofs.peak / roofs.bandwidth
    x = [ridge / 100.0, ridge, ridge * roofs.reached_peak / roofs.peak * roofs.bandwidth / roofs.reached_bandwidth]
    x = sorted([*x, max(x) * 20.0])
    lines = (
        ("data sheet", NEUTRAL, "dash", roofs.peak, roofs.bandwidth),
        ("your machine", REGIME_COLOURS["memory"], "solid", roofs.reached_peak, roofs.reached_bandwidth),
    )
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": x,
            "y": [float(attainable_flops(value, peak, bandwidth)) for value in x],
            "line": {"color": colour, "dash": dash, "width": 2.5},
            "hovertemplate": f"{name}<br>%{{x:.3s}} FLOP/B<br>%{{y:.3s}}FLOP/s<extra></extra>",
            "showlegend": False,
        }
        for name, colour, dash, peak, bandwidth in lines
    ]
    heights = [value for line in data for value in line["y"]]
    return {
        "data": data,
        "layout": layout(
            height=340,
            margin=MARGIN | {"l": 96, "b": 52},
            xaxis=_plain_texts(scale(x[0], x[-1], "FLOP/B", "Arithmetic intensity [FLOP/B]")),
            yaxis=scale(min(heights) / 1.3, max(heights) * ROOM, "FLOP/s", "Attainable rate"),
        ),
    }


def _plain_texts(axis: dict[str, Any]) -> dict[str, Any]:
    """Return a logarithmic axis whose texts leave the unit to the title: with it they overlap on a phone."""
    return axis | {"ticktext": [significant(value) for value in axis["tickvals"]], "tickangle": 0}


def describe_roofline(roofs: Roofs) -> str:
    """Return in one sentence what the machine reaches of its data sheet."""
    return (
        f"{roofs.chip}, {roofs.dtype}: {show(roofs.reached_bandwidth, 'B/s')} of {show(roofs.bandwidth, 'B/s')} "
        f"({percent(roofs.reached_bandwidth / roofs.bandwidth)}) and {show(roofs.reached_peak, 'FLOP/s')} of "
        f"{show(roofs.peak, 'FLOP/s')} ({percent(roofs.reached_peak / roofs.peak)}) are reached."
    )


def describe_fitted(found: Fitted) -> str:
    """Return in one sentence how near the fit is."""
    after = found.scores[1]
    return (
        f"{after.rows} measured times against the model, before the fit (hollow) and after it (filled); the bands are "
        f"15 % and 30 %, and {percent(after.within_15)} of the fitted points lie within the narrow one."
    )


#: The legend of `roofline`.
ROOFLINE_MARKS = (
    Mark(LINE_GLYPHS["dash"], NEUTRAL, "data sheet"),
    Mark(LINE_GLYPHS["solid"], REGIME_COLOURS["memory"], "your machine"),
)
#: The legend of `fitted`.
FITTED_MARKS = (Mark("○", NEUTRAL, "before the fit"), Mark("●", REGIME_COLOURS["memory"], "fitted to your machine"))
