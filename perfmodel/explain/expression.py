"""Expressions of traced numbers, shown as LaTeX, as words and with the values put in; evaluated as they are shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from perfmodel.explain.docstrings import words
from perfmodel.explain.trace import Call, Leaf, Named, Node, Traced, apply, home, opened
from perfmodel.units import show, significant

#: An intermediate result of another function is written out where it has at most so many operands, else named.
INLINE = 3
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "neg": 3, "**": 4}
_COUNTS = frozenset(
    {"", "1", "any", "heads", "features", "layers", "tokens", "sequences", "devices", "stages", "replicas"}
)
_QUOTIENTS = {("B", "B/s"): "s", ("FLOP", "FLOP/s"): "s", ("FLOP", "B"): "FLOP/B", ("FLOP/s", "B/s"): "FLOP/B"}


def plain_unit(unit: str) -> str:
    """Return the unit of a physical quantity; what is counted (heads, tokens, experts) has none."""
    known = ("B", "FLOP", "s", "bit", "W", "USD", "tokens")
    return unit if (unit.split("/")[0] in known and unit not in _COUNTS) or unit.startswith("1/") else ""


def unit_of(value: float, depth: int = 12) -> str:
    """Return the unit of a traced number, as far as the units of what it was computed from tell."""
    how = value.how if isinstance(value, Traced) else None
    if isinstance(how, Leaf | Named):
        return plain_unit(how.unit)
    if not isinstance(how, Node) or depth == 0:
        return ""
    if how.call is not None:
        from perfmodel.explain.docstrings import contract

        return plain_unit(contract(how.call.function).result.unit)
    units = [unit_of(part, depth - 1) for part in how.parts]
    if how.sign == "/" and len(units) == 2:
        top, bottom = units
        return top if not bottom else "" if top == bottom else _QUOTIENTS.get((top, bottom), "")
    found = [unit for unit in units if unit]
    if how.sign == "*" and len(found) == 2 and {"FLOP/s", "B/s"} & set(found):
        return ""
    return found[0] if found else ""


def number(value: float, unit: str = "") -> str:
    """Return a number as it stands in a formula: whole counts in full, quantities with their unit."""
    value = float(value)
    if unit:
        return show(value, unit, 4)
    if value.is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    return significant(value, 6)


@dataclass(frozen=True)
class Expression:
    """The arithmetic behind one traced number, down to named inputs, formula calls and results of other functions.

    With `call` it is the inside of that formula and stops at its arguments.
    """

    root: Traced
    call: Call | None = None

    @cached_property
    def names(self) -> dict[str, Traced]:
        """The quantities in the expression by the name they are shown under, in order of appearance."""
        if self.call is not None:
            given = self.call.arguments.items()
            return {words(name): value for name, value in given if isinstance(value, Traced)}
        found: dict[str, Traced] = {}
        for value in self._frontier:
            name, index = _name(value), 2
            while name in found:
                name, index = f"{_name(value)} {index}", index + 1
            found[name] = value
        return found

    @cached_property
    def _frontier(self) -> list[Traced]:
        found: dict[object, Traced] = {}
        self._collect(self.root, found, top=True)
        return list(found.values())

    def _collect(self, value: float, found: dict[object, Traced], *, top: bool = False) -> None:
        if not isinstance(value, Traced):
            return
        if not top and self._stops(value):
            found.setdefault(_key(value), value)
            return
        how = value.how
        for part in how.parts if isinstance(how, Node) else ():
            self._collect(part, found)

    def _stops(self, value: Traced) -> bool:
        if self.call is not None:
            return any(value is argument for argument in self.call.arguments.values())
        how = value.how
        if not isinstance(how, Node) or how.call is not None:
            return True
        mine = self.root.how
        elsewhere = not isinstance(mine, Node) or home(how.code) != home(mine.code)
        return elsewhere and _size(value) > INLINE

    @cached_property
    def _labels(self) -> dict[object, str]:
        return {_key(value): name for name, value in self.names.items()}

    def write(self, style: Style) -> str:
        """Return the expression in a style."""
        return self._write(self.root, style, top=True)[0]

    def _write(self, value: float, style: Style, *, top: bool = False) -> tuple[str, int]:
        """Return a value in a style, and how tightly its text holds together: 9 is a single piece."""
        if not isinstance(value, Traced):
            return number(value), 9
        label = None if top else self._labels.get(_key(value))
        if label is not None:
            return style.quantity(label, value), 9
        how = value.how
        if not isinstance(how, Node):
            return style.quantity(_name(value), value), 9
        if self.call is not None and how.call is not None and not how.call.same(self.call):
            # A formula inside a formula stays a function of its arguments, as in the equation.
            inside = [self._write(part, style)[0] for part in how.call.arguments.values()]
            return style.function(words(how.call.function.__name__), inside), 9
        return _operation(how.sign, [self._write(part, style) for part in how.parts], style)

    def evaluate(self, **values: float) -> float:
        """Carry out the expression on the given values of its names."""
        given = {_key(self.names[name]): value for name, value in values.items()}
        return self._evaluate(self.root, given, top=True)

    def _evaluate(self, value: float, given: Mapping[object, float], *, top: bool = False) -> float:
        if not isinstance(value, Traced):
            return float(value)
        if not top and _key(value) in given:
            return given[_key(value)]
        how = value.how
        if not isinstance(how, Node):
            return given.get(_key(value), float(value))
        return apply(how.sign, [self._evaluate(part, given) for part in how.parts])


@dataclass(frozen=True)
class Style:
    """How an expression is written: what stands for a quantity, a function, a product."""

    quantity: Callable[[str, Traced], str]
    signs: Mapping[str, str]
    fractions: bool = False

    def join(self, sign: str, parts: list[str]) -> str:
        """Return operands joined by a sign."""
        if sign == "neg":
            return f"-{parts[0]}"
        if sign == "**" and self.fractions:
            return f"{parts[0]}^{{{parts[1]}}}"
        return self.signs[sign].join(parts)

    def bracket(self, text: str) -> str:
        """Return the text in brackets."""
        return rf"\left({text}\right)" if self.fractions else f"({text})"

    def function(self, name: str, parts: list[str]) -> str:
        """Return a function of the parts."""
        short = {"maximum": "max", "minimum": "min"}.get(name, name)
        if self.fractions:
            short = {"max": r"\max", "min": r"\min"}.get(short, rf"\operatorname{{{short}}}")
            return short + self.bracket(r",\, ".join(parts))
        return f"{short}({', '.join(parts)})"


LATEX = Style(
    lambda name, _: rf"\text{{{re.sub(r'([_%&#$])', r' ', name)}}}",
    {"+": " + ", "-": " - ", "*": r" \cdot ", "/": " / ", "**": "^"},
    fractions=True,
)
_TEXT = {"+": " + ", "-": " − ", "*": " × ", "/": " ÷ ", "**": "^"}
WORDS = Style(lambda name, _: name, _TEXT)


def _operation(sign: str, parts: list[tuple[str, int]], style: Style) -> tuple[str, int]:
    """Return an operation on written parts, in brackets where a part holds together less tightly than its sign."""
    texts, level = [text for text, _ in parts], _PRECEDENCE.get(sign, 9)
    if level == 9:
        return style.function(sign, texts), 9
    if sign == "/" and style.fractions:
        return rf"\frac{{{texts[0]}}}{{{texts[1]}}}", 9
    closed = [
        style.bracket(text) if own < level or (own == level and index and sign in "-/") else text
        for index, (text, own) in enumerate(parts)
    ]
    return style.join(sign, closed), level


def numbers(units: Mapping[int, str] | None = None) -> Style:
    """Return the style that puts the values in; `units` by identity of the number where the number does not know it."""
    return Style(lambda _, value: number(value, (units or {}).get(id(value), "") or unit_of(value)), _TEXT)


def _key(value: Traced) -> object:
    return value.how if isinstance(value.how, Leaf) else id(value)


def _name(value: Traced) -> str:
    how = value.how
    if isinstance(how, Leaf | Named):
        return how.name
    if how.call is not None:
        return words(how.call.function.__name__)
    owner, _, function = home(how.code).rpartition(".")
    return f"{owner} {words(function)}".strip()


def _size(value: float) -> int:
    if not isinstance(value, Traced) or not isinstance(value.how, Node) or value.how.call is not None:
        return 1
    return sum(_size(part) for part in value.how.parts)


def origin(value: Traced) -> Node | None:
    """Return the operation behind a number and its names; None for an input."""
    how = opened(value).how
    return how if isinstance(how, Node) else None
