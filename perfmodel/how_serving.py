"""How the headline numbers of sizing and of load come about: one card each, in the order of the pages."""

from __future__ import annotations

import math

import numpy as np

from perfmodel.catalog import Source
from perfmodel.cost import Tariff
from perfmodel.estimate import cached_estimate
from perfmodel.explain.given import traced_chip
from perfmodel.explain.metrics import rerun
from perfmodel.explain.trace import named
from perfmodel.formulas.combine import output_rate, request_time
from perfmodel.formulas.cost import drawn_power, owned_price, reserved_price
from perfmodel.formulas.serving import chunked_rate, closed_rate, little_concurrency
from perfmodel.formulas.types import Real
from perfmodel.hardware import Accelerator
from perfmodel.how import How, Told, card, given
from perfmodel.search import BUSIEST, Answer, Offer
from perfmodel.search.study import IDLE_SHARE
from perfmodel.serving import Load, Replica, load, unit
from perfmodel.units import HOUR_S, show, significant

_ASKED = Source("scenario", "chosen on this page")
_TARIFF = Source("estimate", "the tariff of this page: an estimate until you put in your own")
_SEARCHED = Source("derived", "the estimate of this configuration, as the search found it")
_STEADY = Source("derived", "the steady state that the page shows")


def sizing(answer: Answer) -> list[How]:
    """Return the cards of the numbers on the sizing page: of the search, then of the best offer."""
    s = answer.study
    meets = int(answer.feasible.sum())

    def counted() -> str:
        return f"{meets:,} do, {s.points - meets:,} do not."

    rule = "A point meets the need when it fits the memory, keeps both times, and stays within price and number:"
    found: list[How] = [
        Told(
            "Points that meet it", float(meets), f"{meets:,}", rule, counted,
            lambda: float((answer.first_problem == answer.first_problem.max()).sum()) if meets else 0.0,
            "perfmodel/search/need.py",
        )
    ]  # fmt: skip
    offers = answer.offers(1)
    return [*found, *_offer(answer, offers[0])] if offers else found


def _offer(answer: Answer, offer: Offer) -> list[How]:
    asked, tariff = answer.study.space.asked, answer.need.tariff
    one = cached_estimate(offer.combination.scenario(asked, 1, offer.batch))
    chip = one.setup.chip

    def devices() -> Real:
        each = given("accelerators of a copy", float(offer.combination.devices), "", _SEARCHED)
        return named("copies", _copies(answer, offer), "") * each

    def tokens() -> Real:
        run = rerun(one)
        made = output_rate(run.scenario["batch"], run.scenario["output"], named("request time", run.request_s, "s"))
        return named("tokens per second of a copy", made, "tokens/s") * named("copies", _copies(answer, offer), "")

    def money() -> Real:
        return named("accelerators", devices(), "") * named("hour of one", _hour(chip, tariff), "USD/h")

    def power() -> Real:
        tdp = given("thermal design power", chip.tdp_w, "W", chip.sources.get("chip.tdp", _SEARCHED))
        busy = given("share of the time that it works", _busy(offer, chip), "", _SEARCHED)
        drawn = drawn_power(tdp, given("idle share", IDLE_SHARE, "", _TARIFF), busy)
        return named("accelerators", devices(), "") * named("power of one", drawn, "W")

    return [
        card("Accelerators", float(offer.devices), "", devices),
        card("USD per hour", offer.usd_per_hour, "USD/h", money),
        card("Tokens/s, all users", offer.tokens_per_s, "tokens/s", tokens),
        card("Power", offer.power_w, "W", power),
    ]


def _busy(offer: Offer, chip: Accelerator) -> float:
    """Return the share of the time in which one accelerator works, from the power it draws."""
    return (offer.power_w / offer.devices / chip.tdp_w - IDLE_SHARE) / (1.0 - IDLE_SHARE)


def _copies(answer: Answer, offer: Offer) -> Real:
    """Return the copies that take all users at once, or their random stream with room for its waits."""
    need = answer.need
    if not need.per_hour:
        return _whole(
            given("users", need.users, "", _ASKED),
            given("requests in flight on a copy", float(offer.batch), "", _SEARCHED),
        )
    hourly = given("requests of each an hour", need.per_hour, "", _ASKED)
    rate = given("users", need.users, "", _ASKED) * hourly / HOUR_S
    limit = given("planned requests per second of a copy", offer.planned, "1/s", _SEARCHED, _PLAN)
    return _whole(named("arrivals", rate, "1/s"), limit)


_PLAN = f"at most {BUSIEST:.0%} of what it can finish, and what it finishes with this many in flight"


def _whole(needed: Real, each: Real) -> Real:
    """What is needed over what each gives, rounded up."""
    return np.ceil(needed / each)


def _hour(chip: Accelerator, tariff: Tariff) -> Real:
    """Return the price of a used hour of one accelerator under the tariff."""
    if tariff.terms == "owned":
        return owned_price(
            given("purchase", tariff.capital_usd, "USD", _TARIFF),
            given("years", tariff.years, "", _TARIFF),
            given("used share of hours", tariff.busy, "", _TARIFF),
            given("thermal design power", chip.tdp_w, "W", chip.sources.get("chip.tdp", _SEARCHED)),
            given("PUE", tariff.overhead, "", _TARIFF),
            given("electricity", tariff.usd_per_kwh, "USD/kWh", _TARIFF),
        )
    own = tariff.prices.get(chip.id)
    price: Real = given("your price", own, "USD/h", _ASKED) if own is not None else traced_chip(chip).usd_per_hour
    if own is None and tariff.region != 1.0:
        price = price * given("region factor", tariff.region, "", _TARIFF)
    if tariff.terms == "on demand":
        return price
    return reserved_price(
        price,
        given("discount", tariff.discount, "", _TARIFF),
        given("used share of hours", tariff.busy, "", _TARIFF),
    )


def loaded(present: Load, first_s: float, token_s: float) -> list[How]:
    """Return the cards of the numbers on the load page."""
    one = present.replica
    if not one.most:
        return [None] * 6
    rate = float(present.rate[0])

    def again() -> Load:
        return load(one.scenario, one.service, rate)

    def told(title: str, value: float, rule: str, name: str) -> How:
        def values() -> str:
            return f"{show(value, 's')} at {significant(rate)} requests/s."

        if not math.isfinite(value):
            return None
        return Told(
            title, value, show(value, "s"), rule, values, lambda: float(getattr(again(), name)[0]),
            "perfmodel/serving/steady.py", unit="s",
        )  # fmt: skip

    waits = "Prefill of the prompt, rest of the step it arrives in, wait for other prompts, wait for room; mean of all:"
    chain = "Time per token with n in flight, weighted by how often an arrival finds n - 1 others there:"
    return [
        card("Capacity", present.capacity, "1/s", lambda: _capacity(present)),
        card("First token, no queue", float(one.prompt_s[0]), "s", lambda: _alone(one)),
        told("First token, mean", float(present.first_mean_s[0]), waits, "first_mean_s"),
        told("Time per token, mean", float(present.token_mean_s[0]), chain, "token_mean_s"),
        card("In flight", float(present.in_flight[0]), "", lambda: _inside(present)),
        card("Goodput", float(present.goodput(first_s, token_s)[0]), "1/s", lambda: _good(present, first_s, token_s)),
    ]


def _alone(one: Replica) -> Real:
    """Return the prefill of a mean prompt with nothing else on the copy."""
    scenario, _ = unit(one.scenario)
    if one.service.prefix_home == "recomputed":
        scenario = scenario.change(input=scenario.input + scenario.prefix, prefix=0)
    return rerun(cached_estimate(scenario)).prefill.time_s


def _capacity(present: Load) -> Real:
    """Return the rate of a copy at its best number in flight, times the copies."""
    one, rates = present.replica, present.replica.rate
    decoding = one.replicas - present.prefilling
    copies = given("copies", float(decoding), "", _STEADY)
    if present.prefilling and present.capacity < float(rates.max()) * decoding:
        pool = given("copies that prefill", float(present.prefilling), "", _STEADY)
        return pool / given("prefill of a prompt", float(one.held_s[0]), "s", _STEADY)
    at = int(np.argmax(rates))
    number = given("in flight", at + 1.0, "", _STEADY, "number at which most requests are finished")
    own = 0.0 if present.prefilling else float(one.prompt_s[at])
    first = given("first token", own + float(one.opening_s[at]), "s", _STEADY)
    each = given("time per token", float(one.tpot_s[at]), "s", _STEADY)
    stay = request_time(first, each, given("output", float(one.scenario.output), "", _ASKED))
    each_copy = closed_rate(number, named("stay", stay, "s"))
    if float(rates[at]) < float(each_copy) * (1.0 - 1e-12):
        prompt = float(one.scenario.input)
        each_copy = chunked_rate(
            given("decode step", float(one.step_s[at]), "s", _STEADY),
            given("time of a prompt token", float(one.held_s[at]) / prompt, "s", _STEADY),
            given("chunk", one.chunk, "", _STEADY),
            given("input", prompt, "", _ASKED),
        )
    return named("requests per second of a copy", each_copy, "1/s") * copies


def _inside(present: Load) -> Real:
    """Return the number in flight on a copy by Little's law; beyond the capacity, the most there can be."""
    one, inside = present.replica, float(present.in_flight[0])
    if not present.rate[0] < present.capacity:
        return given("most in flight", inside, "", _STEADY, "requests pile up: all places are taken")
    copies = given("copies", float(one.replicas - present.prefilling), "", _STEADY)
    each = given("arrivals", float(present.rate[0]), "1/s", _ASKED) / copies
    stay = inside / float(each)
    return little_concurrency(named("arrivals of a copy", each, "1/s"), given("stay in service", stay, "s", _STEADY))


def _good(present: Load, first_s: float, token_s: float) -> Real:
    """Return arrivals times the shares of the requests that keep each promise, taken as independent."""
    first, token = (
        float((times <= limit).mean()) for times, limit in ((present.first_s, first_s), (present.token_s, token_s))
    )
    rate = given("arrivals", float(present.rate[0]), "1/s", _ASKED)
    return rate * given("first token in time", first, "", _STEADY) * given("tokens in time", token, "", _STEADY)
