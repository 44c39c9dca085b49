"""What a class predicted at a step, against what the model computes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from statistics import median

from perfmodel.figures import guesses
from perfmodel.lessons.lesson import Worked
from perfmodel.lessons.phrases import phrases
from perfmodel.lessons.pictures import Drawing
from perfmodel.lessons.units import si_unit


def votes(worked: Worked, texts: Iterable[str], language: str, *, revealed: bool) -> Drawing:
    """Return the predictions as a figure and as a sentence; nothing in either depends on the answer until `revealed`.

    `texts` are answers as the widgets of the step give them; what is none is left out.
    """
    said = [guess for text in texts if (guess := worked.read(text)) is not None]
    say = phrases(language)
    if not said:
        return Drawing(say["room_empty"])
    drawing = _choices(worked, said, language, revealed) if worked.step.question.options else None
    drawing = drawing or _numbers(worked, [float(guess) for guess in said], language, revealed)
    if not revealed:
        return drawing
    right = sum(map(worked.right, said))
    told = say["room_right"].format(answer=worked.shown_answer(language), right=right, count=len(said))
    return Drawing(drawing.describe + told, drawing.figure)


def _choices(worked: Worked, said: list[float | str], language: str, revealed: bool) -> Drawing:
    options = worked.options(language)
    counts = [(_plain(text), said.count(key)) for key, text in options.items()]
    say = phrases(language)
    each = say["room_between"].join(f"{text} {count}" for text, count in counts)
    right = list(options).index(str(worked.answer)) if revealed else None
    told = say["room_choices"].format(count=len(said), each=each)
    return Drawing(told, guesses.choices(counts, right))


def _numbers(worked: Worked, said: list[float], language: str, revealed: bool) -> Drawing:
    say, question, truth = phrases(language), worked.step.question, None
    if revealed:
        text = say["room_truth"].format(answer=worked.shown_answer(language))
        truth = guesses.Truth(float(worked.answer), text, question.within)
    low, high, middle = (worked.shown_guess(value, language) for value in (min(said), max(said), median(said)))
    told = say["room_numbers"].format(count=len(said), low=low, high=high, median=middle)
    return Drawing(told, guesses.numbers(said, si_unit(question.unit), truth))


def _plain(text: str) -> str:
    # An option may hold a link to the glossary or bold type, which a figure cannot show.
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("*", "").replace("$", "")
