"""Traps in how tools behave: aliased results, files shared by users, fits, units of inputs, links, fake progress."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from streamlit.testing.v1 import AppTest

from pages.parts import registry, widgets
from perfmodel import ACCELERATORS, ENGINES, Report, Scenario, estimate
from perfmodel.breakdown import flops_answer, memory_answer
from perfmodel.dimensions import Dimensions
from perfmodel.explain import METRICS, explain_metric
from perfmodel.hardware import Chip
from perfmodel.precision import native_dtype
from perfmodel.scenario import field_keys
from perfmodel.text import report_text
from perfmodel.units import show
from tests.test_traps import close, moved

ROOT = Path(__file__).resolve().parents[1]


# --------------------------------------------------------------------------------------------------- behaviour

DEEP = Scenario(model="mixtral-8x7b", gpu="a100-sxm-80gb", n=4, tp=4, batch=24, input=777, output=99, weights="int8")
SMALL = Scenario(model="llama-3.2-1b", gpu="l4", batch=3, input=512)
TOO_LARGE = Scenario(model="llama-3.1-70b", gpu="l4", batch=4, input=512)


def opened(page: str, scenario: Scenario | None = None) -> AppTest:
    """A page opened in a new tab, by a link if a scenario is given."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    if page != "app.py":
        app.switch_page(page)
    for key, value in (scenario.to_query() if scenario else {}).items():
        app.query_params[key] = value
    return app.run()


@cache
def deep(page: str) -> AppTest:
    """A page opened by the same deep link, once; to look at only."""
    return opened(page, DEEP)


def headlines(app: AppTest) -> list[tuple[str, str]]:
    """The headline numbers of the home page and the verdict."""
    return [(m.label, m.value) for m in app.metric] + [("verdict", app.subheader[0].value)]


def test_behaviour_views_change_nothing() -> None:
    """Behaviour: results do not change because another view was opened: home before and after all other pages."""
    app = opened("app.py", DEEP)
    before = headlines(app)
    assert len(before) >= 5
    for page in registry.pages()[1:]:
        app.switch_page(page.path).run()
        assert not app.exception
    assert headlines(app.switch_page("app.py").run()) == before
    assert headlines(deep("app.py")) == before


def test_behaviour_reports_are_not_aliased() -> None:
    """Behaviour: no breakdown, explanation or other estimate changes what a report says."""
    report = estimate(DEEP)
    before = report.to_dict()
    for name in METRICS:
        assert explain_metric(report, name).substituted
    assert flops_answer(report)
    assert memory_answer(report)
    assert report_text(report)
    estimate(SMALL)
    assert report.to_dict() == estimate(DEEP).to_dict() == before


#: Files that the process opens for writing, while a test listens.
_WRITTEN: list[str] = []
_LISTENING = [False]
_WRITING = ("os.mkdir", "os.rename", "os.remove", "tempfile.mkstemp", "tempfile.mkdtemp", "shutil.copyfile")


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _LISTENING[0]:
        return
    flags = arguments[1] if event == "open" and len(arguments) > 1 else ""
    writes = event == "open" and isinstance(flags, str) and set(flags) & set("wax+")
    if (writes or event in _WRITING) and "__pycache__" not in str(arguments[0]):
        _WRITTEN.append(f"{event} {arguments[0]}")


@pytest.fixture
def written() -> Iterator[list[str]]:
    """What is written to disk while the test runs; an audit hook cannot be taken out, so there is one for all."""
    if not _WRITTEN and not _LISTENING[0] and _audit not in getattr(sys, "_perfmodel_hooks", ()):
        sys.addaudithook(_audit)
        sys._perfmodel_hooks = (_audit,)  # type: ignore[attr-defined]
    _WRITTEN.clear()
    _LISTENING[0] = True
    yield _WRITTEN
    _LISTENING[0] = False


def test_behaviour_listening_hears(written: list[str], tmp_path: Path) -> None:
    """Behaviour: the listener of the next test hears a file that is written."""
    (tmp_path / "x").write_text("x")
    assert any(line.startswith("open") for line in written)


def test_behaviour_two_users_share_nothing(written: list[str]) -> None:
    """Behaviour: two users share no folder: nothing is written to disk, and each sees his own numbers."""
    alone = {s.model: headlines(opened("app.py", s)) for s in (DEEP, SMALL)}
    one, two = opened("app.py", DEEP), opened("app.py", SMALL)
    two.sidebar.slider(key="w.batch").set_value(50).run()
    assert headlines(one.run()) == alone[DEEP.model]
    two.sidebar.slider(key="w.batch").set_value(SMALL.batch).run()
    one.switch_page("pages/1_Roofline.py").run()
    assert headlines(two.run()) == alone[SMALL.model]
    assert written == []


def test_behaviour_does_not_fit() -> None:
    """Behaviour: "does not fit" is said as such, with what is needed (70.6 B weights: > 141 GB) and what is there."""
    report = estimate(TOO_LARGE)
    assert not report.memory.fits
    assert report.memory.total > 141e9
    (note,) = [note for note in report.notes if note.level == "error"]
    need = show(report.memory.total, "B")
    assert note.text.startswith(f"Does not fit: {need} are needed on each L4, which has 24 GB")
    result = report.to_dict()
    assert result["fits"] is False
    assert note.text in result["notes"]
    assert note.text in report_text(report)
    assert (report.memory.largest_batch, report.memory.longest_context) == (0, 0)
    assert estimate(SMALL).memory.fits
    assert not [note for note in estimate(SMALL).notes if "fit" in note.text]


def test_behaviour_does_not_fit_on_the_page() -> None:
    """Behaviour: page after page says above all else that the scenario does not fit, with both numbers."""
    need = show(estimate(TOO_LARGE).memory.total, "B")
    app = opened("app.py", TOO_LARGE)
    for page in (None, *registry.pages()[1:3]):
        app = app.switch_page(page.path).run() if page else app
        texts = [error.value.replace("\\", "") for error in app.error]
        assert any(f"Does not fit: {need} are needed on each L4, which has 24 GB" in text for text in texts)


@pytest.mark.parametrize("record", [Scenario, Dimensions, Chip], ids=lambda r: r.__name__)
def test_behaviour_units_of_inputs(record: type[BaseModel]) -> None:
    """Behaviour: every number that is asked for has a unit, in record and label; the rest is a choice or flag."""
    keys = field_keys(record)
    parts = {"dimensions", "chip"} & set(record.model_fields)
    assert set(keys) == set(record.model_fields) - parts
    for name, key in keys.items():
        assert key.help, name
        if record.model_fields[name].annotation in (int, float):
            assert key.unit, name
            assert f"[{key.unit}]" in widgets.label(record, name)
        else:
            assert key.unit == "", name


def numeric_labels(app: AppTest) -> list[str]:
    """The labels of all inputs on a page that take a number."""
    kinds = (app.slider, app.number_input, app.select_slider)
    return [element.label for kind in kinds for element in kind]


def test_behaviour_units_on_the_page() -> None:
    """Behaviour: the label of every slider and number on every page names its unit."""
    missing = {label for p in registry.pages() for label in numeric_labels(deep(p.path)) if "[" not in label}
    assert missing == set()


@pytest.mark.parametrize("page", registry.pages(), ids=lambda page: page.name)
def test_behaviour_deep_links(page: registry.PageFile) -> None:
    """Behaviour: a deep link opens its own page with its own scenario, and the links there carry it to the others."""
    app = deep(page.path)
    assert not app.exception
    assert app.header[0].value == asked(page.path)
    assert DEEP.to_query().items() <= {key: value[-1] for key, value in _query(app).items()}.items()
    inside = {other.name for other in registry.pages() if other.group == page.group}
    ways = {other.name for other in registry.pages()} | set(registry.groups())
    links = [element.proto for element in app.get("page_link") if element.proto.label in ways]
    assert {link.label for link in links} >= inside | set(filter(None, registry.groups()))
    for link in links:
        assert "model=mixtral-8x7b" in link.query_string
        assert "batch=24" in link.query_string


def asked(path: str) -> str:
    """The question that a page asks in its heading: the second argument of `frame`."""
    calls = (
        node for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
    )
    return next(ast.literal_eval(call.args[1]) for call in calls if getattr(call.func, "id", "") == "frame")


def _query(app: AppTest) -> Mapping[str, list[str]]:
    return {key: value if isinstance(value, list) else [value] for key, value in app.query_params.items()}


def test_behaviour_questions_differ() -> None:
    """Behaviour: no two pages ask the same question, so the heading tells which page a link opened."""
    questions = [question for page in registry.pages() if (question := asked(page.path))]
    assert len(set(questions)) == len(questions) >= 9


def test_behaviour_no_fake_progress() -> None:
    """Behaviour: nothing sleeps to look busy, and nothing turns that is not turned by work.

    The one rest, behind a page's figures, is for the browser that draws them (test_architecture holds it to that); a
    spinner turns while the block below it computes.
    """
    sources = [ROOT / "app.py", *(ROOT / "pages").rglob("*.py"), *(ROOT / "perfmodel").rglob("*.py")]
    assert len(sources) > 50
    for path in sources:
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        fed = [item.context_expr for node in nodes if isinstance(node, ast.With) for item in node.items]
        for node in nodes:
            called = node.func if isinstance(node, ast.Call) else None
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            where = f"{path.name}:{getattr(node, 'lineno', 0)}"
            assert name not in ("balloons", "snow"), where
            assert name != "spinner" or node in fed, where
            assert name != "sleep" or path.name == "waiting.py", where


def test_behaviour_estimates_are_possible() -> None:
    """Behaviour: no number carries the label estimate and is physically impossible: shares <= 1, ceilings hold."""
    for id in ENGINES:
        for name, constant in ENGINES[id].constants.items():
            if name.endswith(("efficiency", "overlap")):
                assert 0 <= constant.value <= 1, f"{id} {name}"
            assert constant.source, f"{id} {name}"
    guessed = [ACCELERATORS[id] for id in ACCELERATORS if ACCELERATORS[id].file.unsourced]
    assert guessed
    for chip in guessed:
        peaks = chip.peak_flops
        narrow = [peaks[name] for name in ("fp16", "bf16", "fp8") if name in peaks]
        assert all(peak >= peaks.get("fp32", 0.0) for peak in narrow), chip.id
        assert not chip.clock_hz > 6e9, chip.id
        if not (chip.memory_bytes_per_s > 0 and native_dtype(chip, "bf16")):
            continue
        report = estimate(Scenario(model="llama-3.2-1b", gpu=chip.id, engine="ideal", batch=8))
        assert moved(report.decode) / report.decode_step_s <= chip.memory_bytes_per_s * (1 + 1e-12), chip.id
        assert report.flops_prefill / report.ttft_s <= max(peaks.values()), chip.id


@pytest.mark.parametrize("scenario", [Scenario(batch=16), DEEP, SMALL], ids=lambda s: s.model)
def test_behaviour_estimated_results_are_possible(scenario: Scenario) -> None:
    """Behaviour: a result that rests on estimates still lies between perfect overlap and one thing after another."""
    report = estimate(scenario)
    assert report.estimates
    for run in (report.prefill, report.decode):
        assert run.overlapped_s <= run.time_s <= run.sequential_s * (1 + 1e-12)
        assert moved(run) / float(run.time_s) <= report.setup.chip.memory_bytes_per_s
        close(run.shares.sum(), 1.0, rtol=1e-12)


# ---------------------------------------------------------------------------------------------------- accuracy


def test_accuracy_first_token_is_without_queue() -> None:
    """Accuracy: time to first token in serving includes queueing; ours does not, and the places that show it say so."""
    report: Report = estimate(SMALL)
    assert report.ttft_s == report.prefill.time_s
    assert "Time to first token (no queue)" in report_text(report)
    (shown,) = [metric for metric in deep("app.py").metric if "first token" in metric.label.lower()]
    assert "queue" in f"{shown.label} {shown.help}"
