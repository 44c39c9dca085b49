"""What a pass costs on a chip: four times per operator, three ways to combine them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias, cast

import numpy as np

from perfmodel.collectives import Collectives, Kind
from perfmodel.engine import Engine, KernelClass
from perfmodel.formulas.occupancy import ramped_rate, streaming_time
from perfmodel.formulas.types import Real
from perfmodel.hardware import Accelerator
from perfmodel.ops import COLLECTIVES, DECODE_UP_TO, Group, Op, table
from perfmodel.precision import Rates

Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

#: Keeps a share of nothing from being a division by zero [s].
TINY = 1e-30
#: The four regimes, in the order of every array below.
REGIMES = ("compute", "memory", "network", "overhead")


#: What connects the devices of a group: links, topology and the library that runs the collectives.
Fabric: TypeAlias = Collectives


@dataclass(frozen=True, slots=True)
class TimedOp:
    """One operator, all its occurrences in the pass, in seconds. The four parts add up to `time_s`."""

    op: Op
    compute_s: float
    memory_s: float
    network_s: float
    overhead_s: float
    time_s: float
    bound: str

    @property
    def flops(self) -> float:
        """FLOPs of all occurrences."""
        return float(self.op.flops * self.op.count)

    @property
    def moved_bytes(self) -> float:
        """Main-memory traffic of all occurrences [B]."""
        return float(self.op.moved_bytes * self.op.count)

    @property
    def intensity(self) -> float:
        """Arithmetic intensity [FLOP/B]; NaN without traffic."""
        return self.flops / self.moved_bytes if self.moved_bytes else float("nan")


@dataclass(frozen=True)
class Step:
    """One pass over the operators: arrays of shape (operators, *grid), counts already multiplied in.

    `needs_s[r]`: time resource r needs on its own (compute, memory, network, overhead).
    `parts_s[r]`: what of the realistic time is charged to r; the four parts of an operator add up to its time.
    `host_s`: time of the host for the launches; one column where it is the same all over the grid.
    `hidden`: share of the communication that runs beside the computing, as in `price`.
    """

    ops: tuple[Op, ...]
    needs_s: Array
    parts_s: Array
    host_s: Array
    idle_s: Array
    hidden: float = 0.0

    @cached_property
    def op_time_s(self) -> Array:
        """Realistic time of each operator [s], shape (operators, *grid)."""
        return np.asarray(self.parts_s.sum(axis=0))

    @cached_property
    def time_s(self) -> Real:
        """Realistic time of the pass [s], shape of the grid."""
        return self.op_time_s.sum(axis=0)[()]

    @cached_property
    def sequential_s(self) -> Real:
        """Upper bound: nothing overlaps, every need is paid one after another [s]."""
        return (self.needs_s.sum(axis=(0, 1)) + self.host_s.sum(axis=0))[()]

    @cached_property
    def overlapped_s(self) -> Real:
        """Lower bound: within an operator all needs overlap, and the host runs ahead [s]."""
        return np.maximum(self.needs_s.max(axis=0).sum(axis=0), self.host_s.sum(axis=0))[()]

    @cached_property
    def totals_s(self) -> Array:
        """What each resource needs over the whole pass [s], shape (4, *grid)."""
        return np.asarray(self.needs_s.sum(axis=1))

    @cached_property
    def shares(self) -> Array:
        """Share of the realistic time charged to each regime, shape (4, *grid); adds up to one."""
        return np.asarray(self.parts_s.sum(axis=1) / self.time_s)

    @cached_property
    def regime(self) -> str:
        """The regime with the largest share (scalar passes)."""
        return REGIMES[int(np.argmax(self.shares))]

    @cached_property
    def idle_share(self) -> Real:
        """Share of the time in which the device waits for the host."""
        return (self.idle_s / self.time_s)[()]

    def at(self, index: int) -> Step:
        """Return the pass at one point of a line of points."""
        ops, host = tuple(op.at(index) for op in self.ops), self.host_s
        own = host[:, index if host.shape[1] > 1 else 0]
        return Step(ops, self.needs_s[..., index], self.parts_s[..., index], own, self.idle_s[index], self.hidden)

    def total(self, field: str) -> Real:
        """Return the sum of one `Op` field over all operators and occurrences."""
        return sum(getattr(op, field) * op.count for op in self.ops)

    @cached_property
    def timed(self) -> tuple[TimedOp, ...]:
        """Every operator with its times (scalar passes), in order of execution."""
        rows = zip(self.ops, self.needs_s.T.tolist(), self.op_time_s.tolist(), self.parts_s.T.tolist(), strict=True)
        return tuple(
            TimedOp(op, needs[0], needs[1], needs[2], parts[3], time, REGIMES[int(np.argmax(parts))])
            for op, needs, time, parts in rows
        )


def price(
    ops: tuple[Op, ...],
    shape: tuple[int, ...],
    chip: Accelerator,
    engine: Engine,
    rates: Rates,
    fabric: Fabric,
    hidden: float = 0.0,
) -> Step:
    r"""Price operators on one chip: compute, memory, network and overhead, then combine them.

    $$ t_i = \max(c,m) + (1-\omega)\min(c,m) + t_{\text{fixed}}, \quad
       T = \max\bigl(\textstyle\sum t_i, \sum h_i\bigr) $$

    with c and m at the engine's efficiencies, omega the overlap, h the host time of the launches: the host
    queues kernels ahead, so launches cost only what the device has to wait for them. `hidden` is the share of the
    pass's communication, or of its computing where that is shorter, that runs beside the other.
    Source: article_cases S1-S5. Validity: kernels of one device, one stream.
    """
    if engine.step_s:
        ops = (*ops, Op("engine_step", Group.ENGINE, "host", launches=0.0))
    *needs, launches = zip(*(_price(op, chip, engine, rates, fabric) for op in ops), strict=True)
    # Seldom does the number of launches depend on the grid: one column then stands for all of it.
    steady = not any(isinstance(value, np.ndarray) for value in launches)
    host = table([launches], (1,) * len(shape) if steady else shape)[0] * engine.host_s
    return combine(ops, table(needs, shape), host, engine, hidden)


def _price(op: Op, chip: Accelerator, engine: Engine, rates: Rates, fabric: Fabric) -> tuple[Real, ...]:
    """Return what all occurrences of an operator need of each resource [s], and how often it is launched."""
    kernel, count = kernel_class(op, engine), op.count
    compute = op.flops * count / achieved_rate(op, kernel, engine, rates)
    memory = op.moved_bytes * count / (kernel.memory_efficiency * chip.memory_bytes_per_s)
    if op.blocks and chip.sms > 0:
        # Few blocks cannot use the whole bandwidth.
        streaming = count * streaming_time(op.blocks[0], op.blocks[1], chip.sms, chip.memory_bytes_per_s)
        memory = np.maximum(memory, streaming)
    launches = op.launches * count
    if op.kind in COLLECTIVES:
        # A kernel costs its fixed time on the device; a collective's start-up is in its latency.
        return compute, memory, network_time(op, engine, fabric) * count, 0.0, launches
    return compute, memory, 0.0, engine.step_s if op.kind == "host" else launches * kernel.kernel_s, launches


def kernel_class(op: Op, engine: Engine) -> KernelClass:
    """Return the constants of the kernel an operator runs as; a grid of short and long passes gets arrays."""
    if op.kind == "matmul":
        return engine.kernel_class("experts" if op.grouped else op.unit)
    if op.kind != "attention":
        return engine.kernel_class("vector")
    prefill, decode = engine.kernel_class("prefill_attention"), engine.kernel_class("decode_attention")
    few = op.shape[5] <= DECODE_UP_TO
    if not isinstance(few, np.ndarray):
        return decode if few else prefill
    if few.all():
        return decode
    if not few.any():
        return prefill

    def mixed(name: str) -> Real:
        return np.where(few, getattr(decode, name), getattr(prefill, name))

    return KernelClass(
        mixed("efficiency"), mixed("memory_efficiency"), mixed("kernel_s"), mixed("ramp_tokens"), prefill.measured
    )


def achieved_rate(op: Op, kernel: KernelClass, engine: Engine, rates: Rates) -> Real:
    """Return the rate an operator reaches: the peak of its unit times what its kernel class reaches [FLOP/s]."""
    rate = rates.flops[op.unit] * kernel.efficiency
    if op.unit == "linear" and rates.dequantised and not kernel.measured:
        rate = rate * engine.dequant_efficiency
    if op.kind == "attention" and kernel.ramps:
        rate = ramped_rate(rate, op.shape[5], kernel.ramp_tokens)
    return rate * op.filled


def network_time(op: Op, engine: Engine, fabric: Fabric) -> Real:
    """Return the time one occurrence of a collective needs; nothing for any other operator [s]."""
    if op.ranks <= 1 or op.kind not in COLLECTIVES:
        return 0.0
    kind = cast(Kind, op.kind)  # every one of COLLECTIVES
    # An operator may stand for several collectives of the same size, one after another.
    each = fabric.time_s(kind, op.network_bytes / (op.launches * engine.network_efficiency), op.ranks)
    return (each + engine.collective_s) * op.launches


def hidden_share(network_s: Real, device_s: Real, hidden: float) -> Real:
    """Return the share of the communication that costs no time: `hidden` of the shorter of it and the device's work."""
    return hidden * np.minimum(network_s, device_s) / np.maximum(network_s, TINY)


def combine(ops: tuple[Op, ...], needs: Array, host: Array, engine: Engine, hidden: float = 0.0) -> Step:
    """Combine what each resource needs into the realistic time of the pass, charged to the four regimes.

    `needs` (4, operators, *grid) and `host` (operators, *grid), or one column of it, in seconds. The time is
    homogeneous of degree one in them: all of them twice as long make the pass twice as long. `hidden`: as in `price`.
    """
    compute, memory, network, _ = needs
    shown, net_shown = 1.0 - engine.overlap, 1.0 - engine.network_overlap
    parts = needs.copy()
    leads = compute >= memory
    np.multiply(compute, shown, out=parts[0], where=~leads)
    np.multiply(memory, shown, out=parts[1], where=leads)
    if np.count_nonzero(network):
        leads = parts[0] + parts[1] >= network
        parts[:2] *= np.where(leads, 1.0, net_shown)
        np.multiply(network, net_shown, out=parts[2], where=leads)
    if hidden:
        parts[2] *= 1.0 - hidden_share(parts[2].sum(axis=0), parts[[0, 1, 3]].sum(axis=(0, 1)), hidden)
    host_total = host.sum(axis=0)
    idle = np.maximum(host_total - parts.sum(axis=(0, 1)), 0.0)
    if np.count_nonzero(idle):
        parts[3] += idle * host / host_total
    return Step(ops, needs, parts, host, idle, hidden)


def faster(step: Step, engine: Engine, speed: Mapping[str, Real]) -> Step:
    """Return the same pass where resources are so many times faster: {"memory": 2.0} is twice the bandwidth.

    A faster "network" has more bandwidth and a shorter start-up, less "overhead" cheaper launches on host and device.
    Factors may be arrays: they broadcast against the grid of the pass.
    """
    grid = np.shape(step.time_s)
    shape = np.broadcast_shapes(grid, *(np.shape(factor) for factor in speed.values()))
    wide = (len(step.ops), *(1,) * (len(shape) - len(grid)), *grid)
    needs = np.empty((len(REGIMES), len(step.ops), *shape))
    for index, regime in enumerate(REGIMES):
        needs[index] = step.needs_s[index].reshape(wide) / speed.get(regime, 1.0)
    launches = (*wide[: len(wide) - len(grid)], *step.host_s.shape[1:])
    host = step.host_s.reshape(launches) / speed.get("overhead", 1.0)
    return combine(step.ops, needs, host, engine, step.hidden)


def relinked(step: Step, engine: Engine, fabric: Fabric) -> Step:
    """Return the same scalar pass with its collectives on other links."""
    needs = step.needs_s.copy()
    needs[2] = [network_time(op, engine, fabric) * op.count for op in step.ops]
    return combine(step.ops, needs, step.host_s, engine, step.hidden)
