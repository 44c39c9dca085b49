"""Predicted against measured: every published figure answered by the functions that the pages and commands use.

The headline is the mean over families of their median |ln(predicted / measured)|; a family is what one source measured
of one kind with one engine, so that no large table rules.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from perfmodel.blocks import parameters
from perfmodel.engine import ENGINES
from perfmodel.estimate import estimate
from perfmodel.hardware import ACCELERATORS
from perfmodel.kernels import kernel
from perfmodel.published import Published, published
from perfmodel.report import Report
from perfmodel.scenario import Scenario
from perfmodel.score import Score, mean_of_medians, residuals, score
from perfmodel.training import estimate_training
from perfmodel.training_scenario import TrainingScenario
from perfmodel.units import show, significant

#: What is scored apart, in the order of the page: name -> (kinds, metrics) of its rows.
SUBJECTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "time per token": (("request",), ("tpot_s",)),
    "whole request": (("request",), ("e2e_latency_s",)),
    "prefill": (("request",), ("prefill_time_s", "ttft_s")),
    "GEMM": (("gemm",), ("time_s",)),
    "attention": (("attention",), ("time_s",)),
    "all-reduce": (("all_reduce",), ("time_s",)),
    "memory": (("memory", "training"), ("peak_allocated_bytes_total", "weights_bytes", "peak_bytes_per_gpu")),
    "training": (("training",), ("tokens_per_s_per_gpu",)),
}
#: What is drawn together, on axes of one unit.
VIEWS: dict[str, tuple[str, ...]] = {
    "times": ("time per token", "whole request", "prefill", "GEMM", "attention", "all-reduce"),
    "requests": ("time per token", "whole request", "prefill"),
    "kernels": ("GEMM", "attention", "all-reduce"),
    "memory": ("memory",),
    "training": ("training",),
}
#: What rows can be told apart by: name -> attribute of a check.
SORTS = {"what": "subject", "source": "source", "engine": "engine", "chip": "chip", "regime": "regime"}
#: So much in common makes a row speak for a scenario.
NEAR = 5


@dataclass(frozen=True, eq=False)
class Check:
    """One published figure beside ours: the prediction in SI, its logarithmic error, and what it is filed under."""

    row: Published
    predicted: float
    error: float
    subject: str
    model: str
    chip: str
    engine: str
    regime: str

    @property
    def family(self) -> str:
        """What one source measured of one kind with one engine."""
        return f"{self.row.source.key} · {self.row.what}" + (f" · {self.engine}" if self.row.kind == "request" else "")

    @property
    def source(self) -> str:
        """The key of its source."""
        return self.row.source.key

    @property
    def scenario(self) -> Scenario | None:
        """The scenario of the row, where it is one that the pages can open."""
        return self.row.asked if isinstance(self.row.asked, Scenario) else None


@lru_cache(maxsize=1)
def checks() -> tuple[Check, ...]:
    """Return every published figure beside our prediction; computed once per process."""
    return tuple(checked(row) for row in published())


def checked(row: Published) -> Check:
    """Ask the model what the row measured."""
    predicted, *labels = _answers(row)
    subject = next(name for name, (kinds, metrics) in SUBJECTS.items() if row.kind in kinds and row.metric in metrics)
    return Check(row, predicted, float(residuals(predicted, row.value)), subject, *labels)


def _answers(row: Published) -> tuple[float, str, str, str, str]:
    question = row.asked
    if isinstance(question, Scenario):
        report = estimate(question)
        names = (report.setup.model.name, report.setup.chip.name, ENGINES[question.engine].name)
        return _of_report(row, report), *names, _regime(row, report)
    if isinstance(question, TrainingScenario):
        run = estimate_training(question)
        value = run.memory.total if row.metric == "peak_bytes_per_gpu" else run.tokens_per_s_per_gpu
        return float(value), question.resolved_model.name, question.resolved_gpu.name, "training", "compute"
    result = kernel(question)
    return result["time_s"], size_text(question), ACCELERATORS[question["gpu"]].name, "single kernel", result["bound"]


def size_text(question: Mapping[str, Any]) -> str:
    """Return the size of a kernel in words.

    >>> size_text({"kernel": "gemm", "m": 16, "n": 4096, "k": 512}), size_text({"bytes": 8192, "n_gpu": 4})
    ('16 × 4,096 × 512', '8.19 kB on 4')
    """
    if "m" in question:
        return f"{question['m']:,} × {question['n']:,} × {question['k']:,}"
    if "kv_len" in question:
        return f"{question['batch']:,} × {question['kv_len']:,} tokens"
    return f"{show(question['bytes'], 'B')} on {question['n_gpu']}"


def _of_report(row: Published, report: Report) -> float:
    memory = report.memory
    return {
        "e2e_latency_s": report.e2e_s,
        "tpot_s": report.tpot_s,
        # Measured on static batches and without a queue: the pass of the whole batch.
        "prefill_time_s": report.prefill_s,
        "ttft_s": report.prefill_s + (report.decode_step_s if report.setup.engine.first_token_step else 0.0),
        # Frameworks count what they allocate, not the context and its reserve.
        "peak_allocated_bytes_total": (memory.total - memory.reserve) * report.scenario.n,
        "weights_bytes": report.weight_bytes,
    }[row.metric]


def _regime(row: Published, report: Report) -> str:
    prefill = row.metric in ("prefill_time_s", "ttft_s") or report.prefill_s > report.e2e_s / 2.0
    return report.prefill.regime if prefill else report.decode.regime


def grouped(found: Iterable[Check]) -> dict[str, list[Check]]:
    """Return checks by family."""
    groups: dict[str, list[Check]] = {}
    for check in found:
        groups.setdefault(check.family, []).append(check)
    return groups


def headline(found: Iterable[Check]) -> float:
    """Return the mean over families of the median |ln(predicted / measured)|; a scorer gets the same from the rows."""
    return mean_of_medians({name: [c.error for c in rows] for name, rows in grouped(found).items()})


def subject_rows(subjects: Iterable[str] = SUBJECTS) -> list[dict[str, Any]]:
    """Return the error by subject as rows of a table: headline over families, then over all rows."""
    rows = []
    for subject in subjects:
        own = [check for check in checks() if check.subject == subject]
        families = {"Families": len(grouped(own)), "Mean of family medians": percent(headline(own))}
        rows.append({"What": subject} | families | _numbers(score(c.error for c in own)))
    return rows


def shown(view: str, by: str, only: str) -> list[Check]:
    """Return the checks of one view; `only` keeps one value of what they are told apart by, "all" keeps all."""
    found = [check for check in checks() if check.subject in VIEWS[view]]
    return found if only == "all" else [check for check in found if getattr(check, SORTS[by]) == only]


def sorts(view: str, by: str) -> tuple[str, ...]:
    """Return the values that rows of a view are told apart by, the most frequent first."""
    counts = Counter(getattr(check, SORTS[by]) for check in shown(view, by, "all"))
    return tuple(name for name, _ in counts.most_common())


def summary(found: list[Check]) -> list[tuple[str, str, str]]:
    """Return the headline numbers of some checks: label, text, help."""
    one = score(check.error for check in found)
    return [
        (
            "Headline error",
            percent(headline(found)),
            f"mean over {len(grouped(found))} families of the median |ln(predicted / measured)|; {one.rows} figures",
        ),
        ("Median of all rows", percent(one.median), "half of the rows are nearer"),
        ("Signed median", percent(one.signed, sign=True), "negative: the model is too fast"),
        ("Within 15 %", percent(one.within_15), "share of rows"),
        ("Within 30 %", percent(one.within_30), "share of rows"),
    ]


def failures(most: int = 6) -> list[dict[str, Any]]:
    """Return the families we miss by the most, with what is known about them."""
    found = grouped(checks())
    rows = [row for row in family_rows(checks()) if row["Rows"] >= 3][:most]
    return [
        {
            "Family": row["Family"],
            "Typical": error_words(score(c.error for c in found[row["Family"]]).signed),
            "Rows": row["Rows"],
            "Known about it": found[row["Family"]][0].row.source.note,
        }
        for row in rows
    ]


def family_rows(found: Iterable[Check]) -> list[dict[str, Any]]:
    """Return the error by family, the worst first."""
    scores = {name: (rows, score(c.error for c in rows)) for name, rows in grouped(found).items()}
    ordered = sorted(scores.items(), key=lambda item: -item[1][1].median)
    return [{"Family": name} | _numbers(one) | {"Source": rows[0].row.source.title} for name, (rows, one) in ordered]


def _numbers(one: Score) -> dict[str, Any]:
    return {
        "Rows": one.rows,
        "Median error": percent(one.median),
        "Signed": percent(one.signed, sign=True),
        "Within 15 %": percent(one.within_15),
        "Within 30 %": percent(one.within_30),
    }


def percent(value: float, sign: bool = False) -> str:
    """Return a share as text.

    >>> percent(0.123), percent(-0.05, sign=True)
    ('12 %', '-5 %')
    """
    whole = round(100 * value)
    return f"{whole:+d} %" if sign and whole else f"{whole} %"


def likeness(check: Check, scenario: Scenario) -> int:
    """Return how near a row is to a scenario: the chip counts 4, engine and model 2; kind, size and types 1 each.

    Zero for what is no request at all.
    """
    other = check.scenario
    if other is None or check.row.kind != "request":
        return 0
    ours, theirs = parameters(scenario.resolved_model.dimensions), parameters(other.resolved_model.dimensions)
    points = (
        (4, other.resolved_gpu.id == scenario.resolved_gpu.id),
        (2, other.engine == scenario.engine),
        (2, other.model == scenario.model),
        (1, (theirs.active < theirs.total) == (ours.active < ours.total)),
        (1, 1 / 3 <= theirs.active / ours.active <= 3),
        (1, other.weights == scenario.weights),
    )
    return sum(weight for weight, same in points if same)


@lru_cache(maxsize=256)
def nearest(scenario: Scenario) -> tuple[Check, ...]:
    """Return the rows most like a scenario: those with the most in common, and not too little."""
    points = {check: likeness(check, scenario) for check in checks()}
    most = max(points.values())
    return tuple(check for check, found in points.items() if found == most) if most >= NEAR else ()


def nearest_sentence(scenario: Scenario) -> str:
    """Return how far we were off where somebody measured something like this scenario."""
    near = nearest(scenario)
    if not near:
        return "No figure here is like your scenario in chip, engine and class of model. Take its error as unknown."
    one = score(check.error for check in near)
    count = "1 published figure is" if one.rows == 1 else f"{one.rows} published figures are"
    lean = "too fast" if one.signed < 0 else "too slow"
    common = sorted({f"{c.model} on {c.chip} with {c.engine}" for c in near})
    shown = ", ".join(common[:3]) + (f" and {len(common) - 3} more" if len(common) > 3 else "")
    return (
        f"{count} nearest to your scenario ({shown}): median error {percent(one.median)}, "
        f"mostly {lean} ({percent(one.signed, sign=True)}), {percent(one.within_30)} within 30 %."
    )


def facts(check: Check) -> list[dict[str, str]]:
    """Return one row as a table: what was printed where, what we say, how far apart."""
    row = check.row
    rows = {
        "Measured": f"{show(row.value, row.unit)} ({row.printed})",
        "Predicted": f"{show(check.predicted, row.unit)}, {error_words(check.error)}",
        "What": f"{row.what}: {check.model} on {check.chip}, {check.engine}",
        "Asked": asked_text(check),
        "Measured with": row.stack,
        "Source": f"{row.source.title}; {row.source.place}; {row.source.date}",
        "Place": row.place,
        "Known about it": row.source.note,
    }
    return [{"": name, "Value": text} for name, text in rows.items()]


def asked_text(check: Check) -> str:
    """Return the configuration of a row in words."""
    question = check.row.asked
    if isinstance(question, Scenario):
        parts = (
            f"{question.n} × tp {question.tp} pp {question.pp}",
            f"batch {question.batch:,}",
            f"{question.prefix:,} cached + {question.input:,} in + {question.output:,} out",
            f"{question.weights} weights, {question.kv} cache",
        )
        return ", ".join(parts)
    if isinstance(question, Mapping):
        return ", ".join(f"{key} {value}" for key, value in question.items() if key not in ("kernel", "gpu"))
    run = question
    return (
        f"{run.n:,} devices, dp {run.dp} tp {run.tp} pp {run.pp}, {run.sharding}, batch {run.global_batch:,} × "
        f"{run.seq_len:,}, {run.precision}, recompute {run.recompute}"
    )


def error_words(error: float) -> str:
    """Return an error in words.

    >>> error_words(0.182), error_words(-0.693)
    ('1.2 times the measurement', '0.5 times the measurement')
    """
    return f"{significant(math.exp(error), 2)} times the measurement"
