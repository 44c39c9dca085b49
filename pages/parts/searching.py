"""A search on a page: results stream in under a bar, can be stopped and continued; finished ones are kept for all."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from pages import Page
from pages.parts.speech import st
from pages.parts.state import choose, touch
from perfmodel.cost import GRID_SOURCE, GRIDS, TERMS, Tariff, own_prices
from perfmodel.engine import ENGINES
from perfmodel.search import Offer, Progress, Space, Study, listed_chips, priced_chips, search, space_of
from perfmodel.search.words import fields

#: Finished searches that are kept: some megabytes each, shared by all sessions.
KEPT = 8
_DONE: OrderedDict[Space, Study] = OrderedDict()
_KEY = "search.part"
#: Engines that batch continuously: what serving is bought for.
SERVING = tuple(id for id in ENGINES if ENGINES[id].continuous)


@dataclass
class Part:
    """A search of this session that is not finished."""

    space: Space
    progress: Progress | None = None
    stopped: bool = False


def space_control(page: Page) -> Space:
    """Draw what to look among, and return it."""
    engines = {id: ENGINES[id].name for id in SERVING}
    among = {"priced": "with a list price", "all": "all accelerators"}
    looked = page.choice("among", "Among", ("priced", "all"), "priced", labels=among)
    engine = page.choice("by", "Engine", SERVING, "vllm", labels=engines, help="profiles with continuous batching")
    gpus = listed_chips() if looked == "priced" else priced_chips()
    return space_of(page.scenario, gpus=gpus, engines=(engine,))


def study_of(page: Page, space: Space) -> Study:
    """Return the finished study of a space, or search it now; after a stop, what was found until then."""
    if space in _DONE:
        _DONE.move_to_end(space)
        return _DONE[space]
    part = st.session_state.get(_KEY)
    if part is None or part.space != space:
        part = st.session_state[_KEY] = Part(space)
    if part.stopped and part.progress:
        page.notice(f"Stopped after {part.progress.words}: the answer is the best of those", "info")
        st.button("Go on searching", key="search.go", on_click=_resume)
        return part.progress.study()
    place = st.empty()
    with place.container(horizontal=True, vertical_alignment="center"):
        bar = st.progress(0.0, "Searching")
        st.button("Stop", key="search.stop", on_click=_stop)
    for progress in search(space, known=part.progress.priced if part.progress else ()):
        part.progress = progress
        bar.progress(progress.done / progress.total, progress.words)
    place.empty()
    study = part.progress.study() if part.progress else Progress(0, 0, (), space).study()
    st.session_state.pop(_KEY, None)
    _DONE[space] = study
    if len(_DONE) > KEPT:
        _DONE.popitem(last=False)
    return study


def _stop() -> None:
    touch()
    if _KEY in st.session_state:
        st.session_state[_KEY].stopped = True


def _resume() -> None:
    touch()
    st.session_state[_KEY].stopped = False


def tariff_control(page: Page) -> Tariff:
    """Draw the terms under which accelerators are paid, and return them."""
    with page.controls():
        terms = page.choice("terms", "Paid", TERMS, "on demand")
        text = page.text(
            "prices",
            "Own prices [USD/h]",
            "list",
            check=own_prices,
            placeholder="h100-sxm=2.5, b200-sxm=4",
            help="accelerator=USD per hour, instead of the list price of its spec file; the link carries them",
        )
        region = page.number("region", "Region factor [x]", 1.0, low=0.1, high=10.0, step=0.05, help="on list prices")
        grid = page.choice("grid", "Electricity of", tuple(GRIDS), "World", help=f"carbon: {GRID_SOURCE}")
        pue = page.number("pue", "PUE [W/W]", 1.56, low=1.0, high=5.0, step=0.01, help="mean of Uptime Institute 2024")
    more: dict[str, Any] = {"grid": GRIDS[grid], "overhead": pue}
    if terms != "on demand":
        with page.controls():
            more["busy"] = page.number(
                "busy", "Used share of hours [1]", 1.0, low=0.01, high=1.0, step=0.05, help="an estimate: put in yours"
            )
            if terms == "reserved":
                more["discount"] = page.number(
                    "off", "Discount [share]", 0.4, low=0.0, high=0.95, step=0.05, help="an estimate"
                )
            else:
                help = "with its part of server and network; an estimate: put in your quote"
                more["capital_usd"] = page.number(
                    "capex", "Price of one [USD]", 35000.0, low=1.0, high=1e7, step=1000.0, help=help
                )
                more["years"] = page.number("years", "Written off over [years]", 4.0, low=0.5, high=20.0, step=0.5)
                more["usd_per_kwh"] = page.number("kwh", "Electricity [USD/kWh]", 0.1, low=0.0, high=5.0, step=0.01)
    return Tariff(terms=terms, prices=own_prices(text), region=region, **more)


def take(offer: Offer) -> None:
    """Make an offer the scenario (a callback)."""
    for name, value in fields(offer).items():
        choose(name, value)


def take_button(offer: Offer, scenario: Any) -> None:
    """Draw the button that makes an offer the scenario."""
    used, why = fields(offer).items() <= dict(scenario).items(), None
    try:
        offer.combination.scenario(scenario, offer.replicas, offer.batch)
    except ValueError as error:
        # A fleet can be larger than one scenario may be.
        why = str(error)
    label, off = "In use" if used else "Use this configuration", used or bool(why)
    st.button(label, key="take", on_click=take, args=(offer,), disabled=off, help=why)
