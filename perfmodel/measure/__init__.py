"""Measure the machine this runs on: `python -m perfmodel calibrate -o mine.csv`, a file that the fit reads back.

With PyTorch: launches, copies, matrix products by type, attention and a small real decoder, on a CUDA device where
there is one (then all-reduce too, where there are several), else on the CPU. Without it: the CPU with NumPy.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perfmodel.measure import cpu, decoder, kernels, reduce
from perfmodel.measure.device import device_of, torch_module
from perfmodel.measure.timing import Sample, csv_text, least_of, median_time, provenance, table_text

#: More rounds than this are a mistake.
MOST_ROUNDS = 20


@dataclass(frozen=True)
class Wish:
    """How to measure: about so long [s]; device auto, cpu or cuda; library auto takes PyTorch where it is installed.

    Of `rounds` over everything the least counts; on a `busy` processor one thread is timed by the time that it got.
    """

    seconds: float = 60.0
    device: str = "auto"
    library: str = "auto"
    rounds: int = 1
    busy: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        if not 0.5 <= self.seconds <= 3600.0:
            raise ValueError(f"seconds={self.seconds:g} is not allowed: a number from 0.5 to 3600")
        if not 1 <= self.rounds <= MOST_ROUNDS:
            raise ValueError(f"rounds={self.rounds} is not allowed: a whole number from 1 to {MOST_ROUNDS}")
        if self.library == "numpy" and (self.device == "cuda" or self.busy):
            what = "device=cuda" if self.device == "cuda" else "busy"
            raise ValueError(f"{what} is not possible with library=numpy: only PyTorch does that")
        if self.busy and self.device == "cuda":
            raise ValueError("busy is not possible with device=cuda: it is a way to time one thread of the processor")


def measure(wish: Wish) -> tuple[list[Sample], dict[str, str]]:
    """Measure; return the samples and their provenance."""
    torch = _library(wish)
    if torch is None:
        found = least_of(cpu.tasks(), wish.seconds, median_time, wish.rounds)
        return found, provenance(cpu.about(), wish.rounds)
    place = device_of(torch, wish.device, wish.busy)
    tasks = [*kernels.tasks(place), *decoder.tasks(place)]
    found = least_of(tasks, wish.seconds, place.clock, wish.rounds)
    found += reduce.samples(torch) if place.graphs else []
    return found, provenance(place.about(), wish.rounds)


def _library(wish: Wish) -> Any:
    """Return PyTorch where it is wanted and installed, else None."""
    torch = None if wish.library == "numpy" else torch_module()
    if torch is None and (wish.device == "cuda" or wish.library == "torch" or wish.busy):
        raise ValueError("PyTorch is not installed, and only it measures this; `pip install torch`")
    return torch


def calibrate(wish: Wish, output: str | None) -> int:
    """Measure, print the table, and write the file, or print it where no name is given; the command."""
    samples, about = measure(wish)
    text = csv_text(samples, about)
    if output is None:
        print(text, end="")
        print(table_text(samples), file=sys.stderr)
        return 0
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{output} cannot be written: {error.strerror}") from None
    print("\n".join(f"{name}: {value}" for name, value in about.items()), table_text(samples), sep="\n\n")
    print(f"\n{len(samples)} measurements written to {output}: upload them on the page Your machine")
    return 0
