"""What a room believed, as a figure: every vote is counted, and nothing tells the answer before the reveal."""

import math
from dataclasses import replace

import pytest
from plotly.graph_objects import Figure

from perfmodel.figures import guesses
from perfmodel.lessons import CATALOG, LANGUAGES, worked
from perfmodel.lessons.phrases import phrases
from perfmodel.lessons.pictures import Drawing
from perfmodel.lessons.room import votes
from perfmodel.lessons.units import to_si


def bars(drawing: Drawing) -> list[int]:
    """The heights of the bars."""
    assert drawing.figure is not None
    (data,) = drawing.figure["data"]
    return list(data["x"] if data.get("orientation") == "h" else data["y"])


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("lesson", CATALOG)
def test_votes_of_every_step(lesson: str, language: str) -> None:
    """At every step each vote is in one bar, the figure is valid, the sentence counts those who were right."""
    for step in CATALOG[lesson].all_steps:
        one = worked(lesson, step.id)
        if options := step.question.options:
            texts = [*options, *options, str(one.answer)]
            right = 3
        else:
            truth = float(one.answer) / to_si(1.0, step.question.unit)
            texts = [repr(truth * factor) for factor in (1.0, 1.0 + step.question.within / 2, 3.0, 70.0)] + ["0", "-1"]
            right = sum(one.right(one.read(text)) for text in texts)
        before = votes(one, [*texts, "nonsense", "nan"], language, revealed=False)
        after = votes(one, [*texts, "nonsense", "inf"], language, revealed=True)
        for drawing in (before, after):
            assert sum(bars(drawing)) == len(texts)
            Figure(drawing.figure)  # Plotly refuses what it does not know
            assert str(len(texts)) in drawing.describe
        told = phrases(language)["room_right"].format(answer=one.shown_answer(language), right=right, count=len(texts))
        assert after.describe.endswith(told)


def test_nothing_tells_the_answer_before_the_reveal() -> None:
    """What is shown before the reveal is the same whatever the model computes: it depends on the votes alone."""
    lesson = CATALOG["four-bottlenecks"]
    for step in lesson.all_steps:
        one = worked(lesson.id, step.id)
        texts = list(step.question.options) or ["1", "2", "30"]
        told = votes(one, texts, "en", revealed=False)
        other = replace(one)
        other.__dict__["answer"] = texts[-1] if step.question.options else 1e6
        assert votes(other, texts, "en", revealed=False) == told


def test_the_axis_follows_the_guesses() -> None:
    """Guesses within a factor of eight stand on a linear axis, wider ones on a logarithmic one, whose ticks say so."""
    near = guesses.numbers([1.0, 2.0, 4.0], "B")["layout"]["xaxis"]
    far = guesses.numbers([1.0, 1e3, 1e6], "B")["layout"]["xaxis"]
    assert near["ticktext"] == ["1 B", "2 B", "3 B", "4 B"]
    assert far["ticktext"] == ["1 B", "10 B", "100 B", "1 kB", "10 kB", "100 kB", "1 MB"]


@pytest.mark.parametrize("wild", [1e300, -1e300, 0.0, 1e-300, 5.0])
def test_one_wild_guess(wild: float) -> None:
    """One guess however wild, or all alike, leaves the others apart from one another and is counted itself."""
    figure = guesses.numbers([4.0, 5.0, 6.0, 5.5, wild], "s", guesses.Truth(5.0, "truth", 0.1))
    low, high = figure["layout"]["xaxis"]["range"]
    assert sum(figure["data"][0]["y"]) == 5
    assert high - low < 250
    assert guesses.numbers([wild] * 3)["layout"]["xaxis"]["tickvals"] is not None


def test_the_truth_is_marked() -> None:
    """The line stands at the truth and the band at its tolerance, on both kinds of axis."""
    for values, place in (([40.0, 60.0], float), ([1.0, 1e4], math.log10)):
        band, line = guesses.numbers(values, "", guesses.Truth(50.0, "model: 50", 0.1))["layout"]["shapes"]
        assert line["x0"] == line["x1"] == pytest.approx(place(50.0))
        assert (band["x0"], band["x1"]) == pytest.approx((place(45.0), place(55.0)))


def test_a_choice_is_marked_by_more_than_colour() -> None:
    """The right choice has a tick before its text, no other has; a long text is cut."""
    figure = guesses.choices([("Memory", 3), ("x" * 80, 0), ("内存" * 20, 1)], 0)
    first, second, third = (note["text"] for note in figure["layout"]["annotations"])
    assert first == "✓ Memory"
    assert second == "x" * 46 + "…"
    assert third == "内存" * 11 + "内…"
