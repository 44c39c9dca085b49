"""The catalogue of chips: ridges that must come out, estimates that must show, a source for every number."""

import csv
import io
import json
import math

import numpy as np
import pytest

from perfmodel import ACCELERATORS, LINKS, MODELS, Scenario, estimate
from perfmodel.catalog import ESTIMATE
from perfmodel.catalogue_tables import MARK, MOST_COMPARED, chosen, compared, found, rounded, to_csv
from perfmodel.chip_compare import comparison as compare_chips
from perfmodel.chip_compare import comparison_notes, times_on, winner_sentence
from perfmodel.chip_tables import (
    COLUMNS,
    WIDTHS,
    chip_panel,
    chip_remarks,
    chip_sources,
    chips_of,
    choices,
    describe_path,
    estimated,
    filter_chips,
    headline,
    link_panel,
    link_sources,
    link_table,
    number_at,
    ridge_table,
    wide_type,
)
from perfmodel.figures import catalogue
from perfmodel.hardware import Chip
from perfmodel.model_tables import model_panel

ROWS = {row["id"]: row for row in ridge_table()}
SIX = ("h100-sxm", "apple-m1", "cerebras-wse-3", "colab-cpu", "groq-lpu-v1", "mi455x")


def valid(figure):
    """Let Plotly check a figure, and JSON too: nothing but numbers and texts in it."""
    go = pytest.importorskip("plotly.graph_objects")
    json.dumps(figure, allow_nan=False)
    return go.Figure(figure)


# Accelerators


@pytest.mark.parametrize(
    ("id", "expected"),
    [
        ("a10", 208.3),
        ("h100-sxm", 295.3),
        ("h200-sxm", 206.1),
        ("v100-sxm-16gb", 138.9),
        ("v100-sxm-32gb", 138.9),
        ("h100-pcie", 378.0),
        ("a100-sxm-80gb", 153.0),
        ("t4", 216.7),
    ],
)
def test_ridges_of_sixteen_bits(id, expected):
    """Peak over bandwidth in 16 bit is the published ridge (traps.md 6; T4: article_cases S62)."""
    np.testing.assert_allclose(ROWS[id]["Ridge 16 bit, FLOP/B"], expected, atol=0.05)


def test_ridge_of_eight_bits():
    """H100 SXM in FP8: 1979e12 / 3.35e12 = 591 (traps.md 6); a chip without FP8 is shown with its INT8."""
    np.testing.assert_allclose(ROWS["h100-sxm"]["Ridge 8 bit, FLOP/B"], 591, atol=0.5)
    assert wide_type(ACCELERATORS["a10"], "8 bit") == "int8"
    np.testing.assert_allclose(ROWS["a10"]["Ridge 8 bit, FLOP/B"], 250e12 / 600e9, rtol=1e-12)


def test_a_row_for_every_chip():
    """The ridge table leaves no accelerator out and names each once."""
    assert set(ROWS) == set(ACCELERATORS)
    assert len(ridge_table()) == len(ACCELERATORS)
    assert len({row["Chip"] for row in ridge_table()}) == len(ACCELERATORS)


def test_rows_are_in_the_units_of_their_headings():
    """H100 SXM: 80 GB, 3350 GB/s, 989.4 TFLOP/s, 450 GB/s in one direction, 700 W, 6.88 USD/h."""
    row = ROWS["h100-sxm"]
    numbers = {
        "Memory, GB": 80,
        "Bandwidth, GB/s": 3350,
        "BF16, TFLOP/s": 989.4,
        "INT8, TOP/s": 1979,
        "Link, GB/s": 450,
        "TDP, W": 700,
        "Price, USD/h": 6.88,
    }
    for heading, value in numbers.items():
        np.testing.assert_allclose(row[heading], value, rtol=1e-12)
    # An hour of 6.88 dollars holds 3600 s of 989.4 TFLOP.
    np.testing.assert_allclose(row["PFLOP per USD"], 989.4e12 * 3600 / 6.88 / 1e15, rtol=1e-12)
    np.testing.assert_allclose(row["GB/s per USD/h"], 3350 / 6.88, rtol=1e-12)


@pytest.mark.parametrize("id", list(ACCELERATORS))
def test_estimates_are_flagged_in_the_ridge_table(id):
    """The table flags exactly the shown numbers that rest on a number whose spec says estimate."""
    chip = ACCELERATORS[id]
    guessed = {path for path, source in chip.sources.items() if source.key == ESTIMATE.key}
    flagged = {column.name for column in COLUMNS if set(column.paths(chip)) & guessed}
    shown = ROWS[id]["≈ Estimates"]
    assert {column.name for column in COLUMNS if estimated(chip, column)} == flagged
    assert set(filter(None, shown.removeprefix(MARK).split(", "))) == flagged
    assert shown.startswith(MARK) == bool(flagged)


@pytest.mark.parametrize("id", list(ACCELERATORS))
def test_every_number_of_a_chip_opens_its_source(id):
    """The details list every number of the file with a source; an estimate says so and carries the mark."""
    chip = ACCELERATORS[id]
    rows = {row["Number"]: row for row in chip_sources(chip)}
    for path, source in chip.sources.items():
        row = rows[describe_path(path)[0]]
        assert row["Source"]
        assert (row["Source"] == "estimate") == row["Value"].startswith(MARK) == (source.key == ESTIMATE.key)
        assert f"{number_at(chip, path).value:,.6g}" in row["Value"]
        assert row["Note"] == number_at(chip, path).note
    assert ROWS[id]["Sources"]


def test_derived_ridge_shows_its_arithmetic():
    """The ridge among the details names the peak and the bandwidth that it was made of, and keeps their mark."""
    row = next(row for row in chip_sources(ACCELERATORS["h100-sxm-96gb"]) if row["Number"] == "Ridge 16 bit")
    assert row["Value"] == "≈ 412.2 FLOP/B"
    assert row["Note"] == "BF16 989.4 TFLOP/s / 2.4 TB/s"


@pytest.mark.parametrize(
    "panel", [chip_panel(ACCELERATORS["h100-sxm"]), model_panel(MODELS["gpt-neox-20b"]), link_panel()]
)
def test_footnotes_lead_to_the_source(panel):
    """Each number of a panel bears the number of a source in the list below, or says estimate or derived here."""
    rows, sources = panel
    used = [row["Source"] for row in rows if row["Source"] not in ("estimate", "derived here")]
    assert set(used) == {f"[{index}]" for index in range(1, len(sources) + 1)}
    assert len(set(sources)) == len(sources)


def test_disagreements_are_shown():
    """Where sources disagree, the details say what the others print."""
    assert any("Sources disagree" in text for text in chip_remarks(ACCELERATORS["h100-sxm"]))


def test_number_at_refuses_what_is_no_number():
    """A path that holds no number is a `ValueError` that lists those that do."""
    with pytest.raises(ValueError, match=r"link\.id of h100-sxm is no number; there are .*peak\.bf16"):
        number_at(ACCELERATORS["h100-sxm"], "link.id")


def test_filters_only_take_away():
    """Each filter keeps the rows that satisfy it and drops all others; together they intersect."""
    rows = ridge_table()
    assert filter_chips(rows) == list(rows)
    amd = filter_chips(rows, vendor="AMD")
    assert {row["Vendor"] for row in amd} == {"AMD"}
    assert len(amd) == sum(ACCELERATORS[id].vendor == "AMD" for id in ACCELERATORS)
    large = filter_chips(rows, least_memory_gb=141)
    assert [row["id"] for row in large] == [row["id"] for row in rows if row["Memory, GB"] >= 141]
    both = filter_chips(rows, vendor="AMD", least_memory_gb=141)
    assert {row["id"] for row in both} == {row["id"] for row in amd} & {row["id"] for row in large}
    assert {row["Kind"] for row in filter_chips(rows, kind="tpu")} == {"tpu"}
    assert filter_chips(rows, "no such chip") == []


def test_search_finds_aliases():
    """A chip is found under every name that the catalogue knows, in any case and word order."""
    for id in ACCELERATORS:
        for alias in (id, ACCELERATORS[id].name, *ACCELERATORS[id].aliases):
            assert id in {row["id"] for row in filter_chips(ridge_table(), alias.upper())}
    assert [row["id"] for row in filter_chips(ridge_table(), "hbm2e h100")] == ["h100-sxm-96gb"]


def test_choices_cover_the_table():
    """The offered vendors and kinds are those of the table, the most frequent first."""
    assert set(choices("Vendor")) == {ACCELERATORS[id].vendor for id in ACCELERATORS}
    assert choices("Vendor")[0] == "NVIDIA"
    assert set(choices("Kind")) == {ACCELERATORS[id].kind for id in ACCELERATORS}


def test_headline_marks_estimates():
    """The large numbers of a chip carry the mark of an estimate too."""
    texts = {label: text for label, text, _ in headline(ACCELERATORS["h100-sxm-96gb"])}
    assert texts["BF16 peak"] == "≈ 989.4 TFLOP/s"
    assert texts["Ridge"] == "≈ 412.2 FLOP/B"
    assert texts["Bandwidth"] == "2.4 TB/s"
    assert texts["Price"] == "–"


def test_links_have_two_sources_each():
    """Every link shows one direction and a start-up, each with a source, guesses marked."""
    sources = {row["Number"]: row for row in link_sources()}
    assert len(link_table()) == len(LINKS)
    for id in LINKS:
        for name in ("bandwidth", "latency"):
            row = sources[f"{LINKS[id].name}: {name}"]
            guessed = LINKS[id].sources[name].key == ESTIMATE.key
            assert row["Source"]
            assert row["Value"].startswith(MARK) == guessed
    nvlink = next(row for row in link_table() if row["Link"] == LINKS["nvlink4"].name)
    assert nvlink["Bandwidth, GB/s"] == "450"


# Several accelerators


def test_comparison_asks_the_same_question_everywhere():
    """The times of a comparison are those of the estimate with only the chip changed."""
    scenario = Scenario(batch=8)
    for times in times_on(scenario, ("h100-sxm", "h200-sxm", "mi300x")):
        report = estimate(scenario.change(gpu=times.chip.id))
        assert times.prefill_s == report.ttft_s
        assert times.decode_s == report.decode_step_s
        assert times.fits == report.memory.fits


def test_ratios_are_to_the_first_chip():
    """H200 has 4800 / 3350 = 1.43 times the bandwidth of H100; the first column bears no ratio."""
    rows = {row["Quantity"]: row for row in compare_chips(times_on(Scenario(), ("h100-sxm", "h200-sxm")))}
    row = rows["Bandwidth, GB/s"]
    assert row["H100 SXM5 80GB"] == "3,350"
    assert row["H200 SXM 141GB"] == "4,800 (1.43×)"


def test_comparison_survives_what_is_not_published():
    """No peak or no bandwidth: a dash and a sentence, never an exception or a number."""
    times = times_on(Scenario(), SIX)
    unknown = [t for t in times if t.chip.id in ("cerebras-wse-3", "colab-cpu")]
    assert all(math.isnan(t.decode_s) for t in unknown)
    assert all(any(t.chip.name in note or t.chip.id in note for note in comparison_notes(times)) for t in unknown)
    rows = {row["Quantity"]: row for row in compare_chips(times)}
    assert rows["Decode step"]["Cerebras WSE-3 (CS-3)"] == "–"
    assert rows["Decode step"]["Apple M1"].startswith(MARK)
    assert rows["Memory needed"]["Apple M1"].startswith("does not fit")
    assert "Cerebras WSE-3" in winner_sentence(times).partition("has no times on")[2]


def test_own_chip_can_be_compared():
    """A chip that travels in the link leads the list and is compared like any other."""
    scenario = Scenario(gpu="custom", chip=Chip(bandwidth=1000, memory=64, bf16=200))
    assert next(iter(chips_of(scenario))) == "custom"
    times = times_on(scenario, ("custom", "a10"))
    assert [t.chip.id for t in times] == ["custom", "a10"]
    np.testing.assert_allclose(times[0].ridge, 200.0, rtol=1e-12)


def test_at_most_six_each_once():
    """A comparison takes each known id once and six at most; nothing known leaves the default."""
    assert chosen(["a10", "a10", "nope"], ACCELERATORS, ["t4"]) == ("a10",)
    assert len(chosen(list(ACCELERATORS), ACCELERATORS, [])) == MOST_COMPARED
    assert chosen(["nope"], ACCELERATORS, ["t4"]) == ("t4",)


# Texts, files, figures


def test_csv_keeps_every_digit():
    """What is downloaded can be read back: same rows, same numbers, unknown ones empty."""
    back = list(csv.DictReader(io.StringIO(to_csv(ridge_table()))))
    assert [row["id"] for row in back] == [row["id"] for row in ridge_table()]
    for text, row in zip(back, ridge_table(), strict=True):
        for column in COLUMNS:
            value = row[column.heading]
            assert (
                text[column.heading] == "" if math.isnan(value) else float(text[column.heading]) == pytest.approx(value)
            )


def test_rounding_is_only_for_the_eye():
    """Four digits in the table; whole numbers and texts stay as they are, and the rows themselves too."""
    row = ROWS["h100-sxm"]
    assert rounded([row])[0]["Ridge 16 bit, FLOP/B"] == 295.3
    assert rounded([row])[0]["Bandwidth, GB/s"] == 3350
    assert row["Ridge 16 bit, FLOP/B"] != 295.3


def test_ratio_needs_both_numbers():
    """An unknown first value gives no ratio, an unknown other one a dash; search words must all occur."""
    assert compared(["–", "5"], [math.nan, 5.0]) == ["–", "5"]
    assert compared(["5", "?"], [5.0, math.nan]) == ["5", "–"]
    assert found("", "anything")


@pytest.mark.parametrize("width", list(WIDTHS))
def test_chip_map_shows_what_has_both_numbers(width):
    """Each chip with a bandwidth and a peak is one point at these values, and a hollow one if either is a guess."""
    chips = [ACCELERATORS[id] for id in ACCELERATORS]
    own = ACCELERATORS["h100-sxm"]
    figure = valid(catalogue.chip_map(chips, width, own))
    points = {
        data[0]: (x, y, symbol)
        for trace in figure.data
        if trace.customdata is not None
        for data, x, y, symbol in zip(trace.customdata, trace.x, trace.y, trace.marker.symbol, strict=True)
    }
    drawn = catalogue.drawable(chips, width)
    assert set(points) == {chip.id for chip in drawn}
    for chip in drawn:
        x, y, symbol = points[chip.id]
        assert (x, y) == (chip.memory_bytes_per_s, chip.peak_flops[wide_type(chip, width)])
        guessed = ESTIMATE in (chip.sources["memory.bandwidth"], chip.sources[f"peak.{wide_type(chip, width)}"])
        assert symbol.endswith("-open") == guessed
    assert own.name in catalogue.describe_chip_map(chips, width, own)


def test_figures_of_chips_are_valid():
    """Every figure passes Plotly's validation and is plain JSON, whatever is unknown; each has its sentence."""
    none, own = [ACCELERATORS["cerebras-wse-3"]], ACCELERATORS["colab-cpu"]
    for chips in (none, [], [ACCELERATORS["a10"], ACCELERATORS["t4"]]):
        valid(catalogue.chip_map(chips, "16 bit", own))
        assert catalogue.describe_chip_map(chips, "16 bit", own)
    for ids in (SIX, ("cerebras-wse-3",), ("colab-cpu",), ("h100-sxm", "h100-sxm")):
        times = times_on(Scenario(gpu=ids[0]) if ids[0] == "h100-sxm" else Scenario(), ids)
        valid(catalogue.rooflines(times))
        valid(catalogue.time_bars(times))
        assert catalogue.describe_rooflines(times)
        assert winner_sentence(times)
