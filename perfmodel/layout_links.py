"""Which link carries what: the collectives of a layout's decode step, each with its ranks, its bytes and its time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from perfmodel.collectives import Collectives
from perfmodel.estimate import setup
from perfmodel.hardware import LINKS
from perfmodel.layout_curves import work_of
from perfmodel.layouts import NETWORK, Layout, neutral, op_sent_bytes
from perfmodel.scenario import Scenario
from perfmodel.units import show

#: Collectives in words.
KINDS = {
    "all_reduce": "all-reduce",
    "all_gather": "all-gather",
    "reduce_scatter": "reduce-scatter",
    "all_to_all": "all-to-all",
    "send": "send to the next",
}


@dataclass(frozen=True, slots=True)
class Flow:
    """One operator that sends: over `ranks` devices, all its occurrences in a decode step.

    `across`: it leaves the island and goes over the network. `sent_bytes`: by one device [B]. `time_s`: by itself [s].
    """

    name: str
    kind: str
    ranks: int
    across: bool
    sent_bytes: float
    time_s: float

    @property
    def words(self) -> str:
        """The collective and its group in words: "all-reduce of 8"."""
        return f"{KINDS[self.kind]} of {self.ranks}" if self.kind != "send" else KINDS[self.kind]


def flows(scenario: Scenario, layout: Layout) -> tuple[Flow, ...]:
    """Return what one device of a layout sends in the decode step at context input + output/2, in order."""
    return _flows(neutral(scenario), layout)


@lru_cache(maxsize=64)
def _flows(scenario: Scenario, layout: Layout) -> tuple[Flow, ...]:
    resolved = setup(scenario.change(**layout.fields))
    step, island = resolved.run(work_of(scenario, "decode")), resolved.fabric.island
    return tuple(
        Flow(op.name, op.kind, op.ranks, 0 < island < op.ranks, op.count * op_sent_bytes(op), float(time))
        for op, time in zip(step.ops, step.needs_s[NETWORK], strict=True)
        if op.ranks > 1 and op.network_bytes is not None
    )


def link_words(fabric: Collectives) -> str:
    """Return a link in words: its name and what one device sends over it, one direction."""
    name = LINKS[fabric.link].name.partition(",")[0] if fabric.link in LINKS else "own link"
    return f"{name}, {show(fabric.bytes_per_s, 'B/s')} each way"


def flow_table(scenario: Scenario, layout: Layout) -> list[dict[str, Any]]:
    """Return what runs on which link as table rows; nothing where no device sends."""
    own = setup(neutral(scenario)).fabric
    return [
        {
            "collective": one.words,
            "for": "outputs of the layers" if one.name == one.kind else one.name.replace("_", " "),
            "link": link_words(own.network if one.across and own.network else own),
            "sent by a device": show(one.sent_bytes, "B"),
            "time in a decode step": show(one.time_s, "s"),
        }
        for one in flows(scenario, layout)
    ]
