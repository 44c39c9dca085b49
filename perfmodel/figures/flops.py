"""Figures of the FLOPs page: blocks and phases, rules of thumb, layers, context, generation, shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from perfmodel.breakdown import AttentionCurve, Generation, Growth, Phase, Rules, time_by_group
from perfmodel.dimensions import Dimensions
from perfmodel.figures import theme
from perfmodel.figures.theme import Figure
from perfmodel.ops import Group
from perfmodel.report import Report
from perfmodel.units import show, significant

#: What fits into a bar.
SHORT = {
    Group.EMBEDDING: "Embedding",
    Group.PROJECTIONS: "Projections",
    Group.ATTENTION: "Attention",
    Group.STATE: "State",
    Group.FFN: "FFN",
    Group.NORMS: "Norms",
    Group.HEAD: "LM head",
    Group.NETWORK: "Network",
    Group.ENGINE: "Engine",
}
#: Blocks whose colour is dark enough for white words.
WHITE_INK = frozenset({Group.PROJECTIONS, Group.HEAD, Group.ENGINE})
#: A share below these has no room for its name, or for its number.
_NAME_ROOM, _NUMBER_ROOM = 0.25, 0.04
#: A block that never reaches this share is drawn, but not named.
_IN_LEGEND = 0.002
RULE_NAMES = {"classic": "24 d² per layer", "params": "2 × active", "prefill": "Prefill", "decode": "Decode"}
#: What `Growth` measures, as written under the bars.
MEASURES = {"parameters": "parameters", "flops": "FLOPs", "cache": "KV cache", "kernels": "kernels in a row"}


def blocks_figure(report: Report, phases: Sequence[Phase]) -> Figure:
    """Return the shares of FLOPs and of time by block, prefill above decode."""
    rows = {name.replace(": ", "<br>"): _shares(parts) for name, parts in _phase_rows(report, phases).items()}
    axis = {"range": [0, 1.001], "tickformat": ".0%", "nticks": 6, "fixedrange": True}
    data = _stacked(rows, _share_text, ".1%")
    for trace in data:
        trace["showlegend"] = max(trace["x"]) >= _IN_LEGEND
    return {"data": data, "layout": _bars(axis, list(rows), 80)}


def describe_blocks(report: Report, phases: Sequence[Phase]) -> str:
    """Return in one sentence what `blocks_figure` shows."""
    parts = [f"{name}, {_top(_shares(groups))}" for name, groups in _phase_rows(report, phases).items()]
    return "; ".join(parts) + "."


def _phase_rows(report: Report, phases: Sequence[Phase]) -> dict[str, Mapping[Group, Any]]:
    first, step = phases
    return {
        f"Prefill: {show(first.flops, 'FLOP')}": first.groups,
        f"Prefill: {show(report.ttft_s, 's')}": time_by_group(report.prefill),
        f"Decode: {show(step.flops, 'FLOP')}": step.groups,
        f"Decode: {show(report.decode_step_s, 's')}": time_by_group(report.decode),
    }


def rules_figure(rules: Rules) -> Figure:
    """Return FLOPs per token by block: the two rules of thumb beside prefill and decode as counted."""
    rows = {label: getattr(rules, name) for name, label in RULE_NAMES.items()}
    totals = [rules.total(name) for name in RULE_NAMES]
    axis = {"range": [0, 1.7 * max(totals)], "tickformat": "~s", "title": {"text": "FLOP per token"}, "nticks": 5}
    layout = _bars(axis, list(rows), 100)
    layout["annotations"] = [
        {
            "x": total,
            "y": label,
            "text": f"{show(total, 'FLOP')}, {total / totals[-1]:.0%}",
            "showarrow": False,
            "xanchor": "left",
            "xshift": 4,
        }
        for total, label in zip(totals, rows, strict=True)
    ]
    return {"data": _stacked(rows, lambda _group, _value: "", ".3s"), "layout": layout}


def describe_rules(rules: Rules) -> str:
    """Return in one sentence what `rules_figure` shows."""
    return (
        f"One decoded token costs {show(rules.total('decode'), 'FLOP')}: {significant(rules.ratio('classic'))} times "
        f"the rule 24 d² per layer and {significant(rules.ratio('params'))} times 2 × active parameters; "
        f"a prompt token costs {show(rules.total('prefill'), 'FLOP')}."
    )


def layers_figure(layers: Sequence[Mapping[Group, float]]) -> Figure:
    """Return FLOPs per token of every layer by block, from the first layer to the last."""
    x = list(range(1, len(layers) + 1))
    data = [
        {
            "type": "bar",
            "x": x,
            "y": [float(layer.get(group, 0.0)) for layer in layers],
            "name": SHORT[group],
            "marker": _marker(group),
            "hovertemplate": f"layer %{{x}}: %{{y:.3s}}FLOP<extra>{group.value}</extra>",
        }
        for group in _present(layers)
    ]
    yaxis = {"title": {"text": "FLOP per token"}, "tickformat": "~s", "rangemode": "tozero"}
    return {"data": data, "layout": _layout({"title": {"text": "layer"}}, yaxis, 64, barmode="stack", bargap=0.15)}


def describe_layers(layers: Sequence[Mapping[Group, float]]) -> str:
    """Return in one sentence what `layers_figure` shows."""
    totals = [sum(layer.values()) for layer in layers]
    kinds = len({tuple(sorted(layer.items())) for layer in layers})
    if kinds == 1:
        return f"All {len(layers)} layers cost the same: {show(totals[0], 'FLOP')} per token."
    low, high = show(min(totals), "FLOP"), show(max(totals), "FLOP")
    return f"{len(layers)} layers of {kinds} kinds, from {low} to {high} per token."


def context_figure(curve: AttentionCurve, hidden: int, context: float, longest: float) -> Figure:
    """Return attention over linear layers against the context, with break-even and the present context."""
    edge = max(longest, 4.0 * context, 2.0 * (curve.equal or 0.0))
    inside = (curve.context >= 64.0) & (curve.context <= edge)
    x = curve.context[inside]
    rows = (
        ("This model", curve.ratio[inside], theme.GROUP_COLOURS[Group.ATTENTION], "solid", 3),
        ("Classic decoder: T ÷ 6d", x / (6.0 * hidden), theme.NEUTRAL, "dot", 1.5),
    )
    hover = "%{x:,.0f} tokens: %{y:.2%}<extra>"
    data = [_line(x, y, name, colour, dash, width, hover) for name, y, colour, dash, width in rows]
    data.append(_point(context, curve.at(context), f"now: {context:,.0f} tokens, {curve.at(context):.1%}"))
    xaxis = {"type": "log", "title": {"text": "context [tokens]"}, "dtick": 1, "tickformat": "~s"}
    yaxis = {"type": "log", "title": {"text": "attention ÷ linear layers"}, "tickformat": "~%", "dtick": 1}
    return {"data": data, "layout": _layout(xaxis, yaxis, 72, shapes=[_level(1.0)])}


def describe_context(curve: AttentionCurve, context: float) -> str:
    """Return in one sentence what `context_figure` shows."""
    if not curve.ratio[-1] > 0:
        return "This model has no attention scores: its cost per token does not depend on the context."
    if curve.equal:
        then = f"they cost as much as the linear layers from {curve.equal:,.0f} tokens on"
    else:
        then = f"they never cost more than {curve.ratio[-1]:.0%}, because every attention layer has a window"
    return f"At {context:,.0f} tokens, scores and values cost {curve.at(context):.1%} of the linear layers; {then}."


def generation_figure(found: Generation) -> Figure:
    """Return the cumulated FLOPs of one request with and without a KV cache."""
    rows = (
        ("Without a KV cache", found.uncached, theme.WARNING, "dash"),
        ("With a KV cache", found.cached, theme.GROUP_COLOURS[Group.FFN], "solid"),
    )
    hover = "%{x:,.0f} tokens: %{y:.3s}FLOP<extra>"
    data = [_line(found.tokens, y, name, colour, dash, 3, hover) for name, y, colour, dash in rows]
    low, high = float(found.cached[0]) / 2.0, float(found.uncached[-1]) * 2.0
    yaxis = theme.log_axis(low, high, "FLOP", "FLOPs so far")
    return {"data": data, "layout": _layout({"title": {"text": "generated tokens"}, "tickformat": "~s"}, yaxis, 92)}


def describe_generation(found: Generation) -> str:
    """Return in one sentence what `generation_figure` shows."""
    return (
        f"One sequence, prompt included: {found.tokens[-1]:,.0f} tokens cost {show(found.cached[-1], 'FLOP')} with a "
        f"KV cache and {show(found.uncached[-1], 'FLOP')} without, {significant(found.ratio)} times as much."
    )


def shape_figure(rows: Sequence[Growth]) -> Figure:
    """Return the factors of a deeper, a wider, and an equally large but wider and shallower model."""
    data = [
        {
            "type": "bar",
            "x": list(MEASURES.values()),
            "y": [getattr(row, name) for name in MEASURES],
            "name": row.name,
            "text": [f"×{significant(getattr(row, name))}" for name in MEASURES],
            "textposition": "outside",
            "cliponaxis": False,
            "marker": theme.hatched(colour, shape),
            "hovertemplate": f"{row.name}: %{{x}} ×%{{y:.3g}}<extra></extra>",
        }
        for row, colour, shape in zip(rows, (theme.SERIES_COLOURS[i] for i in (2, 3, 1)), ("", "/", "."), strict=True)
    ]
    yaxis = {"title": {"text": "times this model"}, "range": [0, 4.5], "fixedrange": True}
    return {"data": data, "layout": _layout({"fixedrange": True}, yaxis, 44, barmode="group", shapes=[_level(1.0)])}


def describe_shape(rows: Sequence[Growth]) -> str:
    """Return in one sentence what `shape_figure` shows."""
    parts = []
    for row in rows:
        values = ", ".join(f"{label} × {significant(getattr(row, name))}" for name, label in MEASURES.items())
        parts.append(f"{row.name}: {values}")
    return "; ".join(parts) + "."


#: Why a token costs more than 24 d² per layer, for the roles that the rule does not know.
WHY = {
    "Indexer": "sparse attention first scores every token with a small indexer",
    "State space": "projections and scan of the state-space layers",
    "Attention scores and values": "grows with the context; the rule has no context",
    "LM head": "a d × vocabulary product that belongs to no layer",
    "Vector work": "norms, activations, rotary embedding",
}


def _why(role: str, d: Dimensions) -> str:
    if role in WHY:
        return WHY[role]
    attending = sum(mixer in "GL" for mixer, _ in d.pattern())
    where = "" if attending == d.layers else f", in {attending} of {d.layers} layers"
    query, value = (d.nope_dim + d.rope_dim, d.v_dim) if d.kv_lora else (d.head_dim, d.head_dim)
    if role == "Query":
        through = f", through {d.q_lora:,}" if d.q_lora else ""
        return f"{d.heads} heads of {query} for d = {d.hidden:,}{through}{where}"
    if role == "Key and value":
        shared = f"{d.kv_heads} of {d.heads} heads have keys and values"
        return (f"a latent of {d.kv_lora} for all heads, expanded for each" if d.kv_lora else shared) + where
    if role == "Output":
        state = "; and the way out of the state-space layers" if d.ssm_state else ""
        return f"{d.heads} heads of {value} for d = {d.hidden:,}{where}{state}"
    return _ffn_words(d)


def _ffn_words(d: Dimensions) -> str:
    matrices = 3 if d.gated else 2
    routed, dense = (sum(ffn == code for _, ffn in d.pattern()) for code in "ed")
    parts = []
    if dense and d.ffn:
        parts.append(f"{matrices} matrices of {significant(d.ffn / d.hidden)} d in {dense} of {d.layers} layers")
    if routed:
        shared = f" and a shared one of {d.shared_ffn:,}" if d.shared_ffn else ""
        parts.append(
            f"{d.top_k} of {d.experts} experts of width {d.expert_ffn:,}{shared} in {routed} of {d.layers} layers"
        )
    return "; ".join(parts) or "no feed-forward block"


def difference_text(differences: Mapping[str, float], rule: float, d: Dimensions) -> str:
    """Return what separates a decoded token from 24 d² per layer, one line each: share of the rule, FLOPs, reason."""
    classic = "every head has keys and values, heads × head size = d, the FFN is 2 matrices of 4 d"
    lines = [f"- 24 d² per layer make {show(rule, 'FLOP')} if {classic}"]
    for name, flops in differences.items():
        if abs(flops) >= 5e-4 * rule:
            sign = "+" if flops > 0 else "−"
            lines.append(
                f"- **{name} {sign}{abs(flops) / rule:.1%}** ({sign}{show(abs(flops), 'FLOP')}): {_why(name, d)}"
            )
    return "\n".join(lines)


def _shares(parts: Mapping[Group, Any]) -> dict[Group, float]:
    total = float(sum(parts.values()))
    return {group: float(part) / total for group, part in parts.items()}


def _share_text(group: Group, share: float) -> str:
    if share < _NUMBER_ROOM:
        return ""
    return f"{SHORT[group]} {share:.0%}" if share >= _NAME_ROOM else f"{share:.0%}"


def _top(shares: Mapping[Group, float], most: int = 2) -> str:
    ranked = sorted(shares.items(), key=lambda item: -item[1])[:most]
    return ", ".join(f"{group.value} {share:.0%}" for group, share in ranked if share >= 0.005)


def _present(rows: Sequence[Mapping[Group, Any]]) -> list[Group]:
    return [group for group in Group if any(row.get(group) for row in rows)]


def _marker(group: Group) -> dict[str, Any]:
    return {"color": theme.GROUP_COLOURS[group]}


def _stacked(
    rows: Mapping[str, Mapping[Group, Any]], text: Callable[[Group, float], str], form: str
) -> list[dict[str, Any]]:
    data = []
    for group in _present(list(rows.values())):
        x = [float(parts.get(group, 0.0)) for parts in rows.values()]
        bar = {
            "type": "bar",
            "orientation": "h",
            "y": list(rows),
            "x": x,
            "name": SHORT[group],
            "marker": _marker(group),
        }
        words: dict[str, Any] = {
            "text": [text(group, value) for value in x],
            "textposition": "inside",
            "insidetextanchor": "middle",
        }
        words["insidetextfont"] = {"color": "#ffffff" if group in WHITE_INK else "#14171b"}
        data.append(
            bar | words | {"textangle": 0, "hovertemplate": f"%{{y}}: %{{x:{form}}}<extra>{group.value}</extra>"}
        )
    return data


def _line(x: Any, y: Any, name: str, colour: str, dash: str, width: float, hover: str) -> dict[str, Any]:
    line = {"color": colour, "dash": dash, "width": width}
    shape = {"type": "scatter", "mode": "lines", "x": x.tolist(), "y": y.tolist(), "name": name, "line": line}
    return shape | {"hovertemplate": f"{hover}{name}</extra>"}


def _point(x: float, y: float, name: str) -> dict[str, Any]:
    marker = {"color": theme.NEUTRAL, "size": 11, "symbol": "diamond"}
    point = {"type": "scatter", "mode": "markers", "x": [x], "y": [y], "name": name, "marker": marker}
    return point | {"hovertemplate": name + "<extra></extra>"}


def _level(y: float) -> dict[str, Any]:
    line = {"color": theme.NEUTRAL, "width": 1, "dash": "dash"}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line}


def _bars(xaxis: dict[str, Any], names: list[str], left: int) -> dict[str, Any]:
    rows = {"categoryorder": "array", "categoryarray": names[::-1], "showgrid": False, "fixedrange": True}
    text = {"mode": "hide", "minsize": 10}
    return _layout(xaxis, rows, left, barmode="stack", bargap=0.25, uniformtext=text)


def _layout(xaxis: dict[str, Any], yaxis: dict[str, Any], left: int, **own: Any) -> dict[str, Any]:
    # Margins by hand: automatic ones make the browser draw everything twice. A legend on top pushes only the top.
    fixed, legend = {"automargin": False}, theme.legend(yref="paper", y=1.02, yanchor="bottom")
    margin = theme.MARGIN | {"l": left, "b": 50 if "title" in xaxis else 28}
    return theme.layout(xaxis=xaxis | fixed, yaxis=yaxis | fixed, margin=margin, legend=legend, **own)
