"""Numbers that remember where they came from: run the engine on them and every result opens into its arithmetic.

A `Traced` is a float. Arithmetic on it gives the same value as on floats and keeps the operation, its operands and the
function in which it happened; inside a formula of `perfmodel.formulas` it also keeps the call with its arguments.
Nothing of this runs in an estimate: only explanations compute with traced numbers.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TypeAlias

import numpy as np

from perfmodel.catalog import Source
from perfmodel.explain.docstrings import Formula, by_code


@dataclass(frozen=True, slots=True)
class Leaf:
    """A number from outside: the scenario, a spec file, an engine constant."""

    name: str
    meaning: str
    unit: str
    source: Source


@dataclass(frozen=True, slots=True)
class Named:
    """A computed number under a name of its own."""

    name: str
    unit: str
    of: Traced


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call of a formula: the function, its arguments by name, and the code that called it."""

    function: Formula
    arguments: dict[str, float]
    caller: CodeType | None

    def same(self, other: Call | None) -> bool:
        """Return whether both are the same function on the same numbers."""
        if other is None or self.function is not other.function:
            return False
        return all(value is other.arguments[name] for name, value in self.arguments.items())


@dataclass(frozen=True, slots=True)
class Node:
    """One operation: its sign (+ - * / ** or a function name), operands, the code it ran in, the formula around it."""

    sign: str
    parts: tuple[float, ...]
    code: CodeType
    call: Call | None


How: TypeAlias = Leaf | Named | Node

#: Inputs of the run by name: an argument that lost its trace on the way is recognised by name and value.
_INPUTS: ContextVar[Mapping[str, Traced] | None] = ContextVar("inputs", default=None)


class Traced(float):
    """A float that knows how it was computed."""

    __slots__ = ("how",)
    how: How

    def __new__(cls, value: float, how: How) -> Traced:
        """Return `value` with its origin."""
        made = super().__new__(cls, value)
        made.how = how
        return made

    # By identity: a cache keyed by numbers must never hand a traced number to an estimate, or the other way round.
    __hash__ = object.__hash__

    def __index__(self) -> int:
        """Return a whole number as int, so that a count of layers can be a range."""
        if not self.is_integer():
            raise TypeError(f"{float(self)} is not a whole number")
        return int(self)

    def __ceil__(self) -> Any:
        """Return the next whole number, traced."""
        return self if self.is_integer() else _node("ceil", math.ceil(float(self)), (self,), sys._getframe(1))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """Trace NumPy's scalar functions; anything with an array in it goes on untraced."""
        parts = tuple(_scalar(value) for value in inputs)
        plain = [float(value) if isinstance(value, float) else value for value in parts]
        value = getattr(ufunc, method)(*plain, **options)
        if method != "__call__" or np.ndim(value) or ufunc.nout != 1:
            return value
        return _binary(_SIGNS.get(ufunc.__name__, ufunc.__name__), float(value), parts, sys._getframe(1))


_SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**", "negative": "neg"}


def _scalar(value: Any) -> Any:
    return value if isinstance(value, Traced) or np.ndim(value) else float(value)


def _binary(sign: str, value: float, parts: tuple[float, ...], frame: FrameType) -> float:
    return _node(sign, value, parts, frame) if in_formula(frame) else _neutral(sign, parts, value, frame)


def _neutral(sign: str, parts: tuple[float, ...], value: float, frame: FrameType) -> float:
    """Leave out what changes nothing: times or over a plain 1, plus or minus a plain 0, times a plain 0."""
    if sign in ("+", "-", "*", "/") and len(parts) == 2:
        unit = 0.0 if sign in "+-" else 1.0
        first, second = parts
        if type(second) is not Traced and second == unit:
            return first
        if sign in "+*" and type(first) is not Traced and first == unit:
            return second
        if sign in "*/" and any(type(part) is not Traced and part == 0.0 for part in parts[: 1 if sign == "/" else 2]):
            return 0.0
        if sign == "/" and first is second:
            return 1.0
    return _node(sign, value, parts, frame)


def _node(sign: str, value: float, parts: tuple[float, ...], frame: FrameType) -> Traced:
    return Traced(value, Node(sign, parts, frame.f_code, _call(frame)))


def in_formula(frame: FrameType) -> bool:
    """Return whether the frame runs a formula of `perfmodel.formulas`."""
    return frame.f_code in by_code()


def _call(frame: FrameType) -> Call | None:
    function = by_code().get(frame.f_code)
    if function is None:
        return None
    inputs, local = _INPUTS.get() or {}, frame.f_locals
    names = frame.f_code.co_varnames[: frame.f_code.co_argcount]
    arguments = {name: _known(inputs.get(name), local[name]) for name in names}
    return Call(function, arguments, frame.f_back.f_code if frame.f_back else None)


def _known(given: Traced | None, value: Any) -> Any:
    return given if given is not None and type(value) is not Traced and value == given else value


@contextmanager
def inputs(known: Mapping[str, Traced]) -> Iterator[None]:
    """Recognise these inputs by name wherever a formula is called inside the block."""
    token = _INPUTS.set(known)
    try:
        yield
    finally:
        _INPUTS.reset(token)


def _operation(sign: str, function: Callable[[float, float], float], *, swapped: bool) -> Callable[[Any, Any], Any]:
    def method(self: Traced, other: Any) -> Any:
        if not isinstance(other, (int, float, np.number)):
            return NotImplemented
        parts: tuple[Any, Any] = (other, self) if swapped else (self, other)
        value = function(float(parts[0]), float(parts[1]))
        return _binary(sign, value, parts, sys._getframe(1))

    return method


for _name, _sign, _function in (
    ("add", "+", operator.add),
    ("sub", "-", operator.sub),
    ("mul", "*", operator.mul),
    ("truediv", "/", operator.truediv),
    ("pow", "**", operator.pow),
):
    setattr(Traced, f"__{_name}__", _operation(_sign, _function, swapped=False))
    setattr(Traced, f"__r{_name}__", _operation(_sign, _function, swapped=True))


def leaf(name: str, value: float, unit: str, source: Source, meaning: str = "") -> Traced:
    """Return a number from outside with its name, unit and source."""
    return Traced(float(value), Leaf(name, meaning or name, unit, source))


def named(name: str, value: float, unit: str) -> float:
    """Give a computed number a name under which expressions show it; plain numbers stay as they are."""
    return Traced(value, Named(name, unit, value)) if isinstance(value, Traced) else value


def opened(value: Traced) -> Traced:
    """Return the number behind the names it was given."""
    while isinstance(value.how, Named):
        value = value.how.of
    return value


def operands(value: float) -> tuple[float, ...]:
    """Return the numbers this one was computed from, those of a formula call being its arguments."""
    how = value.how if isinstance(value, Traced) else None
    if isinstance(how, Named):
        return (how.of,)
    if isinstance(how, Node):
        return tuple(how.call.arguments.values()) if how.call else how.parts
    return ()


def history(value: float) -> Iterator[Traced]:
    """Yield the number and every traced number it was computed from, each once."""
    seen: set[int] = set()
    stack = [value]
    while stack:
        current = stack.pop()
        if id(current) in seen or not isinstance(current, Traced):
            continue
        seen.add(id(current))
        yield current
        stack.extend(operands(current))


def leaves(value: float) -> dict[Leaf, float]:
    """Return every number from outside that this one rests on."""
    return {found.how: float(found) for found in history(value) if isinstance(found.how, Leaf)}


_APPLY: dict[str, Callable[..., Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "neg": operator.neg,
}


def apply(sign: str, values: list[float]) -> float:
    """Carry out one operation on plain numbers."""
    return float(_APPLY[sign](*values) if sign in _APPLY else getattr(np, sign)(*values))


@lru_cache(maxsize=512)
def place(code: CodeType) -> str:
    """Return where code lives, as "perfmodel/attention.py, Attention.parameters"."""
    path = Path(code.co_filename)
    root = Path(__file__).resolve().parents[2]
    shown = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    return f"{shown}, {home(code)}"


def home(code: CodeType) -> str:
    """Return the qualified name of the function a piece of code belongs to, comprehensions included."""
    return code.co_qualname.split(".<locals>")[0]


def sentence(code: CodeType) -> str:
    """Return the first line of the docstring of the code, or nothing."""
    text = code.co_consts[0] if code.co_consts else None
    return text.strip().split("\n")[0] if isinstance(text, str) and " " in text else ""
