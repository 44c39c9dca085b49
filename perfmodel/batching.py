"""What batching buys: latency and throughput over the batch, where it stops paying, where memory ends."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from perfmodel.blocks import parameters
from perfmodel.diagnosis.flips import linear_critical_batch
from perfmodel.estimate import setup
from perfmodel.hardware import ACCELERATORS
from perfmodel.memory import Memory, cache_bytes
from perfmodel.report import Report
from perfmodel.scenario import Scenario
from perfmodel.setup import Setup
from perfmodel.step import Step
from perfmodel.units import show, significant
from perfmodel.workload import decode

Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

#: Batches of a curve: dense enough for a smooth line over this range.
POINTS, LEAST_RANGE, MOST_RANGE = 97, 1024, 16_384


@dataclass(frozen=True)
class BatchCurve:
    """Decode over the batch at a fixed context. Arrays share one shape.

    `step_s`, `tokens_per_s`: realistic time of a step and throughput. `needs_s`: what weights, KV cache, arithmetic
    and launches need on their own, shape (4, batches), in the order of `NEEDS`.
    `critical`: batch at which the linear layers compute as long as they read weights, (bytes/2) F/W.
    `kv_takeover`: batch from which the KV cache moves more bytes than the weights; NaN if it keeps no cache.
    `largest`: most sequences that fit at full length.
    """

    label: str
    batch: Array
    step_s: Array
    tokens_per_s: Array
    needs_s: Array
    critical: float
    kv_takeover: float
    largest: int

    @property
    def knee(self) -> float:
        """Batch at which a step takes twice as long as at batch 1: the end of the flat part; NaN if never reached."""
        slow = self.step_s >= 2.0 * self.step_s[0]
        return float(self.batch[np.argmax(slow)]) if slow.any() else float("nan")


#: What `BatchCurve.needs_s` splits the step into.
NEEDS = ("weights", "KV cache", "arithmetic", "launches")


def batch_curve(scenario: Scenario, label: str = "") -> BatchCurve:
    """Evaluate decode steps of a scenario at context input + output/2 over whole batches up to beyond what fits.

    Validity: one pool of equal sequences in lockstep; queueing and prefill interference are not included.
    Source: article_cases S31, S62, S68.
    """
    # The curve of every batch is the same but for how far it reaches: one entry of the cache serves them all.
    reach = 2.0 ** np.ceil(np.log2(max(2 * scenario.batch, LEAST_RANGE)))
    least = scenario.dp * scenario.mb * (scenario.tp if scenario.adp else 1)
    return _curve(scenario.change(batch=least), label, float(reach))


@lru_cache(maxsize=64)
def _curve(scenario: Scenario, label: str, reach: float) -> BatchCurve:
    resolved = setup(scenario)
    context = float(scenario.prefix + scenario.input) + scenario.output / 2.0
    full = float(scenario.prefix + scenario.input + scenario.output)
    memory = Memory(resolved, float(scenario.batch), float(scenario.input), full)
    most = max(reach, float(np.clip(2 * memory.largest_batch, LEAST_RANGE, MOST_RANGE)))
    batch = np.unique(np.round(np.geomspace(scenario.batch, most, POINTS)))
    step = resolved.run(decode(batch, context))
    return BatchCurve(
        label=label,
        batch=batch,
        step_s=np.asarray(step.time_s),
        tokens_per_s=batch * resolved.tokens_per_step / resolved.between_steps_s(step.time_s),
        needs_s=_needs(resolved, step),
        critical=float(linear_critical_batch(resolved)),
        kv_takeover=kv_takeover_batch(resolved, context),
        largest=memory.largest_batch,
    )


def kv_takeover_batch(resolved: Setup, context: float) -> float:
    """Return the batch whose KV cache at this context holds as many bytes as the active weights."""
    d, precision = resolved.model.dimensions, resolved.precision
    weights = parameters(d).linear_active * precision.weight_bytes
    per_sequence = float(cache_bytes(d, context, precision.kv_bytes))
    return weights / per_sequence if per_sequence > 0 else float("nan")


def _needs(resolved: Setup, step: Step) -> Array:
    engine, bandwidth = resolved.engine, resolved.chip.memory_bytes_per_s
    weights = step.total("weight_bytes") / (bandwidth * engine.kernel_class("linear").memory_efficiency)
    cache = step.total("kv_bytes") / (bandwidth * engine.kernel_class("decode_attention").memory_efficiency)
    parts = [weights, cache, step.totals_s[0], step.totals_s[3]]
    return np.stack([np.broadcast_to(np.asarray(part), np.shape(step.time_s)) for part in parts])


def answer(curve: BatchCurve, scenario: Scenario) -> str:
    """Return the question's answer in one sentence, with the numbers of this scenario."""
    now = float(np.interp(scenario.batch, curve.batch, curve.tokens_per_s))
    best = float(curve.tokens_per_s[curve.batch <= max(curve.largest, 1)].max())
    room = (
        f"the {curve.largest:,} sequences that fit would give {show(best)} tokens/s, {significant(best / now)}× as many"
    )
    if not curve.largest:
        room = "not even one sequence of this length fits"
    ends = "KV reads outgrow the weights" if curve.kv_takeover < curve.critical else "the arithmetic units fill up"
    where = min(x for x in (curve.kv_takeover, curve.critical) if np.isfinite(x))
    return (
        f"At batch {scenario.batch:,} decode gives {show(now)} tokens/s; {room}. "
        f"Batching pays nearly in full until {ends}, around batch {significant(where)}."
    )


def headline(curve: BatchCurve, report: Report) -> list[tuple[str, str, str]]:
    """Return the numbers above the figure: label, text, help."""
    return [
        ("Decode step now", show(report.decode_step_s, "s"), f"at batch {report.scenario.batch:,}"),
        (
            "Critical batch b*",
            significant(curve.critical),
            "linear layers compute as long as they read weights: (s/2) F/W",
        ),
        (
            "KV outweighs weights",
            significant(curve.kv_takeover),
            "batch from which the cache moves more bytes than the weights",
        ),
        ("Step doubles by batch", significant(curve.knee), "end of the flat part: twice the time of batch 1"),
        ("Largest batch that fits", f"{curve.largest:,}", "at full length, over all replicas"),
    ]


#: Chips laid beside the scenario's own unless others are chosen.
COMPARED_CHIPS = ("t4", "a100-sxm-80gb", "b200-sxm")
#: Weight and KV types that the page lays side by side.
PRECISIONS = (("bf16", "bf16"), ("fp8", "bf16"), ("fp8", "fp8"), ("int4", "bf16"), ("int4", "fp8"))


def by_precision(scenario: Scenario) -> tuple[BatchCurve, ...]:
    """Return the curves of the same work with other weight and KV types."""
    changed = [(f"weights {w}, KV {kv}", scenario.change(weights=w, kv=kv, math="auto")) for w, kv in PRECISIONS]
    return tuple(batch_curve(other, label) for label, other in changed)


def runnable() -> dict[str, str]:
    """Return id -> name of the accelerators whose peak and bandwidth are published."""
    chips = (ACCELERATORS[gpu] for gpu in ACCELERATORS)
    return {chip.id: chip.name for chip in chips if chip.peak_flops and chip.memory_bytes_per_s > 0}


def by_chip(scenario: Scenario, gpus: tuple[str, ...]) -> tuple[BatchCurve, ...]:
    """Return the curves of the same work on other accelerators, the scenario's own first."""
    names = tuple(dict.fromkeys((scenario.gpu, *gpus)))
    curves = []
    for gpu in names:
        other = scenario if gpu == scenario.gpu else scenario.change(gpu=gpu, chip=None)
        curves.append(batch_curve(other, other.resolved_gpu.name))
    return tuple(curves)
