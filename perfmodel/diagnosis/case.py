"""Case: one phase of a scenario, its times by regime, on hardware that may be faster than the real one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from perfmodel.estimate import setup
from perfmodel.formulas.combine import decode_context, request_time, simpson_mean
from perfmodel.formulas.sharing import pipeline_fill_time
from perfmodel.formulas.types import Real
from perfmodel.report import request_parts
from perfmodel.scenario import Scenario
from perfmodel.setup import Setup
from perfmodel.step import REGIMES, Array, Step, faster
from perfmodel.workload import decode, prefill, real

#: What can be diagnosed, and how a sentence calls it.
PHASES = {"decode": "a decode step", "prefill": "prefill", "request": "the whole request"}
#: How a sentence calls what is limited by a resource.
BOUND = {
    "compute": "compute-bound",
    "memory": "memory-bound",
    "network": "communication-bound",
    "overhead": "overhead-bound",
}

Measure: TypeAlias = Callable[[Step], Any]


@dataclass(frozen=True)
class Case:
    """One phase of a workload on a setup. The four numbers may be arrays; they broadcast to one grid.

    "decode" is the step at context prefix + input + output/2, "prefill" the pass over the prompt, "request" prefill
    and every decode step, as `Report.e2e_s` counts them.
    """

    setup: Setup
    phase: str
    batch: Real
    input: Real
    output: Real
    prefix: Real

    def change(self, **numbers: Any) -> Case:
        """Return the case with other numbers; arrays are allowed."""
        return replace(self, **{name: real(value) for name, value in numbers.items()})

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The passes behind the phase: one, or for a request prefill and the first, middle and last decode step."""
        run = self.setup.run
        if self.phase == "decode":
            return (run(decode(self.batch, decode_context(self.prefix, self.input, self.output))),)
        if self.phase == "prefill":
            return (run(prefill(self.batch, self.input, self.prefix)),)
        # All passes of a request on the whole grid, so that they add up.
        batch, input, output, prefix = np.broadcast_arrays(self.batch, self.input, self.output, self.prefix)
        start = prefix + input
        contexts = (start, decode_context(prefix, input, output), start + np.maximum(output - 2.0, 0.0))
        return (run(prefill(batch, input, prefix)), *(run(decode(batch, context)) for context in contexts))

    def joined(self, measure: Measure, steps: tuple[Step, ...] | None = None) -> Any:
        """Return a linear measure of the phase (a time, or times by regime): a request's passes add up to one."""
        found = [measure(step) for step in steps or self.steps]
        own = self.setup
        if self.phase == "decode":
            return own.between_steps_s(found[0])
        if self.phase == "prefill":
            return pipeline_fill_time(found[0], float(own.pp), float(own.mb))
        mean = simpson_mean(*found[1:])
        return request_time(*request_parts(own, found[0], mean, found[2], self.batch, self.output), self.output)

    def parts_s(self, speed: Mapping[str, Real] | None = None) -> Array:
        """Return the time charged to each regime [s], shape (4, *grid), with resources `speed` times faster."""
        steps = tuple(faster(step, self.setup.engine, speed) for step in self.steps) if speed else self.steps
        return np.asarray(self.joined(lambda step: step.parts_s.sum(axis=1), steps))

    def time_s(self, speed: Mapping[str, Real] | None = None) -> Any:
        """Return the realistic time [s], shape of the grid, with resources `speed` times faster."""
        return self.parts_s(speed).sum(axis=0)[()]

    @cached_property
    def shares(self) -> Array:
        """Share of the time charged to each regime, shape (4, *grid)."""
        parts = self.parts_s()
        return np.asarray(parts / parts.sum(axis=0))

    @property
    def regime(self) -> str:
        """The regime with the largest share (scalar cases)."""
        return REGIMES[int(np.argmax(self.shares))]

    @cached_property
    def needs_s(self) -> Array:
        """What each resource needs on its own [s], shape (4, *grid); the host's launches count as overhead."""
        return np.asarray(self.joined(sequential_parts))

    @cached_property
    def overlapped_parts_s(self) -> Array:
        """The perfectly overlapped time, charged to what leads each operator [s], shape (4, *grid)."""
        return np.asarray(self.joined(overlapped_parts))


def sequential_parts(step: Step) -> Array:
    """Return what each resource needs if nothing overlaps [s]; adds up to `Step.sequential_s`."""
    needs = step.needs_s.sum(axis=1)
    needs[3] += step.host_s.sum(axis=0)
    return np.asarray(needs)


def overlapped_parts(step: Step) -> Array:
    """Return the perfectly overlapped time by the regime that leads each operator; adds up to `Step.overlapped_s`."""
    longest, lead = step.needs_s.max(axis=0), step.needs_s.argmax(axis=0)
    parts = np.stack([np.where(lead == index, longest, 0.0).sum(axis=0) for index in range(len(REGIMES))])
    # Where the host queues for longer than the device works, the rest is waiting for it.
    parts[3] += np.maximum(step.host_s.sum(axis=0) - parts.sum(axis=0), 0.0)
    return np.asarray(parts)


def case_of(scenario: Scenario, phase: str) -> Case:
    """Return one phase of a scenario as a case; `phase` is a key of `PHASES`."""
    if phase not in PHASES:
        raise ValueError(f"phase={phase!r} is not known; it must be one of {', '.join(PHASES)}")
    numbers = (float(value) for value in (scenario.batch, scenario.input, scenario.output, scenario.prefix))
    return Case(setup(scenario), phase, *numbers)
