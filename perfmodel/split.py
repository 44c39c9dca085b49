"""Split: how the devices share a scenario, said once for what is asked, what is priced and what a layer sees of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Who shares what; the defaults are those of one device. A `Scenario` has fields of the same names.

    `tp`, `pp`, `dp`, `cp`: devices that share layers, depth, sequences among replicas, one sequence. `ep`: experts.
    `mb`: micro-batches in the pipeline at a time. `sp`: norms and residuals split over the tensor group.
    `adp`: the group splits attention by sequences, not by heads. `spread`: layout of the weights over the group,
    see `exchange`. `kv_split`: what the cache is split along.
    """

    tp: int = 1
    pp: int = 1
    dp: int = 1
    cp: int = 1
    ep: int = 1
    mb: int = 1
    sp: bool = False
    adp: bool = False
    spread: str = "1d"
    kv_split: str = "heads"


#: The fields of a scenario that say how it is shared, outermost first, with what they are on one device.
ONE_DEVICE: dict[str, Any] = {field.name: field.default for field in fields(Split)}


def split_of(whole: Any) -> dict[str, Any]:
    """Return these fields of whatever has them: a scenario, a setup, a layout, a pass.

    >>> split_of(Split(tp=8)) == ONE_DEVICE | {"tp": 8}
    True
    """
    return {name: getattr(whole, name) for name in ONE_DEVICE}
