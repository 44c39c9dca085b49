"""A room on the lessons' page: the teacher opens it, students join by link or code, both see what was predicted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

from pages import Page
from pages.parts import share
from pages.parts.rooms import LIFE_S, Refused, new_token, store, tidy
from pages.parts.speech import st
from perfmodel.lessons import Worked
from perfmodel.lessons.phrases import phrases
from perfmodel.lessons.room import votes
from perfmodel.units import HOUR_S

#: What the link says without a room.
OUTSIDE = "none"
_KEY, _TYPED = "lessons.room", "room.typed"
#: So many wrong codes end a session's tries: far too few to find a room by guessing.
_TRIES = 10
#: How often the teacher's screen follows [s]; a student's never asks by itself.
_EVERY_S = 2.0
#: A refusal that no later try undoes.
_FINAL = ("room_gone", "room_bad", "room_full")


@dataclass
class Mine:
    """What this session knows of rooms; `token` is all that a room knows of this session.

    `known`: steps (lesson/step) whose answer was on the screen.
    """

    token: str = field(default_factory=new_token)
    owned: dict[str, str] = field(default_factory=dict)
    joined: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    trouble: str = ""


@dataclass(frozen=True)
class Classroom:
    """The room that the link names, as one session sees it; `place` is lesson/step."""

    page: Page
    asked: str
    place: str
    language: str

    @property
    def code(self) -> str:
        """The code in the link, empty without one."""
        return "" if self.asked == OUTSIDE else tidy(self.asked)

    @property
    def query(self) -> dict[str, str]:
        """What a link into this room carries."""
        return {"room": self.code} if self.code else {}

    @property
    def _say(self) -> Mapping[str, str]:
        return phrases(self.language)

    @property
    def _mine(self) -> Mine:
        return cast(Mine, st.session_state.setdefault(_KEY, Mine()))

    @property
    def _inside(self) -> bool:
        return self.code in self._mine.joined

    def control(self, view: str) -> None:
        """Draw the way in and out, for those who teach and for those who learn."""
        if view == "student":
            self._enter()
        if trouble := self._mine.trouble:
            self.page.notice(self._say[trouble])
            self._mine.trouble = ""
        with st.popover(f"{self._say['room']} {self.code if view != 'student' or self._inside else ''}".strip()):
            self._learner() if view == "student" else self._teacher()

    def _teacher(self) -> None:
        if not self.code:
            st.caption(self._say["room_about"].format(hours=LIFE_S / HOUR_S))
            st.button(self._say["room_open"], key="room.open", type="primary", on_click=self._open)
            return
        st.markdown(self._say["room_teacher"].format(code=_letters(self.code)))
        lesson, step = self.place.split("/")
        st.code(share.at({"lesson": lesson, "step": step, "lang": self.language} | self.query), language=None,
                wrap_lines=True)  # fmt: skip
        with st.container(horizontal=True):
            if self.code in self._mine.owned:
                st.button(self._say["room_close"], key="room.close", on_click=self._close)
            st.button(self._say["room_leave"], key="room.leave", type="tertiary", on_click=self._leave)

    def _learner(self) -> None:
        if self._inside:
            st.markdown(self._say["room_in"].format(code=_letters(self.code)))
            st.button(self._say["room_leave"], key="room.leave", on_click=self._leave)
        else:
            st.text_input(self._say["room_code"], key=_TYPED, max_chars=12)
            st.button(self._say["room_join"], key="room.join", type="primary", on_click=self._typed)

    def _typed(self) -> None:
        self.page.remember("room", tidy(st.session_state.get(_TYPED, "")) or OUTSIDE)

    def _leave(self) -> None:
        self.page.remember("room", OUTSIDE)

    def _open(self) -> None:
        owner = new_token()
        with self._trying():
            code = store().create(owner)
            self._mine.owned[code] = owner
            self.page.remember("room", code)

    def _close(self) -> None:
        with self._trying():
            store().close(self.code, self._mine.owned[self.code])
            self._leave()

    @contextmanager
    def _trying(self) -> Iterator[None]:
        """Turn a refusal into a message of the next run: a lesson never stops for its room."""
        try:
            yield
        except Refused as error:
            self._mine.trouble = error.reason

    def _enter(self) -> None:
        mine, code = self._mine, self.code
        if not code or code in mine.joined:
            return
        if code not in mine.refused and len(mine.refused) < _TRIES:
            try:
                store().join(code, mine.token)
            except Refused as error:
                mine.trouble = error.reason
                if error.reason in _FINAL:
                    mine.refused[code] = error.reason
            else:
                mine.joined.add(code)
        else:
            mine.trouble = mine.refused.get(code, "room_tries")

    def submit(self, value: str) -> None:
        """Send a prediction, unless this session has seen the answer."""
        if value and self._inside and self.place not in self._mine.known:
            with self._trying():
                store().submit(self.code, self.place, self._mine.token, value)

    def shown(self, worked: Worked) -> None:
        """Draw for a student who now sees the answer what the room predicted; nothing outside a room."""
        self._mine.known.add(self.place)
        if not self._inside:
            return
        with st.container(border=True):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{self._say['room_title']}**", width="stretch")
                st.button(self._say["room_refresh"], key="room.refresh", type="tertiary", icon=":material/refresh:")
            try:
                self._votes(worked, store().answers(self.code, self.place), revealed=True)
            except Refused as error:
                st.caption(self._say[error.reason])

    def live(self, worked: Worked) -> None:
        """Draw for the teacher what the room predicts, as it comes in."""
        if self.code:
            st.fragment(self._live, run_every=_EVERY_S)(worked, "room_people", may_hide=False)

    def wall(self, worked: Worked, *, revealed: bool) -> None:
        """Draw for the wall how many predicted; what they predicted on request, and with the answer."""
        if self.code:
            st.fragment(self._live, run_every=_EVERY_S)(worked, "room_wall", may_hide=not revealed)

    def _live(self, worked: Worked, words: str, *, may_hide: bool) -> None:
        try:
            people, answers = store().people(self.code), store().answers(self.code, self.place)
        except Refused as error:
            st.caption(self._say[error.reason])
            return
        with st.container(border=True):
            st.markdown(f"**{self._say[words].format(code=_letters(self.code), people=people, answers=len(answers))}**")
            if not may_hide or st.toggle(self._say["room_so_far"], key=f"room.show.{self.place}"):
                self._votes(worked, answers, revealed=not may_hide)

    def _votes(self, worked: Worked, answers: tuple[str, ...], *, revealed: bool) -> None:
        drawing = votes(worked, answers, self.language, revealed=revealed)
        if drawing.figure is None:
            st.caption(drawing.describe)
        else:
            self.page.show(drawing.figure, f"room-{self.place}-{revealed}", describe=drawing.describe)


def _letters(code: str) -> str:
    # The code comes from the link: only letters and digits of it are shown.
    return "".join(character for character in code[:12] if character.isascii() and character.isalnum())
