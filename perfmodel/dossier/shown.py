"""The figures of a report: those of the pages, from the same functions, with what the pages say below them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from perfmodel import breakdown
from perfmodel.batching import batch_curve
from perfmodel.cures import Goal
from perfmodel.dossier.subject import Subject
from perfmodel.figures import batching, cures, flops, memory, roofline, time_bar
from perfmodel.figures.theme import Figure, Mark

#: What the cures of the report are judged by: the whole request.
GOAL: Goal = "request"


@dataclass(frozen=True)
class Shown:
    """One figure: a short key, a heading, the plain dict, the sentence for those who do not see it, its legend."""

    key: str
    title: str
    figure: Figure
    sentence: str
    legend: Sequence[Mark] = field(default_factory=tuple)


def shown(subject: Subject) -> tuple[Shown, ...]:
    """Return the figures in reading order: time, its reason, the work, the memory, the batch, what would help."""
    scenario, report = subject.scenario, subject.report
    both, held, curve = breakdown.phases(scenario), report.memory, batch_curve(scenario)
    limits, work = roofline.figure(report), flops.blocks_figure(report, both)
    fit = memory.fit_figure(breakdown.scenario_map(report), held)
    batch, help_ = batching.anatomy(curve, scenario.batch), cures.figure(scenario, GOAL)
    return (
        Shown("time", "Where the time goes", time_bar.figure(report), time_bar.describe(report)),
        Shown("roofline", "What limits each operator", limits, roofline.describe(report), roofline.legend(report)),
        Shown("flops", "Where the FLOPs go", _high(work, 300), flops.describe_blocks(report, both)),
        Shown(
            "memory",
            "What fills the memory of one device",
            _high(memory.stack_figure(held), 150),
            memory.describe_stack(held),
        ),
        Shown("fit", "What would fit", _high(fit, 420), memory.describe_fit(held)),
        Shown(
            "batching",
            "What a larger batch buys",
            _high(batch, 400),
            batching.describe(curve),
            batching.anatomy_legend(),
        ),
        Shown("cures", "What would help", help_, cures.describe(scenario, GOAL), cures.legend(scenario, GOAL)),
    )


def _high(figure: Figure, height: int) -> Figure:
    return {"data": figure["data"], "layout": figure["layout"] | {"height": height}}
