"""Every card evaluates to the number it shows, down to numbers with a source; explaining changes no estimate."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel import Report, Scenario, estimate
from perfmodel.explain import (
    METRICS,
    Card,
    applied,
    cards,
    contract,
    evaluate,
    explain_metric,
    explain_op,
    sources,
    worked,
)
from perfmodel.explain.trace import Traced, leaf
from perfmodel.formulas.combine import operator_time
from perfmodel.formulas.roofline import critical_batch

SCENARIOS: dict[str, dict[str, object]] = {
    "dense": {"batch": 16},
    "dense, eager": {"engine": "eager", "batch": 3, "input": 300, "output": 40},
    "dense, ideal, fp8": {"engine": "ideal", "weights": "fp8", "kv": "fp8", "output": 1},
    "dense, tp 4": {"gpu": "mi300x", "n": 4, "tp": 4, "prefix": 512},
    "dense, PCIe": {"gpu": "l40s", "n": 2, "tp": 2, "weights": "int4", "kv": "fp4"},
    "window, int4": {"model": "mistral-7b-v0.1", "weights": "int4", "input": 9000},
    "two windows, flash": {"model": "gemma-3-27b", "gpu": "a10", "attention": "flash", "input": 60000},
    "MoE, eager, tp 4": {"model": "mixtral-8x7b", "n": 4, "tp": 4, "weights": "fp8", "engine": "eager", "batch": 8},
    "MoE, fp4": {"model": "gpt-oss-120b", "gpu": "b200-sxm", "weights": "fp4", "batch": 3},
    "MLA, tp 8": {"model": "deepseek-v3", "gpu": "h200-sxm", "n": 8, "tp": 8, "weights": "fp8", "batch": 4},
    "MLA, sparse, ep 8, skewed": {"model": "deepseek-v3.2", "n": 8, "tp": 8, "ep": 8, "weights": "fp8", "skew": 2.0},
    "hybrid, pp 2, dp 2": {"model": "jamba-1.5-mini", "n": 4, "pp": 2, "dp": 2, "batch": 4},
    "linear attention, eager": {"model": "qwen3-next-80b-a3b", "n": 2, "tp": 2, "engine": "eager"},
    "MoE, padded experts": {"model": "qwen3-235b-a22b", "gpu": "h200-sxm", "n": 2, "tp": 2, "weights": "fp8"}
    | {"engine": "vllm"},
    "MoE, local, in pieces": {"model": "gpt-oss-20b", "gpu": "radeon-8060s", "engine": "llama.cpp", "weights": "fp4"},
    "pruned, fp32": {"model": "gpt-2-xl", "input": 500, "output": 100, "weights": "fp32", "sparsity": "structured-25"},
}
everywhere = pytest.mark.parametrize("report", SCENARIOS, indirect=True)


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """The report of one scenario."""
    return estimate(Scenario(**SCENARIOS[request.param]))


def tree(card: Card, seen: set[int]) -> Iterator[Card]:
    """The card and all cards below it, each once."""
    if id(card.traced) not in seen:
        seen.add(id(card.traced))
        yield card
        for term in card.terms:
            yield from tree(term, seen)


def forest(report: Report) -> Iterator[Card]:
    """Every card of a report: metrics, operators, and what they were computed from."""
    roots = [explain_metric(report, name) for name in METRICS]
    roots += [
        explain_op(report, phase, op.name) for phase in ("prefill", "decode") for op in getattr(report, phase).ops
    ]
    seen: set[int] = set()
    for root in roots:
        seen.discard(id(root.traced))
        yield from tree(root, seen)


@everywhere
def test_cards_evaluate_to_what_they_show(report: Report) -> None:
    """The formula of every card, run on its arguments, gives the displayed number; so do all terms below it."""
    for card in forest(report):
        np.testing.assert_allclose(evaluate(card), card.value, rtol=1e-9, err_msg=f"{card.title}: {card.substituted}")


@everywhere
def test_every_argument_has_a_source(report: Report) -> None:
    """What a card is made of is a number with a source or has a card of its own; each says what it means."""
    for card in forest(report):
        for argument in card.arguments:
            assert argument.source.title, f"{card.title}: {argument.name}"
            assert argument.meaning, f"{card.title}: {argument.name}"
            assert argument.card is not None or argument.traced is None


@everywhere
def test_cards_can_be_drawn(report: Report) -> None:
    """Every card has an equation, a sentence, the values put in with the result at the end, and a confidence."""
    for card in forest(report):
        assert card.contract.sentence
        assert card.latex
        assert card.substituted.endswith(f"= {card.shown}")
        assert card.confidence in ("published", "derived", "estimate", "given")


@everywhere
def test_operator_times_follow_the_formula(report: Report) -> None:
    """The engine's arrays give each operator the time that `operator_time` gives it, and the waiting for the host."""
    engine = report.setup.engine
    for step in (report.prefill, report.decode):
        compute, memory, network, fixed = step.needs_s
        alone = operator_time(compute, memory, network, fixed, engine.overlap, engine.network_overlap)
        host = step.host_s.sum(axis=0)
        waiting = step.idle_s * step.host_s / host if host else 0.0
        np.testing.assert_allclose(step.op_time_s, alone + waiting, rtol=1e-12)


@everywhere
def test_explaining_leaves_estimates_alone(report: Report) -> None:
    """After all cards are drawn, the same scenario gives the same report, of plain numbers."""
    before = report.to_dict()
    for card in forest(report):
        assert card.substituted
    again = estimate(report.scenario)
    assert again.to_dict() == before
    assert not any(isinstance(value, Traced) for op in again.decode.ops for value in (op.flops, op.kv_bytes, op.count))


def test_nothing_is_computed_before_a_card_is_opened() -> None:
    """A card with its heading costs no traced run: pages may list cards freely."""
    report = estimate(Scenario())
    assert all("traced" not in vars(card) for card in cards(report, tuple(METRICS)) if card.shown and card.title)


def test_leaves_reach_the_data_sheet() -> None:
    """The time to first token opens, step by step, into the peak rate of the data sheet with its source."""
    report = estimate(Scenario())
    found = [argument for card in forest(report) for argument in card.arguments if argument.name == "peak bf16"]
    assert {argument.source for argument in found} == {report.setup.chip.sources["peak.bf16"]}
    assert {argument.value for argument in found} == {report.setup.chip.peak_flops["bf16"]}


def test_confidence_names_the_estimates() -> None:
    """A number rests on exactly the estimates in its history: the KV cache on none, a time on the engine's overlap."""
    report = estimate(Scenario())
    assert explain_metric(report, "kv_bytes").estimates == ()
    assert explain_metric(report, "kv_bytes").confidence == "derived"
    assert "network overlap 0" in explain_metric(report, "ttft_s").estimates
    assert explain_metric(report, "ttft_s").confidence == "estimate"


def test_an_ideal_engine_rests_on_no_estimate() -> None:
    """With ideal hardware a time follows from published numbers and definitions alone."""
    assert explain_metric(estimate(Scenario(engine="ideal")), "ttft_s").estimates == ()


def test_unknown_names_teach() -> None:
    """A card that does not exist is refused with the ones that do."""
    report = estimate(Scenario())
    with pytest.raises(ValueError, match="ttft_s"):
        explain_metric(report, "speed")
    with pytest.raises(ValueError, match="lm_head"):
        explain_op(report, "decode", "softmax")
    with pytest.raises(ValueError, match="prefill or decode"):
        explain_op(report, "training", "lm_head")


def test_worked_examples_are_cards() -> None:
    """Any formula on given values is a card: the T4 of the batching article, 216.7 tokens."""
    card = worked(critical_batch, bytes_per_weight=2.0, peak_flops=65e12, bytes_per_s=300e9)
    assert evaluate(card) == card.value
    assert card.shown == "216.667"
    assert card.substituted == "2 B ÷ 2 × 65 TFLOP/s ÷ 300 GB/s = 216.667"


def test_formulas_of_a_run_show_their_values() -> None:
    """Every formula that a run used has a card with a value of that run."""
    found = applied(estimate(Scenario(model="mixtral-8x7b", n=2, tp=2)))
    names = {function.__name__ for function in found}
    assert {"matmul_flops", "causal_pairs", "experts_touched", "compute_time", "memory_time", "simpson_mean"} <= names
    for function, card in found.items():
        assert card.contract == contract(function)
        assert evaluate(card) == card.value


def test_sources_of_a_run_are_listed() -> None:
    """Every number from outside stands in the table with its source; estimates come first, marked."""
    report = estimate(Scenario())
    rows = sources.used_rows(report)
    marks = [row["Confidence"] == "estimate" for row in rows]
    assert len(rows) == len(report.used)
    assert marks == sorted(marks, reverse=True)
    assert all(row["Value"].startswith("≈") == mark for row, mark in zip(rows, marks, strict=True))


@given(st.floats(0.1, 1e6), st.floats(0.1, 1e6), st.floats(0.1, 1e6))
def test_traced_arithmetic_is_float_arithmetic(a: float, b: float, c: float) -> None:
    """A traced number gives, bit for bit, what floats give, whichever side it stands on."""
    x, y = (leaf(name, value, "", sources.Source("definition", "definition")) for name, value in (("a", a), ("b", b)))
    assert (x + c) * y / (c + x) - 2.0**y * 0.0 == (a + c) * b / (c + a) - 2.0**b * 0.0 if b < 100 else True
    assert np.maximum(x, c) + np.ceil(y) == max(a, c) + np.ceil(b)
    assert float(np.minimum(c, x)) == min(c, a)
