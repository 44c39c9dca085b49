"""Widgets that edit one field of the scenario: label with unit, bounds and help from the field itself."""

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from pages.parts.speech import st
from pages.parts.state import edited, hold, session
from perfmodel.hardware import DTYPES
from perfmodel.scenario import CHOICES, Scenario, allowed_text, field_keys

#: Words of field names that are written in capitals.
_CAPITALS = frozenset(("kv", "ffn", "ssm", "qk", "qkv", "mla", "dt", *DTYPES, "tdp", "v", "q", "o"))
#: Labels that the field's name alone would not give.
_LABELS = {
    "weights": "Weights",
    "kv": "KV cache",
    "math": "Math type",
    "tp": "Tensor parallel",
    "pp": "Pipeline parallel",
    "dp": "Data parallel",
    "ep": "Expert parallel",
    "group": "Int4 group",
    "attention": "Attention kernel",
    "skew": "Expert imbalance",
    "draft": "Speculative decoding",
    "spec": "Drafted",
    "accept": "Acceptance",
    "cal": "Your machine's constants",
    "cp": "Context parallel",
    "mb": "Micro-batches",
    "sp": "Sequence parallel",
    "adp": "Attention by sequences",
    "spread": "Weight layout",
    "kv_split": "Cache split along",
    "overlap": "Links hidden",
}


@lru_cache(maxsize=256)
def label(record: type[BaseModel], name: str) -> str:
    """Return the label of a field: its name in words with the unit, "KV heads [heads]"."""
    text = _LABELS.get(name) or " ".join(word.upper() if word in _CAPITALS else word for word in name.split("_"))
    unit = field_keys(record)[name].unit
    return text[0].upper() + text[1:] + (f" [{unit}]" if unit else "")


@lru_cache(maxsize=256)
def help_text(record: type[BaseModel], name: str) -> str:
    """Return one line of help: what the field is, what is allowed, its key in the link."""
    key, allowed = field_keys(record)[name], allowed_text(record, name)
    said = key.help[0].upper() + key.help[1:]
    return f"{said}. {allowed[:1].upper() + allowed[1:] + '. ' if allowed else ''}In the link: `{key.key}`"


@lru_cache(maxsize=256)
def bounds(record: type[BaseModel], name: str) -> tuple[Any, Any]:
    """Return the smallest and largest value of a numeric field."""
    found = {
        k: getattr(item, k)
        for item in record.model_fields[name].metadata
        for k in ("ge", "gt", "le")
        if hasattr(item, k)
    }
    return found.get("ge", found.get("gt", 0)), found.get("le")


def pick(name: str, text: str, options: Sequence[str], value: str, shown: Callable[[str], str], help: str = "") -> None:
    """Draw a select box for a field whose values are names."""
    now = session()
    value, key = now.edits.get(name, value), f"w.{name}"
    held = hold(key, value, "index", options.index(value))
    st.selectbox(text, options, format_func=shown, on_change=edited, args=(name, key), help=help, **held)


def words(name: str, value: str) -> None:
    """Draw a select box for a scenario field that takes one of a few words."""
    pick(name, label(Scenario, name), CHOICES[name], value, str, help_text(Scenario, name))


def number(record: type[BaseModel], prefix: str, name: str, value: Any) -> None:
    """Draw the input of one number, switch or text of a record; `prefix` is "", "model." or "gpu."."""
    full = prefix + name
    now = session()
    value, key = now.edits.get(full, value), f"x.{full}"
    kind, text = record.model_fields[name].annotation, label(record, name)
    words = typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()
    held = hold(key, value, "index", words.index(value)) if words else hold(key, value)
    common: dict[str, Any] = {"on_change": edited, "args": (full, key), "help": help_text(record, name)} | held
    if kind is bool:
        st.toggle(text, **common)
    elif kind in (int, float):
        low, high = bounds(record, name)
        # JSON numbers on the way to the browser: the step decides between whole and broken ones.
        st.number_input(text, min_value=kind(low), max_value=kind(high), step=1 if kind is int else None, **common)
    elif words:
        st.selectbox(text, words, **common)
    else:
        st.text_input(text, max_chars=1024, **common)
