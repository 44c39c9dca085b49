"""One row of somebody's measurements: a question the model can be asked, and the seconds that were measured.

What a row does not say comes from the scenario at hand.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from perfmodel.catalog import closest
from perfmodel.codec import DTYPE_ALIASES, ROW_FIELDS, row_dimensions
from perfmodel.dimensions import Dimensions
from perfmodel.engine import ENGINES
from perfmodel.importers.text import shown_key
from perfmodel.model import MODELS
from perfmodel.scenario import CUSTOM, Scenario

#: No longer line is looked at.
MAX_LINE_CHARS = 4000
#: What a row of ours can measure: requests, then kernels and the fields they take.
REQUESTS = {"prefill": "prefill", "ttft": "first token", "tpot": "time per token", "e2e": "whole request"}
KERNEL_FIELDS: dict[str, tuple[str, ...]] = {
    "launch": ("engine",),
    "copy": ("bytes",),
    "cached_copy": ("bytes",),
    "gemm": ("m", "n", "k", "weight_dtype", "math_dtype"),
    "attention": ("phase", "batch", "q_len", "kv_len", "heads", "kv_heads", "head_dim", "dtype", "kv_dtype"),
    "all_reduce": ("bytes", "n_gpu", "dtype", "backend"),
}
WHAT = (*REQUESTS, *KERNEL_FIELDS)
#: What says nothing of main memory or matrix units, so that no constant is fitted to it.
ASIDE = frozenset({"cached_copy"})
#: The numbers and texts that describe a model of one's own, as a row may state them.
SHAPE = tuple(Dimensions.model_fields)
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_TEXTS = frozenset(
    {"model", "gpu", "engine", "phase", "backend", "dtype"} | {f for f in ROW_FIELDS if f.endswith("dtype")}
)
#: Fields of a scenario beyond those of `batch` that a reader may set.
_OWN = {"group": "group"}
#: The header of our CSV: what was measured, the seconds, then any fields of `batch` and `kernels`.
HEADER = ("what", "seconds")

Fields = dict[str, Any]
#: A reader yields line number and fields, or the line number and what is wrong.
Rows = Iterator[tuple[int, Fields | str]]


@dataclass(frozen=True, eq=False)
class Measurement:
    """One measured time [s]: the line it stands on, what it is of, and the scenario or kernel row that it answers."""

    line: int
    what: str
    seconds: float
    asked: Scenario | Mapping[str, Any]

    @property
    def label(self) -> str:
        """What was measured, in a few words."""
        if isinstance(self.asked, Scenario):
            s = self.asked
            return f"{REQUESTS[self.what]}, batch {s.batch:,} × ({s.prefix + s.input:,} in, {s.output:,} out)"
        sizes = (f"{k} {v}" for k, v in self.asked.items() if k not in ("kernel", "gpu") and not isinstance(v, str))
        return f"{self.what} {', '.join(sizes)}".strip()


def table_rows(text: str, comment: str = "#") -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of a CSV text, without comments and empty lines."""
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), start=1):
        if line.strip() and not line.startswith(comment):
            yield number, [cell.strip() for cell in next(csv.reader([line[:MAX_LINE_CHARS]]))]


def measurement(line: int, fields: Fields, scenario: Scenario) -> Measurement:
    """Return the row that the fields of a line describe; a `ValueError` names the field at fault."""
    what = str(fields.get("what", "")).lower()
    if what not in WHAT:
        raise ValueError(f"what={what[:40]!r} is not known; allowed are {', '.join(WHAT)}{closest(what, WHAT)}")
    seconds = positive(fields.get("seconds"), "seconds")
    given = {key: value for key, value in fields.items() if key not in HEADER}
    if what in REQUESTS:
        return Measurement(line, what, seconds, request(given, scenario))
    return Measurement(line, what, seconds, _kernel(what, given, scenario))


def positive(value: Any, name: str) -> float:
    """Return a number above zero, or raise a `ValueError` that names the field."""
    try:
        number = float(str(value).replace(",", ""))
    except ValueError:
        number = math.nan
    if not 0 < number < 1e12:
        raise ValueError(f"{name}={str(value)[:40]!r} is not allowed: a number above zero is needed")
    return number


def _whole(value: Any, name: str) -> int:
    number = positive(value, name) if str(value).strip() not in ("0", "0.0") else 0.0
    if number != int(number):
        raise ValueError(f"{name}={str(value)[:40]!r} is not allowed: a whole number is needed")
    return int(number)


def request(given: Mapping[str, Any], scenario: Scenario) -> Scenario:
    """Return the scenario with the fields that a row states; with dimensions, of a model of one's own."""
    allowed = ROW_FIELDS | _OWN
    shape = {key: value for key, value in given.items() if key in SHAPE}
    unknown = [key for key in given if key not in allowed and key not in shape]
    if unknown:
        near = closest(unknown[0], (*allowed, *SHAPE))
        raise ValueError(f"{shown_key(unknown[0], 40)} is no field of a request{near}")
    change: Fields = {allowed[key]: _value(key, value) for key, value in given.items() if key not in shape}
    change |= {"dimensions": None, "name": ""} if "model" in change else {}
    change |= own_model(change.get("model", ""), shape) if shape else {}
    change |= {"chip": None} if "gpu" in change else {}
    layout = {name: change.get(name, getattr(scenario, name)) for name in ("tp", "pp", "dp")}
    change["n"] = math.prod(layout.values())
    # The fit starts from the profile itself, not from an earlier fit.
    return scenario.change(**change | {"cal": ""})


def own_model(model: str, shape: Mapping[str, Any]) -> Fields:
    """Return the fields of a scenario with a model given by its dimensions.

    `model` is one of the catalogue that the dimensions change, or the name of a model that they give in full.

    >>> own_model("llama-2-7b", {"layers": "8"})["dimensions"].hidden, own_model("", {"layers": 8, "hidden": 64,
    ... "heads": 4, "ffn": 256})["dimensions"].head_dim
    (4096, 16)
    """
    stated = {key: _dimension(key, value) for key, value in shape.items()}
    known = model.lower() in MODELS.aliases
    if not known and (missing := [key for key in ("layers", "hidden") if key not in stated]):
        which = f"model={model[:40]!r} is not in the catalogue" if model else "no model is named"
        raise ValueError(f"{missing[0]} is missing: {which}, so that layers, hidden, heads and ffn are needed")
    base = MODELS[model].dimensions.model_dump() if known else {}
    return {"model": CUSTOM, "dimensions": row_dimensions(base | stated), "name": "" if known else model}


def _dimension(key: str, value: Any) -> Any:
    kind, text = Dimensions.model_fields[key].annotation, str(value).strip()
    if kind is int:
        return _whole(value, key)
    if kind is not bool:
        return text[:80]
    if text.lower() not in _TRUTHS:
        raise ValueError(f"{key}={text[:40]!r} is not allowed: yes or no is needed")
    return _TRUTHS[text.lower()]


def _value(key: str, value: Any) -> Any:
    if key in _TEXTS:
        text = str(value)[:80]
        return DTYPE_ALIASES.get(text.lower(), text.lower()) if key.endswith("dtype") else text
    return _whole(value, key)


def _kernel(what: str, given: Mapping[str, Any], scenario: Scenario) -> Mapping[str, Any]:
    fields = KERNEL_FIELDS[what]
    unknown = [key for key in given if key not in (*fields, "gpu")]
    if unknown:
        raise ValueError(f"{shown_key(unknown[0], 40)} is no field of {what}; its fields are {', '.join(fields)}, gpu")
    chip: Any = scenario.chip.model_dump() if scenario.chip else scenario.gpu
    if "engine" in given:
        ENGINES.resolve(str(given["engine"]))
    row = {"kernel": "copy" if what in ("launch", "cached_copy") else what, "gpu": chip}
    row |= {"bytes": 0} if what == "launch" else {}
    return row | {key: _value(key, value) for key, value in given.items()}
