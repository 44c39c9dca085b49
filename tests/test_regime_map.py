"""The regime map: every point of it is what a scenario there would be."""

import base64
import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose as close
from test_pages import check, link, run

from perfmodel import Scenario, estimate
from perfmodel.diagnosis import case_of
from perfmodel.diagnosis.plane import NAMED, WORK, choices, fields, plane, present
from perfmodel.figures import regime_map
from perfmodel.step import REGIMES

PLANES = (
    (Scenario(), "decode", "batch", "input"),
    (Scenario(batch=7, prefix=100), "request", "input", "batch"),
    (Scenario(output=8), "prefill", "output", "layers"),
    (Scenario(model="llama-3.1-70b", n=8, tp=8, batch=4), "decode", "tp", "batch"),
    (Scenario(model="llama-3.1-70b", n=8, tp=8, batch=4), "prefill", "network", "input"),
    (Scenario(batch=32), "decode", "memory", "compute"),
    (Scenario(model="llama-3.2-1b", engine="eager"), "decode", "overhead", "batch"),
    (Scenario(), "decode", "hidden", "layers"),
    (Scenario(model="mixtral-8x7b", gpu="h200-sxm"), "decode", "batch", "hidden"),
)


@pytest.mark.parametrize(("scenario", "phase", "x", "y"), PLANES)
def test_points_are_scenarios(scenario: Scenario, phase: str, x: str, y: str) -> None:
    """Time, regime and memory of a point are those of the scenario that a click on it sets."""
    found = plane(scenario, phase, x, y)
    grid = found.stops
    for row, column in itertools.product((0, grid.y.size // 2, grid.y.size - 1), (0, grid.x.size // 2)):
        values = {x: float(grid.x[column]), y: float(grid.y[row])}
        there, speed = scenario, {axis: value for axis, value in values.items() if axis in REGIMES}
        for axis in sorted(values, key=NAMED.__contains__):
            there = there.change(**fields(there, axis, int(values[axis])))
        case = case_of(there, phase)
        close(grid.parts_s[:, row, column], case.parts_s(speed), rtol=1e-9, atol=1e-15)
        close(grid.memory_bytes[row, column], estimate(there).memory.total, rtol=1e-9)


@pytest.mark.parametrize(("scenario", "phase", "x", "y"), PLANES)
def test_the_scenario_lies_on_the_map(scenario: Scenario, phase: str, x: str, y: str) -> None:
    """The present point is inside both axes, and its regime is the one of the cell under it or of a neighbour."""
    found = plane(scenario, phase, x, y).fine
    at = []
    for axis, values in ((x, found.x), (y, found.y)):
        now = present(scenario, axis)
        assert values[0] <= now <= values[-1]
        at.append(int(np.argmin(np.abs(np.log(values / now)))))
    near = found.regime[max(0, at[1] - 1) : at[1] + 2, max(0, at[0] - 1) : at[0] + 2]
    assert REGIMES.index(case_of(scenario, phase).regime) in near


@pytest.mark.parametrize(("scenario", "phase", "x", "y"), PLANES)
def test_figure_is_light_and_true(scenario: Scenario, phase: str, x: str, y: str) -> None:
    """The coloured cells hold the leading regime and how far it leads; lines of equal time lie where they say."""
    found = plane(scenario, phase, x, y)
    figure = regime_map.figure(found, estimate(scenario))
    cells = np.frombuffer(base64.b64decode(figure["data"][0]["z"]["bdata"]), "<f4").reshape(found.fine.regime.shape)
    assert (np.floor(cells) == found.fine.regime).all()
    assert len(str(figure["data"])) < 250_000
    hatched = [trace for trace in figure["data"] if "fillpattern" in trace]
    assert bool(hatched) == bool((found.fine.memory_bytes > found.capacity).any())


def test_every_axis_with_every_other() -> None:
    """Any two different inputs make a map; the same one twice or an unknown one is refused by name."""
    scenario = Scenario(n=2, tp=2, batch=8)
    assert set(choices(scenario)) >= {*WORK, *REGIMES, "tp", "layers", "hidden"}
    for x, y in itertools.permutations(choices(scenario), 2):
        found = plane(scenario, "decode", x, y)
        # Not every width has heads for every layout.
        assert np.isfinite(found.stops.time_s).all() or {x, y} == {"tp", "hidden"}, (x, y)
        assert (found.stops.regime >= 0).any()
    for wrong in ("batch", "colour"):
        with pytest.raises(ValueError, match=wrong):
            plane(scenario, "decode", "batch", wrong)


def test_axes_that_mean_nothing_are_left_out() -> None:
    """One device has no network; latent attention and state-space models have no width that is one number."""
    assert "network" not in choices(Scenario())
    assert "hidden" not in choices(Scenario(model="deepseek-v3", gpu="h200-sxm", n=8, tp=8))


def test_axes_of_the_page_travel_in_the_link() -> None:
    """A map of two chosen inputs opens from its link; the second axis never equals the first."""
    app = run("pages/11_Regime_map.py", {"x": "memory", "y": "compute", "phase": "request"})
    check(app)
    assert (link(app)["x"], link(app)["y"], link(app)["phase"]) == ("memory", "compute", "request")
    app = run("pages/11_Regime_map.py", {"x": "input", "y": "input"})
    check(app)
    assert (link(app)["x"], link(app)["y"]) == ("input", "batch")
