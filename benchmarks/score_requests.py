"""Score whole requests and tokens against published measurements: `python benchmarks/score_requests.py`.

Prints per source family, engine profile and metric the median |ln(predicted / measured)|, the signed median and the
shares within 15 % and 30 %, then the mean over families; what a row could not be asked for is counted with its reason.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from perfmodel import Report, estimate, from_row

CALIBRATION = Path(__file__).resolve().parents[2] / "shared" / "calibration"
#: What the name of a measured engine contains -> the profile that stands for it; anything else is `fused`.
PROFILES = {
    "vllm": "vllm",
    "tensorrt": "tensorrt-llm",
    "trtllm": "tensorrt-llm",
    "sglang": "sglang",
    "lmdeploy": "fastertransformer",
    "llama.cpp": "llama.cpp",
    "hf generate": "transformers",
}
TYPES = ("nvfp4", "mxfp4", "fp16", "bf16", "fp8", "int8", "int4", "fp4")
SHORT = {"nvfp4": "fp4", "mxfp4": "fp4", "q4": "int4", "q8": "int8", "awq": "int4", "gptq": "int4"}


def data_type(text: str) -> str:
    """Return our name of the data type that a table names."""
    found = next((name for name in (*TYPES, *SHORT) if name in text.lower()), "bf16")
    return SHORT.get(found, found)


def profile(engine: str) -> str:
    """Return the engine profile of a measured engine."""
    return next((ours for theirs, ours in PROFILES.items() if theirs in engine.lower()), "fused")


def whole(row: dict[str, str], name: str, default: int) -> int:
    """Return a whole number of a row, or the default where it is empty."""
    return int(float(row[name])) if row[name] else default


def predicted(row: dict[str, str], report: Report) -> float:
    """Return our number for what the row measured."""
    return {
        "e2e_latency_s": report.e2e_s,
        "tpot_s": report.tpot_s,
        "prefill_time_s": report.prefill_s,
        "ttft_s": report.prefill_s,
        "decode_tokens_per_s_total": report.tokens_per_s,
    }[row["metric"]]


def scenario_row(row: dict[str, str]) -> dict[str, object]:
    """Return a measurement as a row of `batch`."""
    pp, devices = whole(row, "pp", 1), whole(row, "n_gpu", 1)
    math_type = data_type(row["act_dtype"]) if row["act_dtype"] else "auto"
    return {
        "model": row["model"],
        "gpu": row["gpu"],
        "tp": whole(row, "tp", devices // pp),
        "pp": pp,
        "weight_dtype": data_type(row["weight_dtype"]),
        "math_dtype": "auto" if math_type in ("int4", "fp4") else math_type,
        "kv_dtype": data_type(row["kv_dtype"] or "fp16"),
        "batch": whole(row, "batch", 1),
        "input_len": max(1, whole(row, "input_len", 1)),
        "output_len": max(1, whole(row, "output_len", 1)),
        "prefix_len": whole(row, "prefix_len", 0),
        "engine": profile(row["engine"]),
    }


def main() -> None:
    """Print the table, the mean over its lines and what was left out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibration", type=Path, default=CALIBRATION)
    groups: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    with (parser.parse_args().calibration / "e2e.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            try:
                report = estimate(from_row(scenario_row(row)))
            except ValueError as error:
                left_out[str(error)] += 1
                continue
            error = math.log(predicted(row, report) / float(row["value"]))
            groups[(row["family"], profile(row["engine"]), row["metric"])].append(error)
    print(f"{'family':24}{'profile':20}{'metric':28}{'rows':>5}{'median':>9}{'signed':>9}{'<15%':>7}{'<30%':>7}")
    for (family, engine, metric), errors in sorted(groups.items()):
        e = np.array(errors)
        shares = "".join(f"{np.mean(np.abs(e) < math.log(limit)):7.0%}" for limit in (1.15, 1.30))
        middle = f"{np.median(np.abs(e)):9.1%}{np.median(e):+9.1%}"
        print(f"{family:24}{engine:20}{metric:28}{len(e):5}{middle}{shares}")
    print(f"mean of the medians: {np.mean([np.median(np.abs(e)) for e in groups.values()]):.1%}")
    for reason, count in left_out.most_common():
        print(f"left out {count}: {reason}")


if __name__ == "__main__":
    main()
