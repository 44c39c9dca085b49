"""The regime map: two inputs, coloured by what limits a phase, with lines of equal time and the end of memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from perfmodel.diagnosis.case import BOUND, PHASES
from perfmodel.diagnosis.flips import Indices
from perfmodel.diagnosis.plane import ACROSS, UP, Grid, Plane, choices, present
from perfmodel.diagnosis.tables import NAMES
from perfmodel.figures import theme
from perfmodel.figures.picture import data_uri
from perfmodel.figures.theme import Figure, Mark
from perfmodel.report import Report
from perfmodel.scenario import Scenario
from perfmodel.step import REGIMES, Array
from perfmodel.units import show, significant

#: Ink on the map: its colours are the same on a light and on a dark page.
_INK = "#12181d"
#: How much of the regime's colour is left where it hardly leads.
_PALE = 0.42
#: Pixels of the picture of all cells: some for each, so that their edges stay sharp on a wide screen.
_COLUMNS, _ROWS = 16 * ACROSS, 10 * UP
#: How far the only cell of an axis reaches on either side of its value.
_ALONE = 1.1
#: A pale ground for words that lie on a line.
_GROUND = ", ".join(f"{x}px {y}px 2px rgba(255,255,255,0.9)" for x in (-2, 0, 2) for y in (-1, 1))
#: Share of the map that a regime must cover to be named on it, and the most lines of equal time.
_NAMED_FROM, _LINES = 0.04, 7
_OTHER_NAMES = {"tp": "Tensor parallel", "layers": "Layers", "hidden": "Width (hidden)"}
_UNITS = {"batch": "sequences", "input": "tokens", "output": "tokens", "tp": "devices"}


class Word(NamedTuple):
    """A word on the map: where, which, its size [px], weight and shadow, and on which side of its place it stands."""

    x: float
    y: float
    text: str
    size: int
    weight: int
    shadow: str
    side: str = "middle center"


def name(axis: str) -> str:
    """Return what an axis is called."""
    return NAMES.get(axis) or _OTHER_NAMES[axis]


def labels(scenario: Scenario) -> dict[str, str]:
    """Return axis -> name for those that mean something for the scenario."""
    return {axis: name(axis) for axis in choices(scenario)}


def figure(plane: Plane, report: Report) -> Figure:
    """Return the map of one phase; `report` is the scenario that is marked on it."""
    here = [present(report.scenario, axis) for axis in (plane.x_axis, plane.y_axis)]
    colours, traces = _still(plane)
    layout = theme.layout(
        xaxis=_axis(plane.x_axis, plane.fine.x, report, "x"),
        yaxis=_axis(plane.y_axis, plane.fine.y, report, "y"),
        images=[colours],
        margin={"l": 76, "r": 8, "t": 8, "b": 48},
        showlegend=False,
        hovermode="closest",
        hoverdistance=40,
        height=470,
    )
    return {"data": [*traces, _here(here)], "layout": layout}


@lru_cache(maxsize=32)
def _still(plane: Plane) -> tuple[Figure, tuple[Figure, ...]]:
    """Return what stays when the scenario moves on its plane: the coloured cells, and all traces but its mark."""
    lines, times = _lines(plane.fine)
    return _colours(plane.fine), (*_full(plane), lines, _targets(plane), _words([*times, *_names(plane.fine)]))


def _colours(grid: Grid) -> Figure:
    """Return the coloured cells as one picture: Plotly draws a heatmap anew at every change, a picture only once."""
    lead = (grid.shares.max(axis=0) - 1.0 / len(REGIMES)) / (1.0 - 1.0 / len(REGIMES))
    depth = np.clip(np.nan_to_num(lead) * _DEPTHS, 0, _DEPTHS - 1).astype(int)
    cells = np.where(grid.regime < 0, 0, 1 + grid.regime * _DEPTHS + depth).astype(np.uint8)
    x, y = _edges(grid.x), _edges(grid.y)
    pixels = cells[np.ix_(_cells(y, _ROWS)[::-1], _cells(x, _COLUMNS))]
    return {
        "source": data_uri(pixels, _PALETTE),
        "xref": "x",
        "yref": "y",
        # A picture on a logarithmic axis is placed by exponents.
        "x": x[0],
        "y": y[-1],
        "sizex": x[-1] - x[0],
        "sizey": y[-1] - y[0],
        "sizing": "stretch",
        "layer": "below",
    }


def _edges(values: Array) -> list[float]:
    """Return the edges of the cells around the values of an axis [log10]: midway, and as far beyond the outer ones."""
    log = np.log10(values)
    half = np.diff(log) / 2.0 if log.size > 1 else np.array([math.log10(_ALONE)])
    return [float(log[0] - half[0]), *(log[:-1] + half[: log.size - 1]).tolist(), float(log[-1] + half[-1])]


def _cells(edges: list[float], pixels: int) -> Indices:
    """Return which cell the middle of each pixel lies in."""
    middles = edges[0] + (np.arange(pixels) + 0.5) / pixels * (edges[-1] - edges[0])
    return np.searchsorted(edges[1:-1], middles)


def _mixed(regime: str, share: float) -> tuple[int, int, int]:
    colour = theme.REGIME_COLOURS[regime]
    red, green, blue = (round(share * int(colour[i : i + 2], 16) + (1.0 - share) * 255) for i in (1, 3, 5))
    return red, green, blue


#: Depths of a regime's colour, and the colours of the picture: those of one regime after another.
_DEPTHS = 63
_PALETTE = tuple(
    _mixed(regime, _PALE + (1.0 - _PALE) * depth / (_DEPTHS - 1)) for regime in REGIMES for depth in range(_DEPTHS)
)


def _full(plane: Plane) -> list[Figure]:
    """Return the region that does not fit into memory, veiled and hatched; its border follows the grid."""
    over = plane.fine.memory_bytes > plane.capacity
    columns = np.flatnonzero(over.any(axis=0))
    if not columns.size:
        return []
    x, y = plane.fine.x[columns], plane.fine.y
    high = y[len(y) - 1 - over[::-1, columns].argmax(axis=0)]
    first = over[:, columns].argmax(axis=0)
    low = y[first]
    inside = first > 0
    rows, need = first[inside], plane.fine.memory_bytes[:, columns[inside]]
    at = np.arange(rows.size)
    low[inside] = _between(y, rows - 1, need[rows - 1, at], need[rows, at], plane.capacity)
    pattern = {"shape": "/", "size": 9, "solidity": 0.18, "fgcolor": _INK, "bgcolor": "rgba(255,255,255,0.42)"}
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [*_short(x), *_short(x[::-1])],
            "y": [*_short(low), *_short(high[::-1])],
            "fill": "toself",
            "fillpattern": pattern | {"fillmode": "overlay"},
            "line": {"color": theme.WARNING, "width": 2},
            "hoverinfo": "skip",
        }
    ]


def _lines(grid: Grid) -> tuple[Figure, list[Word]]:
    """Return the lines of equal time as one trace, and the words at their middles."""
    time = grid.time_s
    low, high = np.nanmin(time), np.nanmax(time)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    levels = [step * 10.0**power for power in powers for step in (1.0, 3.0) if low < step * 10.0**power < high]
    levels = levels if len(levels) <= _LINES else levels[:: math.ceil(len(levels) / _LINES)]
    xs: list[float | None] = []
    ys: list[float | None] = []
    words = []
    for level in levels:
        x, y = _iso(grid, time, level)
        if x.size < 2:
            continue
        xs += [*_short(x), None]
        ys += [*_short(y), None]
        at = x.size // 2
        words.append(Word(float(x[at]), float(y[at]), show(level, "s"), 11, 400, _GROUND))
    line = {"color": _INK, "width": 1, "dash": "dot"}
    return {"type": "scatter", "mode": "lines", "x": xs, "y": ys, "line": line, "hoverinfo": "skip"}, words


def _short(values: Array) -> list[float]:
    """Return numbers as the browser needs them to draw: to a tenth of a pixel."""
    return [float(f"{value:.5g}") for value in values.tolist()]


def _iso(grid: Grid, time: Array, level: float) -> tuple[Array, Array]:
    """Return where each column first crosses a time, interpolated between its rows on logarithmic scales."""
    above = time >= level
    crosses = above[1:] != above[:-1]
    columns = np.flatnonzero(crosses.any(axis=0))
    rows = crosses[:, columns].argmax(axis=0)
    return grid.x[columns], _between(grid.y, rows, time[rows, columns], time[rows + 1, columns], level)


def _between(y: Array, rows: Indices, first: Array, second: Array, level: float) -> Array:
    """Return where a quantity passes a level between two rows, interpolated on logarithmic scales."""
    part = np.log(level / first) / np.log(second / first)
    return np.asarray(y[rows] * (y[rows + 1] / y[rows]) ** part)


def _names(grid: Grid) -> list[Word]:
    """Name every regime in the middle of its region."""
    found = []
    for index, regime in enumerate(REGIMES):
        rows, columns = np.nonzero(grid.regime == index)
        if rows.size >= _NAMED_FROM * grid.regime.size:
            # The cell of the region that is nearest to its centre: a bent region may not hold its own centre.
            near = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
            x, y = float(grid.x[columns[near]]), float(grid.y[rows[near]])
            along = float(columns[near]) / grid.x.size
            side = "middle left" if along > 0.8 else "middle right" if along < 0.2 else "middle center"
            found.append(Word(x, y, regime, 15, 700, "none", side))
    return found


def _words(words: Sequence[Word]) -> Figure:
    """Return words as one trace: annotations cost twenty times as much, each is measured and boxed at every change."""
    font = {name: [getattr(word, name) for word in words] for name in ("size", "weight", "shadow")}
    return {
        "type": "scatter",
        "mode": "text",
        "x": [word.x for word in words],
        "y": [word.y for word in words],
        "text": [word.text for word in words],
        "textposition": [word.side for word in words],
        "textfont": {"color": _INK} | font,
        "cliponaxis": False,
        "hoverinfo": "skip",
    }


def _targets(plane: Plane) -> Figure:
    """Return what the pointer finds: invisible points at round values that say what a scenario there would be."""
    grid = plane.stops
    rows, columns = np.nonzero(np.isfinite(grid.time_s))
    shares = (grid.shares[:, rows, columns] * 100.0).round(1)
    needs = _needs(plane, grid.memory_bytes[rows, columns].tolist())
    data = [
        [float(grid.x[c]), float(grid.y[r]), show(float(grid.time_s[r, c]), "s"), *shares[:, i].tolist(), text]
        for i, (r, c, text) in enumerate(zip(rows, columns, needs, strict=True))
    ]
    template = (
        f"<b>{name(plane.x_axis)} %{{customdata[0]:,.4~g}}, {name(plane.y_axis).lower()} %{{customdata[1]:,.7~g}}</b>"
        "<br>%{customdata[2]}: compute %{customdata[3]} %, memory %{customdata[4]} %,<br>"
        "network %{customdata[5]} %, overhead %{customdata[6]} %<br>%{customdata[7]}<extra></extra>"
    )
    return {
        "type": "scatter",
        "mode": "markers",
        "x": grid.x[columns].tolist(),
        "y": grid.y[rows].tolist(),
        "marker": {"size": 14, "opacity": 0, "color": _INK},
        "selected": {"marker": {"opacity": 0}},
        "unselected": {"marker": {"opacity": 0}},
        "customdata": data,
        "hovertemplate": template,
    }


def _needs(plane: Plane, needs: list[float]) -> list[str]:
    if not plane.capacity > 0:
        return [show(need, "B") for need in needs]
    has = show(plane.capacity, "B")
    return [f"{show(need, 'B')} of {has}{'' if need <= plane.capacity else ': does not fit'}" for need in needs]


def _here(here: list[float]) -> Figure:
    marker = {"symbol": "circle", "size": 15, "color": "#ffffff", "line": {"color": _INK, "width": 4}}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": here[:1],
        "y": here[1:],
        "marker": marker,
        "cliponaxis": False,
        "hoverinfo": "skip",
    }


def _axis(axis: str, values: Array, report: Report, letter: str) -> Figure:
    low, high, edges = float(values[0]), float(values[-1]), _edges(values)
    ticks = [2.0**power for power in range(math.floor(math.log2(low)), math.ceil(math.log2(high)) + 1)]
    step = max(1, round(len(ticks) / (7 if letter == "x" else 9)))
    ticks = values.tolist()[:: max(1, len(values) // 5)] if axis in ("layers", "hidden") else ticks[::step]
    if axis in REGIMES and letter == "x":
        ticks = ticks[::2]
    unit = f" [{_UNITS[axis]}]" if axis in _UNITS else ""
    title = f"{name(axis)}, × {_rate(axis, report)}" if axis in REGIMES else f"{name(axis)}{unit}"
    return {
        "type": "log",
        "title": {"text": title},
        "range": [edges[0], edges[-1]],
        "tickvals": ticks,
        "ticktext": [f"{significant(tick)}×" if axis in REGIMES else f"{tick:,.0f}" for tick in ticks],
        "tickangle": 0,
        "showgrid": False,
        "zeroline": False,
        "automargin": False,
    }


def _rate(axis: str, report: Report) -> str:
    setup = report.setup
    rates = {
        "compute": (setup.rates.flops["linear"], "FLOP/s"),
        "memory": (setup.chip.memory_bytes_per_s, "B/s"),
        "network": (setup.fabric.bytes_per_s, "B/s"),
    }
    return show(*rates[axis]) if axis in rates else "today's launches"


def legend(plane: Plane) -> list[Mark]:
    """Return what colours and marks of the map mean."""
    shown = sorted(set(plane.fine.regime.ravel().tolist()) - {-1})
    marks = [Mark("■", theme.REGIME_COLOURS[REGIMES[index]], BOUND[REGIMES[index]]) for index in shown]
    marks += [Mark("◉", theme.NEUTRAL, "this scenario"), Mark(theme.LINE_GLYPHS["dot"], theme.NEUTRAL, "equal time")]
    if (plane.fine.memory_bytes > plane.capacity).any():
        marks.append(Mark("▨", theme.WARNING, "does not fit into memory"))
    return marks


def describe(plane: Plane) -> str:
    """Return in one sentence how the map divides, and how much of it does not fit."""
    shares = [float((plane.fine.regime == index).mean()) for index in range(len(REGIMES))]
    parts = ", ".join(f"{BOUND[regime]} on {share:.0%}" for regime, share in zip(REGIMES, shares, strict=True) if share)
    over = float((plane.fine.memory_bytes > plane.capacity).mean())
    text = f"{PHASES[plane.phase].capitalize()} is {parts} of the map; deeper colour: a larger share of the time"
    return f"{text}; {over:.0%} of it does not fit into memory." if over else f"{text}."
