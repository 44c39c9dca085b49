"""Every page of the app, found in the folder: it runs, keeps the scenario, and no link breaks it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import pages
from pages.parts import edits, registry
from perfmodel import ACCELERATORS, MODELS, Scenario, from_query
from perfmodel.dimensions import Dimensions
from perfmodel.hardware import Chip
from perfmodel.scenario import field_keys

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["app.py", *sorted(f"pages/{path.name}" for path in (ROOT / "pages").glob("[0-9]*.py"))]
#: Pages that are not about the reader's scenario: they carry it on and show neither sidebar nor verdict.
BARE = [page for page in PAGES if "scenario_bar=False" in (ROOT / page).read_text(encoding="utf-8")]
#: Pages that answer another question than that of inference, in a sentence of their own.
OWN = [page for page in PAGES if "own_verdict=True" in (ROOT / page).read_text(encoding="utf-8")]
#: A visitor's worst links: each must give a page with notices, never an error.
HOSTILE = {
    "long": {"model": "x" * 10_000, "batch": "9" * 10_000},
    "html": {"model": "<script>alert(1)</script>", "gpu": "<img src=x onerror=alert(1)>", "<b>": "1"},
    "numbers": {"batch": "1e999", "in": "NaN", "out": "-5", "tp": "0", "skew": "inf"},
    "nul": {"model": "llama\0", "gpu": "\x1b[31mred", "name": "\u202eevil"},
    "unknown": {"model": "gpt-9", "gpu": "h9000", "engine": "warp", "w": "fp3", "v": "99", "nonsense": "1"},
    "custom": {"model": "custom", "gpu": "custom", "layers": "0", "g.bw": "-1"},
    "markdown": {"model": "[me](http://x) $x$ :red[y]", "gpu": "`a` | b"},
}


def run(page: str, query: Mapping[str, str | list[str]] | None = None) -> AppTest:
    """Open a page with a link and run it once."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    if page != "app.py":
        app.switch_page(page)
    for key, value in (query or {}).items():
        app.query_params[key] = value
    return app.run()


def link(app: AppTest) -> dict[str, str]:
    """The parameters of the address bar, one value a key."""
    return {key: value[-1] if isinstance(value, list) else value for key, value in app.query_params.items()}


def messages(app: AppTest) -> list[str]:
    """What the warnings and errors on the page say, without the escapes of Markdown."""
    return [re.sub(r"\\(.)", r"\1", element.value) for element in (*app.warning, *app.error)]


def check(app: AppTest, page: str = "") -> None:
    """No exception, and the verdict is on the page unless the page is about something else."""
    assert not app.exception, [error.value for error in app.exception]
    assert any("Decode is" in element.value for element in app.subheader) == (page not in (*BARE, *OWN))
    assert page not in OWN or app.subheader[0].value.endswith(".")


@pytest.fixture
def _validated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Plotly validate every figure instead of taking it as it is."""
    import plotly.graph_objects as go

    monkeypatch.setattr(pages, "drawn", lambda figure: go.Figure(figure))


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.usefixtures("_validated")
def test_page_runs(page: str) -> None:
    """A page without a link shows the default scenario, a verdict, valid figures, and writes the whole link."""
    app = run(page)
    check(app, page)
    assert Scenario().to_query().items() <= link(app).items()


@pytest.mark.parametrize("page", PAGES)
def test_headings_have_names(page: str) -> None:
    """No heading leaves it to the browser to work out a name for it, once more at every run, and no two share one."""
    app = run(page)
    names = [heading.proto.anchor for heading in (*app.title, *app.header, *app.subheader)]
    assert names
    assert all(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("page", PAGES)
def test_page_takes_the_link(page: str) -> None:
    """A page opened by a link shows that link's scenario and keeps every parameter of it."""
    scenario = Scenario(model="mixtral-8x7b", gpu="a100-sxm-80gb", n=2, tp=2, batch=24, input=777, weights="int8")
    app = run(page, scenario.to_query())
    check(app, page)
    assert scenario.to_query().items() <= link(app).items()
    if page in BARE:
        return
    assert app.sidebar.slider(key="w.batch").value == 24


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_link(page: str, name: str) -> None:
    """A broken or hostile link gives notices and the scenario of what could be read, never an error."""
    app = run(page, HOSTILE[name])
    check(app, page)
    assert messages(app)
    assert from_query({key: text for key, text in link(app).items() if key not in registry.view_keys()})[1] == ()


def test_repeated_key_gives_a_notice() -> None:
    """Of a key that stands in a link twice the last value counts, and the page says so."""
    app = run("app.py", {"batch": ["3", "5"]})
    assert link(app)["batch"] == "5"
    assert any("batch stands in the link more than once" in text for text in messages(app))


def test_notices_are_not_markup() -> None:
    """Text out of a link is shown as text: Markdown links, formulas and colours are escaped."""
    app = run("app.py", HOSTILE["markdown"])
    shown = " ".join(element.value for element in app.warning)
    assert r"\[me\]\(http\:" in shown
    assert not re.search(r"(?<!\\)[$\[\]`]", shown)


def test_page_change_keeps_the_scenario() -> None:
    """What was set on one page holds on every other."""
    app = run("app.py")
    app.sidebar.slider(key="w.batch").set_value(33).run()
    for page in PAGES[1:]:
        app.switch_page(page).run()
        check(app, page)
        assert link(app)["batch"] == "33"


def test_edit_wins_over_a_late_link() -> None:
    """An edit holds even when the browser still sends the link from before the last edit."""
    app = run("app.py")
    before = link(app)
    app.sidebar.slider(key="w.batch").set_value(33).run()
    for key, value in before.items():
        app.query_params[key] = value
    app.sidebar.slider(key="w.batch").set_value(34).run()
    assert link(app)["batch"] == "34"


def test_another_link_wins_without_an_edit() -> None:
    """Back, Forward and a pasted address change the link only: the link holds the truth then."""
    app = run("app.py")
    app.sidebar.slider(key="w.batch").set_value(33).run()
    app.query_params["batch"] = "7"
    app.run()
    assert link(app)["batch"] == "7"
    assert app.sidebar.slider(key="w.batch").value == 7


def test_edited_dimension_travels_in_the_link() -> None:
    """Editing one dimension makes a custom model whose every dimension is in the link; the way back is one button."""
    app = opened("Model")
    app.number_input(key="x.model.layers").set_value(31).run()
    check(app)
    assert link(app)["model"] == "custom"
    assert link(app)["layers"] == "31"
    scenario, notices = from_query(link(app), registry.view_keys())
    assert not notices
    assert scenario.dimensions == MODELS["llama-3.1-8b"].dimensions.model_copy(update={"layers": 31})
    app.button(key="back.model").click().run()
    assert link(app)["model"] == "llama-3.1-8b"
    assert "layers" not in link(app)


def test_edited_chip_travels_in_the_link() -> None:
    """Editing one number of the accelerator makes a custom one in the link."""
    app = opened("Accelerator")
    app.number_input(key="x.gpu.bandwidth").set_value(1000.0).run()
    check(app)
    assert link(app)["gpu"] == "custom"
    assert float(link(app)["g.bw"]) == 1000.0


def test_invalid_combination_says_what_is_allowed() -> None:
    """What does not fit is named with its value and what would fit; it stays as typed, and other edits still count."""
    app = opened("Layout")
    app.number_input(key="x.tp").set_value(3).run()
    check(app)
    assert any("tp=3 does not divide heads=32" in text and "1, 2, 4, 8" in text for text in messages(app))
    assert app.number_input(key="x.tp").value == 3
    assert link(app)["tp"] == "1"
    app.sidebar.slider(key="w.batch").set_value(12).run()
    assert (link(app)["batch"], link(app)["tp"]) == ("12", "1")
    app.number_input(key="x.tp").set_value(4).run()
    assert (link(app)["tp"], link(app)["n"]) == ("4", "4")
    assert not app.error


def opened(fold: str) -> AppTest:
    """The home page with one group of details open in the sidebar."""
    app = run("app.py")
    app.session_state["perfmodel"].details = fold
    return app.run()


def test_views_travel_in_the_link() -> None:
    """A secondary control writes its choice into the link, reads it from there, and refuses what it does not know."""
    assert link(run("pages/1_Roofline.py"))["phase"] == "both"
    assert link(run("pages/1_Roofline.py", {"phase": "decode"}))["phase"] == "decode"
    app = run("pages/1_Roofline.py", {"phase": "teatime"})
    check(app)
    assert link(app)["phase"] == "both"
    assert any("phase='teatime' is not one of both, prefill, decode" in text for text in messages(app))


def test_view_keys_are_not_scenario_keys() -> None:
    """No secondary control takes a key that means something in every link."""
    taken = {key.key for record in (Scenario, Dimensions, Chip) for key in field_keys(record).values()} | {"v"}
    assert not taken & registry.view_keys()


@pytest.mark.parametrize("model", list(MODELS))
def test_every_model_can_be_picked(model: str) -> None:
    """Picking any model from the list gives that model, whatever the lengths before."""
    scenario, _ = edits.pick(Scenario(), "model", model)
    assert scenario.model == model


@pytest.mark.parametrize("gpu", list(ACCELERATORS))
def test_every_accelerator_can_be_picked(gpu: str) -> None:
    """Picking any accelerator gives that one, or says why it cannot be computed with."""
    scenario, notices = edits.pick(Scenario(), "gpu", gpu)
    assert scenario.gpu == gpu or any(gpu in text for text in notices)


def test_edits_apply_together_or_one_by_one() -> None:
    """Edits that are possible only together are applied together; one that is impossible leaves the others in place."""
    both = edits.apply(Scenario(), {"model.heads": 24, "model.kv_heads": 6})
    dimensions: Any = both.scenario.dimensions
    assert (dimensions.heads, dimensions.kv_heads, both.left) == (24, 6, {})
    one = edits.apply(Scenario(), {"model.kv_heads": 5, "batch": 4})
    assert (one.scenario, one.left) == (Scenario(batch=4), {"model.kv_heads": 5})
    assert "kv_heads=5 does not divide heads=32" in one.problems[0]


def test_undone_edit_is_the_preset_again() -> None:
    """A dimension set back to the preset's value gives the preset, not a custom copy of it."""
    edited = edits.apply(Scenario(), {"model.layers": 31}).scenario
    assert edits.preset_of(edited) == "llama-3.1-8b"
    assert edits.apply(edited, {"model.layers": 32}).scenario == Scenario()


def test_only_pages_lie_in_the_folder() -> None:
    """Streamlit takes every file directly in pages/ for a page, underscore or not: helpers belong into pages/parts/."""
    others = [path.name for path in (ROOT / "pages").glob("*.py") if not re.match(r"\d", path.name)]
    assert others == ["__init__.py"]


def test_every_page_is_in_one_group() -> None:
    """The rows of links reach every page: the groups hold each page once, in the order of their numbers, home alone."""
    grouped = [page for members in registry.groups().values() for page in members]
    assert grouped == list(registry.pages())
    assert [page.name for page in registry.groups()[""]] == ["Home"]
    assert set(registry.groups()) <= {"", *registry.GROUPS}
