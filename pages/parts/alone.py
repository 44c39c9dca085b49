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
from pages.parts.speech import plain, st
from pages.parts.state import Session, session

#: What `alone` says when it asks for a page's first figure, whichever that is.
FIRST = "first"


def begin(now: Session) -> tuple[Any, Any]:
    """Return the place of the figure, with the way to the whole page below it, and where all else goes: nowhere."""
    place = st.container()
    st.markdown(f":small[[Open in perfmodel]({address(now)})]")
    nowhere = DeltaGenerator(root_container=None)
    nowhere.__enter__()  # left by Streamlit itself at the end of the run
    return place, nowhere


def absent(now: Session, shown: Any) -> None:
    """Say where the figure should be that this run did not draw it, and why."""
    known = figure_keys(now.page)
    if not known:
        text = "This page has no figure"
    elif now.alone == FIRST or any(fnmatchcase(now.alone, key) for key in known):
        text = f"alone={now.alone!r} is a figure of this page, but not with these choices; open the page to change them"
    else:
        text = f"alone={now.alone!r} is no figure of this page; it has {', '.join(known)}"
    shown.warning(plain(text))


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
