"""What a search says: the answer in one sentence, the offers as a table, why the others are not among them."""

from __future__ import annotations

from typing import Any

from perfmodel.cost import bill_table, usd
from perfmodel.estimate import cached_estimate
from perfmodel.hardware import ACCELERATORS
from perfmodel.scenario import Scenario
from perfmodel.search.need import Answer, Need, Offer
from perfmodel.search.space import Combination
from perfmodel.serving.words import MONTH_S
from perfmodel.units import HOUR_S, show, significant

#: Hours of a month.
MONTH_H = MONTH_S / HOUR_S
GOAL_WORDS = {"price": "cheapest", "devices": "fewest devices", "energy": "least power"}


def chip_name(combination: Combination, asked: Scenario) -> str:
    """Return the name of a combination's accelerator."""
    known = combination.gpu in ACCELERATORS
    return ACCELERATORS[combination.gpu].name if known else combination.scenario(asked).resolved_gpu.name


def layout_words(combination: Combination) -> str:
    """Return the layout and types of a combination: "2 share each copy, fp8 weights, fp8 cache"."""
    parts = ["one device a copy" if combination.devices == 1 else f"{combination.devices} share each copy"]
    if combination.pp > 1:
        parts.append(f"{combination.pp} stages")
    if combination.ep > 1:
        parts.append(f"experts over {combination.ep}")
    return ", ".join((*parts, f"{combination.weights} weights", f"{combination.kv} cache"))


def need_words(need: Need, asked: Scenario) -> str:
    """Return the need in words."""
    who = f"{need.users:,.0f} users"
    who += f" with {need.per_hour:g} requests an hour each" if need.per_hour else " at the same time"
    first = f", {show(need.first_s, 's')} to first token (95 %)" if need.first_s else ""
    return f"{who}{first}, {need.tokens_per_s:g} tokens/s each, {asked.resolved_model.name}"


def work_words(asked: Scenario) -> str:
    """Return the model and the lengths that every configuration serves."""
    cached = f"{asked.prefix:,} cached + " if asked.prefix else ""
    return f"{asked.resolved_model.name} · {cached}{asked.input:,} in + {asked.output:,} out tokens"


def sentence(answer: Answer) -> str:
    """Return the need, and how many of what meet it, what that costs, and the runner-up."""
    return f"{need_words(answer.need, answer.study.space.asked)}: {decision(answer)}"


def decision(answer: Answer) -> str:
    """Return how many of what, what it costs, and the runner-up."""
    asked, offers = answer.study.space.asked, answer.offers(2)
    if not offers:
        return f"Nothing that was looked at can do it. {_most_common(answer)}"
    best = offers[0]
    money = ""
    if best.usd_per_hour == best.usd_per_hour:
        month = usd(best.usd_per_hour * MONTH_H)
        money = f", {usd(best.usd_per_hour)} an hour ({month} a month, {usd(best.usd_per_million)} per million tokens)"
    text = f"**{best.devices:,} × {chip_name(best.combination, asked)}** ({layout_words(best.combination)}){money}."
    return text + (_next(best, offers[1], answer) if len(offers) > 1 else "")


def _next(best: Offer, other: Offer, answer: Answer) -> str:
    name = chip_name(other.combination, answer.study.space.asked)
    value = {
        "price": (other.usd_per_hour / best.usd_per_hour if best.usd_per_hour else float("nan"), "the price"),
        "devices": (other.devices / best.devices, "the devices"),
        "energy": (other.power_w / best.power_w, "the power"),
    }[answer.need.goal]
    return f" Next: {other.devices:,} × {name} for {significant(value[0])}× {value[1]}."


def _most_common(answer: Answer) -> str:
    reason, number = answer.excluded.most_common(1)[0] if answer.excluded else ("the space is empty", 0)
    return f"What excludes most ({number:,} points): {reason}."


def offer_rows(answer: Answer, offers: tuple[Offer, ...]) -> list[dict[str, Any]]:
    """Return the offers as table rows, best first."""
    asked = answer.study.space.asked
    return [
        {
            "": rank,
            "accelerators": f"{offer.devices:,} × {chip_name(offer.combination, asked)}",
            "USD/h": usd(offer.usd_per_hour),
            "USD/10⁶ tokens": usd(offer.usd_per_million),
            "tokens/s each": significant(1.0 / offer.tpot_s),
            "first, 95 %": show(offer.first95_s, "s"),
            "power": show(offer.power_w, "W"),
            "copy": layout_words(offer.combination),
            "requests a copy": f"{offer.batch:,}",
            "memory used": f"{offer.memory_share:.0%}",
            "first token, mean": show(offer.first_s, "s"),
        }
        for rank, offer in enumerate(offers, start=1)
    ]


def bill_rows(answer: Answer, offer: Offer) -> list[dict[str, str]]:
    """Return what a token, a request and a user cost on an offer at full load, as table rows."""
    need, report = answer.need, cached_estimate(offer.combination.scenario(answer.study.space.asked, 1, offer.batch))
    if need.per_hour:
        return bill_table(report, need.tariff, need.per_hour * MONTH_H, f"{need.per_hour:g} an hour")
    return bill_table(report, need.tariff, MONTH_H * HOUR_S / report.e2e_s, "always one in flight")


def offer_name(answer: Answer, offer: Offer) -> str:
    """Return an offer in a few words, for a choice among several."""
    return f"{offer.devices:,} × {chip_name(offer.combination, answer.study.space.asked)}, {offer.combination.weights}"


def point_name(answer: Answer, point: int) -> str:
    """Return a point in a few words: speed of one user, accelerator, devices a copy, requests."""
    offer = answer.offer(point)
    name = chip_name(offer.combination, answer.study.space.asked)
    return (
        f"{significant(1.0 / offer.tpot_s)} tokens/s each: {offer.combination.devices} × {name}, batch {offer.batch:,}"
    )


def link(answer: Answer, offer: Offer) -> dict[str, str]:
    """Return the link of an offer's scenario."""
    return offer.combination.scenario(answer.study.space.asked, offer.replicas, offer.batch).to_query()


def reason_rows(answer: Answer) -> list[dict[str, str]]:
    """Return how many points each reason excluded, the commonest first."""
    total = answer.study.points + answer.study.impossible.total()
    found = [*answer.excluded.most_common(), ("meets the need", int(answer.feasible.sum()))]
    return [{"why not": why, "points": f"{n:,}", "share": f"{n / total:.1%}"} for why, n in found if total]


def headline(answer: Answer) -> list[tuple[str, str, str]]:
    """Return the numbers above the table: label, text, help."""
    s = answer.study
    rows = [
        (
            "Points that meet it",
            f"{int(answer.feasible.sum()):,} of {s.points:,}",
            "a point is one batch of one kind of copy",
        )
    ]
    offers = answer.offers(1)
    if offers:
        best = offers[0]
        rows += [
            ("Accelerators", f"{best.devices:,}", f"{best.replicas:,} copies of {best.combination.devices}"),
            ("USD per hour", usd(best.usd_per_hour), "under the tariff below"),
            ("Tokens/s, all users", significant(best.tokens_per_s), "output tokens at full load"),
            ("Power", show(best.power_w, "W"), "accelerators only, between idle and TDP by what they do"),
        ]
    return rows


def fields(offer: Offer) -> dict[str, Any]:
    """Return an offer as fields of a scenario."""
    return offer.combination.fields(offer.replicas, offer.batch)
