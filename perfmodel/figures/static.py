"""A figure as an SVG picture without JavaScript, for paper: lines, points and bars on linear and logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from perfmodel.figures import theme
from perfmodel.figures.theme import Figure
from perfmodel.units import show, significant

WIDTH, HEIGHT = 680.0, 330.0
_LEFT, _RIGHT, _TOP, _BOTTOM, _ROW = 90.0, 90.0, 14.0, 46.0, 18.0
_DASHES = {"dash": "8 5", "dot": "2 4", "dashdot": "8 4 2 4", "longdash": "14 6", "longdashdot": "14 5 2 5"}
_TAG = ("<br>", "<b>", "</b>", "<i>", "</i>")


def svg(figure: Figure, *, named: bool = True) -> str:
    """Return the figure as one SVG element of fixed size, with the names of its traces if `named`.

    Hover texts, patterns and what is not opaque are left out.
    """
    data, layout = figure["data"], figure["layout"]
    names = [(trace.get("name", ""), _colour(trace)) for trace in data if named and trace.get("name") and len(data) > 1]
    rows = math.ceil(len(names) / 3)
    panels = sorted({(trace.get("xaxis", "x"), trace.get("yaxis", "y")) for trace in data})
    height = max(HEIGHT, float(layout.get("height") or 0) * 0.8) if not _few_bars(data) else _bar_height(data)
    body = "".join(_panel([t for t in data if _axes(t) == pair], layout, pair, height) for pair in panels)
    words = "".join(_legend(index, name, colour, height) for index, (name, colour) in enumerate(names))
    whole = height + rows * _ROW + 6
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {whole:g}" width="100%" role="img" '
        f'font-family="system-ui,sans-serif" font-size="12" fill="#333">{body}{words}</svg>'
    )


def _few_bars(data: Sequence[Any]) -> bool:
    return all(trace["type"] == "bar" and trace.get("orientation") == "h" for trace in data)


def _bar_height(data: Sequence[Any]) -> float:
    return 40.0 * len({name for trace in data for name in trace["y"]}) + _TOP + _BOTTOM


def _axes(trace: Any) -> tuple[str, str]:
    return trace.get("xaxis", "x"), trace.get("yaxis", "y")


@dataclass(frozen=True)
class _Axis:
    """From a value to a place: linear, logarithmic, or one place per name."""

    low: float
    high: float
    start: float
    end: float
    log: bool
    names: tuple[str, ...]
    ticks: tuple[tuple[float, str], ...]
    title: str
    hidden: bool
    right: bool

    def place(self, value: Any) -> float:
        """Return the place of a value in the picture; NaN where it has none."""
        if self.names:
            share = (self.names.index(str(value)) + 0.5) / len(self.names)
        elif self.log:
            share = (math.log10(value) - self.low) / (self.high - self.low) if value > 0 else math.nan
        else:
            share = (float(value) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def noted(self, at: float) -> float:
        """Return the place of an annotation, which Plotly writes as an exponent where the axis is logarithmic."""
        return self.place(10.0**at if self.log else at)


def _axis(which: str, key: str, traces: Sequence[Any], layout: Any, start: float, end: float) -> _Axis:
    spec = layout.get(which + "axis" + key[1:], {})
    domain = spec.get("domain", [0.0, 1.0])
    start, end = start + domain[0] * (end - start), start + domain[1] * (end - start)
    values = [value for trace in traces for value in trace[which]]
    names = tuple(dict.fromkeys(str(v) for v in values)) if any(isinstance(v, str) for v in values) else ()
    log = spec.get("type") == "log"
    sums = _stacked(which, traces, layout) if not names and any(trace["type"] == "bar" for trace in traces) else None
    low, high = spec.get("range") or _extent(values, sums, log, spec.get("rangemode") == "tozero")
    high = high if high > low else low + 1.0
    title = spec.get("title", {}).get("text", "")
    hidden = spec.get("visible") is False
    right = spec.get("side") == "right"
    return _Axis(low, high, start, end, log, names, _ticks(spec, low, high, log), title, hidden, right)


def _extent(values: Sequence[Any], sums: list[float] | None, log: bool, zero: bool) -> tuple[float, float]:
    """Return the ends of an axis that says none: of its numbers and of stacked bars, which stand on zero."""
    numbers = [float(v) for v in values if not isinstance(v, str) and math.isfinite(v) and (v > 0 or not log)]
    if sums is not None:
        numbers += [*sums] if log else [0.0, *sums]
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    low = min(0.0, low) if zero else low
    if log:
        return math.log10(low), math.log10(high) + 0.02
    return low, high * 1.04 if high > 0 else high + 0.02


def _stacked(which: str, traces: Sequence[Any], layout: Any) -> list[float]:
    other = "y" if which == "x" else "x"
    sums: dict[str, float] = {}
    for trace in traces:
        for name, value in zip(trace[other], trace[which], strict=True):
            sums[str(name)] = sums.get(str(name), 0.0) + float(value) if layout.get("barmode") == "stack" else value
    return list(sums.values())


def _ticks(spec: Any, low: float, high: float, log: bool) -> tuple[tuple[float, str], ...]:
    if "tickvals" in spec:
        texts = spec.get("ticktext") or [significant(value) for value in spec["tickvals"]]
        return tuple(zip(spec["tickvals"], texts, strict=True))
    if log:
        every = max(1, round((high - low) / 6))
        powers = range(math.ceil(low), math.floor(high) + 1, every)
        return tuple((10.0**power, _short(10.0**power)) for power in powers)
    step = 10.0 ** math.floor(math.log10((high - low) / 3))
    step *= next(factor for factor in (1.0, 2.0, 5.0, 10.0) if (high - low) / (step * factor) <= 6)
    found = [math.ceil(low / step) * step + index * step for index in range(8)]
    percent = "%" in spec.get("tickformat", "")
    return tuple((v, f"{v:.0%}" if percent else _short(v)) for v in found if v <= high * 1.0001)


def _short(value: float) -> str:
    # As Plotly writes large ticks: 20G.
    return show(value, "B").removesuffix("B").replace(" ", "") if abs(value) >= 10_000 else significant(value)


def _panel(traces: Sequence[Any], layout: Any, pair: tuple[str, str], height: float) -> str:
    named = any(isinstance(v, str) for trace in traces for v in trace["y"])
    left = min(230.0, 20 + max(_width(_words(str(v))) for t in traces for v in t["y"])) if named else _LEFT
    x = _axis("x", pair[0], traces, layout, left, WIDTH - _RIGHT)
    y = _axis("y", pair[1], traces, layout, height - _BOTTOM, _TOP)
    parts = [*_grid(x, y), *_shapes(layout, x, y)]
    below: dict[str, float] = {}
    for trace in traces:
        parts += _bars(trace, x, y, layout, below) if trace["type"] == "bar" else _points(trace, x, y)
    return "".join(parts)


def _grid(x: _Axis, y: _Axis) -> Iterator[str]:
    bottom, left = max(y.start, y.end), min(x.start, x.end)
    line = 'stroke="#ccc" stroke-width="0.6"'
    if not x.hidden:
        for value, text in () if x.names else x.ticks:
            if left - 1 <= (at := x.place(value)) <= x.end + 1:
                yield f'<path d="M{at:.1f} {bottom:.1f}V{min(y.start, y.end):.1f}" {line}/>'
                yield _text(at, bottom + 15, text, "middle")
        for name in x.names:
            yield _text(x.place(name), bottom + 15, name, "middle")
        middle = (x.start + x.end) / 2
        yield _text(middle, bottom + 33, x.title, "middle")
    if not y.hidden:
        beside, anchor = (x.end + 6, "start") if y.right else (left - 6, "end")
        for value, text in () if y.names else y.ticks:
            if min(y.start, y.end) - 1 <= (at := y.place(value)) <= bottom + 1:
                yield "" if y.right else f'<path d="M{left:.1f} {at:.1f}H{x.end:.1f}" {line}/>'
                yield _text(beside, at + 4, text, anchor)
        for name in y.names:
            yield _text(left - 6, y.place(name) + 4, name, "end")
        yield _text(x.end if y.right else left, min(y.start, y.end) - 3, y.title, "end" if y.right else "start")


def _bars(trace: Any, x: _Axis, y: _Axis, layout: Any, below: dict[str, float]) -> Iterator[str]:
    across = trace.get("orientation") == "h"
    along, names = (x, y) if across else (y, x)
    values, labels = (trace["x"], trace["y"]) if across else (trace["y"], trace["x"])
    thick = 0.6 * abs(names.end - names.start) / max(1, len(names.names) or len(values))
    colours = trace.get("marker", {}).get("color", theme.NEUTRAL)
    for index, (name, value) in enumerate(zip(labels, values, strict=True)):
        base = below.get(str(name), 0.0) if layout.get("barmode") == "stack" else 0.0
        below[str(name)] = base + float(value)
        start = along.place(base) if not along.log else along.start
        end, at = along.place(base + float(value)), names.place(name) - thick / 2
        colour = colours[index] if isinstance(colours, list | tuple) else colours
        place = (
            (min(start, end), at, abs(end - start), thick) if across else (at, min(start, end), thick, abs(end - start))
        )
        yield '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"'.format(*place) + f' fill="{colour}"/>'
        text = trace.get("text", "")
        word = text[index] if isinstance(text, list | tuple) else text
        if word and across:
            wide = trace.get("textposition") == "outside"
            put, anchor, ink = (end + 4, "start", "#333") if wide else ((start + end) / 2, "middle", "#fff")
            yield _text(put, at + thick / 2 + 4, str(word), anchor, ink)


def _points(trace: Any, x: _Axis, y: _Axis) -> Iterator[str]:
    if trace.get("fill") == "toself":
        yield _polygons(trace, x, y)
        return
    mode, colour = trace.get("mode", "lines"), _colour(trace)
    places = [(x.place(a), y.place(b)) for a, b in zip(trace["x"], trace["y"], strict=True)]
    places = [(min(max(a, x.start), x.end), b) for a, b in places if math.isfinite(a) and math.isfinite(b)]
    places = [(a, min(max(b, min(y.start, y.end)), max(y.start, y.end))) for a, b in places]
    if "lines" in mode and places:
        line = trace.get("line", {})
        dash = f' stroke-dasharray="{_DASHES[line["dash"]]}"' if line.get("dash") in _DASHES else ""
        steps = " ".join(f"{'M' if i == 0 else 'L'}{a:.1f} {b:.1f}" for i, (a, b) in enumerate(places))
        yield f'<path d="{steps}" fill="none" stroke="{colour}" stroke-width="{line.get("width", 2)}"{dash}/>'
    marker = trace.get("marker", {})
    if "markers" in mode and marker.get("opacity") != 0:
        sizes, colours = marker.get("size", 8), marker.get("color", colour)
        for index, (a, b) in enumerate(places):
            size = sizes[index] if isinstance(sizes, list | tuple) else sizes
            ink = colours[index] if isinstance(colours, list | tuple) else colours
            yield f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{float(size) / 2:.1f}" fill="{ink}" fill-opacity="0.8"/>'


def _polygons(trace: Any, x: _Axis, y: _Axis) -> str:
    """Draw the areas of a filled line, each of which ends with a None."""
    steps, begun = [], False
    for a, b in zip(trace["x"], trace["y"], strict=True):
        if a is not None:
            steps.append(f"{'L' if begun else 'M'}{x.place(a):.1f} {y.place(b):.1f}")
        begun = a is not None
    return f'<path d="{" ".join(steps)}" fill="{trace["fillcolor"]}"/>'


def _shapes(layout: Any, x: _Axis, y: _Axis) -> Iterator[str]:
    for shape in layout.get("shapes", ()):
        if shape.get("type") == "line" and shape.get("xref", "x") == "x" and shape["x0"] == shape["x1"]:
            at = x.place(shape["x0"])
            if x.start <= at <= x.end:
                colour = shape.get("line", {}).get("color", theme.NEUTRAL)
                yield f'<path d="M{at:.1f} {y.start:.1f}V{y.end:.1f}" stroke="{colour}" stroke-dasharray="4 3"/>'
    for note in layout.get("annotations", ()):
        if note.get("xref", "x") == "x" and "text" in note and isinstance(note.get("x"), int | float):
            yield from _note(note, x, y)


def _note(note: Any, x: _Axis, y: _Axis) -> Iterator[str]:
    """Draw a text at its point, on the side of it where there is room."""
    at, up = x.noted(note["x"]), note["y"]
    high = y.start + up * (y.end - y.start) if note.get("yref") == "paper" else y.noted(up)
    if math.isfinite(at) and math.isfinite(high):
        late = at > 0.7 * WIDTH
        yield _text(at - 4 if late else at + 4, high + 10, note["text"], "end" if late else "start")


def _legend(index: int, name: str, colour: str, height: float) -> str:
    left, top = 12 + (index % 3) * WIDTH / 3, height + (index // 3) * _ROW
    box = f'<rect x="{left:.1f}" y="{top:.1f}" width="11" height="11" fill="{colour}"/>'
    return box + _text(left + 16, top + 10, name)


def _colour(trace: Any) -> str:
    found = trace.get("line", {}).get("color") or trace.get("marker", {}).get("color") or theme.NEUTRAL
    return str(found[0] if isinstance(found, list | tuple) else found)


def _text(x: float, y: float, words: str, anchor: str = "start", ink: str = "#333") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{ink}"'
    return f"<text {place}>{escape(_words(words))}</text>"


def _width(words: str) -> float:
    """Return how wide words are, Chinese characters twice as wide as letters [px]."""
    return sum(13.0 if "\u2e80" <= letter <= "\uffef" else 7.0 for letter in words)


def _words(text: str) -> str:
    for tag in _TAG:
        text = text.replace(tag, " " if tag == "<br>" else "")
    return text.strip()
