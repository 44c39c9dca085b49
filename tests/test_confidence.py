"""How sure a number is: its card says between what comparable measurements lie, and on how many that stands."""

import re

import numpy as np
import pytest

from perfmodel import Scenario, estimate, how
from perfmodel.bands import band
from perfmodel.confidence import BOUND, confidence_text
from perfmodel.explain import METRICS, explain_metric
from perfmodel.report import BANDED
from perfmodel.training import estimate_training
from perfmodel.training_scenario import TrainingScenario
from perfmodel.units import show

PREDICTED = {"ttft_s", "tpot_s", "decode_step_s", "e2e_s", "tokens_per_s", "chip_seconds", "usd_per_million_tokens",
             "memory"}  # fmt: skip


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_predicted_numbers_have_a_band_and_counted_ones_none(metric: str) -> None:
    """Times, rates, prices and memory say their band and its rows; FLOPs, parameters and bytes are counted."""
    text = explain_metric(estimate(Scenario(engine="vllm")), metric).measured()
    assert bool(text) == (metric in PREDICTED)
    if text:
        assert re.match(r"80 % of comparable measurements lie from \S+ .*to \S+", text)
        assert re.search(r"[1-9]\d* published measurements of [1-9]\d* families", text)


@pytest.mark.parametrize("metric", ["ttft_s", "tpot_s", "e2e_s"])
def test_the_card_says_the_band_of_the_report(metric: str) -> None:
    """The ends are those that the page shows below the number, and the rows those of its band."""
    report = estimate(Scenario(engine="vllm", batch=8))
    low, high = report.bands[metric]
    text = explain_metric(report, metric).measured()
    assert f"from {show(low, 's')} to {show(high, 's')}." in text
    known = band(BANDED[metric], report.setup.engine, report.setup.chip)
    assert known is not None
    assert known.basis in text


def test_what_follows_from_a_time_has_its_factors() -> None:
    """Twice the time is half the rate and twice the price: the bands mirror each other."""
    report = estimate(Scenario(engine="vllm", batch=8))
    low, high = report.bands["tokens_per_s"]
    rate = float(report.tokens_per_s)
    assert f"from {show(low, 'tokens/s')} to {show(high, 'tokens/s')}." in confidence_text(
        report, "tokens_per_s", rate, "tokens/s"
    )
    quick, slow = report.bands["e2e_s"]
    np.testing.assert_allclose((low / rate) * (slow / report.e2e_s), 1.0, rtol=1e-12)
    np.testing.assert_allclose((high / rate) * (quick / report.e2e_s), 1.0, rtol=1e-12)


def test_the_ideal_engine_is_a_bound_and_a_chip_far_from_data_says_so() -> None:
    """A bound has no band; where nothing close was measured, the card says why the band is wide."""
    assert explain_metric(estimate(Scenario(engine="ideal")), "tpot_s").measured() == BOUND
    text = explain_metric(estimate(Scenario(gpu="epyc-9654", engine="eager-cpu")), "tpot_s").measured()
    assert "Far from any data: nothing was measured on a Zen 4 chip" in text


def test_training_numbers_say_theirs() -> None:
    """Step, rates, memory, days and cost of a training run stand on the measured runs."""
    report = estimate_training(TrainingScenario())
    cards = how.training(report, 1e12)
    texts = [found.measured() for found in cards if found is not None]
    assert all("published measurements of" in text for text in texts)
    low, high = report.bands["mfu"]
    assert f"from {100 * low:.3g} % to {100 * high:.3g} %." in texts[2]
