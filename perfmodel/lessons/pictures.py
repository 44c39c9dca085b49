"""The figures of the expert pages under the names that a lesson file writes, drawn for the scenario of a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from perfmodel import breakdown, chip_compare, layout_curves, layouts
from perfmodel.batching import batch_curve, by_chip, by_precision
from perfmodel.convnet import RESNET_50
from perfmodel.estimate import cached_estimate
from perfmodel.figures import (
    batching,
    catalogue,
    flops,
    kv,
    memory,
    network_layers,
    networks,
    notebook,
    parallelism,
    roofline,
    time_bar,
)
from perfmodel.figures.theme import Figure, Mark
from perfmodel.mlp import MLP
from perfmodel.report import Report
from perfmodel.scenario import Scenario

View: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Drawing:
    """A figure or an SVG picture, the sentence that says what it shows, and its legend."""

    describe: str
    figure: Figure | None = None
    svg: str = ""
    legend: tuple[Mark, ...] = field(default=())


def _time_bar(report: Report, _view: View) -> Drawing:
    return Drawing(time_bar.describe(report), svg=time_bar.svg(report))


def _roofline(report: Report, view: View) -> Drawing:
    phases = roofline.PHASES[view.get("phase", "both")]
    picture = roofline.figure(report, phases, view.get("op", ""))
    return Drawing(roofline.describe(report, phases), picture, legend=tuple(roofline.legend(report, phases)))


def _chip_rooflines(report: Report, view: View) -> Drawing:
    times = chip_compare.times_on(report.scenario, view["chips"].split())
    return Drawing(catalogue.describe_rooflines(times), catalogue.rooflines(times))


def _batch(report: Report, _view: View) -> Drawing:
    curve = batch_curve(report.scenario)
    picture = batching.anatomy(curve, report.scenario.batch)
    return Drawing(batching.describe(curve), picture, legend=batching.anatomy_legend())


def _throughput(report: Report, view: View) -> Drawing:
    scenario = report.scenario
    chips = tuple(view.get("chips", "").split())
    curves = by_chip(scenario, chips) if chips else by_precision(scenario)
    picture = batching.throughput(curves, scenario.batch)
    return Drawing(batching.ranking(curves), picture, legend=batching.throughput_legend(curves))


def _memory(report: Report, _view: View) -> Drawing:
    return Drawing(memory.describe_stack(report.memory), memory.stack_figure(report.memory))


def _kv_curve(report: Report, view: View) -> Drawing:
    curve = breakdown.cache_curve(report, view.get("axis", "tokens"))
    return Drawing(kv.describe_curve(curve), kv.curve_figure(curve))


def _kv_heads(report: Report, _view: View) -> Drawing:
    found = breakdown.kv_variants(report.scenario)
    return Drawing(kv.describe_variants(found), kv.variants_figure(found))


def _kv_precision(report: Report, _view: View) -> Drawing:
    found = breakdown.kv_precisions(report)
    return Drawing(kv.describe_precision(found), kv.precision_figure(found, report.scenario.kv))


def _flops(report: Report, _view: View) -> Drawing:
    both = breakdown.phases(report.scenario)
    return Drawing(flops.describe_blocks(report, both), flops.blocks_figure(report, both))


def _flops_context(report: Report, _view: View) -> Drawing:
    d, context = report.setup.model.dimensions, breakdown.phases(report.scenario)[1].context
    curve = breakdown.attention_curve(d)
    picture = flops.context_figure(curve, d.hidden, context, float(d.max_context))
    return Drawing(flops.describe_context(curve, context), picture)


def _flops_cache(report: Report, _view: View) -> Drawing:
    found = breakdown.generation(report.scenario)
    return Drawing(flops.describe_generation(found), flops.generation_figure(found))


def _shape(report: Report, _view: View) -> Drawing:
    rows = breakdown.growth(report.setup.model.dimensions)
    return Drawing(flops.describe_shape(rows), flops.shape_figure(rows))


def _networks(report: Report, view: View) -> Drawing:
    network = RESNET_50 if view.get("net", "resnet") == "resnet" else MLP(8, int(view.get("width", 1024)))
    curves = networks.curves(report, network, view.get("dtype", "fp32"))
    return Drawing(networks.describe_curves(network, curves), networks.latency(curves))


def _family(report: Report, view: View) -> Drawing:
    options = (report, 8, view.get("on", "t4"), view.get("dtype", "fp32"))
    return Drawing(networks.describe_family(*options), networks.family(*options))


def _crossover(report: Report, _view: View) -> Drawing:
    told = "; ".join(f"{label}: {text}" for label, text, *_ in networks.worth_rows(report, 8, "fp32"))
    return Drawing(f"Time of one input over the width of an MLP. {told}.", networks.crossover(report, 8, "fp32"))


def _layers(report: Report, view: View) -> Drawing:
    options = (report, int(view.get("batch", 1)), view.get("dtype", "fp32"))
    return Drawing(network_layers.describe_layers(*options), network_layers.layer_times(*options))


def _widths(_report: Report, _view: View) -> Drawing:
    return Drawing(notebook.describe_widths(), notebook.widths())


def _staircase(_report: Report, _view: View) -> Drawing:
    return Drawing(notebook.describe_staircase(), notebook.staircase())


def _scaling(report: Report, view: View) -> Drawing:
    curve = layout_curves.scaling(report.scenario, view.get("phase", "decode"))
    return Drawing(parallelism.describe_scaling(curve), parallelism.speedup_chart(curve))


def _pope(report: Report, view: View) -> Drawing:
    curves = layout_curves.pope_over_tokens(report.scenario, int(view.get("devices", 64)))
    return Drawing(parallelism.describe_pope(curves), parallelism.pope_chart(curves))


def _layouts(report: Report, view: View) -> Drawing:
    found = layouts.layouts(report.scenario, (int(view.get("devices", 8)),))
    ranked = found.ranked(view.get("goal", "latency"))[:6]
    told = parallelism.describe_time(ranked)
    return Drawing(told, parallelism.time_bars(ranked), legend=parallelism.time_legend(ranked))


#: Name in a lesson file -> what draws it. "bars" shows values of the step and is drawn by the step itself.
PICTURES: Mapping[str, Callable[[Report, View], Drawing] | None] = {
    "bars": None,
    "time_bar": _time_bar,
    "roofline": _roofline,
    "chip_rooflines": _chip_rooflines,
    "batch": _batch,
    "throughput": _throughput,
    "memory": _memory,
    "kv_curve": _kv_curve,
    "kv_heads": _kv_heads,
    "kv_precision": _kv_precision,
    "flops": _flops,
    "flops_context": _flops_context,
    "flops_cache": _flops_cache,
    "shape": _shape,
    "networks": _networks,
    "family": _family,
    "crossover": _crossover,
    "layers": _layers,
    "widths": _widths,
    "staircase": _staircase,
    "scaling": _scaling,
    "pope": _pope,
    "layouts": _layouts,
}


def draw(name: str, scenario: Scenario, view: View) -> Drawing:
    """Return a figure of the expert pages for a scenario."""
    found = PICTURES[name]
    if found is None:
        raise ValueError(f"figure={name!r} needs the values of its step")
    return found(cached_estimate(scenario), view)
