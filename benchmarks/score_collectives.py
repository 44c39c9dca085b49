"""Score the collectives: `python -m benchmarks.score_collectives [--rows FILE] [--leave-out]`.

Prints |ln(predicted / measured)| for each link, library, number of ranks and decade of size, through the very path of
`python -m perfmodel kernels`. `--leave-out` fits again without one chip, or one link, and scores what was left out.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.fit_collectives import OUTLIERS, ROWS, Fitted, Row, default_constants, errors, fit, read
from perfmodel.collectives import wires
from perfmodel.hardware import ACCELERATORS, LINKS
from perfmodel.units import MICRO

HEADER = f"{'':44}{'rows':>5}{'median':>8}{'signed':>8}{'p90':>7}{'<15 %':>7}{'<30 %':>7}"


def miss(row: Row) -> float:
    """Return ln(predicted / measured) of one row."""
    links = wires(ACCELERATORS[row.gpu], row.backend)
    return math.log(float(links.time_s("all_reduce", row.message_bytes, row.ranks)) / row.time_s)


def line(name: str, misses: Iterable[float]) -> str:
    """Return one line of the table."""
    found = np.array(list(misses))
    size = np.abs(found)
    shares = f"{np.mean(size < math.log(1.15)):7.0%}{np.mean(size < math.log(1.3)):7.0%}"
    errors_ = f"{np.median(size):8.1%}{np.median(found):+8.1%}{np.quantile(size, 0.9):7.0%}"
    return f"{name:44}{found.size:5}{errors_}{shares}"


def decade(message_bytes: float) -> str:
    """Return the decade of a size: "1e4 .. 1e5 B"."""
    power = math.floor(math.log10(message_bytes))
    return f"1e{power} .. 1e{power + 1} B"


def table(title: str, rows: list[tuple[Row, float]], key: Callable[[Row], str]) -> None:
    """Print one line for each value of the key."""
    print(f"\n{title}\n{HEADER}")
    for name in sorted({key(row) for row, _ in rows}):
        print(line(name, (error for row, error in rows if key(row) == name)))


def without_chip(rows: list[Row]) -> Iterator[tuple[str, str, str, np.ndarray]]:
    """Yield chip, library, link and ln(predicted / measured) where other chips of the link were fitted alone."""
    for gpu in sorted({row.gpu for row in rows}):
        kept = [row for row in rows if row.gpu != gpu]
        links = {row.link for row in rows if row.gpu == gpu} & {row.link for row in kept}
        fitted = fit(kept, links | {"pcie-gen5"})
        for key in sorted({(row.backend, row.link) for row in rows if row.gpu == gpu}):
            own = [row for row in rows if row.gpu == gpu and (row.backend, row.link) == key]
            if key in fitted:
                yield gpu, *key, errors(key, fitted, own)


def without_link(rows: list[Row]) -> Iterator[tuple[str, list[Row], np.ndarray]]:
    """Yield link, rows and ln(predicted / measured) of NCCL with the other links' constants and its own start-up."""
    everything = fit(rows, None)
    for link in sorted({row.link for row in rows}):
        others = {key: values for key, values in everything.items() if key[1] != link}
        values = default_constants(others)
        late = LINKS[link].latency_s / MICRO - values["ring_low_latency.start"] - 2.0 * values["step"]
        moved = {name: max(0.0, v + late) if name.endswith("start") else v for name, v in values.items()}
        alone: Fitted = {("nccl", link): moved}
        own = [row for row in rows if row.link == link and row.backend == "nccl"]
        yield link, own, errors(("nccl", link), alone, own)


def leave_out(rows: list[Row]) -> None:
    """Fit without one chip of a link, then without a link at all, and print the errors on what was left out."""
    print(f"\nOne chip left out, its link fitted on the others\n{HEADER}")
    for gpu, backend, link, found in without_chip(rows):
        print(line(f"{gpu:22} {backend:7} {link}", found))
    print(f"\nOne link left out, NCCL with the defaults of the other links and the link's own start-up\n{HEADER}")
    for link, _, found in without_link(rows):
        print(line(link, found))


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.score_collectives", description=__doc__)
    parser.add_argument("--rows", type=Path, default=ROWS, help="table of measured all-reduce times")
    parser.add_argument("--leave-out", action="store_true", help="also fit again without one chip, without one link")
    options = parser.parse_args()
    if not options.rows.is_file():
        print(f"{options.rows} is not there: nothing to score", file=sys.stderr)
        return 1
    rows = read(options.rows)
    scored = [(row, miss(row)) for row in rows]
    kept = [(row, error) for row, error in scored if (row.gpu, row.ranks) not in OUTLIERS]
    table("Link and size", kept, lambda r: f"{r.link:10} {decade(r.message_bytes)}")
    table("Link, library, ranks", kept, lambda r: f"{r.link:10} {r.backend:7} n={r.ranks}")
    table(
        "Link, library, ranks, size", kept, lambda r: f"{r.link:10} {r.backend:7} n={r.ranks} {decade(r.message_bytes)}"
    )
    table("Chip and library", kept, lambda r: f"{r.gpu:22} {r.backend}")
    print(f"\nAll\n{HEADER}")
    print(line("all rows", (error for _, error in scored)))
    print(line("without the L40S host of eight", (error for _, error in kept)))
    print(line("the L40S host of eight (outlier)", (e for r, e in scored if (r.gpu, r.ranks) in OUTLIERS)))
    if options.leave_out:
        leave_out([row for row in rows if (row.gpu, row.ranks) not in OUTLIERS])
    return 0


if __name__ == "__main__":
    sys.exit(main())
