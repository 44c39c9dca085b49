"""Which accelerator has what, and what would it do with this scenario?"""

from typing import Any

from pages import frame, plain
from pages.parts.speech import st
from pages.parts.state import choose
from perfmodel import chip_compare, chip_tables, how
from perfmodel.catalogue_tables import ALL, rounded, to_csv
from perfmodel.figures import catalogue

SELF, NONE = "scenario", "none"
MEMORY = {0: "any"} | {size: f"{size} GB or more" for size in (16, 24, 48, 80, 96, 141, 192, 288)}
VIEWS = {"catalogue": "Catalogue", "chip": "One chip", "compare": "Compare", "links": "Links"}

page = frame("Hardware", "Which accelerator has what, and what would it do with this scenario?")
own, chips = page.scenario.resolved_gpu, chip_tables.chips_of(page.scenario)
names = {id: chip.name for id, chip in chips.items()} | {SELF: f"this scenario's: {own.name}", NONE: "–"}


@st.cache_data(max_entries=64)
def ridge_rows(search: str, vendor: str, kind: str, memory: int) -> tuple[list[dict[str, Any]], str]:
    """Return the rows that pass the filters, and the same as CSV."""
    rows = chip_tables.filter_chips(chip_tables.ridge_table(), search, vendor, kind, memory)
    return rounded(rows), to_csv(rows)


def one_chip() -> str:
    """Draw the choice of a chip, its headline numbers and the button that takes it; return its id."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = page.choice("about", "Chip", [SELF, *chips], SELF, labels=names)
        id = page.scenario.gpu if chosen == SELF else chosen
        used = id == page.scenario.gpu
        st.button("In use" if used else "Use this chip", key="use", on_click=choose, args=("gpu", id), disabled=used)
    page.metric_row(chip_tables.headline(chips[id]), how.chip(chips[id]))
    return id


def show_catalogue() -> None:
    """Draw the filters, the map, one chip and the ridge table."""
    search, vendor, kind, memory, width = (column for column in st.columns([3, 2, 2, 2, 2]))
    wanted = search.text_input("Search", placeholder="h100 80gb", key="hardware.search")
    with vendor:
        maker = page.choice("vendor", "Vendor", [ALL, *chip_tables.choices("Vendor")], ALL)
    with kind:
        sort = page.choice("kind", "Kind", [ALL, *chip_tables.choices("Kind")], ALL)
    with memory:
        least = page.choice("memory", "Memory", tuple(MEMORY), 0, labels=MEMORY)
    with width:
        bits = page.choice("width", "Peak", tuple(chip_tables.WIDTHS), "16 bit")
    rows, text = ridge_rows(wanted, maker, sort, least)
    shown = [chips[row["id"]] for row in rows]
    described = catalogue.describe_chip_map(shown, bits, own)
    page.show(catalogue.chip_map(shown, bits, own), "map", describe=described, on_select="about")
    one_chip()
    number = {c.heading: st.column_config.NumberColumn(help=c.help, format="localized") for c in chip_tables.COLUMNS}
    layout = {
        "id": None,
        "Chip": st.column_config.TextColumn(pinned=True),
        "≈ Estimates": st.column_config.TextColumn(width="small"),
        "Year": st.column_config.NumberColumn(format="%d"),
    }
    st.dataframe(rows, key="ridge", hide_index=True, placeholder="–", column_config=number | layout)
    st.download_button("Download as CSV", text, "accelerators.csv", "text/csv", on_click="ignore")
    st.caption("Peaks are dense; 1 GB is 10⁹ B; links count one direction. ≈ names the numbers that nobody published.")


def show_panel(rows: list[dict[str, Any]], sources: list[str]) -> None:
    """Draw numbers with their sources: a table whose last but one column points into the list below it."""
    st.table(rows, border="horizontal", hide_index=True)
    st.caption("\n".join(f"{index}. {plain(source)}" for index, source in enumerate(sources, start=1)))


def show_chip() -> None:
    """Draw every number of one chip with its source, then the sources."""
    chip = chips[one_chip()]
    st.markdown("\n".join(f"- {plain(remark)}" for remark in chip_tables.chip_remarks(chip)))
    show_panel(*chip_tables.chip_panel(chip))


def show_compare() -> None:
    """Draw up to six chips side by side, the scenario's first: times, roofs, numbers."""
    others = [NONE, *chips]
    with st.container(horizontal=True):
        picked = (
            page.choice("c2", "Against", others, "h200-sxm", labels=names),
            page.choice("c3", "and", others, "b200-sxm", labels=names),
            page.choice("c4", "and", others, "mi300x", labels=names),
            page.choice("c5", "and", others, NONE, labels=names),
            page.choice("c6", "and", others, NONE, labels=names),
        )
    times = chip_compare.times_on(page.scenario, (page.scenario.gpu, *picked))
    page.show(catalogue.time_bars(times), "times", describe=chip_compare.winner_sentence(times))
    page.show(catalogue.rooflines(times), "roofs", describe=catalogue.describe_rooflines(times))
    st.table(chip_compare.comparison(times), border="horizontal", hide_index=True)
    st.caption("In brackets: the value divided by that of the first chip. The scenario's layout is the same on all.")
    st.caption("\n".join(f"- {plain(note)}" for note in chip_compare.comparison_notes(times)))


def show_links() -> None:
    """Draw the links between chips with their sources."""
    st.markdown("What connects chips: bandwidth of **one direction**, all links of one chip together.")
    st.table(chip_tables.link_table(), border="horizontal", hide_index=True)
    if fold := page.fold("The source of each number", "sources"):
        with fold:
            show_panel(*chip_tables.link_panel())


view = page.choice("view", "Show", tuple(VIEWS), "catalogue", labels=VIEWS)
{"catalogue": show_catalogue, "chip": show_chip, "compare": show_compare, "links": show_links}[view]()
