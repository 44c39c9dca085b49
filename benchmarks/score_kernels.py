"""Score single kernels against published timings: `python -m benchmarks.score_kernels [--calibration DIR]`.

Prints the score per kernel kind, architecture and L2 fit of the data, and with every other shape left out of the fit.
The model is the one that `kernels` answers with.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.fit_kernels import (
    Rows,
    architecture,
    attention_model,
    fit_attention,
    fit_matmul,
    grouped,
    kernel_class,
    matmul_model,
    read,
)
from benchmarks.show import HEAD, line
from perfmodel.generation import GENERATIONS
from perfmodel.hardware import ACCELERATORS
from perfmodel.kernels import kernel
from perfmodel.score import score

CALIBRATION = Path(__file__).resolve().parents[2] / "shared" / "calibration"
#: The family that the constants are fitted on.
FITTED = "aiconfigurator"
#: Decode attention takes its compute rate from prefill, about this share of the peak.
DECODE_RATE = 0.6
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


def left_out(folder: Path) -> Iterator[tuple[str, str, str, float]]:
    """Yield kind, architecture, family and residual of every kernel whose shape had no part in the fit.

    Each class is fitted twice, each time on the rows of every other shape; rows of other families never take part.
    """
    gemm, attention = read(folder / "gemm.csv"), read(folder / "attention.csv")
    for (chip, _), rows in grouped(gemm, kernel_class).items():
        for train, test in halves(rows, ("n", "k")):
            p, _ = fit_matmul(train)
            yield from residuals_of("gemm", chip, test, matmul_model(test)(p))
    for phase in ("prefill", "decode"):
        for chip, rows in grouped([row for row in attention if row["phase"] == phase], architecture).items():
            for train, test in halves(rows, ("num_heads", "num_kv_heads", "head_dim")):
                p, _ = fit_attention(train, phase == "decode", DECODE_RATE)
                times = attention_model(test, phase == "decode", DECODE_RATE)(p)
                yield from residuals_of(f"{phase} attention", chip, test, times)
    with (folder / "gemm.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            # A chip without timings takes the share that the best product of this very table reached.
            if row["family"] != FITTED and architecture(row).lower() in GENERATIONS.aliases:
                miss = math.log(kernel(gemm_row(row))["time_s"] / float(row["time_s"]))
                yield "gemm", ACCELERATORS[row["gpu"]].architecture, row["family"], miss


def residuals_of(kind: str, chip: str, rows: Rows, times: Any) -> Iterator[tuple[str, str, str, float]]:
    """Yield kind, architecture, chip as the family, and ln(predicted / measured) of each row."""
    for row, time in zip(rows, times, strict=True):
        yield kind, chip, f"{row['family']} {ACCELERATORS[row['gpu']].id}", math.log(time / float(row["time_s"]))


def halves(rows: Rows, shape: tuple[str, ...]) -> Iterator[tuple[Rows, Rows]]:
    """Yield (fit, score) twice: every other shape is left out, and the other way round."""
    shapes = sorted({tuple(int(row[name]) for name in shape) for row in rows})
    odd = {one: index % 2 for index, one in enumerate(shapes)}
    parts: tuple[Rows, Rows] = ([], [])
    for row in rows:
        parts[odd[tuple(int(row[name]) for name in shape)]].append(row)
    if all(parts):
        yield parts[0], parts[1]
        yield parts[1], parts[0]


def main() -> None:
    """Print the table and one line per kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibration", type=Path, default=CALIBRATION)
    parser.add_argument("--leave-out", action="store_true", help="also fit without each half of the shapes")
    options = parser.parse_args()
    groups: dict[Key, list[float]] = defaultdict(list)
    for key, error in residuals(options.calibration):
        for total in (key, (plain(key), "all", "all"), (plain(key), "all", key[2])):
            groups[total].append(error)
    print(f"{'kernel':18}{'architecture':20}{'L2':8}{HEAD}")
    for key, errors in sorted(groups.items()):
        print(f"{key[0]:18}{key[1]:20}{key[2]:8}{line(score(errors))}")
    if options.leave_out:
        again: dict[tuple[str, str], list[float]] = defaultdict(list)
        for kind, _, family, error in left_out(options.calibration):
            again[(kind, family)].append(error)
        print(f"shapes left out of the fit{'':20}{HEAD}")
        for (kind, family), errors in sorted(again.items()):
            print(f"{kind:18}{family:28}{line(score(errors))}")


def plain(key: Key) -> str:
    """Return the kernel without its data type."""
    return key[0].split()[0] if key[0].startswith("gemm") else key[0]


if __name__ == "__main__":
    main()
