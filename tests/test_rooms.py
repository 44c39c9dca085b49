"""Rooms: one contract, kept by both stores, each against the real thing."""

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from pages.parts.rooms import CODE_LETTERS, Refused, Rooms, new_token, store
from pages.parts.rooms.rules import Limits
from pages.parts.rooms.sqlite import SqliteRooms

STEP, OTHER = "kv-cache/size", "kv-cache/heads"
SMALL = Limits(rooms=2, people=3, steps=2)
CLASS = 30
OWNER = new_token()
HOSTILE = (
    "",
    "K7WMQ",
    "K7WMQ44",
    "k7wmq4",
    "AAAAA0",
    "*",
    "AAAA*A",
    "../../",
    "A\nAAAA",
    "ААААAA",
    "A' OR 1=1",
    "A" * 999,
)

Make = Callable[[Limits | None], Rooms]


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Debian's redis-server on a free port, its address; absent, the test is skipped on a desk and fails in CI."""
    program = shutil.which("redis-server", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None or importlib.util.find_spec("redis") is None:
        message = "no Redis found; install the package redis-server and the client of requirements-rooms.txt"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder)]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running Redis."""
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


def redis_rooms(url: str, limits: Limits | None = None) -> Rooms:
    """The store in Redis; its module needs the client."""
    from pages.parts.rooms.shared import RedisRooms

    return RedisRooms(url, limits)


@pytest.fixture(params=["sqlite", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Make stores that share what they hold: what one process or replica is to the next."""
    made: list[Rooms] = []
    if request.param == "redis":
        url = request.getfixturevalue("redis_url")
        from redis import Redis

        with Redis.from_url(url) as client:
            client.flushdb()

    def one(limits: Limits | None = None) -> Rooms:
        sqlite = request.param == "sqlite"
        made.append(SqliteRooms(tmp_path / "rooms.sqlite", limits) if sqlite else redis_rooms(url, limits))
        return made[-1]

    yield one
    for rooms in made:
        rooms.release()


def refused(reason: str) -> pytest.RaisesExc[Refused]:
    """Expect a refusal for this reason."""
    return pytest.RaisesExc(Refused, check=lambda error: error.reason == reason)


def test_what_is_said_is_kept_once(make: Make) -> None:
    """An answer is found by its step; a second one of the same participant replaces the first; joining counts once."""
    rooms, one, two = make(None), new_token(), new_token()
    code = rooms.create(OWNER)
    for person, value in ((one, "12"), (two, "memory"), (one, "1e-09")):
        rooms.join(code, person)
        rooms.submit(code, STEP, person, value)
    assert rooms.answers(code, STEP) == ("1e-09", "memory")
    assert rooms.answers(code, OTHER) == ()
    assert (rooms.people(code), rooms.count()) == (2, 1)


def test_replicas_share(make: Make) -> None:
    """What one process writes the next one reads."""
    one, two = make(None), make(None)
    code = one.create(OWNER)
    two.submit(code, STEP, new_token(), "7")
    assert one.answers(code, STEP) == ("7",)


def test_rooms_are_apart(make: Make) -> None:
    """An answer in one room is in no other, and closing one leaves the other."""
    rooms = make(None)
    one, two = rooms.create(OWNER), rooms.create(OWNER)
    rooms.submit(one, STEP, new_token(), "1")
    rooms.submit(two, STEP, new_token(), "2")
    rooms.close(one, OWNER)
    assert rooms.answers(two, STEP) == ("2",)
    with refused("room_gone"):
        rooms.answers(one, STEP)


def test_only_its_owner_closes_a_room(make: Make) -> None:
    """A participant who knows the code cannot close the room; after closing nothing is left, and nothing comes back."""
    rooms, person = make(None), new_token()
    code = rooms.create(OWNER)
    rooms.submit(code, STEP, person, "1")
    with refused("room_gone"):
        rooms.close(code, person)
    assert rooms.answers(code, STEP) == ("1",)
    rooms.close(code, OWNER)
    assert rooms.count() == 0
    for late in (lambda: rooms.submit(code, STEP, person, "2"), lambda: rooms.join(code, person)):
        with refused("room_gone"):
            late()


def test_a_class_at_once(make: Make) -> None:
    """Thirty threads over two processes' stores submit at the same time: no answer is lost, none is doubled."""
    stores = (make(None), make(None))
    code = stores[0].create(OWNER)

    def student(number: int) -> None:
        rooms, token = stores[number % 2], new_token()
        rooms.join(code, token)
        for value in ("0", str(number)):
            rooms.submit(code, STEP, token, value)

    with ThreadPoolExecutor(CLASS) as threads:
        list(threads.map(student, range(CLASS)))
    assert Counter(stores[0].answers(code, STEP)) == Counter(map(str, range(CLASS)))
    assert stores[1].people(code) == CLASS


def test_limits(make: Make) -> None:
    """A server refuses one room too many, a room one participant or one step too many; those inside go on."""
    rooms, people = make(SMALL), [new_token() for _ in range(4)]
    code, _ = rooms.create(OWNER), rooms.create(OWNER)
    with refused("rooms_full"):
        rooms.create(OWNER)
    for person in people[:3]:
        rooms.submit(code, STEP, person, "1")
    with refused("room_full"):
        rooms.submit(code, STEP, people[3], "1")
    with refused("room_full"):
        rooms.join(code, people[3])
    rooms.submit(code, OTHER, people[0], "1")
    with refused("room_full"):
        rooms.submit(code, "kv-cache/third", people[0], "1")
    rooms.submit(code, STEP, people[0], "2")
    assert rooms.answers(code, STEP) == ("1", "1", "2")
    assert rooms.people(code) == SMALL.people


def test_limits_hold_at_once(make: Make) -> None:
    """Thirty threads at the door of a room for three: three come in."""
    stores = (make(SMALL), make(SMALL))
    code = stores[0].create(OWNER)

    def enter(number: int) -> bool:
        try:
            stores[number % 2].join(code, new_token())
        except Refused as error:
            return error.reason != "room_full"
        return True

    with ThreadPoolExecutor(CLASS) as threads:
        assert sum(threads.map(enter, range(CLASS))) == SMALL.people == stores[0].people(code)


@pytest.mark.parametrize("code", HOSTILE)
def test_hostile_codes(make: Make, code: str) -> None:
    """What is no code is refused with its name before any store sees it, and only its beginning is repeated."""
    rooms = make(None)
    for ask in (rooms.people, lambda bad: rooms.answers(bad, STEP), lambda bad: rooms.join(bad, OWNER)):
        with refused("room_bad") as found:
            ask(code)
        assert str(found.value).startswith("room=")
        assert len(str(found.value)) < 120


@pytest.mark.parametrize("value", ["", " ", "1 2", "<b>", "a" * 65, "12;drop", "1\n", "１２"])
def test_hostile_answers(make: Make, value: str) -> None:
    """An answer is a number or the key of a choice, of at most 32 characters; anything else is not kept."""
    rooms = make(None)
    code = rooms.create(OWNER)
    with refused("room_bad_answer"):
        rooms.submit(code, STEP, new_token(), value)
    with refused("room_bad_answer"):
        rooms.submit(code, value, new_token(), "1")
    with refused("room_bad_answer"):
        rooms.submit(code, STEP, value, "1")
    assert rooms.answers(code, STEP) == ()


def test_codes_cannot_be_guessed(make: Make) -> None:
    """Codes are of letters that nobody mistakes, all different, and too many for ten tries to find one of a hundred."""
    rooms = make(None)
    codes = [rooms.create(OWNER) for _ in range(rooms.limits.rooms)]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(f"[{CODE_LETTERS}]{{6}}", code) for code in codes)
    assert not set(CODE_LETTERS) & set("01258BILOSUVZ")
    assert 10 * len(codes) / len(CODE_LETTERS) ** 6 < 1e-5
    with refused("room_gone"):
        rooms.people(codes[0][::-1] if codes[0][::-1] not in codes else "AAAAAA")


def test_the_clock_ends_a_room(tmp_path: Path) -> None:
    """In SQLite a room lives for its time and no longer; with it goes every row that was said in it."""
    now = [1e9]
    rooms = SqliteRooms(tmp_path / "rooms.sqlite", clock=lambda: now[0])
    code = rooms.create(OWNER)
    rooms.submit(code, STEP, new_token(), "1")
    now[0] += rooms.limits.life_s - 1
    assert rooms.answers(code, STEP) == ("1",)
    now[0] += 1
    with refused("room_gone"):
        rooms.submit(code, STEP, new_token(), "1")
    assert rooms.count() == 0
    for table in ("room", "person", "said"):
        assert rooms._db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    rooms.release()


def test_redis_forgets(redis_url: str) -> None:
    """In Redis every key of a room has the room's time to live, also one written later; after it no key is left."""
    from redis import Redis

    rooms = redis_rooms(redis_url, Limits(life_s=1.5))
    with Redis.from_url(redis_url, decode_responses=True) as client:
        client.flushdb()
        code = rooms.create(OWNER)
        time.sleep(0.3)
        rooms.submit(code, STEP, new_token(), "1")
        left = [client.pttl(key) for key in client.scan_iter()]
        assert len(left) == 5  # the list of rooms; room, people, steps, answers
        assert all(0 < ms <= 1500 for ms in left)
        time.sleep(1.6)
        assert list(client.scan_iter()) == []
    assert rooms.count() == 0
    with refused("room_gone"):
        rooms.answers(code, STEP)
    rooms.release()


def test_a_lost_redis_is_said(tmp_path: Path) -> None:
    """A Redis that stops is a refusal with a reason, not an exception of the client; back again, it serves again."""
    with redis_server(tmp_path) as url:
        rooms = redis_rooms(url)
        code = rooms.create(OWNER)
    for ask in (rooms.count, lambda: rooms.create(OWNER), lambda: rooms.submit(code, STEP, new_token(), "1")):
        with refused("room_down"):
            ask()
    rooms.release()


def test_the_environment_names_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ROOMS_PATH names a file; without it the file is private; a wrong address or path is refused without its text."""
    monkeypatch.delenv("ROOMS_URL", raising=False)
    monkeypatch.setenv("ROOMS_PATH", str(tmp_path / "here.sqlite"))
    store().create(OWNER)
    store().release()
    assert (tmp_path / "here.sqlite").is_file()
    monkeypatch.delenv("ROOMS_PATH")
    assert store().count() == 0
    assert store() is store()
    monkeypatch.setenv("ROOMS_PATH", str(tmp_path / "no" / "such" / "folder"))
    with refused("room_down"):
        store()


def test_a_wrong_address_tells_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """ROOMS_URL with a wrong scheme is refused, and the refusal does not repeat what may hold a password."""
    pytest.importorskip("redis")
    monkeypatch.setenv("ROOMS_URL", "http://:secret@host/0")
    with refused("room_down") as found:
        store()
    assert "secret" not in str(found.value)


def test_the_missing_client_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """ROOMS_URL without the client installed says which package to install."""
    monkeypatch.setitem(sys.modules, "pages.parts.rooms.shared", None)
    monkeypatch.setenv("ROOMS_URL", "redis://127.0.0.1:1/0")
    with pytest.raises(Refused, match=r"requirements-rooms\.txt"):
        store()
