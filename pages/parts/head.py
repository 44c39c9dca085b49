"""What stands above every page: the links to all pages, the question, what can be done with it, what is to be said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from pages.parts import export, pin, share, speech, state
from pages.parts.speech import st
from perfmodel import Report, Scenario, cached_estimate
from perfmodel.advice import verdict
from perfmodel.catalog import spec_problems
from perfmodel.text import summary as line_of

#: So many broken files are named; the first ones tell what is wrong.
MAX_BROKEN = 5
#: The one style sheet: how a page stands on paper, and that nothing of it fades while it is drawn anew.
STYLE = Path(__file__).with_name("frame.css")


def draw(now: state.Session, question: str, figures: Sequence[str]) -> None:
    """Draw the links to all pages, the question this one answers, and what can be done with it."""
    share.page_links(now)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(question, width="stretch")
        with st.container(horizontal=True, width="content", gap="small"):
            pin.control(now)
            share.button(now, figures)
            export.button(now)
            speech.switch(state.touch)


@lru_cache(maxsize=256)
def sentence(scenario: Scenario) -> str:
    """Return the verdict on a scenario, in one sentence."""
    return verdict(cached_estimate(scenario)).sentence


@lru_cache(maxsize=256)
def summary(scenario: Scenario) -> str:
    """Return who computes what on what, in one line."""
    return line_of(scenario)


def messages(now: state.Session) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the input, the link and the files, each text with its level."""
    if now.problems:
        stays = "What you typed stays; the page shows the last scenario that fits."
        yield "\n".join((*now.problems, stays)), "error"
    if now.notices:
        yield "\n".join(now.notices), "warning"
    if broken := spec_problems():
        yield "\n".join(("Left out, as these files could not be read:", *broken[:MAX_BROKEN])), "warning"


def notes(report: Report) -> Iterator[tuple[str, str]]:
    """Yield the estimate's errors and warnings one by one, then its remarks as small print."""
    yield from ((note.text, note.level) for note in report.notes if note.level != "info")
    if remarks := [note.text for note in report.notes if note.level == "info"]:
        yield "Note: " + ". ".join(remarks) + ".", "remark"
