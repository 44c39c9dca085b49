"""The operators of a pass drawn as a graph, as a table to sort and filter, and one of them with its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perfmodel.catalogue_tables import Row, to_csv
from perfmodel.catalogue_tables import found as matches
from perfmodel.difference import spoken
from perfmodel.figures import theme
from perfmodel.figures.roofline import Point
from perfmodel.figures.theme import Figure
from perfmodel.operator_graph import Edge, Graph, Node, graph
from perfmodel.report import Report
from perfmodel.step import REGIMES, TimedOp
from perfmodel.units import GIGA, MEGA, MICRO, show, significant

#: Height of one row of the drawing [px], and the part of it that a box takes.
_ROW, _BOX = 38, 0.68
#: Half the height of the strip at a box's lower edge [rows].
_STRIP = 0.07
#: Space between boxes beside one another, and what residual connections have at the left [share of the width].
_GAP, _LANE = 0.012, 0.045
#: Height of a section's title [rows].
_TITLE = 0.4
_LINE = "rgba(125,135,145,0.75)"
_FILL = "rgba(125,135,145,0.14)"
#: What tells regimes apart beside colour and pattern: the first letter, in the box.
LETTERS = {regime: regime[0].upper() for regime in REGIMES}


def operators_of(report: Report, phase: str) -> tuple[Point, ...]:
    """Return every operator of a phase with its share of the pass, in order of execution."""
    step = report.prefill if phase == "prefill" else report.decode
    return tuple(Point(phase, timed, timed.time_s / float(step.time_s)) for timed in step.timed)


def find(points: Sequence[Point], key: str) -> Point:
    """Return the operator with this key, or the largest."""
    return next((point for point in points if point.key == key), max(points, key=lambda point: point.share))


def figure(report: Report, phase: str, chosen: str = "") -> Figure:
    """Return the graph of a phase: a box for every place an operator runs; `chosen` is the key of the one to ring."""
    drawing, points = graph(report, phase), {point.timed.op.name: point for point in operators_of(report, phase)}
    largest = max(point.share * node.share for node in drawing.nodes if (point := points.get(node.op)))
    boxes = [node for node in drawing.nodes if node.op]
    data = [*_flows(drawing), _boxes(boxes, points, chosen), *_strips(boxes, points, largest), _sums(drawing)]
    data.append(_words(boxes, points))
    axes = {
        "xaxis": {"visible": False, "range": [-_LANE - 0.01, 1.01], "fixedrange": True},
        "yaxis": {"visible": False, "range": [drawing.rows + 0.1, -0.7], "fixedrange": True},
    }
    own = {
        "height": int(_ROW * (drawing.rows + 0.8)),
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "shapes": [_frame(section.first, section.last) for section in drawing.sections],
        "annotations": [_title(section.first, f"{section.count} × {section.title}") for section in drawing.sections],
        "barmode": "overlay",
        "showlegend": False,
        "hovermode": "closest",
    }
    return {"data": data, "layout": theme.layout(**axes, **own)}


def _bar(**own: Any) -> Figure:
    return {"type": "bar", "orientation": "h"} | own


def _boxes(nodes: Sequence[Node], points: dict[str, Point], chosen: str) -> Figure:
    rings = [points[node.op].key == chosen for node in nodes]
    lines = {
        "color": [theme.WARNING if ring else _LINE for ring in rings],
        "width": [3 if ring else 1 for ring in rings],
    }
    return _bar(
        y=[node.row for node in nodes],
        base=[node.left + _GAP for node in nodes],
        x=[node.right - node.left - 2 * _GAP for node in nodes],
        width=[_BOX] * len(nodes),
        customdata=[[points[node.op].key] for node in nodes],
        hovertext=[hover(points[node.op]) for node in nodes],
        hovertemplate="%{hovertext}<extra></extra>",
        marker={"color": _FILL, "line": lines},
    )


def _text(node: Node, point: Point) -> str:
    time = show(point.timed.time_s * node.share, "s", 2)
    wide = node.right - node.left > 0.6
    letter = LETTERS[point.timed.bound]
    return f"<b>{node.label}</b> {time}" + (f" · {point.share * node.share:.1%} · {letter}" if wide else f" {letter}")


def _words(nodes: Sequence[Node], points: dict[str, Point]) -> Figure:
    return {
        "type": "scatter",
        "mode": "text",
        "x": [(node.left + node.right) / 2 for node in nodes],
        "y": [node.row - 0.05 for node in nodes],
        "text": [_text(node, points[node.op]) for node in nodes],
        "textfont": {"size": 12},
        "hoverinfo": "skip",
    }


def _strips(nodes: Sequence[Node], points: dict[str, Point], largest: float) -> list[Figure]:
    """Return the coloured strips below the boxes' texts: colour and pattern of the regime, length by the time."""
    strips: dict[str, list[tuple[float, float, float, float]]] = {}
    for node in nodes:
        point, left = points[node.op], node.left + _GAP
        width = (node.right - node.left - 2 * _GAP) * point.share * node.share / largest
        top = node.row + _BOX / 2 - 2 * _STRIP
        strips.setdefault(point.timed.bound, []).append((left, left + max(0.004, width), top, top + 2 * _STRIP))
    return [theme.regime_bars(regime, corners) for regime, corners in strips.items()]


def _flows(drawing: Graph) -> list[Figure]:
    """Return the edges as lines, with a mark where they arrive: plain ones downwards, residual ones at the left."""
    places = {node.id: node for node in drawing.nodes}
    line = {"type": "scatter", "mode": "lines", "hoverinfo": "skip"}
    found = []
    titles = [section.first for section in drawing.sections]
    for residual, dash in ((False, "solid"), (True, "dot")):
        xs: list[float | None] = []
        ys: list[float | None] = []
        for edge in (edge for edge in drawing.edges if edge.residual == residual):
            for x, y in _broken(_path(edge, places), titles):
                xs.append(x)
                ys.append(y)
            xs.append(None)
            ys.append(None)
        found.append(line | {"x": xs, "y": ys, "line": {"color": _LINE, "width": 1.5, "dash": dash}})
    ends = [_path(edge, places)[-1] for edge in drawing.edges if not edge.residual and places[edge.end].op]
    marker = {"symbol": "triangle-down", "size": 7, "color": _LINE}
    found.append(
        line | {"mode": "markers", "x": [x for x, _ in ends], "y": [y - 0.06 for _, y in ends], "marker": marker}
    )
    return found


def _broken(path: list[tuple[float, float]], titles: Sequence[float]) -> list[tuple[float | None, float | None]]:
    """Return the path of an edge with a gap where its first part would cross the title of a section."""
    (x, top), (_, bottom), *_ = path
    title = next((row for row in titles if top < row and row + _TITLE < bottom), None)
    gap = [] if title is None else [(x, title), (None, None), (x, title + _TITLE)]
    return [path[0], *gap, *path[1:]]


def _path(edge: Edge, places: dict[str, Node]) -> list[tuple[float, float]]:
    start, end = places[edge.start], places[edge.end]
    from_x, to_x = (start.left + start.right) / 2, (end.left + end.right) / 2
    half = _BOX / 2
    below, above = start.row + (half if start.op else 0.0), end.row - (half if end.op else 0.0)
    if edge.residual:
        turn = start.row + half + 0.1
        return [(from_x, below), (from_x, turn), (-_LANE, turn), (-_LANE, end.row), (to_x, end.row)]
    # Boxes side by side are entered where they overlap with what feeds them.
    low, high = max(start.left, end.left), min(start.right, end.right)
    if start.op and end.op and low < high:
        from_x = to_x = (low + high) / 2
    turn = above - 0.1
    return [(from_x, below), (from_x, turn), (to_x, turn), (to_x, above)]


def _sums(drawing: Graph) -> Figure:
    nodes = [node for node in drawing.nodes if not node.op]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [(node.left + node.right) / 2 for node in nodes],
        "y": [node.row for node in nodes],
        "marker": {"symbol": "circle-cross-open", "size": 13, "color": theme.NEUTRAL, "line": {"width": 1.5}},
        "hovertext": ["sum; its time is part of the next norm's"] * len(nodes),
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def _frame(first: float, last: float) -> Figure:
    line = {"color": _LINE, "width": 1, "dash": "dash"}
    return {"type": "rect", "x0": -_LANE, "x1": 1.005, "y0": first, "y1": last, "line": line, "layer": "below"}


def _title(row: float, text: str) -> Figure:
    place = {"x": 0.5, "y": row, "xanchor": "center", "yanchor": "top", "showarrow": False}
    return place | {"text": f"<b>{text}</b>", "font": {"size": 11}}


def hover(point: Point) -> str:
    """Return what a box says of its operator."""
    timed = point.timed
    lines = (
        f"<b>{spoken(timed.op.name)}</b> ({timed.op.group}), {point.phase}",
        f"{show(timed.time_s, 's')} = {point.share:.1%} of the pass, {timed.bound}-bound",
        f"{show(timed.flops, 'FLOP')}, {show(timed.moved_bytes, 'B')}, {show(timed.intensity)} FLOP/B",
        f"{significant(timed.op.count)} times a pass",
    )
    return "<br>".join(lines)


def legend() -> list[theme.Mark]:
    """Return what the strips and letters mean."""
    return [theme.Mark("▬", theme.REGIME_COLOURS[r], f"{LETTERS[r]} {r}: {theme.REGIME_WORDS[r]}") for r in REGIMES]


def describe(report: Report, phase: str) -> str:
    """Return in one sentence what the graph shows."""
    points = operators_of(report, phase)
    top = find(points, "")
    drawing = graph(report, phase)
    kinds = "; ".join(f"{section.count} × {section.title}" for section in drawing.sections)
    woven = " (in the order that the model has)" if len(drawing.sections) > 1 else ""
    return (
        f"{len(points)} operators of {phase} from top to bottom, layers of one kind once: {kinds}{woven}. The longest "
        f"strip, {spoken(top.timed.op.name)}, takes {top.share:.1%} of the pass. Dotted: the residual stream."
    )


def rows(points: Sequence[Point], search: str = "", bound: str = "any") -> list[Row]:
    """Return the table of the operators that fit the search and the regime, in units that columns can be sorted by."""
    return [_row(point) for point in _kept(points, search, bound)]


def _kept(points: Sequence[Point], search: str, bound: str) -> list[Point]:
    fit = (p for p in points if matches(search, spoken(p.timed.op.name), p.timed.op.name, p.timed.op.group))
    return sorted((p for p in fit if bound in ("any", p.timed.bound)), key=lambda point: -point.share)


def _row(point: Point) -> Row:
    timed = point.timed
    return {
        "Operator": spoken(timed.op.name),
        "Block": str(timed.op.group),
        "Bound by": timed.bound,
        "Share [%]": round(100 * point.share, 2),
        "Time [µs]": _digits(timed.time_s / MICRO),
        "GFLOP": _digits(timed.flops / GIGA),
        "MB": _digits(timed.moved_bytes / MEGA),
        "FLOP/B": _digits(timed.intensity),
        "Times": timed.op.count,
    }


def _digits(value: float) -> float:
    return float(f"{value:.4g}")


def csv(points: Sequence[Point], search: str = "", bound: str = "any") -> str:
    """Return the same operators as CSV, in SI units and with all parts of their times."""
    return to_csv(_line(point.timed, point) for point in _kept(points, search, bound))


def _line(timed: TimedOp, point: Point) -> Row:
    return {
        "operator": timed.op.name,
        "group": str(timed.op.group),
        "phase": point.phase,
        "count": timed.op.count,
        "flops": timed.flops,
        "moved_bytes": timed.moved_bytes,
        "flop_per_byte": timed.intensity,
        "compute_s": timed.compute_s,
        "memory_s": timed.memory_s,
        "network_s": timed.network_s,
        "overhead_s": timed.overhead_s,
        "time_s": timed.time_s,
        "share": point.share,
        "bound": timed.bound,
    }
