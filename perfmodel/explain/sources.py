"""Tables of provenance: the formulas, the numbers from outside that one run used, all sources of the catalogues."""

from __future__ import annotations

from perfmodel.catalog import SOURCES_FILE, Source, load_sources
from perfmodel.catalogue_tables import Row, found, marked
from perfmodel.explain.cards import confidence
from perfmodel.explain.docstrings import Formula, contract, formulas
from perfmodel.hardware import SPECS as HARDWARE_SPECS
from perfmodel.model import SPECS as MODEL_SPECS
from perfmodel.report import Report, UsedNumber


def search_formulas(words: str = "") -> list[Formula]:
    """Return the formulas in whose name, sentence, symbols or source every word occurs.

    >>> [function.__name__ for function in search_formulas("ridge 208")]
    ['ridge_intensity']
    """
    return [function for function in formulas() if found(words, *_texts(function))]


def _texts(function: Formula) -> tuple[str, ...]:
    told = contract(function)
    meanings = (f"{symbol.name} {symbol.meaning}" for symbol in told.symbols.values())
    return (function.__name__, told.title, told.sentence, told.validity, told.source, told.module, *meanings)


def used_rows(report: Report) -> list[Row]:
    """Return the numbers from outside that a run used, each with its source; estimates first and marked."""
    ranked = sorted(report.used, key=lambda row: confidence(row.source) != "estimate")
    return [_row(used) for used in ranked]


def _row(used: UsedNumber) -> Row:
    sure, source = confidence(used.source), used.source
    cited = ", ".join(filter(None, (source.title, source.place if source.place != source.title else "", source.date)))
    return {
        "Number": used.what,
        "Value": marked(used.value, sure == "estimate"),
        "Confidence": sure,
        "Source": "nobody published it" if sure == "estimate" else cited,
        "Note": used.note,
    }


def used_sentence(report: Report) -> str:
    """Return how many numbers this run took from outside and how many of them are estimates."""
    guesses = sum(confidence(row.source) == "estimate" for row in report.used)
    return f"This scenario takes {len(report.used)} numbers from outside; {guesses} of them are estimates, marked ≈."


def source_rows(words: str = "") -> list[Row]:
    """Return every source of the catalogues of chips, links and models in which every word occurs, by title."""
    files = [load_sources(folder / SOURCES_FILE) for folder in (HARDWARE_SPECS, MODEL_SPECS)]
    sources = {source for file in files for source in file.values()}
    kept = (s for s in sources if found(words, s.key, s.title, s.place, s.date, s.note))
    return [{"Source": s.title, "Place": s.place, "Date": s.date, "Note": s.note} for s in sorted(kept, key=_order)]


def _order(source: Source) -> tuple[str, str]:
    return source.title.casefold(), source.place
