"""The report, the tables and the JSON say what the pages say, ask nobody for anything and execute no text."""

import csv
import io
import json
import re
import zipfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from perfmodel import Scenario, estimate, from_query
from perfmodel.__main__ import main
from perfmodel.dossier import Subject, archive, html, machine_text, shown, tables
from perfmodel.figures.operators import cost_text, memory_text
from perfmodel.figures.script import plotly_js
from perfmodel.pins import Pin
from perfmodel.report import PLAIN_RESULTS, Note
from perfmodel.text import band_text, summary
from perfmodel.units import show

SCENARIOS = {
    "default": Scenario(),
    "experts": Scenario(model="mixtral-8x7b", gpu="h200-sxm", n=2, tp=2, batch=16, weights="fp8"),
    "misfit": Scenario(model="llama-3.1-405b"),
    "no price": Scenario(gpu="t4", weights="int4", batch=4, engine="eager"),
    "state": Scenario(model="jamba-1.5-large"),
}


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the texts of scripts apart."""

    def __init__(self, text: str) -> None:
        """Read the page."""
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the element."""
        self.found.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        (self.scripts if self.inside == "script" else self.texts).append(data)

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        """Leave a script."""
        self.inside = ""


@pytest.fixture(params=list(SCENARIOS))
def subject(request: pytest.FixtureRequest) -> Subject:
    """A scenario with an address and a day."""
    return Subject(SCENARIOS[request.param], "https://perf.example.org/Roofline", "2026-01-31")


def figures_of(page: str) -> dict[str, Any]:
    """The figures that a report draws."""
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.S)
    assert found
    return dict(json.loads(found.group(1)))


def test_figures_are_the_pages(subject: Subject) -> None:
    """Every figure in the report holds the data and the layout that the pages' functions return."""
    from plotly.utils import PlotlyJSONEncoder

    expected = {one.key: json.loads(json.dumps(one.figure, cls=PlotlyJSONEncoder)) for one in shown(subject)}
    assert figures_of(html(subject)) == expected
    assert {"time", "roofline", "flops", "memory", "batching", "cures"} <= set(expected)


def test_the_page_holds_the_numbers_and_the_day(subject: Subject) -> None:
    """Verdict, headline numbers, inputs in one line, the day and the link back stand in the report."""
    text = " ".join(Elements(html(subject)).texts)
    report = subject.report
    for expected in (
        summary(subject.scenario), "2026-01-31", show(report.ttft_s, "s"), show(report.tpot_s, "s"),
        memory_text(report), cost_text(report), band_text(report, "tpot_s"), *(note.text for note in report.notes),
    ):  # fmt: skip
        assert expected in text


def test_the_link_back_opens_the_same_scenario(subject: Subject) -> None:
    """The link of the report reads back as the scenario, without a notice."""
    from urllib.parse import parse_qsl, urlsplit

    links = [a["href"] for tag, a in Elements(html(subject)).found if tag == "a"]
    assert from_query(dict(parse_qsl(urlsplit(str(links[0])).query))) == (subject.scenario, ())


def test_nothing_is_asked_for(subject: Subject) -> None:
    """The page refers to no file, forbids every request, and holds plotly.js once."""
    page = html(subject)
    elements = Elements(page)
    assert not [a for tag, a in elements.found if tag in ("link", "iframe", "object", "embed", "base")]
    assert not [a for _, a in elements.found if a.get("src")]
    policy = next(a["content"] for tag, a in elements.found if a.get("http-equiv"))
    assert str(policy).startswith("default-src 'none'")
    assert "connect-src" not in str(policy)
    assert page.count(plotly_js()[:400]) == 1


def test_hostile_text_stays_text() -> None:
    """A note, a day and a pin that bring markup are shown, never run."""
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    subject = Subject(Scenario(), date=evil, pins={"a": Pin("<b>A</b>", Scenario(batch=2))})
    subject.__dict__["report"] = replace(subject.report, notes=(Note("warning", "x", evil),))
    page = html(subject)
    elements = Elements(page)
    assert len([tag for tag, _ in elements.found if tag == "script"]) == 3
    assert not [a for tag, a in elements.found if tag == "img" and a.get("onerror")]
    assert not [script for script in elements.scripts if "alert(1)" in script]
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") == 2
    assert evil in json.loads(machine_text(subject))["tables"]["notes"][0]["text"]


@pytest.mark.parametrize("address", ["javascript:alert(1)", "//host", "https://a b", 'https://a"onclick=', "ftp://x"])
def test_an_address_is_one(address: str) -> None:
    """What is no http address is refused with what is allowed: people click it."""
    with pytest.raises(ValueError, match="http:// or https://"):
        Subject(Scenario(), address)


def test_tables_equal_the_report(subject: Subject) -> None:
    """The tables hold the report's numbers with all digits, operators add up, and JSON and CSV say the same."""
    report, found = subject.report, tables(subject)
    numbers = {row["name"]: row["value"] for row in found["numbers"]}
    for name, value in numbers.items():
        assert value == getattr(report, name) or value != value
    assert set(numbers) == set(PLAIN_RESULTS)
    for row in found["numbers"]:
        if row["name"] in report.bands:
            assert (row["low"], row["high"]) == report.bands[row["name"]]
    for phase, step in (("prefill", report.prefill), ("decode", report.decode)):
        shares = [row["share"] for row in found["operators"] if row["phase"] == phase]
        assert len(shares) == len(step.ops)
    assert sum(row["bytes_per_device"] for row in found["memory"]) == pytest.approx(report.memory.total)
    machine = json.loads(machine_text(subject))
    assert machine["result"] == report.to_dict()
    with zipfile.ZipFile(io.BytesIO(archive(subject))) as file:
        for name, rows in found.items():
            if rows:
                read = list(csv.DictReader(io.StringIO(file.read(f"{name}.csv").decode())))
                assert len(read) == len(rows) == len(machine["tables"][name])
        read = list(csv.DictReader(io.StringIO(file.read("numbers.csv").decode())))
        for row in read:
            assert row["value"] == "" or float(row["value"]) == numbers[row["name"]]


def test_the_same_scenario_gives_the_same_files(subject: Subject) -> None:
    """A file depends on the scenario and the day alone, so it can be compared and cached."""
    assert html(subject) == html(Subject(subject.scenario, subject.address, subject.date))
    assert archive(subject) == archive(subject)


def test_pins_are_compared() -> None:
    """What is pinned stands beside the scenario, in the page, the tables and the link."""
    other = Scenario(batch=64, weights="fp8")
    subject = Subject(Scenario(), pins={"a": Pin("Later", other)})
    assert "A: Later" in html(subject)
    row = next(row for row in tables(subject)["pinned"] if row["number"] == "tpot_s")
    assert (row["this scenario"], row["A: Later"]) == (subject.report.tpot_s, estimate(other).tpot_s)
    assert "a=Later~v~1" in subject.link.replace("%7E", "~")


def test_command_line_writes_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`report` writes the page, the tables or JSON of a link or of fields; a bad place is said in one line."""
    link = "http://localhost:8501/Roofline?v=1&batch=8&a=Before~v~1~batch~4"
    assert main(["report", "--link", link, "-o", str(tmp_path / "r.html")]) == 0
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "A: Before" in page
    assert 'href="http://localhost:8501/Roofline?v=1' in page
    assert main(["report", "--batch", "8", "--json", "-o", str(tmp_path / "r.json")]) == 0
    read = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert read["result"] == estimate(Scenario(batch=8)).to_dict()
    assert main(["report", "--gpu", "h200-sxm", "--csv", "-o", str(tmp_path / "r.zip")]) == 0
    assert zipfile.is_zipfile(tmp_path / "r.zip")
    assert main(["report", "-o", str(tmp_path / "none" / "r.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err
