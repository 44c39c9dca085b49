"""Cures: what would change a scenario's time, throughput and cost, each tried on the scenario itself.

To add one, write a function `Scenario -> Change` in the module of what it touches and put a `Cure` into that module's
tuple; nothing else has to change.
"""

from perfmodel.cures.cure import GOAL_WORDS, GOALS, Change, Cure, Goal, Numbers, Outcome, numbers
from perfmodel.cures.evaluate import (
    CURES,
    NOTHING,
    Combination,
    combined,
    outcomes,
    ranked,
    refused,
    shares,
    without_effect,
)

__all__ = [
    "CURES",
    "GOALS",
    "GOAL_WORDS",
    "NOTHING",
    "Change",
    "Combination",
    "Cure",
    "Goal",
    "Numbers",
    "Outcome",
    "combined",
    "numbers",
    "outcomes",
    "ranked",
    "refused",
    "shares",
    "without_effect",
]
