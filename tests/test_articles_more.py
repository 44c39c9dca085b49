"""Cases of the articles that the other files leave open: regimes, fixes, attention kernels, layouts, generation."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel import ACCELERATORS, MODELS, Scenario, decode, estimate, prefill
from perfmodel.advice import verdict
from perfmodel.attention import Attention
from perfmodel.blocks import blocks
from perfmodel.breakdown import growth
from perfmodel.dimensions import Dimensions
from perfmodel.estimate import setup
from perfmodel.ffn import MoE
from perfmodel.formulas.combine import overlapped_time
from perfmodel.formulas.occupancy import wave_utilisation
from perfmodel.formulas.roofline import (
    amdahl_time,
    attainable_flops,
    batch_latency,
    chip_seconds,
    request_cost,
    ridge_intensity,
)
from perfmodel.memory import cache_per_token
from perfmodel.ops import Kernels, Op, Pass
from perfmodel.precision import Precision
from perfmodel.setup import Setup
from perfmodel.step import Step, TimedOp
from perfmodel.workload import Workload

A10 = ACCELERATORS["a10"]
close = np.testing.assert_allclose


def ideal(model: str, gpu: str, **fields: object) -> Setup:
    """The setup of a scenario on ideal hardware."""
    return setup(Scenario(model=model, gpu=gpu, engine="ideal", **fields))


def timed(step: Step, name: str) -> TimedOp:
    """The operator of that name in a step."""
    return next(one for one in step.timed if one.op.name == name)


# Regimes


@pytest.mark.parametrize(
    ("case", "scenario", "phase", "regime"),
    [
        ("S1", Scenario(model="llama-2-7b", gpu="a10", input=4000, output=2), "prefill", "compute"),
        ("S2", Scenario(model="llama-2-7b", gpu="a10"), "decode", "memory"),
        ("S3", Scenario(model="llama-3.2-1b", gpu="l40s", n=8, tp=8), "prefill", "network"),
        ("S5", Scenario(model="llama-3.2-1b", engine="eager"), "decode", "overhead"),
    ],
)
def test_four_regimes(case: str, scenario: Scenario, phase: str, regime: str) -> None:
    """S1, S2, S3, S5: each of the four regimes is somebody's longest bar, and the four parts add up to the time."""
    step = getattr(estimate(scenario), phase)
    assert step.regime == regime, case
    close(step.parts_s.sum(), step.time_s, rtol=1e-12)
    assert step.needs_s[2].any() == (scenario.n > 1)


def test_sequential_is_half_of_the_roofline_at_the_ridge() -> None:
    """S4: one after another takes the sum, overlapped the maximum; at the ridge that is exactly twice as long."""
    peak, bandwidth, work = A10.peak_flops["fp16"], A10.memory_bytes_per_s, 1e12
    for intensity, ratio in ((ridge_intensity(peak, bandwidth), 0.5), (10 * 125e12 / 600e9, 1 / 1.1)):
        times = work / peak, work / intensity / bandwidth
        sequential, roofline = (work / float(overlapped_time(*times, share)) for share in (0.0, 1.0))
        close(roofline, attainable_flops(intensity, peak, bandwidth), rtol=1e-12)
        close(sequential / roofline, ratio, rtol=1e-12)
    for run in (estimate(Scenario(model="llama-2-7b", gpu="a10")).decode, estimate(Scenario(n=4, tp=4)).prefill):
        assert run.overlapped_s <= run.time_s <= run.sequential_s
        assert run.sequential_s <= 5 * run.overlapped_s  # four resources and the host


def test_largest_kernel_first() -> None:
    """S6: speeding kernel k up s times leaves T - t_k (1 - 1/s); the largest kernel promises most."""
    report = estimate(Scenario(model="llama-2-7b", gpu="a10", batch=4))
    found, total = verdict(report), report.decode_step_s
    ranked = sorted(report.decode.timed, key=lambda one: -one.time_s)
    assert found.top == ranked[0].op.name
    close(found.top_gain, 1 / (1 - ranked[0].time_s / total), rtol=1e-9)
    gains = [total / amdahl_time(total, one.time_s, 2.0) for one in ranked]
    assert gains == sorted(gains, reverse=True)
    assert {one.bound for one in ranked} <= {"compute", "memory", "network", "overhead"}


@pytest.mark.parametrize(("share", "gain"), [(0.10, 1.053), (0.5, 1.333), (0.9, 1.818)])
def test_misdiagnosis(share: float, gain: float) -> None:
    """S7: doubling the speed of what is a share f of the time gains 1 / (1 - f/2): 1.053x at 10 %."""
    close(1.0 / amdahl_time(1.0, share, 2.0), gain, atol=5e-4)


def test_counters_tell_compute_from_memory() -> None:
    """S9: achieved FLOP/s over F and achieved B/s over W: the larger share is what binds, and neither exceeds one."""
    run = ideal("llama-2-7b", "a10")
    for work, bound in ((prefill(1, 4096), "compute"), (decode(1, 500), "memory")):
        one = timed(run.run(work), "down_proj")
        flops_share = one.flops / one.time_s / 125e12
        bytes_share = one.moved_bytes / one.time_s / 600e9
        close(max(flops_share, bytes_share), 1.0, rtol=1e-9)
        assert (flops_share > bytes_share) == (bound == "compute")
        assert one.bound == bound


# Fixes


def test_faster_math_does_not_help_decode() -> None:
    """S11: on A10 math is 0.108 of 22.5 ms: int8 math gains < 0.5 % of decode latency, int8 weights nearly 2x."""
    plain, math, weights = (
        ideal("llama-2-7b", "a10", weights=w, math=m) for w, m in (("bf16", "auto"), ("bf16", "int8"), ("int8", "auto"))
    )
    assert math.rates.flops["linear"] == 2 * plain.rates.flops["linear"] == 250e12
    one, two = plain.run(decode(1, 0)), math.run(decode(1, 0))
    share = one.totals_s[0] / one.sequential_s
    close(share, 0.108 / 22.5, rtol=0.05)
    # Even with nothing overlapped, half of the math is half of half a per cent.
    assert 1.0 <= one.sequential_s / two.sequential_s < 1.005
    assert 1.0 <= one.time_s / two.time_s < 1.005
    assert 1.9 < one.time_s / weights.run(decode(1, 0)).time_s < 2.0


def attention_bytes(flash: bool, tokens: float) -> Op:
    """Prefill attention of one layer of Llama-2-7B in fp16."""
    layer = Attention(hidden=4096, heads=32, kv_heads=32, head_dim=128)
    run = Pass(Workload(1.0, tokens, 0.0), Precision("fp16", "auto", "fp16"), Kernels(flash=flash, split_kv=flash))
    return next(op for op in layer.ops(run) if op.name == "attention")


def test_flash_attention_keeps_scores_on_the_chip() -> None:
    """S17: unfused attention moves 4 T^2 H values more: 64 FLOP/B = hd/2 at best; fused T/2. Same FLOPs."""
    tokens, hidden, heads = 65_536.0, 4096, 32
    fused, unfused = attention_bytes(True, tokens), attention_bytes(False, tokens)
    assert fused.moved_bytes == 4 * tokens * hidden * 2  # Q, K, V read, O written
    assert unfused.moved_bytes - fused.moved_bytes == 4 * tokens**2 * heads * 2
    assert fused.flops == unfused.flops
    close(fused.flops, 4 * tokens**2 * hidden / 2, rtol=1e-4)  # causal: half of the square
    square = 4 * tokens**2 * hidden  # the case counts the whole square
    close(square / fused.moved_bytes, tokens / 2, rtol=1e-12)
    close(square / unfused.moved_bytes, 128 / 2, rtol=0.01)


def test_two_ways_to_raise_intensity() -> None:
    """S32: fewer bytes (int8 weights) raise intensity and cut latency; a larger batch raises it and cuts none."""
    base = ideal("llama-2-7b", "a10")
    one = base.run(decode(1, 0))
    fewer, more = ideal("llama-2-7b", "a10", weights="int8").run(decode(1, 0)), base.run(decode(64, 0))
    intensity = [timed(step, "down_proj").intensity for step in (one, fewer, more)]
    assert intensity[0] < intensity[1] < intensity[2]
    assert fewer.time_s < 0.55 * one.time_s
    assert more.time_s >= one.time_s
    assert 64 / more.time_s > 50 / one.time_s


def test_cost_of_a_request() -> None:
    """S33: cost is n T / b x $/h / 3600: 4 chips, 30 s, batch 8 at 3 USD/h are 15 chip seconds and 0.0125 USD."""
    assert chip_seconds(4.0, 30.0, 8.0) == 15.0
    close(request_cost(15.0, 3.0), 0.0125, rtol=1e-12)
    report = estimate(Scenario(n=2, tp=2, batch=16, output=100))
    price = ACCELERATORS["h100-sxm"].usd_per_hour
    close(report.usd_per_million_tokens, 2 * report.e2e_s / 16 * price / 3600 / 100 * 1e6, rtol=1e-12)


# FlashDecoding

#: Blog table: batch, tokens, PyTorch, FA2, FlashDecoding us; A100 40 GB, 16 query and 2 KV heads of 128, fp16.
TABLE = (
    (256, 256, 3058.6, 390.5, 63.4),
    (64, 1024, 3160.4, 364.8, 77.7),
    (8, 8192, 3173.1, 529.2, 56.4),
    (2, 32768, 3224.1, 1156.1, 60.3),
    (1, 65536, 1335.6, 2300.6, 64.4),
    (1, 131072, 2664.0, 4592.2, 106.6),
)
BLOG = Dimensions(layers=1, hidden=2048, heads=16, kv_heads=2, head_dim=128, ffn=8192, vocab=32000, max_context=200_000)


def blog_attention(kernel: str, batch: int, tokens: int) -> TimedOp:
    """The attention of the table under one of the kernels."""
    scenario = Scenario(model="custom", dimensions=BLOG, gpu="a100-sxm-40gb", attention=kernel, batch=batch)
    return timed(setup(scenario).run(decode(batch, tokens - 1)), "attention")


def test_flash_decoding_bandwidth() -> None:
    """S35, E5: at 67.1 MB of KV, FA2 falls from 172 to 29 GB/s as the batch shrinks; split-KV keeps 0.86-1.26 TB/s."""
    ops = [blog_attention("flash", batch, tokens).op for batch, tokens, *_ in TABLE]
    assert [op.kv_bytes for op in ops] == [67_108_864.0] * 5 + [134_217_728.0]
    measured = np.array([[op.kv_bytes / (us * 1e-6) for us in row[3:]] for op, row in zip(ops, TABLE, strict=True)])
    close(measured[[0, 4], 0], [172e9, 29e9], rtol=0.01)
    close([measured[:, 1].min(), measured[:, 1].max()], [0.86e12, 1.26e12], rtol=0.01)
    model = [67_108_864 / blog_attention("flash", *row[:2]).time_s for row in TABLE[1:5]]
    assert model == sorted(model, reverse=True)
    close(model, measured[1:5, 0], rtol=0.15)
    split = [blog_attention("split", *row[:2]) for row in TABLE]
    assert all(0.8e12 < one.op.kv_bytes / one.time_s < 1.555e12 for one in split)


def test_flash_decoding_speed_up() -> None:
    """S35: splitting the context gains 4.7x at batch 64 and 43x at batch 1."""
    for row, gain in ((TABLE[1], 4.7), (TABLE[5], 43.0)):
        close(row[3] / row[4], gain, rtol=0.01)
        found = blog_attention("flash", *row[:2]).time_s / blog_attention("split", *row[:2]).time_s
        close(found, gain, rtol=0.25)


@pytest.mark.parametrize(("batch", "heads", "share"), [(1, 16, 16 / 108), (2, 32, 64 / 108), (4, 27, 1.0)])
def test_blocks_below_the_multiprocessors(batch: int, heads: int, share: float) -> None:
    """S35: with b H < 108 blocks the share of an A100 that works is b H / 108."""
    assert ACCELERATORS["a100-sxm-40gb"].sms == 108
    close(wave_utilisation(float(batch * heads), 108.0), share, rtol=1e-12)


@pytest.mark.parametrize(("batch", "tokens", "pytorch_us", "fa2_us"), [row[:4] for row in TABLE[:3]])
def test_flash_attention_beats_plain_pytorch(batch: int, tokens: int, pytorch_us: float, fa2_us: float) -> None:
    """S35, trap 5: with grouped queries FA2 is faster than PyTorch's own operations at batch 8 and more (measured)."""
    assert fa2_us < pytorch_us
    assert blog_attention("flash", batch, tokens).time_s < blog_attention("unfused", batch, tokens).time_s


# Shape


def network(d: Dimensions, n: int) -> tuple[float, float]:
    """Kernels of a decode step and bytes of its collectives on one of n devices."""
    ops = setup(Scenario(model="custom", dimensions=d, n=n, tp=n)).ops(decode(1, 100))
    return sum(float(op.launches * op.count) for op in ops), sum(float(op.network_bytes * op.count) for op in ops)


def test_wide_parallelises_better() -> None:
    """S47: (L/4, 2d) has the parameters of (L, d), a quarter of the kernels, half of the bytes between devices."""
    deep = MODELS["llama-2-7b"].dimensions
    wide = deep.model_copy(update={"layers": 8, "hidden": 8192, "heads": 64, "kv_heads": 64, "ffn": 22_016})
    traded = growth(deep)[2]
    assert (traded.parameters, traded.kernels) == (pytest.approx(1.0, rel=1e-3), 0.25)
    before, after = network(deep, 4), network(wide, 4)
    close(after[1] / before[1], 0.5, rtol=1e-12)
    assert before[1] == 32 * 2 * 4096 * 2  # two all-reduces of d 16-bit values a layer
    close(after[0] / before[0], 0.25, rtol=0.05)  # embedding and head are there once in both


def test_depth_is_sequential() -> None:
    """S47, S54: latency is L x t_layer: tensor parallelism shortens the layer, pipeline stages shorten nothing."""
    d = MODELS["llama-2-7b"].dimensions
    half = ideal("custom", "h100-sxm", dimensions=d.model_copy(update={"layers": 16}))
    whole = ideal("custom", "h100-sxm", dimensions=d)
    times = [float(run.run(decode(1, 500)).time_s) for run in (half, whole)]
    ends = sum(t.time_s for t in whole.run(decode(1, 500)).timed if t.op.count == 1.0)
    close(times[1] - ends, 2 * (times[0] - ends), rtol=1e-9)
    staged = setup(Scenario(model="llama-2-7b", engine="ideal", n=4, tp=1, pp=4))
    assert staged.run(decode(1, 500)).time_s >= times[1]
    split = setup(Scenario(model="llama-2-7b", engine="ideal", n=4, tp=4)).run(decode(1, 500))
    assert times[1] / 4 <= split.time_s < times[1]


# Generation and batches


def test_time_of_a_generation() -> None:
    """S55: T(n) = n (t_weights + t_over) + n^2/2 x bytes/W: linear until the cache rivals the weights."""
    run = ideal("llama-2-7b", "a10")
    for tokens in (100, 2000):
        summed = float(np.sum(run.run(decode(1, np.arange(float(tokens)))).time_s))
        first = float(run.run(decode(1, 0)).time_s)
        close(summed, tokens * first + tokens * (tokens - 1) / 2 * 524_288 / 600e9, rtol=1e-9)
    # The cache is read as long as the weights at 13.2e9 / 524,288 = 25,000 tokens.
    per_token = 524_288 / 600e9
    close(first / per_token, 13.2e9 / 524_288, rtol=0.01)


@pytest.mark.parametrize(("model", "heads_per_kv"), [("llama-2-7b", 1), ("llama-3.1-8b", 4), ("falcon-7b", 71)])
@pytest.mark.parametrize("batch", [1, 64])
def test_attention_is_not_batched(model: str, heads_per_kv: int, batch: int) -> None:
    """S68, E24: attention in decode does H/K FLOPs a byte of KV, whatever the batch: each sequence reads its own."""
    op = next(op for op in ideal(model, "a10").ops(decode(batch, 999)) if op.name == "attention")
    close(op.flops / op.kv_bytes, heads_per_kv, rtol=1e-12)


@pytest.mark.parametrize("batch", [1, 16, 200])
def test_step_reads_weights_once_and_caches_each(batch: int) -> None:
    """S68: T_step = (P s + b T kv) / W for what is read: Llama-2-7B on A10, 524,288 B a token and sequence."""
    step = ideal("llama-2-7b", "a10").run(decode(batch, 1000))
    read = float(step.total("weight_bytes")) + float(step.total("kv_bytes"))
    table = 32_000 * 4096 * 2
    expected = 13.477e9 - table + batch * 8192 + batch * (1001 + 1) * 524_288
    close(read, expected, rtol=1e-3)
    assert step.time_s >= read / 600e9
    close(step.totals_s[1], read / 600e9, rtol=0.06)  # activations besides


def test_busiest_expert_sets_the_time() -> None:
    """S69: tokens per expert are b k / E on average; with experts on devices of their own the busiest has more."""
    d = MODELS["mixtral-8x7b"].dimensions
    moe = next(block.ffn for block in blocks(d))
    assert isinstance(moe, MoE)
    batch, one = 256.0, 2.0 * 3 * 4096 * 14_336

    def routed(ep: int, skew: float) -> float:
        run = Pass(decode(batch, 9), Precision(), Kernels(), tp=ep, ep=ep, skew=skew)
        return (
            sum(float(op.flops) for op in moe.ops(run) if op.name.startswith("expert_") and op.kind == "matmul") / one
        )

    close(routed(1, 1.0) / 8, batch * 2 / 8, rtol=1e-12)
    assert batch * 2 / 8 < routed(8, 1.0) < 1.4 * batch * 2 / 8
    assert routed(8, 2.0) >= 2 * batch * 2 / 8


def test_kipply_flat_batch() -> None:
    """S71: 52B (d 8192, 64 layers) keeps 2,097,152 B a token; an A100-40 takes 69 ms up to 208 tokens, 4 17."""
    d = Dimensions(layers=64, hidden=8192, heads=64, kv_heads=64, head_dim=128, ffn=32_768, gated=False, vocab=50_000)
    assert cache_per_token(d, 2.0) == 2_097_152
    # kipply takes 52e9 parameters, 312 TFLOP/s and 1.5 TB/s.
    for devices, milliseconds in ((1, 69.0), (4, 17.0)):
        flat = batch_latency(np.array([1.0, 208.0]), 52e9 / devices, 2.0, 312e12, 1.5e12)
        close(flat * 1e3, milliseconds, rtol=0.03)
    assert batch_latency(416.0, 52e9, 2.0, 312e12, 1.5e12) == pytest.approx(2 * 52e9 * 2 / 1.5e12)
    close((4 * 40e9 - 2 * 52e9) / 2_097_152, [26_700], rtol=0.01)  # 56 GB: 23-28 k tokens


def test_multi_query_attention_holds_long_contexts() -> None:
    """S74: at batch 512 and 2048 tokens 48 KV heads of 128 of PaLM 540B would keep 3 TB; MQA keeps 1/48."""
    palm = MODELS["palm-540b"].dimensions
    assert (palm.layers, palm.heads, palm.kv_heads) == (118, 48, 1)
    many = replace_heads(palm, 48, 128)
    close(cache_per_token(many, 2.0) * 512 * 2048, 3.04e12, rtol=0.01)
    assert cache_per_token(many, 2.0) == 48 * cache_per_token(replace_heads(palm, 1, 128), 2.0)


def replace_heads(d: Dimensions, kv_heads: int, head_dim: int) -> Dimensions:
    """The same model with other key and value heads."""
    return d.model_copy(update={"kv_heads": kv_heads, "head_dim": head_dim})
