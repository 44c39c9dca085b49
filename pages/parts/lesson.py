"""A step of a lesson on the screen: for the student, for the teacher, for the wall."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from pages import Page
from pages.parts import share
from pages.parts.classroom import Classroom
from pages.parts.registry import pages
from pages.parts.speech import plain, st
from pages.parts.state import hold, session
from perfmodel.lessons import Lesson, Worked, worked
from perfmodel.lessons.phrases import phrases
from perfmodel.lessons.progress import NONE, decode, encode, score
from perfmodel.lessons.terms import linked

_KEY = "lessons.answers"


@dataclass(frozen=True)
class Memos:
    """What the page keeps in its link beside its controls: progress, and whether the wall shows question or answer."""

    done: str
    stage: str
    with_answers: bool


@dataclass(frozen=True)
class Show:
    """One step of a lesson on a page."""

    page: Page
    lesson: Lesson
    id: str
    language: str
    memos: Memos
    room: Classroom

    @property
    def say(self) -> Mapping[str, str]:
        """The words of the page."""
        return phrases(self.language)

    @property
    def worked(self) -> Worked:
        """The step with its numbers."""
        return worked(self.lesson.id, self.id)

    @cached_property
    def answers(self) -> dict[str, str]:
        """Step -> prediction of this lesson; from the link where that knows more than this session."""
        held = cast(dict[str, dict[str, str]], st.session_state.setdefault(_KEY, {}))
        mine = held.setdefault(self.lesson.id, {})
        lesson, found = decode(self.memos.done)
        if lesson == self.lesson.id:
            for step, answer in found.items():
                mine[step] = mine.get(step) or answer
        session().views[self.page.name]["done"] = encode(self.lesson.id, mine, with_answers=self.memos.with_answers)
        self.page.memo("done", NONE)  # the link follows
        return mine

    def student(self) -> None:
        """Draw the step: set the scene, predict, reveal, go on."""
        self._head()
        self._scene()
        with st.container(border=True):
            st.markdown(f"**{self.say['predict']}.** {self._text('ask')}")
            self._question()
            revealed = self.id in self.answers
            with st.container(horizontal=True):
                if revealed:
                    st.button(self.say["again"], key="lesson.again", type="tertiary", on_click=self._hide)
                else:
                    st.button(self.say["reveal"], key="lesson.reveal", type="primary", on_click=self._reveal)
        if revealed:
            self._judge()
            self.room.shown(self.worked)
            self._answer()
        self._steps()
        self._foot()

    def teacher(self) -> None:
        """Draw the step with its answer and talking points, and the plan of the lesson."""
        self._head()
        self._scene()
        with st.container(border=True):
            st.markdown(f"**{self.say['predict']}.** {self._text('ask')}")
            for text in self.worked.options(self.language).values():
                st.markdown(f"- {text}")
            st.success(f"**{self.say['answer']}:** {self.worked.shown_answer(self.language)}")
        if notes := self._text("notes"):
            st.info(f"**{self.say['notes']}.** {notes}")
        self.room.live(self.worked)
        self._answer()
        self._steps()
        st.subheader(self.say["total"].format(minutes=self.lesson.minutes, exercises=len(self.lesson.exercises)))
        self.page.table(self._plan(), "plan")
        with st.expander(self.say["links"]):
            for step in self.lesson.all_steps:
                self._link(step.id)
        self._foot()

    def presenter(self) -> None:
        """Draw the step large: the question, then with the same key the answer and one figure."""
        shown = self.memos.stage == "answer"
        st.title(self._text("title"))
        if not shown:
            st.subheader(self._text("text"))
            self._equation()
            st.header(self._text("ask"))
            for text in self.worked.options(self.language).values():
                st.subheader(f"- {text}")
        else:
            st.header(f"{self._text('ask')} **{self.worked.shown_answer(self.language)}**")
            self._figure(height=420)
            st.subheader(self._text("takeaway") or self._text("reveal"))
        self.room.wall(self.worked, revealed=shown)
        self._steps(shown)

    def _text(self, field: str) -> str:
        return linked(self.worked.text(self.language, field), self.language)

    def _head(self) -> None:
        heading, index = self.lesson.heading(self.language), self._index
        st.subheader(f"{self.lesson.number}. {heading.question}")
        done = self.say["progress"].format(
            done=len(self.answers), count=len(self._ids), right=score(self.lesson.id, self.answers)
        )
        st.progress(len(self.answers) / len(self._ids), text=done)
        steps = len(self.lesson.steps)
        place = "place" if index < steps else "exercise_place"
        number, count = (index + 1, steps) if index < steps else (index + 1 - steps, len(self.lesson.exercises))
        st.caption(self.say[place].format(number=number, count=count, minutes=self.worked.step.minutes))
        st.subheader(self._text("title"))

    @property
    def _ids(self) -> list[str]:
        return [step.id for step in self.lesson.all_steps]

    @property
    def _index(self) -> int:
        return self._ids.index(self.id)

    def _scene(self) -> None:
        if text := self._text("text"):
            st.markdown(text)
        self._equation()

    def _equation(self) -> None:
        if self.worked.step.equation:
            st.latex(self.worked.step.equation)

    @property
    def _widget(self) -> str:
        return f"answer.{self.lesson.id}.{self.id}"

    def _question(self) -> None:
        question, said = self.worked.step.question, self.answers.get(self.id, "")
        common: dict[str, Any] = {"key": self._widget, "disabled": self.id in self.answers}
        if question.options:
            options = self.worked.options(self.language)
            place = {"shown": list(options).index(said)} if said else {}
            kept = hold(self._widget, said, "index", **place) if said else {"index": None}
            st.radio(
                self.say["predict"],
                tuple(options),
                format_func=options.__getitem__,
                label_visibility="collapsed",
                **common | kept,
            )
        else:
            unit = f" [{question.unit}]" if question.unit else ""
            kept = hold(self._widget, float(said)) if said else {"value": None}
            st.number_input(f"{self.say['your_number']}{unit}", width=280, **common | kept)

    def _reveal(self) -> None:
        said = st.session_state.get(self._widget)
        text = "" if said is None else str(said)
        self.room.submit(text)
        self._keep(self.answers | {self.id: text})

    def _hide(self) -> None:
        self._keep({step: answer for step, answer in self.answers.items() if step != self.id})
        st.session_state.pop(self._widget, None)

    def _keep(self, answers: Mapping[str, str]) -> None:
        st.session_state[_KEY][self.lesson.id] = dict(answers)
        self.page.remember("done", encode(self.lesson.id, answers, with_answers=self.memos.with_answers))

    def _judge(self) -> None:
        guess = self.worked.read(self.answers[self.id])
        if guess is None:
            st.info(f"**{self.say['answer']}:** {self.worked.shown_answer(self.language)}")
        else:
            box = st.success if self.worked.right(guess) else st.warning
            box(self.worked.verdict(guess, self.language))

    def _answer(self) -> None:
        st.markdown(self._text("reveal"))
        self._figure()
        if takeaway := self._text("takeaway"):
            st.success(f"**{self.say['takeaway']}.** {takeaway}")
        if article := self._text("article"):
            st.info(f"**{self.say['article']}.** {article}")
        step = self.worked.step
        path = next(page.path for page in pages() if page.name == step.explorer)
        st.page_link(
            path,
            label=f"{self.say['explorer']}: {step.explorer}",
            icon=":material/open_in_new:",
            query_params=self.worked.scenario.to_query() | step.explorer_view | share.pins(),
        )

    def _figure(self, height: int | None = None) -> None:
        drawing = self.worked.drawing(self.language)
        if drawing is None:
            return
        if drawing.figure is None:
            self.page.picture(drawing.svg, drawing.describe)
            st.caption(plain(drawing.describe))
        else:
            self.page.show(drawing.figure, f"lesson-{self.lesson.id}-{self.id}", height=height,
                           describe=drawing.describe, legend=drawing.legend)  # fmt: skip

    def _steps(self, shown: bool | None = None) -> None:
        ids, index = self._ids, self._index
        last = index + 1 == len(ids)
        with st.container(horizontal=True):
            back = (self.id, "ask") if shown else (ids[max(0, index - 1)], "ask")
            st.button(self.say["back"], key="lesson.back", shortcut="Left", on_click=self._go, args=back,
                      disabled=index == 0 and not shown)  # fmt: skip
            forward = (self.id, "answer") if shown is False else (ids[min(index + 1, len(ids) - 1)], "ask")
            label = self.say["reveal"] if shown is False else self.say["next"]
            st.button(label, key="lesson.next", shortcut="Right", type="primary", on_click=self._go, args=forward,
                      disabled=last and shown is not False)  # fmt: skip

    def _go(self, step: str, stage: str) -> None:
        self.page.remember("step", step)
        self.page.remember("stage", stage)

    def _plan(self) -> list[dict[str, Any]]:
        rows = []
        for step in self.lesson.all_steps:
            one = worked(self.lesson.id, step.id)
            rows.append(
                {
                    self.say["step"]: one.text(self.language, "title"),
                    self.say["minutes"]: step.minutes,
                    self.say["answer"]: one.shown_answer(self.language),
                    self.say["cases"]: ", ".join((*step.cases, *step.errors)),
                }
            )
        return rows

    def _link(self, step: str) -> None:
        one = worked(self.lesson.id, step)
        views = {"lesson": self.lesson.id, "step": step, "view": "student", "lang": self.language} | self.room.query
        path = next(page.path for page in pages() if page.name == self.page.name)
        st.page_link(path, label=one.text(self.language, "title"), query_params=views | share.pins())

    def _foot(self) -> None:
        from perfmodel.lessons.handout import handout  # here: only those who print need it

        st.download_button(
            self.say["handout"],
            data=lambda: handout(self.lesson.id, self.language),
            file_name=f"perfmodel-{self.lesson.id}-{self.language}.html",
            mime="text/html",
            icon=":material/print:",
            help=self.say["handout_help"],
            on_click="ignore",
        )
