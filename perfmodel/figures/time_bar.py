"""The four-colour time bar: where the time of prefill and of a decode step goes."""

from __future__ import annotations

from collections.abc import Sequence

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


#: Rows of the picture [px]: name above the bar, bar, space; then the legend.
NAME, BAR, ROW, _LEGEND = 18, 26, 52, 24
#: A segment below the first share shows no words; below the second none on a narrow screen, see the media rule.
_SHARE_WIDE, _SHARE_NARROW, _NARROW = 0.09, 0.26, 640


def svg(report: Report) -> str:
    """Return the same bar as an SVG picture of any width: a tenth of the cost of a Plotly figure, and it prints."""
    rows = (("Prefill", report.prefill), ("Decode step", report.decode))
    return picture([(f"{name}: {show(float(step.time_s), 's')}", step.shares.tolist()) for name, step in rows])


def picture(rows: Sequence[tuple[str, Sequence[float]]], more: str = "", more_height: int = 0) -> str:
    """Return bars of the four regimes as SVG: of each row the words above and the widths, the full width being 1.

    `more` is drawn between the bars and the legend, `more_height` high.
    """
    height = len(rows) * ROW + more_height
    bars = "".join(_bar(index * ROW, name, widths) for index, (name, widths) in enumerate(rows))
    style = (
        "text{font:13px 'Source Sans 3','Source Sans Pro',system-ui,sans-serif}.name{fill:#77818b}"
        f"@media(max-width:{_NARROW}px){{.small{{display:none}}}}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="100%" height="{height + _LEGEND}">'
    return f"{head}<style>{style}</style><defs>{_PATTERNS}</defs>{bars}{more}{_legend(height + 4)}</svg>"


def block(regime: str, left: float, top: float, width: float, height: float) -> str:
    """Return one bar of a regime's colour and pattern; `left` and `width` are shares of the picture's width."""
    place = f'x="{left:.2%}" y="{top}" width="{width:.2%}" height="{height}"'
    return f'<rect {place} fill="{theme.REGIME_COLOURS[regime]}"/><rect {place} fill="url(#{regime})"/>'


def _bar(top: int, name: str, widths: Sequence[float]) -> str:
    parts = [f'<text class="name" x="0" y="{top + 13}">{name}</text>']
    left, total = 0.0, sum(widths)
    for regime, width in zip(REGIMES, widths, strict=True):
        parts.append(block(regime, left, top + NAME, width, BAR))
        if width >= _SHARE_WIDE:
            kind = "small" if width < _SHARE_NARROW else "large"
            middle = f'x="{left + width / 2.0:.2%}" y="{top + NAME + 18}" text-anchor="middle"'
            words = f"{regime} {width / total:.0%}"
            parts.append(f'<text class="{kind}" {middle} fill="{theme.REGIME_INK[regime]}">{words}</text>')
        left += width
    return "".join(parts)


def _legend(top: int) -> str:
    parts = []
    for index, regime in enumerate(REGIMES):
        place = f'x="{index * 88}" y="{top + 3}" width="12" height="12"'
        parts += [f'<rect {place} fill="{theme.REGIME_COLOURS[regime]}"/>', f'<rect {place} fill="url(#{regime})"/>']
        parts.append(f'<text class="name" x="{index * 88 + 18}" y="{top + 14}">{regime}</text>')
    return "".join(parts)


def _pattern(regime: str) -> str:
    ink = 'stroke="#ffffff" stroke-opacity="0.4" stroke-width="1.2" fill="none"'
    shapes = {
        "compute": "",
        "memory": f'<path d="M-2,2 l4,-4 M0,8 l8,-8 M6,10 l4,-4" {ink}/>',
        "network": f'<path d="M0,0 l8,8 M8,0 l-8,8" {ink}/>',
        "overhead": '<circle cx="4" cy="4" r="1.2" fill="#ffffff" fill-opacity="0.45"/>',
    }
    return f'<pattern id="{regime}" width="8" height="8" patternUnits="userSpaceOnUse">{shapes[regime]}</pattern>'


_PATTERNS = "".join(_pattern(regime) for regime in REGIMES)


def describe(report: Report) -> str:
    """Return in one sentence what the bar shows."""
    return f"{_words('Prefill', report.prefill)}; {_words('a decode step', report.decode)}."


def _words(name: str, step: Step) -> str:
    ranked = sorted(zip(REGIMES, step.shares.tolist(), strict=True), key=lambda item: -item[1])
    parts = ", ".join(f"{regime} {share:.0%}" for regime, share in ranked if share >= 0.005)
    return f"{name} takes {show(float(step.time_s), 's')}: {parts}"
