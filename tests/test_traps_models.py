"""Traps in describing models: head sizes, windows, gates, latent caches, experts, embeddings, totals."""

from __future__ import annotations

import pytest

from perfmodel import MODELS, Scenario, decode, estimate, parameters, prefill
from perfmodel.blocks import blocks
from perfmodel.memory import cache_bytes, cache_per_token
from tests.test_traps import close, dims, ops


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
