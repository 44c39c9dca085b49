"""The verdict: which regime, by what margin, what flips it, what is worth removing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from perfmodel.formulas.roofline import amdahl_time, critical_batch
from perfmodel.report import Report
from perfmodel.setup import Setup
from perfmodel.step import REGIMES, Step
from perfmodel.units import significant
from perfmodel.workload import decode

#: Batches tried when looking for the one at which decode turns compute-bound.
MOST_BATCH = 65_536


@dataclass(frozen=True, slots=True)
class Verdict:
    """The diagnosis of the decode step, and of prefill beside it, as numbers and as one sentence.

    `margin`: how many times longer the leading resource needs than the runner-up of compute and memory.
    `flip_batch`: smallest batch at which computing takes as long as moving bytes; None if no batch does.
    `top`: largest operator of the step, `top_share` of the time; without it the step would be `top_gain` times faster.
    """

    regime: str
    margin: float
    flip_batch: int | None
    overhead_share: float
    network_share: float
    prefill_regime: str
    top: str
    top_share: float
    top_gain: float
    sentence: str


@lru_cache(maxsize=256)
def flip_batch(setup: Setup, past: float) -> int | None:
    """Return the smallest batch at which the decode step computes as long as it moves bytes, else None.

    Searched over whole batches up to 65,536 at this context. KV reads grow with the batch, so there may be none.
    """
    low, high = 0.0, float(MOST_BATCH)
    tried = np.unique(np.round(np.geomspace(1.0, high, 65)))
    flipped = _compute_leads(setup, tried, past)
    if not flipped.any():
        return None
    index = int(np.argmax(flipped))
    low, high = (float(tried[index - 1]) if index else 0.0), float(tried[index])
    while high - low > 1.0:
        middle = np.unique(np.round(np.linspace(low, high, 34))[1:])
        index = int(np.argmax(_compute_leads(setup, middle, past)))
        low, high = (float(middle[index - 1]) if index else low), float(middle[index])
        if index == 0 and len(middle) == 1:
            break
    return int(high)


def linear_critical_batch(setup: Setup) -> float:
    """Return b* = (bytes per weight / 2) F / W of the setup's weight type and math on its chip."""
    peak, bandwidth = setup.rates.flops["linear"], setup.chip.memory_bytes_per_s
    return float(critical_batch(setup.precision.weight_bytes, peak, bandwidth))


def _compute_leads(
    setup: Setup, batch: np.ndarray[tuple[int], np.dtype[np.float64]], past: float
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    totals = setup.run(decode(batch, past)).totals_s
    return np.asarray(totals[0] >= totals[1])


def margin(step: Step) -> float:
    """Return how many times longer the slower of compute and memory needs than the other."""
    compute, memory = float(step.totals_s[0]), float(step.totals_s[1])
    return max(compute, memory) / max(min(compute, memory), 1e-30)


def verdict(report: Report) -> Verdict:
    """Diagnose a report in one sentence with margins."""
    step = report.decode
    top = max(step.timed, key=lambda timed: timed.time_s)
    total = float(step.time_s)
    flip = flip_batch(
        report.setup, float(report.scenario.prefix + report.scenario.input) + report.scenario.output / 2.0
    )
    found = Verdict(
        regime=step.regime,
        margin=margin(step),
        flip_batch=flip,
        overhead_share=float(step.shares[3]),
        network_share=float(step.shares[2]),
        prefill_regime=report.prefill.regime,
        top=top.op.name,
        top_share=top.time_s / total,
        top_gain=total / amdahl_time(total, top.time_s, float("inf")),
        sentence="",
    )
    return Verdict(
        **{name: getattr(found, name) for name in Verdict.__slots__ if name != "sentence"},
        sentence=_sentence(found, report),
    )


_WORDS = {
    "compute": "compute-bound",
    "memory": "memory-bound",
    "network": "communication-bound",
    "overhead": "overhead-bound",
}


def _flip(v: Verdict, report: Report) -> str:
    if v.flip_batch is None:
        linear = linear_critical_batch(report.setup)
        return f"no batch flips it: KV reads grow with the batch (the linear layers alone would turn at {linear:,.0f})"
    fits = report.memory.largest_batch
    room = f", but only {fits:,} fit" if 0 < fits < v.flip_batch else ""
    return f"batch {v.flip_batch:,} flips it{room}"


def _sentence(v: Verdict, report: Report) -> str:
    shares = report.decode.shares
    parts = [f"Decode is {_WORDS[v.regime]}"]
    if v.regime in ("compute", "memory"):
        parts[0] += f" by {significant(v.margin, 2)}×"
    else:
        parts[0] += f" ({shares[REGIMES.index(v.regime)]:.0%} of the step)"
    if v.regime == "memory":
        parts.append(_flip(v, report))
    if v.regime != "overhead":
        parts.append(f"launch overhead is {v.overhead_share:.0%} of the step")
    if v.network_share >= 0.05 and v.regime != "network":
        parts.append(f"communication {v.network_share:.0%}")
    parts.append(f"prefill is {_WORDS[v.prefill_regime]}")
    return "; ".join(parts) + "."
