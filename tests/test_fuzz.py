"""Hostile scenarios: whatever a link can say is answered, in bounded work, and by nothing but its numbers."""

from __future__ import annotations

import ast
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel import Scenario, estimate, from_query
from perfmodel.dimensions import Dimensions
from perfmodel.hardware import Chip
from perfmodel.scenario import field_keys

PACKAGE = Path(__file__).resolve().parents[1] / "perfmodel"
KEYS = [key.key for record in (Scenario, Dimensions, Chip) for key in field_keys(record).values()]
EXTREME = (
    "0",
    "1",
    "2",
    "7",
    "64",
    "4096",
    "100000",
    "1000000",
    "100000000",
    "1e300",
    "-1",
    "nan",
    "",
    "custom",
    "x" * 99,
)
#: A scenario's work grows with kinds of layers, never with layers, tokens or devices.
MOST_OPERATORS = 2_000
#: What a bf16 product can run on.
ROOMY = ("bf16", "fp16", "fp32", "tf32")
#: What talks to the machine on purpose: the calibrator.
MEASURING = PACKAGE / "measure"


def custom(**changes: Any) -> dict[str, str]:
    """The link of a custom model and chip at the ends of what is allowed."""
    query = {"model": "custom", "gpu": "custom", "layers": "1", "hidden": "1", "vocab": "1", "heads": "1"}
    query |= {"kv_heads": "1", "head_dim": "1", "ffn": "1", "g.bw": "1", "g.mem": "1", "g.bf16": "1"}
    return query | {key: str(value) for key, value in changes.items()}


@given(st.dictionaries(st.sampled_from(KEYS), st.sampled_from(EXTREME), max_size=12))
@settings(max_examples=150, deadline=None)
def test_any_link_is_answered(query: dict[str, str]) -> None:
    """The scenario of any link is estimated, no time is negative; a chip that cannot compute it at all is named."""
    scenario, _ = from_query(custom() | query)
    if not any(rate > 0 for name, rate in scenario.resolved_gpu.peak_flops.items() if name in ROOMY):
        with pytest.raises(ValueError, match="gpu=custom has no published peak rate"):
            estimate(scenario)
        return
    report = estimate(scenario)
    for value in (report.ttft_s, report.tpot_s, report.e2e_s, report.memory.total):
        assert np.isnan(value) or value >= 0


@pytest.mark.parametrize("name", ["layers", "hidden", "vocab", "heads", "ffn", "batch", "in", "out"])
def test_work_does_not_grow_with_numbers(name: str) -> None:
    """A link with the largest allowed number costs as many operators as one with the smallest."""
    records = {
        key.key: (record, field) for record in (Scenario, Dimensions) for field, key in field_keys(record).items()
    }
    record, field = records[name]
    largest = max(item.le for item in record.model_fields[field].metadata if hasattr(item, "le"))
    small, big = (estimate(from_query(custom(**{name: value}))[0]) for value in (1, largest))
    assert len(big.decode.ops) <= len(small.decode.ops) + 4
    assert len(big.decode.ops) < MOST_OPERATORS


def test_the_worst_pattern_of_layers_is_bounded() -> None:
    """The most varied pattern that a link can hold stays below the bound on operators."""
    query = custom(layers=4096, mixers="GLMSD-" * 340, ffns="d-" * 1000, experts=8, top_k=2, expert_ffn=8, window=8)
    report = estimate(from_query(query)[0])
    assert len(report.decode.ops) < MOST_OPERATORS


def test_no_number_depends_on_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that jumps backwards changes no estimate, and no module of the model reads one but the command line."""
    before = estimate(Scenario()).e2e_s
    for name in ("time", "monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: -1e9)
    assert estimate(Scenario()).e2e_s == before
    readers = [path.name for path in _model() if _imports(path) & {"time", "datetime"}]
    assert readers == ["__main__.py"]  # the date of a report


def test_the_model_opens_nothing_and_evaluates_nothing() -> None:
    """Input cannot reach a file, an address, a process, an evaluator or an unpickler: no module has the means."""
    forbidden = {"socket", "http", "requests", "pickle", "marshal", "shelve", "subprocess", "ctypes"}
    for path in _model():
        assert not _imports(path) & forbidden, path.name
        assert not _modules(path) & {"urllib.request", "urllib"}, path.name  # urllib.parse only takes text apart
        calls = {
            node.func.id
            for node in ast.walk(_tree(path))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not calls & {"eval", "exec", "compile", "__import__"}, path.name


def _model() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if MEASURING not in path.parents]


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _modules(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def _imports(path: Path) -> set[str]:
    return {name.split(".")[0] for name in _modules(path)}
