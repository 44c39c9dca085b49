"""Our own measurements: time over one axis, measured, as the profile has it, and as fitted on single kernels."""

from __future__ import annotations

import math

from perfmodel.figures import theme
from perfmodel.figures.catalogue import scale
from perfmodel.figures.theme import MARGIN, NEUTRAL, REGIME_COLOURS, SERIES_COLOURS, Figure, Mark
from perfmodel.ours import AXES, Machine
from perfmodel.units import count, show

#: Room around the points, and between values that are written out, as factors.
ROOM, APART = 1.5, 1.4
FITTED, AS_IS, MEASURED = REGIME_COLOURS["memory"], NEUTRAL, SERIES_COLOURS[0]
MARKS = (
    Mark("●", MEASURED, "measured"),
    Mark(theme.LINE_GLYPHS["solid"], FITTED, "fitted on the kernels alone"),
    Mark(theme.LINE_GLYPHS["dash"], AS_IS, "data sheet and profile"),
)


def figure(machine: Machine, axis: str) -> Figure:
    """Draw one sweep of the small Llama on logarithmic axes."""
    points = machine.along(axis)
    x = [point.value for point in points]
    measured, fitted, as_is = (
        [getattr(point, name) for point in points] for name in ("measured_s", "fitted_s", "as_is_s")
    )
    data = [
        _series(x, as_is, "data sheet and profile", mode="lines", line={"color": AS_IS, "dash": "dash", "width": 2}),
        _series(x, fitted, "fitted on the kernels alone", mode="lines", line={"color": FITTED, "width": 2.5}),
        _series(x, measured, "measured", mode="markers", marker={"color": MEASURED, "size": 10}),
    ]
    times = (*measured, *fitted, *as_is)
    # A text at each value that is far enough from the next one for it.
    seen = [a for a, b in zip(x, [*x[1:], math.inf], strict=True) if b / a > APART]
    axes = {
        "xaxis": scale(x[0] / ROOM, x[-1] * ROOM, "", AXES[axis].capitalize())
        | {"tickvals": seen, "ticktext": [count(value) for value in seen], "tickangle": 0},
        "yaxis": scale(min(times) / ROOM, max(times) * ROOM, "s", "Time"),
    }
    return {
        "data": data,
        "layout": theme.layout(height=380, hovermode="closest", margin=MARGIN | {"l": 84, "b": 52}, **axes),
    }


def _series(x: list[int], y: list[float], name: str, **look: object) -> Figure:
    texts = [f"<b>{name}</b><br>{value:,}: {show(time, 's')}" for value, time in zip(x, y, strict=True)]
    common = {"type": "scatter", "x": x, "y": y, "hovertext": texts, "showlegend": False}
    return common | {"hovertemplate": "%{hovertext}<extra></extra>"} | look


def describe(machine: Machine, axis: str) -> str:
    """Return in one sentence what a sweep shows: its ends, measured and fitted."""
    points = machine.along(axis)
    first, last = points[0], points[-1]
    measured, fitted = (
        [show(getattr(point, name), "s") for point in (first, last)] for name in ("measured_s", "fitted_s")
    )
    return (
        f"Time over {AXES[axis]}: from {first.value:,} to {last.value:,} it grows from {measured[0]} to {measured[1]}; "
        f"fitted on the kernels alone we say {fitted[0]} and {fitted[1]}."
    )
