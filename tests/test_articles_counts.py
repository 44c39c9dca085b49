"""FLOPs, bytes and cache sizes that the articles count (S36-S46, S69): what a layer computes and what it keeps."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel import MODELS, decode, parameters, prefill
from perfmodel.blocks import blocks
from perfmodel.dimensions import Dimensions
from perfmodel.ffn import MoE
from perfmodel.formulas.flops import generation_flops
from perfmodel.formulas.roofline import critical_batch
from perfmodel.memory import cache_bytes, cache_per_token
from perfmodel.ops import Kernels, Op, Pass
from perfmodel.precision import Precision
from perfmodel.transformer import transformer_ops
from perfmodel.workload import Workload
from tests.test_articles import ideal, matmuls, need_s, total


def layer_ops(model: str, work: Workload) -> list[Op]:
    """The operators of a whole model on one device, Q, K, V apart."""
    return list(transformer_ops(MODELS[model].dimensions, Pass(work, Precision(), Kernels(fused_qkv=False))))


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
