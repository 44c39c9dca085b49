"""How a figure is dressed: our font, ink and grid, its own words first, legible on both of our backgrounds."""

import tomllib
from pathlib import Path

import plotly.graph_objects as go
import pytest

from perfmodel.figures import theme

ROOT = Path(__file__).parents[1]
CONFIG = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
#: Contrast that WCAG 2.2 asks for: of graphics (1.4.11), and of text (1.4.3).
GRAPHICS, TEXT = 3.0, 4.5
#: How much of the page's ink the style sheet gives to the words of a figure.
SHARE = 0.78


def rgb(colour: str) -> tuple[int, ...]:
    """Return red, green and blue of "#rrggbb"."""
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Return the contrast of two colours as WCAG defines it."""

    def luminance(colour: tuple[float, ...]) -> float:
        linear = [(v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4) for v in (c / 255 for c in colour)]
        return sum(weight * v for weight, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", ["light", "dark"])
def test_ink_is_legible(name: str) -> None:
    """A saved picture is legible on both backgrounds, and on the page words have the contrast of text."""
    page = {key: rgb(CONFIG["theme"][name][key]) for key in ("backgroundColor", "textColor")}
    assert contrast(rgb(theme.INK), page["backgroundColor"]) >= GRAPHICS
    ink = tuple(SHARE * a + (1 - SHARE) * b for a, b in zip(page["textColor"], page["backgroundColor"], strict=True))
    assert contrast(ink, page["backgroundColor"]) >= TEXT
    hover = go.layout.Hoverlabel(theme.HOVER)
    assert contrast(rgb(hover.font.color), rgb(hover.bgcolor)) >= TEXT


def test_the_style_sheet_knows_the_ink() -> None:
    """What the page writes in its own ink are the words of a figure's ink, which a browser spells rgb(r, g, b)."""
    sheet = (ROOT / "pages" / "parts" / "frame.css").read_text()
    assert f'[style*="rgb({", ".join(map(str, rgb(theme.INK)))})"]' in sheet
    assert f"fill-opacity: {SHARE} " in sheet


def test_own_words_come_first() -> None:
    """What a figure says of its axes, margins and font stays; the rest is ours, on every axis that a trace uses."""
    own = {"xaxis": {"title": {"text": "batch"}, "showgrid": True}, "margin": {"l": 70}, "font": {"size": 9}}
    figure = {"data": [{"type": "scatter", "x": [1], "y": [1], "yaxis": "y2"}], "layout": own}
    layout = theme.dressed(figure)["layout"]
    assert layout["xaxis"]["title"] == {"font": {"size": 14}, "standoff": 20, "text": "batch"}
    assert (layout["xaxis"]["showgrid"], layout["xaxis"]["zeroline"]) == (True, False)
    assert layout["yaxis2"]["gridcolor"] == theme.GRID
    assert layout["margin"] == {"pad": 8, "l": 70, "r": 0}
    assert (layout["font"]["size"], layout["font"]["color"]) == (9, theme.INK)
    assert figure["layout"] is own
    assert "yaxis2" not in own


def test_bars_that_lie_have_no_grid_between_them() -> None:
    """A grid belongs to the axis of lengths, not to the one of names."""
    bars = {"type": "bar", "orientation": "h", "x": [1], "y": ["a"]}
    assert theme.dressed({"data": [bars], "layout": {}})["layout"]["yaxis"]["showgrid"] is False
    upright = {"type": "bar", "x": ["a"], "y": [1]}
    assert "showgrid" not in theme.dressed({"data": [upright], "layout": {}})["layout"]["yaxis"]


@pytest.mark.parametrize("colour", ["#112233", ["#112233", "#445566"]])
def test_a_pattern_has_one_ground(colour: str | list[str]) -> None:
    """Plotly is never asked for the contrast to many colours at once: whatever the bars' colours, the ground is one."""
    marker = go.bar.Marker(theme.hatched(colour, "/"))
    assert marker.color == (colour if isinstance(colour, str) else tuple(colour))
    assert isinstance(marker.pattern.bgcolor, str)
    assert (marker.pattern.bgcolor == colour) == isinstance(colour, str)
