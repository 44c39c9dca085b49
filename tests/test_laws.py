"""Laws of the engine: identities and bounds that hold for every model, chip and engine, whatever the constants."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from perfmodel import ACCELERATORS, ENGINES, MODELS, Scenario, Workload, decode, estimate, parameters, prefill, sweep
from perfmodel.attention import DECODE_UP_TO
from perfmodel.blocks import blocks
from perfmodel.dimensions import Dimensions
from perfmodel.estimate import setup
from perfmodel.formulas.flops import causal_pairs, windowed_pairs
from perfmodel.memory import cache_bytes, cache_per_token, device_bytes
from perfmodel.ops import Group, Op
from perfmodel.precision import native_dtype
from perfmodel.setup import Setup
from perfmodel.step import Step

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
CHIPS = tuple(
    name for name, c in ACCELERATORS._loaded[0].items() if c.memory_bytes_per_s > 0 and native_dtype(c, "bf16")
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


# Bounds


def check_bounds(step: Step) -> None:
    """Check overlap <= realistic <= sequential, that parts sum to the time and shares to one."""
    assert step.overlapped_s <= step.time_s * (1 + 1e-12)
    assert step.time_s <= step.sequential_s * (1 + 1e-12)
    assert step.overlapped_s >= step.sequential_s / 5 * (1 - 1e-12)  # four resources and the host
    np.testing.assert_allclose(step.parts_s.sum(), step.time_s, rtol=1e-12)
    np.testing.assert_allclose(step.shares.sum(), 1.0, rtol=1e-12)
    assert np.all(step.parts_s >= 0)
    for timed, parts in zip(step.timed, step.parts_s.T, strict=True):
        np.testing.assert_allclose(timed.time_s, parts.sum(), rtol=1e-12)


def check_ceilings(run: Setup, step: Step) -> None:
    """Check that no device moves or computes more than its datasheet allows in the time of the step."""
    time, chip = float(step.time_s), run.chip
    moved = sum(float(step.total(name)) for name in ("weight_bytes", "activation_bytes", "kv_bytes"))
    assert moved / time <= chip.memory_bytes_per_s * (1 + 1e-12)
    for unit, peak in run.rates.flops.items():
        done = sum(float(op.flops * op.count) for op in step.ops if op.unit == unit)
        assert done / time <= peak * (1 + 1e-12)


@pytest.mark.parametrize("engine", list(ENGINES))
def test_bounds_for_every_model(engine: str) -> None:
    """Every model of the catalogue: bounds in order, parts add up, no ceiling exceeded, in each phase."""
    for model in MODELS:
        run = real(model, engine=engine)
        for work in PHASES:
            step = run.run(work)
            check_bounds(step)
            check_ceilings(run, step)


@pytest.mark.parametrize("engine", list(ENGINES))
def test_bounds_for_every_chip(engine: str) -> None:
    """Every accelerator of the catalogue: bounds in order, parts add up, no ceiling exceeded, in each phase."""
    for gpu in CHIPS:
        for model, layout in (("llama-3.1-8b", {"n": 8, "tp": 8}), ("mixtral-8x7b", {"n": 4, "tp": 4, "ep": 4})):
            run = real(model, engine=engine, gpu=gpu, **layout)
            for work in (PHASES[0], PHASES[-1]):
                step = run.run(work)
                check_bounds(step)
                check_ceilings(run, step)


@pytest.mark.parametrize("work", PHASES, ids=str)
def test_ideal_is_never_slower(work: Workload) -> None:
    """No engine beats the datasheet: ideal <= fused and ideal <= eager, for all models and chips."""
    runs = [("llama-3.1-8b", gpu) for gpu in CHIPS] + [(model, "h100-sxm") for model in MODELS]
    for model, gpu in runs:
        best, *others = (float(real(model, engine=e, gpu=gpu).run(work).time_s) for e in ("ideal", "fused", "eager"))
        assert all(best <= other * (1 + 1e-12) for other in others), (model, gpu)


@pytest.mark.parametrize("engine", list(ENGINES))
@pytest.mark.parametrize("devices", [1, 2, 8])
def test_tokens_per_second_within_the_bandwidth(devices: int, engine: str) -> None:
    """Traps 14: steps/s x (weights read + KV read) <= bandwidth x devices, from the report's own fields."""
    for model in ("llama-2-7b", "llama-3.1-8b", "qwen2.5-14b"):
        for batch in (1, 16, 256):
            scenario = Scenario(model=model, engine=engine, n=devices, tp=devices, batch=batch)
            report, p = estimate(scenario), parameters(MODELS[model].dimensions)
            context = scenario.input + scenario.output / 2
            read = report.weight_bytes - 2 * p.embedding + batch * context * report.kv_bytes_per_token
            assert read / report.decode_step_s <= 3.35e12 * devices


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


# Layouts


SHARDED = {Group.PROJECTIONS, Group.ATTENTION, Group.FFN, Group.HEAD, Group.STATE}


@pytest.mark.parametrize("tp", [2, 4, 8])
@pytest.mark.parametrize("model", ["llama-2-7b", "llama-3.1-8b", "gemma-3-27b", "mixtral-8x7b", "opt-66b"])
def test_shards_sum_to_the_whole(model: str, tp: int) -> None:
    """FLOPs, weight bytes and KV bytes of the tensor-parallel shards add up to those of one device."""
    whole, shard = (real(model, n=n, tp=n) for n in (1, tp))
    for work in PHASES:
        ops = [[op for op in run.ops(work) if op.group in SHARDED and op.name != "router"] for run in (whole, shard)]
        for field in ("flops", "weight_bytes", "kv_bytes"):
            one, part = (sum(float(getattr(op, field) * op.count) for op in each) for each in ops)
            np.testing.assert_allclose(part * tp, one, rtol=1e-12, err_msg=field)


@pytest.mark.parametrize("gpu", ["h100-sxm", "a100-sxm-80gb", "l40s", "mi300x", "a10"])
@pytest.mark.parametrize("engine", list(ENGINES))
@pytest.mark.parametrize("model", ["llama-2-7b", "llama-3.1-8b", "gemma-3-27b", "mixtral-8x7b", "deepseek-v3"])
def test_tensor_parallel_speedup(model: str, engine: str, gpu: str) -> None:
    """Traps 9: N devices are at most N times as fast, in every phase and at every batch."""
    for work in (*PHASES, decode(1, 0), decode(2048, 0), prefill(1, 20_000)):
        alone = real(model, engine=engine, gpu=gpu).run(work).time_s
        for tp in (2, 4, 8):
            assert alone / real(model, engine=engine, gpu=gpu, n=tp, tp=tp).run(work).time_s <= tp * (1 + 1e-9)


@pytest.mark.parametrize(
    "layout", [{"tp": 8, "ep": 8}, {"tp": 8, "ep": 2}, {"dp": 8, "ep": 8}, {"tp": 2, "dp": 4, "ep": 8}]
)
@pytest.mark.parametrize("model", ["mixtral-8x7b", "deepseek-v3", "qwen3-30b-a3b"])
def test_expert_parallel_speedup(model: str, layout: dict[str, int]) -> None:
    """Traps 9: with experts spread over 8 devices in any layout, the step is at most 8 times faster."""
    for batch in (8, 64, 1024):
        scenario = Scenario(model=model, engine="ideal", n=8, batch=batch, **({"tp": 1, "dp": 1} | layout))
        alone = setup(Scenario(model=model, engine="ideal")).run(decode(batch, 500)).time_s
        assert alone / setup(scenario).run(decode(batch, 500)).time_s <= 8 * (1 + 1e-9)


@pytest.mark.parametrize("model", ["mixtral-8x7b", "deepseek-v3", "qwen3-30b-a3b", "gpt-oss-120b"])
@pytest.mark.parametrize("ep", [2, 8])
def test_busiest_device_reads_whole_experts(model: str, ep: int) -> None:
    """DESIGN 4: the busiest device sets the time, and whatever is routed to it is at least one whole expert."""
    run = setup(Scenario(model=model, engine="ideal", n=ep, tp=ep, ep=ep))
    d = run.model.dimensions
    layers = sum(block.count for block in blocks(d) if getattr(block.ffn, "experts", 0))
    expert = (3 if d.gated else 2) * d.hidden * d.expert_ffn * run.precision.weight_bytes
    ops = run.ops(decode(1, 100))
    read = sum(
        float(op.weight_bytes * op.count)
        for op in ops
        if op.name.startswith(("expert_gate", "expert_up", "expert_down"))
    )
    assert read >= layers * expert * (1 - 1e-12)


@pytest.mark.parametrize("engine", list(ENGINES))
@pytest.mark.parametrize("model", ["llama-3.1-8b", "mixtral-8x7b", "nemotron-h-56b"])
def test_pipeline_does_not_shorten_a_token(model: str, engine: str) -> None:
    """Traps 9: stages split memory; a token still passes all layers, and pays for each hand-over."""
    for work in PHASES:
        alone = real(model, engine=engine).run(work).time_s
        times = [real(model, engine=engine, n=pp, pp=pp).run(work).time_s for pp in (2, 4, 8)]
        assert [alone, *times] == sorted([alone, *times])


@pytest.mark.parametrize("pp", [2, 3, 4, 7])
@pytest.mark.parametrize("model", ["llama-3.1-8b", "deepseek-v3", "gemma-3-27b"])
def test_fullest_stage_holds_its_share(model: str, pp: int) -> None:
    """The fullest pipeline stage holds at least its share of the weights and of the cache, and not all."""
    whole = estimate(Scenario(model=model, batch=8)).memory
    stage = estimate(Scenario(model=model, batch=8, n=pp, pp=pp)).memory
    for part in ("weights", "cache"):
        assert getattr(whole, part) / pp <= getattr(stage, part) * (1 + 1e-12) < getattr(whole, part)
    layers = MODELS[model].dimensions.layers
    np.testing.assert_allclose(stage.cache, whole.cache * -(-layers // pp) / layers, rtol=1e-12)


def test_busiest_replica_sets_the_time() -> None:
    """9 sequences on 8 replicas: one replica has 2, so prefill takes as long as 16 on 8 (memory already counts so)."""
    uneven, even = (setup(Scenario(n=8, tp=1, dp=8, batch=b)).run(prefill(b, 4096)).time_s for b in (9, 16))
    np.testing.assert_allclose(uneven, even, rtol=1e-12)


# Precision


@pytest.mark.parametrize("weights", ["fp8", "int8", "int4", "fp4"])
def test_quantised_is_never_slower(weights: str) -> None:
    """Fewer weight bytes never cost time: ideal in every phase, real engines wherever dequantising is hidden."""
    for gpu in CHIPS:
        for model in ("llama-3.1-8b", "mixtral-8x7b"):
            # Measured kernels pay a fixed time to convert activations, so small ones may lose: see the next test.
            for engine in (name for name in ENGINES if not ENGINES[name].kernel_table):
                full, small = (real(model, gpu=gpu, engine=engine, weights=w) for w in ("bf16", weights))
                # A compute-bound product loses what the engine's dequantisation costs, and never more.
                loss = ENGINES[engine].dequant_efficiency
                for work, allowed in ((decode(1, 400), 1.0), (decode(64, 400), 1 / loss), (prefill(4, 600), 1 / loss)):
                    assert small.run(work).time_s <= full.run(work).time_s * allowed * (1 + 1e-12), (gpu, model, engine)


@pytest.mark.parametrize("weights", ["fp8", "int4"])
def test_quantised_weights_pay_on_a_large_model(weights: str) -> None:
    """S14: with measured kernels too, decode at batch 1 of a 70B model gains most of the bytes that are saved."""
    for gpu in ("a100-sxm-80gb", "h100-sxm", "b200-sxm"):
        full, small = (real("llama-3.1-70b", gpu=gpu, weights=w).run(decode(1, 400)).time_s for w in ("bf16", weights))
        assert full / small > 1.4


@pytest.mark.parametrize("kv", ["fp8", "int8", "int4", "fp4"])
@pytest.mark.parametrize("model", SAMPLE)
def test_quantised_cache_is_never_slower(model: str, kv: str) -> None:
    """A smaller cache never costs time or memory."""
    for work in PHASES:
        assert real(model, kv=kv).run(work).time_s <= real(model).run(work).time_s * (1 + 1e-12)
    small, full = (float(device_bytes(real(model, kv=k), 8.0, 64.0, 4000.0)) for k in (kv, "bf16"))
    assert small <= full


@pytest.mark.parametrize(
    ("gpu", "weights", "missing"),
    [
        ("a100-sxm-80gb", "fp8", "fp8"),
        ("t4", "bf16", "bf16"),
        ("v100-sxm-16gb", "bf16", "bf16"),
        ("h100-sxm", "fp4", "fp4"),
    ],
)
def test_fallbacks_are_said(gpu: str, weights: str, missing: str) -> None:
    """A type that the chip has no units for is priced at another one, and a note names chip and type."""
    report = estimate(Scenario(model="llama-3.2-1b", gpu=gpu, weights=weights))
    said = [note.text for note in report.notes if f"no {missing} units" in note.text]
    assert said
    assert ACCELERATORS[gpu].name in said[0]
    # The replacement is a unit that the chip has.
    assert missing not in ACCELERATORS[gpu].peak_flops
    assert report.setup.rates.linear in ACCELERATORS[gpu].peak_flops


@pytest.mark.parametrize("gpu", ["h100-sxm", "b200-sxm"])
def test_what_is_native_needs_no_note(gpu: str) -> None:
    """bf16 and fp8 on chips that have both: no note about replaced types."""
    for weights in ("bf16", "fp8"):
        assert not [note for note in estimate(Scenario(gpu=gpu, weights=weights)).notes if note.about == "math"]


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
