"""The list of article cases: each that was promised has a test, each test that is named exists and says its case."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
TABLE = tomllib.loads((TESTS / "cases.toml").read_text(encoding="utf-8"))
CASES: dict[str, list[str]] = TABLE["cases"]
REQUIRED = {int(issue): cases for issue, cases in TABLE["required"].items()}
EVERY = [f"S{number}" for number in range(1, 75)]


@cache
def functions(file: str) -> dict[str, ast.FunctionDef]:
    """The functions of a test file by name."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def mentioned(text: str) -> set[str]:
    """The cases that a docstring names, ranges included.

    >>> sorted(mentioned("S5, S20 to S22: a law; E1, S8x"))
    ['S20', 'S21', 'S22', 'S5']
    """
    ranges = re.findall(r"\bS(\d+) to S(\d+)\b", text)
    inside = {f"S{n}" for low, high in ranges for n in range(int(low), int(high) + 1)}
    return inside | set(re.findall(r"\bS\d+\b", text))


@pytest.mark.parametrize("issue", REQUIRED)
def test_what_was_promised_is_proved(issue: int) -> None:
    """Every case that an issue asks for has at least one test."""
    assert [case for case in REQUIRED[issue] if not CASES.get(case)] == []


def test_every_case_is_listed_once() -> None:
    """Each of the 74 cases has tests, or stands under `open` with the reason, never both."""
    assert set(CASES) | set(TABLE["open"]) == set(EVERY)
    assert set(CASES) & set(TABLE["open"]) == set()
    assert all(CASES.values())
    assert all(TABLE["open"].values())
    assert {case for cases in REQUIRED.values() for case in cases} <= set(EVERY)


@pytest.mark.parametrize("case", CASES)
def test_tests_of_a_case_exist_and_say_so(case: str) -> None:
    """Each named test exists, is no duplicate, is not expected to fail, and its docstring names the case."""
    assert len(set(CASES[case])) == len(CASES[case])
    for name in CASES[case]:
        file, function = name.split("::")
        node = functions(file).get(function)
        assert node is not None, name
        assert case in mentioned(ast.get_docstring(node) or ""), name
        marks = " ".join(ast.unparse(mark) for mark in node.decorator_list)
        assert "xfail" not in marks, name
        assert "skip" not in marks, name
