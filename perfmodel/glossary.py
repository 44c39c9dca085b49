"""Every term and every letter of our formulas in both languages; `glossary.toml` is their only home."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from perfmodel.explain.docstrings import Contract, contract, formulas


class Record(BaseModel):
    """A table of the file: frozen, and no field that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Term(Record):
    """A term: in each language the word and what it means; `see` names related terms."""

    en: tuple[str, str]
    zh: tuple[str, str]
    see: tuple[str, ...] = ()

    def word(self, language: str) -> str:
        """Return the word."""
        return str(getattr(self, language)[0])

    def text(self, language: str) -> str:
        """Return what it means."""
        return str(getattr(self, language)[1])


class Letter(Record):
    """A letter of the formulas: its unit (several where it means several things) and its meaning."""

    unit: str = Field(min_length=1)
    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)

    def text(self, language: str) -> str:
        """Return what it means."""
        return str(getattr(self, language))


class Glossary(Record):
    """The whole file."""

    terms: dict[str, Term]
    symbols: dict[str, Letter]

    @model_validator(mode="after")
    def _related(self) -> Self:
        for id, term in self.terms.items():
            if unknown := set(term.see) - set(self.terms):
                raise ValueError(f"term {id}: see {', '.join(sorted(unknown))} is no term")
        return self

    def find_terms(self, wanted: str) -> dict[str, Term]:
        """Return the terms whose word, id or explanation in any language contains every word of `wanted`."""
        return {id: term for id, term in self.terms.items() if _matches(wanted, f"{id} {term.en} {term.zh}")}

    def find_symbols(self, wanted: str) -> dict[str, Letter]:
        """Return the letters that match: exactly as a letter, or by the words of their meaning or unit."""
        exact = {key: letter for key, letter in self.symbols.items() if wanted and key == wanted}
        found = {
            key: letter
            for key, letter in self.symbols.items()
            if _matches(wanted, f"{letter.unit} {letter.en} {letter.zh}")
        }
        return exact | found


def _matches(wanted: str, text: str) -> bool:
    return all(word in text.lower() for word in wanted.lower().split())


def _load() -> Glossary:
    with Path(__file__).with_name("glossary.toml").open("rb") as file:
        return Glossary.model_validate(tomllib.load(file))


GLOSSARY = _load()


@lru_cache(maxsize=1)
def uses() -> dict[str, tuple[tuple[Contract, str, str], ...]]:
    """Return letter -> the formulas in which it stands, each with its meaning and unit there."""
    found: dict[str, list[tuple[Contract, str, str]]] = {}
    for formula in formulas():
        told = contract(formula)
        for symbol in (*told.symbols.values(), told.result):
            found.setdefault(symbol.letter, []).append((told, symbol.meaning, symbol.unit))
    return {letter: tuple(places) for letter, places in found.items()}
