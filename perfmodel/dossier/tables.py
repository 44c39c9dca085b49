"""The tables behind the pages with all digits, in SI units: as rows, as CSV files in one archive, as JSON."""

from __future__ import annotations

import csv
import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from perfmodel.batching import NEEDS, batch_curve
from perfmodel.breakdown import phases
from perfmodel.cures.words import all_rows
from perfmodel.dossier.subject import Subject
from perfmodel.explain import METRICS
from perfmodel.launch import launches
from perfmodel.pins import labels
from perfmodel.report import PLAIN_RESULTS, Report
from perfmodel.scenario import Scenario, field_keys
from perfmodel.step import Step

Row = dict[str, Any]
#: Results that no formula card explains: their unit.
_UNITS = {"replicated_flops_prefill": "FLOP", "replicated_flops_decode": "FLOP", "decode_step_s": "s"}
#: A spreadsheet takes a text that begins so for a formula.
_FORMULA = ("=", "+", "-", "@")
#: All entries of the archive carry this time: the same scenario gives the same file.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def tables(subject: Subject) -> dict[str, list[Row]]:
    """Return every table of a scenario by name: numbers with units, inputs, operators, memory, batching, sources."""
    report = subject.report
    found = {
        "numbers": _numbers(report),
        "inputs": inputs(subject.scenario),
        "operators": [row for name in ("prefill", "decode") for row in _operators(name, getattr(report, name))],
        "flops": _flops(report),
        "memory": [
            {"part": part, "bytes_per_device": value}
            for part, value in zip(("weights", "cache", "activations", "runtime"), report.memory.parts, strict=True)
        ],
        "batching": _batching(subject.scenario),
        "cures": all_rows(subject.scenario),
        "sources": [
            {"what": used.what, "value": used.value, "source": used.source.title, "place": used.source.place,
             "date": used.source.date, "note": used.note}
            for used in report.used
        ],
        "notes": [{"level": note.level, "about": note.about, "text": note.text} for note in report.notes],
    }  # fmt: skip
    return found | ({"pinned": _pinned(subject)} if subject.pins else {})


def _numbers(report: Report) -> list[Row]:
    units = {
        name: _UNITS.get(name) or METRICS[name].unit for name in PLAIN_RESULTS if name in METRICS or name in _UNITS
    }
    none = (float("nan"), float("nan"))
    bands = {name: report.bands.get(name, none) for name in units}
    return [
        {"name": name, "value": getattr(report, name), "unit": unit, "low": bands[name][0], "high": bands[name][1]}
        for name, unit in units.items()
    ]


def inputs(scenario: Scenario) -> list[Row]:
    """Return every input of a scenario in words, those of a custom model and chip too."""
    parts = (scenario, scenario.dimensions, scenario.chip)
    return [
        {"input": key.help, "value": getattr(part, name), "unit": key.unit, "link key": key.key}
        for part in parts
        if part is not None
        for name, key in field_keys(type(part)).items()
        if getattr(part, name) is not None and getattr(part, name) != ""
    ]


def _operators(phase: str, step: Step) -> list[Row]:
    total = float(step.time_s)
    return [
        {
            "phase": phase,
            "operator": timed.op.name,
            "block": str(timed.op.group),
            "calls": timed.op.count,
            "time_s": timed.time_s,
            "share": timed.time_s / total,
            "bound": timed.bound,
            "compute_s": timed.compute_s,
            "memory_s": timed.memory_s,
            "network_s": timed.network_s,
            "overhead_s": timed.overhead_s,
            "flops": timed.flops,
            "moved_bytes": timed.moved_bytes,
        }
        for timed in step.timed
    ]


def _flops(report: Report) -> list[Row]:
    return [
        {"phase": phase.name, "block": str(group), "flops": float(flops)}
        for phase in phases(report.scenario)
        for group, flops in phase.groups.items()
    ]


def _batching(scenario: Scenario) -> list[Row]:
    curve = batch_curve(scenario)
    needs = dict(zip((f"{name}_s" for name in NEEDS), curve.needs_s.tolist(), strict=True))
    columns = {"batch": curve.batch.tolist(), "step_s": curve.step_s.tolist()}
    columns |= {"tokens_per_s": curve.tokens_per_s.tolist()} | needs
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _pinned(subject: Subject) -> list[Row]:
    names = {"now": "this scenario"} | labels(subject.pins)
    reports = {"now": subject.report} | {slot: Subject(pin.scenario).report for slot, pin in subject.pins.items()}
    return [
        {"number": name} | {names[slot]: getattr(of, name) for slot, of in reports.items()} for name in PLAIN_RESULTS
    ]


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV; what is not known stays empty, and no text becomes a formula of a spreadsheet.

    >>> print(csv_text([{"a": 1.5, "b": "=1+1"}, {"a": float("nan"), "b": "x"}]), end="")
    a,b
    1.5,'=1+1
    ,x
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, tuple(rows[0]) if rows else (), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if _known(value) is None else value


def _known(value: Any) -> Any:
    """Return a value as JSON can write it: an unknown or infinite number is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def archive(subject: Subject) -> bytes:
    """Return all tables as CSV files in one zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, rows in ((name, rows) for name, rows in tables(subject).items() if rows):
            file.writestr(zipfile.ZipInfo(f"{name}.csv", _EPOCH), csv_text(rows), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def machine_text(subject: Subject) -> str:
    """Return everything as JSON: link, inputs, the results as `estimate --json` gives them, launch lines, tables."""
    whole = {
        "link": subject.link,
        "date": subject.date,
        "scenario": subject.scenario.to_query(),
        "result": subject.report.to_dict(),
        "launch": {launch.server: launch.command for launch in launches(subject.report)},
        "tables": {
            name: [{key: _known(value) for key, value in row.items()} for row in rows]
            for name, rows in tables(subject).items()
        },
    }
    return json.dumps(whole, indent=2, allow_nan=False, ensure_ascii=False)
