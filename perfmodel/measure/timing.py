"""How a time is taken, and how samples become a file and a table."""

from __future__ import annotations

import csv
import datetime
import io
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from perfmodel.units import show

#: A time is the median of at least so many repetitions, taken for at least so long [s].
LEAST_REPEATS, LEAST_S = 5, 0.02


@dataclass(frozen=True)
class Sample:
    """One measured time: what of, the median of its repetitions [s], the fields of its row, the FLOPs and bytes."""

    what: str
    seconds: float
    fields: Mapping[str, Any] = field(default_factory=dict)
    flops: float = 0.0
    moved_bytes: float = 0.0

    def row(self) -> dict[str, str]:
        """Return the line of the table that is printed."""
        sizes = ", ".join(f"{key} {value}" for key, value in self.fields.items())
        rate = show(self.flops / self.seconds, "FLOP/s") if self.flops else ""
        speed = show(self.moved_bytes / self.seconds, "B/s") if self.moved_bytes else ""
        return {"What": self.what, "Of": sizes, "Time": show(self.seconds, "s"), "Rate": rate, "Bandwidth": speed}


@dataclass(frozen=True)
class Task:
    """Something to be timed: what it will be a sample of, and the preparation that returns the call."""

    what: str
    fields: Mapping[str, Any]
    prepare: Callable[[], Callable[[], object]]
    flops: float = 0.0
    moved_bytes: float = 0.0


def median_time(call: Callable[[], object], budget_s: float) -> float:
    """Return the median time of a call that blocks until it is done, after one to warm up [s]."""
    call()
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < LEAST_REPEATS or time.perf_counter() - begun < max(LEAST_S, budget_s):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
        if time.perf_counter() - begun > 4.0 * max(LEAST_S, budget_s):
            break
    return float(np.median(times))


def timed(
    tasks: Iterable[Task], seconds: float, clock: Callable[[Callable[[], object], float], float]
) -> Iterator[Sample]:
    """Yield a sample of each task, an equal share of the time for each; what is left over when it is up is left out."""
    tasks = list(tasks)
    share, end = seconds / max(1, len(tasks)), time.perf_counter() + seconds
    for task in tasks:
        if time.perf_counter() > end:
            return
        yield Sample(task.what, clock(task.prepare(), share / 4.0), task.fields, task.flops, task.moved_bytes)


def provenance(device: Mapping[str, str]) -> dict[str, str]:
    """Return on what was measured and when; no names of hosts or users."""
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    return {"date": str(datetime.date.today()), **device, "system": f"{platform.system()} {platform.machine()}",
            "versions": versions}  # fmt: skip


def csv_text(samples: Iterable[Sample], about: Mapping[str, str]) -> str:
    """Return the file that `read_measurements` reads: its provenance as comments, then one row a sample."""
    samples = list(samples)
    columns = ["what", "seconds", *dict.fromkeys(key for sample in samples for key in sample.fields)]
    out = io.StringIO()
    for name, text in about.items():
        out.write(f"# {name}: {text}\n")
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({"what": s.what, "seconds": f"{s.seconds:.6g}"} | dict(s.fields) for s in samples)
    return out.getvalue()


def table_text(samples: Iterable[Sample]) -> str:
    """Return the samples as a table, with the share of the best rate and bandwidth among them."""
    samples = list(samples)
    peak = max((s.flops / s.seconds for s in samples), default=0.0)
    speed = max((s.moved_bytes / s.seconds for s in samples), default=0.0)
    rows = [sample.row() for sample in samples]
    for row, sample in zip(rows, samples, strict=True):
        share = sample.flops / sample.seconds / peak if sample.flops else 0.0
        share = share or (sample.moved_bytes / sample.seconds / speed if sample.moved_bytes else 0.0)
        row["Of the best"] = f"{share:.0%}" if share else ""
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]} if rows else {}
    lines = ["  ".join(name.ljust(width) for name, width in widths.items())]
    lines += ["  ".join(row[name].ljust(width) for name, width in widths.items()) for row in rows]
    best = f"best: {show(peak, 'FLOP/s')} of matrix products, {show(speed, 'B/s')} of copies"
    return "\n".join(line.rstrip() for line in (*lines, "", best))


def cores() -> int:
    """Return the processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
