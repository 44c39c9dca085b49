"""The T4 notebook of the articles: measured points beside the model, and memory reserved beside memory needed."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from perfmodel.estimate import estimate
from perfmodel.figures import theme
from perfmodel.figures.theme import Figure
from perfmodel.formulas.kv import kv_bytes_per_token
from perfmodel.formulas.overhead import reserved_bytes, width_time
from perfmodel.notebook import HEAD_DIM, LAYERS, MEASURED_WIDTHS, TOKENS, run_of
from perfmodel.units import KIB, MIB, show

#: Widths of the modelled line: whole heads.
_WIDTHS = tuple(range(512, 4097, 256))
_TOKENS = tuple(range(0, 401, 4))
#: The smooth law that S51 gives beside the model.
_SMOOTH = {"floor_s": 1.10, "quadratic_s": 1.37, "reference": 4096.0, "sharpness": 1.8}


@lru_cache(maxsize=1)
def modelled() -> dict[int, float]:
    """Return the time of one generation by width, through the same estimate as every page [s]."""
    return {width: estimate(run_of(width)).e2e_s for width in (*_WIDTHS, *MEASURED_WIDTHS)}


def widths() -> Figure:
    """Return time over width: measured, modelled, the smooth law, and the pure d² that the article expected."""
    times = modelled()
    x = np.array(_WIDTHS, dtype=np.float64)
    smooth = width_time(x, **_SMOOTH)
    square = MEASURED_WIDTHS[4096] * (x / 4096.0) ** 2
    data = [
        _line(_WIDTHS, [times[w] for w in _WIDTHS], "model, one set of constants", theme.SERIES_COLOURS[1], "solid"),
        _line(_WIDTHS, smooth.tolist(), "floor and parabola, smoothed", theme.SERIES_COLOURS[4], "dot"),
        _line(_WIDTHS, square.tolist(), "d² alone", theme.NEUTRAL, "dash"),
        {
            "type": "scatter",
            "mode": "markers",
            "name": "measured on a T4",
            "x": list(MEASURED_WIDTHS),
            "y": list(MEASURED_WIDTHS.values()),
            "marker": {"symbol": "circle", "size": 11, "color": theme.SERIES_COLOURS[0]},
            "hovertemplate": "width %{x:,}: %{y:.2f} s<extra>measured</extra>",
        },
    ]
    xaxis = {"title": {"text": "width of the model"}, "tickvals": list(MEASURED_WIDTHS), "tickformat": ","}
    yaxis = {"title": {"text": f"time of {TOKENS} tokens [s]"}, "rangemode": "tozero"}
    return {"data": data, "layout": theme.layout(xaxis=xaxis, yaxis=yaxis, hovermode="closest", height=400)}


def describe_widths() -> str:
    """Return in one sentence how well the model meets the measured points."""
    times = modelled()
    worst = max(abs(times[width] - seconds) for width, seconds in MEASURED_WIDTHS.items())
    pairs = ", ".join(
        f"{width:,}: {seconds:.2f} s and {times[width]:.2f} s" for width, seconds in MEASURED_WIDTHS.items()
    )
    return f"Measured and modelled by width: {pairs}; the largest difference is {show(worst, 's', 2)}."


def width_rows() -> list[dict[str, Any]]:
    """Return the measured and the modelled points as a table."""
    times = modelled()
    return [
        {
            "Width": f"{width:,}",
            "Measured": f"{seconds:.2f} s",
            "Model": f"{times[width]:.3f} s",
            "Difference": f"{times[width] - seconds:+.3f} s",
        }
        for width, seconds in MEASURED_WIDTHS.items()
    ]


def staircase() -> Figure:
    """Return the KV cache of the small model over the tokens: bytes needed, and bytes the allocator reserves."""
    tokens = np.array(_TOKENS, dtype=np.float64)
    needed = tokens * _per_token()
    reserved = reserved_bytes(needed)
    data = [
        _line(_TOKENS, (reserved / MIB).tolist(), "reserved", theme.SERIES_COLOURS[0], "solid")
        | {"line": {"shape": "hv", "color": theme.SERIES_COLOURS[0], "width": 2.5}},
        _line(_TOKENS, (needed / MIB).tolist(), "KV cache", theme.SERIES_COLOURS[1], "dash"),
    ]
    xaxis = {"title": {"text": "tokens"}, "dtick": 64}
    return {
        "data": data,
        "layout": theme.layout(xaxis=xaxis, yaxis={"title": {"text": "memory [MiB]"}}, hovermode="closest", height=400),
    }


def _per_token() -> float:
    return float(kv_bytes_per_token(LAYERS, min(MEASURED_WIDTHS) / HEAD_DIM, HEAD_DIM, 2.0))


def describe_staircase() -> str:
    """Return in one sentence what the staircase shows."""
    step, twenty = reserved_bytes(1.0), 20.0 * _per_token()
    return (
        f"A token needs {_per_token() / KIB:.0f} KiB, twenty need {twenty / KIB:.0f} KiB; the allocator asks for "
        f"{step / MIB:.0f} MiB at a time, {step / twenty:.1f} times as much, and then nothing for "
        f"{step / _per_token():.0f} tokens."
    )


def _line(x: Any, y: Any, name: str, colour: str, dash: str) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(x),
        "y": list(y),
        "line": {"color": colour, "dash": dash, "width": 2.5},
        "hovertemplate": "%{x:,}: %{y:.3~r}<extra>" + name + "</extra>",
    }
