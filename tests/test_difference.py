"""The difference of two scenarios, by operator and cause: nothing is left over, and each cause gets what is its own."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel import Report, Scenario, cached_estimate
from perfmodel.difference import CAUSES, Difference, difference, reason, sentences, shapley, summary
from perfmodel.figures import compare
from perfmodel.pins import Pin
from perfmodel.step import REGIMES
from perfmodel.workload import prefill

#: Models of every kind, chips of several makers, layouts, engines, data types, lengths.
SCENARIOS = (
    Scenario(),
    Scenario(batch=400),
    Scenario(gpu="a100-sxm-80gb", batch=8, engine="eager"),
    Scenario(gpu="mi300x", weights="fp8", kv="fp8", engine="vllm", batch=32),
    Scenario(model="llama-3.1-70b", n=8, tp=8, batch=64),
    Scenario(model="llama-3.1-70b", gpu="b200-sxm", n=4, tp=2, pp=2, weights="fp4"),
    Scenario(model="gemma-3-27b", gpu="l40s", n=2, tp=2, input=30_000, attention="flash"),
    Scenario(model="mixtral-8x7b", n=4, tp=4, batch=16, engine="ideal"),
    Scenario(model="deepseek-v3", gpu="h200-sxm", n=8, tp=8, ep=8, weights="fp8", batch=32),
    Scenario(model="jamba-1.5-mini", n=4, pp=2, dp=2, batch=4),
    Scenario(model="qwen3-next-80b-a3b", n=2, tp=2, engine="eager"),
    Scenario(model="gpt-2-xl", gpu="t4", input=500, output=100, weights="fp32", engine="transformers"),
)
PAIRS = [(a, b) for a in range(len(SCENARIOS)) for b in range(len(SCENARIOS))]


def report(index: int) -> Report:
    """The report of one of the scenarios."""
    return cached_estimate(SCENARIOS[index])


def found(before: dict[str, object], after: dict[str, object], phase: str = "decode") -> Difference:
    """The difference between the default scenario with some fields changed and with others changed."""
    return difference(cached_estimate(Scenario(**before)), cached_estimate(Scenario(**after)), phase)


@pytest.mark.parametrize("phase", ["decode", "prefill"])
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_the_parts_are_the_difference(first: int, second: int, phase: str) -> None:
    """The parts of every pair add up to the difference of its times, those of an operator to its own."""
    seen = difference(report(first), report(second), phase)
    largest = max(seen.before_s, seen.after_s)
    assert abs(math.fsum(part.delta_s for part in seen.parts) - seen.delta_s) <= 1e-12 * largest
    assert abs(math.fsum(seen.by_cause.values()) - seen.delta_s) <= 1e-12 * largest
    for change in seen.changes:
        assert abs(math.fsum(change.causes_s) - change.delta_s) <= 1e-12 * largest


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_every_operator_is_counted_once(first: int, second: int) -> None:
    """The operators before and after add up to the two times: none is lost, none counted twice."""
    seen = difference(report(first), report(second))
    before = math.fsum(change.before.time_s for change in seen.changes if change.before)
    after = math.fsum(change.after.time_s for change in seen.changes if change.after)
    np.testing.assert_allclose([before, after], [seen.before_s, seen.after_s], rtol=1e-12)


@pytest.mark.parametrize(("first", "second"), PAIRS[:: len(SCENARIOS) + 1])
def test_no_change_has_no_cause(first: int, second: int) -> None:
    """A scenario compared with itself differs in nothing."""
    assert difference(report(first), report(second)).parts == ()


@pytest.mark.parametrize(("first", "second"), PAIRS[1::7])
def test_the_way_back_is_the_negative(first: int, second: int) -> None:
    """From B to A each cause is the negative of what it is from A to B: no order of changes is preferred."""
    there, back = difference(report(first), report(second)), difference(report(second), report(first))
    for cause in CAUSES:
        assert there.by_cause[cause] == pytest.approx(-back.by_cause[cause], rel=1e-9, abs=1e-12 * there.before_s)


def chip(**numbers: float) -> dict[str, object]:
    """The fields of a scenario on a chip of one's own, without fixed costs."""
    return {"engine": "ideal", "gpu": "custom", "chip": {"bandwidth": 1000, "memory": 80, "bf16": 100} | numbers}


@pytest.mark.parametrize(("number", "cause"), [("bandwidth", "memory"), ("bf16", "compute")])
def test_one_resource_is_the_only_cause(number: str, cause: str) -> None:
    """A chip with another bandwidth, or another peak, differs by that cause alone, whatever flips on the way."""
    base = {"batch": 64, "input": 4096}
    for factor in (0.1, 2.0, 50.0):
        value = factor * {"bandwidth": 1000, "bf16": 100}[number]
        seen = found(base | chip(), base | chip(**{number: value}))
        assert seen.by_cause[cause] == pytest.approx(seen.delta_s, rel=1e-9)
        assert {part.cause for part in seen.parts if abs(part.delta_s) > 1e-12 * seen.before_s} <= {cause}


def test_less_hiding_is_its_own_cause() -> None:
    """An engine that hides less, and is the same else, differs by the overlap alone, by what it no longer hides."""
    before = cached_estimate(Scenario(batch=64, engine="ideal"))
    setup = replace(before.setup, engine=replace(before.setup.engine, overlap=0.0))
    step = setup.run(prefill(64, 2048))
    seen = difference(before, replace(before, setup=setup, prefill=step), "prefill")
    hidden = float(before.prefill.needs_s[:2].min(axis=0).sum())
    assert {part.cause for part in seen.parts} == {"overlap"}
    assert seen.delta_s == pytest.approx(hidden, rel=1e-12)


def test_added_and_removed_operators_are_named() -> None:
    """One device has no all-reduce and four have: it is added one way, removed the other, all of it network time."""
    more = found({"batch": 8}, {"batch": 8, "n": 4, "tp": 4})
    change = next(change for change in more.changes if change.name == "all_reduce")
    assert (change.status, change.delta_s) == ("added", change.after.time_s if change.after else 0.0)
    assert change.causes_s[REGIMES.index("network")] == pytest.approx(change.delta_s, rel=1e-12)
    less = found({"batch": 8, "n": 4, "tp": 4}, {"batch": 8})
    assert next(change for change in less.changes if change.name == "all_reduce").status == "removed"


def test_fused_kernels_are_compared_with_their_parts() -> None:
    """Q, K and V apart are compared with the fused kernel: no projection counts as added or removed."""
    seen = found({"engine": "fused"}, {"engine": "eager"})
    names = {change.name: change.status for change in seen.changes}
    assert names["qkv_proj"] == names["gate_up_proj"] == "changed"
    assert not {"q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"} & set(names)


def test_kinds_of_layers_are_compared_kind_by_kind() -> None:
    """The same model keeps its kinds of layers apart; another model's are compared together."""
    same = found({"model": "gemma-3-27b"}, {"model": "gemma-3-27b", "batch": 9})
    assert {"attention [1]", "attention [2]"} <= {change.name for change in same.changes}
    other = found({"model": "gemma-3-27b"}, {})
    assert [c.status for c in other.changes if c.name.startswith("attention")] == ["changed"]


def test_a_flip_is_told() -> None:
    """At 400 sequences the projections compute longer than they read weights: the sentence says so, with the work."""
    seen = found({}, {"batch": 400})
    part = next(part for part in seen.parts if part.change.name == "gate_up_proj")
    assert (part.cause, part.change.flip) == ("compute", "compute")
    assert reason(part) == "400× the FLOPs, became compute-bound"
    assert any("attention, memory: 400× the bytes" in text for text in sentences(seen))


def test_the_summary_names_both_times() -> None:
    """The sentence tells both times, the ratio and the largest cause; the same scenario twice takes the same time."""
    text = summary(found({}, {"gpu": "a100-sxm-80gb"}), "Before", "After")
    assert "for Before" in text
    assert "for After" in text
    assert "of it memory +" in text
    assert "takes the same" in summary(found({}, {}), "A", "B")


def test_an_unknown_phase_teaches() -> None:
    """There is prefill and decode."""
    with pytest.raises(ValueError, match="decode or prefill"):
        found({}, {}, "training")


@given(st.lists(st.floats(0.0, 1.0), min_size=8, max_size=8))
def test_shapley_values_share_everything(values: list[float]) -> None:
    """The values of all factors add up to all less none, and two factors that do the same get the same."""
    arrays = [np.array(value) for value in values]
    assert float(sum(shapley(arrays))) == pytest.approx(values[-1] - values[0], abs=1e-12)
    by_size = [np.array(values[mask.bit_count()]) for mask in range(8)]
    first, second, third = shapley(by_size)
    assert first == pytest.approx(second, abs=1e-12)
    assert second == pytest.approx(third, abs=1e-12)


@pytest.mark.parametrize("phase", ["decode", "prefill"])
@pytest.mark.parametrize(("first", "second"), PAIRS[3::11])
def test_the_waterfall_ends_where_it_should(first: int, second: int, phase: str) -> None:
    """Each bar starts where the last one ended, from the one time to the other; both ends lie on the axis."""
    pins = {"a": Pin("First", SCENARIOS[first])}
    before, after = compare.sides(pins, SCENARIOS[second])
    seen = difference(before.report, after.report, phase)
    bars = compare.waterfall(seen, before, after)["data"][0]
    starts, lengths = bars["base"][1:-1], bars["x"][1:-1]
    ends = [seen.before_s, *(s + n for s, n in zip(starts, lengths, strict=True))]
    largest = max(seen.before_s, seen.after_s)
    np.testing.assert_allclose([*starts, seen.after_s], ends, atol=1e-12 * largest)
    for index in (0, -1):
        assert bars["base"][index] + bars["x"][index] == pytest.approx((seen.before_s, seen.after_s)[index])
    low, high = compare.axis(seen)
    assert low <= min(ends) <= max(ends) <= high * (1 + 1e-12)
