"""Pins: keep the scenario as it is, change anything, see both. The control beside Share, on every page."""

from __future__ import annotations

from pages.parts.registry import pages
from pages.parts.speech import plain, st
from pages.parts.state import Session, hold, link_of, session, touch
from perfmodel import Scenario
from perfmodel.pins import MAX_NAME_CHARS, Pin, clean_name, pinned, refusal, unlike

#: The page that lays the pins side by side.
PAGE = "Compare"


def control(now: Session) -> None:
    """Draw the button that pins the scenario and shows what is pinned."""
    label = f"Pin ({len(now.pins)})" if now.pins else "Pin"
    box = st.popover(label, icon=":material/keep:", key=f"pin.{now.page}", on_change=touch)
    if box.open:
        with box:
            panel(now)


def panel(now: Session) -> None:
    """Draw what is pinned, with the ways to rename, take up and remove it, and the button that pins one more."""
    st.markdown("Keep this scenario, change anything, compare. The link carries up to four.")
    why = refusal(now.pins, now.scenario)
    st.button(
        "Pin this scenario", key="pin.add", on_click=add, args=(now.scenario,), disabled=bool(why), width="stretch"
    )
    if why:
        st.caption(why)
    for slot in now.pins:
        one(now, slot)
    page = next((page for page in pages() if page.name == PAGE), None)
    if page and now.pins and now.page != PAGE:
        st.page_link(page.path, label="Compare them", icon=":material/balance:", query_params=link_of(now, PAGE))


def one(now: Session, slot: str) -> None:
    """Draw one pin: its name to edit, what it has that the present scenario has not, and its buttons."""
    pin, key = now.pins[slot], f"pin.name.{slot}"
    letter = slot.upper()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall"):
        st.text_input(
            f"Name of {letter}", max_chars=MAX_NAME_CHARS, on_change=_rename, args=(slot, key), **hold(key, pin.name)
        )
        st.button(
            "", icon=":material/swap_horiz:", key=f"pin.swap.{slot}", on_click=_swap, args=(slot,),
            help=f"Swap: {letter} becomes the present scenario, the present one becomes {letter}",
        )  # fmt: skip
        st.button("", icon=":material/delete:", key=f"pin.drop.{slot}", on_click=_drop, args=(slot,), help="Remove")
    st.caption(f"{letter} has {plain(unlike(pin.scenario, now.scenario))}")


def add(scenario: Scenario, name: str = "") -> None:
    """Pin a scenario that `refusal` has nothing against: a button's callback."""
    touch()
    now = session()
    now.pins = pinned(now.pins, scenario, name)


def _rename(slot: str, key: str) -> None:
    touch()
    now = session()
    now.pins = now.pins | {slot: Pin(clean_name(st.session_state[key]), now.pins[slot].scenario)}


def _swap(slot: str) -> None:
    touch()
    now = session()
    pin = now.pins[slot]
    now.pins, now.scenario, now.edits = now.pins | {slot: Pin(pin.name, now.scenario)}, pin.scenario, {}


def _drop(slot: str) -> None:
    touch()
    now = session()
    now.pins = {key: pin for key, pin in now.pins.items() if key != slot}
