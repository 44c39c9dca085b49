"""Several accelerators on the same work: the best configuration of each, per device, dollar, bandwidth or baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.cost import Tariff, usd
from perfmodel.hardware import Accelerator
from perfmodel.search.need import Answer, Need, Offer, answered
from perfmodel.search.study import Study
from perfmodel.search.words import layout_words
from perfmodel.units import TERA, show, significant

PER: Mapping[str, str] = {"device": "device", "dollar": "USD", "bandwidth": "TB/s of memory", "first": "first chip"}
WHAT: Mapping[str, str] = {"throughput": "tokens per second", "energy": "tokens per joule", "users": "users"}

#: What the table says of each accelerator.
COLUMNS = (
    *("tokens/s a device", "tokens/s each", "USD/h", "USD/10⁶ tokens", "first token", "power"),
    *("best copy", "requests a copy"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One accelerator: its best configuration that is fast enough, or None; price of one [USD/h]."""

    gpu: str
    chip: Accelerator
    offer: Offer | None
    usd_per_hour: float

    def value(self, what: str) -> float:
        """Return what one device of this configuration gives: tokens/s, tokens/J, or users; NaN without one."""
        if self.offer is None:
            return float("nan")
        each = {
            "throughput": self.offer.tokens_per_s / self.offer.devices,
            "energy": self.offer.tokens_per_s / self.offer.power_w,
            "users": float(self.offer.batch) / self.offer.combination.devices,
        }
        return each[what]


def contest(study: Study, gpus: tuple[str, ...], speed: float, tariff: Tariff) -> tuple[Row, ...]:
    """Return the configuration of each accelerator with the most tokens a device among those that are fast enough."""
    answer = answered(study, Need(users=1e-9, first_s=0.0, tokens_per_s=speed, goal="devices", tariff=tariff))
    gain = np.where(answer.feasible, answer.throughput("device"), -np.inf)
    owner = study.of("gpu") if study.points else np.zeros(0, dtype=object)
    return tuple(_row(answer, gpu, np.where(owner == gpu, gain, -np.inf)) for gpu in gpus)


def _row(answer: Answer, gpu: str, gain: Any) -> Row:
    asked = answer.study.space.asked
    combination = next((c for c in answer.study.combinations if c.gpu == gpu), None)
    chip = combination.scenario(asked).resolved_gpu if combination else asked.change(gpu=gpu, chip=None).resolved_gpu
    found = bool(gain.size) and bool(np.isfinite(gain.max()))
    return Row(gpu, chip, answer.offer(int(np.argmax(gain))) if found else None, answer.need.tariff.usd_per_hour(chip))


def normalised(rows: tuple[Row, ...], what: str, per: str) -> list[float]:
    """Return what each accelerator gives per device, USD, TB/s, or relative to the first; NaN where unknown.

    Per USD: tokens/s and users over the price of an hour; tokens per joule are as they are, only relative to the first.
    """
    values = [row.value(what) for row in rows]
    if per == "first":
        return [value / values[0] if values[0] else float("nan") for value in values]
    if per == "device" or what == "energy":
        return values
    scale = [row.usd_per_hour if per == "dollar" else row.chip.memory_bytes_per_s / TERA for row in rows]
    return [value / by if by > 0 else float("nan") for value, by in zip(values, scale, strict=True)]


def unit(what: str, per: str) -> str:
    """Return what the numbers of `normalised` are, in words."""
    if per == "first":
        return f"{WHAT[what]}, first chip = 1"
    if what == "energy":
        return "tokens per joule of the accelerators"
    scale = {"device": " per device", "dollar": " per USD an hour", "bandwidth": " per TB/s of memory bandwidth"}
    return WHAT[what] + scale[per]


def sentence(rows: tuple[Row, ...], what: str, per: str) -> str:
    """Return which accelerator gives most, by how much, and which cannot do it."""
    values = normalised(rows, what, per)
    known = sorted(((v, row) for v, row in zip(values, rows, strict=True) if v == v), key=lambda pair: -pair[0])
    none = [row.chip.name for row in rows if row.offer is None]
    cannot = f" {', '.join(none)}: no configuration fits and is fast enough." if none else ""
    if not known:
        return f"None of these accelerators gives a number here.{cannot}"
    best, first = known[0]
    text = f"**{first.chip.name}** gives the most: {significant(best)} {unit(what, per)}"
    if len(known) > 1:
        second, other = known[1]
        text += f", {significant(best / second)}× as many as {other.chip.name}"
    return f"{text}.{cannot}"


def describe(rows: tuple[Row, ...], what: str, per: str) -> str:
    """Return in one sentence what the bars show."""
    return f"{len(rows)} accelerators on the same work: {unit(what, per)}, each in its best configuration."


def table(rows: tuple[Row, ...]) -> list[dict[str, str]]:
    """Return the accelerators as table rows."""
    return [{"accelerator": row.chip.name, **_cells(row)} for row in rows]


def _cells(row: Row) -> dict[str, str]:
    o = row.offer
    if o is None:
        return dict.fromkeys(COLUMNS, "–") | {"best copy": "none fits and is fast enough"}
    cells = (
        significant(row.value("throughput")),
        significant(1.0 / o.tpot_s),
        usd(row.usd_per_hour),
        usd(o.usd_per_million),
        show(o.first_s, "s"),
        show(o.power_w / o.devices, "W"),
        layout_words(o.combination),
        f"{o.batch:,}",
    )
    return dict(zip(COLUMNS, cells, strict=True))
