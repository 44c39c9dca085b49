"""Score single kernels against published timings: `python benchmarks/score_kernels.py [--calibration DIR]`.

Prints per kernel kind, architecture and L2 fit of the data: the median |ln(predicted / measured)|, the signed median,
the 90th percentile and the shares within 15 % and 30 %. The model is the one that `kernels` answers with.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from perfmodel.hardware import ACCELERATORS
from perfmodel.kernels import kernel

CALIBRATION = Path(__file__).resolve().parents[2] / "shared" / "calibration"
HEAD = f"{'kernel':18}{'architecture':20}{'L2':8}{'rows':>5}{'median':>9}{'signed':>9}{'p90':>8}{'<15%':>7}{'<30%':>7}"
Key = tuple[str, str, str]


def gemm_row(row: dict[str, str]) -> dict[str, object]:
    """Return a GEMM measurement as a row of `kernels`."""
    sizes = {name: int(row[name]) for name in ("m", "n", "k")}
    return {
        "kernel": "gemm",
        "gpu": row["gpu"],
        "weight_dtype": row["weight_dtype"],
        "math_dtype": row["act_dtype"],
    } | sizes


def attention_row(row: dict[str, str]) -> dict[str, object]:
    """Return an attention measurement as a row of `kernels`."""
    sizes = {"batch": "batch", "q_len": "q_len", "kv_len": "kv_len"}
    sizes |= {"heads": "num_heads", "kv_heads": "num_kv_heads", "head_dim": "head_dim"}
    plain = {
        "kernel": "attention",
        "gpu": row["gpu"],
        "phase": row["phase"],
        "dtype": "bf16",
        "kv_dtype": row["kv_dtype"],
    }
    return plain | {ours: int(row[theirs]) for ours, theirs in sizes.items()}


def residuals(folder: Path) -> Iterator[tuple[Key, float]]:
    """Yield the key of each measured kernel and ln(predicted / measured)."""
    for name, build in (("gemm", gemm_row), ("attention", attention_row)):
        with (folder / f"{name}.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                kind = f"{row['phase']} attention" if name == "attention" else f"gemm {row['act_dtype']}"
                key = (kind, ACCELERATORS[row["gpu"]].architecture, row["fits_l2"] or "?")
                yield key, math.log(kernel(build(row))["time_s"] / float(row["time_s"]))


def line(key: Key, errors: list[float]) -> str:
    """Return one row of the table."""
    e = np.array(errors)
    shares = "".join(f"{np.mean(np.abs(e) < math.log(limit)):7.0%}" for limit in (1.15, 1.30))
    middle = f"{np.median(np.abs(e)):9.1%}{np.median(e):+9.1%}{np.quantile(np.abs(e), 0.9):8.0%}"
    return f"{key[0]:18}{key[1]:20}{key[2]:8}{len(e):5}{middle}{shares}"


def main() -> None:
    """Print the table and one line per kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibration", type=Path, default=CALIBRATION)
    groups: dict[Key, list[float]] = defaultdict(list)
    for key, error in residuals(parser.parse_args().calibration):
        groups[key].append(error)
        groups[(key[0].split()[0] if key[0].startswith("gemm") else key[0], "all", "all")].append(error)
        groups[(key[0].split()[0] if key[0].startswith("gemm") else key[0], "all", key[2])].append(error)
    print(HEAD)
    for key, errors in sorted(groups.items()):
        print(line(key, errors))


if __name__ == "__main__":
    main()
