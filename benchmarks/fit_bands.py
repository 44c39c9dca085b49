"""Fit the bands on what was left out of every fit and write perfmodel/bands.toml: `python -m benchmarks.fit_bands`.

A band holds the middle 80 % of ln(measured / predicted) of rows whose family (requests) or whose shapes (kernels) were
left out of the fit of the constants. Families weigh the same. The coverage that is printed is that of rows whose
family had no part in their band either.
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.fit_collectives import OUTLIERS
from benchmarks.fit_collectives import read as read_collectives
from benchmarks.fit_training import fit as fit_training
from benchmarks.requests import CALIBRATION, KINDS, read
from benchmarks.score_collectives import without_chip, without_link
from benchmarks.score_kernels import left_out as kernels_left_out
from benchmarks.score_memory import misses as memory_misses
from benchmarks.score_requests import GRADES, left_out
from benchmarks.score_training import read_memory, read_training
from perfmodel.bands import BANDS_FILE
from perfmodel.engine import ENGINES
from perfmodel.hardware import ACCELERATORS

LEVEL = 0.8
#: A band needs so many rows; a band of requests also a second family.
LEAST = 15
#: The share held may be this much below the level before a band is widened.
SLACK = 0.03
#: No band is widened beyond this power.
MOST = 2.5
SOURCE = "residuals of published measurements left out of the fit"
Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Left:
    """One residual ln(predicted / measured) of a row left out, and what its band is filed under."""

    quantity: str
    engine: str
    architecture: str
    family: str
    miss: float

    @property
    def keys(self) -> tuple[Key, ...]:
        """The groups it belongs to, closest first."""
        if not self.engine:
            return ((self.quantity, "", "", self.architecture), (self.quantity, "", "", ""))
        kind = ENGINES[self.engine].kind
        return (
            (self.quantity, self.engine, "", self.architecture),
            (self.quantity, self.engine, "", ""),
            (self.quantity, "", kind, ""),
            (self.quantity, "", "", ""),
        )


def collect(folder: Path) -> list[Left]:
    """Return every residual of a row left out: requests by family, kernels by shape, memory as it is."""
    rows, _ = read(folder)
    found = [
        Left(KINDS[row.metric], row.scenario.engine, row.scenario.resolved_gpu.architecture, row.family, miss)
        for row, miss in left_out([row for row in rows if row.grade in GRADES])
        # A short chunk on a long cached context is no prompt: the page says that it is far from any data.
        if KINDS[row.metric] != "prefill" or row.scenario.prefix <= row.scenario.input
    ]
    found += [Left(kind, "", chip, family, miss) for kind, chip, family, miss in kernels_left_out(folder)]
    for (phase, family), own in memory_misses(folder).items():
        if phase == "inference":
            found += [Left("memory", "", "", family, miss) for _, miss in own]
    return found + collectives(folder) + training(folder)


def collectives(folder: Path) -> list[Left]:
    """Return the residuals of all-reduces: of a chip left out of its link's fit, else of a link left out altogether."""
    rows = [row for row in read_collectives(folder / "allreduce.csv") if (row.gpu, row.ranks) not in OUTLIERS]
    found = [(gpu, float(miss)) for gpu, _, _, misses in without_chip(rows) for miss in misses]
    seen = {gpu for gpu, _ in found}
    for _, own, misses in without_link(rows):
        found += [(row.gpu, float(miss)) for row, miss in zip(own, misses, strict=True) if row.gpu not in seen]
    return [Left("all-reduce", "", ACCELERATORS[gpu].architecture, gpu, miss) for gpu, miss in found]


def training(folder: Path) -> list[Left]:
    """Return the residuals of training runs, each family left out of the fit; a rate turned into a time."""
    runs = read_training(folder / "training.csv")
    found = []
    for family in sorted({run.family for run in runs}):
        fitted = fit_training([run for run in runs if run.family != family])
        for run in (run for run in runs if run.family == family):
            sign = 1.0 if run.metric == "step_time_s" else -1.0
            found.append(Left("training", "", "", family, sign * run.miss(fitted)))
    memory = read_memory(folder / "memory.csv")
    return found + [Left("training memory", "", "", run.family, run.miss()) for run in memory]


def quantiles(lefts: list[Left]) -> tuple[float, float]:
    """Return the quantiles of measured / predicted around the middle 80 %, each family with the same weight."""
    count = {name: sum(1 for x in lefts if x.family == name) for name in {x.family for x in lefts}}
    order = sorted(lefts, key=lambda x: -x.miss)
    weights = np.cumsum([1.0 / count[x.family] for x in order])
    values = np.exp([-x.miss for x in order])
    outside = (1.0 - LEVEL) / 2.0
    low, high = (float(np.interp(q * weights[-1], weights, values)) for q in (outside, 1.0 - outside))
    return low, high


def groups(lefts: Iterable[Left]) -> dict[Key, list[Left]]:
    """Return the groups with enough rows and families, and those of all rows of a quantity whatever their size."""
    found: dict[Key, list[Left]] = defaultdict(list)
    for left in lefts:
        for key in dict.fromkeys(left.keys):
            found[key].append(left)
    return {key: own for key, own in found.items() if not any(key[1:]) or _enough(own)}


def _enough(own: list[Left]) -> bool:
    # What one family of requests shares, its host and its software, no other need share.
    families = len({x.family for x in own})
    return len(own) >= LEAST and (families > 1 or not own[0].engine)


def covered(lefts: list[Left], widen: float) -> float:
    """Return the share of rows of one quantity inside a band that their family had no part in."""
    inside: list[bool] = []
    for family in sorted({x.family for x in lefts}):
        bands = {key: quantiles(own) for key, own in groups(x for x in lefts if x.family != family).items()}
        for left in (x for x in lefts if x.family == family):
            low, high = next(bands[key] for key in left.keys if key in bands)
            inside.append(widen * np.log(low) <= -left.miss <= widen * np.log(high))
    return float(np.mean(inside))


def widening(lefts: list[Left]) -> tuple[float, float]:
    """Return the least power of the bands of a quantity that holds the stated share of left-out families, and it.

    The middle 80 % of some families holds less of another: families differ among themselves.
    """
    if len({x.family for x in lefts}) < 2:
        return 1.0, float("nan")
    tried = [(float(w), covered(lefts, w)) for w in np.arange(1.0, MOST + 0.05, 0.1)]
    enough = min(LEVEL - SLACK, max(share for _, share in tried))
    return next(pair for pair in tried if pair[1] >= enough)


def text(lefts: list[Left], widened: dict[str, tuple[float, float]]) -> str:
    """Return the data file."""
    requests = [x for x in lefts if x.engine]
    # Chips of which one product is known, the best that a search found: it is in their prediction.
    searched = {chip.architecture for chip in map(ACCELERATORS.__getitem__, ACCELERATORS) if chip.file.measured}
    head = {
        "fitted": str(datetime.date.today()),
        "source": SOURCE,
        "level": LEVEL,
        "engines": sorted({x.engine for x in requests}),
        "architectures": sorted({x.architecture for x in requests}),
        "kernel_architectures": sorted({x.architecture for x in lefts if x.architecture and not x.engine} | searched),
    }
    lines = [f"{key} = {json.dumps(item)}" for key, item in head.items()]
    lines += ["", "[coverage]", *(f'"{name}" = {share:.3f}' for name, (_, share) in widened.items())]
    for (quantity, engine, kind, architecture), own in sorted(groups(lefts).items()):
        low, high = (factor ** widened[quantity][0] for factor in quantiles(own))
        named = {"quantity": quantity, "engine": engine, "kind": kind, "architecture": architecture}
        numbers = {"low": round(low, 3), "high": round(high, 3), "rows": len(own)}
        numbers |= {"families": len({x.family for x in own})}
        numbers |= {"median_error": round(float(np.median([abs(x.miss) for x in own])), 3)}
        lines += ["", "[[band]]", *(f"{key} = {json.dumps(item)}" for key, item in (named | numbers).items() if item)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Fit, print, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibration", type=Path, default=CALIBRATION)
    parser.add_argument("--dry-run", action="store_true", help="print only")
    options = parser.parse_args()
    lefts = collect(options.calibration)
    kinds = {name: [x for x in lefts if x.quantity == name] for name in dict.fromkeys(x.quantity for x in lefts)}
    widened = {name: widening(own) for name, own in kinds.items()}
    for name, (power, share) in widened.items():
        rows = f"{len(kinds[name])} rows of families left out"
        print(f"{name:20} {LEVEL:.0%} bands hold {share:.0%} of {rows}, widened to the power {power:.1f}")
    for key, own in sorted(groups(lefts).items()):
        low, high = (factor ** widened[key[0]][0] for factor in quantiles(own))
        print(f"{' '.join(key):60}{len(own):5}{low:8.2f}{high:8.2f}")
    if not options.dry_run:
        BANDS_FILE.write_text(text(lefts, widened), encoding="utf-8")


if __name__ == "__main__":
    main()
