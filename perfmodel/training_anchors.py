"""Training runs of Megatron-LM that papers measured, beside ours: read from the table of published figures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from perfmodel.published import published
from perfmodel.score import score
from perfmodel.training import TrainingReport, cached_training
from perfmodel.training_scenario import TrainingScenario
from perfmodel.units import show
from perfmodel.validation import Check, checked, percent

#: Sources of the runs, as perfmodel/published/ names them, with who wrote them.
PAPERS = {"narayanan-2021": "Narayanan 2021", "korthikanti-2022": "Korthikanti 2022"}


@dataclass(frozen=True, eq=False)
class Anchor:
    """One published run: the check of its speed, and our whole report of it."""

    check: Check
    report: TrainingReport

    @property
    def step_s(self) -> float:
        """The published time of a step [s]: tokens of the step over tokens/s of all devices."""
        run = self.report.scenario
        return run.tokens / (self.check.row.value * run.n)

    @property
    def mfu(self) -> float:
        """MFU behind the published step: a step so many times longer than ours uses so much less of the peak."""
        return self.report.mfu * self.report.step_s / self.step_s

    def row(self) -> dict[str, Any]:
        """Return the run as a table row."""
        run = self.report.scenario
        chunks = f" × {run.vpp} chunks" if run.vpp > 1 else ""
        recomputed = run.recompute + (", sequence parallel" if run.sequence_parallel else "")
        return {
            "model": self.check.model,
            "devices": f"{run.n:,}",
            "step, published": show(self.step_s, "s"),
            "step, ours": show(self.report.step_s, "s"),
            "off by": percent(self.report.step_s / self.step_s - 1.0, sign=True),
            "MFU, published": show(self.mfu, "%"),
            "MFU, ours": show(self.report.mfu, "%"),
            "recomputed": recomputed,
            "tensor · pipeline · data": f"{run.tp} · {run.pp}{chunks} · {run.dp}",
            "batch": f"{run.global_batch:,}",
            "paper": PAPERS[self.check.source],
        }


@lru_cache(maxsize=1)
def anchors() -> tuple[Anchor, ...]:
    """Return the published runs in the order of the papers, computed once per process."""
    runs = [(row, row.asked) for row in published() if isinstance(row.asked, TrainingScenario)]
    return tuple(
        Anchor(checked(row), cached_training(run)) for paper in PAPERS for row, run in runs if row.source.key == paper
    )


@lru_cache(maxsize=1)
def table() -> tuple[dict[str, Any], ...]:
    """Return the published runs beside ours as table rows."""
    return tuple(one.row() for one in anchors())


@lru_cache(maxsize=1)
def sentence() -> str:
    """Return how near our steps are to the published ones, and where they are farthest."""
    own = score(one.check.error for one in anchors())
    worst = max(anchors(), key=lambda one: abs(one.check.error))
    return (
        f"{own.rows} runs of Megatron-LM on A100, 8 to 3,072 of them: half of our steps are within "
        f"{percent(own.median)} of the published ones. The farthest is {worst.check.model} on "
        f"{worst.report.scenario.n:,} devices, {percent(worst.report.step_s / worst.step_s - 1.0, sign=True)}."
    )


@lru_cache(maxsize=1)
def sources() -> str:
    """Return the documents behind the table."""
    named = {one.check.source: one.check.row.source for one in anchors()}
    return "; ".join(f"{source.title}, {source.place}" for source in named.values())
