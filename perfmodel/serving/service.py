"""Service: the traffic on a scenario and the way its engine schedules it; and what one replica costs at each load."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, TypeAlias, get_args

import numpy as np

from perfmodel.estimate import setup
from perfmodel.formulas.combine import interference_time, request_time, simpson_mean
from perfmodel.formulas.serving import chunked_rate, closed_rate, resident_context
from perfmodel.memory import cache_bytes, device_bytes, device_cache_bytes, largest
from perfmodel.scenario import Scenario
from perfmodel.serving.lengths import Lengths
from perfmodel.setup import Setup
from perfmodel.workload import decode, prefill

Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Schedule = Literal["chunked", "prefill first", "disaggregated"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
PrefixHome = Literal["own", "shared", "host", "recomputed"]
PREFIX_HOMES: tuple[PrefixHome, ...] = get_args(PrefixHome)
#: Concurrencies that are priced; between them costs are interpolated.
GRID = 40
#: No engine is asked for more sequences at once than this.
MOST_SEQUENCES = 4096


@dataclass(frozen=True, slots=True)
class Service:
    """Traffic and scheduling on top of a scenario, which gives the mean lengths, the cached prefix and the devices.

    `input_variation`, `output_variation`: standard deviation of the lengths over their mean; 0 is constant.
    `schedule`: prompts in chunks beside the decode steps, prompts before decode steps, or on replicas of their own.
    `chunk`: prompt tokens a step may carry; 0 takes the engine's. `page`: tokens of a page of the KV cache.
    `sequences`: most requests in flight on a replica; 0 is what the memory holds.
    `prefix_home`: cached prefix of each request on the device, one for all, in host memory (loaded over PCIe on
    arrival), or not kept: computed again.
    `prefill_replicas`: replicas of dp that only prefill, when disaggregated; 0 takes the best split.
    """

    input_variation: float = 1.0
    output_variation: float = 1.0
    schedule: Schedule = "chunked"
    chunk: int = 0
    page: int = 16
    sequences: int = 256
    prefix_home: PrefixHome = "own"
    prefill_replicas: int = 0

    def __post_init__(self) -> None:
        """Refuse what no engine can do, by name and value."""
        for name, allowed in (("schedule", SCHEDULES), ("prefix_home", PREFIX_HOMES)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}={getattr(self, name)!r} is not one of {', '.join(allowed)}")
        for name, low in (("chunk", 0), ("page", 1), ("sequences", 0), ("prefill_replicas", 0)):
            if getattr(self, name) < low:
                raise ValueError(f"{name}={getattr(self, name)} is not allowed: it must be at least {low}")


@dataclass(frozen=True)
class Replica:
    """What one replica needs at each number of requests in flight, 1 to `most`.

    `step_s`: decode step at the mean context of what is in flight. `prompt_s`: prefill of a mean prompt. `held_s`: how
    long it keeps the others waiting; less than that where micro-batches share a pipeline.
    `opening_s`: decode step before the first token, of engines that need one.
    `load_s`: time to bring the cached prefix of a request from host memory. `sent_bytes`: cache of a prompt, which
    disaggregation sends to the decode replica, over `link_bytes_per_s`. `devices`: accelerators of a replica.
    `shape`: prefill time of equally likely prompts over that of the mean one.
    Engines without continuous batching of their own lend their kernels; the scheduling is taken as continuous.
    """

    scenario: Scenario
    service: Service
    devices: int
    replicas: int
    most: int
    step_s: Array
    prompt_s: Array
    held_s: Array
    opening_s: Array
    load_s: float
    sent_bytes: float
    link_bytes_per_s: float
    shape: Array = field(repr=False)

    @property
    def input(self) -> Lengths:
        """Prompt lengths."""
        return Lengths(float(self.scenario.input), self.service.input_variation)

    @property
    def output(self) -> Lengths:
        """Answer lengths."""
        return Lengths(float(self.scenario.output), self.service.output_variation)

    @property
    def in_flight(self) -> Array:
        """Numbers of requests in flight, 1 to `most`."""
        return np.arange(1.0, self.most + 1.0)

    @property
    def chunk(self) -> float:
        """Prompt tokens that one step may carry."""
        return float(self.service.chunk or setup(self.scenario).engine.chunk_tokens)

    @property
    def tpot_s(self) -> Array:
        """Time per output token with this many in flight, other requests' prefill included [s]."""
        if self.service.schedule == "disaggregated":
            return self.step_s
        n = self.in_flight
        others: Array = interference_time(self.held_s * n, n, float(self.scenario.output))
        return np.asarray(self.step_s + others)

    @property
    def rate(self) -> Array:
        """Requests finished per second with this many in flight [1/s]; of decode alone when disaggregated."""
        own = 0.0 if self.service.schedule == "disaggregated" else self.prompt_s
        stay = request_time(own + self.opening_s, self.tpot_s, float(self.scenario.output))
        finished = closed_rate(self.in_flight, np.maximum(stay, 1e-12))
        if self.service.schedule != "chunked":
            return np.asarray(finished)
        token_s = self.held_s / self.scenario.input
        budget = chunked_rate(self.step_s, token_s, self.chunk, float(self.scenario.input))
        return np.asarray(np.minimum(finished, budget))


@lru_cache(maxsize=128)
def replica(scenario: Scenario, service: Service) -> Replica:
    """Price one replica of a scenario at every concurrency its memory allows; `most` is 0 if not one request fits.

    The decode step is taken at the context of what is in flight at a random moment; paging wastes half a page a
    sequence. Times are those of `estimate` at that batch.
    """
    if service.schedule == "disaggregated" and scenario.dp < 2:
        raise ValueError(f"dp={scenario.dp} is not allowed: disaggregation needs replicas for both, so at least dp=2")
    s, replicas = unit(scenario)
    resolved, recomputed = setup(s), service.prefix_home == "recomputed"
    context = resident_context(s.prefix, s.input, s.output, service.output_variation)
    most = _most(s, service, resolved, context + (service.page - 1) / 2.0)
    n = np.unique(np.round(np.geomspace(1, max(1, most), GRID)))
    new, past = (s.input + s.prefix, 0) if recomputed else (s.input, s.prefix)
    start = float(s.prefix + s.input)
    end = max(start, 2.0 * context - start - 2.0)
    # Fewer requests than micro-batches: each is one of its own, as if all were there.
    many = np.maximum(n, s.mb) * s.dp
    steps = np.asarray(resolved.run(decode(many[:, None], np.array([start, context, end]))).time_s)
    steps = np.asarray(resolved.between_steps_s(steps))
    # A round of speculative decoding gives several tokens: its time counts for each of them.
    step = simpson_mean(steps[:, 0], steps[:, 1], steps[:, 2]) / resolved.tokens_per_step
    passes, each = np.asarray(resolved.run(prefill(many, new, past)).time_s), many / s.dp
    all_n = np.arange(1.0, most + 1.0)
    d, value = resolved.model.dimensions, resolved.precision.kv_bytes
    prefix_bytes = float(cache_bytes(d, float(s.prefix), value)) if service.prefix_home == "host" and s.prefix else 0.0
    link = resolved.chip.link_bytes_per_s
    return Replica(
        scenario=scenario,
        service=service,
        devices=s.n,
        replicas=replicas,
        most=most,
        step_s=np.interp(all_n, n, step),
        prompt_s=np.interp(all_n, n, passes * s.mb / each),
        held_s=np.interp(all_n, n, resolved.between_steps_s(passes) / each),
        opening_s=np.interp(all_n, n, steps[:, 1]) * resolved.engine.first_token_step,
        load_s=_over(prefix_bytes, s.tp * resolved.chip.pcie_bytes_per_s),
        sent_bytes=float(cache_bytes(d, start, value)),
        link_bytes_per_s=s.tp * (link if link > 0 else resolved.chip.pcie_bytes_per_s),
        shape=_prompt_shape(resolved, service, s),
    )


def _over(amount: float, per_s: float) -> float:
    return amount / per_s if amount else 0.0


def unit(scenario: Scenario) -> tuple[Scenario, int]:
    """Return the smallest part that serves on its own, and how many there are: experts may span several replicas."""
    dp = max(1, scenario.ep // scenario.tp)
    least = scenario.mb * (scenario.tp if scenario.adp else 1)
    unit = scenario.change(n=scenario.n // scenario.dp * dp, dp=dp, batch=dp * least)
    return unit, scenario.dp // dp


def _most(s: Scenario, service: Service, resolved: Setup, context: float) -> int:
    """Return the most requests in flight: what the memory holds at their mean context, and what the engine allows."""
    capacity = resolved.chip.memory_bytes
    if service.prefix_home == "shared" and s.prefix:
        capacity -= float(device_cache_bytes(resolved, float(s.dp), float(s.prefix)))
        context -= s.prefix
    # A request of mean length must fit as a whole.
    context = max(context, 1.0)
    fit = largest(lambda n: device_bytes(resolved, n * s.dp, float(s.input), context), capacity, float(MOST_SEQUENCES))
    return min(fit, service.sequences or MOST_SEQUENCES, MOST_SEQUENCES)


def _prompt_shape(resolved: Setup, service: Service, s: Scenario) -> Array:
    """Return the prefill time of equally likely prompts over that of the mean prompt: attention grows with the square.

    Prompts share passes, so that what does not grow with the length (reading the weights) is nobody's own.
    """
    lengths = Lengths(float(s.input), service.input_variation).points()
    past = 0.0 if service.prefix_home == "recomputed" else float(s.prefix)
    more = float(s.prefix) if service.prefix_home == "recomputed" else 0.0
    cost = np.asarray(resolved.run(prefill(8.0 * resolved.holders * s.mb, lengths + more, past)).time_s)
    return np.asarray(cost / cost.mean())
