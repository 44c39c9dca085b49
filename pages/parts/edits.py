"""What a user changed, applied to a scenario: all of it if it fits together, else as much as does, with the reasons.

An edit is a field name and the value typed: `batch`, `model.heads` (a dimension), `gpu.bf16` (a number of the chip).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from perfmodel import MODELS, Scenario, cached_estimate, from_query
from perfmodel.dimensions import Dimensions
from perfmodel.hardware import Accelerator, Chip
from perfmodel.scenario import CUSTOM, checked, field_keys

Edits = dict[str, Any]
#: Picking one of these replaces what depends on it; what no longer fits then falls back, with a notice.
PRESETS = ("model", "gpu")
_EDITED = " (edited)"


@dataclass(frozen=True)
class Outcome:
    """The scenario after the edits, the edits that did not fit, and why, one sentence each."""

    scenario: Scenario
    left: Edits
    problems: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def apply(scenario: Scenario, edits: Edits) -> Outcome:
    """Apply edits; those that do not fit stay in `left`, and the scenario is the last valid one without them."""
    picked = {name: value for name, value in edits.items() if name in PRESETS}
    notices: tuple[str, ...] = ()
    for name, value in picked.items():
        scenario, said = pick(scenario, name, value)
        notices += said
    rest = {name: value for name, value in edits.items() if name not in PRESETS}
    rest = {name: value for name, value in rest.items() if name.split(".")[0] not in picked}
    if not rest:
        return Outcome(scenario, {}, (), notices)
    try:
        return Outcome(_changed(scenario, rest), {}, (), notices)
    except ValueError as error:
        if len(rest) == 1:
            return Outcome(scenario, rest, (str(error),), notices)
    return _one_by_one(scenario, rest, notices)


def _one_by_one(scenario: Scenario, edits: Edits, notices: tuple[str, ...]) -> Outcome:
    left: Edits = {}
    problems: list[str] = []
    for name, value in edits.items():
        try:
            scenario = _changed(scenario, {name: value})
        except ValueError as error:
            left[name] = value
            problems.append(str(error))
    return Outcome(scenario, left, tuple(dict.fromkeys(problems)), notices)


def runnable(scenario: Scenario) -> Scenario:
    """Return the scenario if it can be estimated; a `ValueError` says why not."""
    cached_estimate(scenario)
    return scenario


def pick(scenario: Scenario, name: str, value: str) -> tuple[Scenario, tuple[str, ...]]:
    """Return the scenario with another model or accelerator; what cannot stay with it falls back, with a notice."""
    if value == CUSTOM:
        try:
            return scenario.change(**(_own_model(scenario) if name == "model" else _own_chip(scenario))), ()
        except ValueError as error:
            return scenario, (f"{error}; type the numbers in under details, or start from another preset",)
    parts = Dimensions if name == "model" else Chip
    drop = {key.key for key in field_keys(parts).values()} | ({"name"} if name == "model" else set())
    query = {key: text for key, text in scenario.to_query().items() if key not in drop} | {name: value}
    found, notices = from_query(query)
    try:
        return runnable(found), notices
    except ValueError as error:
        return scenario, (f"{error}; staying with {getattr(scenario, name)}",)


def _changed(scenario: Scenario, edits: Edits) -> Scenario:
    change = {name: value for name, value in edits.items() if "." not in name}
    if {"tp", "pp", "dp", "cp"} & set(change):
        change["n"] = math.prod(change.get(name, getattr(scenario, name)) for name in ("tp", "pp", "dp", "cp"))
    dimensions = {name[6:]: value for name, value in edits.items() if name.startswith("model.")}
    chip = {name[4:]: value for name, value in edits.items() if name.startswith("gpu.")}
    if dimensions:
        change |= _own_model(scenario, dimensions)
    if chip:
        change |= _own_chip(scenario, chip)
    return runnable(scenario.change(**change))


def preset_of(scenario: Scenario) -> str:
    """Return the id of the preset that a custom model was edited from, "" when its name does not tell.

    >>> preset_of(apply(Scenario(), {"model.layers": 31}).scenario)
    'llama-3.1-8b'
    """
    name = scenario.name.removesuffix(_EDITED)
    if name == scenario.name:
        return ""
    return next((key for key in MODELS if _plain(MODELS[key].name) == name), "")


def _plain(name: str) -> str:
    return re.sub(r"[^\w .()+-]", " ", name)[: 60 - len(_EDITED)]


def _own_model(scenario: Scenario, edits: Edits | None = None) -> Edits:
    """The model's dimensions with the edits, as a custom model; as the preset again when nothing differs from it."""
    current = scenario.resolved_model
    dimensions = checked(Dimensions, current.dimensions.model_dump() | (edits or {}))
    preset = preset_of(scenario) if scenario.dimensions else scenario.model
    if edits and preset and dimensions == MODELS[preset].dimensions:
        return {"model": preset, "dimensions": None, "name": ""}
    name = scenario.name if scenario.dimensions else _plain(current.name) + _EDITED
    return {"model": CUSTOM, "dimensions": dimensions, "name": name}


def chip_numbers(gpu: Accelerator) -> dict[str, float]:
    """Return an accelerator's numbers in the fields and units of `Chip`; what nobody published is 0."""
    file = gpu.file
    found = {
        "bandwidth": file.memory.bandwidth,
        "memory": file.memory.capacity,
        "link": file.link.bandwidth,
        "tdp": file.chip.tdp,
        "price": file.price.usd_per_hour,
    }
    numbers = {
        name: number.value for name, number in (file.peak | found).items() if number and name in Chip.model_fields
    }
    return {name: numbers.get(name, 0.0) for name in Chip.model_fields}


def _own_chip(scenario: Scenario, edits: Edits | None = None) -> Edits:
    return {"gpu": CUSTOM, "chip": checked(Chip, chip_numbers(scenario.resolved_gpu) | (edits or {}))}
