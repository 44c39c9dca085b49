"""How sure a prediction is: bands hold it, respect physics, and say when nothing like it was measured."""

import datetime
from itertools import product
from pathlib import Path

import pytest

from perfmodel import Scenario, estimate
from perfmodel.bands import QUANTITIES, band, band_file, floor_s
from perfmodel.engine import ENGINES
from perfmodel.generation import GENERATIONS
from perfmodel.hardware import ACCELERATORS
from perfmodel.kernels import kernel
from perfmodel.training import train

CALIBRATION = Path(__file__).resolve().parents[2] / "shared" / "calibration"
PREDICTING = [id for id in ENGINES if ENGINES[id].kind != "bound"]
CHIPS = ("h100-sxm", "a100-sxm-80gb", "b200-sxm", "l40s", "mi300x", "gaudi-2", "apple-m1-max", "t4", "xeon-spr-48c")


@pytest.mark.parametrize("engine", PREDICTING)
@pytest.mark.parametrize("gpu", CHIPS)
def test_a_band_holds_its_prediction(engine: str, gpu: str):
    """Low <= value <= high for every banded result of every engine, and the rate is banded as its time is."""
    report = estimate(Scenario(gpu=gpu, engine=engine, batch=4, input=500, output=50))
    result = report.to_dict()
    assert set(result["low"]) == set(result["high"]) == set(report.bands)
    for name, low in result["low"].items():
        assert 0 < low <= result[name] * (1 + 1e-9) <= result["high"][name] * (1 + 2e-9), (name, gpu, engine)
    assert result["low"]["tokens_per_s"] == pytest.approx(4 * 50 / result["high"]["e2e_s"])


@pytest.mark.parametrize(("engine", "gpu"), tuple(product(ENGINES, CHIPS)))
def test_nothing_beats_physics(engine: str, gpu: str):
    """No time, and no low end of a band, lies below the FLOPs at the dense peaks or the bytes at the datasheet."""
    for batch, tokens in ((1, 64), (16, 1024), (256, 4096)):
        report = estimate(Scenario(gpu=gpu, engine=engine, batch=batch, input=tokens, output=32))
        setup = report.setup
        for step, name in ((report.prefill, "prefill_s"), (report.decode, "tpot_s")):
            bound = floor_s(step, setup.chip, setup.rates)
            assert float(step.time_s) >= bound * (1 - 1e-9)
            assert report.bands.get(name, (bound, bound))[0] >= bound * (1 - 1e-3)


def test_the_ideal_engine_is_a_bound():
    """It predicts nothing: no band, and a note that says what it is."""
    report = estimate(Scenario(engine="ideal"))
    assert report.bands == {} == report.to_dict()["low"]
    assert any("a bound, not a prediction" in note.text for note in report.notes)


def test_far_from_data_says_so_and_is_wider():
    """A chip of which nothing was measured gets a note and a wider band than one that was."""
    near, far = (estimate(Scenario(gpu=gpu, engine="vllm")) for gpu in ("h100-sxm", "mi355x"))
    assert any("Far from any data" in note.text for note in far.notes)
    assert not any("Far from any data" in note.text for note in near.notes)
    spread = [high / low for low, high in (report.bands["decode_step_s"] for report in (near, far))]
    assert spread[1] > spread[0]


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_every_quantity_has_a_band(quantity: str):
    """Whatever the engine and the chip, the widest group answers."""
    for id, gpu in product(PREDICTING, CHIPS):
        found = band(quantity, ENGINES[id], ACCELERATORS[gpu])
        assert found is not None
        assert found.low <= 1 <= found.high
        assert str(found.rows) in found.basis
    with pytest.raises(ValueError, match="quantity"):
        band("luck", ENGINES["vllm"], ACCELERATORS["h100-sxm"])


def test_kernels_and_training_carry_bands():
    """The other two commands answer with low and high too."""
    one = kernel({"kernel": "gemm", "gpu": "h100-sxm", "m": 64, "n": 4096, "k": 4096})
    assert one["low"] <= one["time_s"] <= one["high"]
    run = train({"model": "llama-3-8b", "n_gpu": 8, "global_batch": 16, "sharding": "zero3"})
    for name, low in run["low"].items():
        assert low <= run[name] <= run["high"][name]


def test_fits_say_when_on_what_and_how_well():
    """Every file that a fit wrote names its date, its rows and its error."""
    found = band_file()
    datetime.date.fromisoformat(found.fitted)
    assert all(row.rows and row.median_error < 1 for row in found.band)
    fits = [engine.fit for engine in (ENGINES[id] for id in ENGINES) if engine.fit]
    assert len(fits) >= 8
    for fit in fits:
        datetime.date.fromisoformat(fit.date)
        assert min(fit.rows, len(fit.families), len(fit.constants)) > 0
        assert fit.median_error < 0.5
    for id in GENERATIONS:
        file = GENERATIONS[id].file
        datetime.date.fromisoformat(file.fitted)
        assert all(table.rows and table.median_error < 0.2 for table in file.matmul.values())


def test_fitted_constants_are_in_the_profile():
    """What a fit says it fitted is a constant of the profile with the fit as its source."""
    for engine in (ENGINES[id] for id in ENGINES):
        for name in engine.fit.constants if engine.fit else ():
            assert engine.constants[name].source == "published requests"


def test_bands_hold_what_they_say():
    """80 % bands held 70 to 90 % of the rows that neither their fit nor they had seen."""
    for quantity, share in band_file().coverage.items():
        if quantity != "training memory":
            assert 0.7 <= share <= 0.9, quantity


@pytest.mark.skipif(not CALIBRATION.is_dir(), reason="the measured tables are not part of the project")
def test_the_bench_meets_its_targets():
    """Grades A and B, mean over families of their medians: decode and requests within 15 %, prefill within 20 %."""
    from benchmarks.requests import KINDS, by_family, read
    from benchmarks.score_requests import GRADES
    from perfmodel.score import mean_of_medians

    rows = [row for row in read(CALIBRATION)[0] if row.grade in GRADES]
    groups = by_family(rows, (row.miss() for row in rows))
    for kind, limit in (("decode", 0.15), ("request", 0.15), ("prefill", 0.20)):
        assert kind in KINDS.values()
        assert mean_of_medians({key: miss for key, miss in groups.items() if key[0] == kind}) <= limit
