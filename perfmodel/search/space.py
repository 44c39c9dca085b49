"""Space: what a search looks at: accelerators, layouts of a replica, data types, engines; batches are an array."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from perfmodel.estimate import setup
from perfmodel.hardware import ACCELERATORS
from perfmodel.memory import weight_bytes
from perfmodel.scenario import Scenario

Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

#: Tensor-parallel groups that are tried; pipelines of the widest only where the weights take much of its memory.
GROUPS, STAGES = (1, 2, 4, 8), (1, 2, 4, 8)
#: Stages are tried if the weights fit into all of them, and take more than this share of half as many: more stages
#: leave more to the cache, but add sends.
CROWDED = 0.4
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

    @property
    def mb(self) -> int:
        """Micro-batches that take turns in the pipeline: one a stage, so that none idles."""
        return self.pp

    def fields(self, replicas: int = 1, batch: int = 1) -> dict[str, object]:
        """Return what the combination sets in a scenario; a replica has at least a sequence a micro-batch."""
        own = {name: getattr(self, name) for name in ("gpu", "tp", "pp", "mb", "ep", "weights", "kv", "engine")}
        return own | {
            "n": self.devices * replicas, "dp": replicas, "batch": max(batch, self.mb) * replicas, "math": "auto",
            "cp": 1, "sp": False, "adp": False, "spread": "1d", "kv_split": "heads",
        }  # fmt: skip

    def scenario(self, asked: Scenario, replicas: int = 1, batch: int = 1) -> Scenario:
        """Return the question on this combination; a `ValueError` says what does not go together."""
        chip = asked.chip if self.gpu == asked.gpu else None
        return asked.change(chip=chip, **self.fields(replicas, batch))


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
        """Return every combination of names; experts of a mixture are tried split and spread over the group.

        Pipelines only of the widest group, and only where the weights crowd its memory.
        """
        return _combinations(self)

    def filled(self, gpu: str, weights: str) -> float:
        """Return the share of the memory of the widest group that the weights take in this type."""
        one = Combination(gpu, 1, 1, 1, weights, "bf16", self.engines[0]).scenario(self.asked)
        return weight_bytes(setup(one)) / (max(self.groups) * one.resolved_gpu.memory_bytes)


@lru_cache(maxsize=8)
def _combinations(space: Space) -> tuple[Combination, ...]:
    experts, widest = space.asked.resolved_model.dimensions.experts, max(space.groups)
    filled = {(gpu, weights): space.filled(gpu, weights) for gpu in space.gpus for weights, _ in space.types}
    return tuple(
        Combination(gpu, tp, pp, ep, weights, kv, engine)
        for gpu in space.gpus
        for engine in space.engines
        for tp in space.groups
        for pp in space.stages
        if tp * pp == 1 or connected(gpu)
        for ep in ((1, tp) if experts and tp > 1 and experts % tp == 0 else (1,))
        for weights, kv in space.types
        if pp == 1 or (tp == widest and CROWDED * pp / 2.0 < filled[gpu, weights] < pp)
    )


def space_of(scenario: Scenario, **names: tuple[object, ...]) -> Space:
    """Return the space of a scenario: its model and lengths; what it runs on does not matter."""
    defaults = Scenario()
    hardware = (
        *("gpu", "chip", "n", "tp", "pp", "dp", "ep", "cp", "mb", "sp", "adp", "spread", "kv_split"),
        *("batch", "weights", "kv", "engine", "math"),
    )
    plain = {name: getattr(defaults, name) for name in hardware}
    own = scenario.gpu if scenario.chip else None
    if own:
        plain |= {"gpu": own, "chip": scenario.chip}
        names.setdefault("gpus", (own, *priced_chips()))
    return Space(scenario.change(**plain), **names)  # type: ignore[arg-type]
