"""Time to first token of a loaded replica in closed form: for searches, where samples would cost too much."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from perfmodel.formulas.serving import gated_interval
from perfmodel.formulas.types import Real

Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

#: Standard deviations between the mean and the 95th percentile: 2.0 for an exponential wait, 1.6 for a normal one.
TO_P95 = 2.0


def first_token(rate: Real, prompt_s: Real, held_s: Real, step_s: Real, variation: float) -> tuple[Array, Array]:
    """Return mean and 95th percentile of the time to first token at this rate of one replica [s].

    A request waits for the rest of the step it arrives in, then for the step that computes its prompt with those of
    its company. The step met lasts a decode step plus an exponential rest. A prompt is computed in `prompt_s` and holds
    up the others for `held_s`, which is less where the stages of a pipeline work on several.
    Validity: chunks as large as a prompt; room for everyone; the percentile is mean plus two standard deviations.
    """
    busy = np.minimum(1.0, rate * held_s)
    met = gated_interval(step_s, rate, held_s, variation)
    rest = met - step_s
    mean = prompt_s + step_s + met * (0.5 + busy)
    square = (step_s**2 + 2.0 * step_s * rest + 2.0 * rest**2) * (1.0 / 3.0 + busy + busy**2)
    spread = np.sqrt((variation * prompt_s) ** 2 + np.maximum(0.0, square - (met * (0.5 + busy)) ** 2))
    return np.asarray(mean), np.asarray(mean + TO_P95 * spread)
