"""Fit the constants of the collectives: `python -m benchmarks.fit_collectives [--rows FILE]`.

Reads published all-reduce times (not part of the project), fits a handful of constants for each library and link and
writes them into perfmodel/backends/. Without the file it says so and changes nothing.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from perfmodel.backend import BACKEND_SPECS, Protocol, backend_id
from perfmodel.collectives import curve, fastest, wires
from perfmodel.formulas.collectives import contended_bandwidth
from perfmodel.hardware import ACCELERATORS
from perfmodel.units import MEGA, MICRO

ROWS = Path(__file__).resolve().parents[2] / "shared" / "calibration" / "allreduce.csv"
MARKER = "# --- below: written by `python -m benchmarks.fit_collectives` ---\n"
SOURCE = "published nccl-tests style measurements (AIConfigurator)"
#: One host whose bus bandwidth falls from 20 GB/s for two cards to 2 GB/s for eight: a property of that host.
OUTLIERS = {("l40s", 8)}
#: What a shape fits, with first guesses: µs, shares of the link's rate, MB.
LOW_LATENCY = {"step": 1.0, "ring_low_latency.start": 5.0, "ring_low_latency.share": 0.3}
SIMPLE = {"ring_simple.start": 10.0, "ring_simple.share": 0.7, "ring_simple.fill": 3.0}
SWITCH = {"in_network.start": 20.0, "in_network.share": 0.7, "in_network.fill": 8.0}
CUSTOM = {"step": 0.1, "one_shot.start": 3.0, "one_shot.share": 0.6, "two_shot.start": 9.0, "two_shot.share": 0.6}
#: (backend, link) in the order of fitting: a custom kernel falls back to the NCCL of its link.
SHAPES: dict[tuple[str, str], dict[str, float]] = {
    ("nccl", "nvlink3"): LOW_LATENCY | SIMPLE,
    ("nccl", "nvlink4"): LOW_LATENCY | SIMPLE | SWITCH,
    ("nccl", "nvlink5"): LOW_LATENCY | SIMPLE | SWITCH,
    ("nccl", "pcie-gen5"): LOW_LATENCY | SIMPLE | {"contention": 0.1},
    ("nccl", "pcie-gen4"): LOW_LATENCY | SIMPLE,
    ("trtllm", "nvlink3"): CUSTOM | {"one_shot.limit": 1.0},
    ("trtllm", "nvlink4"): CUSTOM,
    ("trtllm", "nvlink5"): CUSTOM,
    ("vllm", "nvlink4"): CUSTOM,
    ("vllm", "pcie-gen5"): CUSTOM,
}
#: Two cards alone say nothing about hops and contention: taken from the link that has eight.
BORROWED = {("nccl", "pcie-gen4"): (("nccl", "pcie-gen5"), ("step", "contention"))}
#: Largest group of a custom kernel: beyond a pair of PCIe cards these engines leave the work to NCCL.
LARGEST = {("vllm", "pcie-gen5"): 2, ("vllm", "nvlink4"): 8}
#: A custom kernel without rows: its shares elsewhere, its start moved as the other engine's start moves.
MOVED = {("vllm", "nvlink3"): "nvlink4", ("vllm", "nvlink5"): "nvlink4"}

Fitted = dict[tuple[str, str], dict[str, float]]


@dataclass(frozen=True)
class Row:
    """One measured all-reduce: who, how much, how long [s]; `rate`: the chip's link in one direction [B/s]."""

    backend: str
    link: str
    gpu: str
    ranks: int
    rate: float
    message_bytes: float
    time_s: float


def read(path: Path) -> list[Row]:
    """Return the rows of the table, resolved to our names."""
    rows = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            gpu = ACCELERATORS.resolve(row["gpu"].removesuffix(" (NVL)"))
            backend = backend_id(row["backend"])
            own = wires(ACCELERATORS[gpu], backend)
            rows.append(
                Row(
                    backend,
                    own.link,
                    gpu,
                    int(row["n_gpu"]),
                    own.bytes_per_s,
                    float(row["bytes"]),
                    float(row["time_s"]),
                )
            )
    return rows


def protocols(values: dict[str, float]) -> tuple[Protocol, ...]:
    """Return the protocols that a flat table of constants describes."""
    found = []
    for name in dict.fromkeys(key.split(".")[0] for key in values if "." in key):
        algorithm: Any = "ring" if name.startswith("ring") else name
        own = {key.split(".")[1]: value for key, value in values.items() if key.startswith(name + ".")}
        found.append(
            Protocol(
                algorithm,
                own["start"] * MICRO,
                own["share"],
                values["step"] * MICRO,
                own.get("fill", 0.0) * MICRO,
                own.get("limit", np.inf) * MEGA,
            )
        )
    return tuple(found)


def predict(key: tuple[str, str], fitted: Fitted, ranks: int, rate: float, message_bytes: Any) -> Any:
    """Return the time of an all-reduce with these constants, the fallback to NCCL included [s]."""
    backend, link = key
    curves = []
    for name in dict.fromkeys((backend, "nccl")):
        values = fitted.get((name, link))
        if values is None or ranks > LARGEST.get((name, link), ranks):
            continue
        usable = float(contended_bandwidth(rate, ranks, values.get("contention", 0.0)))
        curves += [one for p in protocols(values) if (one := curve(p, "all_reduce", ranks, usable))]
    return fastest(tuple(curves), message_bytes)


def errors(key: tuple[str, str], fitted: Fitted, rows: Iterable[Row]) -> np.ndarray:
    """Return ln(predicted / measured) of each row."""
    groups: dict[tuple[int, float], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.ranks, row.rate), []).append(row)
    parts = []
    for (ranks, rate), members in groups.items():
        sizes = np.array([row.message_bytes for row in members])
        measured = np.array([row.time_s for row in members])
        parts.append(np.log(predict(key, fitted, ranks, rate, sizes) / measured))
    return np.concatenate(parts)


def fit(rows: list[Row], only: Iterable[str] | None = None) -> Fitted:
    """Fit every shape for which there are rows; `only` keeps some links."""
    fitted: Fitted = {}
    for key, shape in SHAPES.items():
        link = key[1]
        own = [r for r in rows if (r.backend, r.link) == key and (r.gpu, r.ranks) not in OUTLIERS]
        if not own or (only is not None and link not in only):
            continue
        held: dict[str, float] = {}
        if key in BORROWED and (BORROWED[key][0] in fitted):
            held = {name: fitted[BORROWED[key][0]][name] for name in BORROWED[key][1]}
        free = {name: guess for name, guess in shape.items() if name not in held}
        fitted[key] = _fit_one(key, free, held, fitted, own)
    return fitted


def _fit_one(
    key: tuple[str, str], free: dict[str, float], held: dict[str, float], fitted: Fitted, rows: list[Row]
) -> dict[str, float]:
    def table(logs: np.ndarray) -> dict[str, float]:
        return dict(zip(free, np.exp(logs).tolist(), strict=True)) | held

    def loss(logs: np.ndarray) -> float:
        if np.any(np.abs(logs) > 12.0):
            return 1e9
        values = table(logs)
        # No protocol beats its wire; a share above one would be another algorithm in disguise.
        over = sum(max(0.0, value - 1.0) for name, value in values.items() if name.endswith("share"))
        miss = np.abs(errors(key, {**fitted, key: values}, rows))
        # Beyond 30 % a row counts half: one late protocol switch must not bend the whole curve.
        return float(np.mean(np.where(miss < 0.3, miss, 0.15 + 0.5 * miss))) + over

    start = np.log(np.array(list(free.values())))
    random = np.random.default_rng(0)
    tries = [start] + [start + random.normal(0.0, 0.4, start.size) for _ in range(5)]
    best = min((minimise(loss, first) for first in tries), key=loss)
    return {name: _rounded(name, value) for name, value in table(best).items()}


def _rounded(name: str, value: float) -> float:
    if name.endswith((".fill", "step", ".start")) and value < 0.01:
        return 0.0
    return float(f"{value:.3g}")


def minimise(loss: Callable[[np.ndarray], float], start: np.ndarray, rounds: int = 3) -> np.ndarray:
    """Return a local minimum by the simplex method of Nelder and Mead, restarted `rounds` times."""
    best = start
    for _ in range(rounds):
        best = _simplex(loss, best)
    return best


def _simplex(loss: Callable[[np.ndarray], float], start: np.ndarray, steps: int = 900) -> np.ndarray:
    points = np.vstack([start, start + 0.25 * np.eye(start.size)])
    values = np.array([loss(point) for point in points])
    for _ in range(steps):
        order = np.argsort(values)
        points, values = points[order], values[order]
        if values[-1] - values[0] < 1e-7:
            break
        centre = points[:-1].mean(axis=0)
        away = centre - points[-1]
        tried = centre + away
        value = loss(tried)
        if value < values[0]:
            further = centre + 2.0 * away
            tried, value = min(((tried, value), (further, loss(further))), key=lambda pair: pair[1])
        elif value >= values[-2]:
            tried = centre + (0.5 if value < values[-1] else -0.5) * away
            value = loss(tried)
        if value < values[-1]:
            points[-1], values[-1] = tried, value
        else:
            points[1:] = points[0] + 0.5 * (points[1:] - points[0])
            values[1:] = [loss(point) for point in points[1:]]
    return np.asarray(points[np.argmin(values)])


def _median(tables: list[dict[str, float]]) -> dict[str, float]:
    names = LOW_LATENCY | SIMPLE
    return {name: float(f"{np.median([table[name] for table in tables]):.3g}") for name in names}


def default_constants(fitted: Fitted) -> dict[str, float]:
    """Return the constants of a link without rows: the median of the fitted links, rings only."""
    return _median([table for (backend, _), table in fitted.items() if backend == "nccl"])


def moved_constants(key: tuple[str, str], fitted: Fitted) -> dict[str, float]:
    """Return a custom kernel's constants on a link without rows, from its own link and the other engine's two."""
    backend, link = key
    own, here, there = fitted[backend, MOVED[key]], fitted["trtllm", MOVED[key]], fitted["trtllm", link]
    late = there["one_shot.start"] - here["one_shot.start"]
    return {name: round(value + (late if name.endswith("start") else 0.0), 3) for name, value in own.items()}


def _constant(name: str, value: float, source: str) -> str:
    last = name.split(".")[-1]
    unit = {"share": "1", "contention": "1", "limit": "MB"}.get(last, "µs")
    return f'{last} = {{ value = {value:g}, unit = "{unit}", source = "{source}" }}'


def link_text(link: str, values: dict[str, float], head: list[str], source: str, ranks: int = 0) -> str:
    """Return the TOML tables of one link."""
    lines = [f"[links.{link}]", *head]
    held = {name: f"as {key[1]}" for (_, own), (key, names) in BORROWED.items() if own == link for name in names}
    lines += [_constant(name, value, held.get(name, source)) for name, value in values.items() if "." not in name]
    if ranks:
        lines.append(f"ranks = {ranks}")
    for name in dict.fromkeys(key.split(".")[0] for key in values if "." in key):
        algorithm = "ring" if name.startswith("ring") else name
        lines += ["", f"[links.{link}.{name}]", f'algorithm = "{algorithm}"']
        own = {key: value for key, value in values.items() if key.startswith(name + ".")}
        lines += [_constant(key, value, source) for key, value in own.items() if value or not key.endswith("fill")]
    return "\n".join(lines) + "\n"


def fit_line(miss: np.ndarray) -> str:
    """Return the `fit` entry of a link: rows, date, errors, band of measured / predicted."""
    ratio = np.quantile(np.exp(-miss), (0.1, 0.9))
    size = np.abs(miss)
    return (
        f'fit = {{ rows = {miss.size}, date = "{datetime.datetime.now(datetime.UTC).date()}", '
        f"median_error = {np.median(size):.3f}, p90_error = {np.quantile(size, 0.9):.3f}, "
        f'low = {ratio[0]:.2f}, high = {ratio[1]:.2f}, source = "{SOURCE}" }}'
    )


def write(fitted: Fitted, rows: list[Row]) -> None:
    """Replace what stands below the marker in each backend file."""
    texts: dict[str, list[str]] = {}
    for key, values in fitted.items():
        own = [r for r in rows if (r.backend, r.link) == key and (r.gpu, r.ranks) not in OUTLIERS]
        text = link_text(key[1], values, [fit_line(errors(key, fitted, own))], "fit", LARGEST.get(key, 0))
        texts.setdefault(key[0], []).append(text)
    head = ['basis = "median of the fitted links"']
    texts["nccl"].append(link_text("default", default_constants(fitted), head, "median of the fitted links"))
    for key in MOVED:
        head = [f'basis = "no rows: shares as on {MOVED[key]}, start-up moved as TensorRT-LLM\'s moves"']
        text = link_text(key[1], moved_constants(key, fitted), head, "estimate", LARGEST.get((key[0], MOVED[key]), 0))
        texts[key[0]].append(text)
    for backend, parts in texts.items():
        path = BACKEND_SPECS / f"{backend}.toml"
        kept = path.read_text(encoding="utf-8").partition(MARKER)[0]
        path.write_text(kept + MARKER + "\n" + "\n".join(parts), encoding="utf-8")


def main() -> int:
    """Fit, write, and print the errors of each link."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fit_collectives", description=__doc__)
    parser.add_argument("--rows", type=Path, default=ROWS, help="table of measured all-reduce times")
    parser.add_argument("--dry", action="store_true", help="print only, write nothing")
    options = parser.parse_args()
    if not options.rows.is_file():
        print(f"{options.rows} is not there: nothing fitted, nothing written", file=sys.stderr)
        return 1
    rows = read(options.rows)
    fitted = fit(rows)
    for key, values in fitted.items():
        own = [r for r in rows if (r.backend, r.link) == key and (r.gpu, r.ranks) not in OUTLIERS]
        size = np.abs(errors(key, fitted, own))
        shown = f"median {np.median(size):5.1%}  p90 {np.quantile(size, 0.9):5.1%}"
        print(f"{key[0]:7} {key[1]:10} rows {size.size:3}  {shown}")
        print("        " + ", ".join(f"{name} {value:g}" for name, value in values.items()))
    if not options.dry:
        write(fitted, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
