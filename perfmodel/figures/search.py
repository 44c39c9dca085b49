"""Figures of a search: what offers cost, the front of speed against throughput, chips side by side."""

from __future__ import annotations

from textwrap import wrap
from typing import Any

import numpy as np

from perfmodel.cost import usd
from perfmodel.figures import theme
from perfmodel.search import Answer, Offer, contest
from perfmodel.search.words import chip_name, layout_words
from perfmodel.units import show, significant

Figure = dict[str, Any]
OVER_TITLES = {"device": "output tokens/s per device", "dollar": "output tokens per USD"}
#: Points that are not on the front are drawn up to this number.
CLOUD = 1500
#: Labels of bars longer than this take two lines.
LABEL_CHARS = 23


def offer_bars(answer: Answer, offers: tuple[Offer, ...]) -> Figure:
    """Return what each offer takes: USD per hour, devices or power, as the need asks."""
    goal = answer.need.goal
    values = [{"price": o.usd_per_hour, "devices": float(o.devices), "energy": o.power_w}[goal] for o in offers]
    unit = {"price": "USD per hour", "devices": "accelerators", "energy": "power [W]"}[goal]
    texts = [{"price": usd(v), "devices": f"{v:,.0f}", "energy": show(v, "W")}[goal] for v in values]
    asked = answer.study.space.asked
    names = [f"{o.devices:,} × {chip_name(o.combination, asked)}" for o in offers]
    return _bars(names, values, texts, unit)


def describe_offers(answer: Answer, offers: tuple[Offer, ...]) -> str:
    """Return in one sentence what the bars show."""
    what = {"price": "price of an hour", "devices": "number of accelerators", "energy": "power"}[answer.need.goal]
    first = chip_name(offers[0].combination, answer.study.space.asked)
    return f"The {what} of the best configuration of each of {len(offers)} accelerators; the best is {first}."


def _bars(names: list[str], values: list[float], texts: list[str], unit: str) -> Figure:
    labels = ["<br>".join(wrap(name, LABEL_CHARS)) for name in names]
    bar = {
        "type": "bar", "orientation": "h", "x": values, "y": labels, "text": texts, "textposition": "outside",
        "marker": {"color": [theme.SERIES_COLOURS[1]] + [theme.NEUTRAL] * (len(names) - 1)},
        "hovertemplate": "%{y}: %{text}<extra></extra>", "cliponaxis": False,
    }  # fmt: skip
    layout = theme.layout(
        height=60 + 32 * len(names),
        margin=theme.MARGIN | {"l": 150, "b": 40, "r": 64},
        xaxis={"title": {"text": unit}, "rangemode": "tozero", "automargin": False},
        yaxis={"autorange": "reversed", "automargin": False},
        showlegend=False,
        bargap=0.25,
    )
    return {"data": [bar], "layout": layout}


def pareto(answer: Answer, over: Any, picked: int) -> Figure:
    """Return speed of one user against throughput: all points that fit in grey, the front, the point chosen."""
    s, gain, front = answer.study, answer.throughput(over), answer.front(over)
    speed = 1.0 / s.columns["tpot_s"]
    cloud = np.flatnonzero(s.fits & np.isfinite(gain))
    cloud = cloud[:: max(1, -(-cloud.size // CLOUD))]
    data = [_dots(speed[cloud], gain[cloud], theme.NEUTRAL, 4, 0.25)]
    line = _dots(speed[front], gain[front], theme.SERIES_COLOURS[1], 9, 1.0)
    line |= {
        "mode": "lines+markers",
        "line": {"color": theme.SERIES_COLOURS[1], "width": 2, "shape": "vh"},
        "customdata": list(range(1, front.size + 1)),
        "text": [hover(answer, int(point)) for point in front],
        "hovertemplate": "%{text}<extra></extra>",
        "hoverinfo": "all",
    }
    data.append(line)
    if front.size:
        at = front[picked : picked + 1]
        mark = _dots(speed[at], gain[at], theme.SERIES_COLOURS[0], 15, 1.0)
        mark["marker"] |= {"symbol": "circle-open", "line": {"width": 3}}
        data.append(mark)
    ticks = [m * 10.0**power for power in range(-2, 7) for m in (1, 2, 5)]
    common = {"type": "log", "automargin": False, "tickvals": ticks, "ticktext": [significant(t) for t in ticks]}
    layout = theme.layout(
        height=480,
        margin=theme.MARGIN | {"l": 76, "b": 48},
        xaxis=common | {"title": {"text": "output tokens/s of one user"}},
        yaxis=common | {"title": {"text": OVER_TITLES[over]}},
        showlegend=False,
    )
    return {"data": data, "layout": layout}


def _dots(x: Any, y: Any, colour: str, size: int, opacity: float) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "x": np.round(x, 2).tolist(), "y": np.round(y, 2).tolist(),
        "marker": {"color": colour, "size": size, "opacity": opacity}, "hoverinfo": "skip",
    }  # fmt: skip


def hover(answer: Answer, point: int) -> str:
    """Return what hovering over a point says."""
    offer = answer.offer(point)
    c = offer.combination
    return (
        f"<b>{chip_name(c, answer.study.space.asked)}</b><br>{layout_words(c)}<br>{offer.batch:,} requests a copy<br>"
        f"{significant(1.0 / offer.tpot_s)} tokens/s each, first token {show(offer.first_s, 's')}"
    )


def describe_pareto(answer: Answer, over: Any) -> str:
    """Return in one sentence what the front shows."""
    front, gain = answer.front(over), answer.throughput(over)
    if not front.size:
        return "No configuration fits, so that there is no front."
    speed = 1.0 / answer.study.columns["tpot_s"]
    first, last = int(front[0]), int(front[-1])
    asked, combos, index = answer.study.space.asked, answer.study.combinations, answer.study.index
    return (
        f"From {significant(speed[first])} tokens/s each on {chip_name(combos[index[first]], asked)} at "
        f"{significant(gain[first])} {OVER_TITLES[over]} to {significant(speed[last])} on "
        f"{chip_name(combos[index[last]], asked)} at {significant(gain[last])}: {front.size} configurations that no "
        "other beats in both."
    )


def contest_bars(rows: tuple[contest.Row, ...], what: str, per: str) -> Figure:
    """Return what each accelerator gives, as it is or normalised; what cannot do the work has no bar."""
    values = contest.normalised(rows, what, per)
    shown = [value if value == value else 0.0 for value in values]
    texts = [significant(value) if value == value else "–" for value in values]
    figure = _bars([row.chip.name for row in rows], shown, texts, contest.unit(what, per))
    best = max(range(len(shown)), key=shown.__getitem__)
    figure["data"][0]["marker"]["color"] = [
        theme.SERIES_COLOURS[1] if index == best else theme.NEUTRAL for index in range(len(shown))
    ]
    return figure
