"""A class in a room: thirty participants over real websockets, at the same time, in both languages."""

import asyncio
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from benchmarks.product.load import MIB
from benchmarks.product.protocol import Visitor
from benchmarks.product.server import Server, serve
from pages.parts.rooms import LIFE_S, new_token
from pages.parts.rooms.sqlite import SqliteRooms
from perfmodel.lessons import CATALOG, worked
from perfmodel.lessons.phrases import phrases
from perfmodel.lessons.room import votes
from tests.test_rooms import redis_rooms, redis_server

pytestmark = pytest.mark.browser
CLASS, LIMIT_S = 30, 60.0
LESSON = "four-bottlenecks"
STEP = next(step for step in CATALOG[LESSON].steps if step.question.answer)
PLACE = f"{LESSON}/{STEP.id}"
Result = TypeVar("Result")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the server keeps its rooms."""
    monkeypatch.delenv("ROOMS_URL", raising=False)
    monkeypatch.setenv("ROOMS_PATH", str(tmp_path / "rooms.sqlite"))
    return tmp_path / "rooms.sqlite"


@pytest.fixture
def own_server(place: Path, tmp_path: Path) -> Iterator[Server]:
    """The app with rooms of its own."""
    with serve(log=tmp_path / "streamlit.log") as running:
        yield running


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run in a thread of its own: Playwright's loop may be running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def said(number: int) -> float:
    """What a participant predicts, in the unit of the entry: evenly spread on both sides of the truth."""
    return 100.0 + 20.0 * number


def stop(url: str) -> None:
    """End the Redis at this address."""
    from redis import Redis

    with Redis.from_url(url) as client:
        client.shutdown(nosave=True)


async def predict(url: str, code: str, number: int) -> str:
    """Open the link of the room, predict, reveal; return what the page then says."""
    language = "en" if number % 2 else "zh"
    say = phrases(language)
    visitor = await Visitor.open(url, "Lessons", f"lesson={LESSON}&step={STEP.id}&lang={language}&room={code}")
    try:
        first = await visitor.rerun()
        entry = next(label for label in visitor.widgets if label.startswith(say["your_number"]))
        runs = [first, await visitor.set(entry, said(number)), await visitor.press(say["reveal"])]
        assert not [error for one in runs for error in one.exceptions]
        return "\n".join(runs[-1].texts)
    finally:
        await visitor.close()


async def gather(url: str, code: str) -> tuple[list[str], float]:
    """Let the class predict all at once; return what each page says, and how long it took [s]."""
    began = time.perf_counter()
    pages = await asyncio.gather(*(predict(url, code, number) for number in range(CLASS)))
    return pages, time.perf_counter() - began


def test_thirty_participants(own_server: Server, place: Path) -> None:
    """Within a minute thirty predictions arrive, none lost; the histogram holds each; expired, all of it is gone.

    A first class warms the server up; the second one, with rooms expired, leaves it less than 1 MiB a head larger,
    disconnected sessions included, which Streamlit keeps for two minutes.
    """
    process, owner = psutil.Process(own_server.pid), new_token()
    rooms = SqliteRooms(place)
    run(gather(own_server.url, rooms.create(owner)))
    code = rooms.create(owner)
    before = process.memory_info().rss
    pages, took_s = run(gather(own_server.url, code))
    assert took_s < LIMIT_S
    assert rooms.people(code) == CLASS
    answers = rooms.answers(code, PLACE)
    assert sorted(map(float, answers)) == [said(number) for number in range(CLASS)]
    assert all(phrases("zh" if number % 2 == 0 else "en")["room_title"] in page for number, page in enumerate(pages))
    drawing = votes(worked(LESSON, STEP.id), answers, "en", revealed=True)
    assert drawing.figure is not None
    (bars,) = drawing.figure["data"]
    assert sum(bars["y"]) == CLASS
    assert set(bars["y"]) == {2, 3}  # evenly spread predictions make even bars
    rooms.release()
    later = SqliteRooms(place, clock=lambda: time.time() + LIFE_S)
    assert later.count() == 0
    later.release()
    assert (process.memory_info().rss - before) / CLASS < MIB
    own_server.check()


def test_the_teacher_watches(own_server: Server, place: Path) -> None:
    """The teacher opens a room over the page itself; its code is in the link, and the next look counts the class."""

    async def lesson() -> str:
        query = f"lesson={LESSON}&step={STEP.id}&view=teacher"
        teacher, say = await Visitor.open(own_server.url, "Lessons", query), phrases("en")
        await teacher.rerun()
        await teacher.press(say["room_open"])
        code = teacher.query.partition("room=")[2][:6]
        await gather(own_server.url, code)
        seen = await teacher.rerun()
        await teacher.press(say["room_close"])
        await teacher.close()
        return "\n".join(seen.texts)

    seen = run(lesson())
    assert phrases("en")["room_people"].format(people=CLASS, answers=CLASS) in seen
    rooms = SqliteRooms(place)
    assert rooms.count() == 0
    rooms.release()
    own_server.check()


def test_replicas_share_a_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two replicas with one Redis are one room; without it both go on with the lesson and say so."""
    (folder := tmp_path / "redis").mkdir()
    with redis_server(folder) as url:
        monkeypatch.setenv("ROOMS_URL", url)
        with serve(log=tmp_path / "a.log") as one, serve(log=tmp_path / "b.log") as other:
            rooms = redis_rooms(url)
            code = rooms.create(new_token())

            async def both() -> list[str]:
                return await asyncio.gather(*(predict((one, other)[n % 2].url, code, n) for n in range(6)))

            run(both())
            assert sorted(map(float, rooms.answers(code, PLACE))) == [said(number) for number in range(6)]
            rooms.release()
            stop(url)
            for number, page in enumerate(run(both())):
                say = phrases("en" if number % 2 else "zh")
                assert say["room_down"] in page.replace("\\", "")
                assert say["room_title"] not in page
            one.check()
            other.check()
