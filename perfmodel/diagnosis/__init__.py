"""Diagnosis: which regime, proved by what; what would change it, what each change is worth.

A `Case` is one phase of a scenario; `flips` finds what turns its regime, `sensitivity` what each resource is worth.

>>> from perfmodel import Scenario
>>> case = case_of(Scenario(), "decode")
>>> case.regime
'memory'
"""

from perfmodel.diagnosis.case import PHASES, Case, case_of
from perfmodel.diagnosis.flips import AXES, Flip, Turn, flips, operator_turns
from perfmodel.diagnosis.sensitivity import Effect, effects, elasticities

__all__ = [
    "AXES", "PHASES", "Case", "Effect", "Flip", "Turn",
    "case_of", "effects", "elasticities", "flips", "operator_turns",
]  # fmt: skip
