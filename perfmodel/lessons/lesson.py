"""A step worked out: its values computed by the engine, its texts with the numbers put in, a prediction judged."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from perfmodel.catalog import Catalog
from perfmodel.figures import bars
from perfmodel.lessons.calculate import Value, calculate
from perfmodel.lessons.phrases import phrases
from perfmodel.lessons.pictures import Drawing, draw
from perfmodel.lessons.quantities import functions
from perfmodel.lessons.record import VALUE, Lesson, Step, Words
from perfmodel.lessons.units import si_unit, to_si
from perfmodel.scenario import Scenario
from perfmodel.units import show


@dataclass(frozen=True)
class Worked:
    """A step with its numbers. Everything depends on the step alone, never on the reader's scenario."""

    step: Step

    @property
    def scenario(self) -> Scenario:
        """The scenario of the step."""
        return self.step.setting

    @cached_property
    def values(self) -> dict[str, Value]:
        """Every named value in SI, in the order of the file."""
        found: dict[str, Value] = {}
        for name, text in self.step.values.items():
            expression = text.rpartition("|")[0] or text
            found[name] = self._evaluate(expression, found)
        return found

    def _evaluate(self, expression: str, values: Mapping[str, Value]) -> Value:
        try:
            return calculate(expression, values, functions(self.scenario))
        except ValueError as error:
            raise ValueError(f"step {self.step.id}: {error}") from error

    @cached_property
    def answer(self) -> float | str:
        """The right number in SI, or the key of the one option whose condition holds."""
        question = self.step.question
        if question.answer:
            return float(self._evaluate(question.answer, self.values))
        holds = [key for key, text in question.options.items() if self._evaluate(text, self.values)]
        if len(holds) != 1:
            raise ValueError(f"step {self.step.id}: one option must hold, not {', '.join(holds) or 'none'}")
        return holds[0]

    def shown(self, name: str, digits: int = 3, language: str = "en") -> str:
        """Return a value as it stands in a text, with its unit; what is counted is named in the language."""
        unit, value = self.step.values[name].rpartition("|")[2].strip(), self.values[name]
        if isinstance(value, str):
            return value
        if "|" not in self.step.values[name]:
            unit = ""
        return f"{show(value, '', digits)} ×" if unit == "×" else _counted(show(value, unit, digits), language)

    def text(self, language: str, field: str) -> str:
        """Return one text of the step with its numbers put in."""
        return self._filled(getattr(self.step.words(language), field), language)

    def options(self, language: str) -> dict[str, str]:
        """Return the choices with their numbers put in."""
        return {key: self._filled(text, language) for key, text in self.words(language).options.items()}

    def drawing(self, language: str) -> Drawing | None:
        """Return the figure of the reveal; None if the step has none."""
        if self.step.figure != "bars":
            return draw(self.step.figure, self.scenario, self.step.view) if self.step.figure else None
        labels = self.words(language).labels
        rows = {text: float(self.values[name]) for name, text in labels.items()}
        unit = self.step.values[next(iter(labels))].rpartition("|")[2].strip()
        return Drawing(bars.describe(rows, unit), bars.figure(rows, unit))

    def words(self, language: str) -> Words:
        """Return the texts as the file holds them."""
        return self.step.words(language)

    def _filled(self, text: str, language: str) -> str:
        return VALUE.sub(lambda found: self.shown(found[1], int(found[2] or 3), language), text)

    def shown_answer(self, language: str) -> str:
        """Return the right answer as a reader sees it."""
        return self.shown_guess(self.answer, language)

    def shown_guess(self, guess: float | str, language: str) -> str:
        """Return an answer (a number in SI or the key of an option) as a reader sees it."""
        if isinstance(guess, str):
            return self.options(language)[guess]
        unit = self.step.question.unit
        return f"{show(guess)} ×" if unit == "×" else _counted(show(guess, si_unit(unit)), language)

    def read(self, text: str) -> float | str | None:
        """Return an answer from a link or a widget: a number in the unit of the entry, or a key; None if it is none."""
        question = self.step.question
        if question.options:
            return text if text in question.options else None
        try:
            value = to_si(float(text), question.unit)
        except ValueError:
            return None
        return value if math.isfinite(value) else None

    def right(self, guess: float | str) -> bool:
        """Return whether a prediction is right, a number within the tolerance of the question."""
        if isinstance(guess, str) or isinstance(self.answer, str):
            return guess == self.answer
        return abs(guess - self.answer) <= self.step.question.within * abs(self.answer)

    def verdict(self, guess: float | str, language: str) -> str:
        """Return what a reader is told about the prediction."""
        say = phrases(language)
        said = say["said"].format(guess=self.shown_guess(guess, language), answer=self.shown_answer(language))
        return say["right" if self.right(guess) else "wrong"] + said


def _counted(text: str, language: str) -> str:
    # "4,096 tokens": the only units that are words.
    found = re.fullmatch(r"(.*) (tokens|sequences)", text)
    return f"{found[1]} {phrases(language)[found[2]]}" if found else text


def _build(key: str, table: dict[str, object]) -> Lesson:
    return Lesson.model_validate({"id": key} | table)


#: Every lesson by the name of its file.
CATALOG: Catalog[Lesson] = Catalog(Path(__file__).parent / "data", "lesson", _build)


@lru_cache(maxsize=1)
def lessons() -> tuple[Lesson, ...]:
    """Return the lessons in the order of their numbers."""
    return tuple(sorted((CATALOG[key] for key in CATALOG), key=lambda lesson: lesson.number))


@lru_cache(maxsize=256)
def worked(lesson: str, step: str) -> Worked:
    """Return a step of a lesson with its numbers; they are computed once."""
    return Worked(next(one for one in CATALOG[lesson].all_steps if one.id == step))
