"""Fit the few constants of engine profiles on published requests and write them into perfmodel/engines/*.toml.

    python -m benchmarks.fit_engines [--calibration ../shared/calibration] [--dry-run] [engine ...]

Each profile has a handful of free constants (FREE); all others keep their source. The loss of a profile is the mean
over its (family, kind) groups of |ln(predicted / measured)|, clipped at one: no family and no outlier rules.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.requests import CALIBRATION, Row, by_family, read
from perfmodel.engine import ENGINE_SPECS, ENGINES, Engine
from perfmodel.units import MICRO

#: Profile -> its free constants with the bounds that physics gives them.
FREE: dict[str, dict[str, tuple[float, float]]] = {
    "tensorrt-llm": {"step_us": (50.0, 5000.0)},
    "vllm": {"step_us": (50.0, 5000.0)},
    "sglang": {"step_us": (50.0, 5000.0)},
    "fastertransformer": {"step_us": (50.0, 5000.0)},
    "optimum-habana": {"host_us": (0.1, 100.0), "memory_efficiency": (0.5, 0.95), "linear_efficiency": (0.1, 0.97)},
    "llama.cpp": {
        "linear_efficiency": (0.1, 0.95),
        "alu_efficiency": (0.1, 0.95),
        "attention_efficiency": (0.01, 0.9),
        "memory_efficiency": (0.5, 0.95),
        "dequant_ops": (1.0, 100.0),
        "kernel_us": (1.0, 20.0),
    },
    "exllama": {"step_us": (50.0, 5000.0), "attention_efficiency": (0.01, 0.9)},
    "autoawq": {
        "linear_efficiency": (0.1, 0.95),
        "memory_efficiency": (0.3, 0.95),
        "step_us": (50.0, 5000.0),
    },
    "mlc-llm": {"step_us": (50.0, 5000.0)},
}
#: Constants that share the time of a prompt between them: one rises as the other falls, so they are moved together.
TRADED = ("linear_efficiency", "attention_efficiency")
#: Grades of the rows that constants are fitted on: C rows have a known confounder.
GRADES = ("A", "B")
SOURCE = "published requests"


def changed(engine: Engine, values: Mapping[str, float]) -> Engine:
    """Return the profile with some constants replaced."""
    fields = {name.removesuffix("_us") + "_s" if name.endswith("_us") else name: name for name in values}
    own = {field: values[name] * (MICRO if name.endswith("_us") else 1.0) for field, name in fields.items()}
    return replace(engine, **own)  # type: ignore[arg-type]


def loss(engine: Engine, rows: list[Row]) -> float:
    """Return the mean over families and kinds of their error: halfway between the median and the clipped mean."""
    groups = by_family(rows, (row.miss(engine) for row in rows))
    sizes = [np.minimum(np.abs(found), 1.0) for found in groups.values()]
    return float(np.mean([(np.mean(size) + np.median(size)) / 2.0 for size in sizes]))


def fit(id: str, rows: Iterable[Row], start: Mapping[str, float] | None = None, rounds: int = 4) -> dict[str, float]:
    """Return the constants of least loss: one after another, in shrinking factors, within their bounds.

    The search starts at the profile's constants, or at `start`; without rows it ends there.
    """
    engine, free = ENGINES[id], FREE[id]
    own = [row for row in rows if row.scenario.engine == id and row.grade in GRADES]
    best = dict(start or {name: engine.constants[name].value for name in free})
    if not own:
        return best
    least = loss(changed(engine, best), own)
    for step in (2.0 ** (1.0 / 2**i) for i in range(rounds)):
        moved = True
        while moved:
            moved = False
            for tried in _neighbours(best, free, step):
                found = loss(changed(engine, tried), own)
                if found < least - 1e-5:
                    best, least, moved = tried, found, True
    return {name: float(f"{value:.3g}") for name, value in best.items()}


def _neighbours(
    best: dict[str, float], free: dict[str, tuple[float, float]], step: float
) -> Iterator[dict[str, float]]:
    for name, (low, high) in free.items():
        for factor in (step, 1.0 / step):
            yield best | {name: float(np.clip(best[name] * factor, low, high))}
    if set(TRADED) <= set(free):
        for factors in ((step, 1.0 / step**2), (1.0 / step, step**2), (step, 1.0 / step), (1.0 / step, step)):
            pairs = zip(TRADED, factors, strict=True)
            yield best | {name: float(np.clip(best[name] * factor, *free[name])) for name, factor in pairs}


def write(id: str, values: Mapping[str, float], rows: list[Row]) -> None:
    """Put the constants into the profile's file, with what they were fitted on."""
    path = ENGINE_SPECS / f"{id}.toml"
    text = path.read_text(encoding="utf-8").partition("\n[fit]\n")[0].rstrip("\n") + "\n"
    own = [row for row in rows if row.scenario.engine == id and row.grade in GRADES]
    error = float(np.median([abs(row.miss(changed(ENGINES[id], values))) for row in own]))
    for name, value in values.items():
        found = re.search(rf'^{name} = .*note = "(.*)" }}$', text, re.M)
        if found is None:
            raise ValueError(f"{path.name}: no constant {name} with a note to write to")
        line = f'{name} = {{ value = {value:g}, source = "{SOURCE}", note = "{found[1]}" }}'
        text = text.replace(found[0], line)
    table = {
        "date": str(datetime.date.today()),
        "constants": list(values),
        "families": sorted({row.family for row in own}),
        "rows": len(own),
        "median_error": round(error, 3),
    }
    head = "# written by `python -m benchmarks.fit_engines`\n"
    text += "\n[fit]\n" + head + "".join(f"{key} = {json.dumps(item)}\n" for key, item in table.items())
    path.write_text(text, encoding="utf-8")


def main() -> None:
    """Fit, print, and write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engines", nargs="*", help="profiles to fit; all without")
    parser.add_argument("--calibration", type=Path, default=CALIBRATION)
    parser.add_argument("--dry-run", action="store_true", help="print only")
    options = parser.parse_args()
    rows, _ = read(options.calibration)
    for id in options.engines or FREE:
        values = fit(id, rows)
        own = [row for row in rows if row.scenario.engine == id and row.grade in GRADES]
        print(f"{id:18} {len(own):4} rows  loss {loss(changed(ENGINES[id], values), own):.3f}  {values}", flush=True)
        if not options.dry_run:
            write(id, values, rows)


if __name__ == "__main__":
    main()
