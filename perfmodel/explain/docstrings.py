"""Formula docstrings as contracts: sentence, equation, symbols with units, result, validity, source."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any, TypeAlias

import perfmodel.formulas

Formula: TypeAlias = Callable[..., Any]

_GREEK = ("alpha", "beta", "gamma", "delta", "eta", "kappa", "lambda", "mu", "rho", "sigma", "tau", "omega")
_LETTER = rf"(?:[A-Za-z]|{'|'.join(_GREEK)})(?:_\w+|\^?\*)?"
_ARGUMENT = re.compile(rf"^(\w+): (.*?)(?:,? \b({_LETTER}))?(?: >= \d)? \[(.+)\]$")
_SECTIONS = ("Args:", "Returns:", "Validity:", "Source:", ">>>")


@dataclass(frozen=True, slots=True)
class Symbol:
    """One quantity of a formula: its name in the code, its letter in the equation, meaning and SI unit."""

    name: str
    letter: str
    meaning: str
    unit: str

    @property
    def latex(self) -> str:
        """The letter as LaTeX: n_kv becomes n_{kv}, omega a Greek letter."""
        head, _, index = self.letter.partition("_")
        head = f"\\{head}" if head in _GREEK else head
        return f"{head}_{{{index}}}" if index else head


@dataclass(frozen=True, slots=True)
class Contract:
    """What the docstring of a formula promises. `place`: module and name of the function."""

    name: str
    sentence: str
    equation: str
    symbols: dict[str, Symbol]
    result: Symbol
    validity: str
    source: str
    place: str
    module: str
    example: str = ""

    @property
    def title(self) -> str:
        """The name as words: "Memory time"."""
        text = words(self.name)
        return text[:1].upper() + text[1:]


def words(name: str) -> str:
    """Return an identifier as words, the unit at its end left out.

    >>> words("memory_bytes_per_s"), words("time_s"), words("_stage")
    ('memory bytes per s', 'time', 'stage')
    """
    return re.sub(r"(?<!_per)_s$", "", name.strip("_")).replace("_", " ").strip()


@lru_cache(maxsize=512)
def contract(function: Formula) -> Contract:
    """Parse the docstring of a formula; raise a `ValueError` that names the part that is missing."""
    text = inspect.getdoc(function) or ""
    place = f"{function.__module__}.{function.__qualname__}"
    parts = _sections(text)
    equation = re.search(r"\$\$(.+?)\$\$", parts[""], re.DOTALL)
    if equation is None:
        raise ValueError(f"{place}: the docstring has no equation between $$ and $$")
    for name in ("Args:", "Returns:", "Validity:", "Source:"):
        if name not in parts:
            raise ValueError(f"{place}: the docstring has no {name}")
    symbols = {found.name: found for found in _symbols(parts["Args:"], place)}
    meaning, unit = _result(parts["Returns:"], place)
    module = inspect.getmodule(function)
    return Contract(
        name=function.__name__,
        sentence=_joined(parts[""].split("$$")[0]),
        equation=_joined(equation.group(1)),
        symbols=symbols,
        result=Symbol(function.__name__, _left(equation.group(1)), meaning, unit),
        validity=_joined(parts["Validity:"]),
        source=_joined(parts["Source:"]),
        place=place,
        example=text[text.index(">>>") :] if ">>>" in text else "",
        module=(inspect.getdoc(module) or "").split("\n")[0] if module else "",
    )


def _sections(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    current = ""
    for line in text.splitlines():
        start = next((name for name in _SECTIONS if line.startswith(name)), None)
        if start is not None:
            current, line = start, line.removeprefix(start)
        parts[current] = parts.get(current, "") + line + "\n"
    return parts


def _symbols(block: str, place: str) -> Iterator[Symbol]:
    # A description may go on over further lines: an entry starts at "name: ".
    entries: list[str] = []
    for line in filter(None, (line.strip() for line in block.splitlines())):
        if re.match(r"^\w+: ", line):
            entries.append(line)
        elif entries:
            entries[-1] += f" {line}"
    for entry in entries:
        found = _ARGUMENT.match(entry)
        if found is None:
            raise ValueError(f"{place}: {entry!r} must read 'name: meaning, letter [unit]'")
        name, meaning, letter, unit = found.groups()
        yield Symbol(name, letter or name, meaning.rstrip(","), unit)


def _result(block: str, place: str) -> tuple[str, str]:
    found = re.match(r"^(.*) \[(.+)\]$", _joined(block))
    if found is None:
        raise ValueError(f"{place}: Returns must end in [unit]")
    return found.group(1), found.group(2)


def _left(equation: str) -> str:
    return equation.split("=")[0].strip()


def _joined(text: str) -> str:
    return " ".join(text.split())


@lru_cache(maxsize=1)
def formulas() -> tuple[Formula, ...]:
    """Return every public function of `perfmodel.formulas`, module by module, in the order of the files."""
    found: list[Formula] = []
    for entry in pkgutil.iter_modules(perfmodel.formulas.__path__, "perfmodel.formulas."):
        module = importlib.import_module(entry.name)
        own = [f for _, f in inspect.getmembers(module, inspect.isfunction) if f.__module__ == entry.name]
        found += sorted((f for f in own if not f.__name__.startswith("_")), key=lambda f: f.__code__.co_firstlineno)
    return tuple(found)


@lru_cache(maxsize=1)
def by_code() -> dict[CodeType, Formula]:
    """Return the formulas by their code object: how a running frame is recognised."""
    return {function.__code__: function for function in formulas()}
