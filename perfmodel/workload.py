"""One pass over a batch: prefill, decode, or any chunk between, in one record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from perfmodel.formulas.combine import decode_context
from perfmodel.formulas.types import Real


def real(value: Any) -> Real:
    """Return a scalar as float and anything else as a float64 array: no integer product can wrap.

    >>> real(3), real([1, 2]).dtype
    (3.0, dtype('float64'))
    """
    return float(value) if np.isscalar(value) or np.ndim(value) == 0 else np.asarray(value, dtype=np.float64)


@dataclass(frozen=True)
class Workload:
    """`batch` sequences, each with `new` tokens to compute behind `past` cached ones.

    `logits`: rows per sequence that the LM head computes (1: only the last token).
    `generating`: the pass continues the answer, which speculative decoding does by a round of draft and verification.
    Arrays broadcast: batch (B,1) and past (1,C) give results of shape (B,C).
    """

    batch: Real
    new: Real
    past: Real
    logits: Real = 1.0
    generating: bool = False

    @property
    def tokens(self) -> Real:
        """Tokens computed in this pass, all sequences together."""
        return self.batch * self.new

    @property
    def context(self) -> Real:
        """Tokens of one sequence after this pass."""
        return self.past + self.new

    def pieces(self, most: float) -> tuple[Workload, Real]:
        """Return the mean pass of the work in passes of at most `most` tokens, and how many there are.

        A sequence longer than that is split, shorter ones share a pass.
        """
        parts = np.maximum(1.0, np.ceil(self.new / most))
        new = self.new / parts
        groups = np.maximum(1.0, np.ceil(self.batch / np.maximum(1.0, np.floor(most / new))))
        past = self.past + (self.new - new) / 2.0
        return replace(self, batch=self.batch / groups, new=new, past=past), parts * groups

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of every result."""
        if type(self.batch) is type(self.new) is type(self.past) is float:
            return ()
        return np.broadcast_shapes(*(v.shape for v in (self.batch, self.new, self.past) if isinstance(v, np.ndarray)))


def prefill(batch: Any, new: Any, past: Any = 0) -> Workload:
    """Return the pass that reads a prompt of `new` tokens, behind a cached prefix of `past` tokens."""
    return Workload(real(batch), real(new), real(past))


def decode(batch: Any, past: Any) -> Workload:
    """Return the pass that produces one token per sequence behind `past` cached ones."""
    return Workload(real(batch), 1.0, real(past), generating=True)


def answer_steps(batch: Any, prefix: Real, input: Real, output: Real) -> Workload:
    """Return the first, the middle and the last decode step of an answer in one pass: `simpson_mean` takes these."""
    start = prefix + input
    return decode(batch, [start, decode_context(prefix, input, output), start + max(0, output - 2)])
