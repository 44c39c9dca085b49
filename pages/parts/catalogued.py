"""What the catalogues of chips and of models draw alike: one entry to look at, others to compare it with, sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pages import Page
from pages.parts.speech import plain, st
from pages.parts.state import choose

SELF, NONE = "scenario", "none"


def names_of(entries: Mapping[str, Any], own: Any) -> dict[str, str]:
    """Return what a person reads for each option: the entries, the scenario's own, nothing."""
    named = {id: entry.name for id, entry in entries.items()}
    return named | {SELF: f"this scenario's: {own.name}", NONE: "–"}


def one_of(page: Page, field: str, label: str, names: Mapping[str, str], take: str) -> str:
    """Draw the choice of an entry and the button that puts it into a field of the scenario; return its id."""
    own = getattr(page.scenario, field)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = page.choice("about", label, [SELF, *_ids(names)], SELF, labels=names)
        id = own if chosen == SELF else chosen
        used = id == own
        st.button("In use" if used else take, key="use", on_click=choose, args=(field, id), disabled=used)
    return str(id)


def others(page: Page, names: Mapping[str, str], usual: Sequence[str]) -> tuple[str, ...]:
    """Draw the choice of what stands beside the scenario's own, one control for each usual id; return the ids."""
    with st.container(horizontal=True):
        return tuple(
            page.choice(f"c{number}", "Against" if number == 2 else "and", [NONE, *_ids(names)], id, labels=names)
            for number, id in enumerate(usual, start=2)
        )


def _ids(names: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(id for id in names if id not in (SELF, NONE))


def bullets(texts: Iterable[str]) -> str:
    """Return texts as a list in Markdown."""
    return "\n".join(f"- {plain(text)}" for text in texts)


def panel(rows: list[dict[str, Any]], sources: Iterable[str]) -> None:
    """Draw numbers with their sources: a table whose last but one column points into the list below it."""
    st.table(rows, border="horizontal", hide_index=True)
    st.caption("\n".join(f"{index}. {plain(source)}" for index, source in enumerate(sources, start=1)))
