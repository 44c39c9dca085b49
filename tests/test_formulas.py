"""Every public function of perfmodel/formulas keeps the contract of its docstring, its equation included."""

import doctest
import inspect
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest

from perfmodel.explain import contract, formulas
from perfmodel.explain.docstrings import Formula

ALL = formulas()
IDS = [f"{function.__module__.rsplit('.', 1)[-1]}.{function.__name__}" for function in ALL]
every = pytest.mark.parametrize("function", ALL, ids=IDS)


@cache
def calls(function: Formula) -> tuple[dict[str, Any], ...]:
    """The arguments of every call that the function's own doctest makes."""
    found: list[dict[str, Any]] = []

    def recorded(*given: Any, **named: Any) -> Any:
        bound = inspect.signature(function).bind(*given, **named)
        bound.apply_defaults()
        found.append(dict(bound.arguments))
        return function(*given, **named)

    module = inspect.getmodule(function)
    space = {**vars(module), function.__name__: recorded}
    for example in doctest.DocTestParser().get_examples(inspect.getdoc(function) or ""):
        exec(example.source, space)
    return tuple(found)


def test_names_are_unique() -> None:
    """No two formulas share a name, in whatever module they are: pages and cards call them by it."""
    names = [function.__name__ for function in ALL]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)


@every
def test_docstring_is_a_contract(function: Formula) -> None:
    """A formula says: sentence, equation, every argument and the result with [unit], validity, source, example."""
    told = contract(function)
    assert told.sentence.endswith(".")
    assert told.equation
    assert list(told.symbols) == list(inspect.signature(function).parameters)
    assert all(symbol.unit and symbol.meaning for symbol in (*told.symbols.values(), told.result))
    assert told.validity
    assert told.source
    assert told.example, "the docstring has no doctest"


@every
def test_doctest_calls_the_formula(function: Formula) -> None:
    """The example of a formula is an example of that formula (pytest runs it: --doctest-modules)."""
    assert calls(function)


@every
def test_scalar_and_array_are_one_path(function: Formula) -> None:
    """A formula on arrays gives, element by element, what it gives on the scalars of its doctest."""
    for arguments in calls(function):
        scalar = function(**arguments)
        numbers = [name for name, value in arguments.items() if isinstance(value, int | float) and value is not True]
        numbers = [name for name in numbers if not isinstance(arguments[name], bool)]
        columns = {name: np.full((2, 3), float(arguments[name])) for name in numbers}
        result = function(**{**arguments, **columns})
        expected = np.broadcast_to(np.asarray(scalar, dtype=np.float64), np.shape(result))
        np.testing.assert_allclose(np.asarray(result, dtype=np.float64), expected, rtol=1e-12)


@every
def test_equation_gives_the_value(function: Formula) -> None:
    """The equation that is shown, read as mathematics on the doctest's numbers, gives what the function returns."""
    told = contract(function)
    letters = {normal(symbol.letter): name for name, symbol in told.symbols.items()}
    letters |= {normal(name): name for name in told.symbols}
    for arguments in calls(function):
        values = {letter: arguments[name] for letter, name in letters.items()}
        if not all(isinstance(value, int | float) and value is not False for value in values.values()):
            continue  # arrays, and the second of two forms
        try:
            expected = evaluated(told.equation, values)
        except Unreadable as problem:
            pytest.skip(f"this test does not read {problem} in {told.equation}")
        except ZeroDivisionError:
            expected = math.inf
        np.testing.assert_allclose(float(function(**arguments)), expected, rtol=1e-9)


def test_most_equations_are_read() -> None:
    """The reader of equations is no pretence: it reads at least three of four."""
    assert sum(readable(function) for function in ALL) >= 0.75 * len(ALL)


def readable(function: Formula) -> bool:
    """Whether the test above compares the equation of this formula with its value."""
    told = contract(function)
    letters = {normal(s.letter): 1.5 for s in told.symbols.values()} | {normal(name): 1.5 for name in told.symbols}
    try:
        evaluated(told.equation, letters)
    except Unreadable:
        return False
    except (ArithmeticError, ValueError):  # read, and not defined at these numbers
        return True
    return True


# A reader of LaTeX as these docstrings use it: sums, products, fractions, powers, min, max, ceilings, one-line sums.


class Unreadable(Exception):
    """Something in an equation that this reader does not know."""


TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|[A-Za-z]|.", re.DOTALL)
IGNORED = {
    r"\,",
    r"\;",
    r"\!",
    r"\ ",
    r"\left",
    r"\right",
    r"\bigl",
    r"\bigr",
    r"\Bigl",
    r"\Bigr",
    r"\bar",
    r"\displaystyle",
}
IGNORED |= {r"\big", r"\Big", r"\textstyle", r"\hat"}
FUNCTIONS = {r"\min": min, r"\max": max, r"\log": math.log, r"\ln": math.log, r"\exp": math.exp, r"\sqrt": math.sqrt}
CLOSERS = {")": "(", "]": "[", r"\rceil": r"\lceil", r"\rfloor": r"\lfloor", "}": "{"}


def normal(letter: str) -> str:
    r"""One spelling for n_kv, n_{kv} and n_{\text{kv}}."""
    return re.sub(r"\\text|\\mathrm|[{}\\ ]", "", letter)


def evaluated(equation: str, values: dict[str, float]) -> float:
    """Return the right-hand side of the first equation: its last form, if it has several."""
    first, *more = (part.rstrip(". ,") for part in re.split(r",?\s*\\q?quad", equation))
    helpers = dict(filter(None, map(helper, more)))
    problem: Unreadable | None = None
    for side in reversed(re.split(r"(?<![<>_{i])=(?![^{]*\})", first)[1:]):
        try:
            return Reader(tokens(side), values, helpers).all()
        except Unreadable as found:
            problem = problem or found
    raise problem or Unreadable("an equation without =")


def tokens(text: str) -> list[str]:
    """The tokens of a piece of LaTeX, without what only spaces it."""
    return [token for token in TOKEN.findall(text) if not token.isspace() and token not in IGNORED]


def helper(text: str) -> tuple[str, tuple[list[str], list[str]]] | None:
    """A function that the equation defines beside itself, as "o(a, b) = ...": name, parameters, body."""
    found = re.fullmatch(r"\s*(\w)\(([^()]*)\)\s*=(.*)", text, re.DOTALL)
    return (found[1], ([normal(name) for name in found[2].split(",")], tokens(found[3]))) if found else None


@dataclass
class Reader:
    """A recursive-descent reader that evaluates as it goes."""

    tokens: list[str]
    values: dict[str, float]
    helpers: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)
    at: int = 0

    def peek(self) -> str:
        """The next token, or nothing."""
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        """Consume the next token."""
        token = self.peek()
        if not token or (expected and token != expected):
            raise Unreadable(f"{token!r} where {expected!r} should be")
        self.at += 1
        return token

    def all(self) -> float:
        """Evaluate all tokens."""
        value = self.sum()
        if self.peek():
            raise Unreadable(repr(self.peek()))
        return value

    def sum(self) -> float:
        """Terms with + and - between."""
        value = -self.product() if self.peek() == "-" and self.take() else self.product()
        while self.peek() in ("+", "-"):
            value += self.product() if self.take() == "+" else -self.product()
        return value

    def product(self) -> float:
        """Factors side by side, with dots, or over a slash."""
        value = self.power()
        while self.peek() and self.peek() not in ("+", "-", ",", *CLOSERS):
            if self.peek() == "/":
                self.take()
                value /= self.power()
            else:
                if self.peek() in (r"\cdot", r"\times", "*"):
                    self.take()
                value *= self.power()
        return value

    def power(self) -> float:
        """A factor with its exponent."""
        value = self.factor()
        if self.peek() == "^":
            self.take()
            exponent = self.braced() if self.peek() == "{" else self.factor()
            value = value**exponent
        return value

    def braced(self) -> float:
        """{...}."""
        self.take("{")
        value = self.sum()
        self.take("}")
        return value

    def factor(self) -> float:
        """A number, a symbol, a bracket, a function."""
        token = self.take()
        if re.fullmatch(r"\d+(?:\.\d+)?", token):
            return float(token)
        if token in ("(", "[", "{"):
            value = self.sum()
            self.take({"(": ")", "[": "]", "{": "}"}[token])
            return value
        if token in (r"\lceil", r"\lfloor"):
            value = self.sum()
            self.take(token.replace("l", "r", 1) if token == r"\lfloor" else r"\rceil")
            return float(math.ceil(value) if token == r"\lceil" else math.floor(value))
        if token in (r"\frac", r"\tfrac", r"\dfrac"):
            return self.braced() / self.braced()
        if token in FUNCTIONS:
            base = self.subscript() if self.peek() == "_" else ""
            if token in (r"\min", r"\max") and self.peek() != "(":
                raise Unreadable(f"{token} without brackets")
            given = self.arguments() if self.peek() in ("(", "{") else [self.power()]
            return float(math.log2(*given) if base == "2" else FUNCTIONS[token](*given))
        if token in self.helpers and self.peek() == "(":
            names, body = self.helpers[token]
            return Reader(body, {**self.values, **dict(zip(names, self.arguments(), strict=True))}, self.helpers).all()
        if token == r"\sum":
            return self.series()
        return self.symbol(token)

    def arguments(self) -> list[float]:
        """The comma-separated arguments of a function."""
        closer = {"(": ")", "{": "}"}.get(self.take())
        if closer is None:
            raise Unreadable("a function without brackets")
        found = [self.sum()]
        while self.peek() == ",":
            self.take()
            found.append(self.sum())
        self.take(closer)
        return found

    def series(self) -> float:
        r"""\sum_{i=a}^{b} term."""
        self.take("_")
        self.take("{")
        index = self.take()
        self.take("=")
        first = self.sum()
        self.take("}")
        self.take("^")
        last = self.braced() if self.peek() == "{" else self.factor()
        start, total = self.at, 0.0
        for i in range(int(first), int(last) + 1):
            self.at = start
            self.values = {**self.values, index: float(i)}
            total += self.product()
        return total

    def symbol(self, token: str) -> float:
        """A letter with its subscript."""
        name = normal(token)
        if self.peek() == "_":
            name += "_" + self.subscript()
        if name not in self.values:
            raise Unreadable(repr(name))
        return float(self.values[name])

    def subscript(self) -> str:
        """What stands below the line."""
        self.take("_")
        return normal("".join(self.group()))

    def group(self) -> Iterator[str]:
        """One token, or all tokens of a {group}."""
        depth = 0
        while True:
            token = self.take()
            depth += (token == "{") - (token == "}")
            yield token
            if depth == 0 and token != r"\text":
                return
