"""Need: what must be promised to whom, and at what price; which points of a study can, what excluded the others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from perfmodel.cost import Tariff
from perfmodel.search.space import Combination
from perfmodel.search.study import Study
from perfmodel.units import MEGA

Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Goal = Literal["price", "devices", "energy"]
GOALS: tuple[Goal, ...] = get_args(Goal)
#: Replicas under random arrivals are planned to at most this share of their capacity: beyond it waits explode.
BUSIEST = 0.85
#: Why a point is excluded, in the order in which reasons are looked for.
REASONS = (
    "another vendor",
    "does not fit the memory",
    "tokens come too slowly",
    "the first token comes too late",
    "no price is known",
    "more devices than allowed",
    "over the budget",
)


@dataclass(frozen=True)
class Need:
    """What is needed. Zero means "no limit".

    `users`: requests in flight at the same time, all answered at once; or, with `per_hour` requests of each user, a
    random stream. `first_s`: time to first token that 95 % of the requests must not exceed, queue included;
    `tokens_per_s`: of each user. `budget`: USD per hour; `most`: accelerators; `vendor`: "" is any.
    """

    users: float = 1000.0
    per_hour: float = 0.0
    first_s: float = 2.0
    tokens_per_s: float = 30.0
    budget: float = 0.0
    most: float = 0.0
    vendor: str = ""
    goal: Goal = "price"
    tariff: Tariff = field(default_factory=Tariff)

    def __post_init__(self) -> None:
        """Refuse what nobody can need, by name and value."""
        for name in ("users", "per_hour", "first_s", "tokens_per_s", "budget", "most"):
            if not getattr(self, name) >= (1e-9 if name == "users" else 0.0):
                raise ValueError(f"{name}={getattr(self, name)} is not allowed: it must be above 0, or 0 for no limit")
        if self.goal not in GOALS:
            raise ValueError(f"goal={self.goal!r} is not one of {', '.join(GOALS)}")

    @property
    def rate(self) -> float:
        """Requests per second of all users, 0 where all are answered at once [1/s]."""
        return self.users * self.per_hour / 3600.0


@dataclass(frozen=True, slots=True)
class Offer:
    """One configuration that meets the need: replicas of a combination with a batch each.

    Times as a user sees them [s]; throughput of all [tokens/s]; USD/h of all; power of all accelerators [W];
    `planned`: requests that a replica is planned to finish under random arrivals [1/s].
    """

    combination: Combination
    replicas: int
    batch: int
    tpot_s: float
    first_s: float
    first95_s: float
    tokens_per_s: float
    usd_per_hour: float
    memory_share: float
    power_w: float
    planned: float

    @property
    def devices(self) -> int:
        """Accelerators in all."""
        return self.replicas * self.combination.devices

    @property
    def usd_per_million(self) -> float:
        """Price of a million output tokens at full load [USD]."""
        return self.usd_per_hour / 3600.0 / self.tokens_per_s * MEGA if self.tokens_per_s else float("nan")


@dataclass(frozen=True)
class Answer:
    """The points of a study under a need: which are feasible, what they take, and why the others are not."""

    study: Study
    need: Need

    @cached_property
    def price(self) -> Array:
        """Price of one accelerator at each point [USD/h]; NaN where unknown."""
        asked = self.study.space.asked
        chips = (c.scenario(asked).resolved_gpu for c in self.study.combinations)
        values = np.array([self.need.tariff.usd_per_hour(chip) for chip in chips])
        return np.asarray(values[self.study.index]) if values.size else np.zeros(0)

    @cached_property
    def replicas(self) -> Array:
        """Replicas that each point takes."""
        c, need = self.study.columns, self.need
        if not need.per_hour:
            return np.asarray(np.ceil(need.users / c["batch"]))
        return np.asarray(np.ceil(need.rate / self.planned))

    @cached_property
    def planned(self) -> Array:
        """Requests per second that a replica of each point is planned to: what it can, with room for waits [1/s]."""
        c = self.study.columns
        best = np.zeros(len(self.study.combinations))
        np.maximum.at(best, self.study.index, np.where(self.study.fits, c["requests_per_s"], 0.0))
        return np.asarray(np.minimum(c["requests_per_s"], BUSIEST * np.maximum(best[self.study.index], 1e-300)))

    @cached_property
    def devices(self) -> Array:
        """Accelerators that each point takes."""
        return np.asarray(self.replicas * self.study.devices)

    @cached_property
    def usd_per_hour(self) -> Array:
        """Price of an hour of each point [USD/h]."""
        return np.asarray(self.devices * self.price)

    @cached_property
    def first_problem(self) -> Any:
        """Index into `REASONS` of the first reason against each point; their number where there is none."""
        s, c, need = self.study, self.study.columns, self.need
        vendor = np.array([k.scenario(s.space.asked).resolved_gpu.vendor for k in s.combinations], dtype=object)
        wrong = (
            vendor[s.index] != need.vendor if need.vendor and vendor.size else np.zeros(s.points, bool),
            ~s.fits,
            c["tpot_s"] * need.tokens_per_s > 1.0,
            (c["first95_s"] > need.first_s) & (need.first_s > 0),
            ~np.isfinite(self.price) & (need.goal == "price" or need.budget > 0),
            (self.devices > need.most) & (need.most > 0),
            (self.usd_per_hour > need.budget) & (need.budget > 0),
        )
        return np.argmax(np.stack([*wrong, np.ones(s.points, bool)]), axis=0)

    @cached_property
    def feasible(self) -> Any:
        """Whether each point meets the need."""
        return self.first_problem == len(REASONS)

    @cached_property
    def excluded(self) -> Counter[str]:
        """How many points each reason excluded, combinations that cannot be built among them."""
        counts = np.bincount(self.first_problem, minlength=len(REASONS) + 1)
        found = Counter({reason: int(n) for reason, n in zip(REASONS, counts, strict=False) if n})
        return found + self.study.impossible

    @cached_property
    def score(self) -> Array:
        """What is minimised at each point: USD per hour, accelerators, or watts; ties go to fewer devices."""
        value = self.usd_per_hour if self.need.goal == "price" else self.devices
        if self.need.goal == "energy":
            value = self.devices * self.study.power_w
        return np.asarray(np.where(self.feasible & np.isfinite(value), value, np.inf))

    def offers(self, most: int = 10, each: int = 1) -> tuple[Offer, ...]:
        """Return the best offers, at most `each` for one accelerator, best first."""
        found: list[Offer] = []
        seen: Counter[str] = Counter()
        for point in self._order:
            if not np.isfinite(self.score[point]) or len(found) == most:
                break
            gpu = self.study.combinations[self.study.index[point]].gpu
            if seen[gpu] < each:
                seen[gpu] += 1
                found.append(self.offer(point))
        return tuple(found)

    @cached_property
    def _order(self) -> list[int]:
        columns = (self.study.columns["tpot_s"], self.devices, np.round(self.score, 9))
        return [int(point) for point in np.lexsort(columns)]

    def offer(self, point: int) -> Offer:
        """Return one point as an offer."""
        s, c = self.study, self.study.columns
        replicas = int(self.replicas[point])
        return Offer(
            combination=s.combinations[s.index[point]],
            replicas=replicas,
            batch=int(c["batch"][point]),
            tpot_s=float(c["tpot_s"][point]),
            first_s=float(c["first_s"][point]),
            first95_s=float(c["first95_s"][point]),
            tokens_per_s=float(c["tokens_per_s"][point]) * replicas,
            usd_per_hour=float(self.usd_per_hour[point]),
            memory_share=float(c["memory_bytes"][point] / s.capacity[point]),
            power_w=float(self.devices[point] * s.power_w[point]),
            planned=float(self.planned[point]),
        )

    def front(self, over: Literal["device", "dollar"]) -> Any:
        """Return the indices of the points that no other beats in both speed per user and throughput per device or USD.

        Sorted by falling speed per user. Only what fits, with the vendor asked for, and a price where USD are asked.
        """
        if over not in self._fronts:
            self._fronts[over] = self._front(over)
        return self._fronts[over]

    @cached_property
    def _fronts(self) -> dict[str, Any]:
        return {}

    def _front(self, over: Literal["device", "dollar"]) -> Any:
        s = self.study
        allowed = (self.first_problem != 0) & s.fits
        gain = self.throughput(over)
        points = np.flatnonzero(allowed & np.isfinite(gain))
        speed = 1.0 / s.columns["tpot_s"][points]
        order = points[np.lexsort((-gain[points], -speed))]
        best = np.maximum.accumulate(gain[order])
        new = np.concatenate([[True], best[1:] > best[:-1]]) if order.size else np.zeros(0, bool)
        return order[new]

    def throughput(self, over: Literal["device", "dollar"]) -> Array:
        """Return output tokens per second of one device, or output tokens for one USD, at each point."""
        each = self.study.columns["tokens_per_s"] / self.study.devices
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(
                each if over == "device" else each * 3600.0 / np.where(self.price > 0, self.price, np.nan)
            )


@lru_cache(maxsize=32)
def answered(study: Study, need: Need) -> Answer:
    """Return the answer to a need, kept: a page asks for the same one at every rerun."""
    return Answer(study, need)


def fleets(study: Study, counts: Any) -> dict[str, Array]:
    """Return what 1 … many replicas of each point give: arrays of shape (points, counts).

    Replicas are independent: times stay, everything else is multiplied. `users` in flight, `tokens_per_s`, `devices`,
    `power_w`.
    """
    n, c = np.asarray(counts, dtype=np.float64)[None, :], study.columns
    devices = study.devices[:, None] * n
    return {
        "devices": devices,
        "users": c["batch"][:, None] * n,
        "tokens_per_s": c["tokens_per_s"][:, None] * n,
        "power_w": study.power_w[:, None] * devices,
    }
