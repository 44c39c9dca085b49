"""Arithmetic written in a lesson file, carried out safely: numbers, named values and a fixed set of functions."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from perfmodel.catalog import closest

Value: TypeAlias = float | str | bool
Function: TypeAlias = Callable[..., Any]

#: No expression is longer, and no power is higher: a lesson is data, and data must not keep the server busy.
MAX_CHARS, MAX_POWER = 400, 64.0
_BINARY: dict[type[ast.operator], Function] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_COMPARE: dict[type[ast.cmpop], Function] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
PLAIN: Mapping[str, Function] = {
    "max": max,
    "min": min,
    "abs": abs,
    "round": round,
    "sqrt": math.sqrt,
    "log2": math.log2,
}


@lru_cache(maxsize=4096)
def parsed(text: str) -> ast.expr:
    """Return the tree of an expression; raise a `ValueError` that quotes it when it is none.

    >>> ast.unparse(parsed("2 * tokens"))
    '2 * tokens'
    """
    if len(text) > MAX_CHARS:
        raise ValueError(f"expression of {len(text)} characters: at most {MAX_CHARS} are allowed: {text[:60]!r}")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"{text!r} is not an expression: {error.msg}") from None


def calculate(text: str, values: Mapping[str, Value], functions: Mapping[str, Function]) -> Value:
    """Carry out an expression on named values and functions; whatever is not listed is refused by name.

    Allowed: numbers, texts, names, + - * / **, comparisons, and/or/not, calls of the given functions.

    >>> calculate("2 * tokens / max(1, 4)", {"tokens": 10.0}, {})
    5.0
    >>> calculate("__import__('os')", {}, {})
    Traceback (most recent call last):
    ValueError: "__import__('os')": __import__ is no known function
    """
    try:
        found: Value = _value(parsed(text), values, {**PLAIN, **functions})
        return found
    except (ValueError, TypeError, ZeroDivisionError, OverflowError, KeyError) as error:
        raise ValueError(f"{text!r}: {error}" if "'" not in text else f'"{text}": {error}') from error


def names(text: str) -> frozenset[str]:
    """Return the names an expression reads, those of the functions it calls left out.

    >>> sorted(names("max(a, b) + sqrt(2)"))
    ['a', 'b']
    """
    tree = parsed(text)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return frozenset(n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in called)


def _value(node: ast.expr, values: Mapping[str, Value], functions: Mapping[str, Function]) -> Any:
    match node:
        case ast.Constant(value=bool() | str() as plain):
            return plain
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            if name not in values:
                raise ValueError(f"{name} is no known value{closest(name, tuple(values))}")
            return values[name]
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _BINARY:
            a, b = _value(left, values, functions), _value(right, values, functions)
            if isinstance(sign, ast.Pow) and abs(b) > MAX_POWER:
                raise ValueError(f"the power {b:g} is beyond {MAX_POWER:g}")
            return _BINARY[type(sign)](a, b)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, values, functions)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _value(operand, values, functions)
        case ast.BoolOp(op=kind, values=parts):
            found = (bool(_value(part, values, functions)) for part in parts)
            return all(found) if isinstance(kind, ast.And) else any(found)
        case ast.Compare(left=left, ops=[sign], comparators=[right]):
            return bool(_COMPARE[type(sign)](_value(left, values, functions), _value(right, values, functions)))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
            return _call(name, args, keywords, values, functions)
    raise ValueError(f"{ast.unparse(node)} is not allowed: numbers, names, + - * / **, comparisons and calls are")


def _call(
    name: str,
    args: list[ast.expr],
    keywords: list[ast.keyword],
    values: Mapping[str, Value],
    functions: Mapping[str, Function],
) -> Any:
    if name not in functions:
        raise ValueError(f"{name} is no known function{closest(name, tuple(functions))}")
    given = [_value(part, values, functions) for part in args]
    named = {item.arg: _value(item.value, values, functions) for item in keywords if item.arg}
    result = functions[name](*given, **named)
    return result if isinstance(result, bool | str) else float(result)
