"""One figure of a page and nothing else, for slides and wikis: what the link key `alone` asks for.

The page runs as always. What it draws goes nowhere until that figure comes; then it stops.
"""

from __future__ import annotations

from contextlib import nullcontext
from fnmatch import fnmatchcase
from typing import Any

from streamlit.delta_generator import DeltaGenerator

from pages.parts.registry import figure_keys
from pages.parts.share import address
from pages.parts.speech import st
from pages.parts.state import Session, session

#: What `alone` says when it asks for a page's first figure, whichever that is.
FIRST = "first"


def begin(now: Session) -> tuple[Any, Any]:
    """Return the place of the figure, with the way to the whole page below it, and where all else goes: nowhere."""
    place = st.container()
    known = figure_keys(now.page)
    if not any(now.alone == FIRST or fnmatchcase(now.alone, key) for key in known):
        from pages import plain  # here: that module imports this one

        place.warning(plain(_absent(now.alone, known)))
    st.markdown(f":small[[Open in perfmodel]({address(now)})]")
    nowhere = DeltaGenerator(root_container=None)
    nowhere.__enter__()  # left by Streamlit itself at the end of the run
    return place, nowhere


def _absent(asked: str, known: tuple[str, ...]) -> str:
    """Return what is said where a page has no such figure."""
    if not known:
        return "This page has no figure"
    return f"alone={asked!r} is no figure of this page; it has {', '.join(known)}"


def place(page: str, key: str, shown: Any) -> Any:
    """Return where a figure of a page is drawn; None where another one was asked for alone."""
    now = session()
    now.figures[page].append(key)
    if not now.alone:
        return nullcontext()
    return shown if now.alone in (FIRST, key) else None


def end() -> None:
    """Stop behind the figure that was asked for alone."""
    if session().alone:
        st.stop()


def saved(page: str, key: str) -> dict[str, Any]:
    """Return what the camera above a figure saves, and under which name."""
    return {"format": session().image, "filename": f"perfmodel-{page}-{key}".lower().replace(" ", "-"), "scale": 2}
