"""Transcribe single published figures into perfmodel/published/: `python -m benchmarks.transcribe [--calibration DIR]`.

The rule, blind to how well the model does: within each source, metric, engine (requests), data type (GEMM), chip
(attention, all-reduce), the rows that state a configuration we know stand in order of their ids, and as many as
`TAKEN` says are taken at even distances. Files of sources that are not in the calibration tables are written by hand.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.requests import data_type, scenario_row
from benchmarks.score_kernels import attention_row, gemm_row
from perfmodel.published import COMMON, FOLDER, asked

CALIBRATION = Path(__file__).resolve().parents[2] / "shared" / "calibration"
Row = dict[str, str]
Fields = dict[str, object]
#: Rows taken of each group, by table.
TAKEN = {"e2e": 5, "gemm": 5, "attention": 3, "allreduce": 2, "memory": 4, "training": 8}
#: Family of the tables -> file in perfmodel/published/; a kernel's file has its kind behind.
FILES = {
    "AIC-GAP-Qwen3": "aiconfigurator-qwen3",
    "Argonne-Gaudi2": "argonne-gaudi2",
    "Argonne-MI300X": "argonne-mi300x",
    "AutoAWQ": "autoawq",
    "AutoAWQ-CPU": "autoawq-cpu",
    "InferenceX-gpt-oss": "inferencex-gpt-oss",
    "MAMF": "mamf",
    "NeMo-24.07": "nemo-24.07",
    "Qwen2.5-HF": "qwen2.5-transformers",
    "Qwen2.5-vLLM-A100": "qwen2.5-vllm",
    "StrixHalo-llama.cpp": "strix-halo-llama.cpp",
    "TensorRT-LLM-docs": "tensorrt-llm-docs",
    "XiongjieDai-llama.cpp": "xiongjiedai-llama.cpp",
    "exllama": "exllama",
    "exllama-4090": "exllama",
    "gguf-sizes": "xiongjiedai-llama.cpp",
    "llm-foundry": "llm-foundry",
    "lmdeploy-A100": "lmdeploy",
    "mlc-llm-perf-bench": "mlc-llm-perf-bench",
    "premAI": "premai",
    "torchtitan": "torchtitan",
    "vidur": "vidur",
}
#: Throughputs of whole runs are turned into the time of one batch of requests.
RATE = "decode_tokens_per_s_total"


@dataclass(frozen=True)
class Table:
    """How one calibration table becomes rows: its kind, what a row asks, and what groups are spread over."""

    name: str
    kind: str
    fields: Callable[[Row], Fields]
    group: Callable[[Row], tuple[str, ...]]
    unit: str


def memory_fields(row: Row) -> Fields:
    """Return a measured peak as a scenario row; a training peak as a training row."""
    if row["phase"] == "training":
        recompute = re.search(r"activation checkpointing=(\w+)", row["extra"])
        return {
            "model": row["model"], "gpu": row["gpu"], "n_gpu": row["n_gpu"], "dp": row["dp"],
            "micro_batch": row["batch"], "sharding": row["engine"], "seq_len": row["seq_len"],
            "precision": row["weight_dtype"].partition(",")[2] or row["weight_dtype"],
            "recompute": recompute[1] if recompute else "none",
        }  # fmt: skip
    weights = row["weight_dtype"]
    return {
        "model": row["model"], "gpu": row["gpu"] or "NVIDIA GeForce RTX 4090 24GB", "pp": row["n_gpu"] or "1",
        "batch": row["batch"] or "1", "input_len": row["input_len"] or "1",
        "output_len": max(1, int(row["output_len"] or 1)),
        "weight_dtype": data_type(weights), "kv_dtype": data_type(row["kv_dtype"] or "fp16"),
        "engine": "transformers" if row["engine"].startswith("HF") else "fused",
    }  # fmt: skip


def training_fields(row: Row) -> Fields:
    """Return a training run as a row of `train`."""
    names = ("model", "gpu", "n_gpu", "dp", "tp", "pp", "vpp", "cp", "ep", "sharding", "precision", "global_batch")
    return {name: row[name] for name in (*names, "micro_batch", "seq_len", "recompute")}


def reduce_fields(row: Row) -> Fields:
    """Return an all-reduce as a row of `kernels`."""
    return {name: row[name] for name in ("gpu", "n_gpu", "bytes", "dtype", "backend")}


TABLES = (
    Table("e2e", "request", scenario_row, lambda r: (r["metric"], r["engine"].split()[0]), "source_metric"),
    Table("gemm", "gemm", gemm_row, lambda r: (r["weight_dtype"], r["act_dtype"]), "source_unit"),
    Table("attention", "attention", attention_row, lambda r: (r["phase"], r["gpu"]), "source_unit"),
    Table("allreduce", "all_reduce", reduce_fields, lambda r: (r["backend"], r["gpu"]), "source_unit"),
    Table("memory", "memory", memory_fields, lambda r: (r["metric"], r["weight_dtype"].split()[0]), "source_unit"),
    Table("training", "training", training_fields, lambda r: (r["metric"],), "source_unit"),
)
#: Training rows print the same run as a throughput and as a share of the peak: the throughput is taken.
DOUBLED = {"mfu", "model_tflops_per_gpu"}


def transcribed(table: Table, row: Row) -> Row:
    """Return one row in our columns: where it stands, what was printed, its SI value, what was asked."""
    fields = {k: str(v) for k, v in table.fields(row).items() if v not in (None, "") and k != "kernel"}
    metric, value = row.get("metric") or "time_s", row.get("value") or row.get("value_bytes") or row["time_s"]
    kind, note = table.kind, ""
    if metric == RATE:
        metric, value = "e2e_latency_s", str(float(fields["batch"]) * float(fields["output_len"]) / float(value))
        note = "; value = batch x output / printed"
    if kind == "memory" and row["phase"] == "training":
        kind = "training"
    printed = f"{_short(row['source_value'])} {row[table.unit]}{note}"
    head = {"kind": kind, "metric": metric, "value": f"{float(value):.6g}", "printed": printed}
    return (
        head
        | {"stack": row.get("engine") or row.get("backend") or row["sharding"], "place": _place(row["source"])}
        | fields
    )


def _short(text: str) -> str:
    return f"{float(text):.5g}…" if re.fullmatch(r"\d*\.\d{6,}", text) else text


def _place(text: str) -> str:
    """Return the place in the document: file, short commit, section; the repository is told by the source."""
    inside = re.sub(r"^[\w.-]+/[\w.-]+( \([^)]*\))?:|^https://github.com/NVIDIA/TensorRT-LLM ", "", text)
    return re.sub(r"@([0-9a-f]{7})[0-9a-f]{33}", r"@\1", inside).replace("aic-core/src/aiconfigurator_core/", "")


def selected(folder: Path, table: Table) -> Iterator[tuple[str, Row]]:
    """Yield (file, row) of one table by the rule above."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    with (folder / f"{table.name}.csv").open(newline="", encoding="utf-8") as file:
        for row in sorted(csv.DictReader(file), key=lambda r: r["id"]):
            if row.get("metric") not in DOUBLED:
                groups.setdefault((row["family"], *table.group(row)), []).append(row)
    for key, rows in groups.items():
        name = FILES.get(key[0], f"{key[0]}-{table.kind.replace('_', '-')}")
        kept = [found for row in rows if (found := _possible(transcribed(table, row), row["id"]))]
        count = min(TAKEN[table.name], len(kept))
        yield from ((name, kept[int((i + 0.5) * len(kept) / count)]) for i in range(count))


def _possible(row: Row, id: str) -> Row | None:
    """Return the row, or None where its configuration is not one that can be asked for."""
    try:
        asked(row["kind"], {k: v for k, v in row.items() if k not in COMMON})
    except ValueError as error:
        print(f"{id} cannot be asked: {error}", file=sys.stderr)
        return None
    return row


def write(folder: Path, found: dict[str, list[Row]]) -> None:
    """Write one file per source, the common columns first."""
    for name, rows in sorted(found.items()):
        columns = [*COMMON, *dict.fromkeys(key for row in rows for key in row if key not in COMMON)]
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def main() -> int:
    """Select and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transcribe", description=__doc__)
    parser.add_argument("--calibration", type=Path, default=CALIBRATION, help="folder of the measured tables")
    folder = parser.parse_args().calibration
    if not folder.is_dir():
        print(f"{folder} is not there: nothing written", file=sys.stderr)
        return 1
    found: dict[str, list[Row]] = {}
    for table in TABLES:
        for name, row in selected(folder, table):
            found.setdefault(name, []).append(row)
    write(FOLDER, found)
    print(f"{sum(map(len, found.values()))} rows in {len(found)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
