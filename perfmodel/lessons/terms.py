"""Links from the text of a lesson to the glossary: `[text](term:id)`."""

from __future__ import annotations

import re

TERM = re.compile(r"\[([^\]]+)\]\(term:([a-z0-9-]+)\)")
#: Where the glossary lies, as seen from another page.
GLOSSARY = "Glossary"


def linked(text: str, language: str) -> str:
    """Return Markdown in which each term leads to its entry on the glossary page.

    >>> linked("[dense](term:dense) peak", "en")
    '[dense](Glossary?lang=en&term=dense) peak'
    """
    return TERM.sub(rf"[\1]({GLOSSARY}?lang={language}&term=\2)", text)


def terms_in(text: str) -> list[str]:
    """Return the ids of the terms a text links to.

    >>> terms_in("[dense](term:dense) and [HBM](term:hbm)")
    ['dense', 'hbm']
    """
    return [found[2] for found in TERM.finditer(text)]
