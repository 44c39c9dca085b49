"""A lesson as its file holds it: texts in both languages, scenarios, questions; every number an expression."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Self
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from perfmodel.codec import from_query
from perfmodel.lessons.calculate import names, parsed
from perfmodel.lessons.pictures import PICTURES
from perfmodel.lessons.units import ENTERED
from perfmodel.scenario import Scenario

LANGUAGES = ("en", "zh")
#: A value in a text: [[name]], or [[name:4]] with four significant digits.
VALUE = re.compile(r"\[\[(\w+)(?::(\d))?\]\]")
Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=32)]


class Record(BaseModel):
    """A table of a lesson file: frozen, and no field that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Words(Record):
    """What a step says in one language. `[[name]]` stands for a value of the step, `[text](term:id)` for a term.

    `labels`: what the figure "bars" calls the values that it draws, in their order;
    `text`: definition and worked number; `ask`: the question; `options`: its choices; `reveal`: the answer and why;
    `takeaway`: one sentence; `article`: what an article says and what is correct; `notes`: for the teacher.
    """

    title: str
    text: str = ""
    ask: str
    options: dict[str, str] = {}
    reveal: str
    takeaway: str = ""
    article: str = ""
    notes: str = ""
    labels: dict[str, str] = {}

    @property
    def filled(self) -> dict[str, Any]:
        """Which texts there are: this must be the same in every language."""
        return {name: bool(getattr(self, name)) for name in type(self).model_fields} | {
            "options": set(self.options),
            "labels": list(self.labels),
        }

    @property
    def all(self) -> Iterator[str]:
        """Every text."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            yield from value.values() if isinstance(value, dict) else (value,)


class Question(Record):
    """What is predicted: a number `answer`, right within a share `within` of it, or the one option that holds.

    `unit` is that of the entry; the expression is in SI. `options` gives for each choice the condition under which it
    is the right one.
    """

    answer: str = ""
    unit: str = ""
    within: float = Field(default=0.1, gt=0, le=1)
    options: dict[str, str] = {}

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if bool(self.answer) == bool(self.options):
            raise ValueError("a question has either an answer (a number) or options (a choice)")
        if self.unit not in ENTERED:
            raise ValueError(f"unit={self.unit!r} is not one of {', '.join(ENTERED)}")
        return self

    @property
    def expressions(self) -> tuple[str, ...]:
        """Everything that is evaluated."""
        return (self.answer,) if self.answer else tuple(self.options.values())


class Step(Record):
    """One step of a lesson, or an exercise: set the scene, predict, reveal.

    `scenario` is written as in a link (`model=llama-2-7b&gpu=a10`); what is absent takes the documented default.
    `values`: name -> "expression | unit". `figure` names one of `pictures`, `view` its options. `explorer` is the page
    that "open in the explorer" leads to, `explorer_view` its secondary controls.
    """

    id: Slug
    cases: tuple[Annotated[str, Field(pattern=r"^S\d+$")], ...] = ()
    errors: tuple[Annotated[str, Field(pattern=r"^E\d+$")], ...] = ()
    minutes: float = Field(default=4, gt=0, le=60)
    scenario: str
    equation: str = ""
    values: dict[str, str] = {}
    figure: str = ""
    view: dict[str, str | int] = {}
    explorer: str = "Home"
    explorer_view: dict[str, str] = {}
    question: Question
    en: Words
    zh: Words

    def words(self, language: str) -> Words:
        """Return the texts in a language."""
        found: Words = getattr(self, language)
        return found

    @cached_property
    def setting(self) -> Scenario:
        """The scenario of the step."""
        return from_query(dict(parse_qsl(self.scenario)))[0]

    @field_validator("scenario")
    @classmethod
    def _opens(cls, text: str) -> str:
        notices = from_query(dict(parse_qsl(text, strict_parsing=True)))[1]
        if notices:
            raise ValueError("; ".join(notices))
        return text

    @field_validator("figure")
    @classmethod
    def _drawn(cls, name: str) -> str:
        if name and name not in PICTURES:
            raise ValueError(f"figure={name!r} is not one of {', '.join(PICTURES)}")
        return name

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.en.filled != self.zh.filled:
            differ = [name for name, value in self.en.filled.items() if self.zh.filled[name] != value]
            raise ValueError(f"step {self.id}: {', '.join(differ)} is not there in both languages")
        if set(self.en.options) != set(self.question.options):
            raise ValueError(f"step {self.id}: the options of the texts are not those of the question")
        if (self.figure == "bars") != bool(self.en.labels):
            raise ValueError(f"step {self.id}: labels go with the figure bars")
        if bool(self.errors) != bool(self.en.article):
            raise ValueError(f"step {self.id}: errors and the text `article` belong together")
        for language in LANGUAGES:
            used = {name for text in self.words(language).all for name, _ in VALUE.findall(text)}
            if missing := (used | set(self.words(language).labels)) - set(self.values):
                raise ValueError(f"step {self.id}: {', '.join(sorted(missing))} in the {language} text is no value")
        before: set[str] = set()
        for name, text in self.values.items():
            self._check(text.rpartition("|")[0] or text, before)
            before.add(name)
        for text in self.question.expressions:
            self._check(text, before)
        return self

    def _check(self, text: str, defined: set[str]) -> None:
        parsed(text)
        if unknown := names(text) - defined:
            raise ValueError(f"step {self.id}: {', '.join(sorted(unknown))} in {text!r} is no value above it")


class Heading(Record):
    """Name of a lesson, the question a practitioner has, and what one takes home, in one language."""

    title: str
    question: str
    takeaway: str


class Lesson(Record):
    """One lesson: `number` gives its place; exercises have the same shape as steps."""

    id: Slug
    number: int = Field(ge=1)
    en: Heading
    zh: Heading
    steps: tuple[Step, ...] = Field(min_length=1)
    exercises: tuple[Step, ...] = ()

    def heading(self, language: str) -> Heading:
        """Return name and question in a language."""
        found: Heading = getattr(self, language)
        return found

    @property
    def all_steps(self) -> tuple[Step, ...]:
        """Steps, then exercises."""
        return (*self.steps, *self.exercises)

    @property
    def minutes(self) -> float:
        """How long the lesson takes without its exercises [min]."""
        return sum(step.minutes for step in self.steps)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        ids = [step.id for step in self.all_steps]
        if twice := {name for name in ids if ids.count(name) > 1}:
            raise ValueError(f"two steps are called {', '.join(sorted(twice))}")
        return self
