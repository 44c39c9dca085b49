"""The four articles: each case with the number that the reference page expects, through the real specs and engine."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel import ACCELERATORS, Scenario, decode, estimate, prefill
from perfmodel.estimate import setup
from perfmodel.formulas.roofline import (
    attainable_flops,
    batch_latency,
    chip_seconds,
    critical_batch,
    intensity_speedup,
    ridge_intensity,
)
from perfmodel.memory import weight_bytes
from perfmodel.ops import Group, Op
from perfmodel.setup import Setup
from perfmodel.workload import Workload

A10, H100_PCIE, H100, H200, T4 = (ACCELERATORS[name] for name in ("a10", "h100-pcie", "h100-sxm", "h200-sxm", "t4"))
LINEAR = (Group.PROJECTIONS, Group.FFN)


def ideal(model: str, gpu: str, **fields: object) -> Setup:
    """The setup of a scenario on ideal hardware: the articles know no other."""
    return setup(Scenario(model=model, gpu=gpu, engine="ideal", **fields))


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


def test_s63_t4_magic_ratio() -> None:
    """S63, E17, E21: T4 has b* = 216.7 in fp16 (203 at 320 GB/s), 54 in fp32 at 8.1 TFLOP/s, 216.7 in int8."""
    peak, bandwidth = T4.peak_flops, T4.memory_bytes_per_s
    assert bandwidth == 300e9
    np.testing.assert_allclose(critical_batch(2.0, peak["fp16"], bandwidth), 216.7, atol=0.05)
    np.testing.assert_allclose(critical_batch(2.0, peak["fp16"], 320e9), 203, atol=0.2)
    np.testing.assert_allclose(critical_batch(4.0, peak["fp32"], bandwidth), 54, atol=0.01)
    np.testing.assert_allclose(critical_batch(1.0, peak["int8"], bandwidth), 216.7, atol=0.05)
    assert "bf16" not in peak
