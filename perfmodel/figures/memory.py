"""Figures of device memory: what fills it, and the map of what fits."""

from __future__ import annotations

from typing import Any

import numpy as np

from perfmodel.breakdown import FitMap, limits
from perfmodel.figures import theme
from perfmodel.figures.kv import CACHE_COLOUR
from perfmodel.figures.theme import Figure
from perfmodel.memory import Memory
from perfmodel.units import show

#: Parts of device memory in the order in which they are stacked: field, name, colour, hatch.
PARTS = (
    ("weights", "Weights", theme.SERIES_COLOURS[2], ""),
    ("cache", "KV cache", CACHE_COLOUR, "/"),
    ("activations", "Activations", theme.SERIES_COLOURS[1], "x"),
    ("reserve", "Runtime", theme.SERIES_COLOURS[4], "."),
)
#: Empty to full: the memory blue, from faint to solid, on a light and on a dark page alike.
_SCALE = [[0.0, "rgba(47,127,193,0.06)"], [0.5, "rgba(47,127,193,0.38)"], [1.0, "rgba(47,127,193,0.95)"]]


def stack_figure(memory: Memory) -> Figure:
    """Return what fills one device, as one stacked bar with the capacity as a line."""
    data = []
    for field, name, colour, shape in PARTS:
        value = getattr(memory, field)
        marker = theme.hatched(colour, shape)
        bar = {"type": "bar", "orientation": "h", "y": [""], "x": [value], "name": f"{name} {show(value, 'B')}"}
        data.append(bar | {"marker": marker, "hovertemplate": f"{name}: {show(value, 'B')}<extra></extra>"})
    edge = 1.03 * np.nanmax([memory.total, memory.capacity])
    xaxis = {
        "range": [0, float(edge)],
        "tickformat": "~s",
        "ticksuffix": "B",
        "nticks": 6,
        "fixedrange": True,
        "automargin": False,
    }
    yaxis = {"showticklabels": False, "showgrid": False, "fixedrange": True, "automargin": False}
    shapes, notes = _capacity(memory)
    # Below: the ticks and one row of the legend, which would else push the plot up and draw it twice.
    return {
        "data": data,
        "layout": _layout(
            xaxis, yaxis, {"l": 16, "t": 24, "b": 62}, barmode="stack", bargap=0.15, shapes=shapes, annotations=notes
        ),
    }


def describe_stack(memory: Memory) -> str:
    """Return in one sentence what `stack_figure` shows."""
    whole = memory.capacity if memory.capacity > 0 else memory.total
    parts = ", ".join(
        f"{name if field == 'cache' else name.lower()} {show(getattr(memory, field) / whole, '%')}"
        for field, name, _, _ in PARTS
    )
    known = f"its {show(memory.capacity, 'B')}" if memory.capacity > 0 else "what it needs (its size is not published)"
    return f"Of each device, as shares of {known}: {parts}; together {show(memory.total / whole, '%')}."


def _capacity(memory: Memory) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    if not memory.capacity > 0:
        return [], []
    end = {"type": "line", "x0": memory.capacity, "x1": memory.capacity, "yref": "paper", "y0": 0, "y1": 1}
    shapes = [end | {"line": {"color": theme.WARNING, "width": 3}}]
    spare = memory.capacity - memory.total
    word = f"{show(spare, 'B')} free" if memory.fits else f"{show(-spare, 'B')} too much"
    text = f"device: {show(memory.capacity, 'B')}, {word}"
    side = "right" if memory.fits or memory.capacity > 0.5 * memory.total else "left"
    place = {"yref": "paper", "y": 1, "yanchor": "bottom", "xanchor": side, "showarrow": False}
    return shapes, [place | {"x": memory.capacity, "text": text, "font": {"color": theme.WARNING}}]


def fit_figure(found: FitMap, memory: Memory) -> Figure:
    """Return memory over capacity on the batch x context plane; what does not fit is hatched grey."""
    used = found.used.round(4).tolist()
    heat = {
        "type": "heatmap",
        "x": found.context.tolist(),
        "y": found.batch.tolist(),
        "z": [[value if value <= 1.0 else None for value in row] for row in used],
        "zmin": 0,
        "zmax": 1,
        "colorscale": _SCALE,
        "colorbar": {"title": {"text": "memory used", "side": "right"}, "tickformat": ".0%", "thickness": 10},
        "hovertemplate": "%{y:,.0f} sequences × %{x:,.0f} tokens: %{z:.0%} of the memory<extra></extra>",
        "hoverongaps": False,
    }
    marker = {"color": "#ffffff", "size": 14, "symbol": "diamond", "line": {"color": "#14171b", "width": 2.5}}
    here = {"type": "scatter", "mode": "markers", "x": [memory.context], "y": [memory.batch], "marker": marker}
    words = f"now: {memory.batch:,.0f} sequences × {memory.context:,.0f} tokens<extra></extra>"
    xaxis = _log("context per sequence [tokens]", found.context)
    yaxis = _log("batch [sequences]", found.batch)
    data = [heat, *_outside(found), here | {"name": "now", "hovertemplate": words}]
    return {"data": data, "layout": _layout(xaxis, yaxis, {"l": 56, "b": 50}, showlegend=False)}


def describe_fit(memory: Memory) -> str:
    """Return in one sentence what `fit_figure` shows."""
    if memory.capacity > 0 and not memory.largest_batch:
        return "Nothing on this map fits: not even one sequence of this length does."
    batch, context = limits(memory)
    return (
        f"Blue fits, hatched grey does not, the diamond is this scenario. At {memory.context:,.0f} tokens per sequence "
        f"the largest batch is {batch}; at batch {memory.batch:,.0f} the longest context is {context}."
    )


def _outside(found: FitMap) -> list[dict[str, Any]]:
    # Everything above the edge of what fits; where not even one sequence does, all of the map.
    low, top = float(found.batch[0]), float(found.batch[-1])
    edge = np.clip(found.largest, low / 1.5, 1.5 * top)
    x = np.concatenate((found.context, found.context[::-1]))
    y = np.concatenate((edge, np.full_like(edge, 1.5 * top)))
    pattern = {"shape": "/", "size": 7, "solidity": 0.2, "fgcolor": theme.NEUTRAL, "bgcolor": "rgba(128,128,128,0.16)"}
    area = {"type": "scatter", "mode": "lines", "x": x.tolist(), "y": y.tolist(), "fill": "toself"}
    border = {"type": "scatter", "mode": "lines", "x": found.context.tolist(), "y": edge.tolist(), "hoverinfo": "skip"}
    return [
        area | {"fillpattern": pattern, "line": {"width": 0}, "name": "does not fit", "hoverinfo": "skip"},
        border | {"line": {"color": theme.WARNING, "width": 1.5}, "name": "edge"},
    ]


def _log(title: str, values: Any) -> dict[str, Any]:
    # A little below the first value: the mark of a batch of one stands clear of the axis.
    low, high = float(np.log10(values[0])) - 0.08, float(np.log10(values[-1]))
    ticks = [4**power for power in range(16) if low <= np.log10(4**power) <= high]
    axis = {"type": "log", "title": {"text": title}, "range": [low, high], "showgrid": False, "automargin": False}
    return axis | {"tickvals": ticks, "ticktext": [_binary(tick) for tick in ticks]}


def _binary(value: int) -> str:
    # Lengths go by powers of two: 4k is 4096 here.
    return str(value) if value < 1024 else f"{value // 1024}k" if value < 1024**2 else f"{value // 1024**2}M"


def _layout(xaxis: dict[str, Any], yaxis: dict[str, Any], margin: dict[str, int], **own: Any) -> dict[str, Any]:
    return theme.layout(xaxis=xaxis, yaxis=yaxis, margin=theme.MARGIN | margin, **own)
