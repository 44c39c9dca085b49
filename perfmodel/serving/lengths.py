"""Lengths of prompts and answers: lognormal, from a preset, or from a table of measured ones."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

#: Points that stand for a distribution: the middles of equal slices of probability.
POINTS = 64
#: A table of lengths may have this many rows and characters.
MAX_ROWS, MAX_CHARS = 100_000, 4_000_000
MOST_TOKENS = 10_000_000
_NAMES = {
    "input": ("input", "prompt", "input_len", "prompt_tokens", "input_tokens", "contexttokens", "num_prefill_tokens"),
    "output": (
        "output", "answer", "output_len", "completion_tokens", "output_tokens", "generatedtokens", "num_decode_tokens",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths of a kind of request: mean [tokens] and standard deviation over the mean, lognormal; 0 is constant."""

    mean: float
    variation: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what no lengths can be."""
        if not 1.0 <= self.mean <= MOST_TOKENS:
            raise ValueError(f"mean={self.mean} is not allowed: lengths have from 1 to {MOST_TOKENS:,} tokens")
        if not 0.0 <= self.variation <= 10.0:
            raise ValueError(f"variation={self.variation} is not allowed: it must be from 0 to 10")

    @property
    def sigma(self) -> float:
        """Standard deviation of the logarithm."""
        return float(np.sqrt(np.log1p(self.variation**2)))

    def points(self) -> Array:
        """Return equally likely lengths with exactly this mean [tokens]."""
        middles = (np.arange(POINTS) + 0.5) / POINTS
        shape = np.exp(self.sigma * np.array([NormalDist().inv_cdf(p) for p in middles]))
        return np.asarray(self.mean * shape / shape.mean())

    def draw(self, generator: np.random.Generator, size: int) -> Array:
        """Return random whole lengths, at least one token each."""
        sigma = self.sigma
        drawn = self.mean * np.exp(sigma * generator.standard_normal(size) - sigma**2 / 2.0)
        return np.maximum(1.0, np.round(drawn))


@dataclass(frozen=True, slots=True)
class Mix:
    """Prompts and answers of one kind of traffic, with where its numbers come from."""

    label: str
    prefix: int
    input: Lengths
    output: Lengths
    source: str


_AZURE = "Azure {} trace of 2023, published with Splitwise (arXiv:2311.18677); rounded"
#: Kinds of traffic. Means are rounded; the spread is that of a lognormal with the same mean and standard deviation.
PRESETS: dict[str, Mix] = {
    "chat": Mix("Chat", 0, Lengths(1155, 0.96), Lengths(211, 0.77), _AZURE.format("conversation")),
    "code": Mix("Code completion", 0, Lengths(2048, 0.94), Lengths(28, 2.1), _AZURE.format("code")),
    "rag": Mix("RAG", 512, Lengths(6144, 0.5), Lengths(300, 0.6), "estimate: eight passages, a short answer"),
    "agents": Mix("Agents", 24_576, Lengths(1024, 1.0), Lengths(400, 1.0), "estimate: long history, short results"),
    "batch": Mix("Batch", 0, Lengths(4096, 0.3), Lengths(512, 0.3), "estimate: documents of like length"),
}  # fmt: skip


def from_csv(text: str) -> tuple[Lengths, Lengths, int]:
    r"""Read a table with a column of prompt and one of answer lengths; return both distributions and the rows read.

    >>> from_csv("input,output\n100,10\n300,30\n")[0]
    Lengths(mean=200.0, variation=0.5)
    """
    if len(text) > MAX_CHARS:
        raise ValueError(f"the table has {len(text):,} characters; at most {MAX_CHARS:,} are read")
    rows = _rows(text)
    header = [name.strip().lower() for name in next(rows, [])]
    columns = {what: _column(header, what) for what in _NAMES}
    values: dict[str, list[float]] = {what: [] for what in _NAMES}
    for number, row in enumerate((row for row in rows if row), start=2):
        if number > MAX_ROWS + 1:
            raise ValueError(f"the table has more than {MAX_ROWS:,} rows; take a sample")
        for what, column in columns.items():
            values[what].append(_length(row[column] if column < len(row) else "", number, what))
    if not values["input"]:
        raise ValueError("the table has no rows below its header")
    return _fitted(values["input"]), _fitted(values["output"]), len(values["input"])


def _rows(text: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(io.StringIO(text, newline=None))  # whatever ends a line where the file was written
    except csv.Error as error:
        raise ValueError(f"the table cannot be read: {error}") from None


def _column(header: list[str], what: str) -> int:
    for name in _NAMES[what]:
        if name in header:
            return header.index(name)
    shown = ", ".join(header)[:80]
    raise ValueError(f"no column for the {what} lengths: the header is {shown!r}; name one of them {_NAMES[what][0]!r}")


def _length(text: str, row: int, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"row {row}: {what}={text[:40]!r} is not a number of tokens") from None
    if not 0 <= value <= MOST_TOKENS:
        raise ValueError(f"row {row}: {what}={text[:40]!r} is not allowed: it must be from 0 to {MOST_TOKENS:,}")
    return max(1.0, value)


def _fitted(values: list[float]) -> Lengths:
    array = np.array(values)
    return Lengths(float(array.mean()), float(min(10.0, array.std() / array.mean())))
