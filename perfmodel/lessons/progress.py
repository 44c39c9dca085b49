"""What a reader has revealed of a lesson, and the predictions, as a short text for a link."""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.lessons.lesson import CATALOG, worked

#: What the text says before anything is revealed.
NONE = "none"


def encode(lesson: str, answers: Mapping[str, str], *, with_answers: bool) -> str:
    """Return progress as text: the lesson, the steps revealed, and with `with_answers` what was predicted.

    >>> encode("four-bottlenecks", {"overlap": "50", "memory-bound": ""}, with_answers=True)
    'four-bottlenecks:overlap=50,memory-bound'
    """
    if not answers:
        return NONE
    parts = (f"{step}={answer}" if answer and with_answers else step for step, answer in answers.items())
    return f"{lesson}:{','.join(parts)}"


def decode(text: str) -> tuple[str, dict[str, str]]:
    """Return lesson and answers of a text out of a link; what is unknown or no answer is left out.

    >>> decode("four-bottlenecks:overlap=50,nonsense=1,memory-bound=x")
    ('four-bottlenecks', {'overlap': '50', 'memory-bound': ''})
    """
    lesson, _, rest = text.partition(":")
    if lesson not in CATALOG:
        return "", {}
    known = {step.id for step in CATALOG[lesson].all_steps}
    found = {}
    for part in filter(None, rest.split(",")):
        step, _, answer = part.partition("=")
        if step in known:
            found[step] = answer if worked(lesson, step).read(answer) is not None else ""
    return lesson, found


def score(lesson: str, answers: Mapping[str, str]) -> int:
    """Return how many predictions were right."""
    guesses = ((worked(lesson, step), answer) for step, answer in answers.items())
    return sum(1 for one, answer in guesses if (guess := one.read(answer)) is not None and one.right(guess))
