"""A chip described in JSON, and the panel that takes what was pasted."""

import pytest

from perfmodel.codec import from_query
from perfmodel.hardware import Chip
from perfmodel.importer import import_chip, import_text_report
from perfmodel.model import MODELS
from perfmodel.scenario import Scenario
from tests.test_importer import FILES, text


def test_chip_without_units_is_assumed():
    """The fields of a JSON row (bandwidth in GB/s, memory in GB, peaks in TFLOP/s) are read, their units assumed."""
    found = import_chip('{"bandwidth": 3350, "memory": 80, "bf16": 989}')
    assert found.chip == Chip(bandwidth=3350, memory=80, bf16=989)
    assert {fact.field for fact in found.assumed} == {"bandwidth", "memory", "bf16"}


def test_chip_doubts():
    """A ridge that no chip has, or FP8 at four times BF16, is said to look like a wrong unit or a sparse figure."""
    assert any("units" in note for note in import_chip('{"bandwidth": 3.35, "memory": 80, "bf16": 989}').notes)
    sparse = import_chip('{"bandwidth_gb_s": 3350, "memory_gb": 80, "bf16_tflops": 989, "fp8_tflops": 3958}')
    assert any("sparsity" in note for note in sparse.notes)


def test_an_imported_chip_travels_in_a_link():
    """Using an imported chip and reading the link again gives the same scenario."""
    found = import_chip('{"memory_gb": 80, "bandwidth_tb_s": 3.35, "bf16_tflops": 989.4}')
    scenario = Scenario().change(**found.change())
    assert from_query(scenario.to_query()) == (scenario, ())
    assert "bandwidth = 3,350 GB/s" in import_text_report(found)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"memory_gb": ...}, ["memory", "missing"]),
        ({"bandwidth_gb_per_s": ...}, ["bandwidth", "missing"]),
        ({"bf16_tflops": ...}, ["peak"]),
        ({"memory_gb": "80"}, ['memory_gb="80"', "number"]),
        ({"memory_gb": True}, ["memory_gb=true"]),
        ({"memory_gb": -1}, ["memory_gb=-1"]),
        ({"memory_gb": 0}, ["memory_gb=0", "above 0"]),
        ({"memory_gb": 1e30}, ["memory_gb=1e+30"]),
        ({"memory_tflops": 80}, ["memory_tflops", "GB"]),
        ({"hbm_gb": 80}, ["hbm_gb and memory_gb"]),
        ({"memmory_gb": 80}, ["memmory_gb", "did you mean"]),
        ({"fp8_sparse_tflops": 3958}, ["fp8_sparse_tflops", "dense"]),
        ({"link_gbps": 400}, ["link_gbps", "gigabits"]),
        ({"link_bidirectional_gb_per_s": 900}, ["link_bidirectional_gb_per_s", "one direction"]),
    ],
)
def test_broken_chip_is_one_sentence(changes, parts):
    """A broken description is a ValueError that names the field, its value and what is allowed; traps are refused."""
    base = {"memory_gb": 80, "bandwidth_gb_per_s": 3350, "bf16_tflops": 989}
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        import_chip(text(base, **changes))
    for part in parts:
        assert part in str(caught.value)


def panel():
    """The panel on an empty page, and what it returns."""
    import streamlit as st

    from pages.parts.import_panel import import_panel

    change = import_panel()
    if change:
        st.session_state["taken"] = change


def test_panel_offers_what_was_pasted():
    """Pasting shows the title, pressing the button returns the change; a broken text shows the sentence."""
    from streamlit.testing.v1 import AppTest

    app = AppTest.from_function(panel, default_timeout=30).run()
    assert not app.exception
    app.text_area[0].set_value(FILES["deepseek-v3"]).run()
    assert not app.exception
    assert "671 B" in app.markdown[0].value
    app.button[0].click().run()
    assert not app.exception
    taken = app.session_state["taken"]
    assert Scenario().change(**taken).resolved_model.dimensions == MODELS["deepseek-v3"].dimensions
    assert taken["weights"] == "fp8"
    app.text_area[0].set_value('{"hidden_size": 4096}').run()
    assert "missing" in app.error[0].value
    assert not app.button
