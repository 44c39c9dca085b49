"""The report: one HTML page with everything in it, which asks nobody for anything and prints on A4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from perfmodel.advice import verdict
from perfmodel.bands import band
from perfmodel.cures import ranked
from perfmodel.cures.evaluate import NOTHING
from perfmodel.cures.words import gain_text
from perfmodel.dossier.shown import GOAL, Shown, shown
from perfmodel.dossier.subject import Subject
from perfmodel.dossier.tables import inputs
from perfmodel.explain import COST, MEMORY, TIME, Card, applied, cards
from perfmodel.figures.operators import cost_text, memory_text
from perfmodel.figures.operators import rows as operator_rows
from perfmodel.figures.script import plotly_js, script_safe
from perfmodel.launch import launches
from perfmodel.pins import labels
from perfmodel.report import BANDED, Report
from perfmodel.text import BAND_HELP, band_text, summary
from perfmodel.units import show, significant
from perfmodel.validation import nearest_sentence

HERE = Path(__file__).resolve().parent
#: Nothing may be asked for, whatever is in the page: the browser itself refuses.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)
#: Operators and cures that are named; the others are in the tables.
MOST_OPERATORS, MOST_CURES = 12, 5


def html(subject: Subject) -> str:
    """Return the whole page."""
    figures = shown(subject)
    parts = [
        _head(subject),
        _section("Numbers", _tiles(subject.report) + _table(_compared(subject)), "numbers"),
        *(_figure(one) for one in figures),
        _section("The five largest cures", _table(_cures(subject)), "cures-table"),
        _section("The largest operators", _table(operator_rows(subject.report)[:MOST_OPERATORS]), "operators"),
        _section("How to launch it", _launches(subject.report), "launch"),
        _section("What was assumed", _assumptions(subject), "assumptions"),
        _section("How far to trust it", _trust(subject), "trust"),
        _section("Formulas with the values put in", _formulas(subject.report), "formulas"),
        _section("Sources of the numbers used", _table(_sources(subject.report)), "sources"),
    ]
    data = {one.key: one.figure for one in figures}
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(subject.title)} · perfmodel</title>\n<style>\n{_file('report.css')}</style>\n</head>\n"
        f"<body>\n<main>\n{''.join(parts)}</main>\n"
        f'<script type="application/json" id="figures">{script_safe(data)}</script>\n'
        f"<script>{plotly_js()}</script>\n<script>\n{_file('report.js')}</script>\n</body>\n</html>\n"
    )


def _file(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _head(subject: Subject) -> str:
    day = f"<time>{escape(subject.date)}</time> · " if subject.date else ""
    back = escape(subject.link)
    link = f'<a href="{back}">Open this scenario in perfmodel</a>' if subject.address else f"<code>{back}</code>"
    return (
        f"<header><h1>{escape(subject.title)}</h1>\n<p class=lead>{escape(verdict(subject.report).sentence)}</p>\n"
        f"<p class=small>{escape(summary(subject.scenario))}</p>\n<p class=small>{day}{link}</p></header>\n"
    )


def _section(title: str, body: str, name: str) -> str:
    return f'<section id="{name}"><h2>{escape(title)}</h2>\n{body}</section>\n' if body else ""


def _tiles(report: Report) -> str:
    """Return the headline numbers, each with what it means."""
    known = report.memory.capacity > 0
    fits = ("it fits" if report.memory.fits else "it does not fit") if known else "capacity not published"
    rows = (
        ("Time to first token", show(report.ttft_s, "s"), "without queueing", band_text(report, "ttft_s")),
        ("Time per output token", show(report.tpot_s, "s"), "after the first, mean", band_text(report, "tpot_s")),
        (
            "Whole request",
            show(report.e2e_s, "s"),
            f"{report.scenario.output:,} tokens out",
            band_text(report, "e2e_s"),
        ),
        (
            "Output tokens per second",
            significant(report.tokens_per_s),
            "all sequences together",
            band_text(report, "tokens_per_s", ""),
        ),
        ("Memory per device", memory_text(report), fits, band_text(report, "memory_bytes", "B")),
        ("A million output tokens", cost_text(report), "at the list price, fully used", ""),
    )
    tiles = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd>"
        + (f"<dd class=band>{escape(band)}</dd>" if band else "")
        + f"<dd class=small>{escape(more)}</dd></div>"
        for name, text, more, band in rows
    )
    below = f"<p class=small>{escape(BAND_HELP)}.</p>" if report.bands else ""
    return f"<dl class=tiles>{tiles}</dl>\n{below}"


def _compared(subject: Subject) -> list[dict[str, str]]:
    """Return the headline numbers of what is pinned beside those of the scenario."""
    if not subject.pins:
        return []
    named = {"This scenario": subject.report}
    named |= {labels(subject.pins)[slot]: Subject(pin.scenario).report for slot, pin in subject.pins.items()}
    return [
        {
            "Scenario": name,
            "What": summary(report.scenario),
            "First token": show(report.ttft_s, "s"),
            "Per token": show(report.tpot_s, "s"),
            "Tokens per second": significant(report.tokens_per_s),
            "Memory per device": memory_text(report),
            "Million tokens": cost_text(report),
        }
        for name, report in named.items()
    ]


def _figure(one: Shown) -> str:
    height = int(one.figure["layout"].get("height") or 400)
    marks = "".join(mark.html for mark in one.legend)
    legend = f"<p class=legend>{marks}</p>" if marks else ""
    return (
        f'<section class=figure id="{one.key}"><h2>{escape(one.title)}</h2>\n<figure>'
        f'<div class=plot data-figure="{one.key}" style="height:{height}px"></div><img class=paper alt="">'
        f"{legend}<figcaption>{escape(one.sentence)}</figcaption></figure></section>\n"
    )


def _cures(subject: Subject) -> list[dict[str, str]]:
    best = [one for one in ranked(subject.scenario, GOAL) if one.gain(GOAL) >= 1.0 + NOTHING]
    return [
        {
            "Request": f"{gain_text(one.gain(GOAL))} faster",
            "Cure": one.cure.name,
            "What changes": one.said,
            "Price": one.cure.quality,
        }
        for one in best[:MOST_CURES]
    ]


def _launches(report: Report) -> str:
    return "".join(
        f"<h3>{escape(one.server)}</h3><pre>{escape(one.command)}</pre>"
        + "".join(f"<p class=small>{escape(note)}</p>" for note in one.notes)
        for one in launches(report)
    )


def _assumptions(subject: Subject) -> str:
    said = {True: "yes", False: "no"}
    rows = [
        {
            "Input": row["input"],
            "Value": said[row["value"]] if isinstance(row["value"], bool) else _text(row["value"]),
            "Unit": row["unit"],
            "In the link": row["link key"],
        }
        for row in inputs(subject.scenario)
    ]
    notes = [*(note.text for note in subject.report.notes), "times are without queueing: no load is given"]
    return f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>{_table(rows)}"


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _trust(subject: Subject) -> str:
    found = subject.report.estimates
    words = f"{len(found)} of the {len(subject.report.used)} numbers used here were never published"
    rows = [{"Estimated number": one.what, "Value": one.value, "Basis": one.note} for one in found]
    return (
        f"{_table(_bands(subject.report))}<p>{escape(nearest_sentence(subject.scenario))}</p>"
        f"<p>{words}.</p>{_table(rows)}"
    )


def _bands(report: Report) -> list[dict[str, str]]:
    """Return on what the band of each number stands."""
    engine, chip = report.setup.engine, report.setup.chip
    found = {name: band(quantity, engine, chip) for name, quantity in BANDED.items()}
    return [
        {
            "Number": name.removesuffix("_s").replace("_", " "),
            "Measured / predicted": f"{one.low:.2f} to {one.high:.2f}",
            "Stands on": one.basis,
            "Why it is wide": one.far,
        }
        for name, one in found.items()
        if one
    ]


def _formulas(report: Report) -> str:
    """Return the headline numbers with their formulas, then every other formula that ran."""
    first = cards(report, (*TIME, *MEMORY, *COST))
    return "".join(_card(card) for card in (*first, *applied(report).values()))


def _card(card: Card) -> str:
    rows = [
        {"Quantity": a.label, "Meaning": "" if a.meaning == a.name else a.meaning, "Value": a.shown,
         "Source": a.source.title}
        for a in card.arguments
    ]  # fmt: skip
    return (
        f"<details><summary><b>{escape(card.title)}</b> = {escape(card.shown)}</summary>"
        f"<p>{escape(card.contract.sentence)}</p><p><code>{escape(card.wording)}</code></p>"
        f"<p>With the values put in: <b>{escape(card.substituted)}</b></p>{_table(rows)}"
        f"<p class=small>Source of the formula: {escape(card.source)}</p></details>\n"
    )


def _sources(report: Report) -> list[dict[str, str]]:
    return [
        {
            "Number": used.what,
            "Value": used.value,
            "Source": ", ".join(filter(None, (used.source.title, used.source.place, used.source.date))),
            "Remark": used.note,
        }
        for used in report.used
    ]


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th scope=col>{escape(name)}</th>" for name in rows[0])
    body = "".join(f"<tr>{_cells(row.values())}</tr>" for row in rows)
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>\n"


def _cells(texts: Iterable[str]) -> str:
    return "".join(f"<td>{escape(str(text))}</td>" for text in texts)
