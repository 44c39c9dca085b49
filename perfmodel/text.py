"""A report as plain text for the terminal."""

from __future__ import annotations

from perfmodel.advice import verdict
from perfmodel.blocks import parameters
from perfmodel.estimate import cached_estimate
from perfmodel.report import Report
from perfmodel.scenario import Scenario
from perfmodel.step import REGIMES, Step
from perfmodel.units import count, show

#: What a band is, for those who see one.
BAND_HELP = "Below the number: 80 % of comparable measurements, left out of every fit, lie in this range"


def report_text(report: Report) -> str:
    """Return the verdict, the headline numbers, the largest operators and the notes, one fact a line."""
    s, p = report.scenario, parameters(report.setup.model.dimensions)
    title = f"{report.setup.model.name} on {s.n} x {report.setup.chip.name}, {report.setup.engine.name}"
    rows = [
        ("Time to first token (no queue)", _banded(report, "ttft_s")),
        ("Time per output token", _banded(report, "tpot_s")),
        ("Whole request", _banded(report, "e2e_s")),
        ("Output tokens per second", show(report.tokens_per_s)),
        ("Parameters (active)", f"{count(p.total)} ({count(p.active)})"),
        ("Weights, one copy", show(report.weight_bytes, "B")),
        ("KV cache per token", show(report.kv_bytes_per_token, "B")),
        ("Memory per device", f"{show(report.memory.total, 'B')} of {show(report.memory.capacity, 'B')}"),
    ]
    lines = [title, verdict(report).sentence, "", *(f"{name:32}{value}" for name, value in rows), ""]
    for name, step in (("Prefill", report.prefill), (_step_name(report), report.decode)):
        lines += [_shares(name, step), *_largest(step), ""]
    lines += [f"{note.level}: {note.text}" for note in report.notes]
    return "\n".join(lines).rstrip()


def summary(scenario: Scenario) -> str:
    """Return who computes what on what, in one line."""
    s, setup = scenario, cached_estimate(scenario).setup
    prefix = f"{count(s.prefix)} cached + " if s.prefix else ""
    layout = [
        f"{key} {value}"
        for key, value in (("tensor", s.tp), ("pipeline", s.pp), ("data", s.dp), ("context", s.cp), ("expert", s.ep))
        if value > 1
    ]
    parts = [
        setup.model.name,
        f"{s.weights} weights, {s.kv} KV cache",
        f"{s.n:,} × {setup.chip.name}" + (f" ({', '.join(layout)} parallel)" if layout else ""),
        setup.engine.name,
        f"batch {s.batch:,} × ({prefix}{count(s.input)} in + {count(s.output)} out) tokens",
    ]
    return " · ".join(parts)


def _step_name(report: Report) -> str:
    return "Round of draft and verification" if report.setup.speculation else "Decode step"


def band_text(report: Report, name: str, unit: str = "s") -> str:
    """Return the band of a result, as "4.1 ms to 5.3 ms"; nothing for a bound, which has none."""
    if name not in report.bands:
        return ""
    low, high = report.bands[name]
    return f"{show(low, unit)} to {show(high, unit)}"


def _banded(report: Report, name: str) -> str:
    text = band_text(report, name)
    return show(getattr(report, name), "s") + (f"   (80 % of comparable measurements: {text})" if text else "")


def _shares(name: str, step: Step) -> str:
    parts = ", ".join(
        f"{regime} {share:.0%}" for regime, share in zip(REGIMES, step.shares, strict=True) if share >= 0.005
    )
    return f"{name}: {show(float(step.time_s), 's')} ({parts})"


def _largest(step: Step, most: int = 5) -> list[str]:
    ranked = sorted(step.timed, key=lambda timed: -timed.time_s)[:most]
    total = float(step.time_s)
    return [
        f"  {t.op.name:24}{show(t.time_s, 's'):>10} {t.time_s / total:6.1%}  {t.bound:9} {show(t.intensity)} FLOP/B"
        for t in ranked
    ]
