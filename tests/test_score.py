"""The numbers that say how wrong the model is."""

import math

import pytest

from perfmodel.score import mean_of_medians, residuals, score, scores


def test_a_factor_weighs_the_same_to_either_side():
    """Twice too slow and twice too fast are errors of one size."""
    slow, fast = residuals([2.0, 1.0], [1.0, 2.0])
    assert slow == -fast == pytest.approx(math.log(2.0))


def test_a_score_counts_the_close_and_shows_the_lean():
    """Median of the sizes, median with sign, and the shares within a factor of 1.15 and 1.30 (bounds included)."""
    found = score([math.log(1.15), -math.log(1.2), -math.log(1.29), -1.0])
    assert (found.rows, found.within_15, found.within_30) == (4, 0.25, 0.75)
    assert found.signed < 0 < found.median


def test_large_groups_do_not_rule_the_headline():
    """The headline error is the mean over groups, whatever their sizes."""
    groups = {"many": [0.1] * 100, "one": [-0.5]}
    assert mean_of_medians(groups) == pytest.approx(0.3)
    assert list(scores(groups)) == ["many", "one"]


@pytest.mark.parametrize("bad", [[], [math.nan], [math.inf]])
def test_no_residuals_no_score(bad):
    """An empty group and a residual that is not a number are refused by name."""
    with pytest.raises(ValueError, match="residuals"):
        score(bad)
