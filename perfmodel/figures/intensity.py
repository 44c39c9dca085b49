"""Raising intensity as pictures: an operator and its two ways up under two roofs; latency against throughput."""

from __future__ import annotations

import math

import numpy as np

from perfmodel.diagnosis.flips import Indices
from perfmodel.diagnosis.intensity import MARKS, Raise, Trade
from perfmodel.explain import Card, explain_metric, worked
from perfmodel.figures import theme
from perfmodel.figures.theme import Figure, Mark
from perfmodel.formulas.roofline import chip_seconds, intensity_speedup
from perfmodel.report import Report
from perfmodel.step import Array
from perfmodel.units import MILLI, show, significant

_RIGHT, _UP, _NOW = theme.REGIME_COLOURS["memory"], theme.REGIME_COLOURS["compute"], theme.WARNING


def roofline(found: Raise) -> Figure:
    """Return the operator under the datasheet's roof and the reached one, with the ways right and up as arrows."""
    ends = [found.before, found.after, found.ridge]
    x = 10.0 ** math.floor(math.log10(min(ends) * 0.4)), max(ends) * 8.0
    rates = [found.rate, found.roof(x[0], True), found.peak]
    y = 10.0 ** math.floor(math.log10(min(rates) * 0.6)), found.peak * 3.0
    up, right = (found.before, found.roof(found.before)), (found.after, found.roof(found.after, True))
    data = [
        _roof(found, x, reached=False),
        _roof(found, x, reached=True),
        _arrow((found.before, found.rate), right, _RIGHT, f"right: {significant(found.factor)}× the intensity"),
        _arrow((found.before, found.rate), up, _UP, "up: the same intensity, better kernels"),
        _point((found.before, found.rate), found),
    ]
    layout = theme.layout(
        xaxis=theme.log_axis(*x, "", "Arithmetic intensity [FLOP/B]"),
        yaxis=theme.log_axis(*y, "FLOP/s", "Rate per device"),
        shapes=[_ridge(found)],
        annotations=[_ridge_word(found)],
        margin={"l": 96, "r": 8, "t": 8, "b": 48},
        showlegend=False,
        hovermode="closest",
        height=400,
    )
    return {"data": data, "layout": layout}


def _roof(found: Raise, x: tuple[float, float], *, reached: bool) -> Figure:
    edge = found.reached_peak / found.reached_bandwidth if reached else found.ridge
    ends = sorted((x[0], min(max(edge, x[0]), x[1]), x[1]))
    return {
        "type": "scatter",
        "mode": "lines",
        "x": ends,
        "y": [found.roof(at, reached) for at in ends],
        "line": {"color": theme.NEUTRAL, "width": 1.5 if reached else 2.5, "dash": "dot" if reached else "solid"},
        "hoverinfo": "skip",
    }


def _arrow(start: tuple[float, float], end: tuple[float, float], colour: str, text: str) -> Figure:
    gain = significant(end[1] / start[1])
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [start[0], end[0]],
        "y": [start[1], end[1]],
        "line": {"color": colour, "width": 2.5, "dash": "solid" if end[0] > start[0] else "dot"},
        "marker": {"symbol": ["circle", "arrow"], "angleref": "previous", "size": [0, 15], "color": colour},
        "hovertemplate": f"{text}<br>{show(end[1], 'FLOP/s')} at {show(end[0])} FLOP/B = {gain}× now<extra></extra>",
    }


def _point(at: tuple[float, float], found: Raise) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [at[0]],
        "y": [at[1]],
        "marker": {"size": 13, "color": _NOW, "line": {"color": "#ffffff", "width": 2}},
        "hovertemplate": f"<b>{found.timed.op.name}</b> now<br>{show(at[1], 'FLOP/s')} at {show(at[0])} FLOP/B"
        "<extra></extra>",
    }


def _ridge(found: Raise) -> Figure:
    line = {"color": theme.NEUTRAL, "width": 1, "dash": "dash"}
    return {"type": "line", "x0": found.ridge, "x1": found.ridge, "yref": "paper", "y0": 0, "y1": 1, "line": line}


def _ridge_word(found: Raise) -> Figure:
    place = {"x": math.log10(found.ridge), "xref": "x", "y": 0.02, "yref": "paper", "showarrow": False}
    return place | {"text": f"ridge {show(found.ridge)}", "xanchor": "right", "xshift": -4, "font": {"size": 12}}


def roofline_legend(found: Raise) -> list[Mark]:
    """Return what the marks of the roofline mean."""
    return [
        Mark("●", _NOW, f"{found.timed.op.name} now"),
        Mark("→", _RIGHT, "right: more FLOPs per byte"),
        Mark("↑", _UP, "up: better kernels, no idle time"),
        Mark(theme.LINE_GLYPHS["solid"], theme.NEUTRAL, "datasheet"),
        Mark(theme.LINE_GLYPHS["dot"], theme.NEUTRAL, "reached"),
    ]


def describe_roofline(found: Raise) -> str:
    """Return in one sentence where the operator lies and what either way allows."""
    return (
        f"{found.timed.op.name} in {found.phase} runs at {show(found.rate, 'FLOP/s')} and {show(found.before)} FLOP/B; "
        f"the datasheet allows {show(found.roof(found.before), 'FLOP/s')} there and "
        f"{show(found.roof(found.after), 'FLOP/s')} at {show(found.after)} FLOP/B."
    )


def trade(found: Trade, batch: int) -> Figure:
    """Return throughput over the latency of a token, one point per batch; beyond memory the line is dotted."""
    time, fits = found.step_s / MILLI, found.batch <= found.largest
    inside, beyond = np.flatnonzero(fits), np.flatnonzero(~fits)
    # The dotted part starts where the solid one ends.
    beyond = np.concatenate([inside[-1:], beyond]) if beyond.size else beyond
    data = [_path(found, time, part, dash) for part, dash in ((inside, "solid"), (beyond, "dot")) if part.size]
    data.append(_batches(found, time))
    here = [float(np.interp(batch, found.batch, values)) for values in (time, found.tokens_per_s)]
    data.append(_now(here, batch))
    layout = theme.layout(
        xaxis=_log(time, "latency: time per output token [ms]"),
        yaxis=_log(found.tokens_per_s, "throughput: tokens/s per device"),
        margin={"l": 76, "r": 44, "t": 16, "b": 48},
        showlegend=False,
        hovermode="closest",
        height=400,
    )
    return {"data": data, "layout": layout}


def _log(values: Array, title: str) -> Figure:
    """Return a logarithmic axis with 1, 2, 5 of every power of ten, fewer where there are many."""
    low, high = float(values.min()) * 0.85, float(values.max()) * 1.2
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1.0, 2.0, 5.0) if len(powers) <= 3 else (1.0, 3.0) if len(powers) <= 5 else (1.0,)
    ticks = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
    text = {"tickvals": ticks, "ticktext": [significant(tick) for tick in ticks], "title": {"text": title}}
    return text | {"type": "log", "range": [math.log10(low), math.log10(high)], "automargin": False}


def _path(found: Trade, time: Array, part: Indices, dash: str) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": time[part].tolist(),
        "y": found.tokens_per_s[part].tolist(),
        "line": {"color": theme.SERIES_COLOURS[1], "width": 2.5, "dash": dash},
        "hoverinfo": "skip",
    }


def _batches(found: Trade, time: Array) -> Figure:
    shown = np.flatnonzero(np.isin(found.batch, MARKS)).tolist()
    texts = [
        f"batch {found.batch[i]:,.0f}<br>{show(time[i] * MILLI, 's')} a token, {show(found.tokens_per_s[i])} tokens/s"
        f"<br>{show(found.chip_s[i], 's')} of chip time a request"
        for i in shown
    ]
    return {
        "type": "scatter",
        "mode": "markers+text",
        "x": time[shown].tolist(),
        "y": found.tokens_per_s[shown].tolist(),
        "text": [f"{found.batch[i]:,.0f}" for i in shown],
        "textposition": "bottom right",
        "cliponaxis": False,
        "marker": {"size": 8, "color": theme.SERIES_COLOURS[1]},
        "hovertext": texts,
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def _now(here: list[float], batch: int) -> Figure:
    ring = {"symbol": "circle-open", "size": 18, "color": _NOW, "line": {"width": 3, "color": _NOW}}
    words = f"batch {batch:,}, this scenario<extra></extra>"
    return {"type": "scatter", "mode": "markers", "x": here[:1], "y": here[1:], "marker": ring, "hovertemplate": words}


def trade_legend() -> list[Mark]:
    """Return what the marks of the trade mean."""
    return [
        Mark("●", theme.SERIES_COLOURS[1], "batch"),
        Mark("○", _NOW, "this scenario"),
        Mark(theme.LINE_GLYPHS["dot"], theme.SERIES_COLOURS[1], "beyond memory"),
    ]


def describe_trade(found: Trade) -> str:
    """Return in one sentence what the curve spans."""
    last = max(1, int((found.batch <= found.largest).sum())) - 1
    return (
        f"From batch {found.batch[0]:,.0f} to the {found.batch[last]:,.0f} that fit, a token takes "
        f"{found.step_s[last] / found.step_s[0]:.2f}× as long and a device gives "
        f"{found.tokens_per_s[last] / found.tokens_per_s[0]:.1f}× the tokens; "
        f"a request costs {show(found.chip_s[0], 's')} of chip time, then {show(found.chip_s[last], 's')}."
    )


def cards(report: Report, found: Raise) -> tuple[Card, ...]:
    """Return the cards behind the page: the three cases, the ridge, chip time per request."""
    return (
        worked(
            intensity_speedup,
            "Gain of the raised intensity",
            before=found.before,
            after=found.after,
            peak_flops=found.peak,
            bytes_per_s=found.bandwidth,
        ),
        explain_metric(report, "ridge"),
        explain_metric(report, "intensity_prefill" if found.phase == "prefill" else "intensity_decode"),
        worked(
            chip_seconds,
            "Chip time of a request",
            devices=float(report.scenario.n),
            latency_s=report.e2e_s,
            batch=float(report.scenario.batch),
        ),
    )
