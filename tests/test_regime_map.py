"""The regime map: every point of it is what a scenario there would be."""

import base64
import itertools
import json
import math
import struct
import zlib

import numpy as np
import pytest
from numpy.testing import assert_allclose as close
from test_pages import check, link, run

from perfmodel import Scenario, estimate
from perfmodel.diagnosis import case_of
from perfmodel.diagnosis.plane import NAMED, WORK, choices, fields, plane, present
from perfmodel.figures import regime_map, theme
from perfmodel.figures.picture import data_uri
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


def unpacked(uri: str) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """Read a paletted picture by the rules of PNG: its pixels, and its palette with the transparent colour first."""
    data, at, chunks = base64.b64decode(uri.removeprefix("data:image/png;base64,"))[8:], 0, {}
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        chunks[kind] = data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0] == zlib.crc32(kind + chunks[kind])
        at += size + 12
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    pixels = np.zeros((height, width), np.uint8)
    for row, line in enumerate(lines):
        pixels[row] = line[1:] + (pixels[row - 1] if line[0] == 2 else 0)
    assert chunks[b"tRNS"] == b"\0"
    return pixels, [tuple(chunks[b"PLTE"][i : i + 3]) for i in range(0, len(chunks[b"PLTE"]), 3)]


def test_pictures_are_png() -> None:
    """Any pixels come back as they were, and more colours than a byte can name are refused."""
    pixels = np.random.default_rng(1).integers(0, 4, (7, 5)).astype(np.uint8)
    found, palette = unpacked(data_uri(pixels, [(1, 2, 3), (4, 5, 6), (7, 8, 9)]))
    assert (found == pixels).all()
    assert palette[1:] == [(1, 2, 3), (4, 5, 6), (7, 8, 9)]
    for wrong in ([(0, 0, 0)] * 256, [(0, 0, 0)]):
        with pytest.raises(ValueError, match="colours"):
            data_uri(pixels, wrong)


def test_cells_meet_midway() -> None:
    """On an axis whose stops are uneven every pixel has the colour of the nearest stop on the logarithmic scale."""
    scenario = Scenario()
    found = plane(scenario, "decode", "layers", "hidden").fine
    (image,) = regime_map.figure(plane(scenario, "decode", "layers", "hidden"), estimate(scenario))["layout"]["images"]
    pixels, _ = unpacked(image["source"])
    rows, columns = pixels.shape
    x = image["x"] + (np.arange(columns) + 0.5) / columns * image["sizex"]
    y = image["y"] - (np.arange(rows) + 0.5) / rows * image["sizey"]
    nearest = [np.abs(at[:, None] - np.log10(stops)).argmin(axis=1) for at, stops in ((x, found.x), (y, found.y))]
    regime = found.regime[np.ix_(nearest[1], nearest[0])]
    assert ((pixels.astype(int) - 1) // 63 == regime).all()


def test_what_cannot_be_is_clear() -> None:
    """Where no head divides a width among the devices the picture is transparent, and nowhere else."""
    scenario = Scenario(n=2, tp=2, batch=8)
    found = plane(scenario, "decode", "tp", "hidden")
    pixels, _ = unpacked(regime_map.figure(found, estimate(scenario))["layout"]["images"][0]["source"])
    assert (found.fine.regime < 0).any()
    assert len(found.fine.x) == 4
    for column, x in enumerate(np.array_split(pixels, found.fine.x.size, axis=1)):
        assert bool((x == 0).any()) == bool((found.fine.regime[:, column] < 0).any())


@pytest.mark.parametrize(("scenario", "phase", "x", "y"), PLANES)
def test_the_mark_stands_on_the_scenario(scenario: Scenario, phase: str, x: str, y: str) -> None:
    """The last trace is one point at the scenario's own values, inside the picture."""
    figure = regime_map.figure(plane(scenario, phase, x, y), estimate(scenario))
    mark, (image,) = figure["data"][-1], figure["layout"]["images"]
    assert (mark["x"], mark["y"]) == ([present(scenario, x)], [present(scenario, y)])
    assert image["x"] <= math.log10(mark["x"][0]) <= image["x"] + image["sizex"]
    assert image["y"] - image["sizey"] <= math.log10(mark["y"][0]) <= image["y"]


@pytest.mark.parametrize(("scenario", "phase", "x", "y"), PLANES)
def test_figure_is_light_and_true(scenario: Scenario, phase: str, x: str, y: str) -> None:
    """The picture read again gives the regime of the cell at every point: deeper where it leads by more, clear at NaN.

    What moves with the scenario is its mark alone: the picture and all other traces are the same objects.
    """
    found = plane(scenario, phase, x, y)
    figure = regime_map.figure(found, estimate(scenario))
    (image,) = figure["layout"]["images"]
    pixels, palette = unpacked(image["source"])
    grid = found.fine
    lead = grid.shares.max(axis=0)
    for row, column in itertools.product(range(grid.y.size), range(grid.x.size)):
        across = (math.log10(grid.x[column]) - image["x"]) / image["sizex"]
        down = (image["y"] - math.log10(grid.y[row])) / image["sizey"]
        seen = int(pixels[int(down * pixels.shape[0]), int(across * pixels.shape[1])])
        if grid.regime[row, column] < 0:
            assert seen == 0
            continue
        colour = theme.REGIME_COLOURS[REGIMES[grid.regime[row, column]]]
        full = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        part = 0.42 + 0.58 * np.clip((lead[row, column] - 0.25) / 0.75, 0.0, 1.0)
        close(palette[seen], part * full + (1.0 - part) * 255, atol=0.58 / 62 * 255 + 1)
    for axis, first, size in (("xaxis", image["x"], image["sizex"]), ("yaxis", image["y"] - image["sizey"], None)):
        close(figure["layout"][axis]["range"], (first, first + (size or image["sizey"])), rtol=1e-12)
    again = regime_map.figure(found, estimate(scenario))
    assert again["layout"]["images"][0] is image
    assert all(one is other for one, other in zip(figure["data"][:-1], again["data"][:-1], strict=True))
    assert len(json.dumps(figure)) < 40_000
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
