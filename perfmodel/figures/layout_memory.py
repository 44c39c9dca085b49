"""Memory of layouts one can see: what fills a device in each, and the largest batch over devices."""

from __future__ import annotations

import math
from typing import Any

from perfmodel.figures import theme
from perfmodel.figures.memory import PARTS
from perfmodel.figures.parallelism import bars, short
from perfmodel.figures.theme import Figure
from perfmodel.layout_room import COUNTS, Room
from perfmodel.layouts import Layout
from perfmodel.units import GIGA, show

_DASHES = ("solid", "dash", "dot", "dashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up")


def memory_bars(found: tuple[Layout, ...], capacity: float) -> Figure:
    """Return what fills one device in each layout, stacked by kind, with the capacity as a line."""
    names = [short(one) for one in found]
    data = []
    for index, (_, name, colour, shape) in enumerate(PARTS):
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "x": [one.memory_parts[index] / GIGA for one in found],
                "y": names,
                "name": name,
                "marker": theme.hatched(colour, shape),
                "hovertemplate": "%{y}: %{x:.3s} GB<extra>" + name + "</extra>",
            }
        )
    layout = bars("on each device [GB]", names)
    if capacity > 0:
        edge = max(capacity, *(one.memory_bytes for one in found)) * 1.04 / GIGA
        end = {"type": "line", "x0": capacity / GIGA, "x1": capacity / GIGA, "yref": "paper", "y0": 0, "y1": 1}
        layout["shapes"] = [end | {"line": {"color": theme.WARNING, "width": 3}}]
        layout["xaxis"] |= {"range": [0, edge]}
    return {"data": data, "layout": layout}


def describe_memory(found: tuple[Layout, ...], capacity: float) -> str:
    """Return in one sentence what the memory bars show."""
    if not found:
        return "No layout can be laid out, so there is nothing to draw."
    least = min(found, key=lambda one: one.memory_bytes)
    parts = ", ".join(
        f"{show(part, 'B')} {name if field == 'cache' else name.lower()}"
        for (field, name, _, _), part in zip(PARTS, least.memory_parts, strict=True)
    )
    beyond = sum(one.memory_bytes > capacity for one in found) if capacity > 0 else 0
    limit = f"the line is the {show(capacity, 'B')} of a device" if capacity > 0 else "its capacity is not published"
    over = f"; {beyond} of these {len(found)} go beyond it" if beyond else ""
    return f"{least.label} needs least of each device, {show(least.memory_bytes, 'B')}: {parts}; {limit}{over}."


def room_chart(found: tuple[Room, ...], batch: int) -> Figure:
    """Return the largest batch over the number of devices, one line for each weight type, beside the batch at hand."""
    data = []
    for index, one in enumerate(found):
        points = [row for row in zip(one.devices, one.batch, one.layouts, strict=True) if row[1]]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": [n for n, _, _ in points],
                "y": [most for _, most, _ in points],
                "customdata": [label for _, _, label in points],
                "name": one.weights,
                "line": {"color": theme.SERIES_COLOURS[index], "dash": _DASHES[index], "width": 2.5},
                "marker": {"size": 9, "symbol": _SYMBOLS[index]},
                "hovertemplate": "%{x} devices: %{y:,} sequences<br>%{customdata}<extra>" + one.weights + "</extra>",
            }
        )
    here: dict[str, Any] = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": batch, "y1": batch}
    note = {"xref": "paper", "x": 1, "xanchor": "right", "yref": "y", "y": math.log10(batch), "yanchor": "bottom"}
    layout = theme.layout(
        margin=theme.MARGIN | {"l": 64, "b": 48},
        xaxis={
            "type": "log",
            "title": {"text": "devices"},
            "tickvals": list(COUNTS),
            "ticktext": [str(n) for n in COUNTS],
            "range": [math.log10(COUNTS[0]) - 0.06, math.log10(COUNTS[-1]) + 0.06],
        },
        yaxis={"type": "log", "title": {"text": "largest batch [sequences]"}, "exponentformat": "SI", "dtick": 1},
        shapes=[here | {"line": {"color": theme.NEUTRAL, "width": 1, "dash": "dot"}}],
        annotations=[note | {"text": f"batch {batch:,}", "showarrow": False, "font": {"size": 11}}],
    )
    return {"data": data, "layout": layout}


def describe_room(found: tuple[Room, ...], batch: int) -> str:
    """Return in one sentence from how many devices on the scenario's batch fits."""
    least = [(one.weights, one.least(batch)) for one in found]
    texts = [
        f"{weights} from {n} {'device' if n == 1 else 'devices'} on" if n else f"{weights} on none of these counts"
        for weights, n in least
    ]
    return f"Batch {batch:,} fits with {', '.join(texts)}; twice the devices hold at least twice the sequences."
