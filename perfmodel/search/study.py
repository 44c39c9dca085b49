"""Study: every combination of a space priced over all batches, streamed; here, or on a cluster with the same results.

Why Dask for the cluster, not Ray: it is plain Python that installs in a second and runs where the dashboard runs; work
is a thousand independent calls of a pure function, a few megabytes back, so that Ray's shared object store, actors and
native binaries bring nothing; `Client.map` and `as_completed` are all that is needed, and an existing cluster (SSH,
SLURM, Kubernetes) is reached by its address. Neither is needed for anything else: it is imported when asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np

from perfmodel.cost import working_share
from perfmodel.estimate import setup
from perfmodel.formulas.combine import output_rate, request_time, simpson_mean
from perfmodel.formulas.cost import drawn_power
from perfmodel.formulas.sharing import pipeline_fill_time
from perfmodel.memory import device_bytes
from perfmodel.report import request_parts
from perfmodel.search.space import Combination, Space
from perfmodel.serving.first import first_token
from perfmodel.setup import Setup
from perfmodel.workload import answer_steps, prefill

Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

#: What is known of each batch of a combination, in this order.
COLUMNS = ("batch", "tpot_s", "first_s", "first95_s", "tokens_per_s", "requests_per_s", "memory_bytes", "busy")
#: Combinations between two reports of progress.
BLOCK = 24
IDLE_SHARE = 0.2
#: Workers on this machine; a busy one may take minutes to start them.
LOCAL = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "death_timeout": 300}


@dataclass(frozen=True)
class Priced:
    """One combination over all batches: an array of shape (columns, batches), or why it cannot be."""

    combination: Combination
    values: Array | None
    problem: str = ""


def evaluate(space: Space, combination: Combination) -> Priced:
    """Price one combination over the batches of the space. Times are those of `estimate` at each batch.

    The first token is with the queue of a replica that always has this many requests in flight.
    """
    try:
        scenario = combination.scenario(space.asked)
        resolved = setup(scenario)
        return Priced(combination, _columns(space, resolved))
    except ValueError as error:
        return Priced(combination, None, str(error))


def _columns(space: Space, resolved: Setup) -> Array:
    # A pipeline has a sequence a micro-batch at least.
    s, batch = space.asked, np.maximum(np.array(space.batches, dtype=np.float64), resolved.mb)
    later = resolved.run(answer_steps(batch[:, None], s.prefix, s.input, s.output))
    steps = np.asarray(later.time_s)
    mean, middle = np.asarray(simpson_mean(*steps.T)), steps[:, 1]
    first = resolved.run(prefill(batch, s.input, s.prefix))
    prompts, out = np.asarray(first.time_s), float(s.output)
    first_s, tpot = request_parts(resolved, prompts, mean, middle, batch, out)
    request = request_time(first_s, tpot, out)
    rate = batch / request
    step = resolved.between_steps_s(mean) / resolved.tokens_per_step
    # A fixed batch starts together: its prompts are one pass, nobody joins later.
    queued = late = first_s
    if resolved.engine.continuous:
        opening = resolved.between_steps_s(middle) * resolved.engine.first_token_step
        held = resolved.between_steps_s(prompts) / batch
        queued, late = (t + opening for t in first_token(rate, first_s - opening, held, step, space.variation))
    memory = device_bytes(resolved, batch, float(s.input), float(s.prefix + s.input + s.output))
    prefill_s = pipeline_fill_time(prompts, float(resolved.pp), float(resolved.mb))
    busy = working_share(resolved, (first.shares, later.shares[..., 1]), prefill_s, step * (out - 1.0))
    made = output_rate(batch, out, request)
    return np.stack([batch, tpot, queued, late, made, rate, np.broadcast_to(memory, batch.shape), busy])


@dataclass(frozen=True, eq=False)
class Study:
    """What has been priced so far: combinations, their points as columns, and what could not be priced."""

    space: Space
    combinations: tuple[Combination, ...]
    index: Any
    columns: dict[str, Array]
    impossible: Counter[str] = field(default_factory=Counter)

    @property
    def points(self) -> int:
        """Points priced."""
        return int(self.index.size)

    def of(self, name: str) -> Any:
        """Return a property of each point's combination: gpu, tp, weights, devices …"""
        return np.array([getattr(c, name) for c in self.combinations])[self.index]

    @cached_property
    def devices(self) -> Array:
        """Accelerators of a replica, for each point."""
        return np.asarray(self.of("devices"), dtype=np.float64)

    def chip_number(self, name: str) -> Array:
        """Return a number of each point's accelerator, such as its memory or price."""
        values = [float(getattr(c.scenario(self.space.asked).resolved_gpu, name)) for c in self.combinations]
        return np.array(values)[self.index] if values else np.zeros(0)

    @cached_property
    def capacity(self) -> Array:
        """Memory of each point's accelerator [B]."""
        return self.chip_number("memory_bytes")

    @cached_property
    def power_w(self) -> Array:
        """Power of one accelerator at each point [W]."""
        return np.asarray(drawn_power(self.chip_number("tdp_w"), IDLE_SHARE, self.columns["busy"]))

    @cached_property
    def fits(self) -> Any:
        """Whether each point fits its memory."""
        return self.columns["memory_bytes"] <= self.capacity


@dataclass(frozen=True)
class Progress:
    """How far a search is, and all that it has priced."""

    done: int
    total: int
    priced: tuple[Priced, ...]
    space: Space

    @property
    def words(self) -> str:
        """The progress as text."""
        points = sum(p.values.shape[1] for p in self.priced if p.values is not None)
        return f"{self.done:,} of {self.total:,} combinations, {points:,} points"

    def study(self) -> Study:
        """Put together what has been priced so far, in the order of the space."""
        good = [p for p in self.priced if p.values is not None]
        width = len(self.space.batches)
        table = np.concatenate([p.values for p in good], axis=1) if good else np.zeros((len(COLUMNS), 0))
        index = np.repeat(np.arange(len(good)), width)
        failed = Counter(_kind(p.problem) for p in self.priced if p.values is None)
        columns = dict(zip(COLUMNS, table, strict=True))
        return Study(self.space, tuple(p.combination for p in good), index, columns, failed)


def _kind(problem: str) -> str:
    """Return the kind of a problem, without the numbers of one combination."""
    for sign, kind in (
        ("does not divide", "the heads cannot be split that way"),
        ("neither divides", "the heads cannot be split that way"),
        ("published", "numbers of the accelerator are not published"),
        ("context", "the context is longer than the model allows"),
    ):
        if sign in problem:
            return kind
    return problem


def search(space: Space, cluster: str = "", known: tuple[Priced, ...] = ()) -> Iterator[Progress]:
    """Price a space block by block; stop by no longer asking. The last `Progress` holds everything.

    `known`: what a stopped search has priced already (`Progress.priced`, without a cluster): it goes on from there.

    `cluster`: "" prices here, "dask" on workers started on this machine, "tcp://…" on a running Dask cluster; the
    results are the same, in the same order.
    """
    everything = space.combinations()
    blocks = [everything[i : i + BLOCK] for i in range(len(known), len(everything), BLOCK)]
    found: dict[int, list[Priced]] = {-1: list(known)}
    stream = _on_cluster(space, blocks, cluster) if cluster else _here(space, blocks)
    done = len(known)
    for number, priced in stream:
        found[number] = priced
        done += len(priced)
        ordered = tuple(p for n in sorted(found) for p in found[n])
        yield Progress(done, len(everything), ordered, space)


def priced_block(space: Space, block: tuple[Combination, ...]) -> list[Priced]:
    """Price some combinations: the unit of work that travels to a worker."""
    return [evaluate(space, combination) for combination in block]


def _here(space: Space, blocks: list[tuple[Combination, ...]]) -> Iterator[tuple[int, list[Priced]]]:
    for number, block in enumerate(blocks):
        yield number, priced_block(space, block)


def _on_cluster(
    space: Space, blocks: list[tuple[Combination, ...]], cluster: str
) -> Iterator[tuple[int, list[Priced]]]:
    try:
        # Its calls are untyped, and most installations do without it.
        dask: Any = import_module("distributed")
    except ImportError:
        raise ValueError(f"cluster={cluster!r} needs Dask: install the package 'distributed'") from None
    if cluster != "dask" and "://" not in cluster:
        raise ValueError(f"cluster={cluster!r} is not allowed: it must be empty, dask, or an address such as tcp://…")
    local = dask.LocalCluster(**LOCAL) if cluster == "dask" else None
    try:
        with dask.Client(local or cluster) as client:
            futures = [client.submit(priced_block, space, block, pure=False) for block in blocks]
            numbers = {future.key: number for number, future in enumerate(futures)}
            for future, priced in dask.as_completed(futures, with_results=True):
                yield numbers[future.key], priced
    finally:
        if local:
            local.close()


def whole(space: Space, cluster: str = "") -> Study:
    """Price a whole space at once."""
    if not space.combinations():
        raise ValueError("the space is empty: give at least one accelerator, layout, type and engine")
    *_, last = search(space, cluster)
    return last.study()
