"""Rooms in an SQLite file: one machine, any number of threads and processes."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pages.parts.rooms.rules import Limits, Refused, Rooms

_BUSY_S = 5.0
_TABLES = """
PRAGMA auto_vacuum = FULL;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA foreign_keys = ON;
CREATE TABLE IF NOT EXISTS room (code TEXT PRIMARY KEY, owner TEXT NOT NULL, ends REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS person (
    code TEXT NOT NULL REFERENCES room ON DELETE CASCADE, person TEXT NOT NULL,
    PRIMARY KEY (code, person)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS said (
    code TEXT NOT NULL REFERENCES room ON DELETE CASCADE, step TEXT NOT NULL, person TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (code, step, person)
) WITHOUT ROWID;
"""


class SqliteRooms(Rooms):
    """Rooms in one file.

    One connection behind a lock, not one per thread: Streamlit runs each visit in a thread that soon ends, and an
    answer takes less time to write than a connection to open. Other processes wait at the file (WAL, busy timeout).
    """

    def __init__(self, path: Path, limits: Limits | None = None, clock: Callable[[], float] = time.time) -> None:
        """Open the file, make it if it is not there."""
        super().__init__(limits)
        self._clock, self._lock = clock, threading.Lock()
        try:
            self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            self._db.executescript(_TABLES)
        except sqlite3.Error as error:
            raise Refused("room_down", f"ROOMS_PATH={str(path)!r}: {error}") from error

    def release(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _work(self) -> Iterator[sqlite3.Connection]:
        """One transaction, begun by sweeping out what has ended; a refusal ends it like any other result."""
        try:
            with self._lock:
                try:
                    self._db.execute("BEGIN IMMEDIATE")
                    self._db.execute("DELETE FROM room WHERE ends <= ?", (self._clock(),))
                    try:
                        yield self._db
                    finally:
                        self._db.execute("COMMIT")
                finally:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise Refused("room_down", f"the file of the rooms: {error}") from error

    def count(self) -> int:
        """Return how many rooms there are."""
        with self._work() as db:
            return _number(db, "SELECT count(*) FROM room")

    def _create(self, code: str, owner: str) -> bool:
        with self._work() as db:
            if _number(db, "SELECT count(*) FROM room") >= self.limits.rooms:
                raise self._no_place("rooms")
            row = (code, owner, self._clock() + self.limits.life_s)
            return db.execute("INSERT OR IGNORE INTO room VALUES (?, ?, ?)", row).rowcount == 1

    def _join(self, code: str, person: str) -> None:
        with self._work() as db:
            self._enter(db, code, person)

    def _submit(self, code: str, step: str, person: str, value: str) -> None:
        with self._work() as db:
            self._enter(db, code, person)
            others = "SELECT count(DISTINCT step) FROM said WHERE code = ? AND step != ?"
            if _number(db, others, code, step) >= self.limits.steps:
                raise self._no_place("steps")
            db.execute("INSERT OR REPLACE INTO said VALUES (?, ?, ?, ?)", (code, step, person, value))

    def _answers(self, code: str, step: str) -> list[str]:
        with self._work() as db:
            self._must_be(db, code)
            rows = db.execute("SELECT value FROM said WHERE code = ? AND step = ?", (code, step))
            return [value for (value,) in rows]

    def _people(self, code: str) -> int:
        with self._work() as db:
            self._must_be(db, code)
            return _number(db, "SELECT count(*) FROM person WHERE code = ?", code)

    def _close(self, code: str, owner: str) -> bool:
        with self._work() as db:
            return db.execute("DELETE FROM room WHERE code = ? AND owner = ?", (code, owner)).rowcount == 1

    def _must_be(self, db: sqlite3.Connection, code: str) -> None:
        if not _number(db, "SELECT count(*) FROM room WHERE code = ?", code):
            raise self._no_room(code)

    def _enter(self, db: sqlite3.Connection, code: str, person: str) -> None:
        self._must_be(db, code)
        others = "SELECT count(*) FROM person WHERE code = ? AND person != ?"
        if _number(db, others, code, person) >= self.limits.people:
            raise self._no_place("people")
        db.execute("INSERT OR IGNORE INTO person VALUES (?, ?)", (code, person))


def _number(db: sqlite3.Connection, query: str, *values: str) -> int:
    return int(db.execute(query, values).fetchone()[0])
