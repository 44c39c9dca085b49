"""Which number has which card: the headline metrics, the operators, the parts of memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from weakref import WeakValueDictionary

from perfmodel.blocks import parameters
from perfmodel.confidence import confidence_text
from perfmodel.explain.cards import Card
from perfmodel.explain.docstrings import Formula, contract
from perfmodel.explain.given import DEFINITION, GIVEN, spaced
from perfmodel.explain.rerun import Rerun
from perfmodel.explain.trace import Node, Traced, history, leaf, named
from perfmodel.formulas.combine import (
    device_memory,
    output_rate,
    price_per_million,
)
from perfmodel.formulas.roofline import arithmetic_intensity, chip_seconds, request_cost, ridge_intensity
from perfmodel.formulas.types import Real
from perfmodel.memory import activation_bytes, cache_bytes, device_cache_bytes, device_weight_bytes, weight_bytes
from perfmodel.report import Report


@dataclass(frozen=True, slots=True)
class Metric:
    """One headline number: its words, unit, where the report shows it and how it is computed on traced numbers."""

    title: str
    unit: str
    value: Callable[[Report], float]
    make: Callable[[Rerun], Real]


def _chip_seconds(run: Rerun) -> Real:
    return chip_seconds(run.scenario["n"], named("request time", run.request_s, "s"), run.scenario["batch"])


def _price(run: Rerun) -> Real:
    cost = request_cost(named("chip seconds", _chip_seconds(run), "s"), run.setup.chip.usd_per_hour)
    return price_per_million(cost, run.scenario["output"])


def _kv_bytes(run: Rerun) -> Real:
    setup = run.setup
    return run.scenario["batch"] * cache_bytes(setup.model.dimensions, _final(run), setup.precision.kv_bytes)


def _final(run: Rerun) -> Real:
    return named("final context", run.prefix + run.scenario["input"] + run.scenario["output"], "")


def _per_token(run: Rerun) -> Real:
    d, value = run.setup.model.dimensions, run.setup.precision.kv_bytes
    return cache_bytes(d, 1.0, value) - cache_bytes(d, 0.0, value)


def _memory(run: Rerun) -> Real:
    setup, batch = run.setup, run.scenario["batch"]
    weights = named("weights on the device", device_weight_bytes(setup), "B")
    cache = named("cache on the device", device_cache_bytes(setup, batch, _final(run)), "B")
    live = named("activations", activation_bytes(setup, batch, run.scenario["input"], _final(run)), "B")
    return device_memory(weights, cache, live, setup.engine.reserve_bytes)


def _intensity(run: Rerun, phase: str) -> Real:
    step = run.prefill if phase == "prefill" else run.decode
    return arithmetic_intensity(
        named("flops", step.total("flops", "FLOP"), "FLOP"), named("moved bytes", step.total("moved_bytes", "B"), "B")
    )


def _ridge(run: Rerun) -> Real:
    return ridge_intensity(run.setup.rates.flops["linear"], run.setup.chip.memory_bytes_per_s)


def _intensity_value(report: Report, phase: str) -> float:
    step = report.prefill if phase == "prefill" else report.decode
    moved = float(step.total("moved_bytes"))
    return float(step.total("flops")) / moved


#: Every headline number that has a card, by the name of its report attribute.
METRICS: dict[str, Metric] = {
    "ttft_s": Metric("Time to first token", "s", lambda r: r.ttft_s, lambda run: run.ttft_s),
    "tpot_s": Metric("Time per output token", "s", lambda r: r.tpot_s, lambda run: run.tpot_s),
    "decode_step_s": Metric("Decode step", "s", lambda r: r.decode_step_s, lambda run: run.decode_step_s),
    "e2e_s": Metric("Whole request", "s", lambda r: r.e2e_s, lambda run: run.request_s),
    "tokens_per_s": Metric(
        "Output tokens per second",
        "tokens/s",
        lambda r: r.tokens_per_s,
        lambda run: output_rate(
            run.scenario["batch"], run.scenario["output"], named("request time", run.request_s, "s")
        ),
    ),
    "chip_seconds": Metric("Accelerator time per request", "s", lambda r: r.chip_seconds, _chip_seconds),
    "usd_per_million_tokens": Metric(
        "Price of a million output tokens", "USD", lambda r: r.usd_per_million_tokens, _price
    ),
    "memory": Metric("Memory per device", "B", lambda r: r.memory.total, _memory),
    "weight_bytes": Metric("Weights, one copy", "B", lambda r: r.weight_bytes, lambda run: weight_bytes(run.setup)),
    "kv_bytes_per_token": Metric("KV cache per token", "B/token", lambda r: r.kv_bytes_per_token, _per_token),
    "kv_bytes": Metric("KV cache of the batch", "B", lambda r: r.kv_bytes, _kv_bytes),
    "flops_prefill": Metric(
        "FLOPs of prefill", "FLOP", lambda r: r.flops_prefill, lambda run: run.model_flops("prefill")
    ),
    "flops_decode": Metric(
        "FLOPs of a decode step", "FLOP", lambda r: r.flops_decode, lambda run: run.model_flops("decode")
    ),
    "intensity_prefill": Metric(
        "Arithmetic intensity of prefill",
        "FLOP/B",
        lambda r: _intensity_value(r, "prefill"),
        lambda run: _intensity(run, "prefill"),
    ),
    "intensity_decode": Metric(
        "Arithmetic intensity of decode",
        "FLOP/B",
        lambda r: _intensity_value(r, "decode"),
        lambda run: _intensity(run, "decode"),
    ),
    "ridge": Metric(
        "Ridge of the linear layers",
        "FLOP/B",
        lambda r: r.setup.rates.flops["linear"] / r.setup.chip.memory_bytes_per_s,
        _ridge,
    ),
    "params_total": Metric(
        "Parameters",
        "",
        lambda r: float(parameters(r.setup.model.dimensions).total),
        lambda run: parameters(run.setup.model.dimensions).total,
    ),
    "params_active": Metric(
        "Active parameters",
        "",
        lambda r: float(parameters(r.setup.model.dimensions).active),
        lambda run: parameters(run.setup.model.dimensions).active,
    ),
}

#: What the groups of cards on a page are made of.
TIME = ("ttft_s", "tpot_s", "e2e_s", "tokens_per_s")
MEMORY = ("memory", "weight_bytes", "kv_bytes_per_token", "kv_bytes")
WORK = ("flops_prefill", "flops_decode", "intensity_prefill", "intensity_decode", "ridge", "params_total")
COST = ("chip_seconds", "usd_per_million_tokens")

_RERUNS: WeakValueDictionary[int, Rerun] = WeakValueDictionary()


def rerun(report: Report) -> Rerun:
    """Return the traced run of a report, shared by all its cards while one of them lives."""
    found = _RERUNS.get(id(report))
    if found is None or found.report is not report:
        found = _RERUNS[id(report)] = Rerun(report)
    return found


def _traced(value: float, title: str) -> Traced:
    if isinstance(value, Traced):
        return value
    return leaf(title, value, "", DEFINITION, f"{title}: nothing to compute here")


def explain_metric(report: Report, name: str) -> Card:
    """Return the card of one headline number; raise a `ValueError` that names those there are."""
    if name not in METRICS:
        raise ValueError(f"metric={name!r} has no card; there are {', '.join(METRICS)}")
    metric, run = METRICS[name], rerun(report)
    value = float(metric.value(report))
    measured = partial(confidence_text, report, name, value, metric.unit)
    return Card(metric.title, value, metric.unit, lambda: _traced(metric.make(run), metric.title), measured)


def explain_op(report: Report, phase: str, name: str) -> Card:
    """Return the card of the time of one operator in "prefill" or "decode", all its occurrences together."""
    if phase not in ("prefill", "decode"):
        raise ValueError(f"phase={phase!r} is not known; it must be prefill or decode")
    step, run = (report.prefill, report.decode)[phase == "decode"], rerun(report)
    found = [timed for timed in step.timed if timed.op.name == name]
    if not found:
        raise ValueError(f"op={name!r} is not in {phase}; there are {', '.join(op.name for op in step.ops)}")

    def make() -> Traced:
        return _traced((run.prefill if phase == "prefill" else run.decode).op_time(name), name)

    return Card(f"{name}, {phase}", found[0].time_s, "s", make)


def cards(report: Report, names: tuple[str, ...] = TIME) -> list[Card]:
    """Return the cards of several headline numbers."""
    return [explain_metric(report, name) for name in names]


def applied(report: Report) -> dict[Formula, Card]:
    """Return, for every formula that this run used, the card of its largest result."""
    run = rerun(report)
    found: dict[Formula, Traced] = {}
    for metric in METRICS.values():
        for value in history(metric.make(run)):
            call = value.how.call if isinstance(value.how, Node) else None
            if call is not None and value > found.get(call.function, 0.0):
                found[call.function] = value
    return {function: _of_call(function, value) for function, value in found.items()}


def _of_call(function: Formula, value: Traced) -> Card:
    told = contract(function)
    return Card(told.title, float(value), told.result.unit, partial(_same, value))


def _same(value: Traced) -> Traced:
    return value


def worked(function: Formula, title: str = "", **values: float) -> Card:
    """Return the card of any formula on given values, as an article or a lesson gives them.

    >>> from perfmodel.formulas.roofline import ridge_intensity
    >>> worked(ridge_intensity, peak_flops=125e12, bytes_per_s=600e9).substituted
    '125 TFLOP/s ÷ 600 GB/s = 208 FLOP/B'
    """
    told = contract(function)
    known = {name: leaf(spaced(name), value, told.symbols[name].unit, GIVEN) for name, value in values.items()}
    result = function(**known)
    return Card(title or told.title, float(result), told.result.unit, lambda: _traced(result, told.title))
