"""Fit the constants of the training model on published runs and write them into perfmodel/training.toml.

    python -m benchmarks.fit_training [--calibration ../shared/calibration] [--dry-run]

Every family weighs the same. The loss is the mean |ln(predicted / measured)|, clipped at one half, so that no outlier
bends a constant. MFU rows repeat the throughput rows of the same run and are left out. Needs SciPy.
"""

from __future__ import annotations

import argparse
import datetime
import re
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from benchmarks.score_training import CALIBRATION, Run, read_training
from perfmodel.training_ops import CONSTANTS_FILE, Constants, constants

#: Fitted constants with their lower and upper limits; everything else in the file is a definition or cited.
FITTED = {
    "linear_share": (0.4, 0.95),
    "narrow_share": (0.4, 1.2),
    "attention_share": (0.2, 1.0),
    "memory_share": (0.2, 0.9),
    "overlap": (0.0, 0.95),
    "tensor_overlap": (0.0, 0.95),
}
CLIP = 0.5
START_STEP = 0.15


def loss(values: np.ndarray, runs: dict[str, list[Run]]) -> float:
    """Return the mean error over families, each the mean over its runs, clipped; out of limits costs more."""
    held, beyond = _within(values)
    c = replace(constants(), **held)
    families = [np.mean([min(CLIP, abs(run.miss(c))) for run in own]) for own in runs.values()]
    return float(np.mean(families)) + beyond


def _within(values: np.ndarray) -> tuple[dict[str, float], float]:
    limits = np.array(list(FITTED.values()))
    inside = np.clip(values, limits[:, 0], limits[:, 1])
    beyond = float(np.abs(values - inside).sum())
    return dict(zip(FITTED, map(float, inside), strict=True)), beyond


def used(runs: list[Run]) -> list[Run]:
    """Return the rows that are fitted: one number for each run."""
    return [run for run in runs if run.metric in ("tokens_per_s_per_gpu", "step_time_s")]


def fit(runs: list[Run]) -> Constants:
    """Return the constants with the fitted ones replaced by the best for these runs."""
    families: dict[str, list[Run]] = defaultdict(list)
    for run in used(runs):
        families[run.family].append(run)
    start = np.array([(low + high) / 2.0 for low, high in FITTED.values()])
    simplex = np.vstack([start, *(start + START_STEP * row for row in np.eye(len(start)))])
    best = minimize(loss, start, args=(families,), method="Nelder-Mead",
                    options={"initial_simplex": simplex, "maxiter": 400, "xatol": 1e-3, "fatol": 1e-5})  # fmt: skip
    return replace(constants(), **_within(best.x)[0])


def write(fitted: Constants, runs: list[Run], path: Path = CONSTANTS_FILE) -> None:
    """Replace the fitted values in the file, and say on what they were fitted."""
    text = path.read_text(encoding="utf-8")
    families = ", ".join(sorted({run.family for run in runs}))
    source = f"fit on {len(used(runs))} published throughputs ({families}), {datetime.date.today()}"
    for name in FITTED:
        value = f"{getattr(fitted, name):.3g}"
        text = re.sub(rf'(?m)^{name} = {{ value = [\d.]+, source = "[^"]*"',
                      f'{name} = {{ value = {value}, source = "{source}"', text)  # fmt: skip
    path.write_text(text, encoding="utf-8")


def main() -> int:
    """Fit, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fit_training", description=__doc__)
    parser.add_argument("--calibration", type=Path, default=CALIBRATION, help="folder of the measured tables")
    parser.add_argument("--dry-run", action="store_true", help="print, do not write")
    options = parser.parse_args()
    if not (options.calibration / "training.csv").is_file():
        print(f"{options.calibration}/training.csv is not there: nothing to fit", file=sys.stderr)
        return 1
    runs = read_training(options.calibration / "training.csv")
    fitted = fit(runs)
    for name in FITTED:
        print(f"{name:18}{getattr(fitted, name):.3f}")
    if not options.dry_run:
        write(fitted, runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
