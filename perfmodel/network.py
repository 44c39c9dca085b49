"""Any network on one chip through the same operators and the same prices as a transformer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from perfmodel.engine import Engine
from perfmodel.formulas.overhead import knee_batch
from perfmodel.formulas.types import Real
from perfmodel.hardware import Accelerator
from perfmodel.ops import Op, Pass
from perfmodel.precision import Precision, Rates, rates
from perfmodel.step import Fabric, Step, price
from perfmodel.workload import Workload, real

#: One device: no operator of these networks uses a link.
NO_LINK = Fabric(float("inf"), 0.0)
#: A batch at which every network is far beyond its knee.
LARGE_BATCH = 1e6


class Network(Protocol):
    """What can be priced: a name, a parameter count, a list of operators."""

    @property
    def name(self) -> str:
        """What a reader calls it."""

    @property
    def parameters(self) -> int:
        """Learned numbers."""

    def ops(self, run: Pass) -> tuple[Op, ...]:
        """List the operators of one pass over `run.work.tokens` inputs."""

    def __hash__(self) -> int:
        """Stand in the key of a cache."""


@dataclass(frozen=True)
class NetworkSetup:
    """A network on one device: what `Setup` is to a transformer.

    One call of the network is one pass, with no generate loop around it: the engine's `step_s` is left out.
    """

    network: Network
    chip: Accelerator
    engine: Engine
    precision: Precision

    @cached_property
    def rates(self) -> Rates:
        """Peak rates this run uses, with the notes on what had to be replaced."""
        return rates(self.chip, self.precision)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know about this run."""
        if self.chip.memory_bytes_per_s > 0:
            return self.rates.notes
        unknown = f"The memory bandwidth of {self.chip.name} is not published: only its arithmetic is counted"
        return (*self.rates.notes, unknown)

    @cached_property
    def priced_chip(self) -> Accelerator:
        """The chip; memory of unpublished bandwidth is taken as free, so that the arithmetic can be priced."""
        known = self.chip.memory_bytes_per_s > 0
        return self.chip if known else replace(self.chip, memory_bytes_per_s=float("inf"))

    def ops(self, batch: Any) -> tuple[Op, ...]:
        """List the operators of one pass over a batch of inputs."""
        return self.network.ops(Pass(Workload(real(batch), 1.0, 0.0), self.precision, self.engine.kernels))

    def run(self, batch: Any) -> Step:
        """Price one pass. An array of batches gives a step of the same shape."""
        engine = replace(self.engine, step_s=0.0)
        return price(self.ops(batch), np.shape(batch), self.priced_chip, engine, self.rates, NO_LINK)

    @cached_property
    def per_item_s(self) -> float:
        """Time each further input costs once the batch is large [s]."""
        return float(self.run(LARGE_BATCH).time_s) / LARGE_BATCH

    @cached_property
    def knee(self) -> Real:
        """Batch up to which latency is flat: where the line of large batches reaches the time of one input."""
        return knee_batch(float(self.run(1.0).time_s), self.per_item_s)
