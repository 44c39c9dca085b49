"""The interface in English and Chinese: no key is stale, the places to fill agree, the link carries the language."""

import ast
import math
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from perfmodel.languages import (
    LANGUAGES,
    LINK_KEY,
    catalogue,
    is_words,
    masked,
    said,
    slots,
    translate,
    translate_markup,
)
from tests.test_pages import ROOT, link, run

OTHERS = [language for language in LANGUAGES if language != "en"]


@pytest.mark.parametrize("language", OTHERS)
def test_places_agree(language: str) -> None:
    """Both sides of a catalogue name the same places to fill, and numbers stand in the English order."""
    for english, other in catalogue(language).items():
        assert slots(english) == slots(other), english
        numbers = [name for name in slots(english) if name.isdigit()]
        assert numbers == [str(i) for i in range(1, len(numbers) + 1)], english


@pytest.mark.parametrize("language", OTHERS)
def test_translation_is_a_fixed_point(language: str) -> None:
    """What is translated already is not translated again, so that texts may pass the boundary twice."""
    for other in catalogue(language).values():
        assert not is_words(other) or translate(other, language) == other


def told(data: Any) -> Iterator[str]:
    """Every text in what a file says: a TOML table, or the syntax tree of Python with gaps where values go."""
    if isinstance(data, ast.AST):
        yield from (n.value for n in ast.walk(data) if isinstance(n, ast.Constant) and isinstance(n.value, str))
    elif isinstance(data, dict):
        yield from (text for pair in data.items() for part in pair for text in told(part))
    elif isinstance(data, list):
        yield from (text for part in data for text in told(part))
    elif isinstance(data, str):
        yield data


def words_of(text: str) -> str:
    """The words of a text in small letters, with a space on each side."""
    return f" {' '.join(re.findall('[a-z]+', text.lower()))} "


@cache
def project() -> str:
    """The words of everything that the program says, a line for each text; the catalogues themselves aside."""
    code = [ROOT / "app.py", *(path for folder in ("pages", "perfmodel") for path in (ROOT / folder).rglob("*.py"))]
    data = [path for folder in ("hardware_specs", "perfmodel") for path in (ROOT / folder).rglob("*.toml")]
    files: list[Any] = [ast.parse(path.read_text(encoding="utf-8")) for path in code]
    files += [tomllib.loads(path.read_text(encoding="utf-8")) for path in data if path.parent.name != "languages"]
    return "\n".join(words_of(text) for file in files for text in told(file))


def runs(words: list[str]) -> float:
    """Into how few runs of words that stand in the project a list of words divides; infinite where one is in none."""
    count = 0
    while words:
        longest = next((n for n in range(len(words), 0, -1) if words_of(" ".join(words[:n])) in project()), 0)
        if not longest:
            return math.inf
        words, count = words[longest:], count + 1
    return count


@pytest.mark.parametrize("language", OTHERS)
def test_no_key_is_stale(language: str) -> None:
    """What a key says between its places still stands in the program: in few pieces, as texts are put together."""
    for english in catalogue(language):
        for part in re.split(r"\{\{\w+\}\}", english):
            words = words_of(part).split()
            assert runs(words) <= max(3, (len(words) + 1) // 2), f"{english!r} is said nowhere: {part!r}"


@pytest.mark.parametrize("language", OTHERS)
def test_no_key_stands_twice(language: str) -> None:
    """A key is found with a capital or without, with a closing stop or without: no two differ in that alone."""
    known = catalogue(language)
    for english, other in known.items():
        twin = known.get(english[:1].upper() + english[1:]) if english[:1].islower() else known.get(english + ".")
        assert twin is None or twin.rstrip("。.") != other, english


def test_english_is_untouched() -> None:
    """In English a text is the very same object: nothing is looked up."""
    text = "Batch size [sequences]"
    assert translate(text, "en") is text


def test_a_text_is_looked_up_once() -> None:
    """A page says the same hundreds of texts at every run: each is looked up once, and no picture is kept."""
    assert said("launch overhead is 22% of the step", "zh") is said("launch overhead is 22% of the step", "zh")
    assert not hasattr(translate_markup, "cache_info")


def test_numbers_stay() -> None:
    """The numbers of a sentence are those of the English one, wherever the other language puts them."""
    english = "Decode is memory-bound by 64×; launch overhead is 22% of the step; prefill is compute-bound."
    chinese = said(english, "zh")
    assert chinese.missing == ()
    assert sorted(masked(english)[1]) == ["22%", "64×"]
    assert all(number in chinese.text for number in ("22%", "64×"))


def test_what_has_no_key_is_told() -> None:
    """A part of a text without a key stays English and is named; the other parts are translated."""
    found = said("prefill is compute-bound; the moon is made of cheese", "zh")
    assert found.text == "预填充计算受限；the moon is made of cheese"
    assert found.missing == ("the moon is made of cheese",)


def verdict(app: AppTest) -> str:
    """The sentence below the question."""
    return str(app.subheader[0].value)


def test_link_chooses_the_language() -> None:
    """An explicit language in the link wins, is kept in the link, and holds on every page after it."""
    app = run("app.py", {LINK_KEY: "zh"})
    assert verdict(app).startswith("解码内存带宽受限")
    assert link(app)[LINK_KEY] == "zh"
    app.switch_page("pages/1_Roofline.py").run()
    assert link(app)[LINK_KEY] == "zh"


def test_english_links_are_as_before() -> None:
    """Where the browser asks for English the link says nothing of the language: old links stay what they were."""
    assert LINK_KEY not in link(run("app.py"))


@pytest.mark.parametrize(("asked", "shown"), [("zh-CN", "zh"), ("zh", "zh"), ("de-DE", "en"), (None, "en")])
def test_browser_chooses_the_language(asked: str | None, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a language in the link the browser's counts; a link from there says it, for whoever opens it."""
    browser(asked, monkeypatch)
    app = run("app.py")
    assert verdict(app).startswith("Decode is") == (shown == "en")
    assert link(app).get(LINK_KEY, "en") == shown


def browser(asked: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the browser ask for a language."""
    from streamlit.runtime.context import ContextProxy

    monkeypatch.setattr(ContextProxy, "locale", property(lambda _self: asked))


def test_link_wins_over_the_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader whose browser asks for Chinese opens an English link in English, and passes it on as such."""
    browser("zh-CN", monkeypatch)
    app = run("app.py", {LINK_KEY: "en"})
    assert verdict(app).startswith("Decode is")
    assert link(app)[LINK_KEY] == "en"


def test_switch_keeps_the_scenario() -> None:
    """The button changes the language and nothing else, there and back."""
    app = run("app.py", {"batch": "24"})
    before = link(app)
    app.button(key="language").click().run()
    assert link(app) == before | {LINK_KEY: "zh"}
    assert app.sidebar.slider(key="w.batch").value == 24
    app.button(key="language").click().run()
    assert link(app) == before


@pytest.mark.parametrize("wrong", ["", "fr", "ZH", "<b>"])
def test_unknown_language_is_the_browsers(wrong: str) -> None:
    """A language that we do not have gives that of the browser, and no error."""
    app: Any = run("app.py", {LINK_KEY: wrong})
    assert not app.exception
    assert verdict(app).startswith("Decode is")
