"""The catalogue of models: parameters, cache, sources, agreement with what was published, models side by side."""

import math

import numpy as np
import pytest

from perfmodel import MODELS, Scenario, estimate
from perfmodel.blocks import parameters
from perfmodel.catalog import ESTIMATE
from perfmodel.catalogue_tables import MARK
from perfmodel.figures import model_catalogue
from perfmodel.model_compare import comparison as compare_models
from perfmodel.model_compare import times_with
from perfmodel.model_tables import (
    agreement_text,
    attention_kind,
    estimated_fields,
    families,
    filter_models,
    long_cache_bytes,
    memory_table,
    model_sources,
    model_table,
    models_of,
    parts,
    pattern_text,
    stored_bytes,
)
from tests.test_chip_tables import valid

MODEL_ROWS = {row["id"]: row for row in model_table()}


@pytest.mark.parametrize(
    ("id", "total", "kv_bytes"),
    [
        ("llama-3-8b", 8_030_261_248, 131_072),
        ("llama-3.1-8b", 8_030_261_248, 131_072),
        ("deepseek-v3", 671_026_419_200, 70_272),
        ("llama-2-7b", 6_738_415_616, 524_288),
    ],
)
def test_parameters_and_cache_of_known_models(id, total, kv_bytes):
    """The catalogue's row has the published parameters and the KV bytes a token of traps.md 1 and 2."""
    np.testing.assert_allclose(MODEL_ROWS[id]["Parameters, B"], total / 1e9, rtol=1e-12)
    assert MODEL_ROWS[id]["KV, B/token"] == kv_bytes


def test_weights_of_llama_take_sixteen_gigabytes():
    """Llama-3-8B in bf16: 16.06 GB (traps.md 1); fewer bits never take more."""
    np.testing.assert_allclose(MODEL_ROWS["llama-3-8b"]["Weights bf16, GB"], 16.06, atol=0.005)
    for id in MODELS:
        sizes = [stored_bytes(MODELS[id], name) for name in ("bf16", "fp8", "int4")]
        assert sizes[0] > sizes[1] > sizes[2] > 0


def test_windows_bound_the_long_cache():
    """Gemma 3 27B at 32k: 10 of 62 layers keep all tokens, 52 keep 1,024 (traps.md 3)."""
    value = 2 * 2 * 16 * 128
    np.testing.assert_allclose(
        long_cache_bytes(MODELS["gemma-3-27b"].dimensions), value * (10 * 32_768 + 52 * 1_024), rtol=1e-12
    )


def test_no_cache_beyond_the_context():
    """A model that ends before 32k tokens has no cache of 32k tokens."""
    assert math.isnan(long_cache_bytes(MODELS["gpt-2-124m"].dimensions))


def test_a_row_and_a_source_for_every_model():
    """The catalogue leaves no model out, and each row names a source and the agreement with the published count."""
    assert set(MODEL_ROWS) == set(MODELS)
    assert len(model_table()) == len(MODELS)
    for id, row in MODEL_ROWS.items():
        assert row["Source"]
        assert row["Agreement"] == MODELS[id].file.published.agreement
        assert row["Family"] in families()


@pytest.mark.parametrize("id", list(MODELS))
def test_every_dimension_opens_its_source(id):
    """The details list each dimension that the model has, with its source; what nobody published is marked."""
    model = MODELS[id]
    rows = model_sources(model)
    assert {"Layers", "Hidden", "Vocab"} <= {row["Number"] for row in rows}
    for row in rows:
        assert row["Source"]
        assert (row["Source"] == "estimate") == row["Value"].startswith(MARK)
    guessed = [name for name, source in model.sources.items() if source.key == ESTIMATE.key]
    assert bool(MODEL_ROWS[id]["≈ Estimates"]) == bool(guessed) == bool(estimated_fields(model))


@pytest.mark.parametrize("id", list(MODELS))
def test_parts_add_up(id):
    """The parameters by part add up to the total, and those not idle to the active ones."""
    d = MODELS[id].dimensions
    sizes = dict(parts(d))
    assert sum(sizes.values()) == parameters(d).total
    assert sum(sizes.values()) - sizes["Feed-forward, idle experts"] == parameters(d).active
    assert min(sizes.values()) >= 0


@pytest.mark.parametrize(
    ("id", "agreement"),
    [
        ("llama-3.1-8b", "exact"),
        ("deepseek-v3", "differs"),
        ("baichuan-7b", "rounded"),
        ("baichuan2-13b", "unpublished"),
    ],
)
def test_agreement_is_told(id, agreement):
    """The details say how our count compares with the published one, and give the reason of a difference."""
    model = MODELS[id]
    assert model.file.published.agreement == agreement
    text = agreement_text(model)
    assert f"{parameters(model.dimensions).total:,}" in text
    assert ("Counted minus published" in text) == (agreement == "differs")


def test_attention_is_named():
    """MHA, GQA, MQA, MLA, windows and recurrent layers are told apart, per layer pattern."""
    kinds = {
        "llama-2-7b": "MHA",
        "llama-3.1-8b": "GQA",
        "falcon-7b": "MQA",
        "deepseek-v3": "MLA",
        "deepseek-v3.2": "MLA, sparse: 2,048 tokens",
        "mistral-7b-v0.1": "GQA, window 4,096 in all layers",
        "qwen3-next-80b-a3b": "hybrid: 36 of 48 layers DeltaNet, GQA in 12",
    }
    for id, kind in kinds.items():
        assert attention_kind(MODELS[id].dimensions) == kind
    assert pattern_text(MODELS["llama-3.1-8b"].dimensions) == "32 × attention + dense FFN"
    assert all(pattern_text(MODELS[id].dimensions) for id in MODELS)


def test_model_filters():
    """Family, attention and search each keep exactly what satisfies them; an alias finds its model."""
    rows = model_table()
    assert filter_models(rows) == list(rows)
    assert {row["Family"] for row in filter_models(rows, family="qwen")} == {"qwen"}
    assert {row["id"] for row in filter_models(rows, kind="MLA")} == {
        id for id in MODELS if MODELS[id].dimensions.kv_lora
    }
    assert "deepseek-v3" in {row["id"] for row in filter_models(rows, "deepseek-ai/DeepSeek-R1")}


def test_models_are_compared_under_one_question():
    """Times are the estimate's with only the model changed; one that cannot run so says why and has none."""
    scenario = Scenario()
    times = times_with(scenario, ("llama-3.1-8b", "gpt-2-124m", "mixtral-8x7b"))
    assert times[2].decode_s == estimate(scenario.change(model="mixtral-8x7b")).decode_step_s
    assert math.isnan(times[1].decode_s)
    assert "GPT-2" in times[1].notes[0]
    rows = {row["Quantity"]: row for row in compare_models(times)}
    assert rows["Parameters"]["Mixtral 8x7B"] == "46.7 B (5.82×)"


def test_imported_model_is_shown_like_any_other():
    """A model that travels in the link leads the list, with its count and the user as its source."""
    own = MODELS["llama-3.1-8b"].dimensions.model_copy(update={"layers": 16})
    model = models_of(Scenario(model="custom", dimensions=own, name="Half"))["custom"]
    assert model.name == "Half"
    assert "counted from the dimensions entered" in agreement_text(model)
    assert all(row["Source"] == "entered by the user" for row in model_sources(model))
    assert memory_table(model)


def test_figures_of_models_are_valid():
    """Every figure passes Plotly's validation, for every model; the strip has a cell for each layer and row."""
    models, own = [MODELS[id] for id in MODELS], MODEL_ROWS["llama-3.1-8b"]
    for measure in model_catalogue.MEASURES:
        figure = valid(model_catalogue.model_map(model_table(), measure, own))
        drawn = [data[0] for trace in figure.data if trace.customdata is not None for data in trace.customdata]
        assert sorted(drawn) == sorted(MODELS)
        valid(model_catalogue.model_map([], measure, own))
        assert own["Model"] in model_catalogue.describe_model_map(model_table(), measure, own)
    for model in models:
        strip = valid(model_catalogue.layer_strip(model.dimensions))
        pattern = model.dimensions.pattern()
        cells = sum(mixer != "-" for mixer, _ in pattern) + sum(ffn != "-" for _, ffn in pattern)
        assert sum(len(trace.x) for trace in strip.data) == cells
    bars = valid(model_catalogue.part_bars(models[:6]))
    totals = [sum(trace.x[i] for trace in bars.data) for i in range(6)]
    assert totals == [parameters(model.dimensions).total for model in models[:6]]
