"""Cost: what a scenario costs in money, energy and carbon, under a tariff that the reader can change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from perfmodel.formulas.combine import price_per_million
from perfmodel.formulas.cost import carbon_mass, drawn_power, energy_use, owned_price, reserved_price
from perfmodel.formulas.roofline import request_cost
from perfmodel.formulas.types import Real
from perfmodel.hardware import ACCELERATORS, Accelerator
from perfmodel.report import Report
from perfmodel.setup import Setup
from perfmodel.step import REGIMES
from perfmodel.units import KILO, MEGA, show, significant

Terms = Literal["on demand", "reserved", "owned"]
TERMS: tuple[Terms, ...] = get_args(Terms)
#: Emissions of electricity in 2023 [g CO2e/kWh].
GRIDS: Mapping[str, float] = {
    "World": 480.0, "Australia": 549.0, "Austria": 111.0, "China": 582.0, "Finland": 79.0, "France": 56.0,
    "Germany": 381.0, "India": 713.0, "United States": 369.0,
}  # fmt: skip
GRID_SOURCE = "Ember, yearly electricity data for 2023, life cycle, as shown by Our World in Data"
#: Shares of the time in these regimes keep the device waiting, at idle power.
WAITING = ("network", "overhead")


@dataclass(frozen=True)
class Tariff:
    """Prices and what they rest on. Defaults without a list price are estimates, to be replaced by one's own.

    `prices`: own price per hour by accelerator id [USD/h], instead of the list price. `region`: factor on list prices.
    `busy`: share of the hours that are used, for reserved and owned devices. `capital_usd`: purchase of one
    accelerator with its part of the server; `years` of depreciation; `overhead`: power usage effectiveness;
    `idle`: share of TDP that an idle device draws; `grid`: emissions [g/kWh].
    """

    terms: Terms = "on demand"
    prices: Mapping[str, float] = field(default_factory=dict)
    region: float = 1.0
    discount: float = 0.4
    busy: float = 1.0
    capital_usd: float = 35_000.0
    years: float = 4.0
    overhead: float = 1.56
    usd_per_kwh: float = 0.1
    idle: float = 0.2
    grid: float = GRIDS["World"]

    def __post_init__(self) -> None:
        """Refuse what no tariff can be, by name and value."""
        if self.terms not in TERMS:
            raise ValueError(f"terms={self.terms!r} is not one of {', '.join(TERMS)}")
        for name, low, high in (
            ("discount", 0.0, 0.99),
            ("busy", 0.01, 1.0),
            ("idle", 0.0, 1.0),
            ("overhead", 1.0, 5.0),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}={getattr(self, name)} is not allowed: it must be from {low} to {high}")
        for name in ("region", "years"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)} is not allowed: it must be above 0")

    def __hash__(self) -> int:
        return hash(tuple(self.prices.items()))

    def list_price(self, chip: Accelerator) -> float:
        """Return the price of an hour on demand: one's own, else the list price in this region; NaN without [USD/h]."""
        return self.prices.get(chip.id, chip.usd_per_hour * self.region)

    def usd_per_hour(self, chip: Accelerator) -> float:
        """Return the price of one used hour of one accelerator under these terms [USD/h]; NaN where unknown."""
        if self.terms == "owned":
            # Planned at full power: what is bought must be fed at its worst.
            used = owned_price(self.capital_usd, self.years, self.busy, chip.tdp_w, self.overhead, self.usd_per_kwh)
            return float(used)
        price = self.list_price(chip)
        return float(reserved_price(price, self.discount, self.busy)) if self.terms == "reserved" else price


def own_prices(text: str) -> dict[str, float]:
    """Read prices as they travel in a link, "list" for none; a `ValueError` names what is wrong.

    >>> own_prices("h100=2.5, b200-sxm=4")
    {'h100-sxm': 2.5, 'b200-sxm': 4.0}
    """
    found = {}
    for part in filter(None, (part.strip() for part in text.split(",") if part.strip() != "list")):
        name, _, value = part.partition("=")
        gpu = ACCELERATORS.resolve(name.strip())
        try:
            price = float(value)
        except ValueError:
            raise ValueError(f"{part[:40]!r} is no price: write {gpu}=2.5, in USD per hour") from None
        if not 0.0 <= price <= 10_000.0:
            raise ValueError(f"{gpu}={value} is not allowed: a price is from 0 to 10,000 USD per hour")
        found[gpu] = price
    return found


@dataclass(frozen=True, slots=True)
class Bill:
    """What a scenario costs at full load. NaN where a price or the power is not published.

    Money [USD]: an hour of one accelerator, a request, a million input tokens, a million output tokens (each pays for
    the time of its own phase). `chip_seconds` per request [s], `power_w` of one accelerator, `token_j` and `request_j`
    with the building [J], `request_g` of CO2 equivalent [g].
    """

    usd_per_hour: float
    usd_per_request: float
    usd_per_million_input: float
    usd_per_million_output: float
    chip_seconds: float
    power_w: float
    request_j: float
    token_j: float
    request_g: float

    def monthly(self, requests: float) -> float:
        """Return the price of a user with this many requests a month [USD]."""
        return self.usd_per_request * requests


def busy_share(report: Report) -> float:
    """Return the share of the time in which arithmetic units or memory of a device work."""
    return float(
        working_share(
            report.setup, (report.prefill.shares, report.decode.shares), report.prefill_s, _decoding_s(report)
        )
    )


def working_share(setup: Setup, shares: tuple[Any, Any], first_s: Real, later_s: Real) -> Real:
    """Return the same from the regimes' shares of both passes and the time of each phase, arrays included.

    Stages of a pipeline without a batch idle.
    """
    waits = [sum(of[REGIMES.index(name)] for name in WAITING) for of in shares]
    filled = min(1.0, setup.mb / setup.pp)
    return (1.0 - (waits[0] * first_s + waits[1] * later_s) / (first_s + later_s)) * filled


def _decoding_s(report: Report) -> float:
    # A round of speculative decoding gives several tokens.
    each = report.setup.between_steps_s(report.mean_step_s) / report.setup.tokens_per_step
    return float(each) * (report.scenario.output - 1)


def bill(report: Report, tariff: Tariff) -> Bill:
    """Return the bill of a report. The price of a request is split between input and output by the time they take."""
    s, chip = report.scenario, report.setup.chip
    hourly = tariff.usd_per_hour(chip)
    cost = float(request_cost(report.chip_seconds, hourly))
    later = _decoding_s(report)
    share = report.prefill_s / (report.prefill_s + later)
    power = float(drawn_power(chip.tdp_w, tariff.idle, busy_share(report)))
    energy = float(energy_use(power, report.chip_seconds, tariff.overhead))
    return Bill(
        usd_per_hour=hourly,
        usd_per_request=cost,
        usd_per_million_input=float(price_per_million(cost * share, s.input)),
        usd_per_million_output=float(price_per_million(cost * (1.0 - share), s.output)),
        chip_seconds=report.chip_seconds,
        power_w=power,
        request_j=energy,
        token_j=energy / s.output,
        request_g=float(carbon_mass(energy, tariff.grid)),
    )


def bill_table(report: Report, tariff: Tariff, requests: float, use: str, who: str = "user") -> list[dict[str, str]]:
    """Return the bill as table rows: what, how much, what it rests on; `requests` a month of `who`, `use` in words."""
    b, chip = bill(report, tariff), report.setup.chip
    grid = next((name for name, value in GRIDS.items() if value == tariff.grid), "your grid")
    carbon = b.request_g / report.scenario.output * MEGA / KILO
    rows = (
        ("hour of one accelerator", usd(b.usd_per_hour), price_source(chip, tariff)),
        ("million input tokens", usd(b.usd_per_million_input), "pays for the time of prefill, at full load"),
        ("million output tokens", usd(b.usd_per_million_output), "pays for the time of decode, at full load"),
        ("request", usd(b.usd_per_request), f"{show(b.chip_seconds, 's')} of accelerator time"),
        (f"{who} and month", usd(b.monthly(requests)), f"{requests:,.0f} requests: {use}"),
        ("power of one accelerator", show(b.power_w, "W"), _power_words(chip, tariff)),
        ("energy of a request", show(b.request_j, "J"), f"building included: PUE {tariff.overhead:g}"),
        ("energy of an output token", show(b.token_j, "J"), "energy of the request over its output tokens"),
        (
            "CO₂ of a million output tokens",
            f"{significant(carbon)} kg",
            f"{grid}: {tariff.grid:g} g/kWh; {GRID_SOURCE}; making the hardware is not counted",
        ),
    )
    return [{"of": what, "is": amount, "rests on": basis} for what, amount, basis in rows]


def _power_words(chip: Accelerator, tariff: Tariff) -> str:
    tdp = show(chip.tdp_w, "W") if chip.tdp_w == chip.tdp_w else "not published"
    return f"at most its TDP ({tdp}); {tariff.idle:.0%} of it when idle (estimate); by the share of time that it works"


def usd(value: float) -> str:
    """Return money as a person reads it.

    >>> usd(12.345), usd(0.00012), usd(float("nan"))
    ('$12.3', '$0.00012', 'no price')
    """
    return f"${significant(value)}" if value == value else "no price"


def price_source(chip: Accelerator, tariff: Tariff) -> str:
    """Return where the price of a chip comes from, with its date."""
    if tariff.terms == "owned":
        return f"owned: {usd(tariff.capital_usd)} over {tariff.years:g} years, {tariff.busy:.0%} used (estimate)"
    if chip.id in tariff.prices:
        return "your price"
    source = chip.sources.get("price.usd_per_hour")
    if not source:
        return "no list price is known: give yours"
    kind = (
        f", reserved: {tariff.discount:.0%} less (estimate), {tariff.busy:.0%} used"
        if tariff.terms == "reserved"
        else ""
    )
    return f"list price of {chip.file.price.date}, {source.title}{kind}"
