"""Where FLOPs and bytes go: the articles' numbers on real model specs, and the identities behind the figures."""

import json
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

from perfmodel import MODELS, Scenario, decode, estimate, prefill
from perfmodel.blocks import parameters
from perfmodel.breakdown import (
    attention_curve,
    cache_curve,
    classic_differences,
    fit_map,
    flops_answer,
    flops_by_group,
    flops_per_token_rules,
    generation,
    growth,
    kv_precisions,
    kv_variants,
    layer_groups,
    linear_multiples,
    memory_answer,
    model_ops,
    phases,
    scenario_map,
    time_by_group,
    total_flops,
    without_window,
)
from perfmodel.dimensions import Dimensions
from perfmodel.figures import flops, kv, memory
from perfmodel.formulas.flops import generation_flops
from perfmodel.memory import cache_bytes
from perfmodel.ops import Group

#: One of each kind: MHA, GQA, windows, MoE, MLA, sparse attention, state space, layers without attention or FFN.
KINDS = (
    "gpt-3-175b",
    "llama-3.1-8b",
    "mistral-7b-v0.1",
    "gemma-3-27b",
    "mixtral-8x7b",
    "deepseek-v3",
    "deepseek-v3.2",
    "jamba-1.5-mini",
    "nemotron-h-56b",
    "qwen3-next-80b-a3b",
)
#: GPT-3 has 2048 learned positions, so every scenario here is short.
LENGTHS = {"input": 1024, "output": 512}


def dims(model: str) -> Dimensions:
    """The dimensions of a model in the catalogue."""
    return MODELS[model].dimensions


def shares(model: str) -> dict[str, float]:
    """Shares of the linear FLOPs by role."""
    multiples = linear_multiples(dims(model))
    return {name: value / sum(multiples.values()) for name, value in multiples.items()}


@pytest.mark.parametrize("model", ["gpt-3-175b", "opt-6.7b", "opt-66b"])
def test_classic_decoder_is_24_d2(model: str) -> None:
    """S36: the classic decoder costs 24 d^2 per layer and token; QKV 25 %, W_O 8.33 %, FFN 66.67 %."""
    np.testing.assert_allclose(sum(linear_multiples(dims(model)).values()), 24.0, rtol=1e-12)
    part = shares(model)
    np.testing.assert_allclose(part["Query"] + part["Key and value"], 0.25, rtol=1e-12)
    np.testing.assert_allclose([part["Output"], part["Feed-forward"]], [1 / 12, 2 / 3], rtol=1e-12)


def test_llama_2_7b_is_24_125_d2() -> None:
    """S37: SwiGLU with 11008 gives 24.125 d^2; shares 24.9, 8.3 and 66.8 %."""
    part = shares("llama-2-7b")
    np.testing.assert_allclose(sum(linear_multiples(dims("llama-2-7b")).values()), 24.125, rtol=1e-12)
    found = [part["Query"] + part["Key and value"], part["Output"], part["Feed-forward"]]
    np.testing.assert_allclose(found, [0.249, 0.083, 0.668], atol=5e-4)


def test_mistral_7b_is_26_d2() -> None:
    """S37: Mistral 7B has 26 d^2: q 7.7, kv 3.8, o 7.7, FFN 80.8 %; attention linears 19.2 %."""
    part = shares("mistral-7b-v0.1")
    np.testing.assert_allclose(sum(linear_multiples(dims("mistral-7b-v0.1")).values()), 26.0, rtol=1e-12)
    found = [part[name] for name in ("Query", "Key and value", "Output", "Feed-forward")]
    np.testing.assert_allclose(found, [0.077, 0.038, 0.077, 0.808], atol=5e-4)
    np.testing.assert_allclose(1.0 - part["Feed-forward"], 0.192, atol=5e-4)


def test_attention_grows_with_the_context() -> None:
    """S38: at d = 4096 scores and values are 8.3 % of the linears at 2048, 16.7 % at 4096, equal at T = 6d = 24,576."""
    curve = attention_curve(dims("opt-6.7b"))
    assert dims("opt-6.7b").hidden == 4096
    np.testing.assert_allclose([curve.at(2048), curve.at(4096)], [1 / 12, 1 / 6], rtol=1e-9)
    np.testing.assert_allclose(curve.equal or 0.0, 24_576, rtol=1e-9)
    np.testing.assert_allclose(attention_curve(dims("gpt-3-175b")).equal or 0.0, 6 * 12_288, rtol=1e-9)


def test_a_window_caps_attention() -> None:
    """S45: beyond the window the cost of attention stays where it is, so it never reaches the linears."""
    curve = attention_curve(dims("mistral-7b-v0.1"))
    assert curve.equal is None
    np.testing.assert_allclose(curve.at(1e6), 4 * 4096 / (26 * 4096), rtol=1e-9)


def test_cache_saves_half_the_tokens() -> None:
    """S39: where linears dominate, generating T tokens without a cache costs T/2 times as much: 1024x at 2048."""
    without, cached = (generation_flops(32.0, 1e6, 2048.0, kept) for kept in (False, True))
    np.testing.assert_allclose(without / cached, 1024, rtol=2e-3)


def test_generation_is_the_formula() -> None:
    """S39: the operators' sum over a whole generation is the closed form, but for the LM head and vector work."""
    d = dims("opt-6.7b").model_copy(update={"vocab": 1})
    # From the second token on: the first one's prompt is a single token in both.
    found = generation(Scenario(model="custom", dimensions=d, input=1, output=1000))
    closed = [generation_flops(float(d.layers), float(d.hidden), 1000.0, cached) for cached in (True, False)]
    np.testing.assert_allclose([found.cached[-1], found.uncached[-1]], closed, rtol=1e-3)


def test_generation_sums_exactly() -> None:
    """The cumulated curves are plain sums of passes, and the sampled long curve agrees with the full one."""
    d = dims("gemma-3-27b")
    found = generation(Scenario(model="gemma-3-27b", input=1000, output=300))
    passes = [total_flops(model_ops(d, prefill(1, 1000 + i))) for i in range(300)]
    steps = [passes[0], *(total_flops(model_ops(d, decode(1, 999 + i))) for i in range(1, 300))]
    np.testing.assert_allclose(found.uncached, np.cumsum(passes), rtol=1e-12)
    np.testing.assert_allclose(found.cached, np.cumsum(steps), rtol=1e-12)
    sampled = generation(Scenario(model="gemma-3-27b", input=1000, output=3000))
    np.testing.assert_allclose(np.interp(300, sampled.tokens, sampled.uncached), found.uncached[-1], rtol=1e-3)


def test_gpt_3_cache() -> None:
    """S42: GPT-3 keeps 4,718,592 B per token, 9.66 GB at 2048 tokens; the article's 5.6 GB are 1187 tokens."""
    own = next(v for v in kv_variants(Scenario(model="gpt-3-175b", input=1024, output=1024)) if v.own)
    assert own.bytes_per_token == 4_718_592
    np.testing.assert_allclose(own.cache_bytes, 9_663_676_416, rtol=1e-12)
    np.testing.assert_allclose(5.6e9 / own.bytes_per_token, 1187, rtol=1e-3)


@pytest.mark.parametrize(
    ("model", "token", "factor"),
    [
        ("llama-2-7b", 524_288, 1),
        ("llama-2-13b", 819_200, 1),
        ("codellama-34b", 196_608, 8),
        ("llama-2-70b", 327_680, 8),
        ("mistral-7b-v0.1", 131_072, 4),
        ("falcon-7b", 8_192, 71),
    ],
)
def test_shared_heads_divide_the_cache(model: str, token: int, factor: int) -> None:
    """S43, S44: the cache is linear in the KV heads: H/K times smaller; 8 for Llama 2 70B and 34B (not 5), 1 for 7B."""
    variants = {v.name: v for v in kv_variants(Scenario(model=model, **LENGTHS))}
    own = next(v for v in variants.values() if v.own)
    assert (own.bytes_per_token, own.factor) == (token, factor)
    assert variants["MHA"].bytes_per_token == token * factor
    assert variants["MQA"].factor == dims(model).heads


def test_latent_cache() -> None:
    """Traps 2: DeepSeek-V3 keeps 61 x 576 x 2 = 70,272 B per token; with keys and values of its own heads 71x that."""
    own = next(v for v in kv_variants(Scenario(model="deepseek-v3")) if v.own)
    assert (own.name, own.bytes_per_token) == ("MLA", 70_272)
    np.testing.assert_allclose(own.factor, 128 * (128 + 64 + 128) / 576, rtol=1e-12)


def test_window_caps_the_cache() -> None:
    """S45: Mistral 7B v0.1 never keeps more than 4096 x 131,072 B = 536.9 MB; Llama 2 7B has no window (E13)."""
    d = dims("mistral-7b-v0.1")
    assert [cache_bytes(d, t, 2.0) for t in (4096.0, 30_000.0)] == [536_870_912, 536_870_912]
    assert cache_bytes(without_window(d), 30_000.0, 2.0) == 30_000 * 131_072
    assert without_window(dims("llama-2-7b")) == dims("llama-2-7b")


@pytest.mark.parametrize("model", ["llama-2-7b", "mistral-7b-v0.1", "mixtral-8x7b"])
def test_depth_doubles_width_quadruples(model: str) -> None:
    """S46, S47: depth x 2 doubles the parameters, width x 2 quadruples them; (L/4, 2d) keeps them with L/4 kernels."""
    deep, wide, traded = growth(dims(model))
    assert (deep.parameters, deep.flops, deep.cache, deep.kernels) == (2, 2, 2, 2)
    np.testing.assert_allclose([wide.parameters, wide.flops, traded.parameters], [4, 4, 1], rtol=1e-3)
    assert (wide.cache, wide.kernels, traded.kernels, traded.cache) == (2, 1, 0.25, 0.5)


def test_kv_precision_divides_the_cache() -> None:
    """S15: bytes per token x bits/16: fp8 halves the cache; 4-bit values with an 8-bit scale per 16 give 3.56x."""
    found = kv_precisions(estimate(Scenario(batch=8)))
    smaller = [found["bf16"].cache / found[name].cache for name in ("fp8", "fp4")]
    np.testing.assert_allclose(smaller, [2.0, 16 / 4.5], rtol=1e-12)
    assert found["bf16"].largest_batch < found["fp8"].largest_batch < found["fp4"].largest_batch


@pytest.mark.parametrize("model", KINDS)
def test_parts_add_up(model: str) -> None:
    """By block, by layer, by difference from the rule: every split of the FLOPs adds up to the same total."""
    scenario = Scenario(model=model, batch=3, **LENGTHS)
    report, both = estimate(scenario), phases(scenario)
    np.testing.assert_allclose([p.flops for p in both], [report.flops_prefill, report.flops_decode], rtol=1e-12)
    rules, d = flops_per_token_rules(scenario), dims(model)
    gap = rules.total("decode") - rules.total("classic")
    np.testing.assert_allclose(sum(classic_differences(scenario).values()), gap, rtol=1e-9, atol=1.0)
    np.testing.assert_allclose(rules.total("params"), 2.0 * parameters(d).active, rtol=1e-12)
    for phase in both:
        inside = sum(sum(layer.values()) for layer in layer_groups(scenario, phase.name.lower()))
        outside = flops_by_group(op for op in phase.ops if op.name in ("lm_head", "final_norm"))
        summed = inside + sum(outside.values()) / phase.work.tokens
        np.testing.assert_allclose(summed, phase.flops_per_token, rtol=1e-12)
    np.testing.assert_allclose(sum(time_by_group(report.decode).values()), report.decode_step_s, rtol=1e-9)


@pytest.mark.parametrize("model", KINDS)
def test_prefill_follows_two_p(model: str) -> None:
    """Traps 10: without embedding, head and attention scores, a prompt token costs 2 x active parameters within 1 %."""
    scenario, d = Scenario(model=model, **LENGTHS), dims(model)
    first, p = phases(scenario)[0], parameters(d)
    linear = first.groups[Group.PROJECTIONS] + first.groups[Group.FFN]
    np.testing.assert_allclose(linear / first.work.tokens, 2.0 * (p.attention + p.ffn_active), rtol=0.01)


def test_local_layers_cost_less() -> None:
    """Gemma 3: at 8192 tokens a local layer (window 1024) scores an eighth of what every sixth, global layer does."""
    layers = layer_groups(Scenario(model="gemma-3-27b", input=8192), "decode")
    cost = [layer[Group.ATTENTION] for layer in layers]
    assert len(layers) == 62
    assert [i for i, c in enumerate(cost) if c > 2 * cost[0]] == list(range(5, 62, 6))


@pytest.mark.parametrize("model", ["llama-3.1-8b", "gemma-3-27b", "jamba-1.5-mini", "deepseek-v3"])
def test_map_agrees_with_memory(model: str) -> None:
    """The map's point at the scenario is the report's memory, and its edge is the report's largest batch."""
    report = estimate(Scenario(model=model, gpu="b200", n=8, tp=8, batch=16, input=1500, output=256))
    memory = report.memory
    found = fit_map(report.setup, np.array([16.0]), np.array([1756.0]), 256.0)
    np.testing.assert_allclose(found.used[0, 0], memory.total / memory.capacity, rtol=1e-12)
    assert int(found.largest[0]) == memory.largest_batch


def test_curves_pass_through_the_scenario() -> None:
    """Cache against context and against batch both pass through the scenario's own cache; windows bend the first."""
    report = estimate(Scenario(model="gemma-3-27b", batch=4, input=20_000, output=100))
    for axis, now in (("tokens", 20_100), ("sequences", 4)):
        curve = cache_curve(report, axis)
        assert curve.now == now
        np.testing.assert_allclose(np.interp(now, curve.x, curve.lines["This model"]), report.memory.cache, rtol=1e-6)
        assert np.all(curve.lines["Without the window"] >= 0.999 * curve.lines["This model"])


@pytest.mark.parametrize("model", KINDS)
@pytest.mark.parametrize("gpu", ["h100-sxm", "t4"])
def test_figures_are_valid(model: str, gpu: str) -> None:
    """Whatever the kind of model, fitting or not, each figure passes Plotly's validation and has words beside it."""
    scenario = Scenario(model=model, gpu=gpu, batch=2, kv="int8", **LENGTHS)
    report, both, d = estimate(scenario), phases(scenario), dims(model)
    rules, curve, found = flops_per_token_rules(scenario), attention_curve(d), generation(scenario)
    layers, rows, variants, kept = (
        layer_groups(scenario, "prefill"),
        growth(d),
        kv_variants(scenario),
        kv_precisions(report),
    )
    cache = [cache_curve(report, axis) for axis in ("tokens", "sequences")]
    drawn = {
        flops.describe_blocks(report, both): flops.blocks_figure(report, both),
        flops.describe_rules(rules): flops.rules_figure(rules),
        flops.describe_layers(layers): flops.layers_figure(layers),
        flops.describe_context(curve, 2000): flops.context_figure(curve, d.hidden, 2000, d.max_context),
        flops.describe_generation(found): flops.generation_figure(found),
        flops.describe_shape(rows): flops.shape_figure(rows),
        kv.describe_variants(variants): kv.variants_figure(variants),
        kv.describe_precision(kept): kv.precision_figure(kept, scenario.kv),
        **{kv.describe_curve(c): kv.curve_figure(c) for c in cache},
        memory.describe_stack(report.memory): memory.stack_figure(report.memory),
        memory.describe_fit(report.memory): memory.fit_figure(scenario_map(report), report.memory),
    }
    assert len(drawn) == 12
    for words, figure in drawn.items():
        assert words.endswith(".")
        assert "nan" not in words
        assert "NaN" not in json.dumps(figure)
        go.Figure(figure)
    assert all(
        line.startswith("- ") for line in flops.difference_text(classic_differences(scenario), 1.0, d).splitlines()
    )
    assert flops_answer(report).endswith(".")
    assert memory_answer(report).endswith(".")


def test_no_attention_at_all() -> None:
    """A pure state-space model: no KV cache, no variants, a cost per token that no context changes."""
    sizes = {"layers": 4, "hidden": 256, "vocab": 1000, "ffn": 1024, "mixers": "S"}
    d = Dimensions(**sizes, ssm_heads=8, ssm_head_dim=64, ssm_state=64, ssm_groups=1, ssm_conv=4)
    scenario = Scenario(model="custom", dimensions=d, input=1000, output=10)
    report, found = estimate(scenario), generation(scenario)
    assert kv_variants(scenario) == ()
    assert attention_curve(d).equal is None
    assert "does not depend" in flops.describe_context(attention_curve(d), 1000)
    np.testing.assert_allclose(np.diff(found.cached), found.cached[1] - found.cached[0], rtol=1e-12)
    held = cache_curve(report, "tokens").lines["This model"]
    np.testing.assert_allclose(held, report.memory.cache, rtol=1e-12)
    go.Figure(kv.curve_figure(cache_curve(report, "tokens")))


def test_an_unpublished_memory_fits_nothing() -> None:
    """A chip whose capacity nobody published: the map says unknown (NaN) and never "fits"."""
    report = estimate(Scenario())
    unknown = replace(report.setup.chip, memory_bytes=float("nan"))
    found = fit_map(replace(report.setup, chip=unknown), np.array([1.0]), np.array([1024.0]))
    assert not np.any(found.used <= 1.0)
