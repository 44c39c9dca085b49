"""Several models side by side: shape, parameters, memory, and one scenario's times with each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from perfmodel.blocks import parameters
from perfmodel.catalogue_tables import Row, chosen, compared, marked
from perfmodel.estimate import cached_estimate
from perfmodel.memory import cache_per_token
from perfmodel.model import Model
from perfmodel.model_tables import (
    KV_VALUE_BYTES,
    WEIGHT_FORMATS,
    attention_kind,
    estimated_fields,
    experts_text,
    long_cache_bytes,
    models_of,
    pattern_text,
    stored_bytes,
)
from perfmodel.scenario import CUSTOM, Scenario
from perfmodel.units import count, show


@dataclass(frozen=True, slots=True)
class ModelTimes:
    """One scenario with one model; NaN and a note where it cannot run as it is."""

    model: Model
    prefill_s: float = math.nan
    decode_s: float = math.nan
    memory_bytes: float = math.nan
    capacity_bytes: float = math.nan
    notes: tuple[str, ...] = ()


def with_model(scenario: Scenario, id: str) -> Scenario:
    """Return the same question with another model of the catalogue; a `ValueError` names what does not fit."""
    return scenario if id == CUSTOM else scenario.change(model=id, dimensions=None, name="")


def times_with(scenario: Scenario, ids: Sequence[str]) -> list[ModelTimes]:
    """Estimate the scenario with each model; one that cannot run as the scenario asks says so and has no times."""
    known = models_of(scenario)
    return [_times(scenario, id, known[id]) for id in chosen(ids, known, (scenario.model,))]


def _times(scenario: Scenario, id: str, model: Model) -> ModelTimes:
    try:
        report = cached_estimate(with_model(scenario, id))
    except ValueError as error:
        return ModelTimes(model, notes=(str(error),))
    grave = tuple(f"{model.name}: {note.text}" for note in report.notes if note.level != "info")
    return ModelTimes(model, report.ttft_s, report.decode_step_s, report.memory.total, report.memory.capacity, grave)


#: Line of the comparison -> value, unit that it is shown with ("#" for a count).
_NUMBERS: tuple[tuple[str, Callable[[ModelTimes], float], str], ...] = (
    ("Time to first token", lambda t: t.prefill_s, "s"),
    ("Decode step", lambda t: t.decode_s, "s"),
    ("Memory on one device", lambda t: t.memory_bytes, "B"),
    ("Parameters", lambda t: parameters(t.model.dimensions).total, "#"),
    ("Active parameters", lambda t: parameters(t.model.dimensions).active, "#"),
    ("KV cache per token, bf16", lambda t: cache_per_token(t.model.dimensions, KV_VALUE_BYTES), "B"),
    ("KV cache at 32k, bf16", lambda t: long_cache_bytes(t.model.dimensions), "B"),
    *((f"Weights in {name}", lambda t, name=name: stored_bytes(t.model, name), "B") for name in WEIGHT_FORMATS),
    ("Layers", lambda t: t.model.dimensions.layers, "#"),
    ("Hidden", lambda t: t.model.dimensions.hidden, "#"),
    ("Heads", lambda t: t.model.dimensions.heads, "#"),
    ("KV heads", lambda t: t.model.dimensions.kv_heads, "#"),
    ("Head size", lambda t: t.model.dimensions.head_dim, "#"),
    ("Feed-forward width", lambda t: t.model.dimensions.ffn, "#"),
    ("Expert width", lambda t: t.model.dimensions.expert_ffn, "#"),
    ("Vocabulary", lambda t: t.model.dimensions.vocab, "#"),
    ("Context", lambda t: t.model.dimensions.max_context, "#"),
)
_TEXTS: tuple[tuple[str, Callable[[ModelTimes], str]], ...] = (
    ("Attention", lambda t: attention_kind(t.model.dimensions)),
    ("Experts", lambda t: experts_text(t.model.dimensions) or "–"),
    ("Layer pattern", lambda t: pattern_text(t.model.dimensions)),
    ("Estimates", lambda t: marked(", ".join(estimated_fields(t.model)), True) if estimated_fields(t.model) else "–"),
)


def comparison(times: Sequence[ModelTimes]) -> list[Row]:
    """Return the table of a comparison: one line a quantity, one column a model, ratios to the first model."""
    names = [t.model.name for t in times]
    rows = []
    for name, value, unit in _NUMBERS:
        # Zero means "has none": no number, no ratio.
        values = [float(value(t)) or math.nan for t in times]
        texts = [count(v) if unit == "#" else show(v, unit) for v in values]
        rows.append((name, compared(texts, values)))
    rows += [(name, [text(t) for t in times]) for name, text in _TEXTS]
    return [{"Quantity": name, **dict(zip(names, cells, strict=True))} for name, cells in rows]


def comparison_notes(times: Sequence[ModelTimes]) -> list[str]:
    """Return what the reader must know about the times, every sentence once."""
    return list(dict.fromkeys(note for t in times for note in t.notes))
