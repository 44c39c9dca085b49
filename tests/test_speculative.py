"""Speculative decoding: the laws of the published formula, and of a round of draft and verification in the engine."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from perfmodel import Scenario, estimate, from_query, sweep
from perfmodel.codec import from_row
from perfmodel.estimate import setup
from perfmodel.explain import explain_metric
from perfmodel.formulas.speculation import expected_tokens, speculative_speedup
from perfmodel.layouts import layouts
from perfmodel.memory import cache_bytes, device_weight_bytes
from perfmodel.model import MODELS
from perfmodel.speculative import draft_width, prediction_head
from perfmodel.workload import Workload, decode

BASE = Scenario(model="llama-3.1-8b", input=1024, output=512, engine="ideal")
DRAFTS = ("ngram", "mtp", "llama-3.2-1b")
every_draft = pytest.mark.parametrize("draft", DRAFTS)


@pytest.mark.parametrize(("accept", "drafted"), [(0.0, 4), (0.3, 1), (0.8, 7), (0.99, 30)])
def test_expected_tokens_is_the_geometric_sum(accept: float, drafted: int) -> None:
    """The tokens of a round are 1 + a + ... + a^gamma: each term is the chance that one more draft survives."""
    np.testing.assert_allclose(expected_tokens(accept, drafted), sum(accept**k for k in range(drafted + 1)), rtol=1e-12)


def test_certain_acceptance_gives_the_whole_draft() -> None:
    """At an acceptance of 1 a round gives gamma + 1 tokens, the limit of the quotient."""
    np.testing.assert_allclose(expected_tokens(1.0, np.arange(65.0)), np.arange(65.0) + 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("accept", "drafted", "cost", "published"),
    [
        (0.6, 2, 0.0, 1.96),
        (0.7, 3, 0.0, 2.53),
        (0.8, 2, 0.0, 2.44),
        (0.8, 5, 0.0, 3.69),
        (0.9, 2, 0.0, 2.71),
        (0.9, 10, 0.0, 6.86),
    ],
)
def test_speedup_of_the_paper(accept: float, drafted: int, cost: float, published: float) -> None:
    """Leviathan et al. 2023, table 1: the speed-up for a draft that costs nothing, to the printed digits."""
    assert round(float(speculative_speedup(accept, float(drafted), cost)), 2) == published


def test_deepseek_reports_its_prediction_head() -> None:
    """DeepSeek-V3 report, section 5.4.3: 85 to 90 % of the second tokens accepted, 1.8 times the tokens per second."""
    low, high = expected_tokens(0.85, 1.0), expected_tokens(0.90, 1.0)
    assert (float(low), float(high)) == pytest.approx((1.85, 1.90))
    s = Scenario(model="deepseek-v3", gpu="h200", n=8, tp=8, weights="fp8", batch=1, draft="mtp", spec=1, accept=0.875)
    gain = estimate(s.change(draft="none")).tpot_s / estimate(s).tpot_s
    # At batch 1 the second token routes to experts of its own, so its verification is not free.
    assert 1.0 < gain < 1.9


@every_draft
def test_nothing_drafted_is_off(draft: str) -> None:
    """A round that drafts nothing is a plain step, in time, memory and notes."""
    plain, off = estimate(BASE), estimate(BASE.change(draft=draft, spec=0))
    assert off.to_dict() == plain.to_dict()


@every_draft
def test_nothing_accepted_never_pays(draft: str) -> None:
    """At an acceptance of 0 every round gives one token and costs at least a step."""
    assert estimate(BASE.change(draft=draft, accept=0.0)).tpot_s >= estimate(BASE).tpot_s


@every_draft
def test_everything_accepted_is_the_bound(draft: str) -> None:
    """At an acceptance of 1 tokens come at most gamma + 1 times faster, and faster than at any lower one."""
    best = estimate(BASE.change(draft=draft, accept=1.0))
    assert estimate(BASE).tpot_s / best.tpot_s <= 5.0 * (1.0 + 1e-9)
    assert best.tpot_s < estimate(BASE.change(draft=draft, accept=0.9)).tpot_s


def test_verifying_is_nearly_free_while_memory_bound() -> None:
    """On the ideal engine at batch 1 a lookup of 4 tokens gains what the formula says: weights are read once."""
    gain = estimate(BASE).tpot_s / estimate(BASE.change(draft="ngram")).tpot_s
    assert gain == pytest.approx(float(speculative_speedup(0.7, 4.0, 0.0)), rel=0.02)


@every_draft
def test_does_not_pay_when_compute_bound(draft: str) -> None:
    """At a large batch the arithmetic units are full: verifying more tokens than are kept costs more than it gives."""
    large = BASE.change(batch=4096, input=16, output=16, engine="ideal")
    assert estimate(large).decode.regime == "compute"
    assert estimate(large.change(draft=draft)).tpot_s > estimate(large).tpot_s


@every_draft
def test_round_is_the_sum_of_its_passes(draft: str) -> None:
    """FLOPs and bytes of a round are those of gamma passes of the draft and of one verification of gamma + 1 tokens."""
    resolved = setup(BASE.change(draft=draft, batch=3))
    round_ops = resolved.ops(decode(3, 1000))
    alone = replace(resolved, speculation=None)
    verified = alone.ops(Workload(3.0, 5.0, 1000.0, logits=5.0))
    passes = []
    if resolved.drafting:
        drafted = Workload(3.0, 1.0, 1001.5)
        passes = [op for op in resolved.drafting.ops(drafted) for _ in range(4)]
        passes += [op for op in round_ops if op.name == "joined_input (draft)"]
    for field in ("flops", "weight_bytes", "kv_bytes", "activation_bytes", "launches"):
        total = sum(getattr(op, field) * op.count for op in (*verified, *passes))
        assert sum(getattr(op, field) * op.count for op in round_ops) == pytest.approx(total), field


def test_draft_model_takes_memory() -> None:
    """A draft model adds its weights and its cache; a lookup adds neither."""
    plain, s = setup(BASE), BASE.change(draft="llama-3.2-1b")
    one = MODELS["llama-3.2-1b"]
    added = device_weight_bytes(setup(s)) - device_weight_bytes(plain)
    assert added == pytest.approx(device_weight_bytes(replace(plain, model=one)))
    memory, before = estimate(s).memory, estimate(BASE).memory
    assert memory.cache - before.cache == pytest.approx(cache_bytes(one.dimensions, 1536, 2))
    assert device_weight_bytes(setup(BASE.change(draft="ngram"))) == device_weight_bytes(plain)


def test_prediction_head_of_deepseek() -> None:
    """The prediction head of DeepSeek-V3 has 11.5 G parameters of its own (14 G with what it shares)."""
    s = Scenario(model="deepseek-v3", gpu="b200", weights="fp8", draft="mtp", spec=1)
    added = device_weight_bytes(setup(s)) - device_weight_bytes(setup(s.change(draft="none")))
    assert added == pytest.approx(11.5e9, rel=0.03)
    assert prediction_head(MODELS["deepseek-v3"]).dimensions.pattern() == (("G", "e"),)


@pytest.mark.parametrize(("tp", "width"), [(1, 1), (2, 2), (8, 8), (64, 32)])
def test_draft_spreads_as_far_as_its_heads(tp: int, width: int) -> None:
    """A draft of 32 heads is split over the largest part of the group that divides them."""
    assert draft_width(MODELS["llama-3.2-1b"].dimensions, tp) == width


@every_draft
@pytest.mark.parametrize("engine", ["fused", "vllm", "eager"])
def test_sweep_and_layouts_agree_with_the_estimate(draft: str, engine: str) -> None:
    """Grid and layouts price a round as the estimate does."""
    s = BASE.change(draft=draft, engine=engine, batch=4, output=2)
    report, found = estimate(s), sweep(s, batch=[1, 4])
    assert found["decode_step_s"][1] == pytest.approx(report.decode_step_s)
    assert found["memory_bytes"][1] == pytest.approx(report.memory.total)
    alone = next(one for one in layouts(s, (1,)).found if one.n == 1)
    assert alone.tpot_s == pytest.approx(report.tpot_s)


@every_draft
@pytest.mark.parametrize("metric", ["tpot_s", "ttft_s", "tokens_per_s", "memory"])
def test_cards_explain_it(draft: str, metric: str) -> None:
    """The card of a number retraces it with the draft included, and names the acceptance as an input."""
    report = estimate(BASE.change(draft=draft, engine="fused"))
    card = explain_metric(report, metric)
    assert float(card.traced) == pytest.approx(card.value, rel=1e-9)


def test_link_and_row_carry_it() -> None:
    """Link and JSON row say the draft, its length and the acceptance; a link without them means none."""
    s = Scenario(draft="llama-3.2-1b", spec=6, accept=0.55)
    assert from_query(s.to_query()) == (s, ())
    assert from_row({"draft": "llama-3.2-1b", "draft_tokens": 6, "acceptance": 0.55}) == s
    old = {key: text for key, text in s.to_query().items() if key not in ("draft", "spec", "accept")}
    assert from_query(old)[0].draft == "none"


@pytest.mark.parametrize(
    "field", [{"draft": "nope"}, {"spec": 65}, {"spec": -1}, {"accept": 1.5}, {"accept": math.nan}]
)
def test_what_is_not_allowed_is_said(field: dict[str, Any]) -> None:
    """A wrong draft, length or acceptance is refused with its name."""
    with pytest.raises(ValueError, match=next(iter(field))):
        Scenario().change(**field)


def test_another_vocabulary_is_warned_of() -> None:
    """A draft with another vocabulary cannot propose the model's tokens: a warning says so."""
    assert any("tokenizer" in note.text for note in estimate(BASE.change(draft="tinyllama-1.1b")).notes)
    assert not any("tokenizer" in note.text for note in estimate(BASE.change(draft="llama-3.2-1b")).notes)
