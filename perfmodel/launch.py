"""Launch lines: the command that serves a scenario with vLLM, TensorRT-LLM or SGLang, and what it cannot say.

Flags as in the engines' own references: vLLM `vllm serve --help` and vllm/config/cache.py, TensorRT-LLM
tensorrt_llm/commands/serve.py and the LLM API's YAML, SGLang docs/advanced_features/server_arguments.md.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perfmodel.model import MODELS
from perfmodel.report import Report
from perfmodel.scenario import CUSTOM, Scenario
from perfmodel.speculative import MTP, NGRAM

#: Engine profile -> name of the server it stands for, in the order in which they are shown.
SERVERS = {"vllm": "vLLM", "sglang": "SGLang", "tensorrt-llm": "TensorRT-LLM"}
#: Names of 16 and 32 bit types in the engines' words.
DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
#: Quantised weights: what loads them, by server. TensorRT-LLM reads it from the checkpoint.
QUANTISED = {
    "vllm": {"fp8": "fp8", "int8": "compressed-tensors", "int4": "awq_marlin", "fp4": "modelopt_fp4"},
    "sglang": {"fp8": "fp8", "int8": "w8a8_int8", "int4": "awq_marlin", "fp4": "modelopt_fp4"},
}
#: What the weights of a checkpoint are called that must be made first: no flag quantises these while loading.
CHECKPOINTS = {"fp8": "FP8", "int8": "W8A8-INT8", "int4": "AWQ-INT4", "fp4": "NVFP4"}
#: Data types of the KV cache, by server; what is absent cannot be served.
CACHES = {
    "vllm": DTYPES
    | {"fp32": "", "fp8": "fp8", "int8": "int8_per_token_head", "int4": "int4_per_token_head", "fp4": "nvfp4"},
    "sglang": {"bf16": "bf16", "fp8": "fp8_e4m3", "fp4": "fp4_e2m1"},
    "tensorrt-llm": {"bf16": "auto", "fp16": "auto", "fp8": "fp8", "fp4": "nvfp4"},
}
#: Published in that type already, or with prediction heads of their own: ids that begin so.
_PUBLISHED = {"fp4": ("gpt-oss",), "fp8": ("deepseek-v3", "kimi-k2")}
_HEADS = ("deepseek-v3", "glm-4.5", "glm-4.7", "glm-5", "qwen3-next", "qwen3.5")
#: Makers of the chips that a server runs on.
_MAKERS_OF_CHIPS = {
    "vllm": ("NVIDIA", "AMD", "Intel", "Google", "AWS", CUSTOM),
    "sglang": ("NVIDIA", "AMD", "Intel", CUSTOM),
    "tensorrt-llm": ("NVIDIA", CUSTOM),
}
#: The servers' own shares of the memory: no more is asked for unless the scenario needs it.
_USUAL_SHARE = {"vllm": 0.92, "sglang": 0.9}


@dataclass(frozen=True, slots=True)
class Launch:
    """One command for a shell; `notes` say what must be done besides and what the command leaves out."""

    server: str
    command: str
    notes: tuple[str, ...]


def launches(report: Report) -> tuple[Launch, ...]:
    """Return the command for every server that runs on the chip, that of the scenario's engine first."""
    mine = report.scenario.engine
    ranked = sorted(SERVERS, key=lambda server: server != mine)
    vendor = report.setup.chip.vendor
    return tuple(_WRITERS[server](report) for server in ranked if vendor in _MAKERS_OF_CHIPS[server])


def _vllm(report: Report) -> Launch:
    s, notes = report.scenario, _notes(report, "vllm")
    # Attention split by sequences is data parallelism there, with the experts spread over all of it.
    tp, dp = (1, s.tp * s.dp) if s.adp else (s.tp, s.dp)
    flags: dict[str, Any] = {"tensor-parallel-size": tp}
    flags |= _above_one(
        {"pipeline-parallel-size": s.pp, "data-parallel-size": dp, "prefill-context-parallel-size": s.cp}
    )
    if s.ep > 1:
        flags["enable-expert-parallel"] = True
        if s.ep != s.tp * s.dp:
            notes += [f"vLLM spreads experts over all tp x dp = {s.tp * s.dp} devices; the scenario says {s.ep}"]
    flags |= _common(report, "vllm", "max-num-seqs", "max-model-len", dp)
    flags["gpu-memory-utilization"] = _share(report, "vllm", report.memory.reserve)
    if s.prefix:
        flags["enable-prefix-caching"] = True
    if report.setup.speculation:
        flags["speculative-config"] = json.dumps(_vllm_draft(s))
    return Launch(SERVERS["vllm"], _line(["vllm", "serve", checkpoint(s, "vllm")], flags), tuple(notes))


def _vllm_draft(s: Scenario) -> dict[str, Any]:
    tokens = {"num_speculative_tokens": s.spec}
    if s.draft == NGRAM:
        return {"method": "ngram", **tokens, "prompt_lookup_max": s.spec}
    if s.draft == MTP:
        return {"method": "mtp", **tokens} if _has_head(s) else {"method": "eagle3", "model": _HEAD_PATH, **tokens}
    return {"method": "draft_model", "model": _published(s.draft), **tokens}


def _sglang(report: Report) -> Launch:
    s, notes = report.scenario, _notes(report, "sglang")
    flags: dict[str, Any] = {"model-path": checkpoint(s, "sglang"), "tp-size": s.tp}
    flags |= _above_one({"pp-size": s.pp, "dp-size": s.tp if s.adp else s.dp, "ep-size": min(s.ep, s.tp)})
    if s.adp:
        flags["enable-dp-attention"] = True
        notes += [f"run {s.dp} of these behind a router"] if s.dp > 1 else []
    if s.ep > s.tp:
        notes += [f"SGLang spreads experts within tp-size: {s.tp} devices; the scenario says {s.ep}"]
    if s.adp and s.draft == NGRAM:
        notes += ["SGLang has no n-gram drafts together with data-parallel attention"]
    if s.cp > 1:
        notes += [f"cp={s.cp}: left out, SGLang splits a sequence only inside its tensor group"]
    flags |= _common(report, "sglang", "max-running-requests", "context-length", s.dp)
    flags["mem-fraction-static"] = _share(report, "sglang", report.memory.reserve + report.memory.activations)
    flags |= _sglang_draft(s) if report.setup.speculation else {}
    return Launch(SERVERS["sglang"], _line(["python", "-m", "sglang.launch_server"], flags), tuple(notes))


def _sglang_draft(s: Scenario) -> dict[str, Any]:
    if s.draft == NGRAM:
        return {"speculative-algorithm": "NGRAM", "speculative-num-draft-tokens": s.spec + 1}
    chain = {"num-steps": s.spec, "eagle-topk": 1, "num-draft-tokens": s.spec + 1}
    named = {"algorithm": "NEXTN"} if _has_head(s) else {"algorithm": "EAGLE3", "draft-model-path": _HEAD_PATH}
    if s.draft != MTP:
        named = {"algorithm": "STANDALONE", "draft-model-path": _published(s.draft)}
    return {f"speculative-{name}": value for name, value in (named | chain).items()}


def _tensorrt(report: Report) -> Launch:
    s, notes = report.scenario, _notes(report, "tensorrt-llm")
    if s.dp > 1:
        notes += [f"run {s.dp} of these behind a load balancer: each is one copy of the model"]
    sizes = _above_one({"pp_size": s.pp, "cp_size": s.cp, "ep_size": min(s.ep, s.tp)})
    flags = {"tp_size": s.tp} | sizes
    if s.ep > s.tp:
        notes += [f"one copy spreads experts over its tp_size = {s.tp} devices; the scenario says {s.ep}"]
    flags |= {"max_batch_size": _sequences(s, s.dp * (s.tp if s.adp else 1)), "max_seq_len": _context(s)}
    line = _line(["trtllm-serve", checkpoint(s, "tensorrt-llm")], flags | {"extra_llm_api_options": "options.yaml"})
    yaml = "\n".join(_yaml(_options(report)))
    return Launch(SERVERS["tensorrt-llm"], f"cat > options.yaml <<'EOF'\n{yaml}\nEOF\n{line}", tuple(notes))


def _options(report: Report) -> dict[str, Any]:
    """Return what trtllm-serve reads from its YAML file."""
    s = report.scenario
    dtype = {"dtype": DTYPES[s.weights]} if s.weights in DTYPES else {}
    cache = {"dtype": CACHES["tensorrt-llm"].get(s.kv, "auto"), "enable_block_reuse": bool(s.prefix)}
    found = dtype | {"kv_cache_config": cache} | ({"enable_attention_dp": True} if s.adp else {})
    if report.setup.speculation:
        length = {"max_draft_len": s.spec}
        kind: dict[str, Any] = {"decoding_type": "MTP"} if _has_head(s) else {"decoding_type": "Eagle3"}
        if s.draft == NGRAM:
            kind = {"decoding_type": "NGram", "max_matching_ngram_size": s.spec}
        elif s.draft != MTP:
            kind = {"decoding_type": "DraftTarget", "speculative_model_dir": _published(s.draft)}
        elif not _has_head(s):
            kind |= {"speculative_model_dir": _HEAD_PATH}
        found["speculative_config"] = kind | length
    return found


_WRITERS = {"vllm": _vllm, "sglang": _sglang, "tensorrt-llm": _tensorrt}
_HEAD_PATH = "path/to/eagle3-head"


def checkpoint(s: Scenario, server: str) -> str:
    """Return what is loaded: the published name, or the path of a checkpoint that must be quantised first."""
    name = _published(s.model)
    if s.weights in DTYPES or _is_published(s) or (s.weights == "fp8" and server in QUANTISED):
        return name
    return f"path/to/{name.rpartition('/')[2]}-{CHECKPOINTS[s.weights]}"


def _published(model: str) -> str:
    if model == CUSTOM:
        return "path/to/model"
    file = MODELS[model].file
    return (file.hf_id if file else "") or f"path/to/{model}"


def _is_published(s: Scenario) -> bool:
    return s.model.startswith(_PUBLISHED.get(s.weights, ("\0",)))


def _has_head(s: Scenario) -> bool:
    return s.model.startswith(_HEADS)


def _common(report: Report, server: str, batch: str, context: str, replicas: int) -> dict[str, Any]:
    """Return precision, batch per replica and context of vLLM and SGLang."""
    s = report.scenario
    flags: dict[str, Any] = {}
    if s.weights in DTYPES:
        flags["dtype"] = DTYPES[s.weights]
    else:
        mxfp4 = s.weights == "fp4" and _is_published(s)
        flags["quantization"] = "mxfp4" if mxfp4 else QUANTISED[server][s.weights]
    if cache := CACHES[server].get(s.kv):
        flags["kv-cache-dtype"] = cache
    return flags | {batch: _sequences(s, replicas), context: _context(s)}


def _sequences(s: Scenario, replicas: int) -> int:
    return math.ceil(s.batch / replicas)


def _context(s: Scenario) -> int:
    return s.prefix + s.input + s.output


def _share(report: Report, server: str, outside: float) -> float:
    """Return the share of the memory that the server plans itself: its usual one, or what the scenario needs."""
    held = report.memory
    if not held.capacity > outside:
        return _USUAL_SHARE[server]
    most, needed = 1.0 - outside / held.capacity, (held.total - outside) / held.capacity
    return math.floor(min(most, max(needed + 0.01, _USUAL_SHARE[server])) * 100) / 100


def _notes(report: Report, server: str) -> list[str]:
    """Return what no flag of any server says, and what the server lacks."""
    s, chip = report.scenario, report.setup.chip
    found = []
    if report.memory.capacity > 0 and not report.memory.fits:
        found += ["this does not fit into the memory: the server will refuse it"]
    if s.model == CUSTOM:
        found += ["put the path of your model in place of path/to/model"]
    if checkpoint(s, server).startswith("path/to/") and s.weights in CHECKPOINTS and s.model != CUSTOM:
        found += [f"needs a checkpoint quantised to {CHECKPOINTS[s.weights]} first"]
    elif s.weights == "fp8" and not _is_published(s):
        found += ["a 16-bit checkpoint is quantised to fp8 while loading"]
    if not CACHES[server].get(s.kv):
        found += [f"{SERVERS[server]} has no KV cache in {s.kv}: left to the server"]
    if s.draft == MTP and report.setup.speculation and not _has_head(s):
        found += ["the model ships no prediction head: give the path of an EAGLE-3 head"]
    others = {"sparse": s.sparsity != "none", "spread": s.spread != "1d", "kvcut": s.kv_split != "heads"}
    if left := [key for key, there in others.items() if there]:
        found += [f"no flag for {', '.join(left)}: left out"]
    if s.tp * s.pp > max(1, chip.island) > 1:
        found += [f"{s.tp * s.pp} devices are more than one machine of {chip.island}: start it on each node"]
    return found


def _above_one(sizes: Mapping[str, int]) -> dict[str, Any]:
    return {name: size for name, size in sizes.items() if size > 1}


def _line(start: list[str], flags: Mapping[str, Any]) -> str:
    """Return one shell command, a flag a line, quoted."""
    parts = [" ".join(map(shlex.quote, start))]
    for name, value in flags.items():
        parts.append(f"  --{name}" if value is True else f"  --{name} {shlex.quote(str(value))}")
    return " \\\n".join(parts)


def _yaml(table: Mapping[str, Any], indent: str = "") -> list[str]:
    lines: list[str] = []
    for name, value in table.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{name}:", *_yaml(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {json.dumps(value)}")
    return lines
