"""Lessons: complete in both languages, every number computed and as the register expects, every link whole."""

import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from pydantic import ValidationError
from streamlit.testing.v1 import AppTest

from pages.parts import registry
from perfmodel import from_query
from perfmodel.languages import said
from perfmodel.lessons import CATALOG, LANGUAGES, Lesson, lessons, worked
from perfmodel.lessons.calculate import calculate
from perfmodel.lessons.handout import handout
from perfmodel.lessons.lesson import Worked
from perfmodel.lessons.mathml import mathml
from perfmodel.lessons.phrases import phrases
from perfmodel.lessons.progress import decode, encode, score
from perfmodel.lessons.record import VALUE, Question, Step, Words
from perfmodel.lessons.units import ENTERED, to_si

ROOT = Path(__file__).resolve().parents[1]
EXPECTED: dict[str, Any] = tomllib.loads((ROOT / "tests" / "lesson_numbers.toml").read_text(encoding="utf-8"))
STEPS = [(lesson.id, step.id) for lesson in lessons() for step in lesson.all_steps]
NUMBERS = [
    (lesson, step, name, *expected)
    for lesson, steps in EXPECTED["numbers"].items()
    for step, values in steps.items()
    for name, expected in values.items()
]


def words_of(one: Worked, language: str) -> list[str]:
    """Every text of a step with its numbers put in."""
    fields = [name for name in Words.model_fields if name not in ("options", "labels")]
    return [*(one.text(language, name) for name in fields), *one.options(language).values()]


# The files


def test_every_file_is_a_lesson() -> None:
    """No lesson file was left out, and the numbers are 1 to the number of lessons."""
    assert CATALOG.problems == ()
    assert [lesson.number for lesson in lessons()] == list(range(1, len(lessons()) + 1))


@pytest.mark.parametrize(("lesson", "step"), STEPS)
def test_every_step_can_be_worked_out(lesson: str, step: str) -> None:
    """Every value, condition and text of a step evaluates, to finite numbers, in both languages, with nothing left."""
    one = worked(lesson, step)
    assert one.answer is not None
    assert all(np.isfinite(value) for value in one.values.values() if isinstance(value, float))
    for language in LANGUAGES:
        for text in words_of(one, language):
            assert "[[" not in text
            assert "–" not in re.sub(r"\d–\d", "", text), text
        assert one.shown_answer(language)
        assert one.text(language, "title")
        assert one.text(language, "ask")
        assert one.text(language, "reveal")


@pytest.mark.parametrize("lesson", CATALOG)
def test_steps_teach_and_exercises_ask(lesson: str) -> None:
    """A step has text, takeaway and talking points and names its cases; a lesson has exercises."""
    record = CATALOG[lesson]
    for step in record.steps:
        for language in LANGUAGES:
            words = step.words(language)
            assert words.text, step.id
            assert words.takeaway.count(".") + words.takeaway.count("。") >= 1, step.id
            assert words.notes, step.id
        assert step.cases, step.id
    assert len(record.exercises) >= 2


@pytest.mark.parametrize(("lesson", "step"), STEPS)
def test_languages_are_their_own(lesson: str, step: str) -> None:
    """Chinese texts are Chinese, English ones are not, and both show the same numbers of the engine."""
    one = worked(lesson, step)
    for name in ("title", "text", "ask", "reveal", "takeaway", "article", "notes"):
        english, chinese = (getattr(one.words(language), name) for language in ("en", "zh"))
        assert not re.search(r"[\u4e00-\u9fff]", english)
        assert bool(re.search(r"[\u4e00-\u9fff。]", chinese)) == bool(chinese)
        assert sorted(set(VALUE.findall(english))) == sorted(set(VALUE.findall(chinese))), (step, name)


@pytest.mark.parametrize(("lesson", "step"), STEPS)
def test_links_open_without_notices(lesson: str, step: str) -> None:
    """The scenario of a step goes through the codec and back unchanged, and the explorer page exists."""
    record = worked(lesson, step).step
    scenario, notices = from_query(record.setting.to_query())
    assert notices == ()
    assert scenario == record.setting
    names = {page.name for page in registry.pages()}
    assert record.explorer in names
    assert set(record.explorer_view) <= set(registry.view_defaults(record.explorer))


@pytest.mark.parametrize(("lesson", "step"), STEPS)
def test_figures_and_equations(lesson: str, step: str) -> None:
    """Plotly accepts the figure of a step, it has a description, and its equation has a MathML form."""
    one = worked(lesson, step)
    if one.step.equation:
        assert mathml(one.step.equation).startswith("<math")
    for language in LANGUAGES:
        drawing = one.drawing(language)
        if drawing is not None:
            assert drawing.describe
            assert drawing.svg or go.Figure(drawing.figure).data


# The numbers


@pytest.mark.parametrize(("lesson", "step", "name", "expected", "tolerance", "cases"), NUMBERS)
def test_numbers_are_those_of_the_register(
    lesson: str, step: str, name: str, expected: float | str, tolerance: float, cases: str
) -> None:
    """Each number of a lesson agrees with the one of the register of cases within its tolerance."""
    one = worked(lesson, step)
    found = one.answer if name == "answer" else one.values[name]
    if isinstance(expected, str):
        assert found == expected
    else:
        np.testing.assert_allclose(float(found), expected, rtol=tolerance)
    assert set(cases.split()) <= {*one.step.cases, *one.step.errors}


def test_every_case_of_a_lesson_has_a_number() -> None:
    """Every case that a step names is tied to an expected number, or stands among those that have none."""
    tied = {case for *_, cases in NUMBERS for case in cases.split()}
    named = {case for lesson in lessons() for step in lesson.steps for case in step.cases}
    assert named - tied == set(EXPECTED["without_numbers"]) & named
    assert not tied & set(EXPECTED["without_numbers"])


def test_all_cases_and_errors_are_taught() -> None:
    """The 74 cases of the register each have a step, and each of its 24 errors a "the article says"."""
    steps = [step for lesson in lessons() for step in lesson.steps]
    assert {case for step in steps for case in step.cases} == {f"S{n}" for n in range(1, 75)}
    assert {error for step in steps for error in step.errors} == {f"E{n}" for n in range(1, 25)}


def test_prediction_beside_a_measurement() -> None:
    """S72: 13B: 16.8 and 8.4 ms from the bytes, 22.0 and 13.5 ms measured; the engine meets the measured ones."""
    values = worked("many-chips", "prediction").values
    np.testing.assert_allclose([values["one"], values["two"]], [16.8e-3, 8.4e-3], rtol=1e-3)
    np.testing.assert_allclose([values["oursone"], values["ours"]], [22.0e-3, 13.5e-3], rtol=0.1)


def test_what_is_not_a_product() -> None:
    """S73: in a model of BERT's size what is neither matrix product nor attention is some 0.2 % of the FLOPs."""
    np.testing.assert_allclose(worked("flops", "not-matmul").values["vector"], 0.002, rtol=0.35)


def test_cases_without_numbers_are_told() -> None:
    """S24, S70: compilers and overhead engineering have no number of their own; a step of a lesson tells them."""
    assert "TensorRT" in worked("cures", "tracing-jit").text("en", "text")
    assert "overhead engineering" in worked("batching-networks", "small-networks").text("en", "reveal")


# Predictions


@pytest.mark.parametrize(("lesson", "step"), STEPS)
def test_the_right_answer_is_right(lesson: str, step: str) -> None:
    """Entering the engine's own answer is right; a number beyond the tolerance and any other option are wrong."""
    one = worked(lesson, step)
    question = one.step.question
    if question.options:
        assert [key for key in question.options if one.right(key)] == [one.answer]
        assert one.read("nonsense") is None
    else:
        entered = float(one.answer) / ENTERED[question.unit]
        assert one.right(one.read(repr(entered)) or 0.0)
        assert not one.right(float(one.answer) * (1 + 1.5 * question.within))
        assert one.read("nan") is None
        assert one.read("ten") is None


def test_units_of_entries() -> None:
    """What is entered in ms, GB or % is that in SI."""
    assert [to_si(2.0, unit) for unit in ("ms", "GB", "%", "TFLOP/s", "")] == [2e-3, 2e9, 0.02, 2e12, 2.0]


def test_progress_travels_as_text() -> None:
    """Progress goes through its text and back, with and without answers; what is unknown is left out."""
    answers = {"overlap": "50", "overhead-bound": "memory", "memory-bound": ""}
    assert decode(encode("four-bottlenecks", answers, with_answers=True)) == ("four-bottlenecks", answers)
    bare = decode(encode("four-bottlenecks", answers, with_answers=False))[1]
    assert bare == dict.fromkeys(answers, "")
    assert decode("nonsense:a=1") == ("", {})
    assert decode("none") == ("", {})
    assert decode("four-bottlenecks:overlap=<b>,x")[1] == {"overlap": ""}
    assert score("four-bottlenecks", answers) == 1


@pytest.mark.parametrize("lesson", CATALOG)
def test_progress_fits_into_the_link(lesson: str) -> None:
    """All answers of a lesson together are short enough for one value of a link."""
    from pages.parts.state import MAX_VIEW_CHARS

    answers = {step.id: next(iter(step.question.options), "1234.5") for step in CATALOG[lesson].all_steps}
    assert len(encode(lesson, answers, with_answers=True)) <= MAX_VIEW_CHARS


# Expressions


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("__import__('os').system('x')", "is not allowed"),
        ("open('x')", "open is no known function"),
        ("(1).__class__", "is not allowed"),
        ("[x for x in (1, 2)]", "is not allowed"),
        ("lambda: 1", "is not allowed"),
        ("9 ** 9 ** 9", "beyond 64"),
        ("nothing + 1", "nothing is no known value"),
        ("1 / 0", "division by zero"),
        ("1 +", "is not an expression"),
        ("1" + " + 1" * 200, "at most 400"),
    ],
)
def test_expressions_do_arithmetic_and_nothing_else(text: str, reason: str) -> None:
    """Whatever is not arithmetic on listed names and functions is refused with the reason."""
    with pytest.raises(ValueError, match=re.escape(reason)):
        calculate(text, {}, {})


def step_of(**changes: Any) -> Step:
    """A small valid step, some of its fields replaced."""
    words = {"title": "a", "ask": "b", "reveal": "[[x]]"}
    fields = {"id": "s", "scenario": "model=llama-2-7b", "values": {"x": "1 + 1"}, "question": {"answer": "x"}}
    return Step.model_validate(fields | {"en": words, "zh": words} | changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"scenario": "model=gpt-9"}, "gpt-9"),
        ({"scenario": "batch=zero"}, "batch='zero' is not allowed"),
        ({"zh": {"title": "a", "ask": "b", "reveal": "c", "text": "more"}}, "text is not there in both languages"),
        ({"values": {}}, "x in the en text is no value"),
        ({"values": {"x": "y + 1"}}, "y in 'y + 1' is no value above it"),
        ({"figure": "pie"}, "figure='pie' is not one of"),
        ({"question": {"answer": "x", "unit": "furlong"}}, "unit='furlong' is not one of"),
        ({"question": {"answer": "x", "options": {"a": "True"}}}, "either an answer"),
        ({"errors": ["E1"]}, "belong together"),
        ({"figure": "bars"}, "labels go with the figure bars"),
        ({"id": "A step"}, "id"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_mistakes_in_a_file_name_themselves(changes: dict[str, Any], reason: str) -> None:
    """A mistake in a lesson file is refused when it is read, with its place and what is allowed."""
    assert Worked(step_of()).text("en", "reveal") == "2"
    with pytest.raises(ValidationError, match=re.escape(reason)):
        step_of(**changes)


def test_one_option_must_hold() -> None:
    """A choice with no right option, or with two, is a mistake that names itself."""
    words = {"title": "a", "ask": "b", "reveal": "c", "options": {"a": "A", "b": "B"}}
    for a, b in (("1 > 2", "2 > 3"), ("1 > 0", "2 > 0")):
        question = Question(options={"a": a, "b": b})
        with pytest.raises(ValueError, match="one option must hold"):
            _ = Worked(step_of(question=question, en=words, zh=words)).answer


# Handout and words


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("lesson", CATALOG)
def test_handout_needs_nothing_else(lesson: str, language: str) -> None:
    """The handout is one file: no script, no address that is loaded, every anchor there, every text in it."""
    page = handout(lesson, language)
    assert page.startswith("<!doctype html>")
    assert not re.search(r"<script|<link|<img|@import|src=|url\((?!#)", page)
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(re.findall(r'id="([^"]+)"', page))
    ids = re.findall(r'id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert "[[" not in page
    assert "**" not in page
    assert page.count("<figure>") == sum(1 for step in CATALOG[lesson].steps if step.figure)


@pytest.mark.parametrize("lesson", CATALOG)
def test_figures_of_a_handout_speak_its_language(lesson: str) -> None:
    """What stands below each figure, and what its axes and legend say, is Chinese in a Chinese handout."""
    figures = re.findall(r"<figure>.*?</figure>", handout(lesson, "zh"), re.DOTALL)
    texts = [text for figure in figures for text in re.findall(r"(?<=>)[^<>{}]+(?=<)", figure)]
    assert [missing for text in texts for missing in said(text, "zh").missing] == []
    assert bool(figures) == bool(re.search(r"[\u4e00-\u9fff]", "".join(texts)))


def test_phrases_are_in_every_language() -> None:
    """No key of the page's words is missing in a language, and the places to fill are the same."""
    one, two = (phrases(language) for language in LANGUAGES)
    assert set(one) == set(two)
    for key in one:
        assert sorted(re.findall(r"\{(\w+)", one[key])) == sorted(re.findall(r"\{(\w+)", two[key])), key


# The pages


def page(name: str, **query: str) -> AppTest:
    """A page opened with a link."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.switch_page(f"pages/{name}.py")
    for key, value in query.items():
        app.query_params[key] = value
    return app.run()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("lesson", CATALOG)
def test_every_step_is_shown(lesson: str, language: str) -> None:
    """A walk through every step of a lesson with the Next button, each revealed, raises nothing and keeps the link."""
    record: Lesson = CATALOG[lesson]
    app = page("40_Lessons", lesson=lesson, lang=language)
    for step in record.all_steps:
        assert not app.exception, [error.value for error in app.exception]
        assert not app.error
        assert app.query_params["step"] in (step.id, [step.id])
        app.button(key="lesson.reveal").click().run()
        assert not app.exception, (step.id, [error.value for error in app.exception])
        assert worked(lesson, step.id).shown_answer(language) in " ".join(box.value for box in app.info)
        if step != record.all_steps[-1]:
            app.button(key="lesson.next").click().run()
    assert app.button(key="lesson.next").disabled


@pytest.mark.parametrize("view", ["teacher", "presenter"])
@pytest.mark.parametrize("stage", ["ask", "answer"])
def test_other_views(view: str, stage: str) -> None:
    """Teacher and wall show every step of a lesson from its link alone."""
    for step in CATALOG["four-bottlenecks"].all_steps:
        app = page("40_Lessons", step=step.id, view=view, stage=stage)
        assert not app.exception, [error.value for error in app.exception]
        assert not any("is not one of" in box.value for box in app.warning)


def test_a_prediction_is_judged_and_kept() -> None:
    """A prediction is judged on Reveal; the link carries progress, and the answer only when that was chosen."""
    app = page("40_Lessons", step="memory-bound")
    app.number_input(key="answer.four-bottlenecks.memory-bound").set_value(22.0).run()
    app.button(key="lesson.reveal").click().run()
    assert any(box.value.startswith("Right.") for box in app.success)
    assert app.query_params["done"] in ("four-bottlenecks:memory-bound", ["four-bottlenecks:memory-bound"])
    opened = page("40_Lessons", step="memory-bound", done="four-bottlenecks:memory-bound=30", keep="answers")
    assert any(box.value.startswith("Not quite. You said 30 ms") for box in opened.warning)
    opened.button(key="lesson.again").click().run()
    assert not any(box.value.startswith("Not quite.") for box in opened.warning)


def test_a_choice_is_judged_and_kept() -> None:
    """A chosen option survives Reveal, is judged, and comes back out of a link that carries answers."""
    app = page("40_Lessons", step="overhead-bound", keep="answers")
    app.radio(key="answer.four-bottlenecks.overhead-bound").set_value("overhead").run()
    app.button(key="lesson.reveal").click().run()
    assert any(box.value.startswith("Right.") for box in app.success)
    done = "four-bottlenecks:overhead-bound=overhead"
    assert app.query_params["done"] in (done, [done])
    opened = page("40_Lessons", step="overhead-bound", done=done, keep="answers")
    assert opened.radio(key="answer.four-bottlenecks.overhead-bound").value == "overhead"
    assert any(box.value.startswith("Right.") for box in opened.success)


def test_a_lesson_keeps_the_readers_scenario() -> None:
    """Lessons have scenarios of their own; the reader's stays in the link and comes back on the next page."""
    app = page("40_Lessons", batch="33", step="communication-bound")
    assert app.query_params["batch"] in ("33", ["33"])
    app.switch_page("pages/1_Roofline.py").run()
    assert app.sidebar.slider(key="w.batch").value == 33
