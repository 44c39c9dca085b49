"""Fit the kernel constants of every chip generation on published timings and write perfmodel/generations/*.toml.

    python -m benchmarks.fit_kernels [--calibration ../shared/calibration] [--dry-run]

Three constants per kernel class: share of the dense peak, share of the bandwidth, time of the smallest kernel; prefill
attention has the query length at which it reaches half its efficiency, decode attention the gain of a replay from L2.
The loss is the mean |ln(predicted / measured)|, clipped at one, so that no outlier bends a constant. Needs SciPy.
"""

from __future__ import annotations

import argparse
import csv
import datetime
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from perfmodel.engine import ENGINES
from perfmodel.formulas.combine import overlapped_time
from perfmodel.formulas.flops import attention_flops, causal_pairs, matmul_flops
from perfmodel.formulas.occupancy import cached_bandwidth, ramped_rate
from perfmodel.generation import GENERATION_SPECS, matmul_class
from perfmodel.hardware import ACCELERATORS
from perfmodel.precision import Precision
from perfmodel.units import MEGA, MICRO

OVERLAP = ENGINES["fused"].overlap
WEIGHTS = {"nvfp4": "fp4", "bf16": "bf16", "fp16": "fp16", "fp8": "fp8", "int8": "int8", "int4": "int4"}
LARGEST_CACHE_BYTES = 126 * MEGA
#: Other architectures with the same processor.
SAME_PROCESSOR = {"Hopper": ("Hopper", "Grace Hopper")}
SOURCE = "published kernel timings: AIConfigurator (TensorRT-LLM 1.0/1.3, vLLM 0.14/0.24)"
Rows = list[dict[str, str]]
#: Constants -> predicted times.
Predict = Callable[[Any], Any]


def column(rows: Rows, name: str) -> np.ndarray:
    """Return one numeric column."""
    return np.array([float(row[name]) for row in rows])


def chip_column(rows: Rows, value: Callable[[Any], float]) -> np.ndarray:
    """Return one number of each row's chip."""
    return np.array([value(ACCELERATORS[row["gpu"]]) for row in rows])


def times(flops: Any, peak: Any, moved: Any, bandwidth: Any, p: Any) -> Any:
    """Return the model's time: compute and memory at their shares, overlapped as in the engine, plus a fixed time."""
    return overlapped_time(flops / (peak * p[0]), moved / (bandwidth * p[1]), OVERLAP) + p[2] * MICRO


def fit(
    predict: Callable[[Any], Any], measured: np.ndarray, starts: list[list[float]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the constants of least clipped error and the residuals ln(predicted / measured)."""

    def loss(p: Any) -> float:
        if min(p) < 0 or max(p[:2]) > 1 or min(p[:2]) <= 0:
            return 9.0
        return float(np.mean(np.minimum(np.abs(np.log(predict(p) / measured)), 1.0)))

    options = {"maxiter": 4000, "xatol": 1e-3, "fatol": 1e-5}
    best = min((minimize(loss, start, method="Nelder-Mead", options=options) for start in starts), key=lambda r: r.fun)
    return best.x, np.log(predict(best.x) / measured)


def entry(p: Any, residuals: np.ndarray, rows: Rows, **more: float) -> dict[str, Any]:
    """Return the constants as a table of the spec file."""
    table = {
        "efficiency": round(float(p[0]), 3),
        "memory_efficiency": round(float(p[1]), 3),
        "kernel_us": round(float(p[2]), 2),
    }
    table |= {name: round(value, 2) for name, value in more.items()}
    return table | {"rows": len(rows), "median_error": round(float(np.median(np.abs(residuals))), 3)}


def matmul_model(rows: Rows) -> Predict:
    """Return the time of one class of matrix products as a function of its constants."""
    weights, math = WEIGHTS[rows[0]["weight_dtype"]], WEIGHTS[rows[0]["act_dtype"]]
    precision = Precision(weights, math)
    m, n, k = (column(rows, name) for name in ("m", "n", "k"))
    moved = n * k * precision.weight_bytes + m * (k + n) * precision.activation_bytes
    peak = chip_column(rows, lambda chip: chip.peak_flops.get(math, chip.peak_flops["bf16"]))
    bandwidth = chip_column(rows, lambda chip: chip.memory_bytes_per_s)
    return lambda p: times(matmul_flops(m, k, n), peak, moved, bandwidth, p)


def fit_matmul(rows: Rows) -> tuple[np.ndarray, dict[str, Any]]:
    """Fit one class of matrix products."""
    starts = [[0.75, 0.85, 4.0], [0.5, 0.7, 12.0]]
    p, residuals = fit(matmul_model(rows), column(rows, "time_s"), starts)
    return p, entry(p, residuals, rows)


def attention_model(rows: Rows, decode: bool, efficiency: float = 1.0) -> Predict:
    """Return the time of prefill or decode attention of one generation as a function of its constants."""
    names = ("batch", "q_len", "kv_len", "num_heads", "num_kv_heads", "head_dim")
    batch, new, context, heads, kv_heads, head_dim = (column(rows, name) for name in names)
    value = np.array([1.0 if row["kv_dtype"] == "fp8" else 2.0 for row in rows])
    flops = attention_flops(batch * causal_pairs(new, context - new), heads, head_dim)
    moved = 2.0 * batch * new * heads * head_dim * 2.0 + 2.0 * batch * context * kv_heads * head_dim * value
    peak = chip_column(rows, lambda chip: chip.peak_flops["bf16"])
    bandwidth = chip_column(rows, lambda chip: chip.memory_bytes_per_s)
    # Where the cache is not published, that of the other chips of the generation is taken.
    cache = chip_column(rows, lambda chip: chip.l2_bytes)
    cache = np.where(cache > 0, cache, LARGEST_CACHE_BYTES)
    if not decode:
        return lambda p: times(flops, ramped_rate(peak, new, p[3]), moved, bandwidth, p)

    # Decode hardly computes: its rate cannot be read off these rows, so it takes that of prefill.
    def predict(p: Any) -> Any:
        rate = cached_bandwidth(bandwidth, moved, cache, 1.0 + p[3])
        return times(flops, peak, moved, rate, (efficiency, p[1], p[2]))

    return predict


def fit_attention(rows: Rows, decode: bool, efficiency: float = 1.0) -> tuple[np.ndarray, dict[str, Any]]:
    """Fit prefill or decode attention of one generation."""
    starts = [[0.5, 0.9, 10.0, 1.0], [0.6, 0.8, 13.0, 100.0], [0.6, 0.8, 16.0, 1500.0]]
    p, residuals = fit(attention_model(rows, decode, efficiency), column(rows, "time_s"), starts)
    if decode:
        return p, entry((efficiency, *p[1:]), residuals, rows, cache_gain=1.0 + float(p[3]))
    return p, entry(p, residuals, rows, ramp_tokens=float(p[3]))


def grouped(rows: Rows, key: Callable[[dict[str, str]], Any]) -> dict[Any, Rows]:
    """Return the rows by a key, groups too small to fit left out."""
    groups: dict[Any, Rows] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return {name: found for name, found in groups.items() if len(found) >= 12}


def architecture(row: dict[str, str]) -> str:
    """Return the architecture of a row's chip."""
    return ACCELERATORS[row["gpu"]].architecture


def kernel_class(row: dict[str, str]) -> tuple[str, str]:
    """Return architecture and class of a measured matrix product."""
    weights, math = WEIGHTS[row["weight_dtype"]], WEIGHTS[row["act_dtype"]]
    return architecture(row), matmul_class({"int4": 4, "int8": 8, "fp8": 8, "fp4": 4}.get(weights, 16), math)


def read(path: Path, family: str = "aiconfigurator") -> Rows:
    """Return the rows of one family of a calibration file."""
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["family"] == family]


def toml(architecture: str, tables: dict[str, dict[str, Any]]) -> str:
    """Return the spec file of one generation."""
    names = ", ".join(f'"{name}"' for name in SAME_PROCESSOR.get(architecture, (architecture,)))
    lines = [f"architectures = [{names}]", f'fitted = "{datetime.date.today()}"', f'source = "{SOURCE}"']
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {value}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def fit_all(gemm: Rows, attention: Rows) -> dict[str, dict[str, dict[str, Any]]]:
    """Return architecture -> table name -> constants."""
    found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)

    for (chip, name), rows in sorted(grouped(gemm, kernel_class).items()):
        found[chip][f'matmul."{name}"'] = fit_matmul(rows)[1]
    for phase in ("prefill", "decode"):
        rows_of_phase = [row for row in attention if row["phase"] == phase]
        for chip, rows in sorted(grouped(rows_of_phase, architecture).items()):
            reached = found[chip].get("prefill_attention", {}).get("efficiency", 1.0)
            found[chip][f"{phase}_attention"] = fit_attention(rows, phase == "decode", reached)[1]
    return found


def main() -> None:
    """Fit, print, and write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--calibration", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "calibration"
    )
    parser.add_argument("--dry-run", action="store_true", help="print only")
    options = parser.parse_args()
    found = fit_all(read(options.calibration / "gemm.csv"), read(options.calibration / "attention.csv"))
    for chip, tables in found.items():
        name = chip.lower().replace(" ", "-").replace("(", "").replace(")", "")
        print(f"\n{chip}")
        for table, values in tables.items():
            print(f"  {table:24}" + "  ".join(f"{key} {value}" for key, value in values.items()))
        if not options.dry_run:
            (GENERATION_SPECS / f"{name}.toml").write_text(toml(chip, tables))


if __name__ == "__main__":
    main()
