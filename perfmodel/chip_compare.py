"""Several accelerators side by side: their numbers with ratios to the first, and one scenario's times on each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from perfmodel.catalogue_tables import Row, chosen, compared, is_estimate, marked
from perfmodel.chip_tables import COLUMNS, chips_of, estimated
from perfmodel.estimate import cached_estimate
from perfmodel.formulas.roofline import ridge_intensity
from perfmodel.hardware import Accelerator
from perfmodel.precision import native_dtype
from perfmodel.report import Report
from perfmodel.scenario import CUSTOM, Scenario
from perfmodel.units import show, significant


@dataclass(frozen=True, slots=True)
class ChipTimes:
    """One scenario on one chip. Times and intensities are NaN where the chip's numbers do not suffice.

    `dtype`, `peak_flops` [FLOP/s], `bytes_per_s` [B/s]: the roof this scenario works under on this chip.
    """

    chip: Accelerator
    dtype: str
    peak_flops: float
    bytes_per_s: float
    prefill_s: float = math.nan
    decode_s: float = math.nan
    tokens_per_s: float = math.nan
    usd_per_million: float = math.nan
    prefill_intensity: float = math.nan
    decode_intensity: float = math.nan
    memory_bytes: float = math.nan
    fits: bool = False
    notes: tuple[str, ...] = ()

    @property
    def ridge(self) -> float:
        """Intensity at which this chip turns compute-bound in the scenario's type [FLOP/B]."""
        return float(ridge_intensity(self.peak_flops, self.bytes_per_s))

    @property
    def estimated(self) -> bool:
        """Whether the roof rests on a number that nobody published."""
        sources = self.chip.sources
        return any(is_estimate(sources[p]) for p in (f"peak.{self.dtype}", "memory.bandwidth") if p in sources)


def on_chip(scenario: Scenario, id: str) -> Scenario:
    """Return the same question on another chip of the catalogue; `custom` is the scenario's own."""
    return scenario if id == CUSTOM else scenario.change(gpu=id, chip=None)


def times_on(scenario: Scenario, ids: Sequence[str]) -> list[ChipTimes]:
    """Estimate the scenario on each chip; a chip whose numbers do not suffice says so and has no times."""
    known = chips_of(scenario)
    return [_times(scenario, id, known[id]) for id in chosen(ids, known, (scenario.gpu,))]


def _times(scenario: Scenario, id: str, chip: Accelerator) -> ChipTimes:
    dtype = native_dtype(chip, scenario.precision.linear_math) or ""
    roof = (chip, dtype, chip.peak_flops.get(dtype, math.nan), chip.memory_bytes_per_s)
    try:
        report = cached_estimate(on_chip(scenario, id))
    except ValueError as error:
        return ChipTimes(*roof, notes=(str(error),))
    return ChipTimes(
        *roof,
        prefill_s=report.ttft_s,
        decode_s=report.decode_step_s,
        tokens_per_s=report.tokens_per_s,
        usd_per_million=report.usd_per_million_tokens,
        prefill_intensity=float(report.prefill.total("flops") / report.prefill.total("moved_bytes")),
        decode_intensity=float(report.decode.total("flops") / report.decode.total("moved_bytes")),
        memory_bytes=report.memory.total,
        fits=report.memory.fits,
        notes=_notes(report),
    )


def _notes(report: Report) -> tuple[str, ...]:
    grave = [note.text for note in report.notes if note.level != "info" and note.about != "context"]
    if not math.isfinite(report.decode_step_s):
        grave.append(f"The memory bandwidth of {report.setup.chip.name} is not published: no times")
    return tuple(grave)


#: Line of the comparison -> value, text of a value. Larger is not always better: the ratio is only value / first.
_SCENARIO_LINES: tuple[tuple[str, Callable[[ChipTimes], float], str], ...] = (
    ("Time to first token", lambda t: t.prefill_s, "s"),
    ("Decode step", lambda t: t.decode_s, "s"),
    ("Output tokens/s", lambda t: t.tokens_per_s, ""),
    ("USD per million tokens", lambda t: t.usd_per_million, ""),
)


def comparison(times: Sequence[ChipTimes]) -> list[Row]:
    """Return the table of a comparison: one line a quantity, one column a chip, ratios to the first chip."""
    names = [t.chip.name for t in times]
    rows = []
    for name, value, unit in _SCENARIO_LINES:
        values = [value(t) for t in times]
        texts = [marked(show(v, unit), t.estimated) for v, t in zip(values, times, strict=True)]
        rows.append((name, compared(texts, values)))
    rows.append(("Memory needed", [_fit(t) for t in times]))
    for column in COLUMNS:
        values = [column.value(t.chip) for t in times]
        texts = [marked(significant(v, 4), estimated(t.chip, column)) for v, t in zip(values, times, strict=True)]
        if any(math.isfinite(v) for v in values):
            rows.append((column.heading, compared(texts, values)))
    return [{"Quantity": name, **dict(zip(names, cells, strict=True))} for name, cells in rows]


def _fit(times: ChipTimes) -> str:
    if not math.isfinite(times.memory_bytes):
        return "–"
    amount = f"{show(times.memory_bytes, 'B')} of {show(times.chip.memory_bytes, 'B')}"
    return amount if times.fits else f"does not fit: {amount}"


def comparison_notes(times: Sequence[ChipTimes]) -> list[str]:
    """Return what the reader must know about the times, one sentence each, every sentence once."""
    return list(dict.fromkeys(note for t in times for note in t.notes))


def winner_sentence(times: Sequence[ChipTimes]) -> str:
    """Return who decodes fastest, by how much against the first, and who does not hold the scenario."""
    able = [t for t in times if t.fits and math.isfinite(t.decode_s)]
    if not able:
        return "The scenario fits on none of these chips."
    best, first = min(able, key=lambda t: t.decode_s), times[0]
    text = f"{best.chip.name} decodes fastest: {show(best.decode_s, 's')} a step"
    if best is not first and math.isfinite(first.decode_s):
        text += f", {significant(first.decode_s / best.decode_s)}× as fast as {first.chip.name}"
    left_out = [t.chip.name for t in times if t not in able]
    return f"{text}. The scenario does not fit or has no times on {', '.join(left_out)}." if left_out else f"{text}."
