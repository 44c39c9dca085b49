"""Which accelerator has what, and what would it do with this scenario?"""

from typing import Any

from pages import frame
from pages.parts.catalogued import NONE, bullets, names_of, one_of, others, panel
from pages.parts.speech import st
from perfmodel import chip_compare, chip_tables, how
from perfmodel.catalogue_tables import ALL, rounded, to_csv
from perfmodel.figures import catalogue

MEMORY = {0: "any"} | {size: f"{size} GB or more" for size in (16, 24, 48, 80, 96, 141, 192, 288)}
VIEWS = {"catalogue": "Catalogue", "chip": "One chip", "compare": "Compare", "links": "Links"}


@st.cache_data(max_entries=64)
def ridge_rows(search: str, vendor: str, kind: str, memory: int) -> tuple[list[dict[str, Any]], str]:
    """Return the rows that pass the filters, and the same as CSV."""
    rows = chip_tables.filter_chips(chip_tables.ridge_table(), search, vendor, kind, memory)
    return rounded(rows), to_csv(rows)


def one_chip() -> str:
    """Draw the choice of a chip, its headline numbers and the button that takes it; return its id."""
    id = one_of(page, "gpu", "Chip", names, "Use this chip")
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


def show_chip() -> None:
    """Draw every number of one chip with its source, then the sources."""
    chip = chips[one_chip()]
    st.markdown(bullets(chip_tables.chip_remarks(chip)))
    panel(*chip_tables.chip_panel(chip))


def show_compare() -> None:
    """Draw up to six chips side by side, the scenario's first: times, roofs, numbers."""
    picked = others(page, names, ("h200-sxm", "b200-sxm", "mi300x", NONE, NONE))
    times = chip_compare.times_on(page.scenario, (page.scenario.gpu, *picked))
    page.show(catalogue.time_bars(times), "times", describe=chip_compare.winner_sentence(times))
    page.show(catalogue.rooflines(times), "roofs", describe=catalogue.describe_rooflines(times))
    st.table(chip_compare.comparison(times), border="horizontal", hide_index=True)
    st.caption("In brackets: the value divided by that of the first chip. The scenario's layout is the same on all.")
    st.caption(bullets(chip_compare.comparison_notes(times)))


def show_links() -> None:
    """Draw the links between chips with their sources."""
    st.markdown("What connects chips: bandwidth of **one direction**, all links of one chip together.")
    st.table(chip_tables.link_table(), border="horizontal", hide_index=True)
    if fold := page.fold("The source of each number", "sources"):
        with fold:
            panel(*chip_tables.link_panel())


with frame("Hardware", "Which accelerator has what, and what would it do with this scenario?") as page:
    own, chips = page.scenario.resolved_gpu, chip_tables.chips_of(page.scenario)
    names = names_of(chips, own)

    view = page.choice("view", "Show", tuple(VIEWS), "catalogue", labels=VIEWS)
    {"catalogue": show_catalogue, "chip": show_chip, "compare": show_compare, "links": show_links}[view]()
