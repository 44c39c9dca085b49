"""No key is missing: whatever English reaches the catalogue has its entry there, on every page, in every choice."""

import re
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import pytest
from pydantic import BaseModel

from pages import Page
from pages.parts import speech
from pages.parts.widgets import help_text, label
from perfmodel import ACCELERATORS, ENGINES, MODELS, Scenario
from perfmodel.dimensions import Dimensions
from perfmodel.explain.docstrings import Formula, contract, formulas, words
from perfmodel.hardware import Chip
from perfmodel.languages import LINK_KEY, is_words, said
from perfmodel.scenario import field_keys
from tests.test_pages import PAGES, ROOT, run

#: Folders whose texts are names and quotations: they stay as they were published.
QUOTED = (
    "hardware_specs",
    "perfmodel/model_specs",
    "perfmodel/generations",
    "perfmodel/engines",
    "perfmodel/backends",
    "perfmodel/published",
)
#: Proper names beside those of the data files, what stands between names, Greek letters, fields of a kernel class.
NAMES = re.compile(
    r"\b(?:with|on|and|for|arch|Server|Workstation|Blackwell|Finbarr Timbers|Xeon|Sapphire|Rapids|Instinct"
    r"|alpha|beta|gamma|eta|kappa|lambda|omega|rho|tau|bar)\b|\b(?:linear|wide|prefill_attention|decode_attention)\.\w*"
)
#: Controls with more options choose among things, by name; so do these.
MOST_OPTIONS = 6
SINGLE = frozenset({"op", "pick", "about", "lesson", "step", "take", "only"})


def leaves(data: Any) -> Iterator[str]:
    """Every text in what a TOML file says, keys included."""
    if isinstance(data, dict):
        yield from data
        for value in data.values():
            yield from leaves(value)
    elif isinstance(data, list):
        for value in data:
            yield from leaves(value)
    elif isinstance(data, str):
        yield data


@cache
def quoted() -> frozenset[str]:
    """What is missing for texts that stay as published: names of the registries, and what the data files say."""
    texts = {one[key].name for one in (MODELS, ACCELERATORS, ENGINES) for key in one}
    for folder in QUOTED:
        for path in (ROOT / folder).rglob("*.toml"):
            texts |= {*leaves(tomllib.loads(path.read_text(encoding="utf-8"))), path.stem}
    parts = {part for text in texts for part in (text, *re.split(r"[,;:.] ", text), *said(text, "zh").missing)}
    return frozenset(bare(part) for part in parts if len(part) > 1)


def bare(text: str) -> str:
    """A text without escapes and what Markdown or a sentence puts around it."""
    return text.replace("\\", "").strip("*` .")


def is_name(text: str) -> bool:
    """Tell whether a text is made of names and quotations only, or is the head of a CSV file."""
    core = bare(text)
    if core in quoted() or ("," in core and " " not in core) or "_{" in core:
        return True
    for name in sorted((name for name in quoted() if name in core), key=len, reverse=True):
        core = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", " ", core)
    return not is_words(NAMES.sub(" ", core))


def missing_of(texts: Iterable[str]) -> list[str]:
    """What has no key of these texts, names aside."""
    found = {part for text in texts for part in said(text, "zh").missing}
    return sorted(part for part in found if not is_name(part))


def heard(page: str, monkeypatch: pytest.MonkeyPatch, **query: str) -> set[str]:
    """What has no key of all the English texts that a page says in Chinese."""
    missing: set[str] = set()

    def listen(text: str, language: str) -> str:
        found = said(text, language)
        missing.update(found.missing)
        return found.text

    monkeypatch.setattr(speech, "translate", listen)
    app = run(page, {LINK_KEY: "zh"} | query)
    assert not app.exception
    return missing


@pytest.mark.parametrize("page", PAGES)
def test_no_key_is_missing(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every English text of a page on the default scenario is in the catalogue; only names and quotations are not."""
    assert sorted(text for text in heard(page, monkeypatch) if not is_name(text)) == []


@pytest.mark.parametrize("page", PAGES)
def test_no_key_is_missing_in_other_choices(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same holds where the reader chooses otherwise: in every view, phase, goal and the like."""
    seen: dict[str, tuple[str, ...]] = {}
    choice = Page.choice

    def listen(self: Page, key: str, label: str, options: Any, *more: Any, **named: Any) -> Any:
        seen.setdefault(key, tuple(map(str, options)))
        return choice(self, key, label, options, *more, **named)

    monkeypatch.setattr(Page, "choice", listen)
    heard(page, monkeypatch)
    few = {key: options for key, options in seen.items() if len(options) <= MOST_OPTIONS and key not in SINGLE}
    missing: set[str] = set()
    for turn in range(max(map(len, few.values()), default=0)):
        # One run shows the options of this turn of all controls together.
        query = {key: options[turn] for key, options in few.items() if turn < len(options)}
        missing |= heard(page, monkeypatch, **query)
    assert sorted(text for text in missing if not is_name(text)) == []


@pytest.mark.parametrize("record", [Scenario, Dimensions, Chip])
def test_fields_are_translated(record: type[BaseModel]) -> None:
    """Every field that can be edited has its label and its help in the catalogue."""
    texts = [text for name in field_keys(record) for text in (label(record, name), help_text(record, name))]
    assert missing_of(texts) == []


@pytest.mark.parametrize("function", formulas(), ids=lambda function: function.__name__)
def test_formulas_are_translated(function: Formula) -> None:
    """What a formula's card says is in the catalogue: title, sentence, validity, and the meaning of each symbol."""
    told = contract(function)
    symbols = (text for symbol in told.symbols.values() for text in (symbol.meaning, words(symbol.name)))
    assert missing_of([told.title, told.sentence, told.validity, *symbols]) == []


def test_engines_are_translated() -> None:
    """The summary of every engine profile is in the catalogue, chosen or not."""
    assert [said(ENGINES[id].summary, "zh").missing for id in ENGINES if said(ENGINES[id].summary, "zh").missing] == []
