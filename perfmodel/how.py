"""How every headline number of the pages comes about: one card each, in the order in which the page shows them.

Most are cards of `perfmodel.explain`: the code that computed the number, run again on numbers that know their sources.
What was found by search, counted or taken as a median over many rows has no formula in one line: a `Told` says the
rule, shows what it gives beside the number, and can be asked for the value again. Nothing is computed before a card is
opened.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from perfmodel.batching import BatchCurve
from perfmodel.blocks import parameters
from perfmodel.catalog import Source
from perfmodel.chip_tables import wide_type
from perfmodel.confidence import training_text
from perfmodel.estimate import cached_estimate
from perfmodel.explain import METRICS, Card, explain_metric
from perfmodel.explain.given import TracedPrecision, traced_chip, traced_model
from perfmodel.explain.metrics import rerun
from perfmodel.explain.rerun import TracedPass
from perfmodel.explain.trace import Traced, leaf, named
from perfmodel.formulas.combine import output_rate
from perfmodel.formulas.overhead import knee_batch, worthwhile_flops
from perfmodel.formulas.roofline import arithmetic_intensity, critical_batch, ridge_intensity
from perfmodel.formulas.training import flops_utilization, training_days
from perfmodel.formulas.types import Real
from perfmodel.hardware import Accelerator
from perfmodel.layouts import Goal, Layouts
from perfmodel.memory import cache_bytes, device_bytes
from perfmodel.model import Model
from perfmodel.model_tables import stored_bytes
from perfmodel.report import Report
from perfmodel.score import CLOSE, NEAR, score
from perfmodel.training import TrainingReport
from perfmodel.units import DAY_S, HOUR_S, show
from perfmodel.validation import Check, grouped, headline

_ESTIMATED = Source("derived", "the estimate that the page shows")
HOME = ("ttft_s", "tpot_s", "tokens_per_s", "memory", "usd_per_million_tokens")


@dataclass(frozen=True)
class Told:
    """A number without a formula in one line: the rule by which it was found, and what the rule gives there.

    `again` finds it anew; `values` shows the rule with its values put in. Both run when the card is opened.
    """

    title: str
    value: float
    shown: str
    rule: str
    values: Callable[[], str]
    again: Callable[[], float]
    source: str
    confidence: str = "derived"
    unit: str = ""

    @property
    def substituted(self) -> str:
        """The rule, then the rule with its values."""
        return f"{self.rule} {self.values()}"


How: TypeAlias = "Card | Told | None"


def card(
    title: str, value: float, unit: str, make: Callable[[], Real], measured: Callable[[], str] = str
) -> Card | None:
    """Return a card whose number is computed on traced inputs when it is opened; None for a number nobody knows.

    `measured` says between what comparable measurements lie.
    """

    def made() -> Traced:
        found = make()
        return found if isinstance(found, Traced) else given(title, float(found), unit)

    return Card(title, float(value), unit, made, measured) if math.isfinite(value) else None


def given(name: str, value: float, unit: str, source: Source = _ESTIMATED, meaning: str = "") -> Traced:
    """Return a number that a card starts from."""
    return leaf(name, value, unit, source, meaning)


def home(report: Report) -> list[How]:
    """Return the cards of the numbers on the home page."""
    return [
        explain_metric(report, name)
        if name != "usd_per_million_tokens" or math.isfinite(report.usd_per_million_tokens)
        else None
        for name in HOME
    ]


def cures(after: Report, values: tuple[float, float]) -> list[How]:
    """Return the cards of several cures together: the gain from what decides before and after, then the numbers."""
    old, new = values
    gain = card("Gain", new / old, "", lambda: _gain(given("before", old, ""), given("after", new, "")))
    names = ("ttft_s", "e2e_s", "tokens_per_s", "usd_per_million_tokens", "memory")
    known = [name if math.isfinite(METRICS[name].value(after)) else "" for name in ("tpot_s", *names)]
    return [gain, *(explain_metric(after, name) if name else None for name in known)]


def _gain(before: Real, after: Real) -> Real:
    """What the goal counts after, over before: larger is better."""
    return after / before


def operator(report: Report, phase: str, name: str, wanted: Sequence[str]) -> list[How]:
    """Return the cards of what a page shows of one operator: any of time, share, flops, bytes, intensity, rate."""
    step, run = (report.prefill, report.decode)[phase == "decode"], rerun(report)
    timed = next(timed for timed in step.timed if timed.op.name == name)

    def traced() -> TracedPass:
        return run.prefill if phase == "prefill" else run.decode

    def work(field: str, unit: str) -> Real:
        priced = traced().op(name)
        return named(field.replace("_", " "), getattr(priced.op, field) * priced.times, unit)

    rate = timed.flops / timed.time_s if timed.time_s else math.nan
    found: dict[str, How] = {
        "time": card("Time in the pass", timed.time_s, "s", lambda: traced().op_time(name)),
        "share": card("Share of the pass", timed.time_s / float(step.time_s), "", lambda: _share(traced(), name)),
        "flops": card("FLOPs", timed.flops, "FLOP", lambda: work("flops", "FLOP")),
        "bytes": card("Traffic", timed.moved_bytes, "B", lambda: work("moved_bytes", "B")),
        "intensity": card(
            "Arithmetic intensity",
            timed.intensity,
            "FLOP/B",
            lambda: arithmetic_intensity(work("flops", "FLOP"), work("moved_bytes", "B")),
        ),
        "rate": card("Achieved rate", rate, "FLOP/s", lambda: _rate(traced(), name)),
    }
    return [found[key] for key in wanted]


def _share(run: TracedPass, name: str) -> Real:
    """Time of the operator over the time of the pass."""
    return named("operator", run.op_time(name), "s") / named("pass", run.time_s, "s")


def _rate(run: TracedPass, name: str) -> Real:
    """FLOPs of the operator over its time."""
    priced = run.op(name)
    return named("flops", priced.op.flops * priced.times, "FLOP") / named("time", run.op_time(name), "s")


def batching(curve: BatchCurve, report: Report) -> list[How]:
    """Return the cards of the numbers on the batching page."""
    setup, memory = report.setup, report.memory
    first = float(curve.step_s[0])

    def takeover() -> Real:
        return _takeover(report)

    def double() -> str:
        at = int(np.argmax(curve.step_s >= 2.0 * first))
        return f"{show(float(curve.step_s[at]), 's')} at {curve.batch[at]:,.0f}, 2 × {show(first, 's')} at batch 1."

    def need(batch: float) -> float:
        return float(device_bytes(setup, batch, memory.input, memory.context))

    def fit() -> str:
        has = show(memory.capacity, "B", 4)
        now, more = (show(need(batch), "B", 4) for batch in (float(curve.largest), curve.largest + 1.0))
        return f"{curve.largest:,} need {now}, {curve.largest + 1:,} would need {more} of {has}."

    rule = "The smallest batch of the curve at which a step takes at least twice as long as at its first batch:"
    limit = "The most sequences whose weights, cache, activations and reserve fit on a device, found by bisection:"
    knee = Told(
        "Step doubles by batch", curve.knee, f"{curve.knee:g}", rule, double,
        lambda: float(curve.batch[int(np.argmax(curve.step_s >= 2.0 * first))]), "definition",
    )  # fmt: skip
    largest = Told(
        "Largest batch that fits", float(curve.largest), f"{curve.largest:,}", limit, fit,
        lambda: _largest(need, memory.capacity, curve.largest), "perfmodel/memory.py",
    )  # fmt: skip
    return [
        explain_metric(report, "decode_step_s"),
        card("Critical batch", curve.critical, "", lambda: _critical(report)),
        card("KV outweighs weights", curve.kv_takeover, "", takeover),
        knee if math.isfinite(curve.knee) else None,
        largest if memory.capacity > 0 else None,
    ]


def _largest(need: Callable[[float], float], capacity: float, found: int) -> float:
    """Return the number that was found if it fits and one more does not, else NaN."""
    fits = found == 0 or need(float(found)) <= capacity
    return float(found) if fits and not need(found + 1.0) <= capacity else math.nan


def _critical(report: Report) -> Real:
    setup = rerun(report).setup
    return critical_batch(setup.precision.weight_bytes, setup.rates.flops["linear"], setup.chip.memory_bytes_per_s)


def _takeover(report: Report) -> Real:
    """Bytes of the weights that one token passes over the bytes that one sequence keeps in the cache."""
    run = rerun(report)
    d, precision = run.setup.model.dimensions, run.setup.precision
    weights = named("active linear weights", parameters(d).linear_active * precision.weight_bytes, "B")
    each = cache_bytes(d, named("context", run.context, ""), precision.kv_bytes)
    return weights / named("cache of one sequence", each, "B")


def chip(chip: Accelerator) -> list[How]:
    """Return the cards of the headline numbers of an accelerator: what the data sheet says, and the ridge."""
    dtype = wide_type(chip, "16 bit") or ""
    rate = chip.peak_flops.get(dtype, math.nan)
    ridge = rate / chip.memory_bytes_per_s if chip.memory_bytes_per_s > 0 else math.nan

    def turn() -> Real:
        known = traced_chip(chip)
        return ridge_intensity(known.peak_flops[dtype], known.memory_bytes_per_s)

    return [
        card("Memory", chip.memory_bytes, "B", lambda: traced_chip(chip).memory_bytes),
        card("Bandwidth", chip.memory_bytes_per_s, "B/s", lambda: traced_chip(chip).memory_bytes_per_s),
        card("Peak", rate, "FLOP/s", lambda: traced_chip(chip).peak_flops[dtype]),
        card("Ridge", ridge, "FLOP/B", turn),
        card("Price", chip.usd_per_hour, "USD/h", lambda: traced_chip(chip).usd_per_hour),
    ]


def model(model: Model) -> list[How]:
    """Return the cards of the headline numbers of a model."""
    counted, d = parameters(model.dimensions), model.dimensions
    two = TracedPrecision()

    def each() -> Real:
        known = traced_model(model).dimensions
        return cache_bytes(known, 1.0, two.kv_bytes) - cache_bytes(known, 0.0, two.kv_bytes)

    per_token = float(cache_bytes(d, 1.0, 2.0) - cache_bytes(d, 0.0, 2.0))
    return [
        card("Parameters", counted.total, "", lambda: parameters(traced_model(model).dimensions).total),
        card("Active", counted.active, "", lambda: parameters(traced_model(model).dimensions).active),
        card("KV per token", per_token, "B/token", each),
        card("Weights in bf16", stored_bytes(model, "bf16"), "B", lambda: _stored(model, two)),
        card("Context", d.max_context, "", lambda: traced_model(model).dimensions.max_context),
    ]


def _stored(model: Model, precision: TracedPrecision) -> Real:
    """Parameters times the bytes of each."""
    p = parameters(traced_model(model).dimensions)
    return (p.attention + p.ffn) * precision.weight_bytes + (p.embedding + p.head + p.norms) * precision.wide_bytes


def layouts(found: Layouts, goal: Goal) -> list[How]:
    """Return the cards of the numbers on the parallelism page: those of the best layout are its estimate's."""
    ranked = found.ranked(goal)

    def holding() -> str:
        return f"{len(ranked)} hold, {len(found.rejected)} do not."

    rule = "A layout holds when its sizes divide what they split, it fits into memory, and its links keep up:"
    held = Told(
        "Layouts that hold", float(len(ranked)), str(len(ranked)), rule, holding,
        lambda: float(sum(not one.problem for one in found.found)), "perfmodel/layouts.py",
    )  # fmt: skip
    if not ranked:
        return [held]
    best = ranked[0]
    report = cached_estimate(found.scenario.change(**best.fields))
    return [
        held,
        None,
        explain_metric(report, "tpot_s"),
        explain_metric(report, "ttft_s"),
        card("Tokens/s per device", best.tokens_per_device, "tokens/s", lambda: _each_device(report)),
        explain_metric(report, "memory"),
    ]


def _each_device(report: Report) -> Real:
    """Output tokens per second of all devices over their number."""
    run = rerun(report)
    rate = output_rate(run.scenario["batch"], run.scenario["output"], named("request time", run.request_s, "s"))
    return named("tokens per second", rate, "tokens/s") / run.scenario["n"]


def training(report: TrainingReport, tokens: float) -> list[How]:
    """Return the cards of the numbers on the training page."""
    s, gpu = report.scenario, traced_chip(report.scenario.resolved_gpu)

    def step() -> Real:
        return _sum([given(name, seconds, "s") for name, seconds in report.parts_s.items() if seconds])

    def utilization(flops: float, what: str) -> Callable[[], Real]:
        peak = given(
            "peak", report.peak_flops, "FLOP/s", s.resolved_gpu.sources.get(f"peak.{report.rates.linear}", _ESTIMATED)
        )
        return lambda: flops_utilization(given(what, flops, "FLOP"), named("step", step(), "s"), devices, peak)

    def speed() -> Real:
        return given("tokens of a step", s.tokens, "") / named("step", step(), "s")

    devices = given("devices", float(s.n), "", Source("scenario", "chosen on this page"))
    budget = given("token budget", tokens, "", Source("scenario", "chosen on this page"))
    kinds = [given(name, held, "B") for name, held in report.memory.kinds.items() if held]

    def days() -> Real:
        return training_days(budget, named("tokens per second", speed(), "1/s"))

    def within(metric: str, value: float, unit: str = "") -> Callable[[], str]:
        return partial(training_text, report, metric, value, unit)

    time, cost, held = report.days(tokens), report.cost_usd(tokens), report.memory.total

    def rent() -> Real:
        return _rent(named("days", days(), ""), devices, gpu.usd_per_hour)

    return [
        card("Step", report.step_s, "s", step, within("step_s", report.step_s, "s")),
        card("Tokens/s", report.tokens_per_s, "", speed, within("tokens_per_s", report.tokens_per_s)),
        card("MFU", report.mfu, "", utilization(report.model_flops, "model FLOPs"),
             within("mfu", report.mfu, "share")),
        card("HFU", report.hfu, "", utilization(report.hardware_flops, "executed FLOPs"),
             within("hfu", report.hfu, "share")),
        card("Memory", held, "B", lambda: _sum(kinds), within("memory_bytes_per_gpu", held, "B")),
        card("Days", time, "", days, within("days", time)),
        card("Cost", cost, "USD", rent, within("cost", cost, "USD")),
    ]  # fmt: skip


def _sum(parts: Sequence[Real]) -> Real:
    """The sum of the parts."""
    return sum(parts[1:], parts[0])


def _rent(days: Real, devices: Real, usd_per_hour: Real) -> Real:
    """Hours times devices times the list price of one device and hour."""
    return days * (DAY_S / HOUR_S) * devices * usd_per_hour


def knee(label: str, flat_s: float, per_item_s: float, value: float) -> How:
    """Return the card of the batch up to which latency is flat."""
    flat = given("time of one input", flat_s, "s")
    return card(label, value, "", lambda: knee_batch(flat, given("time of each further input", per_item_s, "s")))


def worthwhile(label: str, floor_s: float, cpu_floor_s: float, rate: float, depth: int) -> How:
    """Return the card of the width from which an accelerator beats a processor on one input."""
    flops = worthwhile_flops(max(0.0, floor_s - cpu_floor_s), rate)

    def width() -> Real:
        ahead = given("head start of the processor", max(0.0, floor_s - cpu_floor_s), "s")
        work = worthwhile_flops(ahead, given("rate of the processor", rate, "FLOP/s"))
        return _width(named("work", work, "FLOP"), given("layers", float(depth), ""))

    return card(label, math.sqrt(float(flops) / (2.0 * depth)), "", width)


def _width(flops: Real, layers: Real) -> Real:
    """Width of a perceptron with this work for one input: each layer is one square matrix, 2 w² FLOPs."""
    return np.sqrt(flops / (2.0 * layers))


def validation(found: list[Check]) -> list[How]:
    """Return the cards of the headline numbers of some checks: medians and shares over rows."""
    one = score(check.error for check in found)
    errors = np.array([check.error for check in found])
    rules = (
        ("Headline error", headline(found), "Mean over families of the median |ln(predicted / measured)|:"),
        ("Median of all rows", one.median, "Median of |ln(predicted / measured)|:"),
        ("Signed median", one.signed, "Median of ln(predicted / measured):"),
        ("Within 15 %", one.within_15, "Share of rows with a factor of at most 1.15 to either side:"),
        ("Within 30 %", one.within_30, "Share of rows with a factor of at most 1.30 to either side:"),
    )
    again: tuple[Callable[[], float], ...] = (
        lambda: float(np.mean([np.median([abs(c.error) for c in rows]) for rows in grouped(found).values()])),
        lambda: float(np.median(np.abs(errors))),
        lambda: float(np.median(errors)),
        lambda: float(np.mean(np.abs(errors) <= math.log(CLOSE))),
        lambda: float(np.mean(np.abs(errors) <= math.log(NEAR))),
    )

    def told(title: str, value: float, rule: str, anew: Callable[[], float]) -> Told:
        shown = f"{value:.3f}"
        return Told(
            title, value, shown, rule, lambda: f"{shown} over {len(found):,} figures.", anew, "the rows of this page"
        )

    return [told(*rule, anew) for rule, anew in zip(rules, again, strict=True)]
