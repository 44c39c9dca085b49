"""The laws of the diagnosis: phases add up, flips hold on both sides, elasticities sum to one, bounds enclose."""

import itertools
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose as close
from streamlit.testing.v1 import AppTest
from test_pages import run

from perfmodel import ENGINES, Scenario, decode, estimate
from perfmodel.advice import verdict
from perfmodel.diagnosis import PHASES, case_of, effects, elasticities, flips, operator_turns, stacks, tables
from perfmodel.diagnosis.case import BOUND
from perfmodel.diagnosis.flips import WORK
from perfmodel.estimate import setup
from perfmodel.figures import diagnosis
from perfmodel.formulas.roofline import amdahl_time
from perfmodel.hardware import Chip
from perfmodel.step import REGIMES

DRAFTED = Scenario(model="llama-3.1-70b", gpu="h200-sxm", draft="llama-3.2-1b", batch=3)
#: Scenarios of all four regimes, of several kinds of model, chip, layout and engine.
SCENARIOS = (
    Scenario(),
    Scenario(batch=64),
    Scenario(batch=256, input=128),
    Scenario(model="llama-3.2-1b", engine="eager"),
    Scenario(model="llama-2-7b", gpu="a10", input=4000, output=2),
    Scenario(model="llama-3.1-70b", gpu="l40s", n=8, tp=8, batch=4),
    Scenario(model="llama-3.1-70b", n=4, tp=4, weights="fp8", kv="fp8", batch=32),
    Scenario(model="mixtral-8x7b", gpu="a100-sxm-80gb", n=2, tp=2, batch=8),
    Scenario(model="deepseek-v3", gpu="h200-sxm", n=8, tp=8, ep=8, weights="fp8", batch=16),
    Scenario(model="gpt-2", gpu="t4", input=256, output=64),
    Scenario(engine="vllm", batch=32),
    Scenario(engine="ideal", batch=300, input=64),
    DRAFTED,
)
EVERY = list(itertools.product(SCENARIOS, PHASES))


@pytest.mark.parametrize("engine", list(ENGINES))
def test_phases_are_those_of_the_report(engine: str) -> None:
    """A case's time is the report's: prefill, the decode step, and the whole request of every engine."""
    for scenario in (
        Scenario(engine=engine, batch=7, output=100, prefix=9),
        Scenario(engine=engine, output=1),
        DRAFTED,
    ):
        report = estimate(scenario)
        for phase, expected in (
            ("prefill", report.prefill_s),
            ("decode", report.decode_step_s),
            ("request", report.e2e_s),
        ):
            close(case_of(scenario, phase).time_s(), expected, rtol=1e-12)


@pytest.mark.parametrize(("scenario", "phase"), EVERY)
def test_flips_hold_on_both_sides(scenario: Scenario, phase: str) -> None:
    """Just before a flip the regime is the present one, at it the one that was named; without one it never changes."""
    case = case_of(scenario, phase)

    def regime(axis: str, value: float) -> str:
        if axis not in WORK:
            return REGIMES[int(case.parts_s({axis: value}).argmax())]
        changed = scenario.change(**{axis: int(value)})
        return case_of(changed, phase).regime if phase == "request" else getattr(estimate(changed), phase).regime

    for flip in flips(case):
        for turn, end in ((flip.more, flip.high), (flip.less, flip.low)):
            if turn is None:
                tried = np.geomspace(flip.now, end, 25)
                assert {regime(flip.axis, round(v) if flip.axis in WORK else v) for v in tried} == {case.regime}
                continue
            assert regime(flip.axis, turn.before) == case.regime
            assert regime(flip.axis, turn.value) == turn.regime != case.regime
            gap = turn.value - turn.before
            assert abs(gap) == 1 if flip.axis in WORK else abs(gap) < 2e-4 * turn.value


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_operators_turn_where_they_say(scenario: Scenario) -> None:
    """An operator's bound changes from one batch to the next at its turn, and nowhere before on a grid."""
    case = case_of(scenario, "decode")

    def bound(name: str, batch: float) -> str:
        return next(t.bound for t in case.change(batch=batch).steps[0].timed if t.op.name == name)

    for name, turn in operator_turns(case).items():
        if turn is not None:
            assert bound(name, turn.before) == bound(name, float(case.batch)) != bound(name, turn.value) == turn.regime
            assert turn.value - turn.before == 1


@pytest.mark.parametrize(("scenario", "phase"), EVERY)
def test_elasticities_sum_to_one(scenario: Scenario, phase: str) -> None:
    """Times are homogeneous of degree one in the four needs: the elasticities over the speeds add up to -1 (Euler)."""
    case = case_of(scenario, phase)
    found = elasticities(case)
    close(found.sum(), -1.0, atol=2e-6)
    assert (found <= 1e-9).all()
    four_times = dict.fromkeys(REGIMES, 0.25)
    close(case.time_s(four_times), 4.0 * case.time_s(), rtol=1e-12)
    if not any(np.any(step.idle_s) for step in case.steps):
        close(-found, case.shares, atol=2e-6)


def test_waiting_for_the_host_hides_the_device() -> None:
    """S5, S8: while the host launches too slowly, no hardware helps: elasticity -1 over launches, 0 over the rest."""
    case = case_of(Scenario(model="llama-3.2-1b", engine="eager"), "decode")
    close(elasticities(case), [0.0, 0.0, 0.0, -1.0], atol=1e-9)
    assert "overhead-bound" in tables.overhead_test(case)
    assert "hardware-bound" in tables.overhead_test(case_of(Scenario(), "decode"))


@pytest.mark.parametrize(("scenario", "phase"), EVERY)
def test_misdiagnosed_cure_is_bounded(scenario: Scenario, phase: str) -> None:
    """S7, S11: twice as fast a resource gains at most 1 / (1 - e/2), e its elasticity, never more than no limit."""
    for effect in effects(case_of(scenario, phase)):
        if effect.name in REGIMES:
            bound = amdahl_time(effect.now_s, -effect.elasticity * effect.now_s, 2.0)
            times = np.array([effect.limit_s, effect.doubled_s, effect.now_s, effect.halved_s])
            assert (np.diff(times) >= -1e-12 * effect.now_s).all()
            assert effect.doubled_s >= bound * (1.0 - 1e-5)
        elif effect.name == "link":
            assert effect.doubled_s <= effect.now_s


def test_twice_the_bandwidth_is_a_chip_with_twice_the_bandwidth() -> None:
    """Speeding up a resource of a pass gives the time of a chip that has it."""
    rates = {"memory": 80.0, "fp32": 50.0, "bf16": 500.0}
    one, two = (Scenario(gpu="custom", chip=Chip(bandwidth=b, **rates), batch=9) for b in (1000.0, 2000.0))
    for phase in PHASES:
        close(case_of(one, phase).time_s({"memory": 2.0}), case_of(two, phase).time_s(), rtol=1e-12)


@pytest.mark.parametrize(("scenario", "phase"), EVERY)
def test_bounds_enclose_the_time(scenario: Scenario, phase: str) -> None:
    """S4: overlapped <= realistic <= one after another; their parts add up to what the passes say."""
    case = case_of(scenario, phase)
    slow, real, fast = (float(parts.sum()) for _, parts in diagnosis.bounds(case))
    assert fast <= real * (1 + 1e-12)
    assert real <= slow * (1 + 1e-12)
    close(slow, case.joined(lambda step: step.sequential_s), rtol=1e-12)
    close(fast, case.joined(lambda step: step.overlapped_s), rtol=1e-12)


def test_examples_are_the_articles_figures() -> None:
    """S1 to S5: the five scenarios that the page draws are compute-, memory-, communication- and overhead-bound."""
    cases = [case_of(scenario, phase) for _, scenario, phase in stacks.examples()]
    assert [case.regime for case in cases if case is not cases[3]] == ["compute", "memory", "network", "overhead"]
    slow, _, fast = (float(parts.sum()) for _, parts in diagnosis.bounds(cases[3]))
    assert slow > 1.3 * fast  # near the ridge, where compute and memory need about as long


def test_stacks_in_their_order() -> None:
    """S20 to S23: a leaner host never costs time; where the device is idle the launches are all of the time."""
    for scenario in (Scenario(), Scenario(batch=64), Scenario(model="llama-3.2-1b")):
        found = [case_of(scenario.change(engine=name), "decode") for name in stacks.LADDER]
        times = [float(case.time_s()) for case in found]
        assert times == sorted(times, reverse=True)
        eager = found[0].steps[0]
        assert eager.idle_s == 0 or eager.time_s == pytest.approx(eager.host_s.sum())


def test_verdict_names_a_flip_that_flips() -> None:
    """The batch in the verdict's sentence changes the regime that the sentence names, and one less does not."""
    for scenario in SCENARIOS:
        said = re.search(r"batch ([\d,]+) makes it (\S+?)[,;]", verdict(estimate(scenario)).sentence)
        if said:
            batch = int(said[1].replace(",", ""))
            assert BOUND[estimate(scenario.change(batch=batch)).decode.regime] == said[2]
            assert estimate(scenario.change(batch=batch - 1)).decode.regime == estimate(scenario).decode.regime


def test_no_flip_is_said_in_words() -> None:
    """Where nothing in range flips the regime, the sentence and the table say so instead of giving a number."""
    report, case = estimate(Scenario()), case_of(Scenario(), "decode")
    found = flips(case)
    assert found[0].more is None
    assert "No batch or input length within range does." in tables.sentence(report, case, found)
    assert tables.flip_rows(report, found)[0]["With more"] == "no flip to 65,536"
    assert "no batch flips it" in verdict(report).sentence


def test_attention_stays_memory_bound() -> None:
    """S68: no batch turns attention in decode: KV reads are per sequence, H/K FLOP/B whatever the batch."""
    turns = operator_turns(case_of(Scenario(batch=8), "decode"))
    assert turns["attention"] is None
    linear = turns["down_proj"]
    assert linear is not None
    assert linear.regime == "compute"
    run_ = setup(Scenario())
    for batch in (1.0, 1000.0):
        step = run_.run(decode(batch, 4096.0))
        one = next(timed for timed in step.timed if timed.op.name == "attention")
        close(one.op.flops / one.op.kv_bytes, 32 / 8, rtol=2e-3)


FOLDS = ("numbers", "operators", "stacks", "articles")


def opened(phase: str) -> AppTest:
    """The Diagnosis page of a phase with everything unfolded."""
    app = run("pages/10_Diagnosis.py", {"phase": phase})
    for fold in FOLDS:
        app.session_state[f"fold.Diagnosis.{fold}"] = True
    return app.run()


@pytest.mark.parametrize("phase", PHASES)
def test_page_unfolds(phase: str) -> None:
    """S6, S9, S10, S24: every fold opens: counters, operators by Amdahl, stacks, optimisers and compilers."""
    app = opened(phase)
    assert not app.exception
    tables_ = [frame.value for frame in app.dataframe]
    columns = {column for table in tables_ for column in table.columns}
    assert {"Achieved rate", "Achieved traffic", "Without it", "Turns at batch", "Device idle", "Examples"} <= columns
    taxonomy = next(table for table in tables_ if "Examples" in table.columns)
    examples = " ".join(taxonomy["Examples"])
    assert all(name in examples for name in ("OpenVINO", "TensorRT", "XLA", "Glow", "CUDA Graphs", "TorchDynamo"))
    shares = next(table for table in tables_ if "Ridge" in table.columns)
    for _, row in shares.iterrows():
        assert sum(float(row[name].rstrip("%")) for name in REGIMES) == pytest.approx(100.0, abs=0.25)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_home_says_why_and_what(scenario: Scenario) -> None:
    """S7: home names the regime's remedy with a gain, and a resource whose doubling gains less than it."""
    text = tables.why_and_what(scenario)
    regime = case_of(scenario, "request").regime
    assert tables.REMEDIES[regime][1:] in text
    right, vain = (float(found) for found in re.findall(r"([\d.]+)×", text))
    assert right >= vain >= 1.0


def test_three_clicks_from_home() -> None:
    """Home offers Diagnosis and the regime map below the verdict, each link carrying the scenario."""
    app = run("app.py", {"batch": "5"})
    text = " ".join(element.value for element in app.markdown)
    assert "**Why.**" in text
    assert "**What to do.**" in text
    links = {item.proto.label: item.proto.query_string for item in app.get("page_link")}
    for name in ("Diagnosis", "Regime map"):
        assert "batch=5" in links[name]
