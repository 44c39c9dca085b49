"""How large is each model, and what does its cache take?"""

from typing import Any

from pages import frame
from pages.parts import state
from pages.parts.catalogued import NONE, bullets, names_of, one_of, others, panel
from pages.parts.edits import runnable
from pages.parts.speech import plain, st
from perfmodel import Scenario, how, model_compare, model_tables
from perfmodel.catalogue_tables import ALL, rounded, to_csv
from perfmodel.figures import model_catalogue

VIEWS = {"catalogue": "Catalogue", "model": "One model", "compare": "Compare", "import": "Import"}
MEASURES = {"kv": "KV per token", "active": "active"}


@st.cache_data(max_entries=64)
def model_rows(search: str, family: str, kind: str) -> tuple[list[dict[str, Any]], str]:
    """Return the rows that pass the filters, and the same as CSV."""
    rows = model_tables.filter_models(model_tables.model_table(), search, family, kind)
    return rounded(rows), to_csv(rows)


def one_model() -> str:
    """Draw the choice of a model, its headline numbers and the button that takes it; return its id."""
    id = one_of(page, "model", "Model", names, "Use this model")
    page.metric_row(model_tables.headline(models[id]), how.model(models[id]))
    return id


def show_catalogue() -> None:
    """Draw the filters, the map, one model and the table."""
    search, family, kind, measure = (column for column in st.columns([3, 2, 2, 3]))
    wanted = search.text_input("Search", placeholder="qwen3 instruct", key="models.search")
    with family:
        clan = page.choice("family", "Family", [ALL, *model_tables.families()], ALL)
    with kind:
        sort = page.choice("attention", "Attention", [ALL, *model_catalogue.SYMBOLS], ALL)
    with measure:
        over = page.choice("measure", "Parameters against", tuple(MEASURES), "kv", labels=MEASURES)
    rows, text = model_rows(wanted, clan, sort)
    mine = model_tables.model_row(own)
    described = model_catalogue.describe_model_map(rows, over, mine)
    page.show(model_catalogue.model_map(rows, over, mine), "map", describe=described, on_select="about")
    one_model()
    number = {c: st.column_config.NumberColumn(help=h, format="localized") for c, h in model_tables.HELP.items()}
    pinned = {"id": None, "≈ Estimates": st.column_config.TextColumn(width="small")}
    pinned |= {"Model": st.column_config.TextColumn(pinned=True)}
    layout = pinned | {"Year": st.column_config.NumberColumn(format="%d")}
    st.dataframe(rows, key="models", hide_index=True, placeholder="–", column_config=number | layout)
    st.download_button("Download as CSV", text, "models.csv", "text/csv", on_click="ignore")
    st.caption("Counted from the dimensions, norms and biases included. ≈ names dimensions that nobody published.")


def show_model() -> None:
    """Draw one model: layers, parameters by part, memory, every dimension with its source."""
    model = models[one_model()]
    st.markdown(plain(model_tables.agreement_text(model)))
    page.show(
        model_catalogue.layer_strip(model.dimensions), "layers", describe=model_catalogue.describe_layer_strip(model)
    )
    page.show(model_catalogue.part_bars([model]), "parts", describe=model_catalogue.describe_part_bars([model]))
    left, right = st.columns(2)
    left.table(model_tables.parts_table(model.dimensions), border="horizontal", hide_index=True)
    right.table(model_tables.memory_table(model), border="horizontal", hide_index=True)
    panel(*model_tables.model_panel(model))
    st.markdown(bullets(model.file.notes if model.file else ()))


def show_compare() -> None:
    """Draw up to six models side by side, the scenario's first: parameters by part, numbers, times."""
    picked = others(page, names, ("llama-3.1-70b", "qwen3-30b-a3b", "mixtral-8x7b", NONE, NONE))
    times = model_compare.times_with(page.scenario, (page.scenario.model, *picked))
    chosen = [t.model for t in times]
    page.show(model_catalogue.part_bars(chosen), "parts", describe=model_catalogue.describe_part_bars(chosen))
    st.table(model_compare.comparison(times), border="horizontal", hide_index=True)
    st.caption("In brackets: the value divided by that of the first model.")
    st.caption(bullets(model_compare.comparison_notes(times)))


def show_import() -> None:
    """Draw the panel that turns a config.json into the scenario's model, which then travels in the link."""
    from pages.parts.import_panel import import_panel

    if change := import_panel():
        try:
            take(page.scenario.change(**change))
        except ValueError as error:
            page.notice(str(error), "error")


def take(scenario: Scenario) -> None:
    """Make this the scenario of the session and of the link."""
    now = state.session()
    if scenario != now.scenario:
        now.scenario = runnable(scenario)
        state.write_link(now)
        st.rerun()


with frame("Models", "How large is each model, and what does its cache take?") as page:
    own, models = page.scenario.resolved_model, model_tables.models_of(page.scenario)
    names = names_of(models, own)

    view = page.choice("view", "Show", tuple(VIEWS), "catalogue", labels=VIEWS)
    {"catalogue": show_catalogue, "model": show_model, "compare": show_compare, "import": show_import}[view]()
