"""The complete list of traps: each mistake that other tools make, as one short test with the number that must come out.

Every docstring begins with the trap: its number, or the word of the list it stands in (Models, Hardware, Behaviour).
Other files prove many of these laws over the whole catalogue; here each stands once, so that nothing is missing.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel
from streamlit.testing.v1 import AppTest

from pages.parts import registry, widgets
from perfmodel import ACCELERATORS, ENGINES, MODELS, Report, Scenario, decode, estimate, parameters, prefill
from perfmodel.blocks import blocks
from perfmodel.breakdown import flops_answer, memory_answer
from perfmodel.dimensions import Dimensions
from perfmodel.estimate import setup
from perfmodel.explain import METRICS, explain_metric
from perfmodel.hardware import LINKS, Chip
from perfmodel.memory import cache_bytes, cache_per_token
from perfmodel.ops import Op
from perfmodel.precision import native_dtype
from perfmodel.scenario import field_keys
from perfmodel.step import Step
from perfmodel.text import report_text
from perfmodel.units import show
from perfmodel.workload import Workload

ROOT = Path(__file__).resolve().parents[1]
close = np.testing.assert_allclose


@cache
def step(model: str, work: Workload, engine: str = "ideal", **fields: Any) -> Step:
    """One pass of a model, on an H100 with ideal hardware unless said otherwise."""
    return setup(Scenario(model=model, engine=engine, input=1, output=1, **fields)).run(work)


def ops(model: str, work: Workload, name: str, **fields: Any) -> list[Op]:
    """The operators of a pass whose name starts with `name`."""
    return [op for op in step(model, work, **fields).ops if op.name.startswith(name)]


def dims(model: str) -> Dimensions:
    """The dimensions of a model in the catalogue."""
    return MODELS[model].dimensions


def moved(run: Step) -> float:
    """Bytes of main memory that a pass moves on one device."""
    return sum(float(run.total(name)) for name in ("weight_bytes", "activation_bytes", "kv_bytes"))


# ------------------------------------------------------------------------------------- numbers that must come out


def test_01_llama_3_8b() -> None:
    """Trap 1: 8,030,261,248 parameters; 16.06 GB in bf16; a token keeps 131,072 B."""
    report = estimate(Scenario(model="llama-3-8b"))
    assert report.to_dict()["params_total"] == 8_030_261_248
    close(report.weight_bytes, 16.06e9, rtol=1e-4)
    assert report.kv_bytes_per_token == 131_072


def test_02_deepseek_v3_cache() -> None:
    """Trap 2: DeepSeek-V3 keeps 61 x 576 x 2 = 70,272 B a token in bf16, in memory and in what decode reads."""
    assert estimate(Scenario(model="deepseek-v3", gpu="h200-sxm")).kv_bytes_per_token == 61 * 576 * 2 == 70_272
    read = sum(op.kv_bytes * op.count for op in ops("deepseek-v3", decode(1, 999), "attention"))
    assert read == 70_272 * 1000


@pytest.mark.parametrize(("context", "size"), [(32_768, 3_120_562_176), (131_072, 11_173_625_856)])
def test_03_gemma_3_cache(context: int, size: int) -> None:
    """Trap 3: 10 layers of Gemma-3-27B keep all, 52 the last 1024 tokens: 3.12 GB at 32 k, 11.17 at 128 k."""
    assert size == 2 * 16 * 128 * 2 * (10 * context + 52 * 1024)
    assert estimate(Scenario(model="gemma-3-27b", gpu="h200-sxm", input=context - 1, output=1)).kv_bytes == size
    read = sum(op.kv_bytes * op.count for op in ops("gemma-3-27b", decode(1, context - 1), "attention"))
    assert read == size


@pytest.mark.parametrize(
    ("model", "batch", "touched", "tolerance"),
    [
        ("mixtral-8x7b", 1, 2.0, 1e-9),
        ("mixtral-8x7b", 4, 5.47, 0.005),
        ("mixtral-8x7b", 8, 7.20, 0.005),
        ("mixtral-8x7b", 16, 7.92, 0.005),
        ("deepseek-v3", 16, 102.0, 0.5),
    ],
)
def test_04_experts_touched(model: str, batch: int, touched: float, tolerance: float) -> None:
    """Trap 4: Mixtral reads 2, 5.47, 7.20, 7.92 experts at batch 1, 4, 8, 16; DeepSeek-V3 about 102 of 256 at 16."""
    d = dims(model)
    read = sum(op.weight_bytes for op in ops(model, decode(batch, 9), "expert_"))
    close(read / (3 * d.hidden * d.expert_ffn * 2), touched, atol=tolerance)


@pytest.mark.parametrize("model", ["llama-2-7b", "llama-3.1-8b", "gemma-3-27b", "mixtral-8x7b", "deepseek-v3"])
@pytest.mark.parametrize("work", [prefill(1, 2048), prefill(4, 100, 4000), decode(1, 32_000), decode(64, 500)], ids=str)
def test_05_flash_attention(model: str, work: Workload) -> None:
    """Trap 5: FlashAttention on is never slower and never moves more bytes than off."""
    for engine in ("ideal", "fused", "eager"):
        on, off = (step(model, work, engine=engine, attention=kernel) for kernel in ("split", "unfused"))
        assert on.time_s <= off.time_s * (1 + 1e-12)
        assert moved(on) <= moved(off)


@pytest.mark.parametrize("model", ["llama-2-7b", "llama-3.1-8b", "gemma-3-27b", "deepseek-v3"])
def test_05_flash_attention_without_split_kv(model: str) -> None:
    """Trap 5: the same holds in prefill for FlashAttention 2, which does not split the context, and for its bytes."""
    for work in (prefill(1, 2048), prefill(4, 512)):
        on, off = (step(model, work, attention=kernel) for kernel in ("flash", "unfused"))
        assert on.time_s <= off.time_s * (1 + 1e-12)
    for work in (prefill(1, 2048), decode(64, 500)):
        assert moved(step(model, work, attention="flash")) <= moved(step(model, work, attention="unfused"))


@pytest.mark.parametrize(
    ("gpu", "dtype", "ridge", "tolerance"),
    [
        ("h100-sxm", "bf16", 295.3, 0.05),
        ("h100-sxm", "fp8", 591, 0.5),
        ("a10", "fp16", 208.3, 0.05),
        ("v100-sxm-16gb", "fp16", 138.9, 0.05),
        ("h100-pcie", "fp16", 378, 0.05),
        ("h200-sxm", "bf16", 206.1, 0.05),
    ],
)
def test_06_ridges(gpu: str, dtype: str, ridge: float, tolerance: float) -> None:
    """Trap 6: ridges: H100 SXM 295.3 (FP8 591), A10 208.3, V100 138.9, H100 PCIe 378, H200 206.1 FLOP/B."""
    close(ACCELERATORS[gpu].ridge(dtype), ridge, atol=tolerance)


def test_07_fp8_is_twice_bf16() -> None:
    """Trap 7: dense FP8 : 16-bit is 2.0 on every NVIDIA and AMD chip that has both, but for one announced chip."""
    # L40S: NVIDIA prints 362.05 and 733, which is 2.02. Rubin: announced figures, 17.5 PFLOP/s beside 4.
    found = {}
    for id in ACCELERATORS:
        chip = ACCELERATORS[id]
        if chip.vendor in ("NVIDIA", "AMD") and "fp8" in chip.peak_flops:
            found[id] = chip.peak_flops["fp8"] / chip.peak_flops["bf16"]
    assert len(found) >= 20
    assert {id for id, ratio in found.items() if abs(ratio - 2.0) > 0.03} == {"rubin-r200"}
    assert "announced" in ACCELERATORS["rubin-r200"].name
    assert ACCELERATORS["gaudi-3"].peak_flops["fp8"] == ACCELERATORS["gaudi-3"].peak_flops["bf16"]


#: What vendors print with 2:4 sparsity, TFLOP/s.
SPARSE = [
    ("l4", "bf16", 242),
    ("l4", "fp8", 485),
    ("l40s", "bf16", 733),
    ("a100-sxm-80gb", "bf16", 624),
    ("h100-sxm", "bf16", 1979),
    ("h100-sxm", "fp8", 3958),
    ("h100-pcie", "bf16", 1513),
    ("gh200-96gb", "bf16", 1979),
    ("b200-sxm", "bf16", 4500),
    ("gb200", "bf16", 5000),
    ("rtx-pro-6000-workstation", "fp4", 4000),
    ("mi300x", "bf16", 2614.9),
]


@pytest.mark.parametrize(("gpu", "dtype", "sparse"), SPARSE)
def test_07_neither_sparse_nor_halved(gpu: str, dtype: str, sparse: float) -> None:
    """Trap 7; Hardware: sparse sold as dense: no entry is the sparse figure, nor half of the dense one."""
    close(ACCELERATORS[gpu].peak_flops[dtype] / (sparse * 1e12), 0.5, rtol=0.02)


def test_08_bandwidth_is_decimal() -> None:
    """Trap 8: a GB/s is 1e9 B/s in every file: 3.35 TB/s are 3.35e12 B/s, not 3430 x 2^30."""
    assert ACCELERATORS["h100-sxm"].memory_bytes_per_s == 3350 * 1e9 == 3.35e12
    for id in ACCELERATORS:
        chip = ACCELERATORS[id]
        if chip.file.memory.bandwidth:
            assert chip.memory_bytes_per_s == chip.file.memory.bandwidth.value * 1e9, id


@pytest.mark.parametrize("model", ["llama-3.1-8b", "gemma-3-27b", "mixtral-8x7b", "deepseek-v3"])
@pytest.mark.parametrize("engine", ["ideal", "fused", "eager"])
def test_09_parallel_speed_up(model: str, engine: str) -> None:
    """Trap 9: N tensor-parallel devices are at most N times as fast; pipeline stages do not shorten one token."""
    for work in (decode(1, 0), decode(256, 2000), prefill(1, 4096)):
        alone = float(step(model, work, engine=engine).time_s)
        for n in (2, 4, 8):
            assert alone <= n * float(step(model, work, engine=engine, n=n, tp=n).time_s) * (1 + 1e-12)
            assert alone <= float(step(model, work, engine=engine, n=n, tp=1, pp=n).time_s) * (1 + 1e-12)


def test_10_prefill_flops() -> None:
    """Trap 10: prefill is 2 x parameters without embedding x tokens + causal attention + head on one row, to 1 %."""
    table, tokens = 128_256 * 4096, 2048
    linear = 2.0 * (8_030_261_248 - 2 * table) * tokens
    attention = 4.0 * 32 * 32 * 128 * tokens * (tokens + 1) / 2
    close(estimate(Scenario(model="llama-3-8b", input=tokens)).flops_prefill, linear + attention + 2 * table, rtol=0.01)


def test_11_kv_time_is_counted_once() -> None:
    """Trap 11: at 32 k Llama-3-8B reads 131,072 B x 32,768 over 3.35 TB/s: 1.28 ms, once, not twice."""
    run = step("llama-3.1-8b", decode(1, 32_767))
    attention = next(timed for timed in run.timed if timed.op.name == "attention")
    close(attention.memory_s, 131_072 * 32_768 / 3.35e12, rtol=1e-3)
    close(run.total("kv_bytes"), 131_072 * (32_768 + 1), rtol=1e-12)  # and one token written


def test_12_energy() -> None:
    """Trap 12: no result that is an energy exceeds board power x devices x time (there is none yet)."""
    for devices in (1, 4):
        report = estimate(Scenario(n=devices, tp=devices, batch=8))
        result = report.to_dict() | {name: metric.value(report) for name, metric in METRICS.items()}
        most = ACCELERATORS["h100-sxm"].tdp_w * devices * report.e2e_s
        assert ACCELERATORS["h100-sxm"].tdp_w == 700
        for name in (name for name in result if re.search(r"energy|joule|_j$|_wh$", name)):
            assert 0 < result[name] <= most, name


#: SI values of the units that a displayed formula uses.
PREFIX = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
TIMES = {"d": 86_400.0, "h": 3600.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
NUMBER = re.compile(
    r"(\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)(?: (?:(?P<time>d|h|ms|µs|ns|s)\b|(?P<prefix>[kMGTP]?)"
    r"(?:FLOP/token|FLOP/s|FLOP/B|FLOP|B/token|B/s|B|tokens/s|USD)))?"
)


def displayed(text: str) -> float:
    """The value of one side of a displayed formula, read from nothing but its text."""

    def si(found: re.Match[str]) -> str:
        scale = TIMES[found["time"]] if found["time"] else PREFIX[found["prefix"] or ""]
        return repr(float(found[1].replace(",", "")) * scale)

    # A comma before a space parts the arguments of max(); one inside a number parts thousands.
    plain = NUMBER.sub(si, text.replace("×", "*").replace("÷", "/").replace("−", "-"))
    return float(eval(plain, {"__builtins__": {}, "max": max, "min": min}))


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(
    "scenario",
    [
        Scenario(batch=16),
        Scenario(model="mixtral-8x7b", n=4, tp=4, engine="eager"),
        Scenario(model="deepseek-v3", gpu="h200-sxm", n=8, tp=8, weights="fp8"),
    ],
    ids=lambda s: s.model,
)
def test_13_displayed_formula(name: str, scenario: Scenario) -> None:
    """Trap 13: the displayed text, values put in, evaluates to the displayed number, which is the report's."""
    report = estimate(scenario)
    card = explain_metric(report, name)
    left, right = card.substituted.rsplit(" = ", 1)
    assert right == card.shown
    close(displayed(left), displayed(right), rtol=6e-3, err_msg=card.substituted)  # three digits are shown
    close(displayed(right), METRICS[name].value(report), rtol=6e-3)


@pytest.mark.parametrize("engine", list(ENGINES))
@pytest.mark.parametrize("devices", [1, 8])
def test_14_no_ceiling_is_exceeded(engine: str, devices: int) -> None:
    """Trap 14: tokens/s x bytes per token <= bandwidth x devices, whatever the engine and the batch."""
    for gpu, bandwidth in (("h100-sxm", 3.35e12), ("a100-sxm-80gb", 2.039e12), ("a10", 0.6e12)):
        for batch in (1, 64, 1024):
            report = estimate(Scenario(gpu=gpu, engine=engine, n=devices, tp=devices, batch=batch))
            # The embedding table is not read, but for one row a token.
            per_token = (16.06e9 - 2 * 128_256 * 4096) / batch + 131_072 * (2048 + 128)
            assert batch / report.decode_step_s * per_token <= bandwidth * devices
            assert report.tokens_per_s <= batch / report.decode_step_s * (1 + 1e-3)


@pytest.mark.parametrize("model", ["llama-2-7b", "llama-3.1-8b", "falcon-7b", "gemma-3-27b", "mistral-7b-v0.1"])
def test_15_same_kv_bytes(model: str) -> None:
    """Trap 15: fused and unfused attention read the same KV bytes: the cache, once."""
    for work in (decode(4, 8191), prefill(2, 512)):
        fused, unfused = (ops(model, work, "attention", attention=kernel) for kernel in ("split", "unfused"))
        assert sum(op.kv_bytes * op.count for op in fused) == sum(op.kv_bytes * op.count for op in unfused)
    cached = sum(op.kv_bytes * op.count for op in ops(model, decode(4, 8191), "attention"))
    assert cached == 4 * cache_bytes(dims(model), 8192.0, 2.0)


@pytest.mark.parametrize("model", ["llama-3.1-8b", "mixtral-8x7b", "deepseek-v3", "nemotron-h-56b"])
def test_16_decode_flops_scale_with_batch(model: str) -> None:
    """Trap 16: decode does b times the FLOPs at batch b."""
    one = float(step(model, decode(1, 777)).total("flops"))
    for batch in (2, 7, 64):
        close(float(step(model, decode(batch, 777)).total("flops")), batch * one, rtol=1e-12)


# ------------------------------------------------------------------------------------------------------ models


@pytest.mark.parametrize(
    ("model", "hidden", "heads", "head_dim"),
    [
        ("gemma-7b", 3072, 16, 256),
        ("gemma-3-27b", 5376, 32, 128),
        ("qwen3-30b-a3b", 2048, 32, 128),
        ("qwen3-0.6b", 1024, 16, 128),
        ("mistral-nemo-12b", 5120, 32, 128),
    ],
)
def test_models_head_size(model: str, hidden: int, heads: int, head_dim: int) -> None:
    """Models: head size is a field of its own: heads x head_dim is not hidden, and W_O has heads x head_dim rows."""
    d = dims(model)
    assert (d.hidden, d.heads, d.head_dim) == (hidden, heads, head_dim)
    assert d.heads * d.head_dim != d.hidden
    for op in ops(model, decode(1, 9), "out_proj"):
        assert op.shape[1:] == (heads * head_dim, hidden)


@pytest.mark.parametrize(
    ("model", "local", "layers", "window"),
    [
        ("gemma-3-27b", 52, 62, 1024),
        ("gemma-2-27b", 23, 46, 4096),
        ("gpt-oss-120b", 18, 36, 128),
        ("mistral-7b-v0.1", 32, 32, 4096),
        ("llama-2-7b", 0, 32, 0),
    ],
)
def test_models_sliding_window(model: str, local: int, layers: int, window: int) -> None:
    """Models: a sliding window belongs to a layer of the pattern: 5 in 6 of Gemma 3, every second, all, or none."""
    d = dims(model)
    assert (d.layers, d.window) == (layers, window)
    assert sum(mixer == "L" for mixer, _ in d.pattern()) == local
    context = 32_768.0
    per_layer = 2 * d.kv_heads * d.head_dim * 2
    assert cache_bytes(d, context, 2.0) == per_layer * (local * min(window, context) + (layers - local) * context)


@pytest.mark.parametrize(
    ("model", "matrices", "layers", "hidden", "ffn"),
    [
        ("llama-2-7b", 3, 32, 4096, 11_008),
        ("gemma-7b", 3, 28, 3072, 24_576),
        ("opt-6.7b", 2, 32, 4096, 16_384),
        ("gpt-3-175b", 2, 96, 12_288, 49_152),
    ],
)
def test_models_gated_ffn(model: str, matrices: int, layers: int, hidden: int, ffn: int) -> None:
    """Models: gated FFNs have three matrices, OPT and GPT two, in parameters and in FLOPs."""
    bias = layers * (ffn + hidden) if dims(model).ffn_bias else 0
    assert parameters(dims(model)).ffn == layers * matrices * hidden * ffn + bias
    work = decode(3, 9)
    names = ("gate_proj", "gate_up_proj", "up_proj", "down_proj")
    flops = sum(op.flops * op.count for name in names for op in ops(model, work, name))
    assert flops == 2 * 3 * layers * matrices * hidden * ffn


def test_models_swiglu_width() -> None:
    """Models: the SwiGLU activation has the intermediate width, 14336 and not 4096: it reads two and writes one."""
    (activation,) = ops("llama-3.1-8b", prefill(1, 100), "activation")
    assert activation.activation_bytes == 3 * 100 * 14_336 * 2
    (down,) = ops("llama-3.1-8b", prefill(1, 100), "down_proj")
    assert down.shape == (100, 14_336, 4096)


def test_models_mla_cache() -> None:
    """Models: the cache of MLA is the latent and the rotary part, 512 + 64 values, not 2 x 128 heads x 128."""
    for model, layers in (("deepseek-v3", 61), ("deepseek-v2-lite", 27)):
        d = dims(model)
        assert (d.kv_lora, d.rope_dim, d.layers) == (512, 64, layers)
        assert cache_per_token(d, 2.0) == layers * 576 * 2
        assert cache_per_token(d, 2.0) < layers * 2 * d.heads * d.v_dim * 2 / 3


def test_models_moe_shape() -> None:
    """Models: DeepSeek-V3 has a shared expert, three leading dense layers, an expert width unlike the dense one."""
    d = dims("deepseek-v3")
    assert (d.dense_layers, d.ffn, d.expert_ffn, d.shared_ffn) == (3, 18_432, 2048, 2048)
    assert [ffn for _, ffn in d.pattern()] == ["d"] * 3 + ["e"] * 58
    dense, moe = blocks(d)
    assert dense.ffn is not None
    assert moe.ffn is not None
    assert dense.ffn.parameters == 3 * 7168 * 18_432
    router = 7168 * 256 + 256
    assert moe.ffn.parameters == 3 * 7168 * 2048 * (256 + 1) + router
    assert moe.ffn.active_parameters == 3 * 7168 * 2048 * (8 + 1) + router


def test_models_moe_reads_what_is_touched() -> None:
    """Models: decode reads the experts that the batch touches, not the top-k of one token; memory holds all of them."""
    one = 3 * 4096 * 14_336 * 2
    for batch, touched in ((1, 2.0), (16, 7.92)):
        read = sum(o.weight_bytes * o.count for o in ops("mixtral-8x7b", decode(batch, 9), "expert_"))
        close(read, 32 * touched * one, rtol=1e-3)
    held = estimate(Scenario(model="mixtral-8x7b", gpu="h200-sxm")).memory.weights
    assert held == 46_702_792_704 * 2
    v3 = estimate(Scenario(model="deepseek-v3", gpu="h200-sxm", n=8, tp=8, weights="fp8"))
    assert v3.memory.weights * 8 >= 671_026_419_200


def test_models_lm_head_and_embedding() -> None:
    """Models: the LM head costs 2 d V on the rows that need logits, one a sequence; the embedding is a gather."""
    (head,) = ops("llama-3.1-8b", prefill(4, 2048), "lm_head")
    assert head.flops == 2 * 4 * 4096 * 128_256
    assert head.weight_bytes == 4096 * 128_256 * 2
    (gather,) = ops("llama-3.1-8b", prefill(4, 2048), "embedding")
    assert gather.flops == 0
    assert gather.weight_bytes == 4 * 2048 * 4096 * 2


def test_models_tied_embeddings() -> None:
    """Models: a tied embedding is stored once and read once: Llama 3.2 1B has 1,235,814,400 parameters."""
    d = dims("llama-3.2-1b")
    table = 128_256 * 2048
    assert d.tied_embeddings
    assert parameters(d).total == 1_235_814_400
    untied = d.model_copy(update={"tied_embeddings": False})
    assert parameters(untied).total == 1_235_814_400 + table
    assert estimate(Scenario(model="llama-3.2-1b")).memory.weights == 2 * 1_235_814_400
    (head,) = ops("llama-3.2-1b", decode(1, 9), "lm_head")
    assert head.weight_bytes == 2 * table


@pytest.mark.parametrize(
    ("model", "published", "more"),
    [
        ("deepseek-v3", 684_531_386_000, 13_504_966_800),  # one multi-token-prediction layer and the FP8 scales
        ("gpt-2-124m", 137_022_720, 12 * 1024 * 1024),  # causal-mask buffers
        ("gemma-3-27b", 27_432_406_640, 416_867_184 + (1152 + 64) * 5376),  # vision tower, projector, rows
    ],
)
def test_models_published_totals(model: str, published: int, more: int) -> None:
    """Models: published totals may count multi-token-prediction layers, scales, vision towers, masks: it is said."""
    file = MODELS[model].file
    assert file is not None
    assert file.published.total == published
    assert parameters(dims(model)).total == published - more
    assert file.published.agreement == "differs"
    assert f"{more:,}" in file.published.difference


# ---------------------------------------------------------------------------------------------------- hardware


def test_hardware_tensor_peak() -> None:
    """Hardware: the ridge of an H100 is 295 on its tensor cores, not 20 on its FP32 cores."""
    chip = ACCELERATORS["h100-sxm"]
    close(chip.ridge("fp32"), 20, atol=0.5)
    run = setup(Scenario(gpu="h100-sxm")).rates
    assert run.flops["linear"] == run.flops["wide"] == 989.4e12


@pytest.mark.parametrize(
    ("gpu", "tflops"),
    [("l4", 121), ("l40s", 362.05), ("a100-sxm-40gb", 312), ("a100-pcie-80gb", 312), ("a100-sxm-80gb", 312)],
)
def test_hardware_dense_is_not_halved_again(gpu: str, tflops: float) -> None:
    """Hardware: a figure that is dense already is not halved: L4 121, L40S 362, A100 312."""
    close(ACCELERATORS[gpu].peak_flops["bf16"], tflops * 1e12, rtol=1e-6)


@pytest.mark.parametrize(("gpu", "fp32_sum", "fp16_sum"), [("rtx-4090", 165.2, 330), ("rtx-5090", 209.5, 419)])
def test_hardware_geforce_accumulate(gpu: str, fp32_sum: float, fp16_sum: float) -> None:
    """Hardware: GeForce prints the rate with FP16 accumulate, 330 and 419; with FP32 accumulate it is half."""
    peak = ACCELERATORS[gpu].peak_flops["fp16"] / 1e12
    close(peak, fp32_sum, rtol=1e-3)
    close(fp16_sum / peak, 2.0, rtol=2e-3)


def test_hardware_a10g_is_not_a10() -> None:
    """Hardware: A10G has 70 TFLOP/s, A10 125."""
    assert ACCELERATORS["a10g"].peak_flops["bf16"] == 70e12
    assert ACCELERATORS["a10"].peak_flops["bf16"] == 125e12


def test_hardware_t4_has_no_bf16() -> None:
    """Hardware: T4 has no BF16 units: bf16 runs at the FP16 rate of 65 TFLOP/s, and a note says so."""
    chip = ACCELERATORS["t4"]
    assert "bf16" not in chip.peak_flops
    assert native_dtype(chip, "bf16") == "fp16"
    report = estimate(Scenario(model="llama-3.2-1b", gpu="t4"))
    assert report.setup.rates.flops["linear"] == 65e12
    assert any("no bf16 units" in note.text for note in report.notes)


@pytest.mark.parametrize(
    ("gpu", "both", "one_way"),
    [("a100-sxm-80gb", 600, 300), ("h100-sxm", 900, 450), ("h200-sxm", 900, 450), ("b200-sxm", 1800, 900)],
)
def test_hardware_nvlink_is_one_way(gpu: str, both: float, one_way: float) -> None:
    """Hardware: NVLink is quoted both directions together (600, 900, 1800 GB/s): 300, 450, 900 count."""
    chip = ACCELERATORS[gpu]
    assert chip.link_bytes_per_s == LINKS[chip.link_id].bytes_per_s == one_way * 1e9 == both * 1e9 / 2


def test_hardware_superchip_is_two_gpus() -> None:
    """Hardware: the figures of a GB200 superchip halve per GPU: 2500 TFLOP/s, 8 TB/s, 186 or 192 GB of 384."""
    chip = ACCELERATORS["gb200"]
    assert chip.peak_flops["bf16"] == 2500e12
    assert chip.peak_flops["fp4"] == 10_000e12
    assert chip.memory_bytes_per_s == 8e12
    assert 186e9 <= chip.memory_bytes <= 192e9


def test_hardware_bytes_are_decimal() -> None:
    """Hardware: GB and GiB are not mixed: H200 has 141e9 B, not 151.4e9; GB300 288e9; 80e9 B read 80 GB."""
    assert ACCELERATORS["h200-sxm"].memory_bytes == 141e9
    assert ACCELERATORS["gb300"].memory_bytes == 288e9
    assert show(80e9, "B") == "80 GB"
    assert show(2.0**30, "B") == "1.07 GB"


def test_hardware_network_is_per_gpu() -> None:
    """Hardware: a node's network is eight ports: one GPU has 400 Gbit/s = 50 GB/s, not 400 GB/s."""
    assert LINKS["infiniband-ndr-400"].bytes_per_s == 50e9
    assert LINKS["infiniband-hdr-200"].bytes_per_s == 25e9


@pytest.mark.parametrize(
    ("gpu", "dtype", "per_clock", "clock_ghz"),
    [
        ("t4", "fp16", 1024, None),
        ("a10", "fp16", 1024, None),
        ("a40", "bf16", 1024, None),
        ("v100-sxm-16gb", "fp16", 1024, None),
        ("a30", "bf16", 2048, None),
        ("a100-sxm-80gb", "bf16", 2048, None),
        ("h100-sxm", "bf16", 4096, 1.83),
        ("rtx-4090", "bf16", 512, None),
        ("mi300x", "bf16", 2048, None),
        ("mi355x", "bf16", 4096, None),
        # The exceptions: their peak stands at a clock that is not the boost clock.
        ("h100-pcie", "bf16", 4096, 1.619),
        ("b200-sxm", "bf16", 8192, 1.856),
        ("l40s", "bf16", 1024, 2.490),
    ],
)
def test_hardware_peak_over_clock(gpu: str, dtype: str, per_clock: int, clock_ghz: float | None) -> None:
    """Hardware: peak / (SM x clock) is a power of two, at the boost clock or at the documented one."""
    chip = ACCELERATORS[gpu]
    clock = clock_ghz * 1e9 if clock_ghz else chip.clock_hz
    close(chip.peak_flops[dtype] / (chip.sms * clock), per_clock, rtol=0.01)


# --------------------------------------------------------------------------------------------------- behaviour

DEEP = Scenario(model="mixtral-8x7b", gpu="a100-sxm-80gb", n=4, tp=4, batch=24, input=777, output=99, weights="int8")
SMALL = Scenario(model="llama-3.2-1b", gpu="l4", batch=3, input=512)
TOO_LARGE = Scenario(model="llama-3.1-70b", gpu="l4", batch=4, input=512)


def opened(page: str, scenario: Scenario | None = None) -> AppTest:
    """A page opened in a new tab, by a link if a scenario is given."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    if page != "app.py":
        app.switch_page(page)
    for key, value in (scenario.to_query() if scenario else {}).items():
        app.query_params[key] = value
    return app.run()


@cache
def deep(page: str) -> AppTest:
    """A page opened by the same deep link, once; to look at only."""
    return opened(page, DEEP)


def headlines(app: AppTest) -> list[tuple[str, str]]:
    """The headline numbers of the home page and the verdict."""
    return [(m.label, m.value) for m in app.metric] + [("verdict", app.subheader[0].value)]


def test_behaviour_views_change_nothing() -> None:
    """Behaviour: results do not change because another view was opened: home before and after all other pages."""
    app = opened("app.py", DEEP)
    before = headlines(app)
    assert len(before) >= 5
    for page in registry.pages()[1:]:
        app.switch_page(page.path).run()
        assert not app.exception
    assert headlines(app.switch_page("app.py").run()) == before
    assert headlines(deep("app.py")) == before


def test_behaviour_reports_are_not_aliased() -> None:
    """Behaviour: no breakdown, explanation or other estimate changes what a report says."""
    report = estimate(DEEP)
    before = report.to_dict()
    for name in METRICS:
        assert explain_metric(report, name).substituted
    assert flops_answer(report)
    assert memory_answer(report)
    assert report_text(report)
    estimate(SMALL)
    assert report.to_dict() == estimate(DEEP).to_dict() == before


#: Files that the process opens for writing, while a test listens.
_WRITTEN: list[str] = []
_LISTENING = [False]
_WRITING = ("os.mkdir", "os.rename", "os.remove", "tempfile.mkstemp", "tempfile.mkdtemp", "shutil.copyfile")


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _LISTENING[0]:
        return
    flags = arguments[1] if event == "open" and len(arguments) > 1 else ""
    writes = event == "open" and isinstance(flags, str) and set(flags) & set("wax+")
    if (writes or event in _WRITING) and "__pycache__" not in str(arguments[0]):
        _WRITTEN.append(f"{event} {arguments[0]}")


@pytest.fixture
def written() -> Iterator[list[str]]:
    """What is written to disk while the test runs; an audit hook cannot be taken out, so there is one for all."""
    if not _WRITTEN and not _LISTENING[0] and _audit not in getattr(sys, "_perfmodel_hooks", ()):
        sys.addaudithook(_audit)
        sys._perfmodel_hooks = (_audit,)  # type: ignore[attr-defined]
    _WRITTEN.clear()
    _LISTENING[0] = True
    yield _WRITTEN
    _LISTENING[0] = False


def test_behaviour_listening_hears(written: list[str], tmp_path: Path) -> None:
    """Behaviour: the listener of the next test hears a file that is written."""
    (tmp_path / "x").write_text("x")
    assert any(line.startswith("open") for line in written)


def test_behaviour_two_users_share_nothing(written: list[str]) -> None:
    """Behaviour: two users share no folder: nothing is written to disk, and each sees his own numbers."""
    alone = {s.model: headlines(opened("app.py", s)) for s in (DEEP, SMALL)}
    one, two = opened("app.py", DEEP), opened("app.py", SMALL)
    two.sidebar.slider(key="w.batch").set_value(50).run()
    assert headlines(one.run()) == alone[DEEP.model]
    two.sidebar.slider(key="w.batch").set_value(SMALL.batch).run()
    one.switch_page("pages/1_Roofline.py").run()
    assert headlines(two.run()) == alone[SMALL.model]
    assert written == []


def test_behaviour_does_not_fit() -> None:
    """Behaviour: "does not fit" is said as such, with what is needed (70.6 B weights: > 141 GB) and what is there."""
    report = estimate(TOO_LARGE)
    assert not report.memory.fits
    assert report.memory.total > 141e9
    (note,) = [note for note in report.notes if note.level == "error"]
    need = show(report.memory.total, "B")
    assert note.text.startswith(f"Does not fit: {need} are needed on each L4, which has 24 GB")
    result = report.to_dict()
    assert result["fits"] is False
    assert note.text in result["notes"]
    assert note.text in report_text(report)
    assert (report.memory.largest_batch, report.memory.longest_context) == (0, 0)
    assert estimate(SMALL).memory.fits
    assert not [note for note in estimate(SMALL).notes if "fit" in note.text]


def test_behaviour_does_not_fit_on_the_page() -> None:
    """Behaviour: page after page says above all else that the scenario does not fit, with both numbers."""
    need = show(estimate(TOO_LARGE).memory.total, "B")
    app = opened("app.py", TOO_LARGE)
    for page in (None, *registry.pages()[1:3]):
        app = app.switch_page(page.path).run() if page else app
        texts = [error.value.replace("\\", "") for error in app.error]
        assert any(f"Does not fit: {need} are needed on each L4, which has 24 GB" in text for text in texts)


@pytest.mark.parametrize("record", [Scenario, Dimensions, Chip], ids=lambda r: r.__name__)
def test_behaviour_units_of_inputs(record: type[BaseModel]) -> None:
    """Behaviour: every number that is asked for has a unit, in record and label; the rest is a choice or flag."""
    keys = field_keys(record)
    parts = {"dimensions", "chip"} & set(record.model_fields)
    assert set(keys) == set(record.model_fields) - parts
    for name, key in keys.items():
        assert key.help, name
        if record.model_fields[name].annotation in (int, float):
            assert key.unit, name
            assert f"[{key.unit}]" in widgets.label(record, name)
        else:
            assert key.unit == "", name


def numeric_labels(app: AppTest) -> list[str]:
    """The labels of all inputs on a page that take a number."""
    kinds = (app.slider, app.number_input, app.select_slider)
    return [element.label for kind in kinds for element in kind]


def test_behaviour_units_on_the_page() -> None:
    """Behaviour: the label of every slider and number on every page names its unit."""
    missing = {label for p in registry.pages() for label in numeric_labels(deep(p.path)) if "[" not in label}
    assert missing == set()


@pytest.mark.parametrize("page", registry.pages(), ids=lambda page: page.name)
def test_behaviour_deep_links(page: registry.PageFile) -> None:
    """Behaviour: a deep link opens its own page with its own scenario, and the links there carry it to the others."""
    app = deep(page.path)
    assert not app.exception
    assert app.header[0].value == asked(page.path)
    assert DEEP.to_query().items() <= {key: value[-1] for key, value in _query(app).items()}.items()
    inside = {other.name for other in registry.pages() if other.group == page.group}
    ways = {other.name for other in registry.pages()} | set(registry.groups())
    links = [element.proto for element in app.get("page_link") if element.proto.label in ways]
    assert {link.label for link in links} >= inside | set(filter(None, registry.groups()))
    for link in links:
        assert "model=mixtral-8x7b" in link.query_string
        assert "batch=24" in link.query_string


def asked(path: str) -> str:
    """The question that a page asks in its heading: the second argument of `frame`."""
    calls = (
        node for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
    )
    return next(ast.literal_eval(call.args[1]) for call in calls if getattr(call.func, "id", "") == "frame")


def _query(app: AppTest) -> Mapping[str, list[str]]:
    return {key: value if isinstance(value, list) else [value] for key, value in app.query_params.items()}


def test_behaviour_questions_differ() -> None:
    """Behaviour: no two pages ask the same question, so the heading tells which page a link opened."""
    questions = [question for page in registry.pages() if (question := asked(page.path))]
    assert len(set(questions)) == len(questions) >= 9


def test_behaviour_no_fake_progress() -> None:
    """Behaviour: nothing sleeps to look busy, and no progress bar runs that is not fed by work."""
    sources = [ROOT / "app.py", *(ROOT / "pages").rglob("*.py"), *(ROOT / "perfmodel").rglob("*.py")]
    assert len(sources) > 50
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            assert name not in ("sleep", "spinner", "balloons", "snow"), f"{path.name}:{getattr(node, 'lineno', 0)}"


def test_behaviour_estimates_are_possible() -> None:
    """Behaviour: no number carries the label estimate and is physically impossible: shares <= 1, ceilings hold."""
    for id in ENGINES:
        for name, constant in ENGINES[id].constants.items():
            if name.endswith(("efficiency", "overlap")):
                assert 0 <= constant.value <= 1, f"{id} {name}"
            assert constant.source, f"{id} {name}"
    guessed = [ACCELERATORS[id] for id in ACCELERATORS if ACCELERATORS[id].file.unsourced]
    assert guessed
    for chip in guessed:
        peaks = chip.peak_flops
        narrow = [peaks[name] for name in ("fp16", "bf16", "fp8") if name in peaks]
        assert all(peak >= peaks.get("fp32", 0.0) for peak in narrow), chip.id
        assert not chip.clock_hz > 6e9, chip.id
        if not (chip.memory_bytes_per_s > 0 and native_dtype(chip, "bf16")):
            continue
        report = estimate(Scenario(model="llama-3.2-1b", gpu=chip.id, engine="ideal", batch=8))
        assert moved(report.decode) / report.decode_step_s <= chip.memory_bytes_per_s * (1 + 1e-12), chip.id
        assert report.flops_prefill / report.ttft_s <= max(peaks.values()), chip.id


@pytest.mark.parametrize("scenario", [Scenario(batch=16), DEEP, SMALL], ids=lambda s: s.model)
def test_behaviour_estimated_results_are_possible(scenario: Scenario) -> None:
    """Behaviour: a result that rests on estimates still lies between perfect overlap and one thing after another."""
    report = estimate(scenario)
    assert report.estimates
    for run in (report.prefill, report.decode):
        assert run.overlapped_s <= run.time_s <= run.sequential_s * (1 + 1e-12)
        assert moved(run) / float(run.time_s) <= report.setup.chip.memory_bytes_per_s
        close(run.shares.sum(), 1.0, rtol=1e-12)


# ---------------------------------------------------------------------------------------------------- accuracy


def test_accuracy_first_token_is_without_queue() -> None:
    """Accuracy: time to first token in serving includes queueing; ours does not, and the places that show it say so."""
    report: Report = estimate(SMALL)
    assert report.ttft_s == report.prefill.time_s
    assert "Time to first token (no queue)" in report_text(report)
    (shown,) = [metric for metric in deep("app.py").metric if "first token" in metric.label.lower()]
    assert "queue" in f"{shown.label} {shown.help}"
