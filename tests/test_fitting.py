"""Constants of the user's machine: they travel in the link, change what they speak of, and a fit recovers them."""

from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from perfmodel import Scenario, estimate, from_query, from_row
from perfmodel.calibration import KNOBS, calibrated, constants_of, parse, text_of, words
from perfmodel.figures import validation as figures
from perfmodel.fitting import answer, aside_text, fit, fitted, predict, residual_rows, roofs
from perfmodel.kernels import kernel
from perfmodel.languages import said
from perfmodel.measurements import read_measurements

ROOT = Path(__file__).resolve().parents[1]
KERNELS = ["what,seconds,m,n,k,bytes,phase,batch,q_len,kv_len,heads,kv_heads,head_dim", "launch,1,,,,,,,,,,,"]
KERNELS += [f"copy,1,,,,{10**power},,,,,,," for power in (5, 7, 9)]
KERNELS += [f"gemm,1,{m},{n},4096,,,,,,,," for m in (1, 16, 256, 4096) for n in (1024, 8192)]
KERNELS += [f"attention,1,,,,,prefill,1,{q},{q},32,8,128" for q in (512, 4096)]
KERNELS += [f"attention,1,,,,,decode,{b},1,4096,32,8,128" for b in (1, 64)]
REQUESTS = ["what,seconds,batch,input_len,output_len"]
REQUESTS += [f"{what},1,{b},{i},128" for b in (1, 8, 64) for i in (128, 2048) for what in ("prefill", "tpot")]


def planted(lines: list[str], scenario: Scenario, cal: str) -> str:
    """The file that a machine with these constants would have given, by our own engine."""
    times = predict(read_measurements("\n".join(lines), scenario).rows, cal)
    rows = [
        ",".join([line.split(",")[0], repr(float(t)), *line.split(",")[2:]])
        for line, t in zip(lines[1:], times, strict=True)
    ]
    return "\n".join([lines[0], *rows])


@pytest.mark.parametrize(
    ("lines", "fields", "cal"),
    [
        (KERNELS, {"gpu": "h100-sxm"}, "mem:0.61,compute:0.52,attn:0.33,launch_us:7.5"),
        (KERNELS, {"gpu": "rtx-4090"}, "mem:0.95,compute:0.9,attn:0.6,launch_us:1.2"),
        (REQUESTS, {"engine": "vllm"}, "mem:0.7,compute:0.5,attn:0.4,step_us:2500"),
        (REQUESTS, {"engine": "eager"}, "mem:0.7,compute:0.5,host_us:12"),
    ],
)
def test_fit_recovers_planted_constants(lines: list[str], fields: dict[str, str], cal: str) -> None:
    """Round trip: measurements generated with known constants give these constants back within 1 %."""
    scenario = Scenario().change(**fields)
    found = fit(read_measurements(planted(lines, scenario, cal), scenario))
    ours = dict(parse(found.cal))
    for name, value in parse(cal):
        np.testing.assert_allclose(ours[name], value, rtol=0.01, err_msg=name)
    assert found.scores[1].median < 0.001


def test_fit_forgives_an_outlier() -> None:
    """One row that is ten times off moves no constant by more than 5 %."""
    scenario, cal = Scenario(), "mem:0.61,compute:0.52,attn:0.33,launch_us:7.5"
    lines = planted(KERNELS, scenario, cal).splitlines()
    cells = lines[5].split(",")
    lines[5] = ",".join([cells[0], str(10 * float(cells[1])), *cells[2:]])
    ours = dict(parse(fit(read_measurements("\n".join(lines), scenario)).cal))
    for name, value in parse(cal):
        np.testing.assert_allclose(ours[name], value, rtol=0.05, err_msg=name)


def test_what_the_rows_do_not_tell_stays() -> None:
    """Copies alone tell the bandwidth and the launch; the others stay the profile's and out of the link."""
    scenario = Scenario()
    text = planted([KERNELS[0], *KERNELS[1:5]], scenario, "mem:0.5,launch_us:9")
    found = fit(read_measurements(text, scenario))
    assert {name for name, _ in parse(found.cal)} == {"mem", "launch_us"}
    assert "matrix peak reached" in answer(found)
    profile = constants_of(estimate(Scenario(engine="fused")).setup.engine)
    assert next(c for c in found.constants if c.name == "compute").after == profile["compute"]


def test_too_few_rows_are_refused() -> None:
    """One row fits nothing."""
    with pytest.raises(ValueError, match="at least 2"):
        fitted("what,seconds\nlaunch,1e-6\n", Scenario())


def test_link_round_trip() -> None:
    """The constants travel in link and row; a link without them is what it was before there were any."""
    own = Scenario(cal="compute:0.71,mem:0.83,launch_us:4.2")
    assert own.to_query()["cal"] == "mem:0.83,compute:0.71,launch_us:4.2"
    assert from_query(own.to_query()) == (own, ())
    assert from_row({"cal": "mem:0.83"}).cal == "mem:0.83"
    assert "cal" not in Scenario().to_query()
    assert text_of(dict(parse(own.cal))) == own.cal


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mem:1.2", "mem:1.2 is not allowed: a number from 0.001 to 1"),
        ("mem:nan", "mem:nan is not allowed"),
        ("mem", "mem: is not allowed"),
        ("men:0.5", "'men' is no constant; allowed are mem, compute"),
        ("mem:0.5,mem:0.6", "mem is given twice"),
        ("step_us:-1", "step_us:-1 is not allowed"),
        ("x" * 300, "300 characters are too many"),
    ],
)
def test_wrong_constants_are_named(text: str, message: str) -> None:
    """What is wrong is named with its value and what is allowed; a link then goes on without."""
    with pytest.raises(ValueError, match="cal") as caught:
        Scenario(cal=text)
    assert message in str(caught.value)
    scenario, notices = from_query({"cal": text})
    assert scenario.cal == ""
    assert message in notices[0]


def test_constants_change_what_they_speak_of() -> None:
    """Half the bandwidth doubles a memory-bound kernel's streaming, and no constant beats the data sheet."""
    row = {"kernel": "copy", "gpu": "h100-sxm", "bytes": 10**10}
    full, half = (kernel(row | {"cal": f"mem:{share},launch_us:0.001"})["time_s"] for share in (1, 0.5))
    np.testing.assert_allclose(half / full, 2.0, rtol=1e-5)
    np.testing.assert_allclose(full, 1e10 / 3.35e12, rtol=1e-4)
    slow, fast = estimate(Scenario(cal="compute:0.2")), estimate(Scenario(cal="compute:0.8"))
    assert slow.prefill_s > fast.prefill_s
    assert slow.setup.engine.name.endswith("calibrated to your machine")
    assert any("Calibrated to your machine" in note.text for note in slow.notes)


def test_no_constants_change_nothing() -> None:
    """The empty text is the engine itself, and the profile's own constants give the profile's own times."""
    engine = estimate(Scenario(engine="ideal")).setup.engine
    assert calibrated(engine, "") is engine
    own = text_of({name: value for name, value in constants_of(engine).items() if value >= KNOBS[name].low})
    base, same = estimate(Scenario(engine="ideal")), estimate(Scenario(engine="ideal", cal=own))
    np.testing.assert_allclose(same.e2e_s, base.e2e_s, rtol=1e-12)


def test_the_sources_name_the_measurements() -> None:
    """A calibrated constant is traced to the user's measurements, not to the profile's source."""
    rows = estimate(Scenario(cal="mem:0.5")).used
    assert any(row.source.title == "your measurements" for row in rows)


def test_figures_of_a_fit() -> None:
    """Parity before and after, and the reached roofline below the data sheet, are valid figures."""
    import plotly.graph_objects as go

    scenario = Scenario()
    found = fitted(planted(KERNELS, scenario, "mem:0.61,compute:0.52,launch_us:7.5"), scenario)
    seconds = [row.seconds for row in found.measured.rows]
    labels = [row.label for row in found.measured.rows]
    assert len(go.Figure(figures.fitted(seconds, found.before_s, found.after_s, labels)).data) == 5
    roof = roofs(found)
    np.testing.assert_allclose(roof.reached_bandwidth / roof.bandwidth, 0.61, rtol=0.01)
    sheet, own = go.Figure(figures.roofline(roof)).data
    assert all(mine <= theirs for mine, theirs in zip(own.y, sheet.y, strict=True))
    assert "61 %" in figures.describe_roofline(roof)
    assert len(residual_rows(found)) == len(seconds)


def test_page_fits_and_carries_the_constants() -> None:
    """Pasted measurements are fitted; the button puts the constants into the link, one click takes them out."""
    scenario = Scenario()
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    app.switch_page("pages/53_Your_machine.py").run()
    app.text_area(key="measured.text").set_value(
        planted(KERNELS, scenario, "mem:0.61,compute:0.52,launch_us:7.5")
    ).run()
    app.button(key="adopt").click().run()
    assert not app.exception
    cal = app.query_params["cal"]
    assert (cal[0] if isinstance(cal, list) else cal).startswith("mem:0.61,compute:0.52")
    app.button(key="back.cal").click().run()
    assert "cal" not in app.query_params


def test_page_names_what_is_wrong() -> None:
    """A file of nothing known is a message on the page, never an error."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.switch_page("pages/53_Your_machine.py").run()
    app.text_area(key="measured.text").set_value("<b>hello</b>, world").run()
    assert not app.exception
    assert any("no known format" in error.value.replace("\\", "") for error in app.error)


def test_the_answer_says_how_far_off_and_what_is_open() -> None:
    """A small error is in percent, a large one a factor; as many constants as rows leave none to check them."""
    text = "what,seconds,bytes\ncopy,0.01,2000000000\ncopy,0.02,4000000000\ncached_copy,1e-5,2097152\n"
    found = fit(read_measurements(text, Scenario(gpu="h100-sxm")))
    assert "misses them by a factor of 13." in answer(found)
    assert "What these rows do not tell" in answer(found)
    assert aside_text(found) == "Copies within the cache, not fitted: 2.1 MB at 210 GB/s"
    exact = fit(read_measurements("what,seconds,bytes\ncopy,0.001,2000000000\nlaunch,9e-6,\n", Scenario()))
    assert "There are as many constants as measurements" in answer(exact)


def test_too_few_measurements_are_counted() -> None:
    """One row cannot be fitted: the sentence says how many are needed."""
    with pytest.raises(ValueError, match="only 1 measurement: at least 2 are needed to fit"):
        fit(read_measurements("what,seconds,bytes\ncopy,0.001,2000000000\n", Scenario()))


def test_what_the_page_says_of_a_fit_is_in_chinese_too() -> None:
    """Sentences and headings of a fit are in the catalogue; names of kernels and constants stay."""
    text = "what,seconds,bytes\ncopy,0.001,2000000000\nlaunch,9e-6,\ncached_copy,1e-5,2097152\n"
    found = fit(read_measurements(text, Scenario()))
    said_texts = [answer(found), f"{aside_text(found)}.", figures.describe_fitted(found), *residual_rows(found)[0]]
    said_texts += [figures.describe_roofline(roofs(found)), *found.rows()[0], words("mem:0.3,step_us:1500")]
    assert [text for text in said_texts if said(text, "zh").missing] == []
