"""What Streamlit knows of widgets that are gone is let go, as long as a visitor stays.

It drops the value of a widget that a run no longer draws, but neither what it knows of it (kind, callback, the way to
read it) nor its place among the keys, before the visitor leaves. A widget is another one as soon as its words are: a
formula card carries its value in its heading, a figure that can be clicked is told apart by its data. So every change
of a slider left some things behind in the server, together 40 to 80 MB an hour of sixty visitors.
"""

from __future__ import annotations

from streamlit.runtime.scriptrunner import get_script_run_ctx


def old_widgets() -> None:
    """Let go what is known of widgets without a value: those of earlier runs; called before a run draws its own.

    Nothing of it is public in Streamlit; `tests/test_forget.py` fails where a version keeps it elsewhere.
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
