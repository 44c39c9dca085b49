"""Figures of the accelerator catalogue: bandwidth against peak, rooflines of several chips, one scenario's times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from perfmodel.chip_compare import ChipTimes
from perfmodel.chip_tables import COLUMNS, estimated, peak, ridge, wide_type
from perfmodel.figures.theme import MARGIN, NEUTRAL, SERIES_COLOURS, Figure, layout, legend, log_axis
from perfmodel.formulas.roofline import attainable_flops
from perfmodel.hardware import Accelerator
from perfmodel.units import count, show, significant

#: Vendors with a colour and a symbol of their own; all others share the last.
VENDORS = ("NVIDIA", "AMD", "Apple", "Google", "Intel", "AWS")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "star", "hexagon")
VENDOR_COLOURS = (*SERIES_COLOURS[:4], SERIES_COLOURS[5], "#b07aa1", NEUTRAL)
#: Lines of equal ridge [FLOP/B].
RIDGES = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
#: How to read the marks of the map.
KEY = "Dotted lines: equal ridge, in FLOP/B. Hollow marks rest on an estimate."
#: So few chips are all named in the figure.
MOST_NAMED = 14
#: Fewer powers of ten than this on an axis get company.
FEWEST_TICKS = 3
#: Names at the left of bars take at most so much of the width [px].
MOST_ROOM = 170.0
#: Room around the points, as a factor.
ROOM = 1.7


def drawable(chips: Sequence[Accelerator], width: str) -> list[Accelerator]:
    """Return the chips that have both numbers of the map."""
    return [chip for chip in chips if peak(chip, width) > 0 and chip.memory_bytes_per_s > 0]


def chip_map(chips: Sequence[Accelerator], width: str, own: Accelerator) -> Figure:
    """Draw bandwidth against peak, both logarithmic, with lines of equal ridge; the scenario's chip is ringed.

    A hollow mark rests on an estimate. `width` is "16 bit" or "8 bit".
    """
    shown = drawable(chips, width)
    if not shown:
        return {"data": [], "layout": layout(height=430)}
    x_range = _range([chip.memory_bytes_per_s for chip in shown])
    y_range = _range([peak(chip, width) for chip in shown])
    named = {chip.id for chip in shown} if len(shown) <= MOST_NAMED else set()
    vendors = [_vendor(shown, index, width, named - {own.id}) for index in range(len(VENDORS) + 1)]
    data = [*_iso_ridges(x_range, y_range), *filter(None, vendors), *_ring(own, width)]
    axes = {
        "xaxis": scale(*x_range, "B/s", "Memory bandwidth"),
        "yaxis": scale(*y_range, "FLOP/s", f"Dense peak, {width}"),
    }
    notes = [callout(own.name, own.memory_bytes_per_s, peak(own, width), -70, -50)] if drawable([own], width) else []
    return {"data": data, "layout": layout(height=460, hovermode="closest", annotations=notes, **axes, **above())}


def above(left: float = 96) -> dict[str, Any]:
    """Return the layout of a figure with its legend on top and fixed room for the texts of the axes [px]."""
    return {"legend": legend(y=1, yanchor="top"), "margin": MARGIN | {"l": left, "b": 52}}


def scale(low: float, high: float, unit: str, title: str) -> dict[str, Any]:
    """Return a logarithmic axis with a text at each power of ten, or at 1, 2 and 5 where few powers are in sight.

    An axis without a unit shows counts.

    >>> scale(2e12, 9e12, "B/s", "")["ticktext"]
    ['2 TB/s', '5 TB/s']
    """
    axis = log_axis(low, high, unit, title)
    seen = [value for value in axis["tickvals"] if low <= value <= high]
    if len(seen) < FEWEST_TICKS:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        seen = [step * 10.0**power for power in powers for step in (1, 2, 5) if low <= step * 10.0**power <= high]
    return axis | {"tickvals": seen, "ticktext": [show(value, unit) if unit else count(value) for value in seen]}


def room_for(names: Sequence[str]) -> float:
    """Return the room that names at the left of bars need [px]."""
    return min(MOST_ROOM, 16 + 6.2 * max(map(len, names), default=0))


def short(name: str) -> str:
    """Return a name without what stands in brackets.

    >>> short("B200 SXM (HGX)")
    'B200 SXM'
    """
    return name.partition(" (")[0]


def callout(text: str, x: float, y: float, right: float, down: float) -> dict[str, Any]:
    """Return a label with a thin line to a point of a figure whose axes are both logarithmic; offsets in px."""
    line = {"showarrow": True, "arrowhead": 0, "arrowwidth": 1, "arrowcolor": NEUTRAL, "standoff": 10}
    place = {"x": math.log10(x), "y": math.log10(y), "ax": right, "ay": down}
    return {"text": f"<b>{text}</b>", "font": {"size": 12}, **line, **place}


def _range(values: Sequence[float]) -> tuple[float, float]:
    return min(values) / ROOM, max(values) * ROOM


def _vendor(shown: Sequence[Accelerator], index: int, width: str, named: set[str]) -> dict[str, Any] | None:
    known = index < len(VENDORS)
    places = _label_places(shown)
    chips = [c for c in shown if (c.vendor == VENDORS[index] if known else c.vendor not in VENDORS)]
    if not chips:
        return None
    symbols = [SYMBOLS[index] + ("-open" if _guessed(chip, width) else "") for chip in chips]
    return {
        "type": "scatter",
        "name": VENDORS[index] if known else "Others",
        "mode": "markers+text" if named else "markers",
        "x": [chip.memory_bytes_per_s for chip in chips],
        "y": [peak(chip, width) for chip in chips],
        "text": [short(chip.name) if chip.id in named else "" for chip in chips],
        "textposition": [places[chip.id] for chip in chips],
        "cliponaxis": False,
        "customdata": [[chip.id] for chip in chips],
        "hovertext": [_hover(chip, width) for chip in chips],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "marker": {
            "color": VENDOR_COLOURS[index],
            "symbol": symbols,
            "size": 10,
            # A hollow mark is all outline, a filled one has none.
            "line": {
                "color": VENDOR_COLOURS[index],
                "width": [1.6 if symbol.endswith("-open") else 0 for symbol in symbols],
            },
        },
    }


def _label_places(shown: Sequence[Accelerator]) -> dict[str, str]:
    """Names of neighbours alternate above and below; at the edges they grow inwards."""
    ordered = sorted(shown, key=lambda chip: chip.memory_bytes_per_s)
    places = {}
    for index, chip in enumerate(ordered):
        side = "right" if index == 0 else "left" if index == len(ordered) - 1 else "center"
        places[chip.id] = f"{'bottom' if index % 2 else 'top'} {side}"
    return places


def _guessed(chip: Accelerator, width: str) -> bool:
    return any(estimated(chip, column) for column in COLUMNS if column.name == f"ridge {width}")


def _hover(chip: Accelerator, width: str) -> str:
    mark = "<br>≈ rests on an estimate" if _guessed(chip, width) else ""
    rate, speed = show(peak(chip, width), "FLOP/s"), show(chip.memory_bytes_per_s, "B/s")
    kind = wide_type(chip, width).upper()
    return f"<b>{chip.name}</b><br>{kind} {rate}<br>{speed}<br>ridge {significant(ridge(chip, width), 4)} FLOP/B{mark}"


def _ring(own: Accelerator, width: str) -> list[dict[str, Any]]:
    if not drawable([own], width):
        return []
    return [
        {
            "type": "scatter",
            "name": "this scenario",
            "mode": "markers",
            "x": [own.memory_bytes_per_s],
            "y": [peak(own, width)],
            "hoverinfo": "skip",
            "marker": {"symbol": "circle-open", "size": 20, "color": NEUTRAL, "line": {"width": 2.5}},
        }
    ]


def _iso_ridges(x_range: tuple[float, float], y_range: tuple[float, float]) -> list[dict[str, Any]]:
    """Lines of equal ridge through the plot, each with its value where it leaves it."""
    lines = []
    for value in RIDGES:
        low, high = max(x_range[0], y_range[0] / value), min(x_range[1], y_range[1] / value)
        if low < high:
            lines.append(
                {
                    "type": "scatter",
                    "mode": "lines+text",
                    "x": [low, high],
                    "y": [low * value, high * value],
                    "text": ["", f"{value:g}"],
                    # Beside the line: it leaves through the right edge or through the top.
                    "textposition": "top left" if high == x_range[1] else "bottom right",
                    "textfont": {"color": NEUTRAL, "size": 11},
                    "line": {"color": NEUTRAL, "width": 1, "dash": "dot"},
                    "hoverinfo": "skip",
                    "showlegend": False,
                }
            )
    return lines


def describe_chip_map(chips: Sequence[Accelerator], width: str, own: Accelerator) -> str:
    """Return in two sentences what the map shows: the span of the ridges, and where the scenario's chip stands."""
    shown = sorted(drawable(chips, width), key=lambda chip: ridge(chip, width))
    if not shown:
        return f"None of these chips has both a published bandwidth and a {width} peak."
    low, high = shown[0], shown[-1]
    text = (
        f"{len(shown)} chips by memory bandwidth and dense {width} peak; the ridge goes from "
        f"{significant(ridge(low, width))} FLOP/B ({low.name}) to {significant(ridge(high, width))} ({high.name}). "
    )
    mine = ridge(own, width)
    if not math.isfinite(mine):
        return text + f"{own.name} has no published {width} peak or bandwidth. {KEY}"
    below = sum(ridge(chip, width) < mine for chip in shown)
    return f"{text}{own.name} turns compute-bound at {significant(mine, 4)} FLOP/B, above {below} of them. {KEY}"


def rooflines(times: Sequence[ChipTimes]) -> Figure:
    """Draw the roofline of each chip in the scenario's data type, with the scenario's decode step and prefill on it."""
    drawn = [t for t in times if t.peak_flops > 0 and t.bytes_per_s > 0]
    points = [v for t in drawn for v in (t.ridge, t.decode_intensity, t.prefill_intensity) if v > 0]
    if not points:
        return {"data": [], "layout": layout(height=430)}
    x_range = min(points) / 3, max(points) * 3
    data = []
    for index, t in enumerate(times):
        if t in drawn:
            data += _roof(t, SERIES_COLOURS[index % len(SERIES_COLOURS)], x_range)
    heights = [float(attainable_flops(x_range[0], t.peak_flops, t.bytes_per_s)) for t in drawn]
    y_range = min(heights) / 1.3, max(t.peak_flops for t in drawn) * ROOM
    axes = {
        "xaxis": scale(*x_range, "FLOP/B", "Arithmetic intensity"),
        "yaxis": scale(*y_range, "FLOP/s", "Attainable rate"),
    }
    return {"data": data, "layout": layout(height=430, hovermode="closest", **axes, **above())}


def _roof(t: ChipTimes, colour: str, x_range: tuple[float, float]) -> list[dict[str, Any]]:
    xs = sorted({x_range[0], min(max(t.ridge, x_range[0]), x_range[1]), x_range[1]})
    label = f"{t.chip.name} ({t.dtype.upper()})"
    lines = {
        "type": "scatter",
        "mode": "lines",
        "name": label,
        "legendgroup": label,
        "x": xs,
        "y": [float(attainable_flops(x, t.peak_flops, t.bytes_per_s)) for x in xs],
        "line": {"color": colour, "width": 2.5, "dash": "dash" if t.estimated else "solid"},
        "hovertemplate": f"{label}<br>ridge {significant(t.ridge, 4)} FLOP/B<extra></extra>",
    }
    phases = [("decode step", t.decode_intensity, "circle"), ("prefill", t.prefill_intensity, "diamond")]
    known = [phase for phase in phases if phase[1] > 0]
    marks = {
        "type": "scatter",
        "mode": "markers",
        "name": label,
        "legendgroup": label,
        "showlegend": False,
        "x": [x for _, x, _ in known],
        "y": [float(attainable_flops(x, t.peak_flops, t.bytes_per_s)) for _, x, _ in known],
        "text": [name for name, _, _ in known],
        "marker": {"color": colour, "symbol": [symbol for _, _, symbol in known], "size": 11},
        "hovertemplate": f"{label}: %{{text}}<br>%{{x:.3s}} FLOP/B, at most %{{y:.3s}}FLOP/s<extra></extra>",
    }
    return [lines, marks]


def describe_rooflines(times: Sequence[ChipTimes]) -> str:
    """Return in three sentences where the scenario stands under each roof."""
    first = next((t for t in times if t.decode_intensity > 0), times[0])
    bound = ", ".join(
        f"{t.chip.name} {'memory' if t.decode_intensity < t.ridge else 'compute'} (ridge {significant(t.ridge)})"
        for t in times
        if t.ridge > 0 and t.decode_intensity > 0
    )
    if not bound or not first.decode_intensity > 0:
        return "The chips' peaks or bandwidths are not published, so there is no roofline to draw."
    return (
        f"The decode step (circle) does {significant(first.decode_intensity)} FLOP/B, prefill (diamond) "
        f"{significant(first.prefill_intensity)}. What limits the decode step: {bound}. "
        "Dashed roofs rest on an estimate."
    )


def time_bars(times: Sequence[ChipTimes]) -> Figure:
    """Draw time to first token and decode step on each chip; a striped bar does not fit into its memory."""
    colours = {t.chip.name: SERIES_COLOURS[i % len(SERIES_COLOURS)] for i, t in enumerate(times)}
    timed = [t for t in times if math.isfinite(t.decode_s)]
    prefill, decode = [t.prefill_s for t in timed], [t.decode_s for t in timed]
    axes = {
        "xaxis": _time_axis("Time to first token", [0.0, 0.46], prefill),
        "xaxis2": _time_axis("Decode step", [0.54, 1.0], decode),
        "yaxis": {"autorange": "reversed", "automargin": False, "ticks": ""},
    }
    margin = MARGIN | {"l": room_for([short(t.chip.name) for t in timed]), "b": 36}
    data = [_time_bar(timed, values, axis, colours) for values, axis in ((prefill, "x"), (decode, "x2"))]
    return {"data": data, "layout": layout(height=70 + 46 * len(timed), bargap=0.35, margin=margin, **axes)}


def _time_bar(
    timed: Sequence[ChipTimes], values: Sequence[float], axis: str, colours: dict[str, str]
) -> dict[str, Any]:
    stripes = ["" if t.fits else "/" for t in timed]
    return {
        "type": "bar",
        "orientation": "h",
        "x": list(values),
        "y": [short(t.chip.name) for t in timed],
        "xaxis": axis,
        "yaxis": "y",
        "text": [f" {show(v, 's')}{'' if t.fits else ', does not fit'}" for v, t in zip(values, timed, strict=True)],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {
            "color": [colours[t.chip.name] for t in timed],
            "pattern": {"shape": stripes, "size": 6, "solidity": 0.35},
        },
        "hovertemplate": "%{y}: %{text}<extra></extra>",
        "showlegend": False,
    }


def _time_axis(title: str, domain: list[float], values: Sequence[float]) -> dict[str, Any]:
    # Room at the right for the longest bar's text.
    most = max(values, default=1.0) * 1.6
    hidden = {"showticklabels": False, "showgrid": False, "zeroline": True, "automargin": False}
    return {"domain": domain, "range": [0, most], "title": {"text": title}, **hidden}
