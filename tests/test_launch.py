"""Launch lines say what the scenario says, in the servers' own flags."""

import json
import shlex

import pytest

from perfmodel import Scenario, estimate
from perfmodel.launch import Launch, launches
from perfmodel.speculative import DRAFTS


def lines(**fields: object) -> dict[str, Launch]:
    """The launch lines of a scenario by server."""
    return {one.server: one for one in launches(estimate(Scenario(**fields)))}


def flags(launch: Launch) -> dict[str, str]:
    """The flags of a command, as a shell would hand them over."""
    words = shlex.split(launch.command.rpartition("EOF\n")[2].replace("\\\n", " "))
    found = {}
    for index, word in enumerate(words):
        if word.startswith("--"):
            after = words[index + 1] if index + 1 < len(words) else "--"
            found[word[2:]] = "" if after.startswith("--") else after
    return found


LAYOUTS = [
    {},
    {"model": "llama-3.3-70b", "n": 8, "tp": 4, "pp": 2, "batch": 32, "weights": "fp8", "kv": "fp8"},
    {"model": "llama-3.3-70b", "n": 8, "tp": 2, "dp": 4, "batch": 30, "prefix": 512, "engine": "sglang"},
    {"model": "mixtral-8x7b", "n": 8, "tp": 8, "ep": 8, "batch": 64, "weights": "int4", "kv": "fp8"},
]


@pytest.mark.parametrize("fields", LAYOUTS)
def test_layout_precision_and_lengths_are_the_scenario_s(fields: dict[str, object]) -> None:
    """Every server gets the scenario's tensor and pipeline width, batch per copy, context and KV type."""
    s = Scenario(**fields)
    per_copy, context = str(-(-s.batch // s.dp)), str(s.prefix + s.input + s.output)
    found = lines(**fields)
    vllm, sglang, trt = (flags(found[name]) for name in ("vLLM", "SGLang", "TensorRT-LLM"))
    assert (vllm["tensor-parallel-size"], sglang["tp-size"], trt["tp_size"]) == (str(s.tp),) * 3
    for table, name in ((vllm, "pipeline-parallel-size"), (sglang, "pp-size"), (trt, "pp_size")):
        assert table.get(name, "1") == str(s.pp)
    assert (vllm["max-num-seqs"], sglang["max-running-requests"], trt["max_batch_size"]) == (per_copy,) * 3
    assert (vllm["max-model-len"], sglang["context-length"], trt["max_seq_len"]) == (context,) * 3
    assert vllm.get("data-parallel-size", "1") == sglang.get("dp-size", "1") == str(s.dp)
    assert vllm["kv-cache-dtype"] == {"bf16": "bfloat16", "fp8": "fp8"}[s.kv]
    assert sglang["kv-cache-dtype"] == {"bf16": "bf16", "fp8": "fp8_e4m3"}[s.kv]
    assert ("enable-prefix-caching" in vllm) == bool(s.prefix)
    assert ("enable-expert-parallel" in vllm) == (s.ep > 1)


def test_weights_choose_the_quantisation_or_the_checkpoint() -> None:
    """fp8 is made while loading; int4 needs a checkpoint, and the note says so; 16 bit is a dtype."""
    fp8, int4, plain = lines(weights="fp8"), lines(weights="int4"), lines(weights="fp16")
    assert flags(fp8["vLLM"])["quantization"] == flags(fp8["SGLang"])["quantization"] == "fp8"
    assert "meta-llama/Llama-3.1-8B " in fp8["vLLM"].command
    assert "path/to/Llama-3.1-8B-AWQ-INT4" in int4["vLLM"].command
    assert any("quantised to AWQ-INT4 first" in note for note in int4["vLLM"].notes)
    assert flags(plain["vLLM"])["dtype"] == "float16"
    assert 'dtype: "float16"' in plain["TensorRT-LLM"].command
    assert "quantization" not in flags(plain["vLLM"])


def test_published_types_need_no_other_checkpoint() -> None:
    """What is published in fp8 or MXFP4 is served as published."""
    deep = lines(model="deepseek-v3", gpu="h200-sxm", n=8, tp=8, weights="fp8")
    assert "trtllm-serve deepseek-ai/DeepSeek-V3" in deep["TensorRT-LLM"].command
    assert flags(lines(model="gpt-oss-120b", weights="fp4")["vLLM"])["quantization"] == "mxfp4"


@pytest.mark.parametrize("draft", [key for key in DRAFTS if key != "none"] + ["llama-3.2-1b"])
def test_drafts_reach_every_server(draft: str) -> None:
    """Speculative decoding drafts as many tokens as the scenario, by the same means."""
    found = lines(model="llama-3.3-70b", n=4, tp=4, draft=draft, spec=5)
    config = json.loads(flags(found["vLLM"])["speculative-config"])
    assert config["num_speculative_tokens"] == 5
    assert flags(found["SGLang"])["speculative-num-draft-tokens"] == "6"
    assert "max_draft_len: 5" in found["TensorRT-LLM"].command
    if draft == "llama-3.2-1b":
        for one in found.values():
            assert "meta-llama/Llama-3.2-1B" in one.command


def test_attention_by_sequences_is_data_parallel_attention() -> None:
    """Attention split by sequences is what the servers call data-parallel attention."""
    found = lines(model="deepseek-v3", gpu="h200-sxm", n=8, tp=8, ep=8, adp=True, batch=64, weights="fp8")
    assert flags(found["vLLM"])["data-parallel-size"] == "8"
    assert flags(found["vLLM"])["max-num-seqs"] == "8"
    assert "enable-dp-attention" in flags(found["SGLang"])
    assert "enable_attention_dp: true" in found["TensorRT-LLM"].command


def test_only_servers_that_run_on_the_chip() -> None:
    """TensorRT-LLM runs on NVIDIA only; a chip that none runs on has no line."""
    assert set(lines(gpu="mi300x")) == {"vLLM", "SGLang"}
    assert lines(gpu="m4-max") == {}


def test_the_scenario_s_engine_comes_first_and_a_misfit_is_said() -> None:
    """The line of the engine at hand is the first; a scenario that does not fit says so on each."""
    assert next(iter(lines(engine="tensorrt-llm"))) == "TensorRT-LLM"
    misfit = lines(model="llama-3.1-405b", weights="bf16")
    assert all(any("does not fit" in note for note in one.notes) for one in misfit.values())


def test_shares_of_memory_hold_what_is_needed() -> None:
    """The share of memory that a server may plan holds the weights and the cache of the scenario."""
    largest = estimate(Scenario()).memory.largest_batch
    held = estimate(Scenario(batch=int(0.98 * largest))).memory
    assert held.fits
    share = float(flags(lines(batch=int(0.98 * largest))["SGLang"])["mem-fraction-static"])
    assert held.weights + held.cache <= share * held.capacity <= held.capacity - held.reserve - held.activations
