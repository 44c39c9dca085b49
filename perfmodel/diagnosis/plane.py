"""Plane: one phase over any two inputs at once, with its regime, time and memory at every point."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from perfmodel.diagnosis.case import case_of
from perfmodel.diagnosis.flips import reach
from perfmodel.dimensions import Dimensions
from perfmodel.memory import device_bytes
from perfmodel.scenario import CUSTOM, Scenario, checked
from perfmodel.step import REGIMES, Array

#: Numbers of the workload, speeds of resources, and what needs a setup of its own for every value.
WORK, NAMED = ("batch", "input", "output"), ("tp", "layers", "hidden")
#: Every input that an axis can show.
AXES = (*WORK, *REGIMES, *NAMED)
#: Points of the coloured grid along x and y.
ACROSS, UP = 72, 48
#: Speeds of a resource lie between one over this and this.
SPEED = 16.0
#: Longest lengths and largest batch that are shown unless the scenario has more.
USUAL = {"batch": 1024.0, "input": 131_072.0, "output": 8192.0}


@dataclass(frozen=True)
class Grid:
    """A phase at x (nx,) by y (ny,): times by regime (4, ny, nx) [s], memory per device (ny, nx) [B].

    What cannot be, such as a width that no head divides, is NaN.
    """

    x: Array
    y: Array
    parts_s: Array
    memory_bytes: Array

    @property
    def time_s(self) -> Array:
        """Time of the phase [s]."""
        return np.asarray(self.parts_s.sum(axis=0))

    @property
    def shares(self) -> Array:
        """Shares of the four regimes."""
        return np.asarray(self.parts_s / self.time_s)

    @property
    def regime(self) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
        """Index of the leading regime; -1 for what cannot be."""
        return np.where(np.isfinite(self.time_s), self.parts_s.argmax(axis=0), -1)


@dataclass(frozen=True, eq=False)
class Plane:
    """Two axes of one phase: `fine` for colours, `stops` at round values for the pointer; memory of a device [B].

    Two planes are the same where they are one object: figures are cached by it.
    """

    phase: str
    x_axis: str
    y_axis: str
    fine: Grid
    stops: Grid
    capacity: float


def choices(scenario: Scenario) -> tuple[str, ...]:
    """Return the axes that mean something here: no network for one device, no width where it is not one number."""
    d = scenario.resolved_model.dimensions
    plain = d.heads > 0 and not d.kv_lora and not any(code in "MSD" for code in d.mixers)
    left_out = {"hidden"} - ({"hidden"} if plain else set())
    left_out |= {"network"} if max(scenario.tp, scenario.pp, scenario.ep) == 1 else set()
    left_out |= {"tp"} if scenario.resolved_gpu.island <= 1 and scenario.tp == 1 else set()
    return tuple(axis for axis in AXES if axis not in left_out)


def present(scenario: Scenario, axis: str) -> float:
    """Return where the scenario lies on an axis; a resource's speed is 1."""
    if axis in REGIMES:
        return 1.0
    part = scenario.resolved_model.dimensions if axis in ("layers", "hidden") else scenario
    return float(getattr(part, axis))


def plane(scenario: Scenario, phase: str, x_axis: str, y_axis: str) -> Plane:
    """Evaluate one phase over two different axes; the place of the scenario on them changes only how far they reach."""
    if x_axis == y_axis or not {x_axis, y_axis} <= set(AXES):
        raise ValueError(f"x={x_axis!r} and y={y_axis!r} must be two different ones of {', '.join(AXES)}")
    ends = tuple(_ends(scenario, axis) for axis in (x_axis, y_axis))
    # One entry of the cache serves every point of the plane.
    rest = {axis: scenario.dp if axis == "batch" else 1 for axis in (x_axis, y_axis) if axis in WORK}
    return _plane(scenario.change(**rest), phase, x_axis, y_axis, ends)


@lru_cache(maxsize=32)
def _plane(scenario: Scenario, phase: str, x_axis: str, y_axis: str, ends: tuple[tuple[float, float], ...]) -> Plane:
    stops = [_stops(scenario, axis, *end) for axis, end in zip((x_axis, y_axis), ends, strict=True)]
    fine = [
        stop if axis in NAMED else np.geomspace(*end, points)
        for axis, stop, end, points in zip((x_axis, y_axis), stops, ends, (ACROSS, UP), strict=True)
    ]
    round_values = _grid(scenario, phase, (x_axis, y_axis), stops)
    named = x_axis in NAMED and y_axis in NAMED
    colours = round_values if named else _grid(scenario, phase, (x_axis, y_axis), fine)
    return Plane(phase, x_axis, y_axis, colours, round_values, scenario.resolved_gpu.memory_bytes)


def _ends(scenario: Scenario, axis: str) -> tuple[float, float]:
    """Return the ends of an axis: whole powers of two around what is usual and where the scenario is."""
    now = present(scenario, axis)
    if axis in REGIMES:
        return 1.0 / SPEED, SPEED
    if axis == "tp":
        return 1.0, float(max(8, scenario.tp, min(64, scenario.resolved_gpu.island)))
    if axis in NAMED:
        return now / 8.0, now * 4.0
    high = max(USUAL[axis], 2.0 ** math.ceil(math.log2(2.0 * now)))
    if axis == "batch":
        return float(scenario.dp), max(high, 2.0 * scenario.dp)
    # The two lengths share the positions of the model.
    room = reach(case_of(scenario, "decode"), "input")[2]
    room -= float(USUAL["output"]) if axis == "input" else 0.0
    return min(16.0, now), max(now + 1.0, min(high, room))


def _stops(scenario: Scenario, axis: str, low: float, high: float) -> Array:
    """Return round values between the ends: 1, 2, 4, 8 ...; of a named axis those that can be.

    One a doubling: each is a mark that the browser draws, and the pointer finds the nearest.
    """
    if axis == "tp":
        sizes = (2**power for power in range(int(math.log2(high)) + 1))
        return np.array([float(size) for size in sizes if _changed(scenario, axis, size) is not None])
    if axis in REGIMES:
        return np.asarray(2.0 ** np.arange(round(math.log2(low)), round(math.log2(high)) + 0.25, 0.5))
    if axis in NAMED:
        now = present(scenario, axis)
        shares = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32]) / 8.0
        whole = np.unique(np.maximum(1, np.round(now * shares)))
        return np.array([value for value in whole if _changed(scenario, axis, int(value)) is not None])
    powers = 2.0 ** np.arange(0, math.ceil(math.log2(high)) + 1)
    return np.asarray(powers[(powers >= low) & (powers <= high)])


def _grid(scenario: Scenario, phase: str, axes: tuple[str, str], values: list[Array]) -> Grid:
    x, y = values
    parts, memory = _evaluate(scenario, phase, {axes[0]: x[None, :], axes[1]: y[:, None]})
    return Grid(x, y, np.broadcast_to(parts, (4, y.size, x.size)), np.broadcast_to(memory, (y.size, x.size)))


def _evaluate(scenario: Scenario, phase: str, values: Mapping[str, Array]) -> tuple[Array, Array]:
    """Return times by regime and memory over arrays of shape (1, nx) and (ny, 1): a loop over names, else one run."""
    for axis in NAMED:
        if axis in values:
            rest = {name: array for name, array in values.items() if name != axis}
            shape = values[axis].shape
            found = [_one(scenario, phase, axis, float(value), rest) for value in values[axis].ravel()]
            along = 1 if shape[0] == 1 else 0
            return (
                np.concatenate([parts for parts, _ in found], axis=along + 1),
                np.concatenate([memory for _, memory in found], axis=along),
            )
    case = case_of(scenario, phase).change(**{name: array for name, array in values.items() if name in WORK})
    parts = case.parts_s({name: array for name, array in values.items() if name in REGIMES})
    memory = device_bytes(case.setup, case.batch, case.input, case.prefix + case.input + case.output)
    return parts.reshape(4, *_two(parts.shape[1:])), np.asarray(memory).reshape(_two(np.shape(memory)))


def _two(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (1,) * (2 - len(shape)) + shape


def _one(scenario: Scenario, phase: str, axis: str, value: float, rest: Mapping[str, Array]) -> tuple[Array, Array]:
    changed = _changed(scenario, axis, int(value))
    if changed is None:
        nothing = np.full(np.broadcast_shapes((1, 1), *(array.shape for array in rest.values())), np.nan)
        return np.stack([nothing] * len(REGIMES)), nothing
    return _evaluate(changed, phase, rest)


def _changed(scenario: Scenario, axis: str, value: int) -> Scenario | None:
    """Return the scenario at one value of a named axis; None where the model or the layout has no such thing."""
    try:
        return scenario.change(**fields(scenario, axis, value))
    except ValueError:
        return None


def fields(scenario: Scenario, axis: str, value: int) -> dict[str, Any]:
    """Return the fields of a scenario that lies at this value of an axis; none for the speed of a resource."""
    if axis in REGIMES:
        return {}
    if axis in WORK:
        return {axis: value}
    if axis == "tp":
        return {"tp": value, "n": value * scenario.pp * scenario.dp}
    d = scenario.resolved_model.dimensions
    own = checked(Dimensions, d.model_dump() | (_wider(d, value) if axis == "hidden" else {axis: value}))
    return {"model": CUSTOM, "dimensions": own, "name": scenario.name}


def _wider(d: Dimensions, hidden: int) -> dict[str, int]:
    """Return the dimensions that grow with the width: heads of the same size, feed-forward in proportion."""
    heads = d.heads * hidden / d.hidden
    kv_heads = d.kv_heads * hidden / d.hidden
    if heads != int(heads) or kv_heads != int(kv_heads) or kv_heads < 1:
        raise ValueError(f"hidden={hidden} does not give whole heads; heads={d.heads}, kv_heads={d.kv_heads}")
    grown = {name: round(getattr(d, name) * hidden / d.hidden) for name in ("ffn", "expert_ffn", "shared_ffn")}
    return {"hidden": hidden, "heads": int(heads), "kv_heads": int(kv_heads)} | grown
