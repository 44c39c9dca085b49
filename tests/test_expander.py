"""What a reader opens stays open."""

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.registry import ROOT

FOLD = "fold.Cures.idle"


def _heading(app: AppTest) -> str:
    return next(box.label for box in app.expander if box.label.startswith("Worth nothing"))


@pytest.mark.parametrize("opened", [True, False])
def test_a_fold_stays_as_it_is_while_its_heading_changes(opened: bool) -> None:
    """Opened or closed by its reader, a part whose heading counts what is in it stays so when the count changes."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    app.switch_page("pages/13_Cures.py").run()
    slider = next(slider for slider in app.slider if slider.label.startswith("Batch"))
    app.session_state[FOLD] = opened
    headings = {_heading(app.run())}
    for value in (2, 40, 400):
        headings.add(_heading(slider.set_value(value).run()))
        assert app.session_state[FOLD] == opened
    assert len(headings) > 1
    assert not app.exception


def test_an_expander_is_the_same_whatever_its_heading_says() -> None:
    """The browser draws it anew, and forgets whether it was open, as soon as its id is another: that is its key's."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    app.switch_page("pages/13_Cures.py").run()
    slider = next(slider for slider in app.slider if slider.label.startswith("Batch"))
    seen = [{box.proto.id: box.label for box in slider.set_value(value).run().expander} for value in (2, 40)]
    both = seen[0].keys() & seen[1].keys()
    assert len(both) == len(seen[0]) == len(seen[1])
    assert sum(seen[0][one] != seen[1][one] for one in both) >= 4


def test_an_untouched_expander_begins_as_it_is_asked_for() -> None:
    """The card of the largest operator begins closed, that of an operator that was chosen open."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    app.switch_page("pages/15_Operators.py").run()
    assert not [box for box in app.expander if "=" in box.label and box.proto.expanded]
    app.query_params["op"] = "decode.lm_head"
    app.run()
    assert [box for box in app.expander if "=" in box.label and box.proto.expanded]
    assert not app.exception
