"""Another chip: more arithmetic, more bandwidth, faster links, the fastest and the cheapest one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from perfmodel.cures.cure import Change, Cure, do, no
from perfmodel.estimate import cached_estimate
from perfmodel.hardware import ACCELERATORS, Accelerator
from perfmodel.precision import Precision, rates
from perfmodel.scenario import Scenario
from perfmodel.units import significant

#: How much more of what is bought makes a chip another one, and how far the rest may differ.
MORE, ALIKE = 1.2, 1.5
#: What a chip is bought for: fields of an `Offer`.
Resource = Literal["arithmetic", "bandwidth"]
RESOURCES: tuple[Resource, ...] = get_args(Resource)


@dataclass(frozen=True, slots=True)
class Offer:
    """A chip as a run in one precision sees it."""

    chip: Accelerator
    arithmetic: float
    bandwidth: float

    def times(self, other: Offer) -> str:
        """Return arithmetic and bandwidth as multiples of another chip's."""
        more = significant(self.arithmetic / other.arithmetic), significant(self.bandwidth / other.bandwidth)
        return f"{more[0]}× the arithmetic, {more[1]}× the bandwidth"

    def apart(self, other: Offer, resource: Resource) -> float:
        """Return how far a resource differs from another chip's: the logarithm of the ratio."""
        return abs(math.log(getattr(self, resource) / getattr(other, resource)))


@lru_cache(maxsize=32)
def offers(precision: Precision) -> tuple[Offer, ...]:
    """Return the chips of the catalogue that a scenario can run on: rate, bandwidth and memory are published."""
    chips = (ACCELERATORS[key] for key in ACCELERATORS)
    # What is only announced says so in its name.
    sold = (chip for chip in chips if "announced" not in chip.name and chip.peak_flops)
    known = (chip for chip in sold if chip.memory_bytes_per_s > 0 and chip.memory_bytes > 0)
    return tuple(_offer(chip, precision) for chip in known)


def _offer(chip: Accelerator, precision: Precision) -> Offer:
    return Offer(chip, rates(chip, precision).flops["linear"], chip.memory_bytes_per_s)


def _others(s: Scenario) -> tuple[Offer, list[Offer]]:
    """Return the chip at hand and the others of its class that hold what is on each device now, its own maker's first.

    The same class: the same kind of chip with the same kind of memory, on sale, with links where several are used.
    """
    now, need = _offer(s.resolved_gpu, s.precision), cached_estimate(s).memory.total
    kind = now.chip.kind, _memory(now.chip)
    found = [
        o
        for o in offers(s.precision)
        if o.chip.id != s.gpu and (o.chip.kind, _memory(o.chip)) == kind and o.chip.memory_bytes >= need
    ]
    linked = [o for o in found if s.n == 1 or o.chip.link_bytes_per_s > 0 or not now.chip.link_bytes_per_s > 0]
    return now, sorted(linked, key=lambda o: (o.chip.vendor != now.chip.vendor, not o.chip.usd_per_hour > 0))


def _memory(chip: Accelerator) -> str:
    """Return the kind of memory without its generation: HBM, GDD(R), LPD(DR)."""
    return chip.file.memory.type[:3]


def _swap(now: Offer, offer: Offer) -> Change:
    return do(f"{offer.chip.name} for {now.chip.name}: {offer.times(now)}", gpu=offer.chip.id, chip=None)


def _more(s: Scenario, wanted: Resource, kept: Resource) -> Change:
    """Take the chip that has more of one resource and is most alike in the other."""
    now, found = _others(s)
    more = [o for o in found if getattr(o, wanted) >= MORE * getattr(now, wanted)]
    near = [o for o in more if o.apart(now, kept) <= math.log(ALIKE)]
    if not near:
        return no(f"no chip of its class has more {wanted} than {now.chip.name} at about its {kept}")
    return _swap(now, min(near, key=lambda o: o.apart(now, kept)))


def more_arithmetic(s: Scenario) -> Change:
    """Take the chip most alike in bandwidth whose matrix units are faster."""
    return _more(s, "arithmetic", "bandwidth")


def more_bandwidth(s: Scenario) -> Change:
    """Take the chip most alike in arithmetic whose memory is faster."""
    return _more(s, "bandwidth", "arithmetic")


def faster_links(s: Scenario) -> Change:
    """Take the chip most alike in arithmetic and bandwidth whose links are faster."""
    if s.n == 1:
        return no("one device has nobody to talk to")
    now, found = _others(s)
    link = now.chip.link_bytes_per_s if now.chip.link_bytes_per_s > 0 else 0.0
    faster = [o for o in found if o.chip.link_bytes_per_s >= max(MORE * link, 1.0)]
    apart = {o: [o.apart(now, resource) for resource in RESOURCES] for o in faster}
    near = [o for o in faster if max(apart[o]) <= math.log(2.0)]
    if not near:
        return no(f"no chip like {now.chip.name} has faster links")
    return _swap(now, min(near, key=lambda o: sum(apart[o])))


def _rough_s(s: Scenario, offer: Offer) -> float:
    """Return the request's time by two rooflines, for choosing among chips only."""
    return sum(times * max(flops / offer.arithmetic, moved / offer.bandwidth) for times, flops, moved in _work(s))


@lru_cache(maxsize=32)
def _work(s: Scenario) -> tuple[tuple[float, float, float], ...]:
    """Return of prefill and of a decode step how often it runs in a request, its FLOPs and its traffic [B]."""
    report = cached_estimate(s)
    passes = ((report.prefill, 1.0), (report.decode, s.output / float(report.setup.tokens_per_step)))
    return tuple((times, float(p.total("flops")), float(p.total("moved_bytes"))) for p, times in passes)


def _rough_usd(s: Scenario, offer: Offer) -> float:
    return _rough_s(s, offer) * offer.chip.usd_per_hour


def fastest(s: Scenario) -> Change:
    """Take the chip whose roofline promises the shortest request."""
    now, found = _others(s)
    best = min(found, key=lambda o: _rough_s(s, o), default=None)
    if best is None or _rough_s(s, best) >= _rough_s(s, now):
        return no(f"no chip of its class promises more than {now.chip.name}")
    return _swap(now, best)


def cheapest(s: Scenario) -> Change:
    """Take the chip whose roofline promises the cheapest request at list prices."""
    now, found = _others(s)
    priced = [o for o in found if o.chip.usd_per_hour > 0]
    best = min(priced, key=lambda o: _rough_usd(s, o), default=None)
    if best is None:
        return no("no other chip of its class with room for it has a published price")
    if now.chip.usd_per_hour > 0 and _rough_usd(s, best) >= _rough_usd(s, now):
        return no(f"no chip of its class promises cheaper tokens than {now.chip.name}")
    return _swap(now, best)


CURES = (
    Cure("flops", "A chip with more arithmetic", "compute", "none; another machine to rent or buy", more_arithmetic),
    Cure("bw", "A chip with more bandwidth", "memory", "none; another machine to rent or buy", more_bandwidth),
    Cure("links", "A chip with faster links", "network", "none; another machine to rent or buy", faster_links),
    Cure("fastest", "The fastest chip of its class", "memory", "none; usually the dearest machine", fastest),
    Cure("cheapest", "The cheapest chip of its class", "memory", "none; times may get longer", cheapest),
)
