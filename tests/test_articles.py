"""The four articles: each case with the number that the reference page expects, through the real specs and engine."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel import ACCELERATORS, MODELS, Scenario, decode, estimate, parameters, prefill
from perfmodel.blocks import blocks
from perfmodel.dimensions import Dimensions
from perfmodel.estimate import setup
from perfmodel.ffn import MoE
from perfmodel.formulas.flops import generation_flops
from perfmodel.formulas.roofline import (
    attainable_flops,
    batch_latency,
    chip_seconds,
    critical_batch,
    intensity_speedup,
    ridge_intensity,
)
from perfmodel.memory import cache_bytes, cache_per_token, weight_bytes
from perfmodel.ops import Group, Kernels, Op, Pass
from perfmodel.precision import Precision
from perfmodel.setup import Setup
from perfmodel.transformer import transformer_ops
from perfmodel.workload import Workload

A10, H100_PCIE, H100, H200, T4 = (ACCELERATORS[name] for name in ("a10", "h100-pcie", "h100-sxm", "h200-sxm", "t4"))
LINEAR = (Group.PROJECTIONS, Group.FFN)


def ideal(model: str, gpu: str, **fields: object) -> Setup:
    """The setup of a scenario on ideal hardware: the articles know no other."""
    return setup(Scenario(model=model, gpu=gpu, engine="ideal", **fields))


def layer_ops(model: str, work: Workload) -> list[Op]:
    """The operators of a whole model on one device, Q, K, V apart."""
    return list(transformer_ops(MODELS[model].dimensions, Pass(work, Precision(), Kernels(fused_qkv=False))))


def total(ops: list[Op], field: str = "flops", *prefixes: str) -> float:
    """The sum of one field over the operators whose name starts with one of `prefixes`; all if there is none."""
    return float(sum(getattr(op, field) * op.count for op in ops if not prefixes or op.name.startswith(prefixes)))


def matmuls(ops: list[Op]) -> list[Op]:
    """The matrix products of the layers, without the LM head."""
    return [op for op in ops if op.kind == "matmul" and op.group in LINEAR]


def need_s(run: Setup, work: Workload) -> tuple[float, float]:
    """Compute time and weight-reading time of the linear layers of a pass [s]."""
    ops = matmuls(list(run.ops(work)))
    return total(ops) / run.rates.flops["linear"], total(ops, "weight_bytes") / run.chip.memory_bytes_per_s


def test_s10_decode_reads_the_weights() -> None:
    """S10: Llama-2-7B on A10, batch 1: 13.48 GB over 600 GB/s is 22.5 ms, against 0.108 ms of math."""
    run = ideal("llama-2-7b", "a10")
    np.testing.assert_allclose(weight_bytes(run), 13.48e9, rtol=1e-3)
    np.testing.assert_allclose(weight_bytes(run) / A10.memory_bytes_per_s, 22.5e-3, rtol=2e-3)
    step = run.run(decode(1, 0))
    # The pass reads all but the embedding table (32,000 x 4096 x 2 B), of which it gathers one row.
    expected = 22.46e-3 - 32_000 * 4096 * 2 / 600e9
    np.testing.assert_allclose(step.total("weight_bytes") / 600e9, expected, rtol=1e-3)
    np.testing.assert_allclose(step.totals_s[0], 0.108e-3, rtol=0.03)
    assert step.regime == "memory"


@pytest.mark.parametrize(("tokens", "bound"), [(128, "memory"), (205, "memory"), (212, "compute"), (2048, "compute")])
def test_s10_prefill_flips_at_208_tokens(tokens: int, bound: str) -> None:
    """S10: intensity of prefill over its weights is T FLOP/B, so on A10 it is compute-bound for T > 208."""
    compute, memory = need_s(ideal("llama-2-7b", "a10"), prefill(1, tokens))
    assert ("compute" if compute > memory else "memory") == bound
    np.testing.assert_allclose(compute / memory, tokens / 208.3, rtol=1e-3)


def test_s12_h100_pcie_ladder() -> None:
    """S12: 51 (FP32 cores), 378 (TF32), 756 (FP16, BF16), 1513 (FP8, INT8) TFLOP/s, all dense; ratios 7.41, 2, 2."""
    peak = H100_PCIE.peak_flops
    found = [peak[name] / 1e12 for name in ("fp32", "tf32", "fp16", "bf16", "fp8", "int8")]
    np.testing.assert_allclose(found, [51, 378, 756, 756, 1513, 1513], rtol=1e-3)
    ratios = [peak["tf32"] / peak["fp32"], peak["fp16"] / peak["tf32"], peak["fp8"] / peak["fp16"]]
    np.testing.assert_allclose(ratios, [7.41, 2.0, 2.0], rtol=2e-3)


def test_s14_weight_only_int4_decodes_faster() -> None:
    """S14: int4 in groups of 128 with fp16 scales is 4.125 bits: linear layers read 3.88x fewer bytes, so decode so."""
    full, small = ideal("llama-2-7b", "a10"), ideal("llama-2-7b", "a10", weights="int4", group=128)
    ratio = need_s(full, decode(1, 0))[1] / need_s(small, decode(1, 0))[1]
    np.testing.assert_allclose(ratio, 16 / 4.125, rtol=1e-12)
    np.testing.assert_allclose(ratio, 3.88, atol=0.005)
    # The LM head stays 16 bit (131 M of 6.6 G weights), so the whole step gains a little less.
    speedup = full.run(decode(1, 0)).time_s / small.run(decode(1, 0)).time_s
    expected = (6.476e9 * 2 + 0.131e9 * 2) / (6.476e9 * 4.125 / 8 + 0.131e9 * 2)
    np.testing.assert_allclose(speedup, expected, rtol=0.01)


def test_s14_weight_only_gains_nothing_when_compute_bound() -> None:
    """S14: at a compute-bound batch weight-only quantisation gains 1x or less; 16-bit math stays 16-bit math."""
    work = decode(2048, 0)
    for engine in ("ideal", "fused", "eager"):
        full, small = (
            setup(Scenario(model="llama-2-7b", gpu="a10", engine=engine, weights=w)) for w in ("bf16", "int4")
        )
        times = [sum(t.time_s for t in run.run(work).timed if t.op in matmuls([t.op])) for run in (full, small)]
        if engine == "ideal":
            np.testing.assert_allclose(times[0] / times[1], 1.0, rtol=1e-9)
        else:
            # An engine that overlaps imperfectly still hides less of 4x more weight bytes.
            assert 0.85 < times[0] / times[1] < 1.1


@pytest.mark.parametrize("weights", ["int8", "fp8"])
def test_s14_w8a8_uses_the_8_bit_rate(weights: str) -> None:
    """S14: with weights and activations in 8 bits the linear layers run at 1513 instead of 756; int4 weights do not."""
    assert ideal("llama-2-7b", "h100-pcie", weights=weights).rates.flops["linear"] == pytest.approx(1513e12, rel=1e-3)
    assert ideal("llama-2-7b", "h100-pcie", weights="int4").rates.flops["linear"] == pytest.approx(756e12, rel=1e-3)
    assert ideal("llama-2-7b", "h100-pcie", weights=weights, math="bf16").rates.flops["linear"] == pytest.approx(
        756e12, rel=1e-3
    )


@pytest.mark.parametrize(("kv", "bits"), [("fp32", 32), ("bf16", 16), ("fp16", 16), ("fp8", 8), ("int8", 8)])
def test_s15_kv_quantisation(kv: str, bits: int) -> None:
    """S15: KV bytes per token scale with bits / 16, in memory and in what decode reads."""
    report = estimate(Scenario(model="llama-2-7b", kv=kv))
    np.testing.assert_allclose(report.kv_bytes_per_token, 524_288 * bits / 16, rtol=1e-12)
    read = next(t.op.kv_bytes * t.op.count for t in report.decode.timed if t.op.name == "attention")
    np.testing.assert_allclose(read, 524_288 * bits / 16 * (2048 + 128 + 1), rtol=1e-12)


@pytest.mark.parametrize("gpu", ["a10", "a100-sxm-80gb", "h100-sxm", "v100-sxm-16gb"])
def test_s25_boundary(gpu: str) -> None:
    """S25: t_math > t_mem exactly where the intensity p / b exceeds F / W, for every operator of a pass."""
    run = ideal("llama-3.1-8b", gpu)
    for work in (prefill(1, 100), prefill(1, 600), decode(256, 1000)):
        for timed in run.run(work).timed:
            ridge = ridge_intensity(run.rates.flops[timed.op.unit], run.chip.memory_bytes_per_s)
            if timed.flops:
                assert (timed.compute_s > timed.memory_s) == (timed.intensity > ridge)


def test_s26_a10_ratio() -> None:
    """S26, E1: A10's ridge is 208.3 FLOP/B, 416.7 per fp16 number; below it, not above, work is memory-bound."""
    np.testing.assert_allclose(A10.ridge("fp16"), 208.3, atol=0.05)
    np.testing.assert_allclose(2 * A10.ridge("fp16"), 416.7, atol=0.05)
    run = ideal("llama-2-7b", "a10")
    assert run.run(decode(1, 0)).regime == "memory"
    assert run.run(prefill(1, 4096)).regime == "compute"


RIDGES = [
    ("v100-sxm-16gb", 138.9),
    ("a10", 208.3),
    ("a100-sxm-40gb", 200.6),
    ("a100-sxm-80gb", 153.0),
    ("a100-pcie-80gb", 161.2),
    ("h100-pcie", 378.0),
    ("h100-sxm", 295.3),
    ("h200-sxm", 206.1),
]


@pytest.mark.parametrize(("gpu", "ridge"), RIDGES)
def test_s27_ridge_table(gpu: str, ridge: float) -> None:
    """S27: dense half-precision FLOPs per byte of memory bandwidth, chip by chip."""
    np.testing.assert_allclose(ACCELERATORS[gpu].ridge("fp16"), ridge, atol=0.06)


def test_s27_h200_decodes_faster_at_the_same_peak() -> None:
    """S27: H200 has H100's F and 1.43x its W: decode 1.43x faster, ridge 0.70x."""
    np.testing.assert_allclose(H200.ridge("bf16") / H100.ridge("bf16"), 0.70, atol=0.005)
    one, two = (ideal("llama-3.1-8b", gpu).run(decode(1, 1000)).time_s for gpu in ("h100-sxm", "h200-sxm"))
    np.testing.assert_allclose(one / two, 1.43, atol=0.005)


def test_s28_regime_depends_on_the_chip() -> None:
    """S28: A = 250 is compute-bound on A10, A100, H200 and memory-bound on H100 SXM and PCIe."""
    bound = {gpu: ACCELERATORS[gpu].ridge("fp16") < 250 for gpu, _ in RIDGES}
    assert [gpu for gpu, compute in bound.items() if not compute] == ["h100-pcie", "h100-sxm"]
    # The same through the engine: 250 tokens through the weights.
    for gpu, compute in bound.items():
        math, memory = need_s(ideal("llama-2-7b", gpu, weights="fp16"), prefill(1, 250))
        assert (math > memory) == compute


@pytest.mark.parametrize(("intensity", "tflops"), [(50, 30), (208.333333, 125), (1000, 125)])
def test_s29_attainable(intensity: float, tflops: float) -> None:
    """S29: min(F, A W) on A10: 30 TFLOP/s at A = 50, 125 at the ridge and beyond."""
    found = attainable_flops(intensity, A10.peak_flops["fp16"], A10.memory_bytes_per_s)
    np.testing.assert_allclose(found, tflops * 1e12, rtol=1e-6)


@pytest.mark.parametrize(("before", "after", "gain"), [(50, 100, 2.0), (100, 300, 2.083), (300, 600, 1.0)])
def test_s30_three_cases_of_raising_intensity(before: int, after: int, gain: float) -> None:
    """S30: below the ridge A2 / A1, across it F / (A1 W), above it 1: on A10 2x, 2.083x, 1x."""
    peak, bandwidth = A10.peak_flops["fp16"], A10.memory_bytes_per_s
    np.testing.assert_allclose(intensity_speedup(before, after, peak, bandwidth), gain, atol=5e-4)
    # The engine: throughput of the linear layers at as many tokens per pass.
    run = ideal("llama-2-7b", "a10")
    rates = [tokens / max(need_s(run, prefill(1, tokens))) for tokens in (before, after)]
    np.testing.assert_allclose(rates[1] / rates[0], gain, atol=5e-4)


def test_s31_latency_is_flat_then_linear() -> None:
    """S31: T(b) = max(2Pb/F, Ps/W): flat up to b* = 208 on A10, then linear."""
    batch = np.array([1.0, 64.0, 208.0, 416.0, 832.0])
    params = 6.476e9
    flat = params * 2 / 600e9
    expected = [flat, flat, flat, 2 * params * 416 / 125e12, 2 * params * 832 / 125e12]
    np.testing.assert_allclose(batch_latency(batch, params, 2.0, 125e12, 600e9), expected, rtol=1e-3)
    run = ideal("llama-2-7b", "a10")
    np.testing.assert_allclose([max(need_s(run, decode(b, 0))) for b in batch], expected, rtol=1e-3)


def test_s33_chip_seconds() -> None:
    """S33: n T / b falls as 1 / b while memory-bound and is constant at and beyond the ridge; cost follows it."""
    ridge = critical_batch(2.0, 125e12, 600e9)
    batch = np.array([1.0, 2.0, 100.0, ridge, 2 * ridge, 64 * ridge])
    found = chip_seconds(1.0, batch_latency(batch, 6.74e9, 2.0, 125e12, 600e9), batch)
    np.testing.assert_allclose(found[:3] * batch[:3], found[0], rtol=1e-12)
    np.testing.assert_allclose(found[3:], 2 * 6.74e9 / 125e12, rtol=1e-12)
    # Through the engine: two requests share the weights below the ridge and share nothing beyond it.
    run = ideal("llama-2-7b", "a10")
    times = {b: max(need_s(run, decode(b, 0))) for b in (8, 16, 512, 1024)}
    np.testing.assert_allclose((times[8] / 8) / (times[16] / 16), 2.0, rtol=1e-9)
    np.testing.assert_allclose((times[512] / 512) / (times[1024] / 1024), 1.0, rtol=1e-9)


@pytest.mark.parametrize(
    ("gpu", "share"), [("a100-sxm-80gb", 0.869), ("h100-sxm", 0.803), ("b200-sxm", 0.776), ("mi300x", 0.514)]
)
def test_s34_measured_matmul_share(gpu: str, share: float) -> None:
    """S34: the best measured bf16 matmul reaches 86.9, 80.3, 77.6 and 51.4 % of the dense peak."""
    file = ACCELERATORS[gpu].file
    # MI300X: 668.4 measured is 51.4 % of the rounded peak 1300 and 51.1 % of the datasheet's 1307.4.
    tolerance = 0.003 if gpu == "mi300x" else 0.001
    np.testing.assert_allclose(file.measured["bf16"].value / file.peak["bf16"].value, share, atol=tolerance)


def test_s34_suboptimal_roofline() -> None:
    """S34: min(eff_c F, A eff_m W): the engine's efficiencies scale roof and slope on their own."""
    best, real = ideal("llama-2-7b", "a10"), setup(Scenario(model="llama-2-7b", gpu="a10", engine="compiled"))
    e = real.engine
    for work, index, efficiency in ((prefill(1, 4096), 0, e.linear_efficiency), (decode(1, 0), 1, e.memory_efficiency)):
        times = []
        for run in (best, real):
            step = run.run(work)
            times.append(sum(float(n) for n, op in zip(step.needs_s[index], step.ops, strict=True) if matmuls([op])))
        np.testing.assert_allclose(times[0] / times[1], efficiency, rtol=1e-3)


def test_s36_layer_flops() -> None:
    """S36, E9: QKV 6 d^2, output projection 2 d^2, FFN 16 d^2 per token and layer: 25, 8.33, 66.67 % of 24 d^2."""
    d = MODELS["gpt-3-175b"].dimensions
    unit = d.layers * d.hidden**2
    ops = matmuls(layer_ops("gpt-3-175b", decode(1, 0)))
    parts = [total(ops, "flops", *names) for names in (("q_", "k_", "v_"), ("out",), ("up", "down", "gate"))]
    np.testing.assert_allclose(np.array(parts) / unit, [6, 2, 16], rtol=1e-12)
    np.testing.assert_allclose(np.array(parts) / sum(parts), [0.25, 0.0833, 0.6667], atol=5e-5)


def test_s37_llama_and_mistral() -> None:
    """S37: Llama 7B is 24.125 d^2 (24.9 / 8.3 / 66.8 %); Mistral 7B 26 d^2 (q 7.7, kv 3.8, o 7.7, FFN 80.8 %)."""
    for model, multiple, groups, shares in (
        ("llama-2-7b", 24.125, (("q_", "k_", "v_"), ("out",), ("gate", "up", "down")), (24.9, 8.3, 66.8)),
        ("mistral-7b-v0.1", 26, (("q_",), ("k_", "v_"), ("out",), ("gate", "up", "down")), (7.7, 3.8, 7.7, 80.8)),
    ):
        d, ops = MODELS[model].dimensions, matmuls(layer_ops(model, decode(1, 0)))
        np.testing.assert_allclose(total(ops) / (d.layers * d.hidden**2), multiple, rtol=1e-9)
        found = [100 * total(ops, "flops", *names) / total(ops) for names in groups]
        np.testing.assert_allclose(found, shares, atol=0.06)


@pytest.mark.parametrize(("context", "share"), [(2048, 1 / 12), (4096, 1 / 6), (24_576, 1.0)])
def test_s38_attention_counts_the_context(context: int, share: float) -> None:
    """S38, E10: scores and values cost 4 d T, so 8.3 % of the linears at 2048, 16.7 % at 4096, 100 % at 6 d."""
    ops = layer_ops("opt-6.7b", decode(1, context - 1))
    np.testing.assert_allclose(total(ops, "flops", "attention") / total(matmuls(ops)), share, rtol=1e-9)


def test_s38_what_the_article_counts() -> None:
    """S38: the article's 5 d over 24 d^2 is 0.005086 % at d = 4096."""
    np.testing.assert_allclose(100 * 5 / (24 * MODELS["opt-6.7b"].dimensions.hidden), 0.005086, rtol=1e-3)


def test_s39_without_a_cache() -> None:
    """S39: the linear layers of T tokens cost T / 2 times more without a cache: 1024x at 2048."""
    t = np.arange(1.0, 2049.0)
    cached = total(matmuls(layer_ops("opt-6.7b", decode(1, 0)))) * 2048
    uncached = sum(float(np.sum(op.flops)) * op.count for op in matmuls(layer_ops("opt-6.7b", prefill(1, t))))
    np.testing.assert_allclose(uncached / cached, 2049 / 2, rtol=1e-9)
    # The closed forms, attention included, against the same operators summed one by one.
    closed = [generation_flops(32.0, 4096.0, 2048.0, cached) for cached in (True, False)]
    for form, works in zip(closed, (decode(1, t - 1), prefill(1, t)), strict=True):
        ops = [op for op in layer_ops("opt-6.7b", works) if op in matmuls([op]) or op.kind == "attention"]
        summed = sum(float(np.sum(np.broadcast_to(op.flops, t.shape))) * op.count for op in ops)
        np.testing.assert_allclose(summed, form, rtol=1e-12)


@pytest.mark.parametrize("model", ["llama-2-7b", "gpt-3-175b"])
def test_s40_uncached_pass_needs_one_layer(model: str) -> None:
    """S40, E14: a pass without a cache holds K and V of one layer at a time, 1/L of what a cache holds across steps."""
    d = MODELS[model].dimensions
    one = next(iter(blocks(d))).mixer.cached_values(2048.0) * 2.0
    np.testing.assert_allclose(one, cache_bytes(d, 2048.0, 2.0) / d.layers, rtol=1e-12)


@pytest.mark.parametrize("model", ["llama-2-7b", "llama-1-13b", "gpt-3-175b", "opt-66b", "mpt-30b"])
def test_s41_kv_bytes_per_token(model: str) -> None:
    """S41: 2 x 2 x L x K x hd bytes at 16 bit, which is 4 L d with multi-head attention."""
    d = MODELS[model].dimensions
    assert cache_per_token(d, 2.0) == 4 * d.layers * d.hidden


def test_s42_gpt3() -> None:
    """S42, E11: GPT-3 keeps 4,718,592 B per token; 2048 tokens are 9.66 GB = 9.00 GiB; 5.6 GB would be 1187."""
    d = MODELS["gpt-3-175b"].dimensions
    assert cache_per_token(d, 2.0) == 4_718_592
    np.testing.assert_allclose(cache_bytes(d, 2048.0, 2.0), 9.66e9, rtol=1e-3)
    assert cache_bytes(d, 2048.0, 2.0) == 9 * 2**30
    assert round(5.6e9 / cache_per_token(d, 2.0)) == 1187


@pytest.mark.parametrize("kv_heads", [1, 2, 4, 8, 16, 32])
def test_s43_gqa_is_linear_in_kv_heads(kv_heads: int) -> None:
    """S43: the cache is linear in K, H / K times smaller than MHA's; scores and values cost the same FLOPs."""
    d = MODELS["llama-2-7b"].dimensions
    shared = d.model_copy(update={"kv_heads": kv_heads})
    assert cache_per_token(d, 2.0) / cache_per_token(shared, 2.0) == 32 / kv_heads
    scores = [
        total([op for op in transformer_ops(s, Pass(decode(1, 999), Precision(), Kernels())) if op.kind == "attention"])
        for s in (d, shared)
    ]
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    ("model", "shape", "kv", "factor"),
    [
        ("llama-2-7b", (32, 4096, 32, 32, 11008), 524_288, 1),
        ("llama-2-13b", (40, 5120, 40, 40, 13824), 819_200, 1),
        ("llama-1-33b", (60, 6656, 52, 52, 17920), 1_597_440, 1),
        ("llama-1-65b", (80, 8192, 64, 64, 22016), 2_621_440, 1),
        ("codellama-34b", (48, 8192, 64, 8, 22016), 196_608, 8),
        ("llama-2-70b", (80, 8192, 64, 8, 28672), 327_680, 8),
    ],
)
def test_s44_llama_table(model: str, shape: tuple[int, ...], kv: int, factor: int) -> None:
    """S44, E12: shapes and KV bytes per token of Llama 1 and 2; grouped queries save 8x in the 34B, not 5x."""
    d = MODELS[model].dimensions
    assert (d.layers, d.hidden, d.heads, d.kv_heads, d.ffn) == shape
    assert cache_per_token(d, 2.0) == kv
    assert cache_per_token(d.model_copy(update={"kv_heads": d.heads}), 2.0) == kv * factor


def test_s45_sliding_window_caps_the_cache() -> None:
    """S45, E13: Mistral 7B keeps at most 4096 x 131,072 B = 536.9 MB a sequence; Llama 7B has no window."""
    d = MODELS["mistral-7b-v0.1"].dimensions
    assert (d.window, cache_per_token(d, 2.0)) == (4096, 131_072)
    np.testing.assert_allclose(cache_bytes(d, np.array([4096.0, 9000.0, 131_072.0]), 2.0), 536.9e6, rtol=1e-4)
    assert MODELS["llama-2-7b"].dimensions.window == 0
    read = next(op for op in layer_ops("mistral-7b-v0.1", decode(1, 32_767)) if op.kind == "attention")
    np.testing.assert_allclose(read.kv_bytes * read.count, 536.9e6, rtol=1e-4)


def test_s46_depth_and_width() -> None:
    """S46: twice the depth has twice the parameters, twice the width four times, embeddings not counted."""

    def linear(**changes: int) -> int:
        p = parameters(Dimensions(**(dict(base) | changes)))
        return p.attention + p.ffn

    base = {"layers": 24, "hidden": 2048, "vocab": 50_000, "heads": 16, "kv_heads": 16, "head_dim": 128, "ffn": 8192}
    assert linear(layers=48) == 2 * linear()
    assert linear(hidden=4096, heads=32, kv_heads=32, ffn=16_384) == 4 * linear()


@pytest.mark.parametrize(("weights", "size"), [("fp16", 2.0), ("int8", 1.0), ("fp32", 4.0)])
def test_s62_critical_batch(weights: str, size: float) -> None:
    """S62: b* = (bytes per weight / 2) F / W; the article's F / W silently assumes two bytes."""
    run = ideal("llama-2-7b", "a100-sxm-80gb", weights=weights)
    peak, bandwidth = run.rates.flops["linear"], run.chip.memory_bytes_per_s
    expected = size / 2 * peak / bandwidth
    np.testing.assert_allclose(critical_batch(size, peak, bandwidth), expected, rtol=1e-12)
    # The engine's linear layers turn at this batch: one below reads longer, one above computes longer.
    for batch, leads in ((np.floor(expected), False), (np.ceil(expected), True)):
        compute, memory = need_s(run, decode(batch, 0))
        assert (compute >= memory) == leads


def test_s63_t4_magic_ratio() -> None:
    """S63, E17, E21: T4 has b* = 216.7 in fp16 (203 at 320 GB/s), 54 in fp32 at 8.1 TFLOP/s, 216.7 in int8."""
    peak, bandwidth = T4.peak_flops, T4.memory_bytes_per_s
    assert bandwidth == 300e9
    np.testing.assert_allclose(critical_batch(2.0, peak["fp16"], bandwidth), 216.7, atol=0.05)
    np.testing.assert_allclose(critical_batch(2.0, peak["fp16"], 320e9), 203, atol=0.2)
    np.testing.assert_allclose(critical_batch(4.0, peak["fp32"], bandwidth), 54, atol=0.01)
    np.testing.assert_allclose(critical_batch(1.0, peak["int8"], bandwidth), 216.7, atol=0.05)
    assert "bf16" not in peak


@pytest.mark.parametrize(("batch", "touched"), [(1, 2.0), (4, 5.47), (8, 7.20), (16, 7.92)])
def test_s69_experts_touched(batch: int, touched: float) -> None:
    """S69: Mixtral reads 2, 5.47, 7.20, 7.92 experts a layer at batch 1, 4, 8, 16; each sees b k / E tokens."""
    d = MODELS["mixtral-8x7b"].dimensions
    moe = next(b.ffn for b in blocks(d))
    assert isinstance(moe, MoE)
    np.testing.assert_allclose(moe.touched(float(batch)), touched, atol=0.005)
    ops = layer_ops("mixtral-8x7b", decode(batch, 0))
    read = total(ops, "weight_bytes", "expert_") / (d.layers * 3 * 4096 * 14336 * 2)
    np.testing.assert_allclose(read, touched, atol=0.005)
    one = 2.0 * 3 * 4096 * 14336
    tokens = sum(op.flops for op in ops if op.kind == "matmul" and op.name.startswith("expert_")) / one / 8
    np.testing.assert_allclose(tokens, batch * 2 / 8, rtol=1e-9)
