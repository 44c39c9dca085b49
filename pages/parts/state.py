"""Link <-> Scenario <-> widgets: who holds the truth on a run of a page.

On a rerun of the same page, after an edit or with the link that we wrote, the widgets hold the truth; otherwise the
link if there is one; otherwise the last scenario. An edit is an event (`edited`), not a comparison: a link that is
still on its way to the browser cannot undo it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import streamlit as st

from pages.parts.edits import Edits, apply, runnable
from pages.parts.registry import view_defaults, view_keys
from pages.parts.speech import carried, settle
from perfmodel import Scenario, from_query
from perfmodel.pins import SLOTS, Pins, from_link, to_link
from perfmodel.scenario import CUSTOM, DEFAULT_GPU, link_keys

_KEY = "perfmodel"
#: The link key that shows one figure of a page and nothing else, for slides and wikis.
ALONE = "alone"
#: No value of a secondary control is longer.
MAX_VIEW_CHARS = 400
#: Defaults of view keys by page that only a run of the page can tell, so that later links carry them at once.
_LEARNED: dict[str, dict[str, str]] = {}


@dataclass
class Session:
    """What one browser tab has said so far."""

    scenario: Scenario = field(default_factory=Scenario)
    page: str = ""
    written: dict[str, str] = field(default_factory=dict)
    views: dict[str, dict[str, str]] = field(default_factory=dict)
    edits: Edits = field(default_factory=dict)
    pins: Pins = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    last_gpu: str = DEFAULT_GPU
    details: str | None = None
    touched: bool = False
    #: This run opens its page; otherwise something changed on it.
    fresh: bool = True
    from_link: bool = False
    #: Back came to the short link from which the page had written its long one: writing that again would be a trap.
    resting: bool = False
    #: The figure to be shown alone: its key, or `first`; and the figures of each page's last run, to offer them.
    alone: str = ""
    figures: dict[str, list[str]] = field(default_factory=dict)
    #: What a click on each figure does. Streamlit keeps every callback that it was ever given: those must hold nothing.
    clicks: dict[str, Any] = field(default_factory=dict)
    #: What the camera of a figure saves.
    image: str = "png"
    #: On the first run of a session, what each widget was given to show.
    given: dict[str, Any] | None = None


def session() -> Session:
    """Return this tab's session, made on its first run."""
    if _KEY not in st.session_state:
        st.session_state[_KEY] = Session()
    return cast(Session, st.session_state[_KEY])


def begin(page: str) -> Session:
    """Settle the scenario of this run; a page that opens writes its link at once, else it follows the figures."""
    now, link = session(), read_link()
    same = now.page == page
    now.fresh, now.from_link, now.given = not same, False, None if now.page else {}
    if same and (now.touched or link == now.written):
        now.resting = now.resting and not now.touched
        if now.touched:
            now.notices = ()
            _take_edits(now)
    else:
        # An edit may arrive together with the page change that it was made before.
        edits = now.edits if now.touched else {}
        settle(link)
        before = link_of(now, page)
        _arrive(now, page, link)
        now.resting = same and not edits and link_of(now, page) == before
        if edits:
            now.edits = edits
            _take_edits(now)
    now.page, now.touched = page, False
    if now.scenario.gpu != CUSTOM:
        now.last_gpu = now.scenario.gpu
    if now.fresh:
        write_link(now)
    return now


def _take_edits(now: Session) -> None:
    done = apply(now.scenario, now.edits)
    now.scenario, now.edits, now.problems = done.scenario, done.left, done.problems
    now.notices += done.notices


def _arrive(now: Session, page: str, link: dict[str, str]) -> None:
    now.edits, now.problems, now.notices = {}, (), ()
    now.alone = link.pop(ALONE, "")[:MAX_VIEW_CHARS]
    if not link:
        return
    views = {key: link[key] for key in view_defaults(page) if key in link}
    scenario, notices = from_query({key: text for key, text in link.items() if key not in SLOTS}, view_keys())
    try:
        now.scenario = runnable(scenario)
    except ValueError as error:
        now.scenario, notices = Scenario(), (*notices, f"{error}; using the default scenario")
    now.pins, lost = _runnable_pins(link)
    now.notices = (*duplicates(), *notices, *lost)
    now.views[page] = {key: text for key, text in views.items() if len(text) <= MAX_VIEW_CHARS}
    now.from_link = True


def _runnable_pins(link: dict[str, str]) -> tuple[Pins, tuple[str, ...]]:
    found, notices = from_link(link)
    pins: Pins = {}
    for slot, pin in found.items():
        try:
            runnable(pin.scenario)
            pins[slot] = pin
        except ValueError as error:
            notices = (*notices, f"pinned scenario {slot.upper()}: {error}; it was left out")
    return pins, notices


def read_link() -> dict[str, str]:
    """Return the parameters of the address; of a repeated key the last value."""
    return dict(st.query_params.to_dict())


def duplicates() -> tuple[str, ...]:
    """Return a notice for every key that stands in the address more than once."""
    repeated = (key for key in st.query_params if len(st.query_params.get_all(key)) > 1)
    return tuple(f"{key[:40]} stands in the link more than once; the last value is used" for key in repeated)


def link_of(now: Session, page: str) -> dict[str, str]:
    """Return the whole link of a page: the scenario, what its secondary controls show, what is pinned, the language."""
    known = {key: text for key, text in view_defaults(page).items() if text is not None}
    views = known | _LEARNED.get(page, {}) | now.views.get(page, {})
    return now.scenario.to_query() | views | to_link(now.pins) | carried()


def write_link(now: Session) -> None:
    """Put the link of the present page into the address bar, if it is not there already."""
    more = {ALONE: now.alone} if now.alone else {}
    now.written = read_link() if now.resting else link_of(now, now.page) | more
    if read_link() != now.written:
        st.query_params.from_dict(now.written)


def edited(name: str, key: str) -> None:
    """Note that the user changed the widget `key` of a field (a callback: it runs before the page does)."""
    now = session()
    now.edits[name], now.touched = st.session_state[key], True


def reset(*names: str) -> None:
    """Forget what was typed into these fields and did not fit."""
    now = session()
    now.edits = {name: value for name, value in now.edits.items() if name not in names}


def choose(name: str, value: Any) -> None:
    """Note an edit that no widget holds: a button's callback."""
    now = session()
    now.edits[name], now.touched = value, True


def hold(key: str, value: Any, default: str = "value", shown: Any = None) -> dict[str, Any]:
    """Return the arguments that make a widget show `value`, touching its state only when that says otherwise.

    Otherwise the value is passed as the default: a browser that missed the run which set it (Streamlit drops what an
    interrupted run had to say) still starts from it. `default` is the name of that argument, `shown` its value.
    """
    now = session()
    if now.given is not None and key not in st.session_state:
        now.given[key] = value
    elif key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value
        return {"key": key}
    return {"key": key, default: value if shown is None else shown}


def catch_up(now: Session) -> None:
    """Take the edit that began a session, if one did.

    A browser that lost its server says nothing to the next one until its user edits something: the first run of that
    session meets an edited widget and the link from before the edit. Where more than one widget disagrees, the link
    holds: that is no edit.
    """
    late = [key for key, value in (now.given or {}).items() if st.session_state[key] != value]
    if late:
        if len(late) == 1:
            edited(late[0].partition(".")[2], late[0])
        st.rerun()


def view(page: str, key: str, allowed: Callable[[str], bool], default: str) -> tuple[str, str]:
    """Return what a secondary control shows and, if the link asked for something else, that; the link then follows."""
    if key == ALONE or key in link_keys().values():
        raise ValueError(f"control {key!r}: the key belongs to the scenario or the frame; take another one")
    now = session()
    if view_defaults(page).get(key) is None:
        _LEARNED.setdefault(page, {})[key] = default
    shown = now.views.setdefault(page, {})
    asked = shown.setdefault(key, default)
    if allowed(asked):
        return asked, ""
    shown[key] = default
    return default, asked if now.from_link else ""


def set_view(page: str, key: str, value: str) -> str:
    """Change what a secondary control shows and return it."""
    session().views.setdefault(page, {})[key] = value
    return value


def touch() -> None:
    """Note that the user did something on this page, in a callback: the widgets hold the truth."""
    session().touched = True
