"""Outputs of llama-bench, vllm bench and genai-perf as rows of ours.

Fields as the tools' own documentation prints them: llama-bench README (CSV, JSON, JSONL, table), the JSON that `vllm
bench latency|throughput|serve` writes, profile_export_genai_perf.csv and .json.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from perfmodel.blocks import parameters
from perfmodel.importers.measured import Fields, Rows, positive, table_rows
from perfmodel.importers.text import shown_key
from perfmodel.model import MODELS
from perfmodel.scenario import Scenario
from perfmodel.units import GIB, GIGA, MEGA, MIB, MICRO, MILLI, NANO

Reader = Callable[[str, Scenario], Rows]
#: A model of the catalogue stands for a file whose count of parameters is this near.
SAME_SIZE = 0.02
#: The type at the end of a llama.cpp model's name -> weights, and weights per scale where it is a block format.
QUANTISED = (
    (r"BF16", "bf16", 0),
    (r"F16|FP16", "fp16", 0),
    (r"F32", "fp32", 0),
    (r"Q8_\S*", "int8", 0),
    (r"MXFP4\S*", "fp4", 0),
    (r"I?Q[1-6]_\S*", "int4", 32),
)
#: Names of one quantity in the reports of genai-perf, in JSON and in CSV.
GENAI = {
    "input": ("input_sequence_length", "input sequence length"),
    "output": ("output_sequence_length", "output sequence length"),
    "tpot": ("inter_token_latency", "inter token latency"),
    "ttft": ("time_to_first_token", "time to first token"),
    "e2e": ("request_latency", "request latency"),
}
_UNITS = {"ms": MILLI, "s": 1.0, "us": MICRO, "ns": NANO, "sec": 1.0, "seconds": 1.0}


def json_format(values: list[Any]) -> tuple[str, Reader]:
    """Return the name and the reader of a JSON output, told by its keys."""
    first = next((value for value in values if isinstance(value, dict)), {})
    kinds: tuple[tuple[str, str, Callable[[Mapping[str, Any], Scenario], list[Fields]]], ...] = (
        ("avg_ts", "llama-bench JSON", llama_fields),
        ("avg_latency", "vllm bench latency", _vllm_latency),
        ("requests_per_second", "vllm bench throughput", _vllm_throughput),
        ("total_output_tokens", "vllm bench serve", _vllm_serve),
        ("inter_token_latency", "genai-perf JSON", _genai_json),
        ("request_latency", "genai-perf JSON", _genai_json),
    )
    for key, name, fields in kinds:
        if key in first:
            return name, _each(values, fields)
    known = ", ".join(dict.fromkeys(key for key, _, _ in kinds))
    raise ValueError(f"the JSON has none of the keys that tell a format ({known}); it begins with {_keys(first)}")


def _keys(value: Mapping[str, Any]) -> str:
    return ", ".join(shown_key(str(key), 30) for key in list(value)[:4]) or "no object"


def _each(values: list[Any], fields: Callable[[Mapping[str, Any], Scenario], list[Fields]]) -> Reader:
    def read(_text: str, scenario: Scenario) -> Rows:
        for number, value in enumerate(values, start=1):
            if not isinstance(value, dict):
                yield number, "an object {...} is needed"
                continue
            try:
                yield from ((number, row) for row in fields(value, scenario))
            except ValueError as error:
                yield number, str(error)

    return read


def llama_csv(text: str, scenario: Scenario) -> Rows:
    """Yield the rows of `llama-bench -o csv`."""
    rows = table_rows(text)
    _, header = next(rows)
    for number, cells in rows:
        if len(cells) != len(header):
            yield number, f"{len(cells)} cells, but the header has {len(header)}"
            continue
        try:
            yield from ((number, row) for row in llama_fields(dict(zip(header, cells, strict=True)), scenario))
        except ValueError as error:
            yield number, str(error)


def llama_table(text: str, scenario: Scenario) -> Rows:
    """Yield the rows of the table that llama-bench prints."""
    header: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.strip().startswith("|") or set(line) <= set("|-: "):
            continue
        if "t/s" in cells:
            header = cells
            continue
        try:
            yield from ((number, row) for row in _table_row(dict(zip(header, cells, strict=False)), scenario))
        except ValueError as error:
            yield number, str(error)


def _table_row(row: Mapping[str, str], scenario: Scenario) -> list[Fields]:
    test = row.get("test", "")
    found = re.fullmatch(r"(pp|tg)\s?(\d{1,8})(?:\+tg\s?(\d{1,8}))?(?:\s?@\s?d\s?(\d{1,8}))?", test)
    if not found:
        raise ValueError(f"test={test[:40]!r} is not allowed: pp512, tg128, pp512+tg128, each with @ d1024, are known")
    prompt = found[2] if found[1] == "pp" else "0"
    generated = found[2] if found[1] == "tg" else found[3] or "0"
    size = re.fullmatch(r"([\d.]+) ([GM])iB", row.get("size", ""))
    count = re.fullmatch(r"([\d.]+) ([BM])", row.get("params", ""))
    plain = {
        "model_type": row.get("model", ""),
        "model_size": float(size[1]) * (GIB if size[2] == "G" else MIB) if size else 0,
        "model_n_params": float(count[1]) * (GIGA if count[2] == "B" else MEGA) if count else 0,
        "n_prompt": prompt,
        "n_gen": generated,
        "n_depth": found[4] or "0",
        "n_gpu_layers": row.get("ngl", ""),
        "avg_ts": row.get("t/s", "").split("±")[0].strip(),
    }
    return llama_fields(plain, scenario)


def llama_fields(row: Mapping[str, Any], scenario: Scenario) -> list[Fields]:
    """Return one test of llama-bench: a prompt, a generation, or both, after `n_depth` tokens."""
    rate = positive(row.get("avg_ts"), "avg_ts")
    prompt, generated, depth = (int(_count(row, key)) for key in ("n_prompt", "n_gen", "n_depth"))
    common = _llama_model(row, scenario) | {"engine": "llama.cpp", "batch": 1, "prefix_len": depth}
    if prompt and generated:
        return [common | _seconds("e2e", (prompt + generated) / rate) | {"input_len": prompt, "output_len": generated}]
    if prompt:
        return [common | _seconds("prefill", prompt / rate) | {"input_len": prompt, "output_len": 1}]
    if generated:
        return [common | _seconds("tpot", 1.0 / rate) | {"input_len": 1, "output_len": generated}]
    raise ValueError("n_prompt and n_gen are both 0: nothing was measured")


def _count(row: Mapping[str, Any], key: str) -> float:
    """Return a count that may be absent or zero."""
    text = str(row.get(key) or "0").strip()
    return 0.0 if text in ("0", "0.0") else positive(text, key)


def _seconds(what: str, seconds: float) -> Fields:
    return {"what": what, "seconds": seconds}


def _llama_model(row: Mapping[str, Any], scenario: Scenario) -> Fields:
    """Return model and weight type of a row; a model that the scenario does not have is looked up by its size."""
    kind, count = str(row.get("model_type", "")), _count(row, "model_n_params")
    layers = scenario.resolved_model.dimensions.layers
    given: Fields = {}
    if count and not _like(parameters(scenario.resolved_model.dimensions).total, count):
        near = [id for id in MODELS if _like(parameters(MODELS[id].dimensions).total, count)]
        if not near:
            raise ValueError(
                f"model_type={kind[:40]!r} with {count / GIGA:.2f} B parameters is not in the catalogue: choose its "
                "model in the sidebar, or import its config.json"
            )
        # Of several of this size, one whose name begins as the file's does.
        family = kind.split()[0].lower() if kind.split() else ""
        best = next((id for id in near if id.startswith(family)), near[0])
        given["model"], layers = best, MODELS[best].dimensions.layers
    moved = str(row.get("n_gpu_layers", ""))
    if moved.isdigit() and 0 < int(moved) < layers:
        raise ValueError(f"n_gpu_layers={moved} is not allowed: {layers} layers, so part of them ran on the CPU")
    return given | _weights(kind, _count(row, "model_size"), count)


def _like(total: float, count: float) -> bool:
    return abs(total / count - 1.0) <= SAME_SIZE


def _weights(kind: str, size: float, count: float) -> Fields:
    last = kind.split()[-1].upper() if kind.split() else ""
    for pattern, dtype, group in QUANTISED:
        if re.match(pattern, last):
            bits = 8.0 * size / count if size and count else 0.0
            # A block format of b bits a weight is 4 bits and a 16-bit scale for every 16/(b - 4) weights.
            exact = round(16.0 / (bits - 4.0)) if group and 4.05 < bits <= 8.0 else group
            return {"weight_dtype": dtype} | ({"group": min(65_536, max(8, exact))} if group else {})
    raise ValueError(f"model_type={kind[:40]!r} is not allowed: it must end in a type such as Q4_0, Q8_0 or F16")


def _vllm_latency(row: Mapping[str, Any], scenario: Scenario) -> list[Fields]:
    # The file does not say the lengths: those of the scenario, whose batch runs at once.
    return [_seconds("e2e", positive(row["avg_latency"], "avg_latency")) | _served(scenario)]


def _vllm_throughput(row: Mapping[str, Any], scenario: Scenario) -> list[Fields]:
    # Little's law: what is in flight is the rate times the time of a request.
    rate = positive(row["requests_per_second"], "requests_per_second")
    return [_seconds("e2e", scenario.batch / rate) | _served(scenario)]


def _served(scenario: Scenario) -> Fields:
    return {"engine": "vllm", "input_len": scenario.input, "output_len": scenario.output, "batch": scenario.batch}


def _vllm_serve(row: Mapping[str, Any], _scenario: Scenario) -> list[Fields]:
    completed = positive(row.get("completed"), "completed")
    if not row.get("max_concurrency"):
        raise ValueError("max_concurrency is not set: requests in flight are unknown; run with --max-concurrency")
    lengths = {
        "batch": int(positive(row["max_concurrency"], "max_concurrency")),
        "input_len": max(1, round(positive(row.get("total_input_tokens"), "total_input_tokens") / completed)),
        "output_len": max(2, round(positive(row.get("total_output_tokens"), "total_output_tokens") / completed)),
        "engine": "vllm",
    }
    return _latencies({name: row.get(f"median_{name}_ms") for name in ("tpot", "ttft")} | {"e2e": _e2e(row)}, lengths)


def _e2e(row: Mapping[str, Any]) -> Any:
    return row.get("median_e2el_ms")


def _latencies(found: Mapping[str, Any], lengths: Fields) -> list[Fields]:
    """Return rows of times in ms; a first token under load waits for others, so that it counts alone only."""
    rows = [
        _seconds(what, positive(value, what) * MILLI) | lengths
        for what, value in found.items()
        if value and (what != "ttft" or lengths["batch"] == 1)
    ]
    if not rows:
        raise ValueError("no time per token and no request latency in it: was the output streamed?")
    return rows


def _genai_json(row: Mapping[str, Any], scenario: Scenario) -> list[Fields]:
    found: dict[str, tuple[float, str]] = {}
    for name, (key, _) in GENAI.items():
        entry = row.get(key)
        if isinstance(entry, dict) and entry.get("avg") is not None:
            found[name] = (positive(entry["avg"], key), str(entry.get("unit", "")))
    return _genai(found, _concurrency(row), scenario)


def _concurrency(row: Mapping[str, Any]) -> int:
    """Return the requests in flight that the report's own configuration names, 0 when it names none."""
    for place in (("perf_analyzer", "stimulus", "concurrency"), ("loadgen", "concurrency"), ("concurrency",)):
        value: Any = row.get("input_config", {})
        for key in place:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return 0


def genai_csv(text: str, scenario: Scenario) -> Rows:
    """Yield the rows of profile_export_genai_perf.csv; its concurrency is the batch of the scenario."""
    found: dict[str, tuple[float, str]] = {}
    for number, cells in table_rows(text):
        parts = re.fullmatch(r"([\w ]+?)\s*(?:\(([\w/]+)\))?", cells[0])
        name = next((ours for ours, (_, theirs) in GENAI.items() if parts and parts[1].lower() == theirs), "")
        if name and len(cells) > 1:
            try:
                found[name] = (positive(cells[1], cells[0]), (parts[2] if parts else "") or "")
            except ValueError as error:
                yield number, str(error)
    try:
        yield from ((1, row) for row in _genai(found, 0, scenario))
    except ValueError as error:
        yield 1, str(error)


def _genai(found: Mapping[str, tuple[float, str]], concurrency: int, scenario: Scenario) -> list[Fields]:
    missing = [name for name in ("input", "output") if name not in found]
    if missing:
        raise ValueError(f"{GENAI[missing[0]][0]} is missing: without it the tokens of a request are unknown")
    lengths = {
        "input_len": max(1, round(found["input"][0])),
        "output_len": max(2, round(found["output"][0])),
        "batch": concurrency or scenario.batch,
    }
    times: dict[str, float] = {}
    for name in ("tpot", "ttft", "e2e"):
        if name in found:
            value, unit = found[name]
            if unit.lower() not in _UNITS:
                raise ValueError(f"{GENAI[name][0]} is in {unit[:20]!r}; allowed are {', '.join(_UNITS)}")
            times[name] = value * _UNITS[unit.lower()] / MILLI
    return _latencies(times, lengths)
