"""Cures: applying one gives exactly what was promised, the wrong one gives nothing, several together are told apart."""

import math
from itertools import product
from typing import Any

import pytest

from perfmodel import MODELS, Scenario, estimate, from_query
from perfmodel.cures import CURES, GOALS, NOTHING, combined, numbers, outcomes, ranked, refused, shares, without_effect
from perfmodel.cures.numerics import relatives, smaller_model
from perfmodel.cures.words import all_rows, answer, effect, idle_rows, interaction, refused_rows, remark, skipped_text
from perfmodel.figures import cures as figures
from perfmodel.step import REGIMES

SCENARIOS: dict[str, dict[str, Any]] = {
    "default": {},
    "eager": {"engine": "eager"},
    "tiny, eager": {"model": "gpt-2-124m", "engine": "eager", "input": 64, "output": 64},
    "batch": {"batch": 64, "engine": "vllm", "input": 4096},
    "prompt": {"input": 16_384, "output": 8, "batch": 4},
    "tensor": {"model": "llama-3.1-70b", "n": 8, "tp": 4, "dp": 2, "batch": 16},
    "experts": {"model": "deepseek-v3", "gpu": "h200", "n": 16, "tp": 16, "ep": 16, "weights": "fp8", "batch": 64},
    "old chip": {"gpu": "a10", "weights": "fp32", "input": 128},
    "hybrid": {"model": "jamba-1.5-mini", "batch": 8},
    "too large": {"model": "llama-3.1-405b"},
    "drafted": {"draft": "llama-3.2-1b", "batch": 2},
    "quantised": {"gpu": "b200", "weights": "fp4", "kv": "fp8", "batch": 256, "input": 512},
    "one token": {"input": 1, "output": 1},
    "mac": {"gpu": "m3-ultra", "engine": "llama.cpp", "weights": "int4"},
    "t4": {"gpu": "t4", "model": "llama-2-7b", "weights": "fp16", "engine": "transformers", "input": 256, "output": 64},
}
each = pytest.mark.parametrize("name", SCENARIOS)


def scenario(name: str) -> Scenario:
    """One of the scenarios above."""
    return Scenario(**SCENARIOS[name])


@each
def test_applying_gives_the_predicted_numbers(name: str) -> None:
    """The scenario of a cure, opened by its link, has exactly the numbers that were promised."""
    for one in outcomes(scenario(name)):
        if one.scenario is not None:
            opened, notices = from_query(one.scenario.to_query())
            assert notices == ()
            assert repr(numbers(estimate(opened))) == repr(one.after), one.cure.id


@each
def test_every_cure_says_what_it_is(name: str) -> None:
    """A cure that can be had says what changes and changes something; any other says why not."""
    base = scenario(name)
    for one in outcomes(base):
        assert one.cure.treats in REGIMES
        assert one.cure.quality
        if one.applies:
            assert one.said
            assert one.scenario not in (None, base)
        else:
            assert one.why_not
    assert len(outcomes(base)) == len(CURES) == len({cure.id for cure in CURES})


@each
@pytest.mark.parametrize("goal", GOALS)
def test_ranked_by_the_goal(name: str, goal: Any) -> None:
    """The largest gain stands first, whatever the goal; what helps nothing has a reason."""
    base = scenario(name)
    gains = [one.gain(goal) for one in ranked(base, goal)]
    known = [gain for gain in gains if math.isfinite(gain)]
    assert known == sorted(known, reverse=True)
    assert gains[: len(known)] == known or all(not math.isfinite(gain) for gain in gains[len(known) :])
    for one in ranked(base, goal):
        assert bool(remark(base, one, goal)) == (one.gain(goal) < 1.0 + NOTHING)
    assert answer(base, goal)


@pytest.mark.parametrize(
    ("name", "goal", "cure"),
    [
        ("prompt", "first", "kv8"),  # prefill computes: fewer bytes of cache do not matter
        ("old chip", "token", "tc"),  # decoding waits for memory: matrix units do not matter (S25, S28)
        ("old chip", "token", "short"),
        ("old chip", "token", "prefix"),
        ("batch", "token", "lean"),
        ("eager", "token", "trace"),  # the host is ahead of the device (S5): nothing to gain from S20-S22
        ("eager", "token", "graphs"),
        ("default", "first", "mtp"),
    ],
)
def test_the_wrong_regime_is_worth_nothing(name: str, goal: Any, cure: str) -> None:
    """A cure for a regime that the goal does not wait for gains at most a few percent, and the text says why."""
    base = scenario(name)
    found = next(one for one in outcomes(base) if one.cure.id == cure)
    phase, split = shares(estimate(base), goal)
    assert found.gain(goal) < 1.06
    if without_effect(found, goal):
        assert remark(base, found, goal).startswith("0%: ")
    assert sum(split.values()) == pytest.approx(1.0)
    assert phase in ("prefill", "decoding", "the request")


@pytest.mark.parametrize("cure", ["trace", "compile", "graphs"])
def test_launch_bound_is_cured_by_fewer_launches(cure: str) -> None:
    """Where the device waits for the host, replaying or compiling the launches shortens the token (S20-S23)."""
    base = scenario("tiny, eager")
    assert float(estimate(base).decode.idle_share) > 0.1
    found = next(one for one in outcomes(base) if one.cure.id == cure)
    assert found.gain("token") > 1.2


def test_graphs_gain_what_the_host_cost() -> None:
    """Replaying the same kernels as one graph removes the waiting for the host and nothing else (S21)."""
    base = scenario("tiny, eager")
    found = next(one for one in outcomes(base) if one.cure.id == "graphs")
    before, after = estimate(base).decode, estimate(found.scenario).decode
    waited = float(before.idle_s)
    assert float(before.time_s) - float(after.time_s) == pytest.approx(waited, rel=1e-9)


def test_quantising_gains_at_most_its_bytes() -> None:
    """Memory-bound decoding gets faster by at most the ratio of the bytes per weight (S30, S32)."""
    found = {one.cure.id: one for one in outcomes(scenario("default"))}
    assert 1.0 < found["w8"].gain("token") <= 2.0
    assert 1.0 < found["w4"].gain("token") <= 4.0
    assert found["w8"].gain("token") < found["w4"].gain("token")


def test_batching_buys_throughput_with_latency() -> None:
    """A larger batch serves more tokens a second and each of them later (S31, S33)."""
    most = next(one for one in outcomes(scenario("default")) if one.cure.id == "most")
    assert most.gain("throughput") > 1.0 > most.gain("token")
    assert most.gain("cost") == pytest.approx(most.gain("throughput"))
    assert "trades this for" in remark(scenario("default"), most, "token")


def test_bandwidth_of_the_next_chip() -> None:
    """H200 for H100: the same arithmetic and 1.43 times the bandwidth, so decoding gains at most that (S27)."""
    found = next(one for one in outcomes(scenario("default")) if one.cure.id == "bw")
    assert found.scenario.gpu == "h200-sxm"
    assert 1.2 < found.gain("token") <= 4.8 / 3.35


@pytest.mark.parametrize(("name", "goal"), list(product(("default", "eager", "tensor"), ("request", "cost"))))
def test_combination_is_one_scenario(name: str, goal: Any) -> None:
    """Several cures give one scenario whose estimate is what is shown; a single one gives its own gain."""
    base = scenario(name)
    names = tuple(one.cure.id for one in ranked(base, goal)[:4])
    found = combined(base, names, goal)
    assert repr(numbers(estimate(found.scenario))) == repr(found.after)
    assert len(found.cures) + len(found.skipped) == len(names)
    assert found.gain == pytest.approx(found.after.value(goal) / found.before.value(goal), nan_ok=True)
    assert interaction(found).startswith("Together")
    first = next(one for one in ranked(base, goal) if math.isfinite(one.gain(goal)))
    alone = combined(base, (first.cure.id,), goal)
    assert (alone.gain, alone.scenario) == (pytest.approx(alone.product), first.scenario)


def test_cures_of_the_same_time_interact() -> None:
    """Amdahl: two cures of the same bytes give less than the product of their gains, of different bytes more."""
    base = Scenario(input=65_536, batch=2, engine="ideal")
    weights, apart = combined(base, ("w8", "prune"), "token"), combined(base, ("w8", "kv8"), "token")
    single = {one.cure.id: one.gain("token") for one in outcomes(base)}
    assert weights.product == pytest.approx(single["w8"] * single["prune"])
    assert max(single["w8"], single["prune"]) < weights.gain < weights.product
    assert apart.gain > apart.product > max(single["w8"], single["kv8"])
    assert "same time" in interaction(weights)
    assert "larger share" in interaction(apart)


def test_what_excludes_another_is_said() -> None:
    """Of two ways to store the weights the second finds them stored already, and the text says so."""
    found = combined(scenario("default"), ("w4", "w8"), "token")
    assert [cure.id for cure, _ in found.skipped] in (["w8"], [])
    both = combined(scenario("default"), ("draft", "ngram"), "token")
    assert [cure.id for cure, _ in both.skipped] == ["ngram"]
    assert "drafted already" in skipped_text(both)


def test_unknown_cure_is_named() -> None:
    """A cure that nobody knows is refused with the ids there are."""
    with pytest.raises(ValueError, match="prayer"):
        combined(Scenario(), ("prayer",), "token")


def rectangles(trace: Any) -> list[tuple[Any, Any]]:
    """Corners (x, y) of each bar of a filled line, which a None ends."""
    return [(trace["x"][at : at + 4], trace["y"][at : at + 4]) for at in range(0, len(trace["x"]), 5)]


@each
def test_texts_and_figure(name: str) -> None:
    """Tables, sentences and the figure exist for every scenario: a bar per comparable cure, as long as its gain."""
    base = scenario(name)
    assert len(refused_rows(base)) == len(refused(base))
    assert len(all_rows(base)) == len(ranked(base, "request"))
    assert all(effect(one) for one in ranked(base, "request"))
    for goal in GOALS:
        drawn = figures.figure(base, goal)
        finite = [one for one in ranked(base, goal) if math.isfinite(one.gain(goal))]
        *bars, words = drawn["data"]
        ends = {round(y[0] + figures.HALF): x[1] for trace in bars for x, y in rectangles(trace)}
        kept = [min(max(one.gain(goal), figures.LEAST), figures.MOST) for one in finite]
        assert [2.0 ** ends[row] for row in range(len(finite))] == pytest.approx(kept)
        assert len(words["text"]) == len(finite)
        assert figures.describe(base, goal)
        assert len(idle_rows(base, goal)) == sum(one.gain(goal) < 1.0 + NOTHING for one in ranked(base, goal))


def test_of_equal_relatives_the_later_is_taken() -> None:
    """Llama 3 8B and 3.1 8B are equally large and without a year here: the one with the longer context is offered."""
    found = [model.name for model in relatives(MODELS["llama-3.1-70b"], 0.5)]
    assert found[:2] == ["Llama 3.1 8B", "Llama 3 8B"]
    change = smaller_model(Scenario(model="llama-3.1-70b"))
    assert change.fields["model"] == "llama-3.1-8b"
