"""No key is missing: every page is run in Chinese, and whatever English reaches the catalogue has its entry there."""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from pages.parts import speech
from perfmodel import ACCELERATORS, ENGINES, MODELS
from perfmodel.languages import LINK_KEY, is_words, said
from tests.test_pages import PAGES, ROOT, run

#: Folders whose texts are names and quotations: they stay as they were published.
QUOTED = (
    "hardware_specs",
    "perfmodel/model_specs",
    "perfmodel/generations",
    "perfmodel/backends",
    "perfmodel/published",
)
#: Proper names beside those of the data files, and what stands between names.
NAMES = re.compile(r"\b(?:with|on|and|for|arch|Server|Workstation|Blackwell|Finbarr Timbers)\b")


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
    return frozenset(part for part in parts if len(part) > 1)


def is_name(text: str) -> bool:
    """Tell whether a text is made of names and quotations only, or is the head of a CSV file."""
    bare = text.replace("\\", "").strip("*` .")
    if bare in quoted() or ("," in bare and " " not in bare):
        return True
    for name in sorted((name for name in quoted() if name in bare), key=len, reverse=True):
        bare = bare.replace(name, " ")
    return not is_words(NAMES.sub(" ", bare))


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
