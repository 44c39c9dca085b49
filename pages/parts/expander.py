"""An expander that stays as its reader left it while its heading changes."""

from __future__ import annotations

from typing import Any

import streamlit

from pages.parts.speech import say


class Heading(str):
    """A heading that may carry a value: what it is told apart by is not what it says.

    Streamlit tells widgets apart by `str` of what they are made with, this among it. An expander whose value follows a
    slider would be another one at every step: it closes, the server keeps what it knew of the old one, and so does the
    browser, some nine nodes of its page each.
    """

    def __str__(self) -> str:
        """Return what is the same in all headings: the key alone tells the expander apart."""
        return ""


def expander(heading: str, key: str, on_change: Any, *, opened: bool = False) -> Any:
    """Draw an expander; return it, with `open` saying whether it is. Asked for otherwise (`opened`), it begins anew."""
    return streamlit.expander(Heading(say(heading)), expanded=opened, key=key, on_change=on_change)
