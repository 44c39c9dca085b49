"""The little Markdown that lessons use, as HTML: paragraphs, lists, bold, italics, code, links, formulas."""

from __future__ import annotations

import re
from html import escape

from perfmodel.lessons.mathml import mathml
from perfmodel.lessons.terms import TERM

_MATH = re.compile(r"\$([^$]+)\$")


def html(text: str) -> str:
    """Return Markdown as HTML; `[text](term:id)` leads to the anchor of the term on the same page.

    >>> html("**A** is $A = p$.")
    '<p><b>A</b> is <math><mi>A</mi><mo>=</mo><mi>p</mi></math>.</p>'
    """
    return "".join(_block(block) for block in re.split(r"\n\s*\n", text.strip()) if block)


def _block(block: str) -> str:
    lines = block.split("\n")
    if all(line.startswith("- ") for line in lines):
        return "<ul>" + "".join(f"<li>{inline(line[2:])}</li>" for line in lines) + "</ul>"
    if len(lines) > 2 and all(line.startswith("|") for line in lines):
        return _table(lines)
    return f"<p>{inline(' '.join(lines))}</p>"


def _table(lines: list[str]) -> str:
    rows = [[inline(cell.strip()) for cell in line.strip().strip("|").split("|")] for line in lines]
    head = "".join(f"<th>{cell}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows[2:])
    return f"<table><tr>{head}</tr>{body}</table>"


def inline(text: str) -> str:
    """Return a line of Markdown as HTML.

    >>> inline("[dense](term:dense) & *more*")
    '<a href="#term-dense">dense</a> &amp; <i>more</i>'
    """
    formulas: list[str] = []

    def keep(found: re.Match[str]) -> str:
        formulas.append(mathml(found[1], block=False))
        return f"\0{len(formulas) - 1}\0"

    text = escape(_MATH.sub(keep, text), quote=False)
    text = TERM.sub(r'<a href="#term-\2">\1</a>', text)
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text)
    text = re.sub(r"(?<!\*)\*([^*]+)\*", r"<i>\1</i>", text)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    return re.sub(r"\0(\d+)\0", lambda found: formulas[int(found[1])], text)
