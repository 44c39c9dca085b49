"""Every headline number of every page opens into a card that evaluates to the number the page shows."""

import math
from typing import Any

import pytest

import pages
from pages.parts.registry import pages as all_pages
from pages.parts.waiting import asked
from perfmodel import Scenario
from perfmodel.explain import Card, evaluate
from perfmodel.how import Told
from perfmodel.units import count, show, significant
from tests.test_pages import PAGES, run

SCENARIOS = {
    "dense": Scenario(batch=8),
    "window, int4, eager": Scenario(model="gemma-3-27b", gpu="l40s", weights="int4", engine="eager", n=2, tp=2),
    "MoE, tp 4": Scenario(model="mixtral-8x7b", n=4, tp=4, weights="fp8", kv="fp8", batch=30, prefix=100),
    "MLA, vLLM": Scenario(model="deepseek-v3", gpu="h200-sxm", n=8, tp=8, weights="fp8", engine="vllm", batch=64),
    "hybrid": Scenario(model="jamba-1.5-mini", gpu="mi300x", n=4, pp=2, dp=2, batch=4),
}
#: Views of pages that show other numbers.
VIEWS: dict[str, tuple[dict[str, str], ...]] = {
    "Hardware": ({"view": "catalogue"}, {"view": "chip"}),
    "Models": ({"view": "catalogue"}, {"view": "model"}),
    "Other networks": ({"view": "batch"}, {"view": "small"}, {"view": "small", "depth": "1", "dtype": "fp16"}),
    "Operators": ({"phase": "decode"}, {"phase": "prefill"}),
    "Roofline": ({"phase": "decode"}, {"phase": "prefill"}),
    "Cures": ({}, {"with": "layout.draft"}, {"with": "fewer", "goal": "cost"}),
    "Sizing": ({"users": "50"}, {"users": "500", "hourly": "6", "terms": "owned"}, {"users": "9", "terms": "reserved"}),
    "Load": (
        {},
        {"rate": "100000"},
        {"rate": "0.1", "home": "recomputed", "chunk": "256"},
        {"schedule": "disaggregated"},
    ),
    "Parallelism": ({"goal": "latency"}, {"goal": "throughput"}),
}
#: Texts of a number that say in words that it is beyond or below what is told apart.
WORDS = ("linear from batch 1", "flat to batch beyond", "at any width")

Row = tuple[str, str, Any]


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """The headline numbers that a page shows, each with its card, as it draws them."""
    seen: list[Row] = []
    drawn = pages.Page.metric_row

    def record(self: Any, shown: Any, how: Any = ()) -> None:
        listed, cards = list(asked(shown)), asked(how)
        drawn(self, listed, cards)
        seen.extend((label, text, card) for (label, text, *_), card in zip(listed, cards or [None] * 99, strict=False))

    monkeypatch.setattr(pages.Page, "metric_row", record)
    return seen


def texts(value: float, unit: str) -> set[str]:
    """The ways in which a page writes a value."""
    found = {show(value, unit), show(value, unit, 4), show(value, unit).split(" ")[0], count(value)}
    found |= {
        significant(value),
        f"{value:,.0f}",
        f"{value:.1%}",
        f"{round(100 * value):+d} %",
        f"{round(100 * value)} %",
    }
    found |= {show(value, "%"), f"${significant(value)}", count(round(value)), count(math.floor(value))}
    return found


def check(label: str, text: str, card: Any) -> None:
    """A number has a card, and the card evaluates to it."""
    if not any(character.isdigit() for character in text) or label == "Best layout":
        return
    assert card is not None, f"{label} = {text!r} does not open: give metric_row its card (perfmodel/how.py)"
    value = card.again() if isinstance(card, Told) else evaluate(card)
    assert value == pytest.approx(card.value, rel=1e-3 if isinstance(card, Told) else 1e-9, abs=1e-4), label
    if isinstance(card, Card):
        assert card.substituted.endswith(f"= {card.shown}")
        assert card.contract.sentence
    assert any(found in text for found in texts(value, getattr(card, "unit", ""))) or text.startswith(WORDS), (
        f"{label}: the page shows {text!r}, its card {value!r} {getattr(card, 'unit', '')}"
    )


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("page", PAGES)
def test_every_headline_number_opens(page: str, name: str, rows: list[Row]) -> None:
    """Over all pages and their views, each headline number has a card that evaluates to what is displayed."""
    title = next(one.name for one in all_pages() if one.path == page)
    for view in VIEWS.get(title, ({},)):
        app = run(page, SCENARIOS[name].to_query() | view)
        assert not app.exception, [error.value for error in app.exception]
    for label, text, card in rows:
        check(label, text, card)


def test_nothing_is_computed_before_a_card_is_opened(rows: list[Row]) -> None:
    """Showing the numbers runs no traced computation: the way to a card costs its button only."""
    run("app.py")
    assert rows
    assert all("traced" not in vars(card) for _, _, card in rows)


def test_an_opened_card_shows_the_formula(rows: list[Row]) -> None:
    """Opened below its number, a card shows the values put in, where they come from, and how sure they are."""
    app = run("app.py")
    app.session_state["how.Home.First token, no queue"] = True
    app.run()
    assert not app.exception
    assert any("With the values put in" in element.value for element in app.markdown)
    assert any("Confidence" in element.value for element in app.caption)
    assert len(rows) == 10
