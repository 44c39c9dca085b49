"""MLP, ResNet-50 and the scenario's transformer on one roofline; the layers of ResNet-50."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from perfmodel.convnet import RESNET_50, Conv, ResNet
from perfmodel.figures import theme
from perfmodel.figures.networks import MARGIN, MARKS, devices
from perfmodel.figures.theme import Figure
from perfmodel.formulas.roofline import attainable_flops, ridge_intensity
from perfmodel.mlp import MLP
from perfmodel.network import Network
from perfmodel.report import Report
from perfmodel.step import Step, TimedOp
from perfmodel.units import count, show, significant


def roofline(report: Report, mlp: MLP, batch: int, dtype: str) -> Figure:
    """Return the operators of the MLP, of ResNet-50 and of the scenario's transformer under the roofs of its chip."""
    shown = _placed(report, mlp, batch, dtype)
    chip, engine = devices(report)[-1].setup(mlp, dtype).priced_chip, report.setup.engine
    peaks, bandwidth = {name: chip.peak_flops[name] for name in _math(report, dtype)}, chip.memory_bytes_per_s
    xs, rates = [t.intensity for _, t, _ in shown], [t.flops / t.time_s for _, t, _ in shown]
    top = max(peaks.values())
    x = 10.0 ** math.floor(math.log10(min(xs) / 2.0)), 8.0 * max(*xs, top / bandwidth)
    y = 10.0 ** math.floor(math.log10(min(rates))), 3.0 * top
    data = [_roof(f"{name} roof", peak, bandwidth, x, i) for i, (name, peak) in enumerate(peaks.items())]
    reached = bandwidth * engine.memory_efficiency
    data.append(_roof("achieved by the engine", top * engine.linear_efficiency, reached, x, 2))
    names = list(dict.fromkeys(name for name, _, _ in shown))
    data += [_points(i, name, [(t, s) for n, t, s in shown if n == name]) for i, name in enumerate(names)]
    axes = {
        "xaxis": theme.log_axis(*x, "", "Arithmetic intensity [FLOP/B]", automargin=True),
        "yaxis": theme.log_axis(*y, "FLOP/s", "Achieved rate"),
    }
    return {"data": data, "layout": theme.layout(**axes, margin=MARGIN, hovermode="closest", height=480)}


def describe_roofline(report: Report, mlp: MLP, batch: int, dtype: str) -> str:
    """Return in one sentence where the three kinds of network lie."""
    shown = _placed(report, mlp, batch, dtype)
    parts = []
    for name in dict.fromkeys(n for n, _, _ in shown):
        flops = sum(t.flops for n, t, _ in shown if n == name)
        moved = sum(t.moved_bytes for n, t, _ in shown if n == name)
        parts.append(f"{name} {show(flops / moved)}")
    own, chip = _math(report, dtype)[0], report.setup.chip
    ridge = f"the {own} ridge of {chip.name} is {show(chip.ridge(own))}"
    return f"Intensity of a whole pass in FLOP/B: {', '.join(parts)}; {ridge}."


def _math(report: Report, dtype: str) -> list[str]:
    own = devices(report)[-1].setup(RESNET_50, dtype).rates.linear
    return list(dict.fromkeys((own, report.setup.rates.linear)))


def _placed(report: Report, mlp: MLP, batch: int, dtype: str) -> list[tuple[str, TimedOp, float]]:
    """Return (network, operator, share of its pass) for everything that computes and moves bytes."""
    own = devices(report)[-1]
    steps: list[tuple[str, Step]] = [
        (f"{net.name}, batch {batch:,}", own.setup(net, dtype).run(float(batch))) for net in (mlp, RESNET_50)
    ]
    steps += [
        (f"{report.setup.model.name} decode", report.decode),
        (f"{report.setup.model.name} prefill", report.prefill),
    ]
    found = [(name, timed, timed.time_s / float(step.time_s)) for name, step in steps for timed in step.timed]
    return [(name, t, share) for name, t, share in found if t.flops > 0 and t.moved_bytes > 0 and t.time_s > 0]


def _roof(name: str, peak: float, bandwidth: float, x: tuple[float, float], index: int) -> Figure:
    ridge = float(ridge_intensity(peak, bandwidth))
    ends = np.array([x[0], max(x[0], ridge), x[1]])
    line = {"color": theme.NEUTRAL, "width": 1.5 if index == 2 else 2.5, "dash": ("solid", "dashdot", "dot")[index]}
    rates = np.asarray(attainable_flops(ends, peak, bandwidth)).tolist()
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": ends.tolist(),
        "y": rates,
        "line": line,
        "hoverinfo": "skip",
    }


def _points(index: int, name: str, shown: Sequence[tuple[TimedOp, float]]) -> Figure:
    marker = {
        "color": theme.SERIES_COLOURS[index],
        "symbol": MARKS[index],
        "opacity": 0.85,
        "size": [6.0 + 24.0 * math.sqrt(min(1.0, share)) for _, share in shown],
        "line": {"width": 1, "color": "rgba(125,135,145,0.9)"},
    }
    text = [
        f"<b>{t.op.name}</b>, {name}<br>{share:.1%} of the pass, {t.bound}-bound<br>{show(t.intensity)} FLOP/B, "
        f"{show(t.flops / t.time_s, 'FLOP/s')}"
        for t, share in shown
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "marker": marker,
        "x": [t.intensity for t, _ in shown],
        "y": [t.flops / t.time_s for t, _ in shown],
        "hovertext": text,
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def layer_rows(report: Report, batch: int, dtype: str, network: ResNet = RESNET_50) -> list[dict[str, Any]]:
    """Return one row per convolution and for the classifier: work, weights, uses of each weight, intensity, time."""
    timed = {t.op.name: t for t in _own(report, network, batch, dtype).timed}
    layers = {layer.name: layer for layer in network.layers}
    rows = [_layer_row(t, layers[name], batch) for name, t in timed.items() if name in layers]
    return [*rows, _layer_row(timed["fc"], None, batch)]


def _own(report: Report, network: Network, batch: int, dtype: str) -> Step:
    return devices(report)[-1].setup(network, dtype).run(float(batch))


def _layer_row(timed: TimedOp, layer: Conv | None, batch: int) -> dict[str, Any]:
    shape = f"{layer.kernel}×{layer.kernel}, {layer.inputs} → {layer.outputs}" if layer else "2048 → 1000"
    weights = layer.weights if layer else float(timed.op.shape[1] * timed.op.shape[2])
    reuse = layer.reuse if layer else 1
    return {
        "Layer": timed.op.name + (f" (× {timed.op.count:.0f})" if timed.op.count > 1 else ""),
        "Shape": shape,
        "Output": f"{layer.output_size} × {layer.output_size}" if layer else "1",
        "FLOPs": show(timed.flops, "FLOP"),
        "Weights": count(weights * timed.op.count),
        "Uses of a weight": f"{reuse * batch:,}",
        "FLOP/B": significant(timed.intensity),
        "Time": show(timed.time_s, "s"),
        "Bound": timed.bound,
    }


def layer_times(report: Report, batch: int, dtype: str, network: ResNet = RESNET_50) -> Figure:
    """Return the time of each layer, its norms and additions included, split by regime."""
    step = _own(report, network, batch, dtype)
    names = list(dict.fromkeys(_layer_of(op.name) for op in step.ops))
    data: list[Figure] = []
    for index, regime in enumerate(theme.regime_order()):
        sums = dict.fromkeys(names, 0.0)
        for op, seconds in zip(step.ops, step.parts_s[index], strict=True):
            sums[_layer_of(op.name)] += float(seconds)
        if any(sums.values()):
            data.append(
                {
                    "type": "bar",
                    "name": regime,
                    "x": names,
                    "y": list(sums.values()),
                    "marker": theme.regime_marker(regime),
                    "hovertext": [f"{name}: {show(s, 's')} {regime}" for name, s in sums.items()],
                    "hovertemplate": "%{hovertext}<extra></extra>",
                }
            )
    top = max(sum(column) for column in zip(*(bar["y"] for bar in data), strict=True))
    ticks = [top * part for part in (0.0, 0.25, 0.5, 0.75, 1.0)]
    yaxis = {
        "title": {"text": "Time of the layer"},
        "tickvals": ticks,
        "ticktext": [show(tick, "s", 2) for tick in ticks],
    }
    xaxis = {"title": {"text": ""}, "tickangle": -60, "automargin": True, "type": "category"}
    return {
        "data": data,
        "layout": theme.layout(barmode="stack", xaxis=xaxis, yaxis=yaxis | {"rangemode": "tozero"}, height=430),
    }


def _layer_of(name: str) -> str:
    return name.split(" ")[0]


def describe_layers(report: Report, batch: int, dtype: str, network: ResNet = RESNET_50) -> str:
    """Return in one sentence what the layers of the network have in common."""
    step = _own(report, network, batch, dtype)
    products = [t for t in step.timed if t.op.kind == "matmul"]
    bound = sum(t.bound == "compute" for t in products)
    flops = sum(t.flops for t in products)
    reuse = network.stem.reuse * batch
    return (
        f"{network.name} has {network.parameters:,} parameters and does {show(flops, 'FLOP')} on {batch:,} images of "
        f"{network.image} × {network.image}; {bound} of its {len(products)} kinds of product are compute-bound. "
        f"Its first layer uses each weight {reuse:,} times; at stride 1 that would be {network.image**2 * batch:,}."
    )
