"""One figure of a page alone, and what the frame offers to hand on."""

from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts import registry
from pages.parts.state import ALONE
from perfmodel import Scenario
from perfmodel.pins import SLOTS
from perfmodel.scenario import link_keys
from tests.test_pages import PAGES, check, link, run

FIGURES = ("plotly_chart", "image")


def drawn(app: AppTest) -> int:
    """How many figures and pictures a page shows."""
    return sum(len(app.get(kind)) for kind in FIGURES)


@pytest.mark.parametrize("page", PAGES)
def test_the_first_figure_alone(page: str) -> None:
    """With `alone=first` a page shows at most one figure and the way to the whole page: no sidebar, no heading."""
    app = run(page, Scenario(batch=8).to_query() | {"alone": "first"})
    assert not app.exception, [error.value for error in app.exception]
    assert drawn(app) == (1 if drawn(run(page, {"batch": "8"})) else 0)
    assert not app.sidebar.children
    assert not [*app.header, *app.subheader, *app.button, *app.metric, *app.dataframe, *app.table]
    assert "Open in perfmodel" in app.main.markdown[-1].value
    assert "alone=" not in app.main.markdown[-1].value
    assert link(app)["alone"] == "first"


def test_a_named_figure_and_one_that_is_not_there() -> None:
    """`alone` names a figure; where the page has none of that name a notice says which it has, without any markup."""
    assert drawn(run("app.py", {"alone": "roofline"})) == 1
    assert len(run("app.py", {"alone": "roofline"}).get("plotly_chart")) == 1
    assert len(run("app.py", {"alone": "time-bar"}).get("plotly_chart")) == 0
    assert not run("app.py", {"alone": "roofline"}).warning
    app = run("app.py", {"alone": "<b>none</b>"})
    assert drawn(app) == 0
    assert [box.value for box in app.warning] == [
        r"alone='\<b\>none\</b\>' is no figure of this page; it has time\-bar, roofline"
    ]
    assert [box.value for box in run("pages/41_Glossary.py", {"alone": "first"}).warning] == ["This page has no figure"]


def test_a_figure_that_the_choices_leave_out() -> None:
    """A figure of the page that another view would draw is no empty frame: a notice says so, in either language."""
    app = run("pages/2_FLOPs.py", {"alone": "layers", "view": "shape"})
    assert drawn(app) == 0
    (box,) = app.warning
    assert box.value.startswith("alone='layers' is a figure of this page, but not with these choices")
    assert drawn(run("pages/2_FLOPs.py", {"alone": "layers", "view": "layers"})) == 1
    (box,) = run("pages/2_FLOPs.py", {"alone": "layers", "view": "shape", "lang": "zh"}).warning
    assert "请打开页面更改选项" in box.value


@pytest.mark.parametrize("page", PAGES)
def test_every_figure_of_a_page_is_known(page: str) -> None:
    """What a page draws is among the figures that its file names, so that no link to one meets the notice."""
    now = run(page).session_state["perfmodel"]
    shown, known = now.figures[now.page], registry.figure_keys(now.page)
    assert [key for key in shown if not any(fnmatchcase(key, pattern) for pattern in known)] == []


def test_no_page_uses_the_key() -> None:
    """No secondary control and no input of the scenario takes the key of a figure alone, nor Streamlit's own."""
    assert not {ALONE, "embed", "embed_options"} & (registry.view_keys() | set(link_keys().values()) | set(SLOTS))


def test_what_was_alone_becomes_whole() -> None:
    """The same tab shows the whole page again when it leaves the link with `alone`."""
    app = run("app.py", {"alone": "first"})
    del app.query_params["alone"]
    app.run()
    check(app)
    app.switch_page("pages/1_Roofline.py").run()
    check(app)
    assert "alone" not in link(app)


def test_closed_export_computes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page whose Export is closed imports no report and no launch line."""
    import sys

    for name in [name for name in sys.modules if name.startswith(("perfmodel.dossier", "perfmodel.launch"))]:
        monkeypatch.delitem(sys.modules, name)
    check(run("app.py"))
    assert not [name for name in sys.modules if name.startswith(("perfmodel.dossier", "perfmodel.launch"))]


def test_an_embedded_figure_is_documented() -> None:
    """The guide to links tells of `alone`, and the proxy's site how to let a host embed."""
    root = Path(__file__).resolve().parents[1]
    assert "alone=first" in (root / "docs/guide/links.md").read_text(encoding="utf-8")
    assert "frame-ancestors: 'self' https://" in (root / "deploy/nginx/site.conf").read_text(encoding="utf-8")
