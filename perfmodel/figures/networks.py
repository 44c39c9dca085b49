"""Batch curves of MLPs and ResNets on a processor, a T4 and the scenario's chip; small networks and their overhead."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from perfmodel import how
from perfmodel.engine import ENGINES, Engine
from perfmodel.explain.docstrings import contract
from perfmodel.figures import theme
from perfmodel.figures.theme import Figure
from perfmodel.formulas.flops import matmul_flops
from perfmodel.formulas.overhead import knee_batch, queue_time, worthwhile_flops
from perfmodel.hardware import ACCELERATORS, Accelerator
from perfmodel.mlp import MLP
from perfmodel.network import Network, NetworkSetup
from perfmodel.precision import Precision
from perfmodel.report import Report
from perfmodel.units import count, show, significant

#: Batches of the curves, and of the control that picks one.
BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
PICKED = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
DEPTHS = (1, 2, 4, 8, 16, 32)
WIDTHS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
#: The family of widths drawn together.
FAMILY = (16, 64, 256, 1024, 4096, 8192)
DTYPES = ("fp32", "fp16")
NETWORKS = ("resnet", "mlp")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
#: Room for the texts of the y axis [px]; those of the x axis share their side with the legend and find their own.
MARGIN = {"l": 88, "r": 8, "t": 8, "b": 8}
MARKS = ("circle", "square", "diamond", "triangle-up", "x", "cross")


@dataclass(frozen=True)
class Device:
    """A chip and the software that drives it."""

    key: str
    label: str
    chip: Accelerator
    engine: Engine

    def setup(self, network: Network, dtype: str) -> NetworkSetup:
        """Return the network on this device with weights, activations and math of one type."""
        return NetworkSetup(network, self.chip, self.engine, Precision(dtype, "auto", dtype))


def devices(report: Report) -> tuple[Device, ...]:
    """Return the notebook's processor, its T4, and the scenario's chip under the scenario's engine."""
    chip, engine = report.setup.chip, report.setup.engine
    own = Device("own", chip.name, chip, engine)
    cpu = Device("cpu", "CPU, one Colab core", ACCELERATORS["colab-cpu"], ENGINES["eager-cpu"])
    return cpu, Device("t4", "T4 in a notebook", ACCELERATORS["t4"], ENGINES["t4-eager"]), own


@dataclass(frozen=True)
class Curve:
    """Latency over the batch of one network on one device."""

    device: Device
    setup: NetworkSetup

    @cached_property
    def latency_s(self) -> Any:
        """Time of one pass at each of `BATCHES` [s]."""
        return self.setup.run(np.array(BATCHES, dtype=np.float64)).time_s

    @cached_property
    def rate(self) -> Any:
        """Inputs per second at each of `BATCHES` [1/s]."""
        return np.array(BATCHES) / self.latency_s

    @cached_property
    def knee(self) -> float:
        """Batch up to which the latency is flat."""
        return float(self.setup.knee)


def curves(report: Report, network: Network, dtype: str) -> tuple[Curve, ...]:
    """Return the batch curve of a network on each device."""
    return _curves(devices(report), network, dtype)


@lru_cache(maxsize=32)
def _curves(found: tuple[Device, ...], network: Network, dtype: str) -> tuple[Curve, ...]:
    return tuple(Curve(device, device.setup(network, dtype)) for device in found)


def latency(shown: Sequence[Curve]) -> Figure:
    """Return latency over batch on log axes: a level line costs nothing, a slope of one gains nothing."""
    data = [_line(i, BATCHES, c.latency_s, c.device.label, _times("batch", c.latency_s)) for i, c in enumerate(shown)]
    knees = [c for c in shown if c.knee >= 2.0]
    marks = {
        "type": "scatter",
        "mode": "markers",
        "name": "end of the flat part",
        "hoverinfo": "skip",
        "x": [c.knee for c in knees],
        "y": [float(c.latency_s[0]) for c in knees],
        "marker": {
            "symbol": "line-ns-open",
            "size": 16,
            "color": theme.NEUTRAL,
            "line": {"width": 2, "color": theme.NEUTRAL},
        },
    }
    values = [float(v) for c in shown for v in c.latency_s]
    return {"data": [*data, *([marks] if knees else [])], "layout": _axes("batch", values, "s", "Latency of one pass")}


def throughput(shown: Sequence[Curve]) -> Figure:
    """Return inputs per second over batch."""
    data = [_line(i, BATCHES, c.rate, c.device.label, _rates(c.rate)) for i, c in enumerate(shown)]
    values = [float(v) for c in shown for v in c.rate]
    return {"data": data, "layout": _axes("batch", values, "", "Inputs per second")}


def knee_rows(shown: Sequence[Curve]) -> list[tuple[str, str, str]]:
    """Return how far batching is free on each device, as headline numbers."""
    return [(c.device.label, _knee_text(c), f"{show(c.setup.per_item_s, 's')} for each further input") for c in shown]


def knee_cards(shown: Sequence[Curve]) -> list[how.How]:
    """Return the card of each of these numbers."""
    return [how.knee(c.device.label, float(c.latency_s[0]), c.setup.per_item_s, float(c.knee)) for c in shown]


def _knee_text(curve: Curve) -> str:
    if curve.knee < 2.0:
        return "linear from batch 1"
    return f"flat to batch {_batch(curve.knee)}"


def describe_curves(network: Network, shown: Sequence[Curve]) -> str:
    """Return in one sentence what the batch curves show."""
    parts = [f"{c.device.label} takes {show(float(c.latency_s[0]), 's')} at batch 1, {_knee_text(c)}" for c in shown]
    notes = dict.fromkeys(note for c in shown for note in c.setup.notes)
    return f"{network.name}: {'; '.join(parts)}." + "".join(f" {note}." for note in notes)


def describe_throughput(shown: Sequence[Curve]) -> str:
    """Return in one sentence what the largest batch gains over the smallest on each device."""
    ends = ((c.device.label, significant(float(c.rate[0])), significant(float(c.rate[-1]))) for c in shown)
    gains = "; ".join(f"{name} from {first} to {last}" for name, first, last in ends)
    return f"Inputs per second from batch 1 to {BATCHES[-1]:,}: {gains}."


def family(report: Report, depth: int, key: str, dtype: str) -> Figure:
    """Return latency over batch of MLPs of several widths on one device, on log axes."""
    device = next(d for d in devices(report) if d.key == key)
    found = [Curve(device, device.setup(MLP(depth, width), dtype)) for width in FAMILY]
    data = [
        _line(i, BATCHES, c.latency_s, f"width {FAMILY[i]:,}", _times("batch", c.latency_s))
        for i, c in enumerate(found)
    ]
    values = [float(v) for c in found for v in c.latency_s]
    return {"data": data, "layout": _axes("batch", values, "s", "Latency of one pass")}


def describe_family(report: Report, depth: int, key: str, dtype: str) -> str:
    """Return in one sentence where each width of the family bends."""
    device = next(d for d in devices(report) if d.key == key)
    knees = [(width, float(device.setup(MLP(depth, width), dtype).knee)) for width in FAMILY]
    text = "; ".join(f"width {count(width)}: {_batch(knee)}" for width, knee in knees)
    return f"{device.label}, flat up to which batch: {text}. Wide networks share one knee, narrow ones stay flat."


def _batch(knee: float) -> str:
    return count(math.floor(knee)) if knee <= BATCHES[-1] else f"beyond {BATCHES[-1]:,}"


def crossover(report: Report, depth: int, dtype: str) -> Figure:
    """Return the time of one input over the width on every device: where an accelerator starts to pay."""
    data, values = [], []
    for index, device in enumerate(devices(report)):
        times = [float(device.setup(MLP(depth, width), dtype).run(1.0).time_s) for width in WIDTHS]
        hover = [f"width {width:,}: {show(time, 's')}" for width, time in zip(WIDTHS, times, strict=True)]
        data.append(_line(index, WIDTHS, times, device.label, hover))
        values += times
    return {"data": data, "layout": _axes("width", values, "s", "Time of one input, batch 1")}


def describe_crossover(report: Report, depth: int, dtype: str) -> str:
    """Return in one sentence from which width on each accelerator beats the processor."""
    rows = ", ".join(f"{label} {text}" for label, text, _ in worth_rows(report, depth, dtype))
    return f"Time of one input over the width: {rows}."


def worth_rows(report: Report, depth: int, dtype: str) -> list[tuple[str, str, str]]:
    """Return the width from which each accelerator beats the processor on a single input."""
    cpu, *others = devices(report)
    rate = _cpu_rate(cpu, dtype)
    return [
        _worth_row(device, _floor_s(device, depth, dtype), _floor_s(cpu, depth, dtype), rate, depth)
        for device in others
    ]


def worth_cards(report: Report, depth: int, dtype: str) -> list[how.How]:
    """Return the card of each of these widths."""
    cpu, *others = devices(report)
    rate, floor = _cpu_rate(cpu, dtype), _floor_s(cpu, depth, dtype)
    return [how.worthwhile(f"{d.label} pays", _floor_s(d, depth, dtype), floor, rate, depth) for d in others]


def _cpu_rate(cpu: Device, dtype: str) -> float:
    """Rate that the processor reaches [FLOP/s]."""
    return cpu.setup(MLP(), dtype).rates.flops["linear"] * cpu.engine.linear_efficiency


def _floor_s(device: Device, depth: int, dtype: str) -> float:
    """Time of a network with next to no work: launches alone [s]."""
    return float(device.setup(MLP(depth, 1), dtype).run(1.0).time_s)


def _worth_row(device: Device, floor_s: float, cpu_floor_s: float, rate: float, depth: int) -> tuple[str, str, str]:
    flops = float(worthwhile_flops(max(0.0, floor_s - cpu_floor_s), rate))
    width = math.sqrt(flops / (2.0 * depth))
    text = f"from width {count(round(width))}" if width > 1.0 else "at any width"
    launches = f"{show(floor_s, 's')} of launches, {show(cpu_floor_s, 's')} on the CPU"
    return f"{device.label} pays", text, f"{launches}: a head start of {show(flops, 'FLOP')}"


def cards(network: Network, curve: Curve) -> list[dict[str, str]]:
    """Return the formulas behind the flat part of one curve, with its values put in."""
    setup = curve.setup
    step = setup.run(1.0)
    launches, host = float(step.total("launches")), setup.engine.host_s
    flat, each = float(step.time_s), setup.per_item_s
    device = flat - float(step.idle_s)
    queued = f"max({significant(launches)} × {show(host, 's')}, {show(device, 's')})"
    return [
        _card("Flat up to batch", knee_batch, f"{show(flat, 's')} / {show(each, 's')}", significant(curve.knee), setup),
        _card("One input: launches against the device", queue_time, queued, show(flat, "s"), setup),
        _card(f"FLOPs of {network.name}", matmul_flops, "over all layers", show(step.total("flops"), "FLOP"), setup),
    ]


def _card(title: str, formula: Callable[..., Any], values: str, result: str, setup: NetworkSetup) -> dict[str, str]:
    found = contract(formula)
    return {
        "title": title,
        "latex": found.equation,
        "substituted": f"{values} = {result}",
        "value": result,
        "source": found.source,
        "confidence": f"{setup.chip.name}: datasheet; launch costs and efficiencies: {setup.engine.name}",
    }


def _line(index: int, x: Sequence[float], y: Any, name: str, hover: Sequence[str]) -> Figure:
    colour, place = theme.SERIES_COLOURS[index], index % len(_DASHES)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": list(x),
        "y": np.asarray(y).tolist(),
        "line": {"color": colour, "dash": _DASHES[place], "width": 2.5},
        "marker": {"symbol": MARKS[place], "size": 7},
        "hovertext": list(hover),
        "hovertemplate": "%{hovertext}<extra>" + name + "</extra>",
    }


def _times(word: str, seconds: Any) -> list[str]:
    return [f"{word} {b:,}: {show(float(t), 's')}" for b, t in zip(BATCHES, seconds, strict=True)]


def _rates(rates: Any) -> list[str]:
    return [f"batch {b:,}: {significant(float(r))} inputs/s" for b, r in zip(BATCHES, rates, strict=True)]


def _axes(word: str, values: Sequence[float], unit: str, title: str) -> dict[str, Any]:
    powers = (1, 4, 16, 64, 256, 1024) if word == "batch" else (16, 64, 256, 1024, 4096)
    xaxis: Figure = {"type": "log", "title": {"text": word}, "tickvals": list(powers)}
    xaxis |= {"ticktext": [f"{power:,}" for power in powers], "automargin": True}
    low = 10.0 ** math.floor(math.log10(min(values)))
    yaxis = theme.log_axis(low, max(values) * 1.5, unit, title)
    return theme.layout(xaxis=xaxis, yaxis=yaxis, margin=MARGIN, hovermode="closest", height=430)
