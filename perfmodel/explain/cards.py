"""Formula cards: a number with its formula, the values put in, and the cards of what it was computed from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from perfmodel.catalog import ESTIMATE, Source
from perfmodel.explain.docstrings import Contract, Symbol, contract, words
from perfmodel.explain.expression import LATEX, WORDS, Expression, number, numbers, plain_unit, unit_of
from perfmodel.explain.trace import Call, Leaf, Named, Node, Traced, leaves, opened, place, sentence
from perfmodel.units import show

Confidence: TypeAlias = Literal["published", "derived", "estimate", "given"]

#: Source keys of numbers that follow from others or from a definition.
_DERIVED = frozenset({"derived", "definition", "kernel tables", "code"})


def confidence(source: Source) -> Confidence:
    """Return how far a source carries: published, derived from published numbers, an estimate, or given by the user."""
    if source.key in ("scenario", "user"):
        return "given"
    if source.key in _DERIVED:
        return "derived"
    return "estimate" if source.key == ESTIMATE.key or source.key.startswith("estimate") else "published"


@dataclass(frozen=True)
class Argument:
    """One quantity that goes into a card: an input with its source, or a result with a card of its own."""

    name: str
    letter: str
    meaning: str
    unit: str
    value: float
    source: Source
    traced: Traced | None = None

    @property
    def label(self) -> str:
        """The name as words."""
        return words(self.name)

    @property
    def shown(self) -> str:
        """The value as a person reads it."""
        return number(self.value, plain_unit(self.unit))

    @property
    def confidence(self) -> Confidence:
        """How far the value carries."""
        return _weakest(self.traced) if self.traced is not None else confidence(self.source)

    @cached_property
    def card(self) -> Card | None:
        """The card of a computed argument; None for an input."""
        if self.traced is None or not isinstance(opened(self.traced).how, Node):
            return None
        return Card(self.label, float(self.traced), self.unit, lambda: self.traced)  # type: ignore[arg-type,return-value]


@dataclass(frozen=True)
class Card:
    """A number that opens: the formula that computed it, evaluated on today's numbers. Built when it is looked at.

    `value` is what the report shows; `make` runs the computation again on traced numbers; `measured` says between
    what comparable measurements lie, nothing for a number that is counted.
    """

    title: str
    value: float
    unit: str
    make: Callable[[], Traced]
    measured: Callable[[], str] = str

    @cached_property
    def traced(self) -> Traced:
        """The number with its history."""
        return opened(self.make())

    @property
    def call(self) -> Call | None:
        """The formula call behind the number, if one formula gives it."""
        return self.traced.how.call if isinstance(self.traced.how, Node) else None

    @cached_property
    def expression(self) -> Expression:
        """The arithmetic of this level."""
        return Expression(self.traced, self.call)

    @cached_property
    def contract(self) -> Contract:
        """Sentence, equation, symbols, validity and source: the formula's own, or those of the line of code."""
        return contract(self.call.function) if self.call else self._inline_contract()

    def _inline_contract(self) -> Contract:
        how = self.traced.how
        if isinstance(how, Leaf):
            result = Symbol(self.title, "", self.title, self.unit)
            told = f"{how.meaning[:1].upper()}{how.meaning[1:]}: given, not computed."
            cited = ", ".join(filter(None, (how.source.title, how.source.date)))
            return Contract(self.title, told, self.expression.write(LATEX), {}, result, "", cited, "", "")
        code = how.code if isinstance(how, Node) else None
        symbols = {name: Symbol(name, "", name, unit_of(value)) for name, value in self.expression.names.items()}
        where = place(code) if code else ""
        return Contract(
            name=self.title,
            sentence=(sentence(code) if code else "") or f"Computed in {where}.",
            equation=self.expression.write(LATEX),
            symbols=symbols,
            result=Symbol(self.title, "", self.title, self.unit),
            validity="",
            source=f"the code that ran, {where}",
            place=where,
            module="",
        )

    @property
    def latex(self) -> str:
        """The equation, in LaTeX."""
        return self.contract.equation

    @property
    def wording(self) -> str:
        """The formula in words: the names of the quantities instead of letters."""
        return self.expression.write(WORDS)

    @cached_property
    def substituted(self) -> str:
        """The formula with the values put in, and the result."""
        if isinstance(self.traced.how, Leaf):
            return f"{self.traced.how.name} = {self.shown}"
        units = {id(a.traced): plain_unit(a.unit) for a in self.arguments if a.traced is not None}
        return f"{self.expression.write(numbers(units))} = {self.shown}"

    @property
    def shown(self) -> str:
        """The value as a person reads it."""
        return show(self.value, plain_unit(self.unit)) if plain_unit(self.unit) else number(self.value)

    @cached_property
    def arguments(self) -> tuple[Argument, ...]:
        """What goes into the formula, with value, unit and source each."""
        call = self.call
        if call is None:
            return tuple(_argument(Symbol(n, "", n, unit_of(v)), v, None) for n, v in self.expression.names.items())
        symbols = self.contract.symbols
        return tuple(_argument(symbols[name], value, call) for name, value in call.arguments.items())

    @property
    def terms(self) -> tuple[Card, ...]:
        """The cards of the computed arguments."""
        return tuple(argument.card for argument in self.arguments if argument.card is not None)

    @property
    def source(self) -> str:
        """Where the formula comes from."""
        return self.contract.source

    @property
    def confidence(self) -> Confidence:
        """The weakest confidence among all numbers the value rests on."""
        return _weakest(self.traced)

    @property
    def estimates(self) -> tuple[str, ...]:
        """The numbers nobody published that this value rests on."""
        found = leaves(self.traced)
        return tuple(
            f"{how.name} {number(value, plain_unit(how.unit))}" for how, value in found.items() if _is_guess(how)
        )


def evaluate(card: Card) -> float:
    """Run the function of the card on its arguments: the number the card must show."""
    values = {argument.name: argument.value for argument in card.arguments}
    if card.call is not None:
        return float(card.call.function(**values))
    return card.expression.evaluate(**values)


def _argument(symbol: Symbol, value: float, call: Call | None) -> Argument:
    how = opened(value).how if isinstance(value, Traced) else None
    if isinstance(how, Leaf):
        meaning = f"{symbol.meaning} ({how.meaning})" if call else how.meaning
        return Argument(
            symbol.name, symbol.letter, meaning, symbol.unit if call else how.unit, float(value), how.source
        )
    if isinstance(value, Traced):
        source = Source("computed", "computed")
        return Argument(symbol.name, symbol.letter, symbol.meaning, symbol.unit, float(value), source, value)
    caller = place(call.caller) if call and call.caller else "the model"
    origin = f"set in {caller}" if value else "nothing to do here"
    return Argument(symbol.name, symbol.letter, symbol.meaning, symbol.unit, value, Source("code", origin))


def _weakest(value: Traced) -> Confidence:
    return "estimate" if any(_is_guess(how) for how in leaves(value)) else "derived"


def _is_guess(how: Leaf) -> bool:
    return confidence(how.source) == "estimate"


__all__ = ["Argument", "Card", "Confidence", "Named", "confidence", "evaluate"]
