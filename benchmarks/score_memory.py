"""Score memory against published peaks: `python -m benchmarks.score_memory [--rows]`.

Inference rows are what the framework had allocated, all devices together, without the runtime's own reserve; weights
are the file size of the tensors; training rows are the peak of one device.
"""

from __future__ import annotations

import argparse
import csv
import math
from pathlib import Path

from benchmarks.requests import CALIBRATION, data_type, profile, whole
from benchmarks.score_training import read_memory
from benchmarks.show import HEAD, line
from perfmodel import Report, estimate, from_row
from perfmodel.score import mean_of_medians, score
from perfmodel.training_ops import constants


def report_of(row: dict[str, str]) -> Report:
    """Return our report of a measured memory row."""
    math_type = data_type(row["act_dtype"])
    given = {
        "model": row["model"],
        "gpu": row["gpu"] or "h100-sxm",  # the size of weights needs no chip
        "weight_dtype": data_type(row["weight_dtype"]),
        "math_dtype": "auto" if math_type in ("int4", "fp4") else math_type,
        "kv_dtype": data_type(row["kv_dtype"] or "fp16"),
        "batch": whole(row, "batch", 1),
        "input_len": max(1, whole(row, "input_len", 1)),
        "output_len": max(1, whole(row, "output_len", 1)),
        "engine": profile(row["engine"]),
    }
    return estimate(from_row(given))


def misses(folder: Path) -> dict[tuple[str, str], list[tuple[str, float]]]:
    """Return (phase, family) -> (what, residual) of every row."""
    found: dict[tuple[str, str], list[tuple[str, float]]] = {}
    with (folder / "memory.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["phase"] == "training":
                continue
            report = report_of(row)
            ours = report.weight_bytes if row["phase"] == "weights" else report.memory.allocated
            text = f"{row['model']:16}{row['weight_dtype'][:12]:13}{row['engine'][:12]:13}"
            text += (
                f"b={row['batch']:3}{row['input_len']:>6}/{row['output_len']:5}{float(row['value_bytes']) / 1e9:8.2f}"
            )
            text += f"{ours / 1e9:8.2f}"
            miss = math.log(ours / float(row["value_bytes"]))
            found.setdefault((row["phase"], row["family"]), []).append((text, miss))
    c = constants()
    for run in read_memory(folder / "memory.csv"):
        found.setdefault(("training", run.family), []).append((run.id, run.miss(c)))
    return found


def main() -> None:
    """Print the table and the mean over families."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibration", type=Path, default=CALIBRATION)
    parser.add_argument("--rows", action="store_true", help="print every row")
    options = parser.parse_args()
    groups = misses(options.calibration)
    print(f"{'phase':12}{'family':24}{HEAD}")
    for (phase, family), own in sorted(groups.items()):
        print(f"{phase:12}{family:24}{line(score(miss for _, miss in own))}")
        for text, miss in own if options.rows else ():
            print(f"    {text} {miss:+.1%}")
    medians = mean_of_medians({key: [miss for _, miss in own] for key, own in groups.items()})
    print(f"mean over families of the family median: {medians:.1%}")


if __name__ == "__main__":
    main()
