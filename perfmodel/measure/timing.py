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
from pathlib import Path
from typing import Any

import numpy as np

from perfmodel.units import KIB, show

#: A time is the median of at least so many repetitions, taken for at least so long [s].
LEAST_REPEATS, LEAST_S = 5, 0.02
#: No call is taken to be shorter, whatever the clock says [s].
LEAST_TICK_S = 1e-9
#: What times a call within a budget [s].
Clock = Callable[[Callable[[], object], float], float]


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


def median_time(call: Callable[[], object], budget_s: float, now: Callable[[], float] = time.perf_counter) -> float:
    """Return the median time of a call that blocks until it is done, after one to warm up, by the clock `now` [s]."""
    call()
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < LEAST_REPEATS or time.perf_counter() - begun < max(LEAST_S, budget_s):
        start = now()
        call()
        times.append(now() - start)
        if time.perf_counter() - begun > 4.0 * max(LEAST_S, budget_s):
            break
    return float(np.median(times))


def processor_time(call: Callable[[], object], budget_s: float) -> float:
    """Return the median processor time of a call that runs in this thread alone: without its waiting for others."""
    return median_time(call, budget_s, time.thread_time)


def timed(tasks: Iterable[Task], seconds: float, clock: Clock) -> Iterator[Sample]:
    """Yield a sample of each task, an equal share of the time for each; what is left over when it is up is left out."""
    tasks = list(tasks)
    share, end = seconds / max(1, len(tasks)), time.perf_counter() + seconds
    for task in tasks:
        if time.perf_counter() > end:
            return
        yield Sample(task.what, clock(task.prepare(), share / 4.0), task.fields, task.flops, task.moved_bytes)


def least_of(tasks: Iterable[Task], seconds: float, clock: Clock, rounds: int) -> list[Sample]:
    """Return the samples of several rounds over all tasks, of each the least: what else the machine does only adds.

    Each round begins elsewhere, so that none is always last when the time is up.
    """
    tasks = list(tasks)
    found: dict[int, Sample] = {}
    for number in range(rounds):
        first = number * len(tasks) // rounds
        for place, sample in enumerate(timed(tasks[first:] + tasks[:first], seconds / rounds, clock)):
            index = (first + place) % len(tasks)
            if index not in found or sample.seconds < found[index].seconds:
                found[index] = sample
    return [found[index] for index in sorted(found)]


def provenance(device: Mapping[str, str], rounds: int) -> dict[str, str]:
    """Return on what was measured, when and how; no names of hosts or users."""
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    method = f"median of at least {LEAST_REPEATS} repetitions after one to warm up"
    method += f"; the least of {rounds} rounds" if rounds > 1 else ""
    return {"date": str(datetime.date.today()), **device, "system": f"{platform.system()} {platform.machine()}",
            "versions": versions, "method": method}  # fmt: skip


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


def model_name() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def last_cache() -> int:
    """Return the size of the processor's last cache before memory [B], 0 where the system does not tell it."""
    files = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    sizes = (file.read_text(encoding="utf-8").strip() for file in files)
    return max((int(size[:-1]) * int(KIB) for size in sizes if size[:-1].isdigit() and size.endswith("K")), default=0)
