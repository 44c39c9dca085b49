"""Models and accelerators of one's own: they travel in links and rows as their dimensions; what is wrong is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from perfmodel import MODELS, Scenario, estimate, from_query, from_row
from perfmodel.codec import DTYPE_ALIASES, ROW_FIELDS
from perfmodel.dimensions import Dimensions
from perfmodel.hardware import Chip
from perfmodel.scenario import CUSTOM
from tests.test_codec import to_row


def test_custom_parts_travel() -> None:
    """A custom model and accelerator stand in the link as their numbers and come back as the same report."""
    shape = MODELS["gemma-3-27b"].dimensions
    chip = Chip(bandwidth=0.1 + 0.2, memory=1 / 3, bf16=989.4, link=450)
    scenario = Scenario(model=CUSTOM, dimensions=shape, gpu=CUSTOM, chip=chip, name="Mine (v2)")
    query = scenario.to_query()
    assert (query["layers"], query["mix"], query["g.bf16"], query["g.link"]) == ("62", "LLLLLG", "989.4", "450")
    found, notices = from_query(query)
    assert (found, notices) == (scenario, ())
    assert estimate(found).to_dict() == estimate(scenario).to_dict()


@pytest.mark.parametrize("model", list(MODELS))
def test_every_preset_can_be_sent_as_its_dimensions(model: str) -> None:
    """Each model of the catalogue as a custom one has the same numbers, by link and by row."""
    preset = Scenario(model=model, input=100, output=100)
    custom = preset.change(model=CUSTOM, dimensions=MODELS[model].dimensions)
    expected = estimate(preset).to_dict()
    assert estimate(from_query(custom.to_query())[0]).to_dict() | {"notes": []} == expected | {"notes": []}
    assert estimate(from_row(to_row(custom))).to_dict() | {"notes": []} == expected | {"notes": []}


def test_editing_a_preset() -> None:
    """`model=llama-3.1-8b&layers=40` is that model with 40 layers, and nothing else changed."""
    scenario, notices = from_query({"model": "llama-3.1-8b", "layers": "40"})
    assert notices == ()
    assert scenario.dimensions == MODELS["llama-3.1-8b"].dimensions.model_copy(update={"layers": 40})


def test_row_spellings() -> None:
    """Rows understand other spellings of data types, and null as absent."""
    for name, ours in DTYPE_ALIASES.items():
        assert from_row({"weight_dtype": name.upper()}).weights == ours
    assert from_row({"batch": None, "model": None}) == Scenario()


def test_row_model_object() -> None:
    """DESIGN 5: a model object has layers to tied_embeddings and, where it applies, experts to window."""
    base = {
        "layers": 4, "hidden": 512, "heads": 8, "kv_heads": 2, "head_dim": 64, "ffn": 1024, "gated": True,
        "vocab": 1000, "tied_embeddings": False,
    }  # fmt: skip
    moe = {"experts": 8, "top_k": 2, "shared_experts": 2, "expert_ffn": 256, "dense_layers": 1}
    assert from_row({"model": base}).dimensions == Dimensions(**base)
    found = from_row({"model": base | moe | {"window": 128}}).dimensions
    assert found is not None
    assert (found.experts, found.top_k, found.shared_ffn, found.dense_layers) == (8, 2, 512, 1)
    assert (found.mixers, found.window) == ("L", 128)


ROW_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(
    st.sampled_from([*Dimensions.model_fields, "shared_experts", *Chip.model_fields]), ROW_VALUES, max_size=12
)


@given(st.dictionaries(st.sampled_from(list(ROW_FIELDS)), ROW_VALUES | OBJECTS, max_size=8) | ROW_VALUES)
@example({"model": {"shared_experts": 1, "expert_ffn": [1]}})
@example({"model": {"shared_experts": 1, "expert_ffn": {"a": 1}}})
@example({"model": {"hidden": True, "heads": True}})
@settings(max_examples=300)
def test_a_row_raises_only_value_errors(row: Any) -> None:
    """A broken row raises one `ValueError` with a text, and nothing else."""
    problem = ""
    try:
        found: Any = from_row(row)
    except ValueError as error:
        found, problem = None, str(error)
    assert isinstance(found, Scenario) or problem
