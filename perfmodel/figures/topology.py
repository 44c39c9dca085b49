"""The devices of a layout as a picture: islands, ranks, the links between them, and what runs on which."""

from __future__ import annotations

import math
from html import escape
from typing import NamedTuple

from perfmodel.collectives import MESHES, TORI, Collectives
from perfmodel.estimate import setup
from perfmodel.figures import theme
from perfmodel.layout_links import flows, link_words
from perfmodel.layouts import Layout
from perfmodel.scenario import Scenario

#: Devices in a row, rows in an island and islands that are drawn; the others are counted.
ACROSS, MOST_ROWS, MOST_ISLANDS = 8, 8, 4
#: Heights [px]: a line of words, a device, the space below a row of devices.
WORDS, DEVICE, SPACE = 20, 38, 6
_GREEN = theme.REGIME_COLOURS["network"]
_STYLE = (
    "text{font:13px 'Source Sans 3','Source Sans Pro',system-ui,sans-serif;fill:#77818b}"
    "text.on{fill:#fff;text-anchor:middle;font-weight:600}text.rank{fill:#fff;text-anchor:middle;font-size:11px}"
)


class Place(NamedTuple):
    """The ranks of one device: tensor ranks next to each other, then context, then stages, then replicas."""

    device: int
    tensor: int
    context: int
    stage: int
    replica: int

    def words(self, layout: Layout) -> str:
        """Return the ranks that differ between devices, in short: "t3 s1"."""
        ranks = (("t", self.tensor, layout.tp), ("c", self.context, layout.cp), ("s", self.stage, layout.pp))
        return " ".join(f"{letter}{rank}" for letter, rank, size in ranks if size > 1)


def place(layout: Layout, device: int) -> Place:
    """Return the ranks of a device.

    >>> place(Layout(tp=2, cp=2, dp=2), 7)
    Place(device=7, tensor=1, context=1, stage=0, replica=1)
    """
    group = layout.tp * layout.cp
    return Place(
        device,
        device % layout.tp,
        device // layout.tp % layout.cp,
        device // group % layout.pp,
        device // (group * layout.pp),
    )


def svg(scenario: Scenario, layout: Layout) -> str:
    """Return the devices of a layout with their links: one colour for each replica, darker and lighter groups."""
    fabric = setup(scenario).fabric
    size = min(fabric.island or layout.n, layout.n)
    islands = math.ceil(layout.n / size)
    parts, top = [], 0
    for island in range(min(islands, MOST_ISLANDS)):
        members = range(island * size, min((island + 1) * size, layout.n))
        drawn, top = _island(fabric, layout, island, islands, members, top)
        parts.append(drawn)
    if islands > MOST_ISLANDS:
        parts.append(_text(f"and {islands - MOST_ISLANDS} more islands like these", top))
        top += WORDS
    if islands > 1 and fabric.network is not None:
        parts.append(_bus(top + 4, 3, "6 4"))
        parts.append(_text(link_words(fabric.network), top + 10))
        top += WORDS + 10
        parts.append(_text(f"between islands: {_runs(scenario, layout, True)}", top))
        top += WORDS
    parts.append(_text(f"{'within an island: ' if islands > 1 else ''}{_runs(scenario, layout, False)}", top))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="100%" height="{top + WORDS + 4}">'
    return f"{head}<style>{_STYLE}</style>{''.join(parts)}</svg>"


def describe(scenario: Scenario, layout: Layout) -> str:
    """Return in one sentence what the picture shows."""
    fabric = setup(scenario).fabric
    island = fabric.island or layout.n
    sizes = (("replica", layout.dp), ("pipeline stage", layout.pp), ("context rank", layout.cp))
    split = ", ".join(f"{size} {word}{'s' if size > 1 else ''}" for word, size in sizes if size > 1)
    beyond = layout.tp * layout.cp > island
    text = f"{layout.label}: {layout.n} {'devices' if layout.n > 1 else 'device'}"
    text += f" on {math.ceil(layout.n / island)} islands of up to {island}" if layout.n > island else ""
    text += f", {split}" if split else ""
    text += f", tensor groups of {layout.tp}" if layout.tp > 1 else ""
    return (
        f"{text}; {'a group reaches beyond its island' if beyond else 'no group that shares layers leaves its island'}."
    )


def _runs(scenario: Scenario, layout: Layout, across: bool) -> str:
    found = dict.fromkeys(one.words for one in flows(scenario, layout) if one.across == across)
    return ", ".join(found) or "nothing is sent"


def _island(
    fabric: Collectives, layout: Layout, island: int, islands: int, members: range, top: int
) -> tuple[str, int]:
    number = f"island {island + 1} of {islands}: " if islands > 1 else ""
    parts, top = [_text(f"{number}{_wiring(fabric, len(members))}", top)], top + WORDS + 4
    rows = [members[start : start + ACROSS] for start in range(0, len(members), ACROSS)]
    torus = fabric.link in TORI
    for index, row in enumerate(rows[:MOST_ROWS]):
        for slot, device in enumerate(row):
            if len(members) > 1:
                parts.append(_link(slot, top, torus, slot + 1 < len(row), index + 1 < len(rows)))
            parts.append(_device(place(layout, device), layout, slot, top))
        top += DEVICE + SPACE
        if not torus and len(members) > 1:
            parts.append(_bus(top, 4, ""))
            top += SPACE + 4
    if len(rows) > MOST_ROWS:
        parts.append(_text(f"and {len(members) - MOST_ROWS * ACROSS} more devices", top))
        top += WORDS
    return "".join(parts), top + 6


def _wiring(fabric: Collectives, devices: int) -> str:
    if devices == 1:
        return "one device"
    if fabric.link in TORI:
        return f"neighbours joined, {link_words(fabric)}"
    mesh = fabric.link in MESHES or fabric.link == "nvlink-bridge"
    return f"{'every pair joined' if mesh else 'all joined'}, {link_words(fabric)}"


def _device(one: Place, layout: Layout, slot: int, top: int) -> str:
    colour = theme.SERIES_COLOURS[one.replica % len(theme.SERIES_COLOURS)]
    # Neighbouring stages and context groups differ in lightness.
    light = 1.0 if (one.stage + one.context) % 2 == 0 else 0.72
    words, width = one.words(layout), 100.0 / ACROSS
    middle = f'x="{(slot + 0.45) * width:.2f}%"'
    told = f"device {one.device}: tensor rank {one.tensor}, context rank {one.context}, stage {one.stage}, "
    return (
        f'<rect class="device" x="{slot * width:.2f}%" y="{top}" width="{0.9 * width:.2f}%" height="{DEVICE}" rx="4" '
        f'fill="{colour}" fill-opacity="{light}"><title>{told}replica {one.replica}</title></rect>'
        f'<text class="on" {middle} y="{top + (16 if words else 24)}">{one.device}</text>'
        + (f'<text class="rank" {middle} y="{top + 31}">{words}</text>' if words else "")
    )


def _link(slot: int, top: int, torus: bool, right: bool, below: bool) -> str:
    width = 100.0 / ACROSS
    middle, half = (slot + 0.45) * width, top + DEVICE // 2
    down = _line(f"{middle:.2f}%", f"{middle:.2f}%", top + DEVICE, top + DEVICE + SPACE)
    if not torus:
        return down
    beside = _line(f"{(slot + 0.9) * width:.2f}%", f"{(slot + 1) * width:.2f}%", half, half)
    return (beside if right else "") + (down if below else "")


def _line(x1: str, x2: str, y1: int, y2: int) -> str:
    return f'<line x1="{x1}" x2="{x2}" y1="{y1}" y2="{y2}" stroke="{_GREEN}" stroke-width="2"/>'


def _bus(top: int, width: int, dashes: str) -> str:
    dash = f' stroke-dasharray="{dashes}"' if dashes else ""
    line = f'x1="0" x2="{100 - 10 / ACROSS:.2f}%" y1="{top}" y2="{top}"'
    return f'<line {line} stroke="{_GREEN}" stroke-width="{width}"{dash}/>'


def _text(words: str, top: int) -> str:
    return f'<text x="0" y="{top + 14}">{escape(words)}</text>'
