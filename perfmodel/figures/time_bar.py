"""The four-colour time bar: where the time of prefill and of a decode step goes."""

from __future__ import annotations

from perfmodel.figures import theme
from perfmodel.figures.theme import Figure
from perfmodel.report import Report
from perfmodel.step import REGIMES, Step
from perfmodel.units import show

#: A share below this has no room for its words inside the bar.
_ROOM = 0.05


def figure(report: Report) -> Figure:
    """Return the shares of the four regimes, prefill above decode, each bar one whole pass."""
    rows = (("Decode step", report.decode), ("Prefill", report.prefill))
    names = [f"<b>{name}</b><br>{show(float(step.time_s), 's')}" for name, step in rows]
    data = [_segment(index, regime, names, [step for _, step in rows]) for index, regime in enumerate(REGIMES)]
    axis = {"visible": False, "range": [0, 1], "fixedrange": True, "automargin": False}
    rows_axis = {"fixedrange": True, "ticks": "", "showgrid": False, "automargin": False}
    legend = theme.legend(itemclick=False, itemdoubleclick=False)
    own = {
        "barmode": "stack",
        "bargap": 0.2,
        "height": 130,
        "margin": {"l": 88, "r": 8, "t": 4, "b": 4},
        "uniformtext": {"mode": "hide", "minsize": 10},
    }
    return {"data": data, "layout": theme.layout(xaxis=axis, yaxis=rows_axis, legend=legend, **own)}


def _segment(index: int, regime: str, names: list[str], steps: list[Step]) -> Figure:
    shares = [float(step.shares[index]) for step in steps]
    times = [show(share * float(step.time_s), "s") for share, step in zip(shares, steps, strict=True)]
    return {
        "type": "bar",
        "orientation": "h",
        "name": regime,
        "y": names,
        "x": shares,
        "text": [f"{regime} {share:.0%}" if share >= _ROOM else "" for share in shares],
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textangle": 0,
        "textfont": {"color": theme.REGIME_INK[regime]},
        "customdata": [[time, f"{share:.1%}"] for time, share in zip(times, shares, strict=True)],
        "hovertemplate": f"<b>{regime}</b> ({theme.REGIME_WORDS[regime]})<br>"
        "%{customdata[0]} = %{customdata[1]} of the pass<extra></extra>",
        "marker": theme.regime_marker(regime),
    }


def describe(report: Report) -> str:
    """Return in one sentence what the bar shows."""
    return f"{_words('Prefill', report.prefill)}; {_words('a decode step', report.decode)}."


def _words(name: str, step: Step) -> str:
    ranked = sorted(zip(REGIMES, step.shares.tolist(), strict=True), key=lambda item: -item[1])
    parts = ", ".join(f"{regime} {share:.0%}" for regime, share in ranked if share >= 0.005)
    return f"{name} takes {show(float(step.time_s), 's')}: {parts}"
