"""Figures of the KV cache: against context and batch, by kind of attention, by data type."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from perfmodel.breakdown import CacheCurve, Variant, limits
from perfmodel.figures import theme
from perfmodel.figures.theme import Figure
from perfmodel.memory import Memory
from perfmodel.ops import Group
from perfmodel.units import show, significant

#: The cache has the colour of the operators that read it.
CACHE_COLOUR = theme.GROUP_COLOURS[Group.ATTENTION]
_COLOURS = (CACHE_COLOUR, theme.SERIES_COLOURS[2], theme.SERIES_COLOURS[1])
_DASHES = ("solid", "dash", "dot")


def curve_figure(curve: CacheCurve) -> Figure:
    """Return the cache of one device against context or batch, the memory left for it and the present point."""
    data = []
    for index, (name, y) in enumerate(curve.lines.items()):
        line = {"color": _COLOURS[index], "dash": _DASHES[index], "width": 3 if index == 0 else 2}
        trace = {"type": "scatter", "mode": "lines", "x": curve.x.tolist(), "y": y.tolist(), "name": name, "line": line}
        data.append(trace | {"hovertemplate": f"%{{x:,.0f}} {curve.axis}: %{{y:.3s}}B<extra>{name}</extra>"})
    here = f"now: {curve.now:,.0f} {curve.axis}, {show(curve.held, 'B')}"
    marker = {"color": theme.NEUTRAL, "size": 11, "symbol": "diamond"}
    point = {"type": "scatter", "mode": "markers", "x": [curve.now], "y": [curve.held], "name": here, "marker": marker}
    data.append(point | {"hovertemplate": f"{here}<extra></extra>"})
    shapes, notes = _levels(curve)
    xaxis = {"type": "log", "title": {"text": curve.title}, "tickformat": "~s", "dtick": 1}
    lines = curve.lines.values()
    low, high = min(float(y[0]) for y in lines), max(float(y[-1]) for y in lines)
    yaxis = theme.log_axis(max(low, 1e-9), 2.0 * max(high, curve.capacity or 0.0), "B", "cache on one device")
    return {"data": data, "layout": _layout(xaxis, yaxis, 72, shapes=shapes, annotations=notes)}


def describe_curve(curve: CacheCurve) -> str:
    """Return in one sentence what `curve_figure` shows."""
    ends = ", ".join(f"{name.lower()} {show(float(y[-1]), 'B')}" for name, y in curve.lines.items())
    room = f"; {show(curve.room, 'B')} of its memory are left for it" if curve.room > 0 else ""
    return (
        f"At {curve.now:,.0f} {curve.axis} each device holds {show(curve.held, 'B')} of cache{room}; "
        f"at {curve.x[-1]:,.0f} {curve.axis}: {ends}."
    )


def variants_figure(variants: Sequence[Variant]) -> Figure:
    """Return the cache of the batch by kind of attention, as bars with bytes per token and factor."""
    words = [
        show(v.bytes_per_token, "B/token") + (f", {significant(v.factor)}× less" if v.factor > 1.0 else "")
        for v in variants
    ]
    rows = {v.name + ("<br>(this model)" if v.own else ""): v.cache_bytes for v in variants}
    return _bars(rows, words, [v.own for v in variants], "cache of the whole batch [B]", 1.9)


def describe_variants(variants: Sequence[Variant]) -> str:
    """Return in one sentence what `variants_figure` shows."""
    parts = [f"{v.name} {show(v.bytes_per_token, 'B/token')}{' (this model)' if v.own else ''}" for v in variants]
    return f"The same model with other attention: {'; '.join(parts)}."


def precision_figure(found: Mapping[str, Memory], chosen: str) -> Figure:
    """Return the cache of one device by KV data type, with the largest batch that it allows."""
    words = [f"{show(memory.cache, 'B')}, {limit_sentence(memory)}" for memory in found.values()]
    rows = {name + ("<br>(chosen)" if name == chosen else ""): memory.cache for name, memory in found.items()}
    return _bars(rows, words, [name == chosen for name in found], "cache on one device [B]", 1.9)


def describe_precision(found: Mapping[str, Memory]) -> str:
    """Return in one sentence what `precision_figure` shows."""
    parts = [
        f"{name} {show(m.cache, 'B')}, largest batch {limits(m)[0]}, longest context {limits(m)[1]}"
        for name, m in found.items()
    ]
    return f"Cache per device by data type: {'; '.join(parts)}."


def limit_sentence(memory: Memory) -> str:
    """Return the largest batch as it stands beside a bar."""
    batch = limits(memory)[0]
    return {"none": "does not fit", "unknown": "memory size unknown", "not limited by memory": "any batch"}.get(
        batch, f"batch ≤ {batch}"
    )


def _bars(rows: Mapping[str, float], words: list[str], own: list[bool], title: str, room: float) -> Figure:
    bar = {
        "type": "bar",
        "orientation": "h",
        "y": list(rows),
        "x": list(rows.values()),
        "text": words,
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {
            "color": [CACHE_COLOUR if mine else theme.NEUTRAL for mine in own],
            "opacity": [1.0 if mine else 0.45 for mine in own],
        },
        "hovertemplate": "%{y}: %{x:.4s}B<extra></extra>",
    }
    most = max(rows.values())
    xaxis = {"range": [0, room * most], "tickformat": "~s", "title": {"text": title}, "nticks": 5}
    names = {"categoryorder": "array", "categoryarray": list(rows)[::-1], "showgrid": False}
    return {"data": [bar], "layout": _layout(xaxis, names | {"fixedrange": True}, 112, bargap=0.35, showlegend=False)}


def _levels(curve: CacheCurve) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rows = [(curve.capacity, f"memory of the device: {show(curve.capacity, 'B')}", "solid", "bottom")]
    if 0 < curve.room < curve.capacity:
        rows.append((curve.room, f"left for the cache: {show(curve.room, 'B')}", "dash", "top"))
    known = [row for row in rows if row[0] > 0]
    shapes = [
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": _limit_line(dash)}
        for y, _, dash, _ in known
    ]
    place = {"xref": "paper", "x": 0.01, "xanchor": "left", "showarrow": False, "font": {"color": theme.WARNING}}
    # An annotation on a logarithmic axis is placed by its exponent.
    notes = [place | {"y": math.log10(y), "text": text, "yanchor": anchor} for y, text, _, anchor in known]
    return shapes, notes


def _limit_line(dash: str) -> dict[str, Any]:
    return {"color": theme.WARNING, "width": 1.5, "dash": dash}


def _layout(xaxis: dict[str, Any], yaxis: dict[str, Any], left: int, **own: Any) -> dict[str, Any]:
    # Margins by hand: automatic ones make the browser draw everything twice. A legend on top pushes only the top.
    fixed, legend = {"automargin": False}, theme.legend(yref="paper", y=1.02, yanchor="bottom")
    return theme.layout(
        xaxis=xaxis | fixed, yaxis=yaxis | fixed, margin=theme.MARGIN | {"l": left, "b": 50}, legend=legend, **own
    )
