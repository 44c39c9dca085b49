"""Collectives: what a buffer among n ranks costs on a link with a library, as the fastest of a few algorithms."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import Literal, NamedTuple

import numpy as np

from perfmodel.backend import BACKENDS, DEFAULT, Backend, Constants, Protocol
from perfmodel.formulas.collectives import (
    all_gather_time,
    all_to_all_time,
    contended_bandwidth,
    in_network_all_reduce_time,
    mesh_bandwidth,
    one_shot_all_reduce_time,
    pipelined_time,
    point_to_point_time,
    reduce_scatter_time,
    ring_all_reduce_time,
    ring_latency,
    tree_all_reduce_time,
    tree_latency,
    two_shot_all_reduce_time,
)
from perfmodel.formulas.types import Real
from perfmodel.hardware import LINKS, Accelerator
from perfmodel.units import GIGA, MICRO

#: Start-up of a collective over a link that is in no catalogue [s].
DEFAULT_LATENCY_S = 10 * MICRO
#: PCIe Gen4 x16, where a chip names no link and no rate at all [B/s].
DEFAULT_BYTES_PER_S = 32 * GIGA
#: Links that connect every pair of an island directly, without a switch.
MESHES = frozenset({"infinity-fabric"})
#: The network of the usual node by its island link; PCIe hosts and anything else: NDR.
NETWORKS = {"nvlink2": "infiniband-hdr-200", "nvlink3": "infiniband-hdr-200", "infinity-fabric": "ethernet-roce-400"}
DEFAULT_NETWORK = "infiniband-ndr-400"
#: Links that join a whole slice, without islands.
TORI = frozenset({"ici-2d", "ici-3d"})
#: Cards of one host without an island link.
HOST_CARDS = 8
#: Kinds and sizes of groups that links remember.
MOST_CURVES = 256

Kind = Literal["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send"]


class Curve(NamedTuple):
    """Time of one algorithm: fixed + per_byte m + per_root sqrt(m), for buffers up to `limit` bytes.

    `protocol` and `bytes_per_s`: what it was made of, where it is one protocol on one link.
    """

    fixed_s: float
    per_byte_s: float
    per_root_s: float
    limit: float = math.inf
    protocol: Protocol | None = None
    bytes_per_s: Real = 0.0


Stream = Callable[[Real, int, Real, Real], Real]
Start = Callable[[Protocol, int], Real]
_step_each: Start = lambda p, n: p.start_s + (n - 1) * p.step_s  # noqa: E731
_step_once: Start = lambda p, n: p.start_s + p.step_s  # noqa: E731, ARG005
# By algorithm, then by kind of collective: time to stream m bytes over n ranks, and start-up with its hops.
_ALL_REDUCE: dict[str, tuple[Stream, Start]] = {
    "ring": (ring_all_reduce_time, lambda p, n: ring_latency(n, p.start_s, p.step_s)),
    "tree": (
        lambda m, _n, rate, late: tree_all_reduce_time(m, rate, late),
        lambda p, n: tree_latency(n, p.start_s, p.step_s),
    ),
    "one_shot": (one_shot_all_reduce_time, _step_each),
    "two_shot": (two_shot_all_reduce_time, _step_each),
    "in_network": (in_network_all_reduce_time, lambda p, _n: p.start_s),
}
_OTHERS: dict[str, tuple[Stream, Start]] = {
    "all_gather": (all_gather_time, _step_each),
    "reduce_scatter": (reduce_scatter_time, _step_each),
    "all_to_all": (all_to_all_time, _step_once),
    "send": (lambda m, _n, rate, late: point_to_point_time(m, rate, late), _step_once),
}


def _recipe(algorithm: str, kind: Kind) -> tuple[Stream, Start]:
    return _ALL_REDUCE[algorithm] if kind == "all_reduce" else _OTHERS[kind]


def curve(protocol: Protocol, kind: Kind, ranks: int, bytes_per_s: Real) -> Curve | None:
    """Return the time of one protocol over n ranks as a function of bytes; None where it does not apply."""
    if kind != "all_reduce" and protocol.algorithm not in ("ring", "tree"):
        return None
    if protocol.algorithm == "in_network" and ranks <= 2:
        return None  # two ranks exchange their buffers: a switch has nothing to save
    stream, start = _recipe(protocol.algorithm, kind)
    per_byte = float(stream(1.0, ranks, bytes_per_s * protocol.share, 0.0))
    # The chunk term 2 sqrt(stream fill) of `pipelined_time`, with the root of the bytes taken out.
    per_root = 2.0 * math.sqrt(per_byte * protocol.fill_s)
    limit = protocol.limit_bytes / max(1, ranks - 1)
    return Curve(float(start(protocol, ranks)), per_byte, per_root, limit, protocol, bytes_per_s)


def fastest(curves: tuple[Curve, ...], message_bytes: Real) -> Real:
    """Return the time of the fastest of the curves [s]."""
    root = message_bytes**0.5
    # NumPy's minimum of two floats costs as much as all the rest.
    smaller = min if isinstance(message_bytes, float) else np.minimum
    time: Real = math.inf
    for fixed, per_byte, per_root, limit, *_ in curves:
        one = fixed + per_byte * message_bytes + per_root * root
        time = smaller(time, one if limit == math.inf else one + _beyond(message_bytes, limit))
    return time


def _beyond(message_bytes: Real, limit: float) -> Real:
    if isinstance(message_bytes, float):
        return 0.0 if message_bytes <= limit else math.inf
    return np.where(message_bytes <= limit, 0.0, math.inf)


def undominated(curves: list[Curve]) -> tuple[Curve, ...]:
    """Return the curves that are fastest somewhere: none that another beats in every term."""
    kept: list[Curve] = []
    for one in sorted(curves, key=lambda c: c[:3]):
        beaten = any(
            c.limit == math.inf and c.per_byte_s <= one.per_byte_s and c.per_root_s <= one.per_root_s for c in kept
        )
        if not beaten:
            kept.append(one)
    return tuple(kept)


@dataclass(frozen=True)
class Collectives:
    """The links of a group of chips with a library on top.

    `bytes_per_s`: one chip, one direction. `latency_s`: start-up on a link the library has no constants for.
    `mesh`: chips wired point to point, 0 for a switch. `island`: chips the link joins, 0 for any number;
    a larger group goes over `network`, one port for each chip. `by_formula`: single times come from the formulas
    of the fastest algorithm, called with the link's own numbers, so that an explanation can show them.
    """

    bytes_per_s: float
    latency_s: float = DEFAULT_LATENCY_S
    mesh: int = 0
    link: str = ""
    backend: str = "nccl"
    island: int = 0
    network: Collectives | None = None
    by_formula: bool = False
    _curves: dict[tuple[str, int], tuple[Curve, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def time_s(self, kind: Kind, message_bytes: Real, ranks: int) -> Real:
        """Time of a collective [s]; zero for a single rank. An array of bytes gives an array."""
        if ranks <= 1:
            return 0.0 * message_bytes
        curves = self._curves.get((kind, ranks))
        if curves is None:
            if len(self._curves) >= MOST_CURVES:
                self._curves.clear()
            curves = self._curves[kind, ranks] = self._build(kind, ranks)
        if self.by_formula and np.ndim(message_bytes) == 0:
            return _by_formula(curves, kind, message_bytes, ranks)
        return fastest(curves, message_bytes)

    @property
    def constants(self) -> Constants:
        """The constants in use: of the link, else of any link with this link's own start-up."""
        return _lookup(BACKENDS[self.backend], self)

    def beyond(self) -> Collectives:
        """Return the same links with the library that takes what this one leaves."""
        return replace(self, backend=BACKENDS[self.backend].beyond)

    def usable(self, ranks: int) -> Real:
        """Bandwidth of one chip within a group of this size, before protocol and contention [B/s]."""
        return mesh_bandwidth(self.bytes_per_s, ranks, self.mesh) if self.mesh > 1 else self.bytes_per_s

    def _build(self, kind: Kind, ranks: int) -> tuple[Curve, ...]:
        if self.island and ranks > self.island and self.network is not None:
            return undominated(self._across(kind, ranks, self.network))
        return undominated(self._within(kind, ranks))

    def _within(self, kind: Kind, ranks: int) -> list[Curve]:
        own = self.constants
        rate = self.usable(ranks)
        if own.contention:
            rate = contended_bandwidth(rate, ranks, own.contention)
        curves = [curve(protocol, kind, ranks, rate) for protocol in own.protocols]
        found = [] if own.ranks and ranks > own.ranks else [one for one in curves if one]
        if BACKENDS[self.backend].beyond:
            found += self.beyond()._within(kind, ranks)
        return found

    def _across(self, kind: Kind, ranks: int, network: Collectives) -> list[Curve]:
        """Both levels of a hierarchy: start-ups add, chunks stream through both, so the slower one counts."""
        nodes = -(-ranks // self.island)
        base = self.beyond() if BACKENDS[self.backend].beyond else self
        # Each rank's port carries the island's share; of an all-to-all, what leaves the island.
        share = 1.0 / self.island
        if kind == "all_to_all":
            share = (ranks - self.island) / ranks * nodes / (nodes - 1.0)
        return [
            Curve(
                i.fixed_s + r.fixed_s,
                max(i.per_byte_s, share * r.per_byte_s),
                max(i.per_root_s, float(np.sqrt(share)) * r.per_root_s),
            )
            for i in base._within(kind, self.island)
            for r in network._within(kind, nodes)
        ]


def _by_formula(curves: tuple[Curve, ...], kind: Kind, message_bytes: Real, ranks: int) -> Real:
    best = min(curves, key=lambda one: float(fastest((one,), float(message_bytes))))
    if best.protocol is None:
        return fastest((best,), message_bytes)
    stream, start = _recipe(best.protocol.algorithm, kind)
    streamed = stream(message_bytes, ranks, best.bytes_per_s * best.protocol.share, 0.0)
    return pipelined_time(start(best.protocol, ranks), streamed, best.protocol.fill_s)


def _lookup(library: Backend, wires: Collectives) -> Constants:
    if wires.link in library.links:
        return library.links[wires.link]
    if DEFAULT not in library.links:
        return Constants((), basis=f"{library.name} does not run on this link")
    own = library.links[DEFAULT]
    # The defaults keep their distances from the fastest start; the link's own start-up sets that one.
    first = min(p.start_s + 2.0 * p.step_s for p in own.protocols)
    late = wires.latency_s - first if first > 0.0 else 0.0
    moved = tuple(replace(p, start_s=max(0.0, p.start_s + late)) for p in own.protocols)
    basis = f"no rows for {wires.link or 'this link'}: {own.basis}, start-up {wires.latency_s / MICRO:.3g} µs"
    return replace(own, protocols=moved, basis=basis)


def wires(chip: Accelerator, backend: str = "nccl") -> Collectives:
    """Return what connects chips of this kind: their own link, else PCIe; the usual network beyond the island."""
    return _wires(chip.link_id, chip.link_bytes_per_s, chip.island, chip.pcie_bytes_per_s, backend)


# By the numbers and not by the chip: those that know how they were computed never equal plain ones.
@lru_cache(maxsize=128)
def _wires(link: str, bytes_per_s: float, island: int, pcie_bytes_per_s: float, backend: str) -> Collectives:
    if not bytes_per_s > 0:
        return _host(pcie_bytes_per_s, backend)
    name = link if link in LINKS else ""
    mesh = island if name in MESHES else 0
    # Cards in bridged pairs reach the other pairs over the host, everything else over a network of its own.
    bridged = name == "nvlink-bridge"
    beyond = _host(pcie_bytes_per_s, backend) if bridged else _rail(NETWORKS.get(name, DEFAULT_NETWORK), backend)
    latency = LINKS[name].latency_s if name else DEFAULT_LATENCY_S
    joined = island if island > 1 and name not in TORI else 0
    return Collectives(bytes_per_s, latency, mesh, name, backend, joined, beyond)


def _host(pcie_bytes_per_s: float, backend: str) -> Collectives:
    """Cards on PCIe: x16 of generation 3, 4, 5, 6 gives 16, 32, 64, 128 GB/s."""
    rate = pcie_bytes_per_s if pcie_bytes_per_s > 0 else DEFAULT_BYTES_PER_S
    generation = next((g for g, limit in ((3, 16), (4, 32), (5, 64)) if rate <= limit * GIGA), 6)
    name = f"pcie-gen{generation}"
    return Collectives(rate, LINKS[name].latency_s, 0, name, backend, HOST_CARDS, _rail(DEFAULT_NETWORK, backend))


@cache
def _rail(name: str, backend: str) -> Collectives:
    return Collectives(LINKS[name].bytes_per_s, LINKS[name].latency_s, 0, name, BACKENDS[backend].beyond or backend)
