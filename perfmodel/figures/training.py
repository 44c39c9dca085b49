"""Figures of training: the time of a step and the memory of a device by kind, and scaling over devices."""

from __future__ import annotations

from typing import Any

from perfmodel.figures import theme
from perfmodel.figures.theme import Figure
from perfmodel.training import TrainingReport
from perfmodel.training_curves import Scaling
from perfmodel.units import show

#: Parts of a step: colour and hatch. Computing is yellow, waiting for others green, idling purple, memory blue.
TIME_STYLES = {
    "forward": ("#e3a008", ""),
    "recompute": ("#f2cc6b", "/"),
    "backward": ("#b97f00", ""),
    "tensor parallel": ("#1d9a6c", "x"),
    "expert parallel": ("#57b894", "x"),
    "context parallel": ("#0f6e4c", "x"),
    "pipeline sends": ("#7fcfb0", "/"),
    "pipeline bubble": ("#9b6bc4", "."),
    "data parallel": ("#3fae86", "\\"),
    "optimizer": ("#2f7fc1", "/"),
}
#: Kinds of memory: colour and hatch.
MEMORY_STYLES = {
    "weights": (theme.SERIES_COLOURS[2], ""),
    "gradients": (theme.SERIES_COLOURS[0], "/"),
    "optimizer": ("#8f9bd6", "x"),
    "gathered weights": ("#3d4c8f", "."),
    "activations": (theme.SERIES_COLOURS[1], ""),
    "runtime": (theme.SERIES_COLOURS[4], "."),
}


def step_figure(report: TrainingReport) -> Figure:
    """Return two stacked bars: what a step spends its time on, what fills a device, with its capacity as a line."""
    data = [
        *_bars(report.parts_s, TIME_STYLES, "s", ("x", "y", "legend")),
        *_bars(report.memory.kinds, MEMORY_STYLES, "B", ("x2", "y2", "legend2")),
    ]
    memory = report.memory
    edge = 1.04 * max(memory.total, memory.capacity if memory.capacity > 0 else 0.0)
    shapes, notes = _capacity(report)
    plain = {"showticklabels": False, "showgrid": False, "fixedrange": True}
    layout = theme.layout(
        barmode="stack",
        margin=theme.MARGIN | {"l": 16, "t": 26},
        xaxis={"range": [0, 1.01 * report.step_s], "tickformat": "~s", "ticksuffix": "s", "nticks": 6, "anchor": "y"},
        xaxis2={"range": [0, edge], "tickformat": "~s", "ticksuffix": "B", "nticks": 6, "anchor": "y2"},
        yaxis=plain | {"domain": [0.84, 1.0], "anchor": "x"},
        yaxis2=plain | {"domain": [0.27, 0.43], "anchor": "x2"},
        legend={"orientation": "h", "x": 0, "y": 0.74, "yanchor": "top", "traceorder": "normal"},
        legend2={"orientation": "h", "x": 0, "y": 0.17, "yanchor": "top", "traceorder": "normal"},
        shapes=shapes,
        annotations=[_title("time of a step", 1.0), _title("memory of a device", 0.43), *notes],
    )
    return {"data": data, "layout": layout}


def _bars(parts: dict[str, float], styles: dict[str, tuple[str, str]], unit: str, axes: tuple[str, str, str]) -> Any:
    x, y, legend = axes
    whole = sum(parts.values())
    for name, (colour, shape) in styles.items():
        value = parts.get(name, 0.0)
        if not value > 0.0:
            continue
        text = f"{name} {show(value, unit)}"
        yield {
            "type": "bar", "orientation": "h", "y": [""], "x": [value], "xaxis": x, "yaxis": y, "legend": legend,
            "name": text, "marker": theme.hatched(colour, shape),
            "hovertemplate": f"{text}, {show(value / whole, '%')}<extra></extra>",
        }  # fmt: skip


def _title(text: str, y: float) -> dict[str, Any]:
    place = {"xref": "paper", "x": 0, "yref": "paper", "y": y, "xanchor": "left", "yanchor": "bottom"}
    return place | {"text": text, "showarrow": False}


def _capacity(report: TrainingReport) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    memory = report.memory
    if not memory.capacity > 0:
        return [], []
    line = {"type": "line", "xref": "x2", "x0": memory.capacity, "x1": memory.capacity, "yref": "y2 domain"}
    spare = memory.capacity - memory.total
    word = f"{show(spare, 'B')} free" if memory.fits else f"{show(-spare, 'B')} too much"
    place = {"xref": "paper", "x": 1, "yref": "paper", "y": 0.43, "xanchor": "right", "yanchor": "bottom"}
    text = f"{show(memory.capacity, 'B')}, {word}"
    return (
        [line | {"y0": 0, "y1": 1, "line": {"color": theme.WARNING, "width": 3}}],
        [place | {"text": text, "showarrow": False, "font": {"color": theme.WARNING}}],
    )


def describe_step(report: TrainingReport) -> str:
    """Return in one sentence what `step_figure` shows."""
    parts = ", ".join(
        f"{name} {show(value / report.step_s, '%')}" for name, value in report.parts_s.items() if value > 0.0
    )
    kinds = ", ".join(f"{name} {show(value, 'B')}" for name, value in report.memory.kinds.items() if value > 0.0)
    return f"Of a step: {parts}. On each device: {kinds}."


def scaling_figure(curves: tuple[Scaling, ...], devices: int) -> Figure:
    """Return tokens/s on each device over the number of devices, relative to the smallest cluster of this layout."""
    data = []
    for index, curve in enumerate(curves):
        style = {"color": theme.SERIES_COLOURS[index], "dash": ("solid", "dash")[index % 2], "width": 2.5}
        labels = [f"{show(value)} tokens/s" for value in curve.tokens_per_s]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": list(curve.devices),
                "y": list(curve.efficiency),
                "name": curve.label,
                "line": style,
                "customdata": labels,
                "marker": {"symbol": ("circle", "square")[index % 2], "size": 7},
                "hovertemplate": "%{x:,} devices: %{y:.1%}, %{customdata}<extra></extra>",
            }
        )
    here = {"type": "line", "x0": devices, "x1": devices, "yref": "paper", "y0": 0, "y1": 1}
    ticks = sorted({n for curve in curves for n in curve.devices})
    ticks = ticks[:: max(1, len(ticks) // 6)]
    layout = theme.layout(
        xaxis={"type": "log", "title": {"text": "devices"}, "tickvals": ticks, "ticktext": [f"{n:,}" for n in ticks]},
        yaxis={"title": {"text": "tokens/s per device"}, "tickformat": ".0%", "rangemode": "tozero"},
        shapes=[here | {"line": {"color": theme.NEUTRAL, "width": 1}}],
    )
    return {"data": data, "layout": layout}


def describe_scaling(curves: tuple[Scaling, ...]) -> str:
    """Return in one sentence where each curve ends."""
    ends = [
        f"with {curve.devices[-1]:,} devices {show(curve.efficiency[-1], '%')} where the {curve.label}"
        for curve in curves
        if curve.devices
    ]
    return (
        "Speed of each device relative to the smallest cluster of this layout: " + "; ".join(ends) + ". "
        "Stragglers and failures, which grow with the cluster, are not modelled."
    )
