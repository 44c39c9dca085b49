"""Layouts one can see: time and volume of each, speed-up over devices, Pope's curves, devices with their links."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import combinations, pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from perfmodel.collectives import MESHES, TORI, Collectives
from perfmodel.estimate import setup
from perfmodel.explain import Card, worked
from perfmodel.figures import theme
from perfmodel.formulas import layouts as formula
from perfmodel.hardware import LINKS
from perfmodel.layout_curves import GATHERED, ONE_D, TWO_D, PopeCurves, Scaling, link_rate
from perfmodel.layouts import Layout, inner_width
from perfmodel.scenario import Scenario
from perfmodel.step import REGIMES
from perfmodel.units import GIGA, MEGA, MILLI, count, show, significant

Figure = dict[str, Any]
Point = tuple[float, float]

#: What is sent, told apart by pattern; all of it is network, so all of it is green.
KINDS = {
    "all_reduce": ("all-reduce", ""),
    "all_gather": ("all-gather", "."),
    "reduce_scatter": ("reduce-scatter", "+"),
    "all_to_all": ("all-to-all", "x"),
    "send": ("sends to a neighbour", "/"),
}
SYMBOLS = ("circle", "square", "diamond", "hexagon", "triangle-up", "pentagon", "star", "cross")
#: Devices drawn one by one; larger layouts show their first ones.
MOST_DRAWN = 64
#: Entries of the topology's legend.
MOST_GROUPS = 6
_POPE = {ONE_D: ("#d1495b", "solid"), TWO_D: ("#5b6fb5", "dash"), GATHERED: (theme.REGIME_COLOURS["network"], "solid")}


def short(one: Layout) -> str:
    """Return the layout where room is short: "tp8 dp2"."""
    sizes = [f"{key}{getattr(one, key)}" for key in ("tp", "pp", "dp", "cp", "ep", "mb") if getattr(one, key) > 1]
    options = {"sp": one.sp, "adp": one.adp, one.spread: one.spread != "1d", "kv/b": one.kv_split != "heads"}
    return " ".join((*sizes, *(text for text, holds in options.items() if holds))) or "1"


def time_bars(found: tuple[Layout, ...]) -> Figure:
    """Return the decode step of each layout as a bar, links in green; the best on top."""
    names = [short(one) for one in found]
    data = [
        _bar([one.parts_s[index] / MILLI for one in found], names, name, theme.regime_marker(name), "%{x:.3s} ms")
        for index, name in enumerate(REGIMES)
    ]
    return {"data": data, "layout": bars("decode step [ms]", names)}


def describe_time(found: tuple[Layout, ...]) -> str:
    """Return in one sentence what the time bars show."""
    if not found:
        return "No layout holds, so there is nothing to draw."
    quick = min(found, key=lambda one: one.step_s)
    busy = max(found, key=lambda one: one.parts_s[2] / one.step_s)
    text = f"Of these {len(found)} layouts {quick.label} has the shortest decode step, {show(quick.step_s, 's')}"
    share = busy.parts_s[2] / busy.step_s
    return f"{text}; links (green) take most in {busy.label}, {share:.0%} of the step."


def volume_bars(found: tuple[Layout, ...]) -> Figure:
    """Return what one device sends in a decode step, by kind of collective, for each layout."""
    names = [short(one) for one in found]
    data = []
    for kind, (text, pattern) in KINDS.items():
        values = [dict(one.sent_bytes).get(kind, 0.0) / MEGA for one in found]
        marker = theme.regime_marker("network")
        marker["pattern"] = marker["pattern"] | {"shape": pattern}
        if any(values):
            data.append(_bar(values, names, text, marker, "%{x:.3s} MB"))
    return {"data": data, "layout": bars("sent by one device in a decode step [MB]", names)}


def describe_volume(found: tuple[Layout, ...]) -> str:
    """Return in one sentence what the volume bars show."""
    sums = {one: sum(size for _, size in one.sent_bytes) for one in found}
    if not any(sums.values()):
        return "None of these layouts sends anything: every device works on its own."
    most, least = max(sums, key=sums.__getitem__), min(sums, key=sums.__getitem__)
    return (
        f"A device of {most.label} sends {show(sums[most], 'B')} in each decode step, one of {least.label} "
        f"{show(sums[least], 'B')}; small volumes still pay the start-up of every collective."
    )


def speedup_chart(curve: Scaling) -> Figure:
    """Return the speed-up over the devices of a tensor-parallel group beside the ideal line."""
    x, colour = curve.devices.tolist(), theme.REGIME_COLOURS["network"]
    custom = np.stack([curve.step_s / MILLI, 100 * curve.network_share, curve.memory_bytes / GIGA]).T.tolist()
    hover = "%{x} devices: %{y:.2f}×, %{customdata[0]:.3s} ms, links %{customdata[1]:.0f} %, %{customdata[2]:.3s} GB"
    marker = {"size": 9, "symbol": ["circle" if fits else "x" for fits in curve.fits.tolist()]}
    data = [
        _line(x, x, "ideal", theme.NEUTRAL, "dash"),
        _line(x, curve.speedup.tolist(), "speed-up (× does not fit)", theme.REGIME_COLOURS["memory"], "solid")
        | {"mode": "lines+markers", "marker": marker, "customdata": custom, "hovertemplate": hover + "<extra></extra>"},
        _line(x, (100 * curve.network_share).tolist(), "share of the links [%]", colour, "dot")
        | {"yaxis": "y2", "hovertemplate": "%{x} devices: links %{y:.0f} %<extra></extra>"},
    ]
    ticks = {"tickvals": x, "ticktext": [f"{value:.0f}" for value in x]}
    axis = {"type": "log", "title": {"text": "devices of the tensor-parallel group"}} | ticks
    right = {"overlaying": "y", "side": "right", "range": [0, 100], "showgrid": False, "title": {"text": "links [%]"}}
    right |= {"tickmode": "array", "tickvals": [0, 25, 50, 75, 100]}
    up = {"type": "log", "title": {"text": f"speed-up of {curve.phase}"}, **ticks}
    return {"data": data, "layout": theme.layout(xaxis=axis, yaxis=up, yaxis2=right)}


def describe_scaling(curve: Scaling) -> str:
    """Return in one sentence how far the group scales."""
    best = int(np.argmax(curve.speedup))
    top, gain, share = curve.devices[best], curve.speedup[best], curve.network_share[best]
    fits = curve.devices[curve.fits]
    least = f"; from {fits[0]:.0f} on it fits" if fits.size else "; it fits none of these groups"
    return (
        f"The {curve.phase} pass is fastest on {top:.0f} devices, {significant(float(gain))}× one, where links take "
        f"{share:.0%}; up to {curve.worthwhile} devices at least half of their time pays{least}."
    )


def pope_chart(curves: PopeCurves) -> Figure:
    """Return communication time per layer of Pope's layouts with their crossings and the scenario's own passes."""
    x = curves.x.tolist()
    data = []
    for name, times in curves.times_s.items():
        colour, dash = _POPE.get(name, (theme.NEUTRAL, "dot"))
        wide = 3.0 if name == GATHERED else 2.0 if name in _POPE else 1.0
        line = _line(x, (times / MILLI).tolist(), name, colour, dash, wide)
        data.append(line | {"hovertemplate": "%{x:,.0f}: %{y:.3s} ms<extra>" + name + "</extra>"})
    marks = [(c.at, f"{c.after.split(',')[0]} from {significant(c.at)}", theme.WARNING) for c in curves.crossings]
    marks += [(place, label, theme.NEUTRAL) for label, place in curves.here]
    low, high = min(x), max(x)
    shown = sorted(mark for mark in marks if low <= mark[0] <= high)
    notes = [
        _label(at, text, 1.0 - 0.07 * index, at > math.sqrt(low * high)) for index, (at, text, _) in enumerate(shown)
    ]
    title = {"tokens": "tokens of the pass", "devices": "devices"}[curves.axis]
    axis = {"type": "log", "title": {"text": f"{title} ({curves.fixed})"}, "exponentformat": "SI", "dtick": 1}
    up = {"type": "log", "title": {"text": "links, per layer [ms]"}, "exponentformat": "none", "dtick": 1}
    lines = [_vertical(at, colour) for at, _, colour in shown]
    return {"data": data, "layout": theme.layout(xaxis=axis, yaxis=up, shapes=lines, annotations=notes)}


def describe_pope(curves: PopeCurves) -> str:
    """Return in one sentence which of Pope's layouts sends least where."""
    unit = {"tokens": "tokens in the pass", "devices": "devices"}[curves.axis]
    where = "; ".join(f"{one.before} up to {count(one.at)} {unit}, {one.after} beyond" for one in curves.crossings)
    least = min(_POPE, key=lambda name: float(curves.times_s[name][-1]))
    return f"With {curves.fixed} over {curves.link}, the layout that sends least is {where or f'always {least}'}."


def _several(number: int, word: str) -> str:
    return f"{number:,} {word}" + ("s" if number != 1 else "")


class Place(NamedTuple):
    """One device on the drawing: its ranks and where it stands."""

    device: int
    tensor: int
    stage: int
    replica: int
    x: float
    y: float


def topology(scenario: Scenario, layout: Layout) -> Figure:
    """Return the devices with their links: one colour for each replica, one symbol for each pipeline stage."""
    fabric = setup(scenario).fabric
    places, hubs, islands = _placed(fabric, layout)
    green = theme.REGIME_COLOURS["network"]
    data = [_edges(list(_wires(fabric, places, hubs)), green, "solid", _link_name(fabric))]
    if len(hubs) > 1 and fabric.network is not None:
        data.append(_edges(list(_trunk(hubs)), green, "dash", _link_name(fabric.network)))
    groups: dict[tuple[int, int], list[Place]] = {}
    for place in places:
        groups.setdefault((place.replica, place.stage), []).append(place)
    data += [_group(key, members, index < MOST_GROUPS) for index, (key, members) in enumerate(groups.items())]
    return {"data": data, "layout": theme.layout(xaxis=_bare(), yaxis=_bare(), shapes=islands, hovermode="closest")}


def describe_topology(scenario: Scenario, layout: Layout) -> str:
    """Return in one sentence what the drawing shows."""
    fabric = setup(scenario).fabric
    drawn = f", the first {MOST_DRAWN} drawn" if layout.n > MOST_DRAWN else ""
    spans = fabric.island > 0 and layout.tp > fabric.island
    beyond = f"; its tensor groups reach beyond the {fabric.island} devices of one island" if spans else ""
    return (
        f"{layout.label} on {_several(layout.n, 'device')}{drawn}: {_several(layout.dp, 'replica')} (colours) of "
        f"{_several(layout.pp, 'stage')} (symbols) of {_several(layout.tp, 'device')} that share every layer over "
        f"{_link_name(fabric)}{beyond}."
    )


def cards(scenario: Scenario, devices: int) -> tuple[Card, ...]:
    """Return the formulas of the page, evaluated on the scenario's prompt and link for a number of devices."""
    resolved = setup(scenario)
    d, size = scenario.resolved_model.dimensions, resolved.precision.activation_bytes
    E, F, n = float(d.hidden), inner_width(d), float(devices)
    M, link = float(scenario.batch * scenario.input), float(link_rate(resolved, devices))
    sent: dict[str, float] = {"value_bytes": size, "bytes_per_s": link}
    best = float(np.clip(formula.best_gathered(M, F, n), 1.0, n))
    reductions = 1.0 if d.parallel_block else 2.0
    return (
        worked(formula.weight_stationary_1d_time, "Prefill layer, 1D weight-stationary", tokens=M, hidden=E, **sent),
        worked(formula.weight_stationary_2d_time, "The same, 2D", tokens=M, hidden=E, ffn=F, devices=n, **sent),
        worked(
            formula.weight_gathered_time,
            "The same, weights gathered",
            tokens=M,
            hidden=E,
            ffn=F,
            devices=n,
            gathered=best,
            **sent,
        ),
        worked(formula.devices_for_2d, "Devices from which 2D sends less than 1D", hidden=E, ffn=F),
        worked(formula.tokens_for_gathered, "Tokens from which gathering sends less than 2D", hidden=E),
        worked(
            formula.megatron_volume,
            f"Sent by a device in a prefill layer, tensor group of {devices}",
            tokens=M,
            hidden=E,
            value_bytes=size,
            ranks=n,
            reductions=reductions,
        ),
        worked(formula.pipeline_bubble, f"Idle share of {devices} stages with one batch", stages=n, micro_batches=1.0),
    )


def _bar(x: list[float], y: list[str], name: str, marker: dict[str, Any], value: str) -> dict[str, Any]:
    hover = "%{y}: " + value + "<extra>" + name + "</extra>"
    return {"type": "bar", "orientation": "h", "x": x, "y": y, "name": name, "marker": marker, "hovertemplate": hover}


def bars(title: str, names: list[str]) -> dict[str, Any]:
    """Return the layout of stacked bars with these names, the first on top."""
    # Room for the longest name: automatic margins draw everything twice.
    left = 20 + 7 * max((len(name) for name in names), default=0)
    return theme.layout(
        barmode="stack",
        margin=theme.MARGIN | {"l": left, "b": 48},
        xaxis={"title": {"text": title}, "rangemode": "tozero"},
        yaxis={"type": "category", "autorange": "reversed", "automargin": False},
    )


def _line(x: Any, y: Any, name: str, colour: str, dash: str, width: float = 2.0) -> dict[str, Any]:
    line = {"color": colour, "dash": dash, "width": width}
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": name, "line": line}


def _vertical(x: float, colour: str) -> dict[str, Any]:
    line = {"color": colour, "dash": "dot", "width": 1}
    return {"type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1, "line": line}


def _label(x: float, text: str, y: float, left: bool) -> dict[str, Any]:
    side: dict[str, Any] = {"xanchor": "right", "xshift": -4} if left else {"xanchor": "left", "xshift": 4}
    place = {"x": math.log10(x), "xref": "x", "y": y, "yref": "paper", "showarrow": False, "font": {"size": 11}}
    return place | side | {"text": text}


def _bare() -> dict[str, Any]:
    return {"visible": False, "showgrid": False, "zeroline": False, "fixedrange": True}


def _kind(fabric: Collectives) -> Literal["torus", "mesh", "switch"]:
    if fabric.link in TORI:
        return "torus"
    return "mesh" if fabric.link in MESHES or fabric.link == "nvlink-bridge" else "switch"


def _link_name(fabric: Collectives) -> str:
    name = LINKS[fabric.link].name if fabric.link in LINKS else "own link"
    return f"{name}, {show(fabric.bytes_per_s, 'B/s')}"


def _placed(fabric: Collectives, layout: Layout) -> tuple[list[Place], list[Point], list[dict[str, Any]]]:
    """Lay out the devices, tensor ranks next to each other, then stages, then replicas; islands in rows."""
    drawn = min(layout.n, MOST_DRAWN)
    size = min(fabric.island or drawn, drawn)
    columns = math.ceil(math.sqrt(2 * size)) if size < 8 else max(4, math.ceil(math.sqrt(size)))
    columns, islands = min(columns, size), math.ceil(drawn / size)
    rows, across = math.ceil(size / columns), math.ceil(math.sqrt(islands))
    places, hubs, boxes = [], [], []
    for island in range(islands):
        left, top = (island % across) * (columns + 1.0), -(island // across) * (rows + 1.6)
        hubs.append((left + (columns - 1) / 2, top + 0.75))
        corner = {"x0": left - 0.6, "x1": left + columns - 0.4, "y0": top - rows + 0.4, "y1": top + 0.95}
        boxes.append({"type": "rect", "layer": "below", "line": {"color": theme.NEUTRAL, "width": 1}} | corner)
        for slot in range(min(size, drawn - island * size)):
            device = island * size + slot
            stage, replica = device // layout.tp % layout.pp, device // (layout.tp * layout.pp)
            x, y = left + slot % columns, top - slot // columns
            places.append(Place(device, device % layout.tp, stage, replica, x, float(y)))
    return places, hubs, boxes if size > 1 else []


def _wires(fabric: Collectives, places: list[Place], hubs: list[Point]) -> Iterator[tuple[Point, Point]]:
    """List the links inside the islands: to the switch, between all pairs, or between neighbours."""
    size = math.ceil(len(places) / len(hubs))
    if size == 1:
        return
    neighbours: dict[str, Callable[[Place, Place], bool]] = {
        "mesh": lambda _one, _other: True,
        "torus": lambda one, other: abs(one.x - other.x) + abs(one.y - other.y) == 1.0,
    }
    near = neighbours.get(_kind(fabric))
    for island, hub in enumerate(hubs):
        members = places[island * size : (island + 1) * size]
        if near is None:
            yield from (((one.x, one.y), hub) for one in members)
        else:
            yield from (((a.x, a.y), (b.x, b.y)) for a, b in combinations(members, 2) if near(a, b))


def _trunk(hubs: list[Point]) -> Iterator[tuple[Point, Point]]:
    """List the lines of the network: a bus above each row of islands, all of them joined at the left."""
    buses = sorted({y + 0.45 for _, y in hubs})
    for x, y in hubs:
        yield (x, y), (x, y + 0.45)
    for bus in buses:
        yield (-1.0, bus), (max(x for x, y in hubs if y + 0.45 == bus), bus)
    yield from (((-1.0, low), (-1.0, high)) for low, high in pairwise(buses))


def _edges(pairs: list[tuple[Point, Point]], colour: str, dash: str, name: str) -> dict[str, Any]:
    xs = [value for one, other in pairs for value in (one[0], other[0], None)]
    ys = [value for one, other in pairs for value in (one[1], other[1], None)]
    return _line(xs, ys, name, colour, dash, 1.2) | {"hoverinfo": "skip", "opacity": 0.7}


def _group(key: tuple[int, int], members: list[Place], legend: bool) -> dict[str, Any]:
    replica, stage = key
    colour = theme.SERIES_COLOURS[replica % len(theme.SERIES_COLOURS)]
    texts = [f"device {m.device}: tensor rank {m.tensor}, stage {m.stage}, replica {m.replica}" for m in members]
    return {
        "type": "scatter",
        "mode": "markers+text",
        "x": [m.x for m in members],
        "y": [m.y for m in members],
        "text": [str(m.device) for m in members],
        "textfont": {"size": 9, "color": "#ffffff"},
        "hovertext": texts,
        "hoverinfo": "text",
        "name": f"replica {replica}, stage {stage}",
        "showlegend": legend,
        "marker": {"size": 18, "color": colour, "symbol": SYMBOLS[stage % len(SYMBOLS)], "line": {"width": 0}},
    }
