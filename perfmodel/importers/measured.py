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
from perfmodel.codec import DTYPE_ALIASES, ROW_FIELDS
from perfmodel.importers.text import shown_key
from perfmodel.scenario import Scenario

#: No longer line is looked at.
MAX_LINE_CHARS = 4000
#: What a row of ours can measure: requests, then kernels and the fields they take.
REQUESTS = {"prefill": "prefill", "ttft": "first token", "tpot": "time per token", "e2e": "whole request"}
KERNEL_FIELDS: dict[str, tuple[str, ...]] = {
    "launch": (),
    "copy": ("bytes",),
    "gemm": ("m", "n", "k", "weight_dtype", "math_dtype"),
    "attention": ("phase", "batch", "q_len", "kv_len", "heads", "kv_heads", "head_dim", "dtype", "kv_dtype"),
    "all_reduce": ("bytes", "n_gpu", "dtype", "backend"),
}
WHAT = (*REQUESTS, *KERNEL_FIELDS)
_TEXTS = frozenset({"model", "gpu", "engine", "phase", "backend"} | {f for f in ROW_FIELDS if f.endswith("dtype")})
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
    """Return the scenario with the fields that a row states."""
    allowed = ROW_FIELDS | _OWN
    unknown = [key for key in given if key not in allowed]
    if unknown:
        raise ValueError(f"{shown_key(unknown[0], 40)} is no field of a request{closest(unknown[0], tuple(allowed))}")
    change: Fields = {allowed[key]: _value(key, value) for key, value in given.items()}
    change |= {"dimensions": None, "name": ""} if "model" in change else {}
    change |= {"chip": None} if "gpu" in change else {}
    layout = {name: change.get(name, getattr(scenario, name)) for name in ("tp", "pp", "dp")}
    change["n"] = math.prod(layout.values())
    # The fit starts from the profile itself, not from an earlier fit.
    return scenario.change(**change | {"cal": ""})


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
    row = {"kernel": "copy" if what == "launch" else what, "gpu": chip}
    row |= {"bytes": 0} if what == "launch" else {}
    return row | {key: _value(key, value) for key, value in given.items()}
