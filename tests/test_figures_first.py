"""What a page sends: what the eye waits for comes first, and a figure so that the browser draws it once."""

import json
from typing import Any

import pytest
from streamlit.runtime.scriptrunner_utils.script_run_context import ScriptRunContext
from streamlit.testing.v1 import AppTest

from pages.parts.registry import ROOT, pages

SIDEBAR = 1
#: What no figure waits for: choices, numbers and tables.
WAITS = {"button_group", "selectbox", "number_input", "metric", "arrow_data_frame", "table"}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collect what a run sends to the browser, in the order in which it is sent."""
    messages: list[Any] = []
    send = ScriptRunContext.enqueue

    def watched(context: ScriptRunContext, message: Any) -> None:
        if message.WhichOneof("type") == "delta":
            messages.append(message)
        send(context, message)

    monkeypatch.setattr(ScriptRunContext, "enqueue", watched)
    return messages


def _of_figures(messages: list[Any]) -> list[int]:
    return [n for n, one in enumerate(messages) if one.delta.new_element.WhichOneof("type") == "plotly_chart"]


def _of_sidebar(messages: list[Any]) -> list[int]:
    return [n for n, one in enumerate(messages) if one.metadata.delta_path[0] == SIDEBAR]


def _drawn_twice(chart: Any) -> str:
    """Return why the browser would draw this figure a second time behind the first, or nothing.

    Streamlit dresses a figure when it appears and again right after; Plotly draws anew unless both say the same. It
    takes a template for new because it is another object, and data where no revision says that they are the same.
    """
    layout = json.loads(chart.spec)["layout"]
    if chart.theme or "template" in layout:
        return "a template"
    if "datarevision" not in layout:
        return "no revision of the data"
    missing = {"clickmode", "dragmode", "hovermode"} - set(layout) if chart.selection_mode else set()
    return f"Streamlit adds {', '.join(sorted(missing))}" if missing else ""


@pytest.mark.parametrize("page", [page for page in pages() if page.group != "Learn"], ids=lambda page: page.name)
def test_figures_come_before_the_frame_when_something_changes(page: Any, sent: list[Any]) -> None:
    """A page opens from top to bottom; after a change every figure is sent before sidebar, and the first before all."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    if page.path != "app.py":
        sent.clear()
        app.switch_page(page.path).run()
    opened, sidebar = _of_figures(sent), _of_sidebar(sent)
    assert not opened or max(sidebar) < min(opened)
    sent.clear()
    next(slider for slider in app.slider if slider.label.startswith("Batch")).set_value(3)
    app.run()
    assert not app.exception
    figures, sidebar = _of_figures(sent), _of_sidebar(sent)
    kinds = [one.delta.new_element.WhichOneof("type") for one in sent]
    metrics = [n for n, kind in enumerate(kinds) if kind == "metric"]
    assert len(figures) == len(opened)
    assert [reason for n in figures if (reason := _drawn_twice(sent[n].delta.new_element.plotly_chart))] == []
    assert sidebar
    assert not figures or max(figures) < min(sidebar + metrics)
    assert not figures or not WAITS & set(kinds[: figures[0]])
