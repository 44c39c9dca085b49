"""What we measured ourselves: a machine's kernels and a small decoder over width, depth, batch, context and tokens.

The constants are fitted on the single kernels alone; the decoder's times are then predicted and compared, so that none
of what is judged was used for the fit.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from perfmodel.calibration import canonical
from perfmodel.fitting import Fitted, fit, predict
from perfmodel.importers.measured import REQUESTS, Measurement
from perfmodel.measure.decoder import WIDTH
from perfmodel.measurements import Measured, read_measurements
from perfmodel.notebook import LAYERS
from perfmodel.scenario import Scenario
from perfmodel.score import Score, residuals, score

FOLDER = Path(__file__).resolve().parent / "measured"
MACHINES_FILE = "machines.toml"
#: What the decoder was measured over, and what its values count.
AXES = {
    "width": "width of the model",
    "depth": "layers",
    "batch": "sequences in the batch",
    "context": "cached tokens",
    "prompt": "tokens of the prompt",
    "tokens": "generated tokens",
}
#: From this logarithmic error on, a factor needs one digit after the point.
FAR_OFF = 0.5
#: The bare step was timed, without the generate loop of a framework around it.
BARE = "step_us:0.001"


@dataclass(frozen=True, slots=True)
class Point:
    """One time of the decoder [s]: measured, predicted by the profile as it is, and by the fit on kernels alone."""

    axis: str
    value: int
    measured_s: float
    as_is_s: float
    fitted_s: float


@dataclass(frozen=True, eq=False)
class Machine:
    """One machine that we measured: its accelerator in the catalogue, and the constants of its kernels."""

    id: str
    title: str
    gpu: str
    cal: str
    note: str
    known: str

    @cached_property
    def text(self) -> str:
        """The file as the calibrator wrote it."""
        return (FOLDER / f"{self.id}.csv").read_text(encoding="utf-8")

    @cached_property
    def about(self) -> dict[str, str]:
        """Date, processor, versions and method, as the file says them."""
        lines = (line[1:].partition(":") for line in self.text.splitlines() if line.startswith("#"))
        return {name.strip(): value.strip() for name, _, value in lines}

    @cached_property
    def measured(self) -> Measured:
        """The rows of the file."""
        return read_measurements(self.text, Scenario(gpu=self.gpu))

    @property
    def kernels(self) -> tuple[Measurement, ...]:
        """The single kernels: what the constants are fitted on."""
        return tuple(row for row in self.measured.rows if row.what not in REQUESTS)

    def refit(self) -> Fitted:
        """Fit the constants on the single kernels."""
        return fit(replace(self.measured, rows=self.kernels))

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """Every time of the decoder beside both predictions; the base case is a point of several axes."""
        rows = [row for row in self.measured.rows if isinstance(row.asked, Scenario)]
        as_is = predict(rows, canonical(BARE))
        fitted = predict(rows, canonical(f"{self.cal},{BARE}"))
        base = min(row.asked.input for row in rows if isinstance(row.asked, Scenario) and row.what == "tpot")
        found = []
        for row, *times in zip(rows, as_is.tolist(), fitted.tolist(), strict=True):
            found += [Point(axis, value, row.seconds, *times) for axis, value in places(row, base).items()]
        order = list(AXES)
        return tuple(sorted(found, key=lambda point: (order.index(point.axis), point.value)))

    def along(self, axis: str) -> tuple[Point, ...]:
        """Return the points of one axis, in its order."""
        return tuple(point for point in self.points if point.axis == axis)

    def measured_s(self, axis: str, value: int) -> float:
        """Return one measured time [s]; a `ValueError` names what was measured."""
        times = {point.value: point.measured_s for point in self.along(axis)}
        if value not in times:
            known = ", ".join(f"{known:,}" for known in times) or f"no {axis}; there are {', '.join(AXES)}"
            raise ValueError(f"{axis}={value} was not measured; measured are {known}")
        return times[value]


def places(row: Measurement, base: int) -> dict[str, int]:
    """Return the axes that a time of the decoder is a point of, with its value on each.

    >>> from perfmodel.notebook import run_of
    >>> places(Measurement(1, "tpot", 1.0, run_of(1024, 8).change(input=64)), 64)
    {'width': 1024, 'depth': 8, 'batch': 1, 'context': 64}
    """
    asked = row.asked
    if not isinstance(asked, Scenario):
        raise ValueError(f"{row.what} is a single kernel, and no point of a sweep")
    if row.what != "tpot":
        return {"prompt": asked.input} if row.what == "prefill" else {"tokens": asked.output}
    shape = asked.resolved_model.dimensions
    own = {"width": shape.hidden, "depth": shape.layers, "batch": asked.batch, "context": asked.input}
    usual = {"width": WIDTH, "depth": LAYERS, "batch": 1, "context": base}
    unusual = [axis for axis in own if own[axis] != usual[axis]]
    return {axis: own[axis] for axis in own if unusual in ([], [axis])}


@lru_cache(maxsize=1)
def machines() -> dict[str, Machine]:
    """Return every machine that we measured, by its id."""
    tables = tomllib.loads((FOLDER / MACHINES_FILE).read_text(encoding="utf-8"))
    return {id: Machine(id, **table) for id, table in tables.items()}


def scores(points: Iterable[Point]) -> tuple[Score, Score]:
    """Return how far the profile as it is lay from some points, and the fit on kernels alone."""
    points = list(points)
    measured = [point.measured_s for point in points]
    return score(residuals([p.as_is_s for p in points], measured)), score(
        residuals([p.fitted_s for p in points], measured)
    )


def error_rows(machine: Machine) -> list[dict[str, Any]]:
    """Return the typical factor between prediction and measurement by axis as rows of a table, then that of all."""
    groups = {words: machine.along(axis) for axis, words in AXES.items()}
    rows = []
    for name, points in {**groups, "all": machine.points}.items():
        if points:
            before, after = scores(points)
            rows.append({"Over": name, "Points": len(points), "Data sheet": factor(before),
                         "Fitted": factor(after)})  # fmt: skip
    return rows


def factor(one: Score) -> str:
    """Return the typical factor of some residuals, with their lean.

    >>> factor(score([0.7, 0.6, 0.8]))
    '2.0 × too slow'
    """
    return f"{math.exp(one.median):.{1 if one.median > FAR_OFF else 2}f} × too {'fast' if one.signed < 0 else 'slow'}"


def sentence(machine: Machine) -> str:
    """Return what was measured where, and how near the prediction was."""
    _, after = scores(machine.points)
    about, rows = machine.about, len(machine.measured.rows) - len(machine.kernels)
    return (
        f"{machine.title}, {about['date']}, {about['library']}: {len(machine.kernels)} single kernels and {rows} times "
        f"of a small Llama. Constants fitted on the kernels alone miss the Llama by a factor of "
        f"{math.exp(after.median):.2f} in the median."
    )
