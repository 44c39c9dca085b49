"""What all figures share: colours and patterns of regimes and operator groups, layout, axes with unit texts.

A figure is a plain dict {"data": [...], "layout": {...}}. It names only colours that carry meaning; ink, grid and font
are put on when it is shown (`dressed`), and backgrounds stay transparent, so that it stands on a light and a dark page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from perfmodel.ops import Group
from perfmodel.step import REGIMES
from perfmodel.units import show

Figure = dict[str, Any]

#: One colour per regime, as in the articles: compute yellow, memory blue, network green, overhead purple.
REGIME_COLOURS = {"compute": "#e3a008", "memory": "#2f7fc1", "network": "#1d9a6c", "overhead": "#9b6bc4"}
#: What tells regimes apart without colour: a fill pattern in bars, a symbol for points.
REGIME_PATTERNS = {"compute": "", "memory": "/", "network": "x", "overhead": "."}
REGIME_SYMBOLS = {"compute": "triangle-up", "memory": "circle", "network": "x", "overhead": "square"}
#: Ink that stays legible on a bar of the regime's colour.
REGIME_INK = {"compute": "#1d2329", "memory": "#ffffff", "network": "#ffffff", "overhead": "#ffffff"}
#: What a regime means, in a few words.
REGIME_WORDS = {
    "compute": "arithmetic units busy",
    "memory": "waiting for main memory",
    "network": "waiting for other devices",
    "overhead": "launching and scheduling",
}

#: One colour per operator group, none of them a regime's; neighbours in a layer differ in lightness too.
GROUP_COLOURS = {
    Group.EMBEDDING: "#8c8c8c",
    Group.PROJECTIONS: "#d1495b",
    Group.ATTENTION: "#f28e5c",
    Group.STATE: "#b07aa1",
    Group.FFN: "#3aa6a6",
    Group.NORMS: "#b5a642",
    Group.HEAD: "#5b6fb5",
    Group.NETWORK: "#1d9a6c",
    Group.ENGINE: "#9b6bc4",
}
#: Names of groups where room is short.
GROUP_WORDS = {
    Group.EMBEDDING: "Embedding",
    Group.PROJECTIONS: "Projections",
    Group.ATTENTION: "Attention",
    Group.STATE: "State space",
    Group.FFN: "Feed-forward",
    Group.NORMS: "Norms",
    Group.HEAD: "LM head",
    Group.NETWORK: "Network",
    Group.ENGINE: "Engine",
}
#: For series that are neither regime nor group, in this order.
SERIES_COLOURS = ("#d1495b", "#3aa6a6", "#5b6fb5", "#f28e5c", "#8c8c8c", "#b5a642")
#: A line of each dash in a legend that is text.
LINE_GLYPHS = {"solid": "━━", "dash": "╍╍", "dot": "┈┈", "longdash": "━ ━", "dashdot": "━·━"}
#: Lines and marks that carry no category; legible on white and on near-black.
NEUTRAL = "#7d8791"
#: Limits and what lies beyond them.
WARNING = "#d9534f"

#: Ink of words, of a grid and of what appears under the pointer. A figure does not know whether its page is light or
#: dark: each is legible on both, and the page's style sheet writes words of this ink in its own.
INK, GRID = "#747d87", "rgba(125,135,145,0.22)"
_HATCH = "rgba(255,255,255,0.6)"
_FAMILY = '"Source Sans", sans-serif'
_HOVER_FONT = {"family": _FAMILY, "size": 13, "color": "#ffffff"}
HOVER = {"bgcolor": "#20252b", "bordercolor": INK, "font": _HOVER_FONT}
_BUTTONS = {"bgcolor": "rgba(0,0,0,0)", "color": "rgba(125,135,145,0.6)", "activecolor": INK}
_AXIS = {"automargin": True, "gridcolor": GRID, "zerolinecolor": GRID}
_BARE = _AXIS | {"showgrid": False, "zeroline": False}
_STANDOFF = {"x": 20, "y": 24}

#: Space around a figure without a title [px].
MARGIN = {"l": 8, "r": 8, "t": 8, "b": 8}


@dataclass(frozen=True, slots=True)
class Mark:
    """One entry of a legend that the page writes as text: a glyph in its colour, and what it stands for."""

    glyph: str
    colour: str
    text: str

    @property
    def html(self) -> str:
        """The entry for a page that we write ourselves."""
        return f'<span><i style="color:{escape(self.colour)}">{escape(self.glyph)}</i> {escape(self.text)}</span> '


def layout(**own: Any) -> dict[str, Any]:
    """Return a layout with our margins, legend and hover; `own` replaces or adds keys."""
    base: dict[str, Any] = {
        "margin": dict(MARGIN),
        "legend": legend(),
        "hoverlabel": {"align": "left"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
    }
    return base | own


def legend(**own: Any) -> dict[str, Any]:
    """Return a legend in rows at the lower edge; it pushes the plot up by what it needs, on a narrow screen too."""
    place = {"orientation": "h", "x": 0, "xanchor": "left", "yref": "container", "y": 0, "yanchor": "bottom"}
    return place | {"title": {"text": ""}, "itemsizing": "constant", "traceorder": "normal"} | own


def log_axis(low: float, high: float, unit: str, title: str = "", **own: Any) -> dict[str, Any]:
    """Return a logarithmic axis over [low, high] with a text in the right unit at each power of ten.

    The margin is the figure's: automatic ones draw everything twice, 40 ms in the browser for a roofline.

    >>> log_axis(1e9, 1e15, "FLOP/s")["ticktext"][:2]
    ['1 GFLOP/s', '10 GFLOP/s']
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    step = max(1, round((last - first) / 7))
    powers = [10.0**power for power in range(first, last + 1, step)]
    axis = {
        "type": "log",
        "title": {"text": title},
        "range": [math.log10(low), math.log10(high)],
        "tickvals": powers,
        "ticktext": [show(power, unit) for power in powers],
        "showgrid": True,
        "zeroline": False,
        "automargin": False,
    }
    return axis | own


def hatched(colour: str | Sequence[str], shape: str | Sequence[str]) -> dict[str, Any]:
    """Return colour and pattern of bars, the same for all or one for each; the shape "" is no pattern.

    Where every bar has its own colour, Plotly draws each pattern in contrast to that, but first asks for a contrast to
    all of them at once, finds none and warns, several times each time it draws: hence one ground that is never seen.
    """
    ground = colour if isinstance(colour, str) else INK
    pattern = {"shape": shape, "fillmode": "overlay", "bgcolor": ground, "fgcolor": _HATCH, "size": 7, "solidity": 0.2}
    return {"color": colour, "pattern": pattern}


def regime_marker(regime: str) -> dict[str, Any]:
    """Return colour and pattern of a bar of this regime."""
    return hatched(REGIME_COLOURS[regime], REGIME_PATTERNS[regime])


def regime_bars(regime: str, corners: Sequence[tuple[float, float, float, float]]) -> Figure:
    """Return bars of one regime, each (left, right, top, bottom), as one filled path.

    It says nothing of its own under the pointer. As bars with a pattern each, a figure takes a third longer to draw.
    """
    marker = regime_marker(regime)
    return {
        "type": "scatter",
        "mode": "lines",
        "line": {"width": 0},
        "x": [value for left, right, _, _ in corners for value in (left, right, right, left, None)],
        "y": [value for _, _, top, bottom in corners for value in (top, top, bottom, bottom, None)],
        "fill": "toself",
        "fillcolor": marker["color"],
        "fillpattern": marker["pattern"],
        "hoverinfo": "skip",
    }


def regime_order() -> tuple[str, ...]:
    """Return the regimes in the order every figure stacks them."""
    return REGIMES


def dressed(figure: Figure) -> Figure:
    """Return a figure with our font, ink and grid wherever it says nothing of its own.

    Streamlit's theme would dress it by a template that it hands to Plotly twice, as two copies, and of a template
    Plotly only asks whether it is the same object: every figure was worked out and drawn twice.
    """
    layout = figure["layout"]
    axes = {}
    for trace in figure["data"]:
        across = trace.get("orientation") == "h"
        for axis, base in (("x", _BARE), ("y", _BARE if across else _AXIS)):
            name = f"{axis}axis{trace.get(axis + 'axis', axis)[1:]}"
            own = layout.get(name, {})
            title = {"font": {"size": 14}, "standoff": _STANDOFF[axis]} | own.get("title", {})
            axes[name] = base | own | {"title": title}
    font = {"family": _FAMILY, "size": 12, "color": INK}
    ours = {"font": font, "hoverlabel": HOVER, "legend": legend(), "modebar": _BUTTONS}
    ours |= {"margin": {"pad": 8, "l": 0, "r": 0}}
    parts = {name: part | layout.get(name, {}) for name, part in ours.items()}
    return figure | {"layout": layout | parts | axes}


def drawn(figure: Figure) -> Any:
    """Wrap a figure so that Plotly's tools take it as already validated: a fortieth of the cost of validating it.

    The tests validate every figure; a page draws it many times a second.
    """
    from plotly.basedatatypes import BaseFigure

    class Drawn(BaseFigure):  # type: ignore[misc]
        """A figure that is only ever asked for its dict."""

        def __init__(self) -> None:
            """Skip the validation that Plotly's own constructor does."""

        def to_dict(self) -> Figure:
            """Return the figure as it was given."""
            return figure

    return Drawn()
