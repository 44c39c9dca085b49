"""Setup: the names of a scenario resolved: model, chip, engine, precision, layout, link; and one pass priced on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from perfmodel.collectives import wires
from perfmodel.engine import Engine
from perfmodel.hardware import Accelerator
from perfmodel.model import Model
from perfmodel.ops import Group, Kernels, Op, Pass
from perfmodel.precision import Precision, Rates, rates
from perfmodel.step import Fabric, Step, price
from perfmodel.transformer import transformer_ops
from perfmodel.workload import Workload

#: Attention kernels a user can choose instead of the engine's own.
ATTENTION_KERNELS = {
    "unfused": {"flash": False, "split_kv": False},
    "flash": {"flash": True, "split_kv": False},
    "split": {"flash": True, "split_kv": True},
}


@dataclass(frozen=True)
class Setup:
    """Everything but the numbers: who computes what with which types on how many devices."""

    model: Model
    chip: Accelerator
    engine: Engine
    precision: Precision
    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1
    attention: str = "engine"
    skew: float = 1.0

    @cached_property
    def kernels(self) -> Kernels:
        """The engine's kernels, with the attention kernel the user chose."""
        own = self.engine.kernels
        return own if self.attention == "engine" else replace(own, **ATTENTION_KERNELS[self.attention])

    @cached_property
    def rates(self) -> Rates:
        """Peak rates this run uses, with the notes on what had to be replaced."""
        return rates(self.chip, self.precision)

    @cached_property
    def fabric(self) -> Fabric:
        """What collectives use: the chip's own link, else PCIe, with the engine's library on top."""
        return wires(self.chip, self.engine.collectives)

    def ops(self, work: Workload) -> tuple[Op, ...]:
        """List the operators of one pass on one device of one replica."""
        # The replica with the most sequences sets the time.
        local = work if self.dp == 1 else replace(work, batch=np.ceil(work.batch / self.dp))
        run = Pass(local, self.precision, self.kernels, self.tp, self.ep, self.skew)
        ops = transformer_ops(self.model.dimensions, run)
        if self.pp == 1:
            return ops
        sent = local.tokens * self.model.dimensions.hidden * self.precision.activation_bytes
        # Two neighbouring stages: beyond the island when they do not fit into it together.
        send = Op("pipeline_send", Group.NETWORK, "send", count=self.pp - 1.0, network_bytes=sent, ranks=2 * self.tp)
        return (*ops, send)

    def run(self, work: Workload) -> Step:
        """Price one pass. Arrays in the workload give a step of the same shape."""
        return price(self.ops(work), work.shape, self.chip, self.engine, self.rates, self.fabric)
