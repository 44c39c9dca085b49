"""What a visit leaves in the server's memory is let go, while the visitor stays and after.

An hour of sixty visitors would else add some 50 MB to a server of 350 (`./dev bench --only leak`).
"""

from __future__ import annotations

import ctypes
import platform
from functools import cache

from streamlit.runtime.scriptrunner import get_script_run_ctx

#: The name of glibc for "so many heaps at most", and how many threads may share.
_M_ARENA_MAX, HEAPS = -8, 2


@cache
def few_heaps() -> bool:
    """Let all threads of this process share two heaps, where its C library is glibc; return whether it agreed.

    Streamlit runs each change in a new thread, and glibc gives new threads up to eight heaps a core. What one run has
    returned is then of no use to the next, and the server holds 50 to 100 MB that nobody uses.
    """
    return platform.libc_ver()[0] == "glibc" and bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, HEAPS))


def old_widgets() -> None:
    """Let go what Streamlit knows of widgets without a value, those of earlier runs; called before a run draws its own.

    It drops the value of a widget that a run no longer draws, but neither what it knows of it (kind, callback, the way
    to read it) nor its place among the keys. A figure that can be clicked is another widget as soon as its data are:
    every change of a slider left some behind. Nothing of this is public in Streamlit: a test fails where a version
    keeps it elsewhere.
    """
    context = get_script_run_ctx()
    if context is None:
        return
    state = context.session_state._state
    drawn, keys = state._new_widget_state, state._key_id_mapper
    drawn.widget_metadata = {
        name: known for name, known in drawn.widget_metadata.items() if name in drawn.states or name in state._old_state
    }
    keys.set_key_id_mapping(keys._key_id_mapping)
