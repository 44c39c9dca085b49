"""The server keeps nothing of widgets that are gone."""

from streamlit.testing.v1 import AppTest

from pages.parts.registry import ROOT


def _known(app: AppTest) -> tuple[int, int]:
    """Return of how many widgets Streamlit knows what they are, and of how many what their key is."""
    state = app.session_state._state._state  # of the test, of the thread, of Streamlit
    return len(state._new_widget_state.widget_metadata), len(state._key_id_mapper.id_key_mapping)


def test_what_a_visitor_leaves_behind_does_not_grow() -> None:
    """However often the batch changes, and with it the headings of cards, known are widgets of the last two runs only.

    A run has about 30 and brings three of other headings; with those of a dozen runs it would be twice as many.
    """
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    app.switch_page("pages/13_Cures.py").run()
    slider = next(slider for slider in app.slider if slider.label.startswith("Batch"))
    counts = [_known(slider.set_value(value).run()) for value in range(2, 14)]
    assert not app.exception
    for known in zip(*counts[1:], strict=True):
        assert max(known) < 1.25 * min(known)


def test_a_widget_that_stays_keeps_its_value() -> None:
    """What is known of widgets on the page is not let go: a choice made before lasts over changes of another."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    app.switch_page("pages/1_Roofline.py").run()
    phase = next(group for group in app.button_group if group.label == "Phase")
    phase.set_value("prefill").run()
    slider = next(slider for slider in app.slider if slider.label.startswith("Batch"))
    for value in (2, 3):
        slider.set_value(value).run()
    assert next(group for group in app.button_group if group.label == "Phase").value == "prefill"
    assert not app.exception
