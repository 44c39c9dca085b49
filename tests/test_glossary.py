"""The glossary: every term of the lessons and every letter of the formulas, found in either language."""

import pytest

from perfmodel.explain.docstrings import formulas
from perfmodel.glossary import GLOSSARY, uses
from perfmodel.lessons import LANGUAGES, worked
from perfmodel.lessons.phrases import phrases
from perfmodel.lessons.terms import terms_in
from tests.test_lessons import STEPS, page


@pytest.mark.parametrize(("lesson", "step"), STEPS)
def test_terms_of_lessons_are_in_the_glossary(lesson: str, step: str) -> None:
    """Every term that a text links to has an entry, and both languages link to the same ones."""
    one = worked(lesson, step)
    found = [{term for text in one.words(language).all for term in terms_in(text)} for language in LANGUAGES]
    assert found[0] == found[1]
    assert found[0] <= set(GLOSSARY.terms)


def test_every_letter_of_the_formulas_is_explained() -> None:
    """Every letter in the docstrings of perfmodel/formulas has an entry in perfmodel/glossary.toml."""
    assert formulas()
    assert set(uses()) - set(GLOSSARY.symbols) == set()


def test_glossary_search() -> None:
    """The search finds words of either language and letters, and says so when there is nothing."""
    assert "ridge" in GLOSSARY.find_terms("脊点")
    assert "kv-cache" in GLOSSARY.find_terms("kv cache")
    assert "F" in GLOSSARY.find_symbols("F")
    assert GLOSSARY.find_terms("no such thing") == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_glossary_page(language: str) -> None:
    """The glossary opens at a term, searches, and shows the letters."""
    app = page("41_Glossary", lang=language, term="ridge")
    assert not app.exception
    assert GLOSSARY.terms["ridge"].word(language) in app.markdown[0].value
    assert not page("41_Glossary", lang=language, kind="symbols", find="bandwidth").exception
    assert page("41_Glossary", lang=language, find="zzzz").info[0].value == phrases(language)["glossary_none"]
