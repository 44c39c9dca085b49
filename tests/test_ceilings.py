"""What nothing exceeds: the bounds of every step, the speed-up of devices, what lower precision gains."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel import ACCELERATORS, ENGINES, MODELS, Scenario, Workload, decode, estimate, parameters, prefill
from perfmodel.blocks import blocks
from perfmodel.estimate import setup
from perfmodel.memory import device_bytes
from perfmodel.ops import Group
from perfmodel.precision import native_dtype
from perfmodel.setup import Setup
from perfmodel.step import Step
from tests.test_laws import PHASES, SAMPLE, real

CHIPS = tuple(
    name for name, c in ACCELERATORS._loaded[0].items() if c.memory_bytes_per_s > 0 and native_dtype(c, "bf16")
)


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
                # A compute-bound product loses what the engine's dequantisation costs on this chip, and never more.
                for work in (decode(1, 400), decode(64, 400), prefill(4, 600)):
                    whole = full.run(work)
                    computes = work.batch > 1 or whole.regime == "compute"
                    allowed = 1.0 / small.engine.dequant_efficiency if computes else 1.0
                    assert small.run(work).time_s <= whole.time_s * allowed * (1 + 1e-12), (gpu, model, engine)


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
