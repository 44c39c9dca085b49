"""A room on the lessons' page: opened, joined, predicted in, looked at, closed; and the lesson without it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts import classroom
from pages.parts.rooms import Refused, Rooms, new_token
from pages.parts.rooms.rules import Limits
from pages.parts.rooms.sqlite import SqliteRooms
from perfmodel.lessons import CATALOG, LANGUAGES, worked
from perfmodel.lessons.phrases import phrases

ROOT = Path(__file__).resolve().parents[1]
OWNER = new_token()
STEPS = [(lesson, step) for lesson in CATALOG for step in CATALOG[lesson].steps]
NUMBER = next((lesson, step.id) for lesson, step in STEPS if step.question.answer)
CHOICE = next((lesson, step.id) for lesson, step in STEPS if step.question.options)


@pytest.fixture
def rooms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rooms]:
    """The rooms of this server, empty."""
    kept = SqliteRooms(tmp_path / "rooms.sqlite", Limits(rooms=3))
    monkeypatch.setattr(classroom, "store", lambda: kept)
    yield kept
    kept.release()


def visit(place: tuple[str, str] = NUMBER, **query: str) -> AppTest:
    """The lessons' page opened with a link."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.switch_page("pages/40_Lessons.py")
    for key, value in ({"lesson": place[0], "step": place[1]} | query).items():
        app.query_params[key] = value
    return checked(app.run())


def checked(app: AppTest) -> AppTest:
    """The page, which has raised nothing."""
    assert not app.exception, app.exception
    return app


def room(app: AppTest) -> str:
    """The room in the page's link."""
    found = app.query_params["room"]
    return found if isinstance(found, str) else found[0]


def press(app: AppTest, key: str) -> AppTest:
    """Press a button."""
    return checked(app.button(key=key).click().run())


def texts(app: AppTest) -> str:
    """All that the page says, without the escapes of Markdown."""
    kinds = (app.markdown, app.caption, app.code, app.warning, app.subheader)
    return "\n".join(str(one.value) for kind in kinds for one in kind).replace("\\", "")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_class_from_start_to_end(rooms: Rooms, language: str) -> None:
    """A room is opened; who opens its link is counted, predicts, sees the room with the reveal; closed, it is gone.

    The teacher sees the predictions too; the wall shows them on request only.
    """
    say = phrases(language)
    teacher = press(visit(view="teacher", lang=language), "room.open")
    code = room(teacher)
    link = next(one.value for one in teacher.code if "room=" in one.value)
    assert f"room={code}" in link
    assert "view=" not in link
    student = visit(lang=language, room=code)
    assert rooms.people(code) == 1
    student.number_input(key=".".join(("answer", *NUMBER))).set_value(12.5)
    press(student, "lesson.reveal")
    assert rooms.answers(code, "/".join(NUMBER)) == ("12.5",)
    assert say["room_title"] in texts(student)
    assert say["room_people"].format(people=1, answers=1) in texts(checked(teacher.run()))
    wall = visit(view="presenter", lang=language, room=code)
    counted = say["room_wall"].format(code=code, people=1, answers=1)
    assert counted in texts(wall)
    believed = say["room_numbers"].partition("{low}")[0].partition("}")[2]
    assert believed not in texts(wall)
    assert believed in texts(checked(wall.toggle(key=f"room.show.{'/'.join(NUMBER)}").set_value(True).run()))
    press(teacher, "room.close")
    assert rooms.count() == 0
    assert say["room_gone"] in texts(checked(student.run()))


def test_what_the_teacher_sees_before_the_answer(rooms: Rooms) -> None:
    """The wall shows beliefs without the answer while it asks, and marks the answer when it shows it."""
    code = rooms.create(OWNER)
    for key in worked(*CHOICE).step.question.options:
        rooms.submit(code, "/".join(CHOICE), new_token(), key)
    wall = visit(CHOICE, view="presenter", room=code)
    wall.toggle(key=f"room.show.{'/'.join(CHOICE)}").set_value(True).run()
    mark = phrases("en")["room_right"].split("{")[0]
    assert mark not in texts(checked(wall))
    assert mark in texts(press(wall, "lesson.next"))


def test_the_first_prediction_counts(rooms: Rooms) -> None:
    """Who has seen the answer cannot change what the room believed before."""
    code = rooms.create(OWNER)
    student = visit(room=code)
    for value in (1.0, 2.0):
        student.number_input(key=".".join(("answer", *NUMBER))).set_value(value)
        press(student, "lesson.reveal")
        assert rooms.answers(code, "/".join(NUMBER)) == ("1.0",)
        press(student, "lesson.again")


def test_no_prediction_is_no_answer(rooms: Rooms) -> None:
    """To reveal without a prediction sends nothing."""
    code = rooms.create(OWNER)
    press(visit(room=code), "lesson.reveal")
    assert (rooms.people(code), rooms.answers(code, "/".join(NUMBER))) == (1, ())


def test_join_by_code(rooms: Rooms) -> None:
    """A code typed in small letters with a dash opens the room; leaving takes it out of the link."""
    code = rooms.create(OWNER)
    student = visit()
    student.text_input(key="room.typed").set_value(f"{code[:3]}-{code[3:]}".lower())
    press(student, "room.join")
    assert room(student) == code
    assert rooms.people(code) == 1
    press(student, "room.leave")
    assert room(student) == "none"


def test_codes_are_not_to_be_tried_out(rooms: Rooms) -> None:
    """After ten wrong codes a session finds no room any more, not even a right one; the lesson goes on."""
    code, student = rooms.create(OWNER), visit()
    for wrong in (*"ACDEFGHJK", "AAAAAA"):
        student.text_input(key="room.typed").set_value(wrong)
        press(student, "room.join")
    student.text_input(key="room.typed").set_value(code)
    press(student, "room.join")
    assert phrases("en")["room_tries"] in texts(student)
    assert rooms.people(code) == 0
    press(student, "lesson.reveal")


@pytest.mark.parametrize("code", ["AAAAAA", "<script>", "[x](http://x)", "%00", "' OR 1", "x" * 399])
@pytest.mark.parametrize("view", ["student", "teacher", "presenter"])
def test_a_wrong_room_in_the_link(rooms: Rooms, code: str, view: str) -> None:
    """A link with a room that is none, or no longer, opens the lesson and says so; nothing of it is markup."""
    app = visit(view=view, room=code)
    assert any(phrases("en")[reason] in texts(app) for reason in ("room_bad", "room_gone"))
    assert "](http" not in texts(app).replace("](term", "")


@pytest.mark.parametrize("view", ["student", "teacher", "presenter"])
def test_without_the_store_the_lesson_goes_on(rooms: Rooms, monkeypatch: pytest.MonkeyPatch, view: str) -> None:
    """A store out of reach is said in one sentence; the step is shown, predicted and revealed as without a room."""
    code = rooms.create(OWNER)
    inside = visit(view=view, room=code)

    def lost() -> Rooms:
        raise Refused("room_down", "lost")

    monkeypatch.setattr(classroom, "store", lost)
    for app in (inside, visit(view=view, room=code)):
        if view == "student":
            app.number_input(key=".".join(("answer", *NUMBER))).set_value(12.5)
            press(app, "lesson.reveal")
            assert worked(*NUMBER).shown_answer("en") in "\n".join(
                str(one.value) for one in (*app.success, *app.warning)
            )
        else:
            checked(app.run())
        assert phrases("en")["room_down"] in texts(app)
    if view == "teacher":
        assert phrases("en")["room_down"] in texts(press(visit(view=view), "room.open"))


def test_a_full_server_says_so(rooms: Rooms) -> None:
    """Where no more room can be opened the teacher reads why."""
    for _ in range(rooms.limits.rooms):
        rooms.create(OWNER)
    assert phrases("en")["rooms_full"] in texts(press(visit(view="teacher"), "room.open"))
