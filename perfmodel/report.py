"""Report: what one scenario costs, with its notes and the sources this run used."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from perfmodel.bands import band, floor_s
from perfmodel.blocks import parameters
from perfmodel.catalog import ESTIMATE, Source
from perfmodel.formulas.combine import (
    decode_context,
    interference_time,
    output_rate,
    price_per_million,
    request_time,
    simpson_mean,
)
from perfmodel.formulas.roofline import chip_seconds, request_cost
from perfmodel.formulas.sharing import pipeline_fill_time
from perfmodel.formulas.types import Real
from perfmodel.memory import Memory, cache_bytes, cache_per_token, weight_bytes
from perfmodel.scenario import Scenario
from perfmodel.setup import Setup, model_flops, replicated_flops
from perfmodel.step import REGIMES, Step
from perfmodel.units import MICRO
from perfmodel.workload import Workload, decode, prefill

#: Properties of a report that its machine form carries under their own name.
PLAIN_RESULTS = (
    "ttft_s", "tpot_s", "e2e_s", "tokens_per_s", "decode_step_s", "weight_bytes", "kv_bytes", "kv_bytes_per_token",
    "flops_prefill", "flops_decode", "replicated_flops_prefill", "replicated_flops_decode", "chip_seconds",
    "usd_per_million_tokens",
)  # fmt: skip
#: Result -> what its band is about; the rate follows from the whole request.
BANDED = {
    "prefill_s": "prefill",
    "ttft_s": "prefill",
    "decode_step_s": "decode",
    "tpot_s": "decode",
    "e2e_s": "request",
    "memory_bytes": "memory",
}


@dataclass(frozen=True, slots=True)
class Note:
    """Something the reader must know: how grave it is, what it is about, one sentence."""

    level: Literal["info", "warning", "error"]
    about: str
    text: str


@dataclass(frozen=True, slots=True)
class UsedNumber:
    """A number this run used: what it is, its value in the unit of its file, and its source."""

    what: str
    value: str
    source: Source
    note: str = ""


@dataclass(frozen=True)
class Report:
    """All results of one scenario. Times are without queueing.

    `steps`: the first, the middle and the last decode step in one pass.
    """

    scenario: Scenario
    setup: Setup
    prefill: Step
    steps: Step
    memory: Memory
    notes: tuple[Note, ...]

    @cached_property
    def decode(self) -> Step:
        """The decode step at context input + output/2, or the round of speculative decoding there."""
        return self.steps.at(1)

    @cached_property
    def mean_step_s(self) -> float:
        """Time of a decode step, mean over the generation [s]."""
        return float(simpson_mean(*self.steps.time_s))

    @property
    def ttft_s(self) -> float:
        """Time to first token without queueing [s]: the prefill pass; under continuous batching one request's share.

        An engine that decodes the last prompt token adds one decode step.
        """
        return self._request_parts[0]

    @property
    def prefill_s(self) -> float:
        """Time of the prefill of the whole batch [s]: one pass, or until the last micro-batch has left the pipeline."""
        return float(pipeline_fill_time(float(self.prefill.time_s), self.scenario.pp, self.scenario.mb))

    @property
    def decode_step_s(self) -> float:
        """Time of the decode step at context input + output/2, or of a round of speculative decoding there [s].

        With the waiting for one's turn where more micro-batches than stages are in a pipeline.
        """
        return float(self.setup.between_steps_s(float(self.decode.time_s)))

    @property
    def tpot_s(self) -> float:
        """Time per output token after the first, mean over the generation, other requests' prefill included [s]."""
        return self._request_parts[1]

    @cached_property
    def _request_parts(self) -> tuple[float, float]:
        pass_s, step_s, s = float(self.prefill.time_s), float(self.decode.time_s), self.scenario
        first, each = request_parts(self.setup, pass_s, self.mean_step_s, step_s, s.batch, s.output)
        return float(first), float(each)

    @property
    def e2e_s(self) -> float:
        """Time of the whole request batch: prefill and all decode steps [s]."""
        return float(request_time(self.ttft_s, self.tpot_s, self.scenario.output))

    @property
    def tokens_per_s(self) -> float:
        """Output tokens per second, all sequences together, prefill included [1/s]."""
        return float(output_rate(self.scenario.batch, self.scenario.output, self.e2e_s))

    @property
    def chip_seconds(self) -> float:
        """Accelerator time per request [s]."""
        return float(chip_seconds(self.scenario.n, self.e2e_s, self.scenario.batch))

    @property
    def usd_per_million_tokens(self) -> float:
        """Cost of a million output tokens at the list price [USD]; NaN without a price."""
        per_request = request_cost(self.chip_seconds, self.setup.chip.usd_per_hour)
        return float(price_per_million(per_request, self.scenario.output))

    @property
    def weight_bytes(self) -> float:
        """One whole copy of the weights [B]."""
        return weight_bytes(self.setup)

    @property
    def kv_bytes_per_token(self) -> float:
        """KV cache that one more token adds while no window is full [B/token]."""
        return cache_per_token(self.setup.model.dimensions, self.setup.precision.kv_bytes)

    @property
    def kv_bytes(self) -> float:
        """KV cache of the whole batch at the end of the generation, all devices of one copy [B]."""
        per_sequence = cache_bytes(self.setup.model.dimensions, self.memory.context, self.setup.precision.kv_bytes)
        return float(self.scenario.batch * per_sequence)

    @cached_property
    def flops_prefill(self) -> float:
        """FLOPs that the prefill pass of the model takes, each counted once however many devices do it [FLOP]."""
        return model_flops(self.setup, self._work_prefill)

    @cached_property
    def flops_decode(self) -> float:
        """FLOPs that the decode step of the model takes, each counted once however many devices do it [FLOP]."""
        return model_flops(self.setup, self._work_decode)

    @cached_property
    def replicated_flops_prefill(self) -> float:
        """FLOPs of the prefill pass that several devices do alike, beyond the first [FLOP]."""
        return replicated_flops(self.setup, self._work_prefill)

    @cached_property
    def replicated_flops_decode(self) -> float:
        """FLOPs of the decode step that several devices do alike, beyond the first [FLOP]."""
        return replicated_flops(self.setup, self._work_decode)

    @property
    def _work_prefill(self) -> Workload:
        return prefill(self.scenario.batch, self.scenario.input, self.scenario.prefix)

    @property
    def _work_decode(self) -> Workload:
        s = self.scenario
        return decode(s.batch, decode_context(s.prefix, s.input, s.output))

    @cached_property
    def bands(self) -> dict[str, tuple[float, float]]:
        """Low and high of each predicted result, between which 80 % of comparable measurements lie.

        Empty for the ideal engine, which is a bound. Nothing lies below what the datasheet allows.
        """
        setup, found = self.setup, {}
        floors = {
            "prefill": floor_s(self.prefill, setup.chip, setup.rates),
            "decode": floor_s(self.decode, setup.chip, setup.rates) / setup.tokens_per_step,
        }
        for name, quantity in BANDED.items():
            known = band(quantity, setup.engine, setup.chip)
            if known:
                value = self.memory.total if name == "memory_bytes" else float(getattr(self, name))
                bound = floors[quantity] if name in ("prefill_s", "tpot_s") else 0.0
                found[name] = known.of(value, bound)
        if found:
            quickest, slowest = found["e2e_s"]
            work = self.e2e_s * self.tokens_per_s
            found["tokens_per_s"] = (work / slowest, work / quickest)
        return found

    @cached_property
    def used(self) -> tuple[UsedNumber, ...]:
        """Every number from outside that this run used, with its source."""
        return (*_chip_rows(self), *_model_rows(self.setup), *_engine_rows(self.setup))

    @property
    def estimates(self) -> tuple[UsedNumber, ...]:
        """The numbers of this run that nobody published."""
        return tuple(row for row in self.used if row.source.key == ESTIMATE.key)

    def to_dict(self) -> dict[str, Any]:
        """Return the machine form (DESIGN: the result of `batch`); NaN becomes null."""
        p = parameters(self.setup.model.dimensions)
        result: dict[str, Any] = {name: _finite(getattr(self, name)) for name in PLAIN_RESULTS}
        return result | {
            "prefill_s": _finite(self.prefill_s),
            "memory_bytes": _finite(self.memory.total),
            "memory_allocated_bytes": _finite(self.memory.allocated),
            "fits": self.memory.fits,
            "params_total": p.total,
            "params_active": p.active,
            "regime_prefill": self.prefill.regime,
            "regime_decode": self.decode.regime,
            "shares": {
                phase: {name: round(float(share), 6) for name, share in zip(REGIMES, step.shares, strict=True)}
                for phase, step in (("prefill", self.prefill), ("decode", self.decode))
            },
            "low": {name: _finite(low) for name, (low, _) in self.bands.items()},
            "high": {name: _finite(high) for name, (_, high) in self.bands.items()},
            "notes": [note.text for note in self.notes],
        }


def request_parts(
    setup: Setup, pass_s: Real, mean_step_s: Real, step_s: Real, batch: Real, output: Real
) -> tuple[Real, Real]:
    """Return the time to the first token and of each further one, from the passes of one micro-batch [s].

    Under continuous batching requests come one by one: each waits for its own prefill, and every step carries a share
    of the others'. Else the batch is prefilled at once, and the last micro-batch's first token counts. An engine that
    decodes the last prompt token adds one decode step. Linear in the times of the passes.
    """
    parts = float(setup.mb)
    # Only the sequences of one replica share passes; the fullest one counts.
    batch = batch if setup.dp == 1 else np.ceil(batch / setup.dp)
    each = setup.between_steps_s(mean_step_s) / setup.tokens_per_step
    if setup.engine.continuous:
        first = pass_s * parts / batch
        each = each + interference_time(setup.between_steps_s(pass_s), batch, output)
    else:
        first = pipeline_fill_time(pass_s, float(setup.pp), parts)
    return first + setup.between_steps_s(step_s) if setup.engine.first_token_step else first, each


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _chip_rows(report: Report) -> list[UsedNumber]:
    """Return peaks, memory, links and price of the chip as far as the run used them."""
    setup, scenario = report.setup, report.scenario
    chip, rates = setup.chip, setup.rates
    names = [f"peak.{dtype}" for dtype in (rates.linear, rates.wide, rates.vector)]
    names += ["memory.bandwidth", "memory.capacity", "price.usd_per_hour"]
    if max(scenario.tp, scenario.pp, scenario.ep, scenario.cp) > 1:
        names.append("link.bandwidth" if "link.bandwidth" in chip.sources else "link.pcie")
    if any(op.blocks for op in report.decode.ops):
        names.append("chip.sm")
    rows = [_hardware_number(setup, name) for name in dict.fromkeys(names) if name in chip.sources]
    if max(scenario.tp, scenario.pp, scenario.ep, scenario.cp) > 1:
        basis = Source(setup.fabric.backend, setup.fabric.constants.basis or "perfmodel/backends")
        latency = f"{setup.fabric.latency_s / MICRO:g} µs"
        rows.append(UsedNumber(f"{setup.fabric.backend} on {setup.fabric.link or 'PCIe'}: start-up", latency, basis))
    return rows


def _model_rows(setup: Setup) -> list[UsedNumber]:
    """Return the model's dimensions: all together, and apart those with a source of their own."""
    model = setup.model
    fields = f"{len(type(model.dimensions).model_fields)} fields"
    rows = [UsedNumber(f"{model.name} dimensions", fields, model.source_of("*"))]
    return rows + [
        UsedNumber(f"{model.name} {name}", str(getattr(model.dimensions, name)), source)
        for name, source in model.sources.items()
        if name != "*" and hasattr(model.dimensions, name)
    ]


def _engine_rows(setup: Setup) -> list[UsedNumber]:
    """Return the constants of the engine, those of the chip's generation in place of the general ones."""
    engine = setup.engine
    replaced = {"linear": ("linear_efficiency", "dequant_efficiency"), "prefill_attention": ("attention_efficiency",)}
    measured = {name for name, kernel in engine.classes.items() if kernel.measured}
    unused = {name for found, names in replaced.items() if found in measured for name in names}
    return [
        UsedNumber(f"{engine.name}: {name}", _with_unit(name, c.value), Source(c.source, c.source), c.note)
        for name, c in engine.constants.items()
        if name not in unused
    ]


def _with_unit(name: str, value: float) -> str:
    unit = {"us": "µs", "gb": "GB", "tokens": "tokens"}.get(name.rpartition("_")[2], "")
    return f"{value:g} {unit}".rstrip()


def _hardware_number(setup: Setup, path: str) -> UsedNumber:
    table, name = path.split(".")
    number = setup.chip.file.peak[name] if table == "peak" else getattr(getattr(setup.chip.file, table), name)
    units = {"peak": "TFLOP/s", "memory.bandwidth": "GB/s", "memory.capacity": "GB", "price.usd_per_hour": "USD/h"}
    units["chip.sm"] = "SMs"
    unit = units.get(path) or units.get(table, "GB/s")
    return UsedNumber(f"{setup.chip.name} {path}", f"{number.value:g} {unit}", setup.chip.sources[path], number.note)
