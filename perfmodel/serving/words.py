"""What a load says: the answer in one sentence, the headline numbers, the table beside the simulation."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from perfmodel.cost import Tariff, bill_table
from perfmodel.estimate import cached_estimate
from perfmodel.scenario import Scenario
from perfmodel.serving.lengths import Lengths, Mix
from perfmodel.serving.service import Service
from perfmodel.serving.simulate import Simulated, simulate
from perfmodel.serving.steady import Load, capacity, load
from perfmodel.units import DAY_S, show, significant

#: Points of a curve over the rate, and how near to the capacity it goes.
POINTS, NEAREST = 48, 0.985
#: Seconds of a month: a twelfth of 365.25 days.
MONTH_S = 365.25 / 12.0 * DAY_S
SCHEDULE_WORDS = {
    "chunked": "chunks beside decode",
    "prefill first": "prompts first",
    "disaggregated": "apart (disaggregated)",
}
HOME_WORDS = {
    "own": "on the device, one each",
    "shared": "on the device, one for all",
    "host": "in host memory",
    "recomputed": "computed again",
}


@lru_cache(maxsize=64)
def curve(scenario: Scenario, service: Service) -> Load | None:
    """Return the load at rates up to nearly the capacity; None where not one request fits."""
    most = capacity(scenario, service)
    if not most > 0:
        return None
    return load(scenario, service, most * np.linspace(0.02, NEAREST, POINTS))


@lru_cache(maxsize=64)
def now(scenario: Scenario, service: Service, rate: float) -> Load:
    """Return the load at one rate."""
    return load(scenario, service, rate)


def good_rate(curve: Load, first_s: float, token_s: float, share: float = 0.95) -> float:
    """Return the largest rate of the curve at which this share of the requests is good [1/s]; 0 if there is none."""
    good = curve.good_share(first_s, token_s) >= share
    return float(curve.rate[good].max()) if good.any() else 0.0


def sentence(curve: Load | None, present: Load, first_s: float, token_s: float) -> str:
    """Return what users see at this rate, and how much more can be promised."""
    who = present.replica.scenario
    what = f"{who.resolved_model.name} on {who.n:,} × {who.resolved_gpu.name}"
    if curve is None:
        return f"{what}: not one request of this length fits, so that nothing can be served."
    rate = float(present.rate[0])
    promise = good_rate(curve, first_s, token_s)
    kept = (
        f"Both promises hold for 95 % of the requests up to {significant(promise)} requests/s"
        if promise
        else "Both promises cannot be held for 95 % of the requests at any rate"
    )
    if not rate < present.capacity:
        return (
            f"{what}: {significant(rate)} requests/s are more than the {significant(present.capacity)} that it can "
            f"finish. **Requests pile up, and the wait grows without end.** {kept}."
        )
    first, token = present.quantile("first_s", 0.95)[0], present.quantile("token_s", 0.95)[0]
    return (
        f"{what} at {significant(rate)} requests/s ({rate / present.capacity:.0%} of its capacity): 95 % see their "
        f"first token within {show(float(first), 's')}, queue included, and {significant(1.0 / float(token))} tokens/s "
        f"or more. {kept}."
    )


def headline(present: Load, first_s: float, token_s: float) -> list[tuple[str, str, str]]:
    """Return the numbers above the figures: label, text, help."""
    one = present.replica
    good = float(present.good_share(first_s, token_s)[0]) if one.most else 0.0
    alone, rate = float(one.prompt_s[0]) if one.most else float("nan"), float(present.rate[0])
    return [
        ("Capacity", f"{significant(present.capacity)} /s", "requests a second; at this rate waiting becomes infinite"),
        ("First token, no queue", show(alone, "s"), "a mean prompt alone"),
        ("First token, mean", show(float(present.first_mean_s[0]), "s"), "with the queue at this rate"),
        ("Time per token, mean", show(float(present.token_mean_s[0]), "s"), "other requests' prompts included"),
        (
            "In flight",
            significant(float(present.in_flight[0])),
            f"on each of {one.replicas:,} copies; at most {one.most:,}",
        ),
        ("Goodput", f"{significant(rate * good)} /s", f"{good:.0%} of the requests keep both promises"),
    ]


def rows(present: Load) -> list[dict[str, str]]:
    """Return percentiles as table rows."""
    return [
        {
            "": name,
            **{f"{share:.0%}": show(float(present.quantile(what, share)[0]), "s") for share in (0.5, 0.9, 0.95, 0.99)},
            "mean": show(float(getattr(present, mean)[0]), "s"),
        }
        for name, what, mean in (
            ("first token", "first_s", "first_mean_s"),
            ("time per token", "token_s", "token_mean_s"),
        )
    ]


@lru_cache(maxsize=16)
def checked(scenario: Scenario, service: Service, rate: float, requests: int) -> list[dict[str, str]]:
    """Return the formulas beside a simulation of one replica, as table rows."""
    told, run = load(scenario, service, rate), simulate(scenario, service, rate, requests)
    inside = rate / told.replica.replicas * float((run.finish_s - run.arrival_s)[run.counted].mean())
    pairs = (
        ("first token, mean", told.first_mean_s[0], run.time_to_first_s.mean()),
        ("first token, 95 %", told.quantile("first_s", 0.95)[0], _p95(run, "time_to_first_s")),
        ("time per token, mean", told.token_mean_s[0], run.time_per_token_s.mean()),
        ("time per token, 95 %", told.quantile("token_s", 0.95)[0], _p95(run, "time_per_token_s")),
    )
    found = [_pair(name, show(float(a), "s"), show(float(b), "s"), float(a / b)) for name, a, b in pairs]
    held = float((told.in_flight + told.waiting)[0])
    return [*found, _pair("requests inside", significant(held), significant(inside), held / inside)]


def _p95(run: Simulated, name: str) -> float:
    return float(np.quantile(getattr(run, name), 0.95))


def _pair(name: str, told: str, seen: str, ratio: float) -> dict[str, str]:
    return {"": name, "formulas": told, "simulation": seen, "difference": f"{ratio - 1:+.0%}"}


def bill_rows(present: Load) -> list[dict[str, str]]:
    """Return what requests cost at the list price with the mean number in flight of this load, as table rows."""
    s = present.replica.scenario
    inside = max(round(float(present.in_flight[0])), s.mb * (s.tp if s.adp else 1))
    report = cached_estimate(s.change(batch=inside * s.dp))
    requests = min(float(present.rate[0]), present.capacity) * MONTH_S
    return bill_table(report, Tariff(), requests, "all that are answered at this rate", "all")


def period(rate: float) -> float:
    """Return the time between two tokens at this rate [s]."""
    return 1.0 / rate


def mix_words(mix: Mix) -> str:
    """Return the lengths of a kind of traffic with their source."""
    prefix = f"{mix.prefix:,} cached, " if mix.prefix else ""
    spread = f"spread {mix.input.variation:g} and {mix.output.variation:g}"
    return f"{prefix}{mix.input.mean:,.0f} in, {mix.output.mean:,.0f} out, {spread}. {mix.source}"


def table_words(prompts: Lengths, answers: Lengths, number: int) -> str:
    """Return what was read from a table of lengths."""
    return (
        f"{number:,} requests: prompts of {prompts.mean:,.0f} tokens (spread {prompts.variation:.2f}), answers of "
        f"{answers.mean:,.0f} (spread {answers.variation:.2f})."
    )
