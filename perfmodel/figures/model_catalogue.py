"""Figures of the model catalogue: size against active size or cache, the layers of one model, parameters by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perfmodel.blocks import parameters
from perfmodel.catalogue_tables import Row
from perfmodel.dimensions import Dimensions
from perfmodel.figures.catalogue import above, callout, room_for, scale, short
from perfmodel.figures.theme import GROUP_COLOURS, NEUTRAL, SERIES_COLOURS, Figure, layout
from perfmodel.model import Model
from perfmodel.model_tables import families, layer_names, parts, pattern_text
from perfmodel.ops import Group
from perfmodel.units import GIGA, count, show, significant

#: Families with a colour of their own: those with most models; the others share the neutral one.
FAMILY_COLOURS = (*SERIES_COLOURS, "#b07aa1", "#8a5a3c")
SYMBOLS = {"MHA": "square", "GQA": "circle", "MQA": "triangle-up", "MLA": "diamond", "hybrid": "star"}
#: What stands over the parameters: column of the table, its unit in SI, title of the axis, unit shown.
MEASURES = {
    "kv": ("KV, B/token", 1.0, "KV cache per token, bf16", "B"),
    "active": ("Active, B", GIGA, "Active parameters", ""),
}
#: Room around the points, as a factor.
ROOM = 1.7
_FFN, _ATTENTION, _STATE = GROUP_COLOURS[Group.FFN], GROUP_COLOURS[Group.ATTENTION], GROUP_COLOURS[Group.STATE]
#: Kind of layer -> colour, pattern.
LAYER_MARKS = {
    "attention": (_ATTENTION, ""),
    "window": (_ATTENTION, "/"),
    "Mamba-1": (_STATE, ""),
    "Mamba-2": (_STATE, ""),
    "DeltaNet": (_STATE, "\\"),
    "dense FFN": (_FFN, ""),
    "experts": (_FFN, "x"),
}
PART_MARKS = {
    "Embedding": (GROUP_COLOURS[Group.EMBEDDING], ""),
    "Attention": (_ATTENTION, ""),
    "State space and attention": (_STATE, ""),
    "Feed-forward, active": (_FFN, ""),
    "Feed-forward, idle experts": (_FFN, "/"),
    "Norms": (GROUP_COLOURS[Group.NORMS], ""),
    "LM head": (GROUP_COLOURS[Group.HEAD], ""),
}


def measured(row: Row, measure: str) -> float:
    """Return what stands over a model's parameters: cache per token [B] or active parameters."""
    column, unit, _, _ = MEASURES[measure]
    return float(row[column]) * unit


def _size(row: Row) -> float:
    return float(row["Parameters, B"]) * GIGA


def model_map(rows: Sequence[Row], measure: str, own: Row) -> Figure:
    """Draw rows of the catalogue by parameters and cache per token ("kv") or active parameters ("active").

    Both axes are logarithmic; the colour is the family, the symbol the kind of attention; the scenario's is ringed.
    """
    shown = [row for row in rows if measured(row, measure) > 0]
    if not shown:
        return {"data": [], "layout": layout(height=430)}
    coloured = families()[: len(FAMILY_COLOURS)]
    data = []
    for index, name in enumerate((*coloured, "")):
        members = [row for row in shown if (row["Family"] == name if name else row["Family"] not in coloured)]
        colour = FAMILY_COLOURS[index] if name else NEUTRAL
        data += [_points(name or "other families", colour, members, measure)] if members else []
    x, y = _size(own), measured(own, measure)
    ringed = [*shown, own] if y > 0 else shown
    title, unit = MEASURES[measure][2:]
    axes = {
        "xaxis": _axis([_size(row) for row in ringed], "Parameters", ""),
        "yaxis": _axis([measured(row, measure) for row in ringed], title, unit),
    }
    notes = [callout(own["Model"], x, y, -60, 80 if measure == "kv" else -60)] if y > 0 else []
    both = [*data, *_ring(x, y)]
    return {"data": both, "layout": layout(height=460, hovermode="closest", annotations=notes, **axes, **above(72))}


def _axis(values: Sequence[float], title: str, unit: str) -> dict[str, Any]:
    return scale(min(values) / ROOM, max(values) * ROOM, unit, title)


def _points(name: str, colour: str, rows: Sequence[Row], measure: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "name": name,
        "mode": "markers",
        "x": [_size(row) for row in rows],
        "y": [measured(row, measure) for row in rows],
        "customdata": [[row["id"]] for row in rows],
        "hovertext": [_hover(row) for row in rows],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "marker": {
            "color": colour,
            "symbol": [SYMBOLS[row["Kind"]] for row in rows],
            "size": 10,
            "line": {"width": 0},
        },
    }


def _hover(row: Row) -> str:
    size, used = _size(row), measured(row, "active")
    active = f", {count(used)} active" if used < size else ""
    cache = show(measured(row, "kv"), "B")
    return f"<b>{row['Model']}</b><br>{count(size)} parameters{active}<br>{cache} of KV a token<br>{row['Attention']}"


def _ring(x: float, y: float) -> list[dict[str, Any]]:
    if not y > 0:
        return []
    return [
        {
            "type": "scatter",
            "name": "this scenario",
            "mode": "markers",
            "x": [x],
            "y": [y],
            "hoverinfo": "skip",
            "marker": {"symbol": "circle-open", "size": 20, "color": NEUTRAL, "line": {"width": 2.5}},
        }
    ]


def describe_model_map(rows: Sequence[Row], measure: str, own: Row) -> str:
    """Return in three sentences what the map shows and where the scenario's model stands."""
    shown = sorted((row for row in rows if measured(row, measure) > 0), key=lambda row: measured(row, measure))
    if not shown:
        return "None of these models has anything to draw."
    unit = MEASURES[measure][3]
    low, high, mine = (_text(measured(row, measure), unit) for row in (shown[0], shown[-1], own))
    what = "a token's KV cache takes" if measure == "kv" else "a token passes"
    return (
        f"{len(shown)} models by parameters; {what} from {low} ({shown[0]['Model']}) to {high} ({shown[-1]['Model']}). "
        f"{own['Model']}: {count(_size(own))} parameters, {mine}. Symbols: square MHA, circle GQA, "
        "triangle MQA, diamond MLA, star hybrid."
    )


def _text(value: float, unit: str) -> str:
    return show(value, unit) if unit else f"{count(value)} active"


def layer_strip(d: Dimensions) -> Figure:
    """Draw every layer as a cell in two rows: what it does along the sequence, and per token."""
    layers = layer_names(d)
    data = []
    for row, base in ((0, 1.15), (1, 0.0)):
        names = [layer[row] for layer in layers]
        for name in dict.fromkeys(names):
            if name in LAYER_MARKS:
                places = [index for index, own in enumerate(names, start=1) if own == name]
                data.append(_cells(name, places, base))
    x_axis = {"range": [0.3, d.layers + 0.7], "showgrid": False, "zeroline": False, "automargin": False}
    x_axis["title"] = {"text": "Layer"}
    y_axis = {
        "range": [-0.1, 2.25],
        "tickvals": [0.5, 1.65],
        "ticktext": ["per token", "sequence"],
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
        "automargin": False,
    }
    own = {"barmode": "overlay", "bargap": 0.12, "xaxis": x_axis, "yaxis": y_axis}
    return {"data": data, "layout": layout(height=180, **above(76), **own)}


def _cells(name: str, places: Sequence[int], base: float) -> dict[str, Any]:
    colour, shape = LAYER_MARKS[name]
    return {
        "type": "bar",
        "name": name,
        "x": list(places),
        "y": [1.0] * len(places),
        "base": [base] * len(places),
        # Said aloud: Plotly would make a bar as wide as the distance to its own next one.
        "width": 0.88,
        "marker": {"color": colour, "pattern": {"shape": shape, "size": 5, "solidity": 0.35}, "line": {"width": 0}},
        "hovertemplate": f"layer %{{x}}: {name}<extra></extra>",
    }


def describe_layer_strip(model: Model) -> str:
    """Return the layers of a model in one sentence."""
    return f"{model.name}: {pattern_text(model.dimensions)}."


def part_bars(models: Sequence[Model]) -> Figure:
    """Draw the parameters of each model by part, one bar a model; parts that a token does not use are striped."""
    names = [short(model.name) for model in models]
    shares = [dict(parts(model.dimensions)) for model in models]
    data = [_part(name, names, [own.get(name, 0) for own in shares]) for name in PART_MARKS]
    most = max(parameters(model.dimensions).total for model in models)
    steps = [most * part / 4 for part in range(5)]
    x_axis: dict[str, Any] = {
        "title": {"text": "Parameters"},
        "tickvals": steps,
        "ticktext": [count(step) for step in steps],
    }
    y_axis = {"autorange": "reversed", "automargin": False, "ticks": ""}
    x_axis = x_axis | {"zeroline": False, "automargin": False, "range": [0, most * 1.04]}
    own = {"barmode": "stack", "bargap": 0.3, "xaxis": x_axis, "yaxis": y_axis}
    return {
        "data": [trace for trace in data if any(trace["x"])],
        "layout": layout(height=120 + 44 * len(models), **above(room_for(names)), **own),
    }


def _part(name: str, models: Sequence[str], sizes: Sequence[int]) -> dict[str, Any]:
    colour, shape = PART_MARKS[name]
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "x": list(sizes),
        "y": list(models),
        "text": [count(size) for size in sizes],
        "textposition": "none",
        "marker": {"color": colour, "pattern": {"shape": shape, "size": 6, "solidity": 0.35}, "line": {"width": 0}},
        "hovertemplate": f"%{{y}}<br>{name}: %{{text}}<extra></extra>",
    }


def describe_part_bars(models: Sequence[Model]) -> str:
    """Return the largest part of each model with its share."""
    said = []
    for model in models:
        name, size = max(parts(model.dimensions), key=lambda part: part[1])
        total = parameters(model.dimensions).total
        said.append(f"{model.name} {count(total)}, of which {significant(100 * size / total)} % {name.lower()}")
    return "; ".join(said) + "."
