"""Raising intensity: more FLOPs per byte, by fewer bytes or by more FLOPs, and what of it reaches the user."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from perfmodel.diagnosis.case import BOUND, case_of
from perfmodel.diagnosis.flips import linear_critical_batch
from perfmodel.diagnosis.tables import intensity
from perfmodel.estimate import cached_estimate
from perfmodel.formulas.roofline import attainable_flops, chip_seconds, intensity_speedup, ridge_intensity
from perfmodel.memory import Memory
from perfmodel.report import Report
from perfmodel.scenario import Scenario
from perfmodel.step import Array, TimedOp
from perfmodel.units import show, significant

Row = dict[str, str]

#: Factors by which intensity is raised.
FACTORS = (2, 4, 16, 64, 256)
LABELS = {factor: f"{factor}×" for factor in FACTORS}
#: Batches of the curve, and how far it goes beyond what fits.
POINTS, LEAST = 73, 1024.0
#: Batches that are named on the curve.
MARKS = tuple(4.0**power for power in range(11))


@dataclass(frozen=True)
class Raise:
    """An operator under its two roofs, and the same operator at `factor` times its intensity.

    `peak`, `bandwidth`: the datasheet's [FLOP/s, B/s]; `reached_peak`, `reached_bandwidth`: what its kernel class
    achieves. `rate`: what the operator achieves now.
    """

    timed: TimedOp
    phase: str
    factor: float
    peak: float
    bandwidth: float
    reached_peak: float
    reached_bandwidth: float

    @property
    def before(self) -> float:
        """Intensity now [FLOP/B]."""
        return self.timed.intensity

    @property
    def after(self) -> float:
        """Intensity raised [FLOP/B]."""
        return self.before * self.factor

    @property
    def rate(self) -> float:
        """Achieved rate now [FLOP/s]."""
        return self.timed.flops / self.timed.time_s

    @property
    def ridge(self) -> float:
        """Ridge of the datasheet [FLOP/B]."""
        return float(ridge_intensity(self.peak, self.bandwidth))

    @property
    def gain(self) -> float:
        """Gain in the attainable rate under the datasheet's roof."""
        return float(intensity_speedup(self.before, self.after, self.peak, self.bandwidth))

    @property
    def case(self) -> int:
        """1: both below the ridge, 2: crossing it, 3: both above it."""
        return 3 if self.before >= self.ridge else 2 if self.after > self.ridge else 1

    def roof(self, at: float, reached: bool = False) -> float:
        """Return the attainable rate at an intensity, of the datasheet or of the kernel class [FLOP/s]."""
        peak, bandwidth = (self.reached_peak, self.reached_bandwidth) if reached else (self.peak, self.bandwidth)
        return float(attainable_flops(at, peak, bandwidth))

    @property
    def up(self) -> float:
        """What moving up alone can give: the datasheet's roof at the present intensity over the rate now."""
        return self.roof(self.before) / self.rate

    @property
    def right(self) -> float:
        """What moving right alone can give: the reached roof at the ridge over the reached roof now."""
        return self.roof(max(self.before, self.ridge), True) / self.roof(self.before, True)


def operators(report: Report, phase: str) -> tuple[TimedOp, ...]:
    """Return the operators that compute and move bytes, the largest first."""
    step = report.prefill if phase == "prefill" else report.decode
    found = (timed for timed in step.timed if timed.flops > 0 and timed.moved_bytes > 0 and timed.time_s > 0)
    return tuple(sorted(found, key=lambda timed: -timed.time_s))


def raised(report: Report, phase: str, timed: TimedOp, factor: float) -> Raise:
    """Return an operator of a phase with its roofs and its intensity raised by a factor."""
    setup, op = report.setup, timed.op
    attention = "prefill_attention" if phase == "prefill" else "decode_attention"
    reached = setup.engine.kernel_class(
        op.unit if op.kind == "matmul" else attention if op.kind == "attention" else "vector"
    )
    peak, bandwidth = setup.rates.flops[op.unit], setup.chip.memory_bytes_per_s
    return Raise(
        timed,
        phase,
        factor,
        peak,
        bandwidth,
        peak * float(reached.efficiency),
        bandwidth * float(reached.memory_efficiency),
    )


_CASES = {
    1: "both below the ridge: the rate grows as the intensity",
    2: "crossing the ridge: the rate grows until the roof turns flat",
    3: "both above the ridge: nothing is gained",
}


def said(found: Raise) -> str:
    """Return which of the three cases this is, and what moving right or up would give."""
    return (
        f"**Case {found.case}, {_CASES[found.case]}.** {found.timed.op.name} does {show(found.before)} FLOP/B, "
        f"the ridge lies at {show(found.ridge)}; {significant(found.factor)}× the intensity allows "
        f"**{significant(found.gain)}×** the rate. "
        f"Two ways up: *right* to the ridge along the roof that its kernels reach allows "
        f"{significant(found.right)}×; *up* to the datasheet's roof at the same intensity {significant(found.up)}×."
    )


def case_rows(report: Report, phase: str, factor: float) -> list[Row]:
    """Return one row per operator: its intensity, its case, and the gains of moving right and up."""
    rows = []
    for timed in operators(report, phase):
        found = raised(report, phase, timed, factor)
        rows.append(
            {
                "Operator": timed.op.name,
                "FLOP/B": show(found.before),
                "Ridge": show(found.ridge),
                "Case": str(found.case),
                f"At {factor:g}× the intensity": f"{significant(found.gain)}× the rate",
                "Right, to the ridge": f"{significant(found.right)}×",
                "Up, to the roof": f"{significant(found.up)}×",
                "Bound by": timed.bound,
            }
        )
    return rows


@dataclass(frozen=True)
class Trade:
    """Latency against throughput over the batch: arrays of one shape.

    `step_s`: time of a decode step; `tokens_per_s` per device; `chip_s`: accelerator time of a request's decode [s].
    `largest`: most sequences that fit. `critical`: b* of the linear layers.
    """

    batch: Array
    step_s: Array
    tokens_per_s: Array
    chip_s: Array
    largest: int
    critical: float


def trade(scenario: Scenario) -> Trade:
    """Return decode steps at context prefix + input + output/2 over batches up to beyond what fits.

    Source: article_cases S31, S33. Validity: sequences in lockstep, prefill not counted.
    """
    reach = 2.0 ** np.ceil(np.log2(max(LEAST, 2.0 * scenario.batch)))
    return _trade(scenario.change(batch=scenario.dp), float(reach))


@lru_cache(maxsize=64)
def _trade(scenario: Scenario, reach: float) -> Trade:
    start = float(scenario.dp)
    end, one = max(reach, 2.0 * start), case_of(scenario, "decode")
    full = float(scenario.prefix + scenario.input + scenario.output)
    memory = Memory(one.setup, start, float(scenario.input), full)
    # Powers of four are named on the curve, and the last batch that fits ends its solid part.
    named = [start, *MARKS, float(memory.largest_batch)]
    named = [value for value in named if start <= value <= end]
    batch = np.unique(np.round([*np.geomspace(start, end, POINTS), *named]))
    case = one.change(batch=batch)
    step = np.asarray(case.time_s()) / case.setup.tokens_per_step
    chip_s = np.asarray(chip_seconds(scenario.n, scenario.output * step, batch))
    rate = batch / step / scenario.n
    return Trade(batch, step, rate, chip_s, memory.largest_batch, linear_critical_batch(case.setup))


def trade_said(found: Trade, scenario: Scenario) -> str:
    """Return what the next doubling of the batch costs in latency and gives in throughput."""
    now, twice = (np.interp(scale * scenario.batch, found.batch, found.step_s) for scale in (1.0, 2.0))
    return (
        f"Doubling the batch of {scenario.batch:,} makes every token take {twice / now - 1.0:+.0%} and gives "
        f"{2.0 * now / twice - 1.0:+.0%} tokens per second; "
        f"a request then costs {twice / now / 2.0:.2f}× the chip time. "
        f"The linear layers turn at batch {significant(found.critical)}, memory ends at {found.largest:,}."
    )


#: Ways to raise intensity: what to change, and which way it works.
_WAYS = (
    ("Weights in 8 bit", "fewer bytes", {"weights": "fp8"}),
    ("Weights in 4 bit", "fewer bytes", {"weights": "int4", "math": "auto"}),
    ("KV cache in 8 bit", "fewer bytes", {"kv": "fp8"}),
    ("Fused kernels (eager to fused)", "fewer bytes", {"engine": "fused"}),
    ("FlashAttention", "fewer bytes", {"attention": "flash"}),
    ("FlashDecoding (split along the context)", "fuller device", {"attention": "split"}),
)


def way_rows(scenario: Scenario, phase: str) -> list[Row]:
    """Return one row per way to raise the intensity of a pass: FLOP/B, rate, latency and requests per second.

    Fewer bytes lower the latency; more FLOPs (a larger batch) keep or raise it; recomputing raises FLOP/s only.
    Ways are compared with the scenario as it stands, fusion with an eager engine, attention with an unfused one.
    """
    rows = []
    for title, kind, change in _WAYS:
        base = _base(scenario, change)
        other = base.change(**change)
        if other != base:
            rows.append(_way(title, kind, cached_estimate(base), cached_estimate(other), phase))
    bigger = scenario.change(batch=2 * scenario.batch)
    rows.append(_way("Twice the batch", "more FLOPs", cached_estimate(scenario), cached_estimate(bigger), phase))
    return [*rows, _recomputed(cached_estimate(scenario), phase)]


def _base(scenario: Scenario, change: dict[str, str]) -> Scenario:
    if "engine" in change:
        return scenario.change(engine="eager", attention="engine")
    # Splitting along the context is compared with FlashAttention, which is compared with unfused kernels.
    before = {"flash": "unfused", "split": "flash"}
    return scenario.change(attention=before[change["attention"]]) if "attention" in change else scenario


def _way(title: str, kind: str, before: Report, after: Report, phase: str) -> Row:
    one, two = (report.prefill if phase == "prefill" else report.decode for report in (before, after))
    rates = [float(step.total("flops")) / float(step.time_s) for step in (one, two)]
    served = after.scenario.batch / before.scenario.batch * float(one.time_s) / float(two.time_s)
    return {
        "Way": title,
        "By": kind,
        "FLOP/B": f"{show(intensity(one))} to {show(intensity(two))}",
        "FLOP/s": f"{significant(rates[1] / rates[0])}×",
        "Latency": f"{show(float(one.time_s), 's')} to {show(float(two.time_s), 's')}",
        "Requests/s": f"{significant(served)}×",
        "Then": BOUND[two.regime],
    }


def _recomputed(report: Report, phase: str) -> Row:
    """Return the row of doing all FLOPs twice on the same bytes: intensity without use."""
    case = case_of(report.scenario, phase)
    step, twice = case.steps[0], float(case.time_s({"compute": 0.5}))
    now = float(case.time_s())
    return {
        "Way": "Everything computed twice",
        "By": "more FLOPs",
        "FLOP/B": f"{show(intensity(step))} to {show(2.0 * intensity(step))}",
        "FLOP/s": f"{significant(2.0 * now / twice)}×",
        "Latency": f"{show(now, 's')} to {show(twice, 's')}",
        "Requests/s": f"{significant(now / twice)}×",
        "Then": BOUND[case.regime],
    }
