"""Setup: the names of a scenario resolved: model, chip, engine, precision, layout, link; and one pass priced on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from perfmodel.engine import Engine
from perfmodel.hardware import LINKS, Accelerator
from perfmodel.model import Model
from perfmodel.ops import Group, Kernels, Op, Pass
from perfmodel.precision import Precision, Rates, rates
from perfmodel.step import Fabric, Step, price
from perfmodel.transformer import transformer_ops
from perfmodel.units import GIGA, MICRO
from perfmodel.workload import Workload

#: Where the chip names no link of the catalogue: start-up of a collective, and PCIe Gen4 x16 if it names no rate at all.
DEFAULT_LATENCY_S, DEFAULT_LINK_BYTES_PER_S = 10 * MICRO, 32 * GIGA
#: Links that connect every pair of an island directly, without a switch.
MESHES = frozenset({"infinity-fabric"})
#: Attention kernels a user can choose instead of the engine's own.
ATTENTION_KERNELS = {
    "unfused": {"flash": False, "split_kv": False},
    "flash": {"flash": True, "split_kv": False},
    "split": {"flash": True, "split_kv": True},
}


def _pcie(bytes_per_s: float) -> str:
    """Return the PCIe generation of a host link by its rate: x16 gives 16, 32, 64, 128 GB/s."""
    generation = next((g for g, rate in ((3, 16), (4, 32), (5, 64)) if bytes_per_s <= rate * GIGA), 6)
    return f"pcie-gen{generation}"


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
        """What collectives use: the chip's own link, else PCIe; start-up time of that kind of link."""
        chip = self.chip
        name = chip.link_id if chip.link_id in LINKS else _pcie(chip.pcie_bytes_per_s)
        own = chip.link_bytes_per_s > 0
        bandwidth = chip.link_bytes_per_s if own else chip.pcie_bytes_per_s
        if name not in LINKS:
            return Fabric(bandwidth if bandwidth > 0 else DEFAULT_LINK_BYTES_PER_S, DEFAULT_LATENCY_S)
        link = LINKS[name]
        # Point-to-point meshes (Infinity Fabric) give a small group only the links between its members.
        mesh = 0 if link.switched or not own or link.id not in MESHES else chip.island
        return Fabric(bandwidth if bandwidth > 0 else link.bytes_per_s, link.latency_s, mesh)

    def ops(self, work: Workload) -> tuple[Op, ...]:
        """List the operators of one pass on one device of one replica."""
        local = replace(work, batch=work.batch / self.dp)
        run = Pass(local, self.precision, self.kernels, self.tp, self.ep, self.skew)
        ops = transformer_ops(self.model.dimensions, run)
        if self.pp == 1:
            return ops
        sent = local.tokens * self.model.dimensions.hidden * self.precision.activation_bytes
        send = Op("pipeline_send", Group.NETWORK, "send", count=self.pp - 1.0, network_bytes=sent, ranks=2)
        return (*ops, send)

    def run(self, work: Workload) -> Step:
        """Price one pass. Arrays in the workload give a step of the same shape."""
        return price(self.ops(work), work.shape, self.chip, self.engine, self.rates, self.fabric)
