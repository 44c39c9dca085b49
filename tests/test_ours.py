"""Our own measurements: what the calibrator wrote is data with its provenance, and the model is held against it."""

import numpy as np
import pytest

from perfmodel import ACCELERATORS, Scenario
from perfmodel.calibration import parse
from perfmodel.figures import ours as figures
from perfmodel.ours import AXES, Machine, error_rows, machines, places, scores, sentence

MACHINES = list(machines().values())


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.id)
def test_a_file_says_how_it_was_measured_and_is_read_whole(machine: Machine) -> None:
    """Date, processor, cores, versions and method stand in it; every row is read; the catalogue has its chip."""
    assert {"date", "device", "cores", "library", "versions", "method"} <= set(machine.about)
    assert machine.measured.problems == ()
    assert machine.gpu in ACCELERATORS
    assert {point.axis for point in machine.points} == set(AXES)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.id)
def test_the_constants_are_what_the_fit_finds_on_the_kernels(machine: Machine) -> None:
    """Fitted again, without a time of the decoder, they come out as they are kept."""
    found, kept = dict(parse(machine.refit().cal)), dict(parse(machine.cal))
    assert found.keys() == kept.keys()
    for name, value in kept.items():
        assert found[name] == pytest.approx(value, rel=0.01), name


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.id)
def test_nothing_beats_the_data_sheet(machine: Machine) -> None:
    """No product is faster than the peak of the accelerator, no copy than its bandwidth."""
    chip = ACCELERATORS[machine.gpu]
    for row in machine.kernels:
        asked = row.asked
        assert not isinstance(asked, Scenario)
        if row.what == "gemm":
            assert 2.0 * asked["m"] * asked["n"] * asked["k"] / row.seconds < chip.peak_flops[asked["math_dtype"]]
        if row.what == "copy":
            assert asked["bytes"] / row.seconds < chip.memory_bytes_per_s


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.id)
def test_the_decoder_behaves_as_the_articles_say(machine: Machine) -> None:
    """Linear in depth and in generated tokens; flat, then linear in the batch; more than the width, less than d^2."""

    def exponents(axis: str, *, last: int) -> float:
        points = machine.along(axis)[-last:]
        slope, _ = np.polyfit(np.log([p.value for p in points]), np.log([p.measured_s for p in points]), 1)
        return float(slope)

    per_layer = np.diff([p.measured_s for p in machine.along("depth")]) / np.diff(
        [p.value for p in machine.along("depth")]
    )
    assert np.ptp(per_layer) / np.mean(per_layer) < 0.4
    assert 0.9 < exponents("tokens", last=4) < 1.1
    batch = machine.along("batch")
    flat = next(p.measured_s for p in batch if p.value == 8) / next(p.measured_s for p in batch if p.value == 2)
    assert flat < 1.3
    assert batch[-1].measured_s / batch[-2].measured_s > 1.5
    assert 1.0 < exponents("width", last=3) < 2.0


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.id)
def test_constants_of_the_kernels_predict_the_decoder(machine: Machine) -> None:
    """Fitted on kernels alone, the median error of the decoder is below 30 %, and far below that of the data sheet."""
    before, after = scores(machine.points)
    assert after.median < 0.3
    assert after.median < before.median / 3.0
    assert f"{np.exp(after.median):.2f} in the median" in sentence(machine)
    assert [row["Over"] for row in error_rows(machine)] == [*AXES.values(), "all"]


@pytest.mark.parametrize("axis", AXES)
def test_a_figure_shows_every_point_of_its_axis(axis: str) -> None:
    """Measured, fitted and as it is stand over the same values, and the sentence says the ends."""
    machine = MACHINES[0]
    lines, points = figures.figure(machine, axis)["data"], machine.along(axis)
    assert all(line["x"] == [p.value for p in points] for line in lines)
    assert lines[-1]["y"] == [p.measured_s for p in points]
    assert f"from {points[0].value:,} to {points[-1].value:,}" in figures.describe(machine, axis)


def test_what_was_not_measured_is_named() -> None:
    """A lesson that asks for a point that is none gets one sentence with those there are; a kernel is no point."""
    machine = MACHINES[0]
    with pytest.raises(ValueError, match="width=7 was not measured; measured are 128, 256"):
        machine.measured_s("width", 7)
    with pytest.raises(ValueError, match="no weather; there are width, depth"):
        machine.measured_s("weather", 7)
    with pytest.raises(ValueError, match="is a single kernel"):
        places(machine.kernels[0], 64)
