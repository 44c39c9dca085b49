"""Speculative decoding: how many tokens one round of drafting and verifying is worth."""

from __future__ import annotations

import numpy as np

from perfmodel.formulas.types import Real

#: Where the rounding of the quotient and its distance from the limit are equally small.
NEARLY_CERTAIN = 1.0 - 2.0**-26


def expected_tokens(accept: Real, drafted: Real) -> Real:
    r"""Tokens that one round of speculative decoding produces on average.

    $$ E = \frac{1-\alpha^{\gamma+1}}{1-\alpha} $$

    Args:
        accept: chance that a drafted token is accepted, alpha [1]
        drafted: tokens drafted per round, gamma [1]

    Returns:
        accepted tokens and the one that the verification itself gives [1]

    Validity: every drafted token is accepted with the same chance, independently of the others.
    Source: Leviathan, Kalman, Matias: Fast Inference from Transformers via Speculative Decoding, 2023, equation 1.

    >>> [round(float(expected_tokens(chance, 4.0)), 4) for chance in (0.0, 0.5, 0.8)]
    [1.0, 1.9375, 3.3616]
    """
    # At alpha = 1 the quotient is 0/0; just below it is gamma + 1 to eight digits.
    chance = np.minimum(accept, NEARLY_CERTAIN)
    return (1.0 - chance ** (drafted + 1.0)) / (1.0 - chance)


def speculative_speedup(accept: Real, drafted: Real, draft_cost: Real) -> Real:
    r"""How many times faster tokens come when verifying a whole draft costs as much as one step.

    $$ S = \frac{1}{\gamma c + 1} \cdot \frac{1-\alpha^{\gamma+1}}{1-\alpha} $$

    Args:
        accept: chance that a drafted token is accepted, alpha [1]
        drafted: tokens drafted per round, gamma [1]
        draft_cost: time of a pass of the draft over that of the model, c [1]

    Returns:
        speed-up of the tokens [1]

    Validity: memory-bound decoding, so that the verification of gamma + 1 tokens takes no longer than one of a single.
    Source: Leviathan, Kalman, Matias: Fast Inference from Transformers via Speculative Decoding, 2023, theorem 3.8.

    >>> round(float(speculative_speedup(0.8, 5.0, 0.02)), 2), float(speculative_speedup(0.0, 4.0, 0.0))
    (3.35, 1.0)
    """
    return expected_tokens(accept, drafted) / (drafted * draft_cost + 1.0)
