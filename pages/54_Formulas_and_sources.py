"""Which formula, which value and which source stand behind every number?"""

from itertools import groupby

from pages import frame
from pages.parts.cards import render, sheet
from pages.parts.speech import plain, st
from perfmodel.explain import METRICS, applied, cards, contract, sources

VIEWS = {"numbers": "Results", "formulas": "Formulas", "used": "Sources of this run", "all": "All sources"}


def show_numbers() -> None:
    """Draw the card of every result of this scenario."""
    st.markdown("Open a result, then the quantities in it, down to the numbers of the data sheets.")
    render(cards(report, tuple(METRICS)))


def show_formulas() -> None:
    """Draw every formula of the package that fits the search, with its value in this scenario where it has one."""
    words = st.text_input("Search formulas", placeholder="attention bytes", key="formulas.search")
    used = applied(report)
    found = sorted(sources.search_formulas(words), key=lambda function: function not in used)
    st.caption(f"{len(found)} formulas; those that this scenario uses show one of their values.")
    for title, group in groupby(found, key=lambda f: "In this scenario" if f in used else contract(f).module):
        st.markdown(f"**{plain(title)}**")
        for function in group:
            if function in used:
                render([used[function]])
            else:
                sheet(contract(function), f"sheet.{function.__name__}")


def show_used() -> None:
    """Draw the numbers from outside that this scenario used, estimates first to see."""
    st.markdown(sources.used_sentence(report))
    table(sources.used_rows(report))


def show_all() -> None:
    """Draw every source of the catalogues that fits the search."""
    words = st.text_input("Search sources", placeholder="datasheet H100", key="sources.search")
    rows = sources.source_rows(words)
    st.caption(f"{len(rows)} sources.")
    table(rows)


def table(rows: list[dict[str, str]]) -> None:
    """Draw a table whose texts come from files and from the user."""
    st.table([{name: plain(text) for name, text in row.items()} for row in rows], border="horizontal", hide_index=True)


with frame("Formulas and sources", "Which formula, which value and which source stand behind every number?") as page:
    report = page.report

    view = page.choice("view", "Show", tuple(VIEWS), "numbers", labels=VIEWS)
    {"numbers": show_numbers, "formulas": show_formulas, "used": show_used, "all": show_all}[view]()
