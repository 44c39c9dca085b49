"""The steady state under load: how many requests are in flight, how long they wait, what they see, what is good.

The number in flight on a replica is a birth-death chain: requests arrive at random, and with n in flight they are
finished at the rate X(n) of closed-loop batching at n, which is the estimate's own time of a request. Such a processor
-sharing queue does not depend on the distribution of the lengths beyond their mean. Beyond the most that fit, requests
wait for admission. Prompts wait for each other (Pollaczek-Khinchine) and for the step that is running.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from perfmodel.formulas.serving import averaging_factor, gated_interval, pool_wait, queue_wait
from perfmodel.scenario import Scenario
from perfmodel.serving.service import Replica, Service, replica

Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

#: Points of the mixture of waits: a lattice in as many dimensions as there are waits.
LATTICE = 512
#: Share of the variance of the time per token that is left after averaging over a request: one stay long.
AVERAGED = float(averaging_factor(1.0))


@dataclass(frozen=True)
class Load:
    """What a service does at given arrival rates; all arrays over the rates. Infinite where requests pile up.

    `rate`: arrivals on all replicas [1/s]. `capacity`: rate at which waiting becomes infinite.
    `in_flight`: mean requests in service on one replica; `waiting`: mean requests not yet admitted.
    `first_s`, `token_s`: samples of time to first token and of time per token, shape (rates, samples), equally likely.
    `first_mean_s`, `token_mean_s`: their means. `stay_s`: mean time of a request, by Little's law.
    `prefilling`: replicas that only prefill, when disaggregated.
    """

    replica: Replica
    rate: Array
    capacity: float
    in_flight: Array
    waiting: Array
    first_s: Array
    token_s: Array
    first_mean_s: Array
    token_mean_s: Array
    stay_s: Array
    prefilling: int = 0

    def quantile(self, what: str, share: float) -> Array:
        """Return the time that this share of the requests does not exceed; `what` is "first_s" or "token_s"."""
        found: Array = np.quantile(getattr(self, what), share, axis=1, method="inverted_cdf")
        return found

    def good_share(self, first_s: float, token_s: float) -> Array:
        """Return the share of requests whose first token and time per token are both in time, taken as independent."""
        return np.asarray((self.first_s <= first_s).mean(axis=1) * (self.token_s <= token_s).mean(axis=1))

    def goodput(self, first_s: float, token_s: float) -> Array:
        """Return the requests per second that meet both objectives [1/s]."""
        return np.asarray(self.rate * self.good_share(first_s, token_s))


def load(scenario: Scenario, service: Service, rate: Any) -> Load:
    """Return the steady state of a scenario's replicas under these arrival rates [1/s], random arrivals spread evenly.

    Validity: replicas get independent random streams; at most `Replica.most` in flight, no preemption; against the
    simulation of the steps (`simulate`), medians over 30 loads of 20 to 85 % of the capacity: 1 % of the time per
    token, 9 % of the mean and of the 95th percentile of the time to first token, 4 % of the number inside.
    """
    one = replica(scenario, service)
    rates = np.atleast_1d(np.asarray(rate, dtype=np.float64))
    if np.any(rates <= 0) or not np.all(np.isfinite(rates)):
        raise ValueError("rate must be finite and above 0 requests per second")
    if not one.most:
        nothing = np.full(rates.size, np.inf)
        table = np.full((rates.size, 1), np.inf)
        return Load(one, rates, 0.0, nothing, nothing, table, table, nothing, nothing, nothing)
    return _split(one, rates) if service.schedule == "disaggregated" else _together(one, rates)


def capacity(scenario: Scenario, service: Service) -> float:
    """Return the arrival rate at which waiting becomes infinite [1/s]; 0 where not one request fits."""
    one = replica(scenario, service)
    if not one.most:
        return 0.0
    if service.schedule == "disaggregated":
        return max(_split_capacity(one, k) for k in _splits(one))
    return float(one.rate.max() * one.replicas)


@dataclass(frozen=True)
class Chain:
    """The birth-death chain at each rate: mean in flight, mean waiting, share that waits, weights of states."""

    in_flight: Array
    waiting: Array
    waits: Array
    seen: Array
    stable: Array


def chain_of(rates: Array, finished: Array) -> Chain:
    """Solve the chain for arrival rates on one replica; `finished[n - 1]` is the rate with n in flight."""
    # More in flight never finish fewer: an engine that loses by batching would batch less.
    speed = np.maximum.accumulate(finished)
    n = np.arange(speed.size + 1.0)
    with np.errstate(divide="ignore"):
        steps = np.concatenate([[0.0], np.cumsum(np.log(speed))])
    logs = n[None, :] * np.log(rates)[:, None] - steps[None, :]
    busy = rates / speed[-1]
    stable = busy < 1.0
    ratio = np.where(stable, busy, 0.0)
    weight = np.exp(logs - logs.max(axis=1, keepdims=True))
    tail = weight[:, -1] * ratio / (1.0 - ratio)
    total = weight.sum(axis=1) + tail
    share = weight / total[:, None]
    beyond = tail / total
    waiting = share[:, -1] * ratio / (1.0 - ratio) ** 2
    in_flight = share @ n + beyond * n[-1]
    # An arrival sees the state as it is; with it there is one more, and never more than the most.
    seen = share[:, :-1].copy()
    seen[:, -1] += share[:, -1] + beyond
    return Chain(
        np.where(stable, in_flight, n[-1]),
        np.where(stable, waiting, np.inf),
        np.where(stable, share[:, -1] + beyond, 1.0),
        np.where(stable[:, None], seen, np.eye(1, speed.size, speed.size - 1)),
        stable,
    )


def _together(one: Replica, rates: Array) -> Load:
    each = rates / one.replicas
    chain = chain_of(each, one.rate)
    at = np.clip(np.round(chain.in_flight).astype(int), 1, one.most) - 1
    prompt, held, step = one.prompt_s[at], one.held_s[at], one.step_s[at]
    spread = float(one.shape.std())
    if one.service.schedule == "chunked":
        # In chunks a prompt of n tokens also waits for the decode part of n / C steps.
        steps = one.scenario.input / one.chunk
        own = prompt * one.shape[:, None] + step * np.maximum(1.0, steps * one.shape[:, None])
        met = gated_interval(step, each, held, spread)
        queue = queue_wait(each, held + steps * step, spread)
    else:
        own = prompt * one.shape[:, None]
        busy = np.minimum(each * held, 1.0)
        met = (1.0 - busy) * step + busy * gated_interval(0.0, each, held, spread) / np.maximum(busy, 1e-12)
        queue = queue_wait(each, held, spread)
    # Who arrives waits for the rest of the step, then shares the next one with all who came in the same step.
    company = np.minimum(1.0, each * held)
    piled = ~(np.isfinite(queue) & np.isfinite(met))
    late = np.where(piled, np.inf, np.maximum(0.0, np.where(piled, 0.0, queue) - company * np.where(piled, 0.0, met)))
    admission = np.where(chain.stable, (1.0 + one.service.output_variation**2) / 2.0 * chain.waiting / each, np.inf)
    waits = ((late, company), (admission, chain.waits))
    first = _mixture(own, waits, _Steps(met, np.minimum(step, met), company), one.load_s + one.opening_s[at])
    return _load(one, rates, one.rate.max() * one.replicas, chain, first, one.tpot_s)


def _split_capacity(one: Replica, prefill_replicas: int) -> float:
    decode_rate = (one.replicas - prefill_replicas) * float(one.rate.max())
    return min(prefill_replicas / float(one.held_s[0]), decode_rate)


def _splits(one: Replica) -> tuple[int, ...]:
    fixed = one.service.prefill_replicas
    if fixed >= one.replicas:
        raise ValueError(f"prefill_replicas={fixed} leaves none of {one.replicas} replicas to decode")
    return (fixed,) if fixed else tuple(range(1, one.replicas))


def _split(one: Replica, rates: Array) -> Load:
    k = max(_splits(one), key=lambda split: _split_capacity(one, split))
    each = rates / (one.replicas - k)
    chain = chain_of(each, one.rate)
    prompt, held = one.prompt_s[0], one.held_s[0]
    queue = pool_wait(rates, held, float(one.shape.std()), float(k))
    busy = np.minimum(1.0, rates * held / k) ** (np.sqrt(2.0 * (k + 1.0)) - 1.0)
    at = np.clip(np.round(chain.in_flight).astype(int), 1, one.most) - 1
    own = np.broadcast_to(prompt * one.shape[:, None], (one.shape.size, rates.size))
    admission = np.where(chain.stable, (1.0 + one.service.output_variation**2) / 2.0 * chain.waiting / each, np.inf)
    sent = one.sent_bytes / one.link_bytes_per_s
    step = one.step_s[at]
    waits = ((queue, busy), (admission, chain.waits))
    first = _mixture(own, waits, _Steps(step, step, np.zeros(rates.size)), one.load_s + sent + one.opening_s[at])
    return replace(_load(one, rates, _split_capacity(one, k), chain, first, one.tpot_s), prefilling=k)


def _load(one: Replica, rates: Array, most: float, chain: Chain, first: Array, tpot: Array) -> Load:
    stuck = ~(rates < most)
    mean = chain.seen @ tpot
    # The states' own quantiles, drawn towards their mean by what averaging over a request leaves of the variance.
    order = np.cumsum(chain.seen, axis=1)
    middles = (np.arange(LATTICE) + 0.5) / LATTICE
    states = np.stack([np.minimum(np.searchsorted(row, middles), tpot.size - 1) for row in order])
    token = mean[:, None] + (tpot[states] - mean[:, None]) * np.sqrt(AVERAGED)
    first = np.where(stuck[:, None], np.inf, first)
    first_mean = first.mean(axis=1)
    waiting = np.where(stuck, np.inf, chain.waiting)
    stay = first_mean + (one.scenario.output - 1.0) * mean
    return Load(one, rates, float(most), chain.in_flight, waiting, first, token, first_mean, mean, stay)


@lru_cache(maxsize=8)
def _lattice(dimensions: int) -> Array:
    """Return equally spread points of the unit cube: a Kronecker lattice on the roots of x^(d+1) = x + 1."""
    root = 1.5
    for _ in range(60):
        root = (1.0 + root) ** (1.0 / (dimensions + 1))
    steps = root ** -np.arange(1.0, dimensions + 1.0)
    return np.asarray((0.5 + np.arange(1.0, LATTICE + 1.0)[:, None] * steps) % 1.0)


@dataclass(frozen=True, slots=True)
class _Steps:
    """The step a request arrives in: its mean length and the least [s], and the share of it that its company adds."""

    mean_s: Array
    least_s: Array
    company: Array


def _mixture(own: Array, waits: tuple[tuple[Array, Array], ...], steps: _Steps, fixed: Array) -> Array:
    """Return samples of a sum, shape (rates, LATTICE): own time, waits (mean, share that waits), the running step."""
    points = _lattice(3 + len(waits))
    slices = np.minimum((points[:, 0] * own.shape[0]).astype(int), own.shape[0] - 1)
    # The step met lasts the least plus an exponential rest; the request falls anywhere into it.
    more = (steps.mean_s - steps.least_s)[:, None] * -np.log1p(-points[None, :, 1])
    met = steps.least_s[:, None] + np.where(np.isfinite(more), more, np.inf)
    total = own[slices].T + met * (points[None, :, 2] + steps.company[:, None]) + fixed[:, None]
    for column, (mean, busy) in enumerate(waits, start=3):
        share = np.maximum(np.minimum(busy, 1.0), 1e-300)[:, None]
        # Those who wait do so for an exponential time of mean W / rho.
        place = np.minimum(points[None, :, column] / share, 1.0)
        # Nobody waits where the place is 1, however long the wait of others is.
        drawn = np.where(place < 1.0, -np.log(np.maximum(place, 1e-12)), 1.0) * mean[:, None] / share
        total = total + np.where(place < 1.0, drawn, 0.0)
    return np.asarray(total)
