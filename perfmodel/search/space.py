"""Space: what a search looks at: accelerators, layouts of a replica, data types, engines; batches are an array."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from perfmodel.hardware import ACCELERATORS
from perfmodel.scenario import Scenario

Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

#: Tensor-parallel groups that are tried; pipelines only where a model needs more than one group.
GROUPS, STAGES = (1, 2, 4, 8), (1,)
#: Weights and cache that are tried.
TYPES = (("bf16", "bf16"), ("fp8", "fp8"), ("int4", "bf16"))
#: Requests in flight on a replica.
BATCHES = tuple(int(b) for b in np.unique(np.round(np.geomspace(1, 1024, 71))))


def priced_chips() -> tuple[str, ...]:
    """Return the accelerators whose peak, bandwidth and memory are published."""
    chips = (ACCELERATORS[id] for id in ACCELERATORS)
    return tuple(c.id for c in chips if c.peak_flops and c.memory_bytes_per_s > 0 and c.memory_bytes > 0)


def listed_chips() -> tuple[str, ...]:
    """Return those of them that have a list price."""
    return tuple(id for id in priced_chips() if ACCELERATORS[id].usd_per_hour > 0)


def connected(gpu: str) -> bool:
    """Tell whether several of this accelerator can share a model: a link or PCIe is known, or it is the user's own."""
    if gpu not in ACCELERATORS:
        return True
    chip = ACCELERATORS[gpu]
    return chip.link_bytes_per_s > 0 or chip.pcie_bytes_per_s > 0


@dataclass(frozen=True, slots=True)
class Combination:
    """The names of one kind of replica: accelerator, layout, types, engine."""

    gpu: str
    tp: int
    pp: int
    ep: int
    weights: str
    kv: str
    engine: str

    @property
    def devices(self) -> int:
        """Accelerators of a replica."""
        return self.tp * self.pp

    def scenario(self, asked: Scenario, replicas: int = 1, batch: int = 1) -> Scenario:
        """Return the question on this combination; a `ValueError` says what does not go together."""
        fields = {name: getattr(self, name) for name in ("tp", "pp", "ep", "weights", "kv", "engine")}
        chip = asked.chip if self.gpu == asked.gpu else None
        n = self.devices * replicas
        return asked.change(gpu=self.gpu, chip=chip, n=n, dp=replicas, batch=batch * replicas, math="auto", **fields)


@dataclass(frozen=True)
class Space:
    """A question and the names to try on it. `variation`: spread of the prompt lengths, for the wait of prompts."""

    asked: Scenario
    gpus: tuple[str, ...] = field(default_factory=priced_chips)
    groups: tuple[int, ...] = GROUPS
    stages: tuple[int, ...] = STAGES
    types: tuple[tuple[str, str], ...] = TYPES
    engines: tuple[str, ...] = ("vllm",)
    batches: tuple[int, ...] = BATCHES
    variation: float = 1.0

    def combinations(self) -> tuple[Combination, ...]:
        """Return every combination of names; experts of a mixture are tried split and spread over the group."""
        experts = self.asked.resolved_model.dimensions.experts
        return tuple(
            Combination(gpu, tp, pp, ep, weights, kv, engine)
            for gpu in self.gpus
            for engine in self.engines
            for tp in self.groups
            for pp in self.stages
            if tp * pp == 1 or connected(gpu)
            for ep in ((1, tp) if experts and tp > 1 and experts % tp == 0 else (1,))
            for weights, kv in self.types
        )


def space_of(scenario: Scenario, **names: tuple[object, ...]) -> Space:
    """Return the space of a scenario: its model and lengths; what it runs on does not matter."""
    defaults = Scenario()
    hardware = ("gpu", "chip", "n", "tp", "pp", "dp", "ep", "batch", "weights", "kv", "engine", "math")
    plain = {name: getattr(defaults, name) for name in hardware}
    own = scenario.gpu if scenario.chip else None
    if own:
        plain |= {"gpu": own, "chip": scenario.chip}
        names.setdefault("gpus", (own, *priced_chips()))
    return Space(scenario.change(**plain), **names)  # type: ignore[arg-type]
