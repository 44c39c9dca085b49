"""A figure as a picture for paper: what is drawn lies where the axes say, and nothing in it is markup."""

import re
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import pytest

from perfmodel.figures.static import svg
from perfmodel.figures.theme import regime_bars
from perfmodel.lessons import CATALOG, worked

SPACE = "{http://www.w3.org/2000/svg}"


def drawn(*traces: dict[str, Any], **layout: Any) -> Element:
    """The picture of a figure, read as XML."""
    return fromstring(svg({"data": list(traces), "layout": layout}))


def ticks(picture: Element) -> dict[str, tuple[float, float, str]]:
    """Text -> its place and the side it is held at."""
    found = picture.iter(f"{SPACE}text")
    return {
        str(one.text): (float(one.get("x", 0)), float(one.get("y", 0)), one.get("text-anchor", "")) for one in found
    }


def places(path: Element) -> list[tuple[float, float]]:
    """The corners of a path."""
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", path.get("d", ""))]


def test_bars_are_as_long_as_their_values() -> None:
    """Twice the value is twice the length, and a bar begins at zero."""
    bars = drawn({"type": "bar", "orientation": "h", "x": [2.0, 4.0], "y": ["a", "b"]})
    one, two = (float(rect.get("width", 0)) for rect in bars.iter(f"{SPACE}rect"))
    assert two == pytest.approx(2 * one, abs=0.2)


def test_decades_are_equally_far_apart() -> None:
    """On a logarithmic axis a factor is a distance."""
    line = {"type": "scatter", "mode": "lines", "x": [1.0, 10.0, 100.0], "y": [1.0, 1.0, 1.0], "line": {"color": "red"}}
    (path,) = [one for one in drawn(line, xaxis={"type": "log"}).iter(f"{SPACE}path") if one.get("stroke") == "red"]
    x = [place[0] for place in places(path)]
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.2)


def test_filled_bars_lie_where_their_corners_are() -> None:
    """The bars of a regime are one area whose corners lie between the marks of their values."""
    five = {"range": [0, 10], "tickvals": [5], "ticktext": ["five"]}
    axes = {"xaxis": five, "yaxis": {"range": [0, 10], "tickvals": []}}
    picture = drawn(regime_bars("memory", [(0.0, 5.0, 5.0, 0.0), (0.0, 2.5, 10.0, 5.0)]), **axes)
    (area,) = [one for one in picture.iter(f"{SPACE}path") if one.get("fill", "none") != "none"]
    corners = places(area)
    assert len(corners) == 8
    assert corners[1][0] == pytest.approx(ticks(picture)["five"][0], abs=0.2)
    assert (corners[1][0] - corners[0][0]) == pytest.approx(2 * (corners[5][0] - corners[4][0]), abs=0.2)
    assert area.get("d", "").count("M") == 2


def test_an_axis_at_the_right_writes_there() -> None:
    """The marks of a second axis stand behind the plot, those of the first before it."""
    first = {"type": "scatter", "mode": "lines", "x": [0, 1], "y": [3, 4]}
    second = first | {"y": [70, 80], "yaxis": "y2"}
    axes = {
        "yaxis": {"range": [3, 4], "tickvals": [3]},
        "yaxis2": {"range": [70, 80], "tickvals": [70], "side": "right"},
    }
    marks = ticks(drawn(first, second, **axes))
    assert (marks["3"][2], marks["70"][2]) == ("end", "start")
    assert marks["3"][0] < 100 < marks["70"][0]


def test_chinese_names_have_room() -> None:
    """Before bars there is room for their names, which are wider in Chinese; nothing begins left of the picture."""
    name = "一块芯片：实测的时间"
    bars = drawn({"type": "bar", "orientation": "h", "x": [1.0], "y": [name]})
    assert ticks(bars)[name][0] - 13 * len(name) >= 0


def test_names_are_text() -> None:
    """Markup in a name is shown, not obeyed."""
    name = "<script>alert(1)</script>"
    assert "<script" not in svg({"data": [{"type": "bar", "orientation": "h", "x": [1.0], "y": [name]}], "layout": {}})


@pytest.mark.parametrize("lesson", CATALOG)
def test_every_figure_of_a_lesson_is_a_picture(lesson: str) -> None:
    """Each is well-formed, and says no number that is none."""
    for step in CATALOG[lesson].steps:
        drawing = worked(lesson, step.id).drawing("en")
        if drawing and drawing.figure:
            picture = svg(drawing.figure)
            fromstring(picture)
            assert "nan" not in re.sub(r">[^<]*<", "><", picture)
