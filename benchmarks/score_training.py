"""Score the training model on published training runs and memory peaks: errors by family, by grade, families left out.

    python -m benchmarks.score_training [--calibration ../shared/calibration] [--leave-out] [--rows]

The error of a row is ln(predicted / measured); the median of its size is taken within each family and metric.
"""

from __future__ import annotations

import argparse
import csv
import math
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from perfmodel.training import TrainingReport, estimate_training
from perfmodel.training_ops import Constants, constants
from perfmodel.training_scenario import ROW_FIELDS, TrainingScenario, from_training_row

CALIBRATION = Path(__file__).resolve().parents[2] / "shared" / "calibration"
#: Column of training.csv -> property of a report.
METRICS = {
    "tokens_per_s_per_gpu": "tokens_per_s_per_gpu",
    "mfu": "mfu",
    "model_tflops_per_gpu": "model_flops_per_gpu",
    "step_time_s": "step_s",
}
HEADER = f"{'':34}{'rows':>5}{'median':>8}{'signed':>8}{'<15 %':>7}{'<30 %':>7}"


@dataclass(frozen=True)
class Run:
    """One measured number and the scenario it belongs to."""

    id: str
    family: str
    grade: str
    metric: str
    measured: float
    scenario: TrainingScenario

    def miss(self, c: Constants | None = None) -> float:
        """Return ln(predicted / measured)."""
        return math.log(predicted(estimate_training(self.scenario, c), self.metric) / self.measured)


def predicted(report: TrainingReport, metric: str) -> float:
    """Return the number that a metric of the tables asks for."""
    if metric == "peak_bytes_per_gpu":
        return report.memory.total
    if metric == "hardware_tflops_per_gpu":
        return report.hfu * report.peak_flops
    return float(getattr(report, METRICS[metric]))


def cell(text: str) -> Any:
    """Return a field of a table as a row of JSON holds it: numbers as numbers, nothing for nothing."""
    return int(float(text)) if re.fullmatch(r"\d+(\.\d+)?", text) else text or None


def read_training(path: Path) -> list[Run]:
    """Read training.csv; a row that is no valid scenario is named and left out."""
    runs = []
    for row in table(path):
        given = {name: cell(row[name]) for name in ROW_FIELDS if row.get(name)}
        runs += _run(row, given, row["metric"], float(row["value"]))
    return runs


def read_memory(path: Path) -> list[Run]:
    """Read the training rows of memory.csv, whose columns are those of inference."""
    runs = []
    for row in table(path):
        if row["phase"] != "training":
            continue
        given = {name: cell(row[name]) for name in ("model", "gpu", "n_gpu", "dp", "tp", "pp", "seq_len")}
        given["micro_batch"] = cell(row["batch"])
        given["sharding"] = row["engine"]
        given["precision"] = row["weight_dtype"].partition(",")[2] or row["weight_dtype"]
        found = re.search(r"activation checkpointing=(\w+)", row["extra"])
        given["recompute"] = found[1] if found else "none"
        runs += _run(row, given, row["metric"], float(row["value_bytes"]))
    return runs


def table(path: Path) -> Iterable[dict[str, str]]:
    """Yield the rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def _run(row: dict[str, str], given: dict[str, Any], metric: str, value: float) -> list[Run]:
    try:
        scenario, _ = from_training_row({name: item for name, item in given.items() if item is not None})
    except ValueError as error:
        print(f"{row['id']} left out: {error}", file=sys.stderr)
        return []
    return [Run(row["id"], row["family"], row["grade"], metric, value, scenario)]


def line(name: str, misses: Iterable[float]) -> str:
    """Return one line of the error table."""
    found = np.array(list(misses))
    size = np.abs(found)
    shares = f"{np.mean(size < math.log(1.15)):7.0%}{np.mean(size < math.log(1.3)):7.0%}"
    return f"{name:34}{found.size:5}{np.median(size):8.1%}{np.median(found):+8.1%}{shares}"


def show(title: str, scored: list[tuple[Run, float]]) -> None:
    """Print the errors by family and metric, and by grade."""
    print(f"\n{title}\n{HEADER}")
    for key in sorted({(run.grade, run.family, run.metric) for run, _ in scored}):
        own = [miss for run, miss in scored if (run.grade, run.family, run.metric) == key]
        print(line(f"{key[0]} {key[1]} {key[2]}", own))
    for grade in sorted({run.grade for run, _ in scored}):
        print(line(f"grade {grade}", [miss for run, miss in scored if run.grade == grade]))


def leave_out(runs: list[Run]) -> None:
    """Fit without one family and print the errors on it."""
    from benchmarks.fit_training import fit

    print(f"\nOne family left out of the fit\n{HEADER}")
    for family in sorted({run.family for run in runs}):
        fitted = fit([run for run in runs if run.family != family])
        print(line(family, [run.miss(fitted) for run in runs if run.family == family]))


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.score_training", description=__doc__)
    parser.add_argument("--calibration", type=Path, default=CALIBRATION, help="folder of the measured tables")
    parser.add_argument("--leave-out", action="store_true", help="also fit again without each family")
    parser.add_argument("--rows", action="store_true", help="print every row")
    options = parser.parse_args()
    if not (options.calibration / "training.csv").is_file():
        print(f"{options.calibration}/training.csv is not there: nothing to score", file=sys.stderr)
        return 1
    runs = read_training(options.calibration / "training.csv")
    memory = read_memory(options.calibration / "memory.csv")
    c = constants()
    scored = [(run, run.miss(c)) for run in runs]
    show("Speed", scored)
    show("Memory", [(run, run.miss(c)) for run in memory])
    if options.rows:
        for run, miss in scored:
            s = run.scenario
            layout = f"n={s.n} tp={s.tp} pp={s.pp} cp={s.cp} mb={s.micro_batch} seq={s.seq_len} {s.recompute}"
            print(f"{run.id:24}{s.model:18}{s.precision:5}{layout:44}{run.metric:22}{miss:+7.1%}")
    if options.leave_out:
        leave_out(runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
