"""The table of published figures and the page's error: every row cited, answered, and scored as the bench scores."""

import math
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from benchmarks.requests import predicted
from perfmodel import Scenario, estimate
from perfmodel import validation as v
from perfmodel.figures import validation as figures
from perfmodel.kernels import kernel
from perfmodel.published import COMMON, FOLDER, METRICS, asked, published, read
from perfmodel.score import mean_of_medians, residuals
from perfmodel.units import MICRO

ROOT = Path(__file__).resolve().parents[1]


def test_enough_figures_of_every_kind() -> None:
    """At least 150 figures, of every subject, from at least 15 sources, 10 chips, 15 models and 6 engines."""
    found = v.checks()
    assert len(found) >= 150
    assert {check.subject for check in found} == set(v.SUBJECTS)
    for label, least in (("source", 15), ("chip", 10), ("model", 15), ("engine", 6)):
        assert len({getattr(check, label) for check in found}) >= least, label


def test_every_figure_is_cited() -> None:
    """Every row names its document with place and date, where in it the figure stands, and what is printed there."""
    for row in published():
        texts = (
            row.source.title,
            row.source.place,
            row.source.date,
            row.source.note,
            row.place,
            row.printed,
            row.stack,
        )
        assert all(text.strip() for text in texts), row.id
        assert any(digit in row.printed for digit in "0123456789"), row.id
        assert row.unit, row.id


def test_every_source_has_rows() -> None:
    """Files and sources are the same set: no citation without a figure."""
    from perfmodel.catalog import load_sources

    known = set(load_sources(FOLDER / "sources.toml")) - {"estimate", "user"}
    assert known == {path.stem for path in FOLDER.glob("*.csv")}


def test_the_value_is_the_printed_number() -> None:
    """The SI value is the printed one by a plain factor: 104.9 tokens/s of gpt-fast, 63.4 us of a blog."""
    first = next(row for row in published() if row.source.key == "gpt-fast")
    assert first.printed == "104.9 Tokens/Second"
    np.testing.assert_allclose(first.value, 1 / 104.9, rtol=1e-5)
    blog = next(row for row in published() if row.source.key == "flash-decoding")
    np.testing.assert_allclose(blog.value, 63.4 * MICRO, rtol=1e-9)


def test_every_figure_is_answered() -> None:
    """The model answers every row with a finite number above zero, and names a regime."""
    for check in v.checks():
        assert math.isfinite(check.predicted), check.row.id
        assert check.predicted > 0, check.row.id
        assert check.regime in ("compute", "memory", "network", "overhead"), check.row.id


def test_headline_is_the_scorers() -> None:
    """The page's headline equals the bench's function on the same rows, predicted anew by the bench."""
    groups: dict[str, list[float]] = {}
    for check in v.shown("requests", "what", "all"):
        report = estimate(check.scenario)
        ours = predicted(check.row.metric, report)
        groups.setdefault(check.family, []).append(float(residuals(ours, check.row.value)))
    for check in v.shown("kernels", "what", "all"):
        error = residuals(kernel(check.row.asked)["time_s"], check.row.value)
        groups.setdefault(check.family, []).append(float(error))
    np.testing.assert_allclose(v.headline(v.shown("times", "what", "all")), mean_of_medians(groups), rtol=1e-12)


def test_families_are_whole() -> None:
    """Grouping loses no row, and the table of families holds each once, the worst first."""
    found = v.checks()
    assert sum(map(len, v.grouped(found).values())) == len(found)
    medians = [int(row["Median error"].split()[0]) for row in v.family_rows(found)]
    assert medians == sorted(medians, reverse=True)


def test_nearest_rows_are_like_the_scenario() -> None:
    """A scenario that was measured finds its own row; one on a chip and model nobody measured says so or is unlike."""
    own = next(check for check in v.checks() if check.row.source.key == "gpt-fast")
    assert own in v.nearest(own.scenario)
    assert "median error" in v.nearest_sentence(own.scenario)
    other = Scenario(model="gpt-2-124m", gpu="a30", engine="ideal", weights="fp32", input=64, output=8)
    assert all(check.chip != "A30" for check in v.nearest(other))


def test_failures_say_why() -> None:
    """The known failures are the worst families and each carries what is known about it."""
    rows = v.failures()
    assert rows
    assert all(row["Known about it"] for row in rows)


@pytest.mark.parametrize("view", v.VIEWS)
@pytest.mark.parametrize("by", v.SORTS)
def test_figures_hold_every_row(view: str, by: str) -> None:
    """Each view draws all its rows on axes of one unit; its description and legend name what is drawn."""
    import plotly.graph_objects as go

    found, names = v.shown(view, by, "all"), v.sorts(view, by)
    assert len({check.row.unit for check in found}) == 1
    drawn = go.Figure(figures.figure(found, by, names, v.nearest(Scenario()), found[0].row.id))
    assert len(drawn.data[-1].x) == len(found)
    assert str(len(found)) in figures.describe(found)
    assert 1 <= len(figures.marks(names)) <= 7


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("gemm,time_s,1e-5,10 us,x,,h100-sxm,1,1,1", "place is empty"),
        ("gemm,time_s,0,0 us,x,t,h100-sxm,1,1,1", "value=0.0 is not allowed"),
        ("gemm,speed,1,1,x,t,h100-sxm,1,1,1", "metric='speed' is not known"),
        ("gem,time_s,1,1,x,t,h100-sxm,1,1,1", "kind='gem' is not known"),
        ("gemm,time_s,1,1,x,t,h100-sxm,many,1,1", "row 1: invalid literal"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, line: str, message: str) -> None:
    """A row that cannot be read is a `ValueError` with the file, the row, the field and its value."""
    (tmp_path / "sources.toml").write_text('[one]\ntitle = "One"\n')
    (tmp_path / "one.csv").write_text(",".join((*COMMON, "gpu", "m", "n", "k")) + "\n" + line + "\n")
    with pytest.raises(ValueError, match=r"one\.csv, row 1") as caught:
        list(read(tmp_path / "one.csv"))
    assert message in str(caught.value)


def test_unknown_fields_are_refused() -> None:
    """A column that no command knows is an error, not silently nothing."""
    with pytest.raises(ValueError, match="colour is not a field"):
        asked("request", {"model": "llama-2-7b", "colour": "red"})


def test_units_are_si() -> None:
    """Metrics are in seconds, bytes or tokens per second."""
    assert {metric.unit for metric in METRICS.values()} == {"s", "B", "tokens/s"}


def test_a_chosen_figure_opens_its_scenario() -> None:
    """A row in the link shows its facts with the citation, and the scenario behind it can be opened."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.switch_page("pages/52_Validation.py")
    row = next(check.row for check in v.checks() if check.row.source.key == "gpt-fast")
    app.query_params["kind"], app.query_params["row"] = "requests", row.id
    app.run()
    assert not app.exception
    shown = " ".join(str(value) for table in app.table for value in table.value.to_numpy().ravel())
    assert "104" in shown
    assert "gpt-fast" in shown.replace("\\", "")
