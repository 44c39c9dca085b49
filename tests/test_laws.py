"""Laws of the engine: identities that hold for every model, chip and engine, whatever the constants."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from perfmodel import ENGINES, MODELS, Scenario, Workload, decode, estimate, parameters, prefill, sweep
from perfmodel.attention import DECODE_UP_TO
from perfmodel.dimensions import Dimensions
from perfmodel.estimate import setup
from perfmodel.formulas.flops import causal_pairs, windowed_pairs
from perfmodel.memory import cache_bytes, cache_per_token, device_bytes
from perfmodel.ops import Op
from perfmodel.setup import Setup

FULL = Dimensions(layers=3, hidden=256, vocab=1000, heads=8, kv_heads=8, head_dim=32, ffn=1024, gated=False)
#: One of each kind of layer.
KINDS = {
    "mha": FULL,
    "gqa": FULL.model_copy(update={"kv_heads": 2, "gated": True}),
    "mqa": FULL.model_copy(update={"kv_heads": 1}),
    "window": FULL.model_copy(update={"mixers": "LLG", "window": 5}),
    "moe": FULL.model_copy(update={"experts": 8, "top_k": 2, "expert_ffn": 512, "shared_ffn": 512, "dense_layers": 1}),
    "learned-positions": FULL.model_copy(update={"position_rows": 4096, "qkv_bias": True, "norm_bias": True}),
    "mamba": FULL.model_copy(
        update={"mixers": "MG", "ssm_head_dim": 512, "ssm_state": 16, "ssm_conv": 4, "ssm_dt_rank": 16}
    ),
    "mamba-2": FULL.model_copy(
        update={"mixers": "SG-", "ssm_heads": 8, "ssm_head_dim": 64, "ssm_state": 64, "ssm_groups": 1, "ssm_conv": 4}
    ),
    "deltanet": FULL.model_copy(
        update={"mixers": "DDG", "ssm_heads": 8, "ssm_head_dim": 64, "ssm_state": 64, "ssm_groups": 4, "ssm_conv": 4}
    ),
}
MLA = FULL.model_copy(update={"kv_heads": 0, "q_lora": 96, "kv_lora": 64, "rope_dim": 16, "nope_dim": 32, "v_dim": 32})
SPARSE = MLA.model_copy(update={"index_heads": 4, "index_dim": 32, "index_top_k": 5})

#: Real models, one of each kind.
SAMPLE = (
    "llama-2-7b",
    "llama-3.1-8b",
    "gpt-2-xl",
    "falcon-7b",
    "gemma-3-27b",
    "mistral-7b-v0.1",
    "mixtral-8x7b",
    "gpt-oss-120b",
    "deepseek-v3",
    "deepseek-v3.2",
    "nemotron-h-56b",
    "jamba-1.5-mini",
    "qwen3-next-80b-a3b",
)
PHASES = (prefill(1, 600), prefill(4, 100, 400), prefill(2, DECODE_UP_TO, 300), decode(1, 500), decode(64, 500))


def own(d: Dimensions, **fields: Any) -> Setup:
    """The setup of a model of our own."""
    return setup(Scenario(model="custom", dimensions=d, **fields))


@cache
def real(model: str, **fields: Any) -> Setup:
    """The setup of a model of the catalogue, whatever fits."""
    return setup(Scenario(model=model, input=64, output=64, **fields))


def same_ops(many: tuple[Op, ...], single: list[tuple[Op, ...]]) -> None:
    """Check that the FLOPs of each operator of one pass are the sum over the other passes."""
    for index, op in enumerate(many):
        assert {ops[index].name for ops in single} == {op.name}
        np.testing.assert_allclose(
            op.flops * op.count,
            sum(ops[index].flops * ops[index].count for ops in single),
            rtol=1e-12,
            err_msg=f"FLOPs of {op.name}",
        )


# One workload


@pytest.mark.parametrize("past", [0, 3, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_prefill_is_the_sum_of_decodes(kind: str, past: int) -> None:
    """FLOPs of prefill(n) behind p tokens are those of decode(p) + ... + decode(p + n - 1), operator by operator."""
    run, n = own(KINDS[kind]), 12
    whole = run.ops(Workload(3.0, float(n), float(past), logits=float(n)))
    same_ops(whole, [run.ops(decode(3, past + t)) for t in range(n)])


@pytest.mark.parametrize("dimensions", [MLA, SPARSE], ids=["mla", "sparse"])
def test_prefill_is_the_sum_of_decodes_for_latent_attention(dimensions: Dimensions) -> None:
    """Passes that attend to the latent obey the same law; longer ones expand it, and all the rest obeys it too."""
    run, n = own(dimensions), DECODE_UP_TO
    same_ops(run.ops(Workload(2.0, float(n), 9.0, logits=float(n))), [run.ops(decode(2, 9 + t)) for t in range(n)])
    long = [op for op in run.ops(Workload(2.0, 20.0, 9.0, logits=20.0)) if op.name not in ("kv_up", "attention")]
    singles = [
        tuple(o for o in run.ops(decode(2, 9 + t)) if o.name not in ("attention", "absorb_query", "expand_value"))
        for t in range(20)
    ]
    same_ops(tuple(long), singles)


@pytest.mark.parametrize("kind", [*KINDS, "mla", "sparse"])
def test_a_prefill_in_chunks_costs_the_same_flops(kind: str) -> None:
    """Two chunks have the FLOPs of the whole prompt, except for the latent cache that a chunk expands once more."""
    run = own(KINDS.get(kind) or {"mla": MLA, "sparse": SPARSE}[kind])
    whole = run.ops(Workload(2.0, 64.0, 0.0, logits=64.0))
    chunks = [run.ops(Workload(2.0, 24.0, 0.0, logits=24.0)), run.ops(Workload(2.0, 40.0, 24.0, logits=40.0))]
    keep = [i for i, op in enumerate(whole) if op.name != "kv_up"]
    same_ops(tuple(whole[i] for i in keep), [tuple(ops[i] for i in keep) for ops in chunks])


# A number and an array are one path


@pytest.mark.parametrize("engine", list(ENGINES))
@pytest.mark.parametrize("model", SAMPLE)
def test_array_equals_loop(model: str, engine: str) -> None:
    """A grid over batch (B,1) and past (1,C) holds exactly what a loop over its points finds, shares included."""
    run = real(model, engine=engine)
    batch, past = np.array([[1.0], [7.0], [300.0]]), np.array([[0.0, 500.0, 900.0]])
    for new in (1.0, 5.0, 60.0):
        grid = run.run(Workload(batch, new, past))
        assert grid.time_s.shape == (3, 3)
        for i, j in np.ndindex(3, 3):
            point = run.run(Workload(float(batch[i, 0]), new, float(past[0, j])))
            np.testing.assert_allclose(grid.time_s[i, j], point.time_s, rtol=1e-12)
            np.testing.assert_allclose(grid.parts_s[..., i, j], point.parts_s, rtol=1e-12, atol=1e-18)
            np.testing.assert_allclose(grid.shares[:, i, j], point.shares, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("attention", ["engine", "unfused", "flash", "split"])
@pytest.mark.parametrize("model", SAMPLE)
def test_array_equals_loop_over_new_tokens(model: str, attention: str) -> None:
    """Short and long passes in one grid each keep their own form (latent or expanded, few blocks or many)."""
    run = real(model, attention=attention)
    new = np.array([1.0, float(DECODE_UP_TO), float(DECODE_UP_TO + 1), 500.0])
    grid = run.run(Workload(2.0, new, 100.0))
    points = [run.run(Workload(2.0, float(n), 100.0)) for n in new]
    np.testing.assert_allclose(grid.time_s, [p.time_s for p in points], rtol=1e-12)
    np.testing.assert_allclose(grid.totals_s, np.transpose([p.totals_s for p in points]), rtol=1e-12)


@pytest.mark.parametrize("model", ["llama-3.1-8b", "mixtral-8x7b", "deepseek-v3"])
def test_sweep_equals_estimate(model: str) -> None:
    """`sweep` and `estimate` say the same prefill, step and memory for the same scenario."""
    scenario = Scenario(model=model, n=8, tp=8, output=200)
    found = sweep(scenario, batch=[1, 32], input=[4, 3000])
    for index, (batch, length) in enumerate(((1, 4), (32, 3000))):
        report = estimate(scenario.change(batch=batch, input=length))
        for key, value in (
            ("prefill_s", report.ttft_s),
            ("decode_step_s", report.decode_step_s),
            ("memory_bytes", report.memory.total),
        ):
            np.testing.assert_allclose(found[key][index], value, rtol=1e-12, err_msg=key)
        # The sweep takes the mean step for the whole generation.
        np.testing.assert_allclose(found["e2e_s"][index], report.e2e_s, rtol=1e-4)


# FLOPs and bytes


def expected_prefill_flops(d: Dimensions, batch: int, tokens: int) -> float:
    """2 x active parameters without embedding and head x tokens, causal scores and values, head on one row each."""
    p = parameters(d)
    pairs = {"G": causal_pairs(tokens, 0.0), "L": windowed_pairs(tokens, 0.0, float(d.window))}
    scores = sum(4.0 * float(pairs[code]) * d.heads * d.head_dim for code, _ in d.pattern())
    return batch * (2.0 * (p.attention + p.ffn_active + p.norms) * tokens + scores + 2.0 * d.hidden * d.vocab)


def attends(d: Dimensions) -> bool:
    """Whether all layers are plain softmax attention."""
    return not d.kv_lora and set(d.mixers) <= {"G", "L"}


@pytest.mark.parametrize("model", [m for m in MODELS if attends(MODELS[m].dimensions)])
def test_prefill_flops(model: str) -> None:
    """Traps 10: prefill FLOPs are within 1 % of 2 x parameters x tokens + causal attention + LM head on needed rows."""
    d = MODELS[model].dimensions
    tokens = min(2048, d.max_context)
    found = setup(Scenario(model=model, input=1, output=1)).run(prefill(3, tokens)).total("flops")
    np.testing.assert_allclose(found, expected_prefill_flops(d, 3, tokens), rtol=0.01)


@pytest.mark.parametrize("model", SAMPLE)
def test_decode_flops_scale_with_the_batch(model: str) -> None:
    """Traps 16: eight sequences cost eight times the FLOPs of one."""
    one, eight = (float(real(model).run(decode(batch, 777)).total("flops")) for batch in (1, 8))
    np.testing.assert_allclose(eight, 8 * one, rtol=1e-12)


@pytest.mark.parametrize("kv", ["bf16", "fp8", "fp4"])
@pytest.mark.parametrize("model", ["llama-2-7b", "llama-3.1-8b", "falcon-7b", "mistral-7b-v0.1", "gemma-3-27b"])
def test_kv_is_read_once(model: str, kv: str) -> None:
    """Traps 11: at 32 k context decode reads the cache once: the attention kernel's KV bytes are the cache, no more."""
    run = setup(Scenario(model=model, engine="ideal", kv=kv, input=1, output=1))
    step, d = run.run(decode(2, 32_767)), run.model.dimensions
    attention = [t for t in step.timed if t.op.name.startswith("attention")]
    cached = 2 * float(cache_bytes(d, 32_768.0, run.precision.kv_bytes))
    np.testing.assert_allclose(sum(t.op.kv_bytes * t.op.count for t in attention), cached, rtol=1e-12)
    # What is beside it is one token written, and Q and O.
    beside = float(step.total("kv_bytes")) - cached
    np.testing.assert_allclose(beside, 2 * cache_per_token(d, run.precision.kv_bytes), rtol=1e-12)
    once = cached / run.chip.memory_bytes_per_s
    np.testing.assert_allclose(sum(t.memory_s for t in attention), once, rtol=0.02)


@pytest.mark.parametrize("work", PHASES, ids=str)
@pytest.mark.parametrize("model", SAMPLE)
def test_flash_never_moves_more(model: str, work: Workload) -> None:
    """Traps 5, 15: fused attention moves no more bytes than unfused, reads the same KV bytes, and is not slower."""
    steps = [real(model, attention=kernel).run(work) for kernel in ("split", "unfused")]
    flash, unfused = steps
    assert sum(op.moved_bytes * op.count for op in flash.ops) <= sum(op.moved_bytes * op.count for op in unfused.ops)
    np.testing.assert_allclose(flash.total("kv_bytes"), unfused.total("kv_bytes"), rtol=1e-12)
    np.testing.assert_allclose(flash.total("flops"), unfused.total("flops"), rtol=1e-12)
    assert flash.time_s <= unfused.time_s * (1 + 1e-12)


# Monotone


def rises(values: Any) -> bool:
    """Whether no value is below the one before it."""
    return bool(np.all(np.diff(values) >= -1e-12 * np.abs(values[1:])))


@pytest.mark.parametrize("engine", list(ENGINES))
@pytest.mark.parametrize("model", SAMPLE)
def test_more_work_is_never_faster(model: str, engine: str) -> None:
    """A larger batch, a longer context or a longer prompt never shortens a step."""
    run = real(model, engine=engine)
    batch = np.unique(np.round(np.geomspace(1, 4096, 60)))
    past = np.unique(np.round(np.geomspace(1, 200_000, 60)))
    assert rises(run.run(decode(batch, 500)).time_s)
    assert rises(run.run(decode(4, past)).time_s)
    assert rises(run.run(prefill(batch[:30], 300)).time_s)
    new = np.arange(DECODE_UP_TO + 1.0, 4000.0, 61.0)
    assert rises(run.run(prefill(1, new)).time_s)
    assert rises(run.run(prefill(1, np.arange(1.0, DECODE_UP_TO + 1.0))).time_s)


# Searches, checked on both sides


@pytest.mark.parametrize("layout", [{}, {"n": 4, "tp": 4}, {"n": 4, "dp": 4}, {"n": 4, "pp": 4}])
@pytest.mark.parametrize("model", ["llama-3.1-8b", "gemma-3-27b", "nemotron-h-56b", "deepseek-v2-lite"])
@pytest.mark.parametrize("engine", list(ENGINES))
def test_largest_batch_and_longest_context(model: str, engine: str, layout: dict[str, int]) -> None:
    """What is said to fit fits, one more does not: largest batch and longest context."""
    memory = estimate(Scenario(model=model, gpu="h200-sxm", engine=engine, batch=4, **({"tp": 1} | layout))).memory
    run, most, longest = memory.setup, memory.largest_batch, memory.longest_context

    def fits(batch: float, tokens: float, context: float) -> bool:
        return bool(device_bytes(run, batch, tokens, context) <= memory.capacity)

    assert memory.fits == fits(memory.batch, memory.input, memory.context)
    assert most == 0 or fits(most, memory.input, memory.context)
    assert not fits(most + 1, memory.input, memory.context)
    assert longest == 0 or fits(memory.batch, longest, longest)
    assert not fits(memory.batch, longest + 1, longest + 1)
