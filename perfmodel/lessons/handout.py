"""A lesson as one HTML file that needs nothing else: to print, to mail, to read without a network."""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape

from perfmodel.figures.static import svg
from perfmodel.glossary import GLOSSARY
from perfmodel.languages import translate_markup
from perfmodel.lessons.lesson import CATALOG, Worked, worked
from perfmodel.lessons.markup import html, inline
from perfmodel.lessons.mathml import mathml
from perfmodel.lessons.phrases import phrases
from perfmodel.lessons.terms import terms_in

_STYLE = """
body{font:15px/1.55 system-ui,"Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif;max-width:46em;
margin:2em auto;padding:0 1em;color:#222;background:#fff}
h1{line-height:1.2}h2{margin-top:2em;border-top:1px solid #ccc;padding-top:.8em}
.ask{border:1px solid #888;border-radius:6px;padding:.2em 1em;margin:1em 0}
.take{border-left:4px solid #3aa6a6;padding:.1em 1em}.err{border-left:4px solid #d1495b;padding:.1em 1em;margin-top:1em}
figure{margin:1em 0}.small span{white-space:nowrap}
figcaption,.small{color:#555;font-size:13px}math[display=block]{font-size:1.2em;margin:.6em 0}
table{border-collapse:collapse}td,th{padding:.2em .7em;border-bottom:1px solid #ddd;text-align:left}
a{color:#2b5f9e;text-decoration:none}
@media print{body{margin:0;max-width:none;font-size:11pt}h2{break-after:avoid}
figure,.ask,.take,.err{break-inside:avoid}}
"""


@lru_cache(maxsize=32)
def handout(id: str, language: str) -> str:
    """Return a lesson as a whole HTML page: steps with answers and figures, exercises, answers, the words used."""
    lesson = CATALOG[id]
    say, heading = phrases(language), lesson.heading(language)
    steps = [worked(lesson.id, step.id) for step in lesson.steps]
    exercises = [worked(lesson.id, step.id) for step in lesson.exercises]
    parts = [
        f"<h1>{lesson.number}. {escape(heading.title)}</h1><p><b>{escape(heading.question)}</b></p>",
        *(_step(index, one, language) for index, one in enumerate(steps, 1)),
        *(_exercise(index, one, language) for index, one in enumerate(exercises, 1)),
        f'<div class="take"><p><b>{say["takeaway"]}.</b> {inline(heading.takeaway)}</p></div>',
        _answers(exercises, language),
        _words([*steps, *exercises], language),
        f'<p class="small">{say["computed"]}</p>',
    ]
    title = f"{lesson.number}. {escape(heading.title)}"
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    code = "zh-Hans" if language == "zh" else language
    body = "".join(parts)
    return f'<!doctype html><html lang="{code}"><head>{head}<style>{_STYLE}</style></head><body>{body}</body></html>'


def _step(index: int, one: Worked, language: str) -> str:
    say = phrases(language)
    equation = mathml(one.step.equation) if one.step.equation else ""
    article = one.text(language, "article")
    return "".join(
        (
            f"<h2>{index}. {inline(one.text(language, 'title'))}</h2>",
            html(one.text(language, "text")),
            equation,
            _ask(one, language),
            f"<p><b>{say['answer']}: {inline(one.shown_answer(language))}</b></p>",
            html(one.text(language, "reveal")),
            _figure(one, language),
            f'<div class="take"><p><b>{say["takeaway"]}.</b> {inline(one.text(language, "takeaway"))}</p></div>',
            f'<div class="err"><p><b>{say["article"]}.</b> {inline(article)}</p></div>' if article else "",
            f'<p class="small">{say["setting"]}: <code>{escape(one.step.scenario)}</code></p>',
        )
    )


def _ask(one: Worked, language: str) -> str:
    options = "".join(f"<li>{inline(text)}</li>" for text in one.options(language).values())
    listed = f"<ul>{options}</ul>" if options else ""
    asked = f"<p><b>{phrases(language)['predict']}.</b> {inline(one.text(language, 'ask'))}</p>"
    return f'<div class="ask">{asked}{listed}</div>'


def _figure(one: Worked, language: str) -> str:
    drawing = one.drawing(language)
    if drawing is None:
        return ""
    drawn = drawing.figure
    picture = _unique(drawing.svg, one.step.id) if drawn is None else svg(drawn, named=not drawing.legend)
    marks = "".join(mark.html for mark in drawing.legend)
    legend = f'<p class="small">{marks}</p>' if marks else ""
    figure = f"<figure>{picture}{legend}<figcaption>{escape(drawing.describe)}</figcaption></figure>"
    return translate_markup(figure, language)


def _unique(picture: str, prefix: str) -> str:
    # Several pictures share one page here: patterns are found by id, and ids must differ.
    return re.sub(r'id="(\w+)"', rf'id="{prefix}-\1"', picture).replace("url(#", f"url(#{prefix}-")


def _exercise(index: int, one: Worked, language: str) -> str:
    return f"<h2>{phrases(language)['exercise']} {index}</h2>{html(one.text(language, 'text'))}{_ask(one, language)}"


def _answers(exercises: list[Worked], language: str) -> str:
    rows = "".join(
        f"<li><b>{inline(one.shown_answer(language))}</b> {inline(one.text(language, 'reveal'))}</li>"
        for one in exercises
    )
    return f"<h2>{phrases(language)['answers']}</h2><ol>{rows}</ol>" if rows else ""


def _words(steps: list[Worked], language: str) -> str:
    used = dict.fromkeys(term for one in steps for text in one.words(language).all for term in terms_in(text))
    rows = "".join(
        f'<tr id="term-{id}"><td><b>{escape(entry.word(language))}</b></td><td>{inline(entry.text(language))}</td></tr>'
        for id in used
        for entry in (GLOSSARY.terms[id],)
    )
    return f"<h2>{phrases(language)['glossary']}</h2><table>{rows}</table>" if rows else ""
