"""A small discrete-event simulation of one replica, step by step: what the formulas of `steady` are checked against."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from perfmodel.scenario import Scenario
from perfmodel.serving.service import Replica, Service, replica

Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

#: Requests at the start that are not counted: the replica begins empty.
WARM_UP = 0.1


@dataclass(frozen=True)
class Simulated:
    """What happened to each request, in order of arrival [s], and how many were inside, summed over time [s].

    `tokens`: prompt and answer tokens computed. `area_s`: integral of the number inside over time.
    """

    arrival_s: Array
    first_s: Array
    finish_s: Array
    output: Array
    prompt_tokens: float
    answer_tokens: float
    area_s: float

    @property
    def counted(self) -> slice:
        """The requests after the warm-up."""
        return slice(int(WARM_UP * self.arrival_s.size), None)

    @property
    def time_to_first_s(self) -> Array:
        """Time to first token of the counted requests [s]."""
        return (self.first_s - self.arrival_s)[self.counted]

    @property
    def time_per_token_s(self) -> Array:
        """Time per token after the first of the counted requests that have more than one [s]."""
        steps = (self.output - 1.0)[self.counted]
        spent = (self.finish_s - self.first_s)[self.counted]
        return np.asarray(spent[steps > 0] / steps[steps > 0])


@dataclass
class _Server:
    """The state of the replica between two steps."""

    one: Replica
    inputs: Array
    outputs: Array
    shares: Array
    first: Array
    finish: Array
    clock: float = 0.0
    decoded: int = 0
    waiting: deque[int] = field(default_factory=deque)
    prompts: deque[list[float]] = field(default_factory=deque)
    running: list[tuple[int, int]] = field(default_factory=list)
    prompt_tokens: float = 0.0
    answer_tokens: float = 0.0

    def inside(self) -> int:
        """Requests that are being served."""
        return len(self.prompts) + len(self.running)

    def admit(self) -> None:
        """Let waiting requests in while there is room."""
        while self.waiting and self.inside() < self.one.most:
            number = self.waiting.popleft()
            self.prompts.append([float(number), self.inputs[number]])

    def step(self) -> None:
        """Run one step: prompt tokens up to the budget, and one token of every running request unless prompts lead."""
        at = self.inside() - 1
        budget, cost, done = self.one.chunk, 0.0, []
        while self.prompts and budget > 0:
            number, left = self.prompts[0]
            taken = min(left, budget)
            budget -= taken
            self.prompt_tokens += taken
            cost += self.one.prompt_s[at] * self.shares[int(number)] * taken / self.inputs[int(number)]
            if taken < left:
                self.prompts[0][1] = left - taken
                break
            done.append(int(number))
            self.prompts.popleft()
        decodes = bool(self.running) and not (cost and self.one.service.schedule == "prefill first")
        self.clock += cost + (self.one.step_s[len(self.running) - 1] if decodes else 0.0)
        if decodes:
            self.decoded += 1
            self.answer_tokens += len(self.running)
            while self.running and self.running[0][0] <= self.decoded:
                self.finish[heapq.heappop(self.running)[1]] = self.clock
        for number in done:
            self._begin(number)

    def _begin(self, number: int) -> None:
        self.first[number] = self.clock
        self.answer_tokens += 1
        left = int(self.outputs[number]) - 1
        if left:
            heapq.heappush(self.running, (self.decoded + left, number))
        else:
            self.finish[number] = self.clock


def simulate(scenario: Scenario, service: Service, rate: float, requests: int = 2000, seed: int = 0) -> Simulated:
    """Simulate one replica that gets its part of `rate` at random: requests with lengths drawn, steps one by one.

    A step costs what `Replica` says for the number in flight; answers are counted at the mean context, requests are
    not preempted. Not for disaggregated pools.
    """
    one = replica(scenario, service)
    if not one.most:
        raise ValueError(f"not one request of {scenario.model} fits on {scenario.gpu}: nothing to simulate")
    if service.schedule == "disaggregated":
        raise ValueError("schedule='disaggregated' is not simulated; 'chunked' and 'prefill first' are")
    if scenario.mb > 1:
        raise ValueError(f"mb={scenario.mb} is not simulated: one batch at a time in a pipeline is")
    generator = np.random.default_rng(seed)
    arrival = np.cumsum(generator.exponential(one.replicas / rate, requests))
    inputs, outputs = one.input.draw(generator, requests), one.output.draw(generator, requests)
    shares = np.interp(inputs, one.input.points(), one.shape) if service.input_variation else np.ones(requests)
    server = _Server(one, inputs, outputs, shares, np.zeros(requests), np.zeros(requests))
    area, came, left = 0.0, 0, requests
    while left:
        if not server.inside() and not server.waiting:
            server.clock = max(server.clock, arrival[came])
        while came < requests and arrival[came] <= server.clock:
            server.waiting.append(came)
            came += 1
        server.admit()
        before, present = server.clock, server.inside() + len(server.waiting)
        server.step()
        # Those who arrive during the step are inside for the rest of it.
        late = arrival[came : np.searchsorted(arrival, server.clock, side="right")]
        area += present * (server.clock - before) + float((server.clock - late).sum())
        left = requests - came + server.inside() + len(server.waiting)
    # Requests wait for the end of the step in which they arrived: that wait is in the area of the step above.
    return Simulated(arrival, server.first, server.finish, outputs, server.prompt_tokens, server.answer_tokens, area)
