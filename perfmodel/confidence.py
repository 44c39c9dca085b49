"""How sure a number is: the band of comparable measurements around it, in words, and what the band stands on."""

from __future__ import annotations

from perfmodel.bands import Band, band
from perfmodel.engine import ENGINES
from perfmodel.report import BANDED, Report
from perfmodel.training import TrainingReport
from perfmodel.units import show

#: Numbers that follow from a predicted one -> that one, and whether they fall where it rises.
FOLLOWS = {
    "tokens_per_s": ("e2e_s", True),
    "chip_seconds": ("e2e_s", False),
    "usd_per_million_tokens": ("e2e_s", False),
    "memory": ("memory_bytes", False),
}
#: What is said of a number of the ideal engine.
BOUND = "A bound of the data sheet: no measurement lies beyond it, so it has no band"


def confidence_text(report: Report, metric: str, value: float, unit: str) -> str:
    """Return the band of a headline number and what it stands on; nothing for a number that is counted, not predicted.

    >>> from perfmodel import Scenario, estimate
    >>> confidence_text(estimate(Scenario(engine="ideal")), "tpot_s", 1.0, "s")[:7]
    'A bound'
    """
    base, inverse = FOLLOWS.get(metric, (metric, False))
    if base not in BANDED:
        return ""
    engine, chip = report.setup.engine, report.setup.chip
    known = band(BANDED[base], engine, chip)
    if known is None:
        return BOUND
    low, high = report.bands[base]
    center = report.memory.total if base == "memory_bytes" else float(getattr(report, base))
    factors = (center / high, center / low) if inverse else (low / center, high / center)
    return stands_on(known, (value * factors[0], value * factors[1]), unit)


def training_text(report: TrainingReport, metric: str, value: float, unit: str) -> str:
    """Return the same for a number of a training run: its memory, or what follows from the time of a step."""
    memory = metric == "memory_bytes_per_gpu"
    known = band("training memory" if memory else "training", ENGINES["fused"], report.scenario.resolved_gpu)
    if known is None or not (memory or "step_s" in report.bands):
        return ""
    low, high = report.bands["memory_bytes_per_gpu"] if memory else report.bands["step_s"]
    center = report.memory.total if memory else report.step_s
    inverse = metric in ("tokens_per_s", "mfu", "hfu")
    factors = (center / high, center / low) if inverse else (low / center, high / center)
    return stands_on(known, (value * factors[0], value * factors[1]), unit)


def stands_on(known: Band, ends: tuple[float, float], unit: str) -> str:
    """Return a band in words, with what it stands on, and why it is wide if nothing close was measured."""
    low, high = (f"{100 * end:.3g} %" if unit == "share" else show(end, unit) for end in ends)
    text = f"80 % of comparable measurements lie from {low} to {high}. They are {known.basis}"
    return f"{text}. Far from any data: {known.far}, so the bands are wide" if known.far else text
