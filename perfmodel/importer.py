"""A pasted config.json or accelerator description becomes a model or a chip, and the reader sees how.

Nothing is guessed silently: every field is listed as understood (the file says it) or assumed (the family's code
says it), and every key of the file that had no part in it as ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perfmodel.blocks import parameters
from perfmodel.codec import row_dimensions
from perfmodel.dimensions import Dimensions
from perfmodel.hardware import Chip
from perfmodel.importers import chip as chips
from perfmodel.importers import layers, parts
from perfmodel.importers.families import UNKNOWN, UNSUPPORTED, by_type, normal
from perfmodel.importers.family import Family
from perfmodel.importers.harmless import harmless
from perfmodel.importers.quantisation import weights
from perfmodel.importers.reader import Fact, Reader
from perfmodel.importers.text import nested, read_object, shown, shown_key
from perfmodel.model import MODELS
from perfmodel.scenario import checked
from perfmodel.units import count

#: Parts of a multimodal config.json that hold the language model, and keys that then stand beside them.
TEXT_PARTS = ("text_config", "language_config", "llm_config", "language_model_config")
BESIDE = ("tie_word_embeddings", "quantization_config", "torch_dtype", "dtype", "architectures", "_name_or_path")
#: Parts of config.json whose keys are read as part.key, and parts that are weights but not counted.
SUBTABLES = ("attn_config", "ffn_config")
LEFT_OUT = {
    "vision_config": "The vision tower is left out", "audio_config": "The audio tower is left out",
    "vision_encoder": "The vision tower is left out",
}  # fmt: skip
EXTRA_LAYERS = ("num_nextn_predict_layers", "num_mtp_modules", "mtp_num_hidden_layers")
MAX_LISTED, MAX_NAME = 200, 60

__all__ = ["Fact", "Imported", "ImportedChip", "import_chip", "import_config", "import_text_report"]


@dataclass(frozen=True)
class Imported:
    """A model read from a config.json: `weights` is the data type that the file suggests, empty for none.

    `unknown` names those of the ignored keys of which it is not known that they do not matter.
    """

    dimensions: Dimensions
    name: str
    understood: tuple[Fact, ...]
    assumed: tuple[Fact, ...]
    ignored: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    family: str = ""
    weights: str = ""

    @property
    def title(self) -> str:
        """The name with the size of the model."""
        total = parameters(self.dimensions)
        size = f"{count(total.total)} parameters" + (
            f", {count(total.active)} active" if self.dimensions.experts else ""
        )
        return f"{self.name}: {size}"

    def change(self) -> dict[str, Any]:
        """Return the fields to change in a `Scenario` so that it asks about this model."""
        return {"model": "custom", "dimensions": self.dimensions, "name": self.name}


@dataclass(frozen=True)
class ImportedChip:
    """An accelerator read from a JSON description."""

    chip: Chip
    name: str
    understood: tuple[Fact, ...]
    assumed: tuple[Fact, ...]
    ignored: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name with the headline numbers."""
        return f"{self.name}: {self.chip.memory:g} GB at {self.chip.bandwidth:g} GB/s"

    def change(self) -> dict[str, Any]:
        """Return the fields to change in a `Scenario` so that it asks about this chip."""
        return {"gpu": "custom", "chip": self.chip}


def import_config(text: str) -> Imported:
    """Read the text of a Hugging Face config.json; raise one `ValueError` that names field, value and what is allowed.

    >>> found = import_config('{"model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096,'
    ...     '"num_attention_heads": 32, "intermediate_size": 11008, "vocab_size": 32000,'
    ...     '"max_position_embeddings": 4096}')
    >>> found.title
    'Llama 2 7B: 6.74 B parameters'
    >>> found.assumed[0].text
    'kv_heads = 32 (num_key_value_heads is absent: every query head has its own)'
    """
    whole = read_object(text, "config.json")
    if {"layers", "hidden"} <= set(whole):
        return _own(whole)
    table, part = _language(whole)
    family = _family(table, whole)
    reader = Reader(_flat(table), family, nested=bool(part))
    _refuse(whole, table)
    _read(reader)
    names = {name: reader.keys.get(name, name) for name in Dimensions.model_fields}
    dimensions: Dimensions = checked(Dimensions, _tidy(reader), names)
    return _result(reader, dimensions, whole, part)


def _language(whole: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the table that describes the language model and the key it stands under, empty for the top."""
    for part in TEXT_PARTS:
        inner = nested(whole, part)
        if inner:
            kind = {"model_type": whole["model_type"]} if "model_type" in whole and "model_type" not in inner else {}
            return {key: whole[key] for key in BESIDE if key in whole} | kind | inner, part
    return dict(whole), ""


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    flat = {key: value for key, value in table.items() if key not in SUBTABLES}
    for part in SUBTABLES:
        flat |= {f"{part}.{key}": value for key, value in nested(table, part).items()}
    return flat


def _family(table: Mapping[str, Any], whole: Mapping[str, Any]) -> Family:
    kind = table.get("model_type")
    if kind is not None and not isinstance(kind, str):
        raise ValueError(f"model_type={shown(kind)} is not allowed: a text such as llama is needed")
    stem = _architecture(table) or _architecture(whole)
    for name in filter(None, (normal(kind or ""), stem.lower())):
        if name in UNSUPPORTED:
            raise ValueError(f"model_type={name} cannot be imported: {UNSUPPORTED[name]}")
        if name in by_type():
            return by_type()[name]
    return UNKNOWN


def _architecture(table: Mapping[str, Any]) -> str:
    """Return the class name of the model without what all of them end in: LlamaForCausalLM -> Llama."""
    listed = table.get("architectures")
    first = listed[0] if isinstance(listed, list) and listed else ""
    return re.sub(r"(For[A-Z]\w*|LMHeadModel|Model)$", "", first[:80]) if isinstance(first, str) else ""


def _refuse(whole: Mapping[str, Any], table: Mapping[str, Any]) -> None:
    if whole.get("is_encoder_decoder") is True:
        raise ValueError("is_encoder_decoder=true is not allowed: only decoders are modelled")
    if table.get("block_configs"):
        raise ValueError("block_configs gives every layer sizes of its own, which cannot be expressed here")


def _read(r: Reader) -> None:
    if r.family.read:
        r.family.read(r)
    parts.sizes(r)
    codes = layers.mixers(r)
    if set(codes) & set("GL"):
        parts.attention(r)
    layers.state_space(r, codes)
    layers.experts(r, codes)
    parts.gate(r)
    parts.flags(r)
    parts.positions(r)
    parts.built(r)
    r.whole("shared_kv_layers", "num_kv_shared_layers")


def _tidy(r: Reader) -> dict[str, Any]:
    """Return the fields without those that only mean something beside others."""
    needs = {"router_bias": "experts", "shared_gate": "shared_ffn", "window": "mixers"}
    drop = {name for name, other in needs.items() if not r.values.get(other)}
    if not set(r.values.get("mixers", "G")) & set("GL") or r.values.get("kv_lora"):
        drop |= {"qk_norm"}
    for name in drop:
        r.forget(name)
    return r.values


def _result(r: Reader, dimensions: Dimensions, whole: Mapping[str, Any], part: str) -> Imported:
    dtype, sentence = weights(r.table)
    notes = [sentence] if sentence else []
    if r.family is UNKNOWN:
        notes.append(
            f"model_type={shown(r.table.get('model_type'))} is not known here; the model was read by its fields alone"
        )
    notes += [text for key, text in LEFT_OUT.items() if whole.get(key)]
    if any(r.table.get(key) for key in EXTRA_LAYERS):
        notes.append("Layers for multi-token prediction are left out")
    same = [MODELS[id].name for id in MODELS if MODELS[id].dimensions == dimensions]
    if same:
        r.note(f"The shape is that of {' and '.join(same)} in the catalogue")
    ignored, unknown = _left_over(r, whole, part)
    return Imported(
        dimensions=dimensions,
        name=_name(whole, r, same[0] if len(same) == 1 else "", dimensions),
        understood=tuple(r.understood),
        assumed=tuple(r.assumed),
        ignored=ignored,
        unknown=unknown,
        notes=(*notes, *r.notes),
        family=r.family.name,
        weights=dtype,
    )


def _left_over(r: Reader, whole: Mapping[str, Any], part: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    taken = {"model_type", *r.used}
    keys = [key for key in r.table if key not in taken]
    keys += [key for key in whole if part and key not in (part, *BESIDE, *taken) and key not in r.table]
    strange = [
        key
        for key in keys
        if not harmless(key) and key not in (*LEFT_OUT, *EXTRA_LAYERS) and r.table.get(key, 0) is not None
    ]
    names = [shown_key(key) for key in dict.fromkeys([*strange, *keys])]
    more = [f"and {len(names) - MAX_LISTED:,} more"] if len(names) > MAX_LISTED else []
    return (*names[:MAX_LISTED], *more), tuple(shown_key(key) for key in strange[:MAX_LISTED])


def _name(whole: Mapping[str, Any], r: Reader, catalogue: str, dimensions: Dimensions) -> str:
    """Return a name that a link may carry: the file's own, else the catalogue's, else class and size."""
    for key in ("_name_or_path", "name"):
        path = whole.get(key) or r.table.get(key)
        last = re.split(r"[/\\]", path[:500].rstrip("/\\"))[-1] if isinstance(path, str) else ""
        if re.search(r"\w{2}", last) and not re.fullmatch(r"[0-9a-f]{16,}|tmp\w*|checkpoint[\w-]*", last):
            return _clean(last)
    stem = catalogue or f"{_architecture(whole) or r.family.name} {count(parameters(dimensions).total)}"
    return _clean(stem)


def _clean(name: str) -> str:
    # What the field `name` of a scenario allows: letters of any script, ASCII digits, a few signs.
    kept = (c if c.isalpha() or (c.isascii() and (c.isdigit() or c in "_.()+-")) else " " for c in name[:500])
    return " ".join("".join(kept).split())[:MAX_NAME].strip() or "Custom model"


def _own(table: dict[str, Any]) -> Imported:
    """Read the program's own model object, as rows and links have it."""
    for key, value in table.items():
        whole = key in Dimensions.model_fields and Dimensions.model_fields[key].annotation is int
        if value is not None and type(value) not in ((int,) if whole or key == "shared_experts" else (int, bool, str)):
            raise ValueError(
                f"{shown_key(key)}={shown(value)} is not allowed: {'a whole number' if whole else 'a value'} is needed"
            )
    dimensions = row_dimensions(table)
    name = table.get("name") if isinstance(table.get("name"), str) else ""
    facts = {key: getattr(dimensions, key) for key in Dimensions.model_fields}
    told = tuple(Fact(key, str(value), key) for key, value in facts.items() if table.get(key) is not None)
    defaults = {key: field.default for key, field in Dimensions.model_fields.items()}
    rest = (key for key in facts if table.get(key) is None and facts[key] != defaults[key])
    left = tuple(Fact(key, str(facts[key]), "not given") for key in rest)
    return Imported(dimensions, _clean(name or "Custom model"), told, left, (), family="the program's own model object")


def import_chip(text: str) -> ImportedChip:
    """Read the JSON description of an accelerator, units in the field names; raise one clear `ValueError`.

    >>> found = import_chip('{"name": "X1", "memory_gb": 80, "bandwidth_tb_per_s": 3.35, "bf16_tflops": 989}')
    >>> found.chip.bandwidth, found.title
    (3350.0, 'X1: 80 GB at 3350 GB/s')
    """
    table = read_object(text, "the description")
    read = chips.read(table)
    chip: Chip = checked(Chip, read.values, {name: read.keys.get(name, name) for name in Chip.model_fields})
    name = table.get("name") if isinstance(table.get("name"), str) else ""
    notes = (*read.notes, *chips.doubts(chip))
    return ImportedChip(
        chip,
        _clean(name or "Custom accelerator"),
        tuple(read.understood),
        tuple(read.assumed),
        tuple(read.ignored[:MAX_LISTED]),
        notes,
    )


def import_text_report(imported: Imported | ImportedChip) -> str:
    """Return what was understood, assumed and ignored as plain text, one fact a line."""
    lines = [imported.title]
    if isinstance(imported, Imported) and imported.family:
        lines.append(f"Read as {imported.family}")
    for title, facts in (("Understood", imported.understood), ("Assumed", imported.assumed)):
        lines += ["", f"{title} ({len(facts)})", *(f"  {fact.text}" for fact in facts)]
    lines += ["", f"Ignored ({len(imported.ignored)})", *(f"  {key}" for key in imported.ignored)]
    if isinstance(imported, Imported) and imported.unknown:
        lines += [
            "  Not known here: " + ", ".join(imported.unknown) + ". If one of them adds weights, the total is too low."
        ]
    if imported.notes:
        lines += ["", "Notes", *(f"  {note}" for note in imported.notes)]
    return "\n".join(lines)
