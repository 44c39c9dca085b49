"""The model once more on traced numbers: the code of an estimate, with inputs that know their names and sources."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from perfmodel.dimensions import Dimensions
from perfmodel.explain.given import (
    DEFINITION,
    TracedPrecision,
    given,
    spaced,
    traced_chip,
    traced_engine,
    traced_fabric,
    traced_model,
    traced_speculation,
)
from perfmodel.explain.trace import Traced, inputs, leaf, named
from perfmodel.formulas.combine import (
    decode_context,
    host_wait,
    interference_time,
    operator_time,
    overlapped_time,
    pass_time,
    request_time,
    simpson_mean,
)
from perfmodel.formulas.occupancy import streaming_time
from perfmodel.formulas.roofline import compute_time, memory_time
from perfmodel.formulas.sharing import pipeline_fill_time, pipeline_step_time
from perfmodel.formulas.types import Real
from perfmodel.ops import COLLECTIVES, Group, Op
from perfmodel.precision import Precision
from perfmodel.report import Report
from perfmodel.setup import Setup, undivided
from perfmodel.step import Fabric, achieved_rate, hidden_share, kernel_class, network_time
from perfmodel.workload import Workload

_BYTES = ("weight_bytes", "activation_bytes", "kv_bytes", "network_bytes")


@dataclass(frozen=True)
class PricedOp:
    """One operator with the traced numbers behind its time; all its occurrences in the pass."""

    op: Op
    times: Real
    compute_s: Real
    memory_s: Real
    network_s: Real
    fixed_s: Real
    host_s: Real
    device_s: Real


@dataclass(frozen=True)
class Rerun:
    """A report computed once more on traced numbers; each part when it is asked for."""

    report: Report

    @cached_property
    def scenario(self) -> dict[str, Traced]:
        """The numbers of the scenario."""
        return {name: given(self.report.scenario, name) for name in ("batch", "input", "output", "n", "pp", "mb")}

    @cached_property
    def prefix(self) -> Real:
        """Tokens cached before; a plain 0 leaves no trace in a formula."""
        return given(self.report.scenario, "prefix") if self.report.scenario.prefix else 0.0

    @cached_property
    def setup(self) -> Setup:
        """The resolved scenario with traced numbers."""
        plain, s = self.report.setup, self.report.scenario
        wide: dict[str, Any] = {
            name: given(s, name) for name in ("tp", "pp", "dp", "ep", "skew", "cp", "mb") if getattr(s, name) != 1
        }
        parts: dict[str, Any] = {
            "model": traced_model(plain.model),
            "chip": traced_chip(plain.chip),
            "engine": traced_engine(plain.engine),
            "precision": TracedPrecision(*(getattr(plain.precision, field.name) for field in fields(Precision))),
        }
        if plain.speculation:
            parts["speculation"] = traced_speculation(plain.speculation, s)
        return replace(plain, **parts, **wide)

    @cached_property
    def fabric(self) -> Fabric:
        """The links with traced numbers."""
        return traced_fabric(self.setup)

    @cached_property
    def known(self) -> dict[str, Traced]:
        """Inputs that a formula's argument is recognised as when its trace was lost on the way."""
        d = self.setup.model.dimensions
        values = {name: getattr(d, name) for name in Dimensions.model_fields}
        found = {name: value for name, value in values.items() if isinstance(value, Traced)}
        found |= {name: given(self.report.scenario, name) for name in ("tp", "ep", "skew")}
        one = leaf("new tokens", 1.0, "", DEFINITION, "a decode step computes one token per sequence")
        return found | {"new": one, "past": given(self.report.scenario, "prefix")}

    @cached_property
    def context(self) -> Real:
        """Context of the decode step that is shown."""
        return decode_context(self.prefix, self.scenario["input"], self.scenario["output"])

    def work(self, phase: str) -> Workload:
        """Return the workload of "prefill" or "decode"."""
        batch = self.scenario["batch"]
        if phase == "prefill":
            return Workload(batch, self.scenario["input"], self.prefix)
        return Workload(batch, 1.0, named("context", self.context, ""), generating=True)

    @cached_property
    def prefill(self) -> TracedPass:
        """The prefill pass."""
        return self.run(self.work("prefill"))

    @cached_property
    def decode(self) -> TracedPass:
        """The decode step at context input + output/2."""
        return self.run(self.work("decode"))

    @cached_property
    def mean_step_s(self) -> Real:
        """Mean decode step of the generation: its first, middle and last step by Simpson's rule."""
        start = self.prefix + self.scenario["input"]
        longer = self.report.scenario.output > 2
        end = self.prefix + (self.scenario["input"] + (self.scenario["output"] - 2.0)) if longer else start
        batch = self.scenario["batch"]
        steps = [self.run(Workload(batch, 1.0, named("context", c, ""), generating=True)) for c in (start, end)]
        first, last = (named(n, step.time_s, "s") for n, step in zip(("first step", "last step"), steps, strict=True))
        return simpson_mean(first, named("middle step", self.decode.time_s, "s"), last)

    @cached_property
    def request_s(self) -> Real:
        """Time of the whole request batch."""
        first = named("time to first token", self.ttft_s, "s")
        return request_time(first, named("time per output token", self.tpot_s, "s"), self.scenario["output"])

    @cached_property
    def ttft_s(self) -> Real:
        """Time to first token: the prefill pass or one request's share of it, and a decode step where one follows."""
        whole, s, parts = self.prefill.time_s, self.scenario, self.report.scenario.mb
        if self.setup.engine.continuous:
            own = whole * s["mb"] / self.per_replica if parts > 1 else whole / self.per_replica
        else:
            own = pipeline_fill_time(whole, s["pp"], s["mb"]) if parts > 1 else whole
        if not self.setup.engine.first_token_step:
            return own
        return named("prefill", own, "s") + named("decode step", self.decode_step_s, "s")

    @cached_property
    def decode_step_s(self) -> Real:
        """The decode step that is shown, with the waiting for one's turn in a pipeline."""
        return self._turn(self.decode.time_s)

    def _turn(self, time_s: Real) -> Real:
        """Return the time with the waiting for one's turn in a pipeline; one batch never waits."""
        s = self.scenario
        return pipeline_step_time(time_s, s["pp"], s["mb"]) if self.report.scenario.mb > 1 else time_s

    @property
    def per_replica(self) -> Real:
        """Sequences of the fullest replica: only those share passes."""
        batch = self.scenario["batch"]
        return batch if self.setup.dp == 1 else named("sequences of a replica", np.ceil(batch / self.setup.dp), "")

    @cached_property
    def tpot_s(self) -> Real:
        """Time per output token: the mean step, and the prefill of other requests under continuous batching."""
        own = self._turn(self.mean_step_s)
        if self.setup.speculation:
            own = named("mean round", own, "s") / self.setup.tokens_per_step
        if not self.setup.engine.continuous:
            return own
        prefill = named("prefill of the batch", self._turn(self.prefill.time_s), "s")
        carried = interference_time(prefill, self.per_replica, self.scenario["output"])
        return named("mean step", own, "s") + carried

    def run(self, work: Workload) -> TracedPass:
        """List and price the operators of one pass."""
        s = self.report.scenario
        hidden = given(s, "overlap") if s.overlap else 0.0
        with inputs(self.known):
            ops = [_named(op) for op in self.setup.ops(work)]
            if self.setup.engine.step_s:
                ops.append(Op("engine_step", Group.ENGINE, "host", launches=0.0))
            return TracedPass(tuple(self.price(op) for op in ops), hidden)

    def model_flops(self, phase: str) -> Real:
        """Return the FLOPs of a phase, each counted once: those of the pass on one device."""
        with inputs(self.known):
            ops = undivided(self.setup).ops(self.work(phase))
        return sum((named(op.name, op.flops * self.times(op), "FLOP") for op in ops), 0.0)

    def times(self, op: Op) -> Real:
        """Return how often an operator occurs in a pass; a plain 1 leaves no trace."""
        if op.count == 1 or isinstance(op.count, Traced):
            return op.count
        return leaf("occurrences", op.count, "", self.setup.model.source_of("layers"), "identical layers of this kind")

    def price(self, op: Op) -> PricedOp:
        """Price one operator with the formulas of the engine."""
        setup, engine = self.setup, self.setup.engine
        times = self.times(op)
        kernel = kernel_class(op, engine)
        compute = compute_time(op.flops, achieved_rate(op, kernel, engine, setup.rates)) * times if op.flops else 0.0
        memory, bandwidth = 0.0, setup.chip.memory_bytes_per_s
        if op.moved_bytes:
            memory = (
                memory_time(named("moved bytes", op.moved_bytes, "B"), bandwidth * kernel.memory_efficiency) * times
            )
        if op.blocks and setup.chip.sms > 0:
            limit = times * streaming_time(op.blocks[0], op.blocks[1], setup.chip.sms, bandwidth)
            memory = max(memory, limit)
        network = network_time(op, engine, self.fabric) * times
        fixed = kernel.kernel_s * op.launches * times if op.kind not in COLLECTIVES else 0.0
        if op.kind == "host":
            fixed = engine.step_s
        needs = (
            named("compute time", compute, "s"),
            named("memory time", memory, "s"),
            named("network time", network, "s"),
            named("fixed time", fixed, "s"),
        )
        device = operator_time(*needs, engine.overlap, engine.network_overlap)
        return PricedOp(op, times, *needs, op.launches * times * engine.host_s, device)


def _named(op: Op) -> Op:
    units = {"flops": "FLOP", "launches": ""} | dict.fromkeys(_BYTES, "B")
    fields: dict[str, Any] = {name: named(spaced(name), getattr(op, name), unit) for name, unit in units.items()}
    return op._replace(**fields)


@dataclass(frozen=True)
class TracedPass:
    """The operators of one pass with their traced times."""

    ops: tuple[PricedOp, ...]
    hidden: Real = 0.0

    @cached_property
    def host_s(self) -> Real:
        """Host time of all launches."""
        return sum((named(f"host {p.op.name}", p.host_s, "s") for p in self.ops), 0.0)

    @cached_property
    def device_s(self) -> Real:
        """Device time of all operators; with an overlap, of computing and communication beside each other."""
        if not self.hidden or not self.links_s:
            return sum((named(p.op.name, p.device_s, "s") for p in self.ops), 0.0)
        own = sum((named(p.op.name, p.device_s, "s") for p in self.ops if p.op.kind not in COLLECTIVES), 0.0)
        return overlapped_time(named("computing", own, "s"), named("links", self.links_s, "s"), self.hidden)

    @cached_property
    def links_s(self) -> Real:
        """Device time of all collectives."""
        return sum((named(p.op.name, p.device_s, "s") for p in self.ops if p.op.kind in COLLECTIVES), 0.0)

    @cached_property
    def time_s(self) -> Real:
        """Time of the pass."""
        return pass_time(named("device time", self.device_s, "s"), named("host time", self.host_s, "s"))

    def total(self, field: str, unit: str) -> Real:
        """Return the sum of one field over all operators and occurrences, each operator under its name."""
        return sum((named(p.op.name, getattr(p.op, field) * p.times, unit) for p in self.ops), 0.0)

    def op(self, name: str) -> PricedOp:
        """Return one operator; raise a `ValueError` that names those there are."""
        for priced in self.ops:
            if priced.op.name == name:
                return priced
        raise ValueError(f"no operator {name!r} in this pass; there are {', '.join(p.op.name for p in self.ops)}")

    def op_time(self, name: str) -> Real:
        """Return the time of one operator, its share of the waiting for the host included."""
        priced = self.op(name)
        shown = priced.device_s
        if self.hidden and priced.op.kind in COLLECTIVES:
            own = sum((p.device_s for p in self.ops if p.op.kind not in COLLECTIVES), 0.0)
            shown = shown * (1.0 - hidden_share(float(self.links_s), float(own), float(self.hidden)))
        if not self.host_s > self.device_s:
            return shown
        host = named("host time of the pass", self.host_s, "s")
        device = named("device time of the pass", self.device_s, "s")
        wait = host_wait(named("host time", priced.host_s, "s"), host, device)
        return named("device time", shown, "s") + named("waiting for the host", wait, "s")
