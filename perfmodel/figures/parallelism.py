"""Layouts one can see: time and volume of each, speed-up over devices, Pope's curves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from perfmodel.estimate import setup
from perfmodel.explain import Card, worked
from perfmodel.figures import theme
from perfmodel.figures.theme import Mark
from perfmodel.formulas import layouts as formula
from perfmodel.layout_curves import GATHERED, ONE_D, TWO_D, PopeCurves, Scaling, link_rate
from perfmodel.layout_links import KINDS
from perfmodel.layouts import Layout, inner_width
from perfmodel.scenario import Scenario
from perfmodel.step import REGIMES
from perfmodel.units import GIGA, MEGA, MILLI, count, show, significant

Figure = dict[str, Any]

#: What is sent, told apart by pattern; all of it is network, so all of it is green.
PATTERNS = {"all_reduce": "", "all_gather": ".", "reduce_scatter": "+", "all_to_all": "x", "send": "/"}
#: What these patterns look like in a line of text.
GLYPHS = {"": "■", ".": "▒", "+": "▦", "x": "▩", "/": "▨"}
#: What is shorter than this share of the longest bar is no pixel wide.
SEEN = 1e-3
#: Half the thickness of a bar [rows], and how much wider the figure is than the longest.
HALF, ROOM = 0.4, 1.04
_POPE = {ONE_D: ("#d1495b", "solid"), TWO_D: ("#5b6fb5", "dash"), GATHERED: (theme.REGIME_COLOURS["network"], "solid")}


def short(one: Layout) -> str:
    """Return the layout where room is short: "tp8 dp2"."""
    sizes = [f"{key}{getattr(one, key)}" for key in ("tp", "pp", "dp", "cp", "ep", "mb") if getattr(one, key) > 1]
    options = {"sp": one.sp, "adp": one.adp, one.spread: one.spread != "1d", "kv/b": one.kv_split != "heads"}
    return " ".join((*sizes, *(text for text, holds in options.items() if holds))) or "1"


def time_bars(found: tuple[Layout, ...]) -> Figure:
    """Return the decode step of each layout as a bar, links in green; the best on top."""
    data, seen = [], _seen(found)
    ends = [0.0 for _ in found]
    for index, name in seen:
        starts, ends = ends, [end + one.parts_s[index] / MILLI for end, one in zip(ends, found, strict=True)]
        spans = zip(starts, ends, strict=True)
        corners = [(start, end, HALF - row, -HALF - row) for row, (start, end) in enumerate(spans)]
        data.append(theme.regime_bars(name, corners) | {"name": name})
    right = ROOM * max(ends, default=1.0)
    says = {
        "type": "scatter",
        "mode": "markers",
        "marker": {"opacity": 0},
        "x": [right for _ in found],
        "y": [-row for row in range(len(found))],
        "hovertext": [_parts(one, seen) for one in found],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }
    names = [short(one) for one in found]
    layout = bars("decode step [ms]", names)
    layout["xaxis"] |= {"range": [0.0, right]}
    layout["yaxis"] = {
        "range": [-HALF - len(found) + 0.5, HALF + 0.5],
        "tickvals": says["y"],
        "ticktext": names,
        "showgrid": False,
        "zeroline": False,
        "automargin": False,
    }
    own = {"showlegend": False, "hovermode": "closest", "hoverdistance": -1}
    return {"data": [*data, says], "layout": layout | own}


def _parts(one: Layout, seen: list[tuple[int, str]]) -> str:
    """Return what a row says of itself: the layout, its step, and how long each regime takes of it."""
    spans = ((name, one.parts_s[index]) for index, name in seen)
    parts = (f"{name} {show(span, 's')} ({span / one.step_s:.0%})" for name, span in spans if span)
    return "<br>".join((f"<b>{one.label}</b>: {show(one.step_s, 's')}", *parts))


def time_legend(found: tuple[Layout, ...]) -> tuple[Mark, ...]:
    """Return what the colours of the time bars mean: the regimes that take any of these steps."""
    return tuple(Mark("■", theme.REGIME_COLOURS[name], name) for _, name in _seen(found))


def _seen(found: tuple[Layout, ...]) -> list[tuple[int, str]]:
    """Return the regimes long enough to be seen in any step, each with its place: other bars would show nothing."""
    least = SEEN * max((one.step_s for one in found), default=0.0)
    return [(index, name) for index, name in enumerate(REGIMES) if any(one.parts_s[index] > least for one in found)]


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
    for kind in _sent(found):
        values = [dict(one.sent_bytes).get(kind, 0.0) / MEGA for one in found]
        marker = theme.hatched(theme.REGIME_COLOURS["network"], PATTERNS[kind])
        data.append(_bar(values, names, KINDS[kind], marker, "%{x:.3s} MB"))
    return {"data": data, "layout": bars("sent by one device in a decode step [MB]", names) | {"showlegend": False}}


def volume_legend(found: tuple[Layout, ...]) -> tuple[Mark, ...]:
    """Return what the patterns of the volume bars mean: the collectives that these layouts use."""
    green = theme.REGIME_COLOURS["network"]
    return tuple(Mark(GLYPHS[PATTERNS[kind]], green, KINDS[kind]) for kind in _sent(found))


def _sent(found: tuple[Layout, ...]) -> list[str]:
    """Return the collectives that any of the layouts uses."""
    used = {kind for one in found for kind, size in one.sent_bytes if size}
    return [kind for kind in KINDS if kind in used]


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


def cards(scenario: Scenario, devices: int) -> tuple[Card, ...]:
    """Return the formulas of the page, evaluated on the scenario's prompt and link for a number of devices."""
    resolved = setup(scenario)
    d, size = scenario.resolved_model.dimensions, resolved.precision.activation_bytes
    E, F, n = float(d.hidden), inner_width(d), float(devices)
    M, link = float(scenario.batch * scenario.input), float(link_rate(resolved, devices))
    sent: dict[str, float] = {"value_bytes": size, "bytes_per_s": link}
    best = float(np.clip(formula.best_gathered(M, F, n), 1.0, n))
    reductions = 1.0 if d.parallel_block else 2.0
    idle = f"Idle share of {devices} stages with one batch"
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
        worked(formula.pipeline_idle_share, idle, stages=n, micro_batches=1.0),
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
        xaxis={"title": {"text": title}, "rangemode": "tozero", "automargin": False},
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
