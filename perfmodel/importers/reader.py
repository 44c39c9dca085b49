"""A config.json while it is read: each value is understood, assumed or left over, and the page can tell which."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from perfmodel.dimensions import Dimensions
from perfmodel.importers.family import Family
from perfmodel.importers.text import shown


@dataclass(frozen=True, slots=True)
class Fact:
    """One field of the model or chip, its value as text, and where it comes from."""

    field: str
    value: str
    why: str

    @property
    def text(self) -> str:
        """The fact on one line."""
        return f"{self.field} = {self.value} ({self.why})"


@dataclass(frozen=True, slots=True)
class Given:
    """A value found: under which key, and whether the file says it or the family's code."""

    key: str
    value: Any
    assumed: bool


def bounds(name: str) -> tuple[int, int]:
    """Return the lowest and highest value of a whole-number field of `Dimensions`.

    >>> bounds("layers")
    (1, 1024)
    """
    metadata = Dimensions.model_fields[name].metadata
    low = next(item.ge for item in metadata if hasattr(item, "ge"))
    high = next(item.le for item in metadata if hasattr(item, "le"))
    return int(low), int(high)


def in_range(name: str, value: int, why: str) -> int:
    """Return a derived value if its field allows it; else raise a `ValueError` that says how it came about."""
    low, high = bounds(name)
    if not low <= value <= high:
        raise ValueError(f"{name}={value:,} ({why}) is not allowed: a whole number from {low:,} to {high:,} is needed")
    return value


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


@dataclass
class Reader:
    """The file's table, the family that it belongs to, and what was made of it so far. The first word wins.

    `nested`: the table is a part such as text_config, which leaves out what equals the family's own sizes.
    """

    table: Mapping[str, Any]
    family: Family
    nested: bool = False
    values: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    understood: list[Fact] = field(default_factory=list)
    assumed: list[Fact] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def find(self, *keys: str) -> Given | None:
        """Return the first of these keys that has a value, in the file or, if none is in it, by the family.

        A key that is there with null says "none", and the family does not fill it in.
        """
        self.used.update(keys)
        for key in keys:
            if self.table.get(key) is not None:
                return Given(key, self.table[key], False)
        if any(key in self.table for key in keys):
            return None
        defaults = self.family.sizes | self.family.defaults if self.nested else self.family.defaults
        return next((Given(key, defaults[key], True) for key in keys if key in defaults), None)

    def number(self, low: int, high: int, *keys: str) -> Given | None:
        """Return the whole number under the first of these keys, checked against its range."""
        given = self.find(*keys)
        if given is None:
            return None
        value = given.value
        if isinstance(value, list) and len(value) > 1 and all(type(item) is int and item == value[0] for item in value):
            value = value[0]
        wrong = _not_whole(value)
        if wrong or not low <= value <= high:
            allowed = f"a whole number from {low:,} to {high:,} is needed"
            raise ValueError(f"{given.key}={shown(value)} is not allowed: {allowed}{wrong}")
        return Given(given.key, value, given.assumed)

    def flag(self, *keys: str) -> bool | None:
        """Return the true/false under the first of these keys, or None."""
        given = self.find(*keys)
        if given is None:
            return None
        if not isinstance(given.value, bool):
            raise ValueError(f"{given.key}={shown(given.value)} is not allowed: true or false is needed")
        return given.value

    def text(self, *keys: str) -> str | None:
        """Return the text under the first of these keys, or None."""
        given = self.find(*keys)
        if given is None:
            return None
        if not isinstance(given.value, str):
            raise ValueError(f"{given.key}={shown(given.value)} is not allowed: a text is needed")
        return given.value

    def per_layer(self, layers: int, *keys: str) -> tuple[str, list[Any]] | None:
        """Return the key and the list that says one thing for every layer, or None."""
        given = self.find(*keys)
        if given is None or given.value == []:
            return None
        if not isinstance(given.value, list):
            raise ValueError(f"{given.key}={shown(given.value)} is not allowed: one entry per layer is needed")
        if len(given.value) != layers:
            raise ValueError(f"{given.key} has {len(given.value):,} entries, but the model has {layers:,} layers")
        return given.key, given.value

    def indices(self, layers: int, *keys: str) -> set[int]:
        """Return the set of layer numbers under the first of these keys, empty where there is none."""
        given = self.find(*keys)
        if given is None:
            return set()
        value = given.value
        if not isinstance(value, list) or any(type(i) is not int or not 0 <= i < layers for i in value):
            allowed = f"a list of layers from 0 to {layers - 1:,} is needed"
            raise ValueError(f"{given.key}={shown(value)} is not allowed: {allowed}")
        return set(value)

    def put(self, name: str, value: Any, why: str, key: str = "") -> Any:
        """Keep what the file says of a field of `Dimensions`; return what the field then is."""
        return self._keep(self.understood, name, value, why, key or why)

    def assume(self, name: str, value: Any, why: str) -> Any:
        """Keep what the file leaves open; return what the field then is."""
        return self._keep(self.assumed, name, value, why, name)

    def _keep(self, facts: list[Fact], name: str, value: Any, why: str, key: str) -> Any:
        if name not in self.values:
            self.values[name], self.keys[name] = value, key
            facts.append(Fact(name, _words(value), why))
        return self.values[name]

    def forget(self, name: str) -> None:
        """Take back what was kept of a field, such as a zero that stands for "look elsewhere"."""
        self.values.pop(name, None)
        self.understood = [fact for fact in self.understood if fact.field != name]
        self.assumed = [fact for fact in self.assumed if fact.field != name]

    def whole(self, name: str, *keys: str) -> int | None:
        """Keep and return a field that stands in the file, or that the family's code fills in; else None."""
        given = self.number(*bounds(name), *keys)
        if given is None:
            return self.values.get(name)
        if given.assumed:
            self.assume(name, given.value, f"{given.key} is absent; {self.family.name} then has {given.value:,}")
        else:
            self.put(name, given.value, given.key)
        return int(self.values[name])

    def need(self, name: str, *keys: str) -> int:
        """Keep and return a field that the model cannot do without; name it in a `ValueError` where it is missing."""
        value = self.whole(name, *keys)
        if value is None:
            low, high = bounds(name)
            others = f" (or {', '.join(keys[1:4])})" if keys[1:] else ""
            raise ValueError(f"{keys[0]}{others} is missing; a whole number from {max(1, low)} to {high:,} is needed")
        if value == 0:
            raise ValueError(f"{self.keys[name]}=0 is not allowed: a whole number above 0 is needed")
        return value

    def note(self, text: str) -> None:
        """Add a remark for the reader, once."""
        if text not in self.notes:
            self.notes.append(text)


def _not_whole(value: Any) -> str:
    """Return why a value is no whole number, empty where it is one."""
    if isinstance(value, bool):
        return ", not true/false"
    if isinstance(value, str):
        return ", not text"
    if isinstance(value, float):
        return ", not a fraction" if math.isfinite(value) else ", not infinity"
    if isinstance(value, list):
        return "; layers that differ in it cannot be expressed here"
    return "" if isinstance(value, int) else ", not an object"
