"""Measurements from outside: our CSV, llama-bench, vllm bench, genai-perf; what a line cannot be read for is named.

Every row becomes a question the model can be asked (a scenario or a single kernel) and the seconds that were measured.
A bad line is a problem with its number; the rest goes on. Nothing is stored, evaluated or fetched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from perfmodel.importers import bench_tools as tools
from perfmodel.importers.measured import (
    ASIDE,
    HEADER,
    MAX_LINE_CHARS,
    Fields,
    Measurement,
    Rows,
    measurement,
    table_rows,
)
from perfmodel.importers.text import MAX_BYTES, read_json, shown_key
from perfmodel.scenario import Scenario

#: No more rows are read, no more problems listed.
MAX_ROWS, MAX_PROBLEMS = 200, 20
FORMATS = (
    f"our CSV (header {','.join(HEADER)},...), llama-bench (CSV, JSON, table), vllm bench (JSON), "
    "genai-perf (CSV, JSON)"
)


@dataclass(frozen=True, eq=False)
class Measured:
    """What was made of a file: its format, the rows, and one sentence for each line that was not understood.

    `aside` are the rows that are shown, but that no constant is fitted to.
    """

    format: str
    rows: tuple[Measurement, ...]
    problems: tuple[str, ...] = ()
    aside: tuple[Measurement, ...] = ()


def read_measurements(text: str, scenario: Scenario) -> Measured:
    r"""Read a file of measurements; a `ValueError` where nothing in it can be understood.

    >>> read_measurements("what,seconds,m,n,k\ngemm,1e-5,16,4096,4096\n", Scenario()).rows[0].label
    'gemm m 16, n 4096, k 4096'
    """
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise ValueError(f"the file has more than {MAX_BYTES:,} bytes; no more are read: leave out single samples")
    if not text.strip():
        raise ValueError(f"the file is empty; what can be read: {FORMATS}")
    name, reader = _format(text)
    rows: list[Measurement] = []
    aside: list[Measurement] = []
    problems: list[str] = []
    for line, found in reader(text, scenario):
        if len(rows) + len(aside) >= MAX_ROWS:
            problems.append(f"only the first {MAX_ROWS} rows are used")
            break
        try:
            row = measurement(line, _stated(found), scenario)
            (aside if row.what in ASIDE else rows).append(row)
        except ValueError as error:
            problems.append(f"line {line}: {error}")
    if not rows and not problems and not aside:
        raise ValueError(f"{name}: no measurement in it")
    if len(problems) > MAX_PROBLEMS:
        problems = [*problems[:MAX_PROBLEMS], f"and {len(problems) - MAX_PROBLEMS} more lines"]
    return Measured(name, tuple(rows), tuple(problems), tuple(aside))


def _stated(found: Fields | str) -> Fields:
    if isinstance(found, str):
        raise ValueError(found)
    return found


def _format(text: str) -> tuple[str, Callable[[str, Scenario], Rows]]:
    lines = (line for line in text.lstrip("\ufeff").splitlines() if line.strip() and not line.startswith("#"))
    start = next(lines, "")
    if not start:
        raise ValueError(f"only comments are in the file; what can be read: {FORMATS}")
    if start.lstrip()[0] in "[{":
        return tools.json_format(json_values(text))
    if start.lstrip().startswith("|"):
        return "llama-bench table", tools.llama_table
    columns = {column.strip().strip('"').lower() for column in start[:MAX_LINE_CHARS].split(",")}
    if "metric" in columns:
        return "genai-perf CSV", tools.genai_csv
    if "avg_ts" in columns:
        return "llama-bench CSV", tools.llama_csv
    if set(HEADER) <= columns:
        return "our CSV", _own_rows
    raise ValueError(f"the first line, {shown_key(start, 60)}, belongs to no known format: {FORMATS}")


def json_values(text: str) -> list[Any]:
    """Return the values of a JSON text: those of a list, the one it is, or one a line."""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and all(line.lstrip().startswith("{") and line.rstrip().endswith("}") for line in lines):
        return [read_json(line, f"line {number}") for number, line in enumerate(lines[: MAX_ROWS + 1], start=1)]
    value = read_json(text, "the file")
    return value if isinstance(value, list) else [value]


def _own_rows(text: str, _scenario: Scenario) -> Rows:
    rows = table_rows(text)
    _, header = next(rows)
    header = [name.lower() for name in header]
    for number, cells in rows:
        if len(cells) > len(header):
            yield number, f"{len(cells)} cells, but the header has {len(header)}"
        else:
            yield number, {name: cell for name, cell in zip(header, cells, strict=False) if cell}
