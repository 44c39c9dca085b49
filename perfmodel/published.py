"""Published measurements as facts, each with its citation, as rows that the model can be asked about.

One file of perfmodel/published/ is one source; its name is a key of sources.toml there. A row says what was printed
and where, the value in SI, and the configuration in the fields of the command that answers it (`batch`, `kernels`,
`train`). A model that is in no catalogue is a JSON object of its dimensions, as those commands take it.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from perfmodel.catalog import SOURCES_FILE, Source, load_sources
from perfmodel.codec import ROW_FIELDS, from_row
from perfmodel.scenario import Scenario
from perfmodel.training_scenario import TrainingScenario, from_training_row

FOLDER = Path(__file__).resolve().parent / "published"
#: Columns of every file; the others are fields of the row that is asked.
COMMON = ("kind", "metric", "value", "printed", "stack", "place")
#: Fields of `kernels` that hold text.
_TEXTS = frozenset({"gpu", "weight_dtype", "math_dtype", "phase", "dtype", "kv_dtype", "backend"})


@dataclass(frozen=True, slots=True)
class Metric:
    """What a source printed: in words, and the SI unit of its value."""

    words: str
    unit: str


#: What can be measured.
METRICS = {
    "e2e_latency_s": Metric("whole request", "s"),
    "tpot_s": Metric("time per token", "s"),
    "prefill_time_s": Metric("prefill", "s"),
    "ttft_s": Metric("prefill and first token", "s"),
    "time_s": Metric("kernel", "s"),
    "peak_allocated_bytes_total": Metric("peak memory, all devices", "B"),
    "weights_bytes": Metric("weights", "B"),
    "peak_bytes_per_gpu": Metric("peak memory per device", "B"),
    "tokens_per_s_per_gpu": Metric("training tokens per device", "tokens/s"),
}
#: Kinds of rows; those of one kernel share the fields of `kernels`.
KERNEL_KINDS = ("gemm", "attention", "all_reduce")
KINDS = ("request", *KERNEL_KINDS, "memory", "training")
#: What is asked: a scenario, a training run, or a row of `kernels`.
Asked = Scenario | TrainingScenario | Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Published:
    """One published figure: the source, the place in it, what is printed there, the same in SI, and the question.

    `stack` is the software that was measured, in the words of the source.
    """

    id: str
    source: Source
    kind: str
    metric: str
    value: float
    printed: str
    stack: str
    place: str
    asked: Asked

    @property
    def unit(self) -> str:
        """The SI unit of the value."""
        return METRICS[self.metric].unit

    @property
    def what(self) -> str:
        """What was measured, in words: the metric, or the kernel."""
        if self.kind not in KERNEL_KINDS or not isinstance(self.asked, Mapping):
            return METRICS[self.metric].words
        phase = f"{self.asked['phase']} " if self.kind == "attention" else ""
        return phase + {"gemm": "GEMM", "all_reduce": "all-reduce"}.get(self.kind, self.kind)


def asked(kind: str, fields: Mapping[str, str]) -> Asked:
    """Return what a row asks the model; a `ValueError` says why it cannot be asked.

    >>> asked("gemm", {"gpu": "h100-sxm", "m": "16", "n": "4096", "k": "4096"})["m"]
    16
    """
    given: dict[str, Any] = {key: text for key, text in fields.items() if text}
    if kind in KERNEL_KINDS:
        return {"kernel": kind} | {key: text if key in _TEXTS else int(text) for key, text in given.items()}
    numbers = {key: _number(text) for key, text in given.items()}
    if kind == "training":
        return from_training_row(numbers)[0]
    unknown = set(given) - set(ROW_FIELDS)
    if unknown:
        raise ValueError(f"{min(unknown)} is not a field of a scenario row")
    return from_row(numbers)


def _number(text: str) -> Any:
    if text.startswith("{"):
        return json.loads(text)
    known = {"true": True, "false": False}
    return int(text) if text.isascii() and text.isdigit() else known.get(text, text)


@lru_cache(maxsize=1)
def published() -> tuple[Published, ...]:
    """Return every row of perfmodel/published/, read once; a `ValueError` names file, line and field at fault."""
    return tuple(row for path in sorted(FOLDER.glob("*.csv")) for row in read(path))


def read(path: Path) -> Iterator[Published]:
    """Yield the rows of one file."""
    sources = load_sources(path.parent / SOURCES_FILE)
    if path.stem not in sources:
        raise ValueError(f"{path.name} is not a source of {SOURCES_FILE}; add a table [{path.stem!r}]")
    with path.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), start=1):
            try:
                yield _published(f"{path.stem}-{number}", sources[path.stem], row)
            except (ValueError, TypeError, AttributeError) as error:
                raise ValueError(f"{path.name}, row {number}: {error}") from error


def _published(id: str, source: Source, row: dict[str, str]) -> Published:
    empty = [name for name in COMMON if not row.get(name)]
    if empty:
        raise ValueError(f"{empty[0]} is empty; every row says {', '.join(COMMON)}")
    for name, allowed in (("kind", KINDS), ("metric", tuple(METRICS))):
        if row[name] not in allowed:
            raise ValueError(f"{name}={row[name]!r} is not known; allowed are {', '.join(allowed)}")
    value = float(row["value"])
    if not 0 < value < math.inf:
        raise ValueError(f"value={value!r} is not allowed: a number above zero is needed")
    question = asked(row["kind"], {name: text for name, text in row.items() if name not in COMMON})
    texts = (row["printed"], row["stack"], row["place"])
    return Published(id, source, row["kind"], row["metric"], value, *texts, question)
