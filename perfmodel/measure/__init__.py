"""Measure the machine this runs on: `python -m perfmodel calibrate -o mine.csv`, a file that the fit reads back.

With PyTorch and a CUDA device: copies, matrix products, attention, launches, all-reduce and a small real decoder.
Without one: copies, matrix products and call overhead of the CPU with NumPy.
"""

from __future__ import annotations

import sys
from pathlib import Path

from perfmodel.measure import cpu, gpu
from perfmodel.measure.timing import Sample, csv_text, median_time, provenance, table_text, timed


def measure(seconds: float, device: str = "auto") -> tuple[list[Sample], dict[str, str]]:
    """Measure for about so long; return the samples and their provenance. `device`: auto, cpu or cuda."""
    found = None if device == "cpu" else gpu.torch_with_cuda()
    if device == "cuda" and found is None:
        raise ValueError("device=cuda is not possible: PyTorch with a CUDA device is needed; `pip install torch`")
    if found is None:
        return list(timed(cpu.tasks(), seconds, median_time)), provenance(cpu.about())
    return list(timed(gpu.tasks(found), seconds, gpu.clock(found))), provenance(gpu.about(found))


def calibrate(seconds: float, device: str, output: str | None) -> int:
    """Measure, print the table, and write the file, or print it where no name is given; the command."""
    if not 0.5 <= seconds <= 3600.0:
        raise ValueError(f"seconds={seconds:g} is not allowed: a number from 0.5 to 3600")
    samples, about = measure(seconds, device)
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
