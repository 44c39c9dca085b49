"""What a cure is: a change of the scenario with a name, the regime it treats and its price in quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from perfmodel.report import Report
from perfmodel.scenario import Scenario
from perfmodel.step import REGIMES
from perfmodel.units import show, significant

Goal = Literal["token", "first", "request", "throughput", "cost"]
GOALS: tuple[Goal, ...] = get_args(Goal)
#: What a goal is called, and the number that measures it.
GOAL_WORDS = {
    "token": "time per token",
    "first": "time to first token",
    "request": "time of the request",
    "throughput": "tokens per second",
    "cost": "cost per token",
}


@dataclass(frozen=True)
class Change:
    """The fields of the scenario that a cure changes and what that is in words; or why there is nothing to change."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    said: str = ""
    why_not: str = ""


def do(said: str, **fields: Any) -> Change:
    """Return a change and what it is in words."""
    return Change(fields, said)


def no(why: str) -> Change:
    """Return that a cure has nothing to change, and why."""
    return Change(why_not=why)


@dataclass(frozen=True)
class Cure:
    """One cure. `treats`: the regime whose time it shortens. `quality`: what it costs in answers, money or work."""

    id: str
    name: str
    treats: str
    quality: str
    change: Callable[[Scenario], Change]


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a cure is judged by: times [s], output tokens per second, dollars per million of them, memory [B].

    `first_s`, `token_s`: the first token and each further one by regime [s].
    """

    ttft_s: float
    tpot_s: float
    e2e_s: float
    tokens_per_s: float
    usd_per_million_tokens: float
    memory_bytes: float
    fits: bool
    first_s: tuple[float, ...]
    token_s: tuple[float, ...]
    tokens: int

    def value(self, goal: Goal) -> float:
        """Return the number of a goal, so that more is better: rates, and the inverse of times and prices."""
        match goal:
            case "token":
                return 1.0 / self.tpot_s
            case "first":
                return 1.0 / self.ttft_s
            case "request":
                return 1.0 / self.e2e_s
            case "throughput":
                return self.tokens_per_s
            case _:
                # A free or unpriced chip has no cost per token: NaN, never infinitely good.
                return 1.0 / (self.usd_per_million_tokens or float("nan"))

    def parts_s(self, goal: Goal) -> tuple[float, ...]:
        """Return the time behind a goal by regime [s]: of the first token, of a further one, or of the request."""
        steps = {"first": 0.0, "token": 1.0}.get(goal, self.tokens - 1.0)
        first = 0.0 if goal == "token" else 1.0
        return tuple(first * a + steps * b for a, b in zip(self.first_s, self.token_s, strict=True))

    @property
    def words(self) -> dict[str, str]:
        """The numbers as texts, by what they are called."""
        return {
            "per token": show(self.tpot_s, "s"),
            "first token": show(self.ttft_s, "s"),
            "request": show(self.e2e_s, "s"),
            "tokens/s": show(self.tokens_per_s),
            "USD per 10⁶ tokens": significant(self.usd_per_million_tokens),
            "memory per device": show(self.memory_bytes, "B"),
        }


def numbers(report: Report) -> Numbers:
    """Return what a report is judged by. A chip whose memory is not published counts as large enough."""
    return Numbers(
        report.ttft_s,
        report.tpot_s,
        report.e2e_s,
        report.tokens_per_s,
        report.usd_per_million_tokens,
        report.memory.total,
        report.memory.fits or not report.memory.capacity > 0,
        tuple((report.prefill.shares * report.ttft_s).tolist()),
        tuple((report.decode.shares * report.tpot_s).tolist()),
        report.scenario.output,
    )


@dataclass(frozen=True)
class Outcome:
    """A cure tried on a scenario: the scenario after it with its numbers, or why it cannot be had."""

    cure: Cure
    before: Numbers
    said: str = ""
    why_not: str = ""
    scenario: Scenario | None = None
    after: Numbers | None = None

    @property
    def applies(self) -> bool:
        """Whether the cure can be had here."""
        return not self.why_not

    def gain(self, goal: Goal) -> float:
        """Return how many times better the goal gets; 1 for nothing, NaN where it cannot be told."""
        return self.after.value(goal) / self.before.value(goal) if self.after else float("nan")

    def shortens(self, goal: Goal) -> str:
        """Return the regime whose time falls most for a goal; what the cure treats where none falls."""
        if self.after is None:
            return self.cure.treats
        pairs = zip(REGIMES, self.before.parts_s(goal), self.after.parts_s(goal), strict=True)
        saved = {name: old - new for name, old, new in pairs}
        most = max(saved, key=lambda name: saved[name])
        return most if saved[most] > 0.0 else self.cure.treats
