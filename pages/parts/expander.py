"""An expander that stays as its reader left it while its heading changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pages.parts.speech import st


def expander(heading: str, key: str, on_change: str | Callable[[], None], *, opened: bool = False) -> Any:
    """Draw an expander whose heading may carry a value; return it, with `open` saying whether it is.

    To Streamlit an expander with another heading is another one: one whose value follows a slider would close at every
    step. How it begins is part of what it is told apart by, too: one that always began as it stands would be built anew
    by every click on it. So it begins as it stood under its last heading, and otherwise as it was asked for.
    """
    began, told = f"{key}.began", (heading, opened)
    last, expanded = st.session_state.get(began, (None, False)) if key in st.session_state else (None, False)
    if last != told:
        follows = last is not None and last[1] == opened
        expanded = bool(st.session_state[key]) if follows else opened
        st.session_state[began] = (told, expanded)
    return st.expander(heading, expanded=expanded, key=key, on_change=on_change)
