"""The gain of every cure as a bar coloured by the time it shortens: to the right it helps, to the left it harms."""

from __future__ import annotations

import math

from perfmodel import explain
from perfmodel.cures import GOAL_WORDS, Goal, Outcome, ranked
from perfmodel.cures.words import gain_text, remark
from perfmodel.explain import Card
from perfmodel.figures.theme import (
    NEUTRAL,
    REGIME_COLOURS,
    Figure,
    Mark,
    layout,
    regime_bars,
    regime_order,
)
from perfmodel.formulas.roofline import amdahl_time
from perfmodel.formulas.speculation import expected_tokens, speculative_speedup
from perfmodel.report import Report
from perfmodel.scenario import Scenario

#: Height of one cure, its name above its bar, and of the axis [px].
ROW, AXIS = 34, 56
#: Half the thickness of a bar [rows].
HALF = 0.2
#: Gains beyond these are drawn at the edge; their text says the number.
LEAST, MOST = 0.5, 32.0


def figure(scenario: Scenario, goal: Goal) -> Figure:
    """Return bars of the gain in a goal, the largest on top, on a scale on which halving is as long as doubling.

    The bars of a regime are one path and the words of a row one text: as bars with a pattern and a text each the page
    follows its slider a sixth more slowly.
    """
    found = [one for one in ranked(scenario, goal) if math.isfinite(one.gain(goal))]
    length = [math.log2(min(max(one.gain(goal), LEAST), MOST)) for one in found]
    low, high = min((0.0, *length)), max((1.0, *length))
    room = 0.08 * (high - low)
    regimes = [one.shortens(goal) for one in found]
    bars = [
        regime_bars(
            regime,
            [(0.0, length[row], row - HALF, row + HALF) for row, own in enumerate(regimes) if own == regime],
        )
        for regime in regime_order()
        if regime in regimes
    ]
    words = {
        "type": "scatter",
        "mode": "text",
        "x": [low - room] * len(found),
        "y": [row - 0.42 for row in range(len(found))],
        "text": [f"<b>{gain_text(one.gain(goal))}</b> {one.cure.name}" for one in found],
        "textposition": "middle right",
        "textfont": {"size": 12},
        "hovertext": [_hover(scenario, one, goal) for one in found],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }
    return {"data": [*bars, words], "layout": _layout(low - room, high + room, len(found))}


def _layout(low: float, high: float, rows: int) -> dict[str, object]:
    whole = range(math.ceil(low), math.floor(high) + 1)
    texts = [f"{2.0**power:g}×" if power >= 0 else f"1/{2**-power}×" for power in whole]
    axis = {"range": [low, high], "tickvals": list(whole), "ticktext": texts, "side": "top", "automargin": False}
    return layout(
        height=AXIS + ROW * rows,
        showlegend=False,
        hovermode="closest",
        hoverdistance=-1,
        margin={"l": 4, "r": 4, "t": 28, "b": 4},
        xaxis=axis | {"showgrid": True, "zeroline": True, "zerolinecolor": NEUTRAL, "zerolinewidth": 2},
        yaxis={"range": [rows - 0.5, -0.9], "visible": False, "automargin": False},
    )


def _hover(scenario: Scenario, one: Outcome, goal: Goal) -> str:
    why = remark(scenario, one, goal)
    lines = (f"<b>{one.cure.name}</b>: {gain_text(one.gain(goal))}", one.said, why, f"Quality: {one.cure.quality}")
    return "<br>".join(line for line in lines if line)


def legend(scenario: Scenario, goal: Goal) -> list[Mark]:
    """Return what the colours mean: the regime whose time a cure shortens here."""
    used = {one.shortens(goal) for one in ranked(scenario, goal)}
    return [Mark("■", REGIME_COLOURS[name], f"shortens {name}") for name in regime_order() if name in used]


def describe(scenario: Scenario, goal: Goal) -> str:
    """Return the figure in a sentence."""
    found = [one for one in ranked(scenario, goal) if math.isfinite(one.gain(goal))]
    if not found:
        return f"No cure can be compared by {GOAL_WORDS[goal]} here."
    told = ", ".join(f"{one.cure.name} {gain_text(one.gain(goal))}" for one in found[:3])
    return f"Gain in {GOAL_WORDS[goal]} by cure, 1× is today, the scale doubles from line to line. On top: {told}."


def cards(report: Report) -> tuple[Card, ...]:
    """Return the formula cards behind the page: the bound of any cure, and what speculative decoding gives."""
    step, scenario = report.decode, report.scenario
    part = float(step.shares.max() * step.time_s)
    return (
        explain.worked(
            amdahl_time,
            "Decode step without its leading regime",
            total_s=float(step.time_s),
            part_s=part,
            speedup=float("inf"),
        ),
        explain.worked(expected_tokens, accept=scenario.accept, drafted=float(scenario.spec)),
        explain.worked(speculative_speedup, accept=scenario.accept, drafted=float(scenario.spec), draft_cost=0.0),
        *explain.cards(report, ("tpot_s", "e2e_s", "usd_per_million_tokens")),
    )
