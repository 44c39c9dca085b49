"""Latency and throughput against batch, with the marks that explain the shape."""

from __future__ import annotations

import math
from typing import Any

from perfmodel.batching import NEEDS, BatchCurve
from perfmodel.explain import Card, explain_metric
from perfmodel.figures import theme
from perfmodel.report import Report
from perfmodel.units import MILLI, show, significant

Figure = dict[str, Any]

#: Needs in the regime colours, each with its own dash: weights and KV share a colour, and not everybody sees colours.
_DASHES = {"weights": "dash", "KV cache": "dot", "arithmetic": "longdash", "launches": "dashdot"}
_REGIMES = {"weights": "memory", "KV cache": "memory", "arithmetic": "compute", "launches": "overhead"}


def anatomy(curve: BatchCurve, batch: int) -> Figure:
    """Return step time over the batch with the needs behind it and the marks b*, KV takeover, memory end."""
    data = [
        _line(curve.batch, row / MILLI, name, theme.REGIME_COLOURS[_REGIMES[name]], _DASHES[name])
        for name, row in zip(NEEDS, curve.needs_s, strict=True)
    ]
    data.append(_line(curve.batch, curve.step_s / MILLI, "decode step", theme.NEUTRAL, "solid", width=3))
    shapes, notes = _marks(curve, batch)
    return {"data": data, "layout": _layout("decode step [ms]", shapes, notes)}


def anatomy_legend() -> tuple[theme.Mark, ...]:
    """Return what the lines of the anatomy mean, in their colours and dashes."""
    lines = [(_DASHES[name], theme.REGIME_COLOURS[_REGIMES[name]], name) for name in NEEDS]
    lines.append(("solid", theme.NEUTRAL, "decode step"))
    return tuple(theme.Mark(theme.LINE_GLYPHS[dash], colour, name) for dash, colour, name in lines)


def throughput(curves: tuple[BatchCurve, ...], batch: int) -> Figure:
    """Return tokens per second over the batch for several curves; the part beyond memory is dotted."""
    data = []
    for index, curve in enumerate(curves):
        colour = _colour(index)
        fits = curve.batch <= curve.largest
        data.append(_line(curve.batch[fits], curve.tokens_per_s[fits], curve.label, colour, "solid", width=2.5))
        beyond = _line(curve.batch[~fits], curve.tokens_per_s[~fits], f"{curve.label}: does not fit", colour, "dot")
        data.append(beyond | {"opacity": 0.5})
    shapes = [_vertical(batch, theme.NEUTRAL, "solid")]
    return {
        "data": data,
        "layout": _layout("output tokens per second", shapes, [_label(batch, f"batch {batch:,}", 1.0)]),
    }


def throughput_legend(curves: tuple[BatchCurve, ...]) -> tuple[theme.Mark, ...]:
    """Return which colour is which curve."""
    line = theme.LINE_GLYPHS["solid"]
    return tuple(theme.Mark(line, _colour(index), curve.label) for index, curve in enumerate(curves))


def _colour(index: int) -> str:
    return theme.SERIES_COLOURS[index % len(theme.SERIES_COLOURS)]


def describe(curve: BatchCurve) -> str:
    """Return in one sentence what the anatomy figure shows."""
    knee = (
        f"doubles by batch {significant(curve.knee)}"
        if math.isfinite(curve.knee)
        else "stays nearly flat over the whole range"
    )
    return (
        f"The decode step {knee}; the linear layers turn compute-bound at batch {significant(curve.critical)}, "
        f"the KV cache outweighs the weights from batch {significant(curve.kv_takeover)}, "
        f"memory ends at batch {curve.largest:,}."
    )


def ranking(curves: tuple[BatchCurve, ...]) -> str:
    """Return in one sentence which curve gives the most tokens within its memory."""
    ranked = sorted(curves, key=lambda curve: -_best(curve))
    first, last = ranked[0], ranked[-1]
    if not _best(first):
        return "None of them has the memory for a single sequence of this length."
    return (
        f"{first.label} gives the most: {show(_best(first))} tokens/s at batch {first.largest:,}; "
        f"{last.label} the least: {show(_best(last))}. Dotted: beyond the memory of the device."
    )


def _best(curve: BatchCurve) -> float:
    fits = curve.batch <= curve.largest
    return float(curve.tokens_per_s[fits].max()) if fits.any() else 0.0


def rows(curves: tuple[BatchCurve, ...]) -> list[dict[str, str]]:
    """Return one table row per curve: critical batch, takeover, memory end, best throughput."""
    return [
        {
            "": curve.label,
            "critical batch b*": significant(curve.critical),
            "KV = weights at": significant(curve.kv_takeover),
            "largest batch": f"{curve.largest:,}",
            "step at batch 1": show(float(curve.step_s[0]), "s"),
            "most tokens/s that fit": show(_best(curve)) if _best(curve) else "does not fit",
        }
        for curve in curves
    ]


def cards(report: Report) -> tuple[Card, ...]:
    """Return the formula cards behind the page: step time, throughput, cache and weights."""
    return tuple(explain_metric(report, name) for name in ("decode_step_s", "tokens_per_s", "weight_bytes", "kv_bytes"))


def _line(x: Any, y: Any, name: str, colour: str, dash: str, width: float = 1.5) -> dict[str, Any]:
    hover = "batch %{x:,}: %{y:.3s}<extra>" + name + "</extra>"
    return {"type": "scatter", "mode": "lines", "x": x.tolist(), "y": y.tolist(), "name": name,
            "line": {"color": colour, "dash": dash, "width": width}, "hovertemplate": hover}  # fmt: skip


def _marks(curve: BatchCurve, batch: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    wanted = [
        (float(batch), f"batch {batch:,}", theme.NEUTRAL, "solid"),
        (curve.critical, f"b* {significant(curve.critical)}", theme.REGIME_COLOURS["compute"], "dash"),
        (curve.kv_takeover, f"KV = weights {significant(curve.kv_takeover)}", theme.REGIME_COLOURS["memory"], "dot"),
        (float(curve.largest), f"memory ends {curve.largest:,}", theme.WARNING, "dashdot"),
    ]
    shown = sorted((mark for mark in wanted if mark[0] >= 1.0 and mark[0] <= curve.batch[-1]), key=lambda mark: mark[0])
    # Neighbouring labels take turns in height, so that they do not overlap.
    # At the right, where the step grows, they stand on the side where it is still low.
    late = float(curve.batch[-1]) ** 0.7
    labels = [
        _label(x, text, 1.0 - 0.07 * (index % 3)) | ({"xanchor": "right", "xshift": -4} if x > late else {})
        for index, (x, text, _, _) in enumerate(shown)
    ]
    return [_vertical(x, colour, dash) for x, _, colour, dash in shown], labels


def _vertical(x: float, colour: str, dash: str) -> dict[str, Any]:
    return {"type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1,
            "line": {"color": colour, "dash": dash, "width": 1}}  # fmt: skip


def _label(x: float, text: str, y: float) -> dict[str, Any]:
    return {
        "x": math.log10(x),
        "xref": "x",
        "y": y,
        "yref": "paper",
        "text": text,
        "showarrow": False,
        "xanchor": "left",
        "xshift": 4,
        "font": {"size": 11},
    }


def _layout(title: str, shapes: list[dict[str, Any]], notes: list[dict[str, Any]]) -> dict[str, Any]:
    fixed = {"type": "log", "dtick": 1, "automargin": False}
    return theme.layout(
        xaxis=fixed | {"title": {"text": "batch [sequences]"}, "tickformat": ",d"},
        yaxis=fixed | {"title": {"text": title}, "exponentformat": "none"},
        margin=theme.MARGIN | {"l": 70, "b": 48},
        showlegend=False,
        shapes=shapes,
        annotations=notes,
    )
