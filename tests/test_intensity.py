"""Raising intensity on a scenario: the three cases, the two ways up, latency against throughput, fewer bytes."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose as close
from test_pages import check, link, run

from perfmodel import Scenario, estimate
from perfmodel.diagnosis import intensity
from perfmodel.figures import intensity as figures

#: The articles' chip, with Llama 2 7B in decode.
A10 = estimate(Scenario(model="llama-2-7b", gpu="a10", engine="ideal"))


@pytest.mark.parametrize(
    ("before", "after", "case", "gain"), [(50, 100, 1, 2.0), (100, 300, 2, 2.083), (300, 600, 3, 1)]
)
def test_three_cases(before: float, after: float, case: int, gain: float) -> None:
    """S30: on an A10 raising 50 to 100, 100 to 300 and 300 to 600 FLOP/B gains 2, 2.083 and 1 times the rate."""
    timed = intensity.operators(A10, "decode")[0]
    op = timed.op._replace(weight_bytes=timed.op.flops / before, activation_bytes=0.0, kv_bytes=0.0)
    found = intensity.raised(A10, "decode", replace(timed, op=op), after / before)
    close((found.before, found.after, found.ridge), (before, after, 208.33), rtol=1e-4)
    assert found.case == case
    close(found.gain, gain, rtol=5e-4)


@pytest.mark.parametrize("phase", ["decode", "prefill"])
@pytest.mark.parametrize("engine", ["ideal", "fused", "eager"])
def test_two_ways_up(phase: str, engine: str) -> None:
    """S34: the rate lies below the reached roof and that below the datasheet's; both ways up gain at least nothing."""
    report = estimate(Scenario(model="llama-2-7b", gpu="a10", engine=engine))
    for timed in intensity.operators(report, phase):
        found = intensity.raised(report, phase, timed, 4)
        assert found.roof(found.before, reached=True) <= found.roof(found.before) * (1 + 1e-12)
        assert found.up >= 1.0 - 1e-9
        assert found.right >= 1.0 - 1e-12
        if engine == "ideal" and timed.op.kind == "matmul":
            close(found.up, 1.0, rtol=1e-9)


def test_latency_against_throughput() -> None:
    """S31, S33: latency never falls with the batch; with hardly any cache it is flat, then the chip time is."""
    for scenario in (Scenario(), Scenario(model="llama-2-7b", gpu="a10", engine="ideal", input=1, output=2)):
        found = intensity.trade(scenario)
        assert (np.diff(found.step_s) >= -1e-12).all()
        close(found.chip_s * found.batch, scenario.output * found.step_s)
        assert set(intensity.MARKS[:5]) <= set(found.batch)
    early, late = found.batch <= 50, found.batch >= 400
    close(found.step_s[early], found.step_s[0], rtol=0.05)
    close(found.chip_s[late], found.chip_s[-1], rtol=0.05)


def test_ways_raise_intensity() -> None:
    """S16, S17, S32, S35: fewer bytes lower the latency, a batch serves more, computing twice raises FLOP/s alone."""
    rows = {row["Way"]: row for row in intensity.way_rows(Scenario(batch=8, input=4096), "decode")}
    times = {name: float(row["Requests/s"].rstrip("×")) for name, row in rows.items()}
    rates = {name: float(row["FLOP/s"].rstrip("×")) for name, row in rows.items()}
    fewer = [name for name, row in rows.items() if row["By"] in ("fewer bytes", "fuller device")]
    assert len(fewer) == 6
    assert all(times[name] > 1.0 for name in fewer)
    assert times["Twice the batch"] > 1.5
    assert times["Everything computed twice"] <= 1.0 < rates["Everything computed twice"]
    # One long sequence leaves FlashAttention most multiprocessors idle: worse than unfused, until the work is split.
    alone = {row["Way"]: row for row in intensity.way_rows(Scenario(input=16_000), "decode")}
    assert float(alone["FlashAttention"]["Requests/s"].rstrip("×")) < 1.0
    assert float(alone["FlashDecoding (split along the context)"]["Requests/s"].rstrip("×")) > 2.0
    prefill = {row["Way"]: row for row in intensity.way_rows(Scenario(), "prefill")}
    assert float(prefill["FlashAttention"]["Requests/s"].rstrip("×")) > 1.0


def test_operator_and_factor_travel_in_the_link() -> None:
    """The page opens from its link with the operator, the phase and the factor; an unknown one gives a notice."""
    app = run("pages/12_Raising_intensity.py", {"op": "attention", "factor": "64", "phase": "prefill"})
    check(app)
    assert (link(app)["op"], link(app)["factor"]) == ("attention", "64")
    assert any("attention does" in element.value for element in app.markdown)


def test_words_name_the_numbers() -> None:
    """The sentences below the figures carry the case, the ridge and the end of memory."""
    found = intensity.raised(A10, "decode", intensity.operators(A10, "decode")[0], 4)
    assert "Case 1" in intensity.said(found)
    assert "208" in intensity.said(found)
    curve = intensity.trade(Scenario())
    assert f"memory ends at {curve.largest:,}" in intensity.trade_said(curve, Scenario())
    assert figures.describe_trade(curve).startswith(f"From batch 1 to the {curve.largest:,} that fit")
