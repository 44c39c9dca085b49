"""Kernels, routing and pruning: what the engine adds to FLOPs and bytes, against measurements and identities."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel import MODELS, Scenario, decode, estimate, prefill
from perfmodel.batching import batch_curve, by_precision
from perfmodel.dimensions import Dimensions
from perfmodel.engine import ENGINES
from perfmodel.estimate import setup
from perfmodel.generation import GENERATIONS
from perfmodel.hardware import ACCELERATORS
from perfmodel.memory import weight_bytes
from perfmodel.precision import Precision
from perfmodel.tuning import UNPACK_OPS, tuned

#: FlashDecoding's published table: batch, tokens, FA2 us, split-KV us (A100 40 GB, 16 heads x 128, 2 KV heads, fp16).
FLASH_DECODING = (
    (256, 256, 390.5, 63.4),
    (64, 1024, 364.8, 77.7),
    (8, 8192, 529.2, 56.4),
    (2, 32768, 1156.1, 60.3),
    (1, 65536, 2300.6, 64.4),
    (1, 131072, 4592.2, 106.6),
)
BLOG_LAYER = Dimensions(
    layers=1, hidden=2048, heads=16, kv_heads=2, head_dim=128, ffn=8192, vocab=32000, max_context=200_000
)


def _attention_us(kernel: str, batch: int, tokens: int) -> float:
    scenario = Scenario(model="custom", dimensions=BLOG_LAYER, gpu="a100-sxm-40gb", attention=kernel, batch=batch)
    step = setup(scenario).run(decode(batch, tokens - 1))
    return next(t.time_s for t in step.timed if t.op.name == "attention") * 1e6


@pytest.mark.parametrize(("batch", "tokens", "flash_us", "split_us"), FLASH_DECODING)
def test_flash_decoding_table(batch: int, tokens: int, flash_us: float, split_us: float) -> None:
    """S35: without split-KV time follows the waves of batch x heads blocks; with it, the bytes. Not fitted to it."""
    np.testing.assert_allclose(_attention_us("flash", batch, tokens), flash_us, rtol=0.15)
    np.testing.assert_allclose(_attention_us("split", batch, tokens), split_us, rtol=0.35)


def test_bandwidth_use_falls_as_the_batch_shrinks() -> None:
    """S35, E5: at equal KV bytes attention without split-KV slows down as the batch shrinks (articles: grows)."""
    times = [_attention_us("flash", batch, tokens) for batch, tokens, *_ in FLASH_DECODING[1:5]]
    assert times == sorted(times)


def test_mixtral_experts_touched() -> None:
    """S69: Mixtral's balanced routing touches 2, 5.47, 7.20, 7.92 experts at batch 1, 4, 8, 16."""
    moe = next(b.ffn for b in _blocks("mixtral-8x7b"))
    np.testing.assert_allclose([moe.touched(t) for t in (1.0, 4.0, 8.0, 16.0)], [2, 5.47, 7.20, 7.92], atol=0.005)


def test_deepseek_v3_experts_touched() -> None:
    """Traps 4: DeepSeek-V3 reads about 102 of 256 experts at batch 16."""
    moe = next(b.ffn for b in _blocks("deepseek-v3") if hasattr(b.ffn, "experts"))
    np.testing.assert_allclose(moe.touched(16.0), 102, atol=1)


def _blocks(model: str):
    from perfmodel.blocks import blocks

    return blocks(MODELS[model].dimensions)


def test_skew_reads_fewer_experts_on_one_device_and_slows_the_busiest_of_many() -> None:
    """S69: skewed routing touches fewer distinct experts; with expert parallelism the busiest device sets the time."""
    one = Scenario(model="mixtral-8x7b", gpu="h200-sxm", batch=8)
    assert estimate(one.change(skew=2.0)).decode_step_s < estimate(one).decode_step_s
    many = Scenario(model="deepseek-v3", gpu="h200-sxm", n=8, tp=8, ep=8, batch=4096, weights="fp8")
    assert estimate(many.change(skew=2.0)).ttft_s > estimate(many).ttft_s


def test_gemma_3_cache_by_hand() -> None:
    """Traps 3: Gemma-3-27B at t tokens keeps 10 global layers of t and 52 local ones of min(t, 1024) tokens."""
    per_layer = 2 * 16 * 128 * 2
    for context in (32_768, 131_072):
        report = estimate(Scenario(model="gemma-3-27b", gpu="h200-sxm", input=context - 1, output=1))
        assert report.kv_bytes == per_layer * (10 * context + 52 * 1024)


def test_two_to_four_sparsity_doubles_the_rate_and_halves_the_bytes() -> None:
    """S13: 2:4 runs at twice the dense peak where the chip has the units and stores 9 of 16 bits per fp16 weight."""
    dense = Scenario(model="llama-2-7b", gpu="a100-sxm-80gb", engine="ideal")
    sparse = dense.change(sparsity="2:4")
    assert setup(sparse).rates.flops["linear"] == 2 * setup(dense).rates.flops["linear"]
    np.testing.assert_allclose(setup(sparse).precision.weight_bytes / 2.0, 9 / 16)
    assert any("2:4" in note.text for note in estimate(sparse.change(gpu="v100-sxm-16gb", weights="fp16")).notes)


def test_unstructured_pruning_changes_nothing() -> None:
    """S13: zeros that are stored and multiplied cost the same; the note says so."""
    dense = Scenario(model="llama-2-7b")
    pruned = estimate(dense.change(sparsity="unstructured"))
    assert pruned.ttft_s == estimate(dense).ttft_s
    assert any("Unstructured" in note.text for note in pruned.notes)


def test_structured_pruning_scales_flops_and_bytes() -> None:
    """S13: half the channels are half the FLOPs and half the bytes of the linear layers, nothing of the rest."""
    dense, pruned = (setup(Scenario(model="llama-2-7b", sparsity=s)) for s in ("none", "structured-50"))
    name = "down_proj"
    ops = [next(op for op in s.ops(decode(1, 100)) if op.name == name) for s in (dense, pruned)]
    assert ops[1].flops == ops[0].flops / 2
    assert ops[1].weight_bytes == ops[0].weight_bytes / 2
    assert weight_bytes(pruned) > weight_bytes(dense) / 2


def test_weight_only_quantisation_pays_for_dequantisation_when_compute_bound() -> None:
    """S14: weight-only int4 speeds decode up nearly 3.88x and slows a compute-bound prefill a little."""
    fp16 = Scenario(model="llama-2-7b", gpu="a100-sxm-80gb", input=4096, output=2)
    int4 = fp16.change(weights="int4")
    assert 1.0 < estimate(int4).ttft_s / estimate(fp16).ttft_s < 1.25


def test_batch_curve_is_flat_then_linear() -> None:
    """S31, S62: with weights alone the step is flat below b* and grows with the batch beyond it."""
    tiny_context = Scenario(model="llama-2-13b", gpu="h100-sxm", engine="ideal", input=1, output=1)
    curve = batch_curve(tiny_context)
    np.testing.assert_allclose(curve.critical, 295.3, atol=0.1)
    flat = curve.step_s[curve.batch < curve.critical / 3]
    assert flat.max() / flat.min() < 1.1
    late = curve.batch > 3 * curve.critical
    slope = np.polyfit(np.log(curve.batch[late]), np.log(curve.step_s[late]), 1)[0]
    np.testing.assert_allclose(slope, 1.0, atol=0.05)


def test_kv_takeover_is_where_cache_and_weight_bytes_meet() -> None:
    """S68: at the takeover batch the KV cache moves as many bytes per step as the weights."""
    curve = batch_curve(Scenario(model="llama-2-7b", gpu="h100-sxm", input=4000, output=2, engine="ideal"))
    weights, cache = (np.interp(curve.kv_takeover, curve.batch, need) for need in curve.needs_s[:2])
    np.testing.assert_allclose(cache, weights, rtol=0.02)


def test_memory_ends_where_the_curve_says() -> None:
    """The largest batch fits and one more sequence does not."""
    curve = batch_curve(Scenario(model="llama-3.1-8b", gpu="l4", engine="fused"))
    scenario = Scenario(model="llama-3.1-8b", gpu="l4", engine="fused", batch=curve.largest)
    assert estimate(scenario).memory.fits
    assert not estimate(scenario.change(batch=curve.largest + 1)).memory.fits


def test_smaller_types_never_slow_decode() -> None:
    """S14, S15: at any batch fewer bytes per weight or per cached value never make a step slower on H100."""
    curves = by_precision(Scenario(model="llama-3.1-8b", engine="ideal"))
    batch = curves[0].batch
    wide, narrow = curves[1].step_s, np.interp(curves[1].batch, curves[2].batch, curves[2].step_s)
    assert batch[0] == 1
    assert (narrow <= wide * 1.001).all()


def test_continuous_batching_creates_no_work() -> None:
    """Conservation: B requests in flight need B prefills and o shared steps, however they are interleaved."""
    static = estimate(Scenario(batch=32, output=2000))
    mixed = estimate(Scenario(batch=32, output=2000, engine="tensorrt-llm"))
    work = mixed.prefill_s + (mixed.scenario.output - 1) * mixed.mean_step_s
    np.testing.assert_allclose(mixed.e2e_s, work, rtol=1e-3)
    assert mixed.tpot_s > mixed.mean_step_s
    assert static.tpot_s == static.mean_step_s


def test_one_request_in_flight_waits_for_no_other() -> None:
    """With one request there is no other prefill to carry: time per token is the mean step."""
    alone = estimate(Scenario(batch=1, engine="vllm"))
    assert alone.tpot_s == alone.mean_step_s
    assert alone.ttft_s == alone.prefill_s


# What kernels do beyond the mathematics


def _prompt(model: str, gpu: str, engine: str, tokens: int, **more: object):
    scenario = Scenario(model=model, gpu=gpu, engine=engine, batch=1, weights="int4", kv="fp16", **more)
    return {op.name: op for op in setup(scenario).ops(prefill(1, tokens))}


def test_a_prompt_in_pieces_computes_the_same_and_reads_the_weights_in_each() -> None:
    """llama.cpp passes 512 tokens at a time: four times the weights for 2,048, the FLOPs of the whole, one LM head."""
    whole, piece = (_prompt("llama-3.1-8b", "rtx-3090", "llama.cpp", tokens) for tokens in (2048, 512))
    once = _prompt("llama-3.1-8b", "rtx-3090", "exllama", 2048)
    assert whole["down_proj"].weight_bytes == 4 * piece["down_proj"].weight_bytes
    assert whole["down_proj"].flops == once["down_proj"].flops
    assert whole["attention"].flops == once["attention"].flops
    assert whole["lm_head"].weight_bytes == once["lm_head"].weight_bytes
    assert whole["down_proj"].launches == 4


def test_pieces_hold_every_token_and_every_pair_once() -> None:
    """However batch and prompt are cut, pieces times their size are all tokens, at their mean context."""
    for batch, new in ((1, 2000), (64, 100), (3, 4096), (1, 512)):
        work = prefill(batch, new, 7)
        piece, count = work.pieces(512.0)
        assert piece.tokens <= 512.0
        np.testing.assert_allclose(piece.tokens * count, work.tokens)
        np.testing.assert_allclose(piece.past + piece.new / 2.0, work.past + work.new / 2.0)


def test_attention_runs_on_vector_lanes_but_for_nvidia() -> None:
    """llama.cpp has matrix kernels of attention for CUDA alone."""
    units = {
        gpu: _prompt("llama-2-7b", gpu, "llama.cpp", 512)["attention"].unit for gpu in ("rtx-3090", "radeon-8060s")
    }
    assert units == {"rtx-3090": "wide", "radeon-8060s": "vector"}


def _experts(engine: str, batch: int, **more: object):
    given = {"weights": "fp8", "kv": "fp16", "gpu": "h200-sxm", "tp": 2, "n": 2} | more
    scenario = Scenario(model="qwen3-235b-a22b", engine=engine, batch=batch, **given)
    return next(op for op in setup(scenario).ops(decode(batch, 1024)) if op.name == "expert_down")


def test_a_layout_for_the_worst_case_reads_every_expert() -> None:
    """DeepGEMM's contiguous layout walks a tile of all 128 experts at any batch; not in BF16, nor at tp=8."""
    one = 1536 * 4096 / 2.0
    for batch in (1, 4, 64):
        assert _experts("vllm", batch).weight_bytes == 128 * one
        assert _experts("sglang", batch).weight_bytes < 128 * one
    assert _experts("vllm", 4, weights="bf16").weight_bytes < 128 * one * 2
    assert _experts("vllm", 4, tp=8, n=8).weight_bytes < 128 * one / 4


def test_half_of_an_experts_last_tile_is_empty() -> None:
    """16 tokens of an expert in a tile of 64 fill a quarter of it; 64 need one and a half on average; vectors none."""
    moe = {n: _prompt("gpt-oss-120b", "radeon-8060s", "llama.cpp", n)["expert_down [1]"].filled for n in (8, 512)}
    assert moe[8] == 1.0
    np.testing.assert_allclose(moe[512], 0.25, rtol=0.01)
    np.testing.assert_allclose(
        _prompt("gpt-oss-20b", "radeon-8060s", "llama.cpp", 512)["expert_down [1]"].filled, 2 / 3
    )


def test_unpacking_takes_ten_operations_a_weight() -> None:
    """On the A100 int4 and int8 weights stream at the same weights/s: that of its vector lanes over ten operations."""
    chip, table = ACCELERATORS["a100-sxm-80gb"], GENERATIONS["Ampere"].file.matmul
    for name, size in (("int4-weights", 0.5 + 2.0 / 128), ("int8-weights", 1.0)):
        weights_per_s = chip.memory_bytes_per_s * table[name].memory_efficiency / size
        np.testing.assert_allclose(chip.peak_flops["fp32"] / weights_per_s, UNPACK_OPS, rtol=0.06)


def test_own_products_are_measured_against_the_vendors() -> None:
    """llama.cpp on Strix Halo reaches its share of 36.9 of 59.4 TFLOP/s; a chip that nobody measured, of the usual."""
    own = ENGINES["llama.cpp"].linear_efficiency
    for gpu, vendor in (
        ("radeon-8060s", 36.9 / 59.4),
        ("rtx-3090", GENERATIONS["Ampere"].file.matmul["16-bit"].efficiency),
    ):
        chip = ACCELERATORS[gpu]
        np.testing.assert_allclose(tuned(ENGINES["llama.cpp"], chip, Precision("bf16")).linear_efficiency, own * vendor)
