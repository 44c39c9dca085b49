"""What the tables of the catalogues share: rows, the mark of an estimate, the search, CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from perfmodel.catalog import ESTIMATE, Source
from perfmodel.units import significant

#: One line of a table: column heading -> text or number; NaN where nobody published the number.
Row: TypeAlias = dict[str, Any]
#: What a filter says when it lets everything pass.
ALL = "all"
#: What stands before every number that nobody published.
MARK = "≈ "
#: As many entries as a comparison takes.
MOST_COMPARED = 6


def is_estimate(source: Source) -> bool:
    """Whether a number has no published source.

    >>> is_estimate(ESTIMATE)
    True
    """
    return source.key == ESTIMATE.key


def marked(text: str, estimated: bool) -> str:
    """Return the text of a number, with the mark of an estimate where it is one.

    >>> marked("989", estimated=True)
    '≈ 989'
    """
    return f"{MARK}{text}" if estimated else text


#: Words that stand in the place of a source.
ESTIMATED, DERIVED = "estimate", "derived here"


def cited(source: Source) -> str:
    """Return how a table names a source: title and date, or the word estimate.

    >>> cited(Source("sheet", "Datasheet", "example.org", "2022"))
    'Datasheet, 2022'
    """
    return ESTIMATED if is_estimate(source) else ", ".join(filter(None, (source.title, source.date)))


def source_row(name: str, value: str, source: Source, note: str = "") -> Row:
    """Return one line of a details panel: what, value with unit and mark, which source, what to know.

    >>> source_row("TDP", "700 W", ESTIMATE)
    {'Number': 'TDP', 'Value': '≈ 700 W', 'Source': 'estimate', 'Note': ''}
    """
    return {"Number": name, "Value": marked(value, is_estimate(source)), "Source": cited(source), "Note": note}


def footnotes(rows: Iterable[Row], sources: Iterable[Source]) -> tuple[list[Row], list[str]]:
    """Return the rows with numbers for their sources, and the sources in that order: title, date, place, note.

    >>> sheet = Source("sheet", "Datasheet", "example.org", "2022")
    >>> footnotes([source_row("TDP", "700 W", sheet), source_row("L2", "50 MB", sheet)], [sheet])[1]
    ['Datasheet, 2022: example.org']
    """
    known = {cited(source): source for source in sources}
    listed = list(rows)
    order = [name for name in dict.fromkeys(row["Source"] for row in listed) if name not in (ESTIMATED, DERIVED)]
    numbers = {name: f"[{index}]" for index, name in enumerate(order, start=1)}
    texts = []
    for name in order:
        place = f": {known[name].place}" if known[name].place else ""
        texts.append(f"{name}{place}{f' ({known[name].note})' if known[name].note else ''}")
    return [row | {"Source": numbers.get(row["Source"], row["Source"])} for row in listed], texts


def found(search: str, *texts: str) -> bool:
    """Whether every word of the search occurs in one of the texts; capitals do not matter.

    >>> found("nvidia 80gb", "h100-sxm", "NVIDIA H100 SXM5 80GB"), found("amd", "NVIDIA")
    (True, False)
    """
    haystack = " ".join(texts).casefold()
    return all(word in haystack for word in search.casefold().split())


def compared(texts: Sequence[str], values: Sequence[float]) -> list[str]:
    """Return the texts of a line with each value's ratio to the first behind it; a dash for an unknown value.

    >>> compared(["3,350", "4,800", "?"], [3350.0, 4800.0, float("nan")])
    ['3,350', '4,800 (1.43×)', '–']
    """
    cells = [text if math.isfinite(value) else "–" for text, value in zip(texts, values, strict=True)]
    for index in range(1, len(cells)):
        ratio = values[index] / values[0] if values[0] else math.nan
        if math.isfinite(ratio):
            cells[index] += f" ({significant(ratio)}×)"
    return cells


def chosen(wanted: Iterable[str], known: Mapping[str, Any], default: Sequence[str]) -> tuple[str, ...]:
    """Return the known ones among the wanted ids, each once, at most six; the defaults if none is left.

    >>> chosen(["a", "x", "a", "b"], {"a": 1, "b": 2, "c": 3}, ["c"]), chosen([], {"a": 1}, ["a"])
    (('a', 'b'), ('a',))
    """
    return tuple(dict.fromkeys(name for name in wanted if name in known))[:MOST_COMPARED] or tuple(default)


def rounded(rows: Iterable[Row], digits: int = 4) -> list[Row]:
    """Return the rows with broken numbers as a person reads them; whole ones stay as they are.

    >>> rounded([{"Ridge": 295.3432, "Bandwidth": 3350.0, "Name": "H100"}])
    [{'Ridge': 295.3, 'Bandwidth': 3350.0, 'Name': 'H100'}]
    """
    return [{name: _short(value, digits) for name, value in row.items()} for row in rows]


def _short(value: Any, digits: int) -> Any:
    if isinstance(value, float) and math.isfinite(value) and not value.is_integer():
        return float(f"{value:.{digits}g}")
    return value


def to_csv(rows: Iterable[Row]) -> str:
    """Return the rows as CSV with a heading; an unknown number is an empty field.

    >>> to_csv([{"Chip": "A10", "Bandwidth, GB/s": 600.0, "Price": float("nan")}]).splitlines()
    ['Chip,"Bandwidth, GB/s",Price', 'A10,600,']
    """
    listed = list(rows)
    if not listed:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(listed[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _plain(value) for name, value in row.items()} for row in listed)
    return text.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.12g}" if math.isfinite(value) else ""
    return value
