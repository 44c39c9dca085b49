"""Our own measurements: time over one axis, measured, as the profile has it, and as fitted on single kernels."""

from __future__ import annotations

from perfmodel.figures import theme
from perfmodel.figures.catalogue import scale
from perfmodel.figures.theme import MARGIN, NEUTRAL, REGIME_COLOURS, SERIES_COLOURS, Figure, Mark
from perfmodel.ours import AXES, Machine
from perfmodel.units import count, show

#: Room around the points, as a factor.
ROOM = 1.5
FITTED, AS_IS, MEASURED = REGIME_COLOURS["memory"], NEUTRAL, SERIES_COLOURS[0]
MARKS = (
    Mark("●", MEASURED, "measured"),
    Mark("━", FITTED, "fitted on the kernels alone"),
    Mark("╌", AS_IS, "data sheet and profile"),
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
    axes = {
        "xaxis": scale(x[0] / ROOM, x[-1] * ROOM, "", AXES[axis].capitalize())
        | {"tickvals": x, "ticktext": [count(value) for value in x]},
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
    return (
        f"From {first.value:,} to {last.value:,} {AXES[axis]} the time grows from {show(first.measured_s, 's')} to "
        f"{show(last.measured_s, 's')}; fitted on the kernels alone we say {show(first.fitted_s, 's')} and "
        f"{show(last.fitted_s, 's')}."
    )
