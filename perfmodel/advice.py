"""The verdict: which regime, by what margin, what flips it, what is worth removing."""

from __future__ import annotations

from dataclasses import dataclass

from perfmodel.diagnosis.case import BOUND, case_of
from perfmodel.diagnosis.flips import Flip, flip, linear_critical_batch
from perfmodel.formulas.roofline import amdahl_time
from perfmodel.report import Report
from perfmodel.step import REGIMES, Step
from perfmodel.units import significant


@dataclass(frozen=True, slots=True)
class Verdict:
    """The diagnosis of the decode step, and of prefill beside it, as numbers and as one sentence.

    `margin`: how many times longer the leading resource needs than the runner-up of compute and memory.
    `flip`: the nearest larger and smaller batch at which another regime leads the decode step.
    `top`: largest operator of the step, `top_share` of the time; without it the step would be `top_gain` times faster.
    """

    regime: str
    margin: float
    flip: Flip
    overhead_share: float
    network_share: float
    prefill_regime: str
    top: str
    top_share: float
    top_gain: float
    sentence: str


def margin(step: Step) -> float:
    """Return how many times longer the leading one of compute and memory needs than the other; else the slower one."""
    compute, memory = float(step.totals_s[0]), float(step.totals_s[1])
    ratio = memory / max(compute, 1e-30)
    if step.regime in ("compute", "memory"):
        return ratio if step.regime == "memory" else 1.0 / ratio
    return max(ratio, 1.0 / ratio)


def verdict(report: Report) -> Verdict:
    """Diagnose a report in one sentence with margins."""
    step = report.decode
    top = max(step.timed, key=lambda timed: timed.time_s)
    total = float(step.time_s)
    found = Verdict(
        regime=step.regime,
        margin=margin(step),
        flip=flip(case_of(report.scenario, "decode"), "batch"),
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


def _flip(v: Verdict, report: Report) -> str:
    if v.flip.more is None:
        linear = linear_critical_batch(report.setup)
        if v.regime == "memory" and report.kv_bytes_per_token > 0:
            return (
                f"no batch flips it: KV reads grow with the batch (the linear layers alone would turn at {linear:,.0f})"
            )
        return "no larger batch flips it"
    batch, fits = v.flip.more.value, report.memory.largest_batch
    room = f", but only {fits:,} fit" if 0 < fits < batch else ""
    return f"batch {batch:,.0f} makes it {BOUND[v.flip.more.regime]}{room}"


def _sentence(v: Verdict, report: Report) -> str:
    shares = report.decode.shares
    parts = [f"Decode is {BOUND[v.regime]}"]
    if v.regime in ("compute", "memory") and v.margin > 1.0:
        parts[0] += f" by {significant(v.margin, 2)}×"
    else:
        parts[0] += f" ({shares[REGIMES.index(v.regime)]:.0%} of the step)"
    if v.regime != "compute":
        parts.append(_flip(v, report))
    elif v.flip.less:
        parts.append(f"below batch {v.flip.less.before:,.0f} it is {BOUND[v.flip.less.regime]}")
    if v.regime != "overhead":
        parts.append(f"launch overhead is {v.overhead_share:.0%} of the step")
    if v.network_share >= 0.05 and v.regime != "network":
        parts.append(f"communication {v.network_share:.0%}")
    parts.append(f"prefill is {BOUND[v.prefill_regime]}")
    return "; ".join(parts) + "."
