"""Every number opens into its formula, the values put in, unit, source and confidence.

A card runs the engine's own code again on numbers that remember where they came from (`trace`, `rerun`): what it shows
is what ran, down to spec numbers with their sources. Nothing is computed before a card is looked at.

>>> from perfmodel import Scenario, estimate
>>> card = explain_metric(estimate(Scenario()), "kv_bytes_per_token")
>>> card.substituted
'32 × 2 × 8 × 128 × 2 B = 131 kB/token'
>>> evaluate(card)
131072.0
"""

from perfmodel.explain.cards import Argument, Card, Confidence, confidence, evaluate
from perfmodel.explain.docstrings import Contract, Symbol, contract, formulas
from perfmodel.explain.metrics import (
    COST,
    MEMORY,
    METRICS,
    TIME,
    WORK,
    applied,
    cards,
    explain_metric,
    explain_op,
    worked,
)

__all__ = [
    "COST", "MEMORY", "METRICS", "TIME", "WORK",
    "Argument", "Card", "Confidence", "Contract", "Symbol",
    "applied", "cards", "confidence", "contract", "evaluate", "explain_metric", "explain_op", "formulas", "worked",
]  # fmt: skip
