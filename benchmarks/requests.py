"""Measured requests as rows of `batch`: which profile, scenario and which of our numbers a published row asks for."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from perfmodel import Report, Scenario, estimate, from_row
from perfmodel.engine import Engine

CALIBRATION = Path(__file__).resolve().parents[2] / "shared" / "calibration"
#: What the name of a measured engine contains -> the profile that stands for it; anything else is `fused`.
PROFILES = {
    "vllm": "vllm",
    "tensorrt": "tensorrt-llm",
    "trtllm": "tensorrt-llm",
    "sglang": "sglang",
    "lmdeploy": "fastertransformer",
    "llama.cpp": "llama.cpp",
    "exllama": "exllama",
    "ipex": "transformers",
    "autoawq": "autoawq",
    "hf generate": "transformers",
    "hf transformers": "transformers",
    "mlc": "mlc-llm",
    "habana": "optimum-habana",
}
TYPES = ("nvfp4", "mxfp4", "fp16", "bf16", "fp8", "int8", "int4", "fp4")
SHORT = {"nvfp4": "fp4", "mxfp4": "fp4", "q4": "int4", "q8": "int8", "awq": "int4", "gptq": "int4"}
#: Metric of the tables -> what it is about: the kinds in which errors are reported.
KINDS = {
    "e2e_latency_s": "request",
    "decode_tokens_per_s_total": "request",
    "tpot_s": "decode",
    "prefill_time_s": "prefill",
    "ttft_s": "prefill",
}


@dataclass(frozen=True)
class Row:
    """One measured number, the scenario that it belongs to and where it comes from."""

    id: str
    family: str
    grade: str
    metric: str
    measured: float
    scenario: Scenario

    def miss(self, engine: Engine | None = None) -> float:
        """Return ln(predicted / measured), with a profile other than the catalogue's if given."""
        return math.log(predicted(self.metric, estimate(self.scenario, engine)) / self.measured)


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


def predicted(metric: str, report: Report) -> float:
    """Return our number for what the row measured; a rate turned over, so that too slow is positive everywhere."""
    if metric == "ttft_s":  # of the whole batch, as the tables have it
        return report.prefill_s + (report.decode_step_s if report.setup.engine.first_token_step else 0.0)
    return {
        "e2e_latency_s": report.e2e_s,
        "tpot_s": report.tpot_s,
        "prefill_time_s": report.prefill_s,
        "decode_tokens_per_s_total": 1.0 / report.tokens_per_s,
    }[metric]


def scenario_row(row: dict[str, str]) -> dict[str, object]:
    """Return a measurement as a row of `batch`."""
    pp, devices = whole(row, "pp", 1), whole(row, "n_gpu", 1)
    experts = re.search(r"moe_ep=([2-9]|\d\d+)", row["notes"])
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
    } | ({"ep": int(experts[1])} if experts else {})


def read(folder: Path = CALIBRATION) -> tuple[list[Row], Counter[str]]:
    """Return the rows of e2e.csv and how many could not be asked for, by reason."""
    rows, left_out = [], Counter[str]()
    with (folder / "e2e.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            try:
                scenario = from_row(scenario_row(row))
            except ValueError as error:
                left_out[str(error)] += 1
                continue
            value = float(row["value"])
            measured = 1.0 / value if row["metric"] == "decode_tokens_per_s_total" else value
            rows.append(Row(row["id"], row["family"], row["grade"], row["metric"], measured, scenario))
    return rows, left_out


def by_family(rows: Iterable[Row], misses: Iterable[float]) -> dict[tuple[str, str], list[float]]:
    """Return the residuals of each (kind, family)."""
    groups: dict[tuple[str, str], list[float]] = {}
    for row, miss in zip(rows, misses, strict=True):
        groups.setdefault((KINDS[row.metric], row.family), []).append(miss)
    return groups
