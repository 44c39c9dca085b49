"""Where this server keeps its rooms, as its environment says.

`ROOMS_URL` (redis://host:port/db) names a Redis that several replicas share. Without it, `ROOMS_PATH` names an SQLite
file that the processes of one machine can share; without both, the file is private and ends with the process.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

from pages.parts.rooms.rules import Refused, Rooms
from pages.parts.rooms.sqlite import SqliteRooms


def store() -> Rooms:
    """Return the rooms of this server; raises `Refused` where they are out of reach."""
    return _store(os.environ.get("ROOMS_URL", ""), os.environ.get("ROOMS_PATH", ""))


@lru_cache(maxsize=4)
def _store(url: str, path: str) -> Rooms:
    if not url:
        return SqliteRooms(Path(path) if path else _own_folder() / "rooms.sqlite")
    try:
        from pages.parts.rooms.shared import RedisRooms  # here: only those who share rooms need the client
    except ModuleNotFoundError as error:
        raise Refused("room_client", "ROOMS_URL needs Redis' client: pip install -r requirements-rooms.txt") from error
    return RedisRooms(url)


@lru_cache(maxsize=1)
def _own_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="perfmodel-rooms-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
