"""The diagnosis as pictures: the time one after another, as it runs and overlapped; the tornado of every input."""

from __future__ import annotations

from perfmodel.diagnosis import Case, Effect, case_of
from perfmodel.diagnosis.case import BOUND, PHASES
from perfmodel.diagnosis.tables import NAMES, largest
from perfmodel.explain import Card, explain_metric, worked
from perfmodel.figures import theme, time_bar
from perfmodel.figures.theme import Figure, Mark
from perfmodel.formulas.overhead import elasticity
from perfmodel.formulas.roofline import amdahl_time
from perfmodel.report import Report
from perfmodel.step import REGIMES, Array
from perfmodel.units import show

#: The headline number of each phase.
_METRICS = {"decode": "decode_step_s", "prefill": "ttft_s", "request": "e2e_s"}
#: Lanes of what each resource needs alone [px].
_LANE, _LANE_NAME = 12, 16
#: Pixels of one row of the tornado, and around the rows.
_ROW, _AROUND = 40, 56


def bounds(case: Case) -> tuple[tuple[str, Array], ...]:
    """Return the three times by regime: nothing overlaps, as the engine runs it, everything overlaps within a kernel.

    The articles' stacked bars are the first, their roofline is the last; the real time lies between.
    """
    return (
        ("One after another", case.needs_s),
        ("As it runs", case.parts_s()),
        ("Perfect overlap", case.overlapped_parts_s),
    )


def bars(case: Case) -> str:
    """Return the three times as bars on one scale, and below them what each resource needs on its own, as SVG."""
    found = bounds(case)
    scale = float(found[0][1].sum())
    rows = [(_words(name, parts), (parts / scale).tolist()) for name, parts in found]
    used = [(regime, float(need)) for regime, need in zip(REGIMES, case.needs_s, strict=True) if need > 0]
    start = len(rows) * time_bar.ROW
    lanes = [f'<text class="name" x="0" y="{start + 13}">Each resource on its own</text>']
    for index, (regime, need) in enumerate(used):
        lanes.append(time_bar.block(regime, 0.0, start + time_bar.NAME + index * _LANE, need / scale, _LANE - 3))
    return time_bar.picture(rows, "".join(lanes), _LANE_NAME + len(used) * _LANE + 12)


def _words(name: str, parts: Array) -> str:
    regime = REGIMES[int(parts.argmax())]
    return f"{name}: {show(float(parts.sum()), 's')}, {BOUND[regime]}"


def describe_bars(case: Case) -> str:
    """Return in one sentence what the three bars show."""
    slow, real, fast = (float(parts.sum()) for _, parts in bounds(case))
    return (
        f"{PHASES[case.phase].capitalize()} would take {show(slow, 's')} if nothing overlapped and {show(fast, 's')} "
        f"if everything within a kernel did; this engine takes {show(real, 's')}. "
        f"Overlap can gain {slow / fast:.2f}× at most, and {slow / real:.2f}× of it is reached."
    )


def tornado(effects: tuple[Effect, ...]) -> Figure:
    """Return what twice and half of every input do to the time, the largest effect on top."""
    shown = effects[::-1]
    names = [NAMES[effect.name] for effect in shown]
    twice = [effect.doubled_s / effect.now_s - 1.0 for effect in shown]
    half = [effect.halved_s / effect.now_s - 1.0 for effect in shown]
    low, high = min(-0.01, *twice, *half), max(0.01, *twice, *half)
    room = 0.42 * (high - low)  # for the words beyond the bars, on a phone too
    axis = {"range": [low - room, high + room], "tickformat": "+.0%", "nticks": 7, "zeroline": True}
    layout = theme.layout(
        barmode="overlay",
        bargap=0.3,
        height=_AROUND + _ROW * len(shown),
        margin={"l": 128, "r": 8, "t": 4, "b": 44},
        showlegend=False,
        xaxis=axis | {"title": {"text": "change of the time"}, "fixedrange": True, "automargin": False},
        yaxis={"fixedrange": True, "automargin": False, "ticks": "", "showgrid": False},
    )
    data = [_side(names, shown, twice, "twice", 1.0), _side(names, shown, half, "half", 0.45)]
    return {"data": data, "layout": layout}


def _side(names: list[str], shown: tuple[Effect, ...], change: list[float], side: str, opacity: float) -> Figure:
    colours = [_colour(effect.name) for effect in shown]
    shapes = [theme.REGIME_PATTERNS.get(_regime(effect.name), "") for effect in shown]
    times = [show(effect.doubled_s if side == "twice" else effect.halved_s, "s") for effect in shown]
    return {
        "type": "bar",
        "orientation": "h",
        "name": side,
        "y": names,
        "x": change,
        "marker": theme.hatched(colours, shapes) | {"opacity": opacity},
        "text": [f"{'×2' if side == 'twice' else '÷2'} {value:+.1%}" if abs(value) >= 5e-4 else "" for value in change],
        "textposition": "outside",
        "cliponaxis": False,
        "customdata": [[time, f"{one.elasticity:+.3f}"] for time, one in zip(times, shown, strict=True)],
        "hovertemplate": f"<b>%{{y}}</b>, {side} as much<br>%{{customdata[0]}} (%{{x:+.2%}})<br>"
        "elasticity %{customdata[1]}<extra></extra>",
    }


def _regime(name: str) -> str:
    return "network" if name == "link" else name


def _colour(name: str) -> str:
    return theme.REGIME_COLOURS.get(_regime(name), theme.NEUTRAL)


def legend(effects: tuple[Effect, ...]) -> list[Mark]:
    """Return what the colours of the tornado mean."""
    marks = [Mark("■", theme.REGIME_COLOURS[regime], regime) for regime in REGIMES if regime in _names(effects)]
    return [
        *marks,
        Mark("■", theme.NEUTRAL, "workload"),
        Mark(theme.LINE_GLYPHS["solid"], theme.NEUTRAL, "full: twice, pale: half of it"),
    ]


def _names(effects: tuple[Effect, ...]) -> set[str]:
    return {effect.name for effect in effects}


def describe_tornado(effects: tuple[Effect, ...]) -> str:
    """Return in one sentence which input matters most, and that the resources' elasticities add up to minus one."""
    resources = [effect for effect in effects if effect.name in REGIMES]
    first = max(resources, key=lambda effect: -effect.elasticity)
    total = sum(effect.elasticity for effect in resources)
    parts = " ".join(f"{effect.elasticity:+.2f} {effect.name}" for effect in resources)
    return (
        f"{NAMES[first.name]} matters most: twice as much of it changes the time by "
        f"{first.doubled_s / first.now_s - 1.0:+.0%}, without limit by {first.limit_s / first.now_s - 1.0:+.0%}. "
        f"Elasticities of the time: {parts} = {total:+.2f}; whatever the regime, they add up to one time."
    )


def cards(report: Report, phase: str) -> tuple[Card, ...]:
    """Return the cards behind the page: the time, the ridge, Amdahl on the largest operator, the elasticity test."""
    case, metric = case_of(report.scenario, phase), _METRICS[phase]
    step = report.prefill if phase == "prefill" else report.decode
    top, faster = largest(step), float(case.time_s({"memory": 2.0}))
    return (
        explain_metric(report, metric),
        explain_metric(report, "intensity_prefill" if phase == "prefill" else "intensity_decode"),
        explain_metric(report, "ridge"),
        worked(
            amdahl_time,
            f"With {top.op.name} twice as fast",
            total_s=float(step.time_s),
            part_s=top.time_s,
            speedup=2.0,
        ),
        worked(
            elasticity,
            "Elasticity over twice the bandwidth",
            time_before_s=float(case.time_s()),
            time_after_s=faster,
            factor=2.0,
        ),
    )
