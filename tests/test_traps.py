"""The complete list of traps: each mistake that other tools make, as one short test with the number that must come out.

Every docstring begins with the trap: its number here, in the files beside this one the word of the list it stands in
(Models, Hardware, Behaviour, Accuracy). Other files prove many of these laws over the whole catalogue; here each stands
once, so that nothing is missing.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import pytest

from perfmodel import ACCELERATORS, ENGINES, MODELS, Scenario, decode, estimate, prefill
from perfmodel.dimensions import Dimensions
from perfmodel.estimate import setup
from perfmodel.explain import METRICS, explain_metric
from perfmodel.memory import cache_bytes
from perfmodel.ops import Op
from perfmodel.step import Step
from perfmodel.workload import Workload

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
