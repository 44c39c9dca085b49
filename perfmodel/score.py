"""Scores: how far predictions lie from measurements, by the same four numbers everywhere."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

#: A prediction counts as close within these factors, to either side.
CLOSE, NEAR = 1.15, 1.30
Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Score:
    """What the residuals of some rows say: their number, typical size, lean, and how many are close.

    `median`: median of |ln(predicted / measured)|; `signed`: median of ln(predicted / measured), negative where the
    model is too fast; `p90`: 90 % of the residuals are smaller; `within_15`, `within_30`: shares of the rows whose
    prediction is within a factor of 1.15 and 1.30 of the measurement.
    """

    rows: int
    median: float
    signed: float
    p90: float
    within_15: float
    within_30: float


def residuals(predicted: Any, measured: Any) -> Any:
    r"""Return the logarithmic error of each prediction: r = ln(p / m), so that twice and half weigh the same [1].

    >>> [round(float(r), 3) for r in residuals([2.0, 1.0], [1.0, 2.0])]
    [0.693, -0.693]
    """
    return np.log(np.asarray(predicted, dtype=np.float64) / np.asarray(measured, dtype=np.float64))


def score(found: Iterable[float]) -> Score:
    """Return the score of residuals ln(predicted / measured); a `ValueError` when there are none, or not numbers.

    >>> score([0.1, -0.2, 0.3])
    Score(rows=3, median=0.2, signed=0.1, p90=0.28, within_15=0.3333, within_30=0.6667)
    """
    r = np.fromiter(found, dtype=np.float64)
    if not r.size or not np.all(np.isfinite(r)):
        raise ValueError(f"residuals: {r.size} given; at least one is needed, and all must be finite")
    size = np.abs(r)
    numbers = (np.median(size), np.median(r), np.quantile(size, 0.9))
    shares = (np.mean(size <= np.log(factor)) for factor in (CLOSE, NEAR))
    return Score(r.size, *(round(float(x), 4) for x in (*numbers, *shares)))


def scores(groups: Mapping[Name, Iterable[float]]) -> dict[Name, Score]:
    """Return the score of every group of residuals, in the order of their names."""
    return {name: score(groups[name]) for name in sorted(groups, key=str)}


def mean_of_medians(groups: Mapping[Name, Iterable[float]]) -> float:
    """Return the headline error: the mean over groups of their median |ln(p / m)|, so that no large family rules.

    >>> round(mean_of_medians({"a": [0.1, -0.1], "b": [0.3]}), 3)
    0.2
    """
    return float(np.mean([np.median(np.abs(np.fromiter(found, np.float64))) for found in groups.values()]))
