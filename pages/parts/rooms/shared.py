"""Rooms in Redis: shared by the replicas behind a proxy; Redis itself forgets them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis, RedisError
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import TimeoutError as Late
from redis.retry import Retry

from pages.parts.rooms.rules import Limits, Refused, Rooms

_PATIENCE_S = 2.0
_ALL = "perfmodel:rooms"
# One script runs at a time and alone: a limit holds and an answer never outlives its room.
_SWEEP = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1e6
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
"""
_COUNT = _SWEEP + "return redis.call('ZCARD', KEYS[1])"
_CREATE = (
    _SWEEP
    + """
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 'rooms' end
if redis.call('EXISTS', KEYS[2]) == 1 then return 'taken' end
local life = tonumber(ARGV[4])
redis.call('HSET', KEYS[2], 'owner', ARGV[2])
redis.call('PEXPIRE', KEYS[2], life)
redis.call('ZADD', KEYS[1], now + life / 1000, ARGV[1])
redis.call('PEXPIRE', KEYS[1], life)
return 'done'
"""
)
_ENTER = """
local left = redis.call('PTTL', KEYS[1])
if left <= 0 then return 'gone' end
if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 0 then
    if redis.call('SCARD', KEYS[2]) >= tonumber(ARGV[2]) then return 'people' end
    redis.call('SADD', KEYS[2], ARGV[1])
    redis.call('PEXPIRE', KEYS[2], left)
end
"""
_JOIN = _ENTER + "return 'done'"
_SUBMIT = (
    _ENTER
    + """
if redis.call('SISMEMBER', KEYS[3], ARGV[3]) == 0 then
    if redis.call('SCARD', KEYS[3]) >= tonumber(ARGV[5]) then return 'steps' end
    redis.call('SADD', KEYS[3], ARGV[3])
    redis.call('PEXPIRE', KEYS[3], left)
end
redis.call('HSET', KEYS[4], ARGV[1], ARGV[4])
redis.call('PEXPIRE', KEYS[4], left)
return 'done'
"""
)
_CLOSE = """
if redis.call('HGET', KEYS[2], 'owner') ~= ARGV[2] then return 'gone' end
for _, step in ipairs(redis.call('SMEMBERS', KEYS[4])) do redis.call('DEL', KEYS[2] .. ':' .. step) end
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
redis.call('ZREM', KEYS[1], ARGV[1])
return 'done'
"""


class RedisRooms(Rooms):
    """Rooms under `perfmodel:room:*`, each key with the time to live of its room."""

    def __init__(self, url: str, limits: Limits | None = None) -> None:
        """Name the server; it is called when a room is asked for."""
        super().__init__(limits)
        retry = Retry(ExponentialBackoff(cap=0.2, base=0.02), 3)
        options = {"socket_timeout": _PATIENCE_S, "socket_connect_timeout": _PATIENCE_S, "decode_responses": True}
        try:
            self._redis = Redis.from_url(url, retry=retry, retry_on_error=[Lost, Late], **options)
        except ValueError as error:  # its text may hold a password
            raise Refused("room_down", "ROOMS_URL must look like redis://host:port/db") from error
        names = {"count": _COUNT, "create": _CREATE, "join": _JOIN, "submit": _SUBMIT, "close": _CLOSE}
        self._scripts = {name: self._redis.register_script(text) for name, text in names.items()}

    def release(self) -> None:
        """Close the connections."""
        self._redis.close()

    def count(self) -> int:
        """Return how many rooms there are."""
        with _calling():
            return int(self._scripts["count"]([_ALL]))

    def _run(self, script: str, code: str, keys: list[str], *values: str | float) -> str:
        with _calling():
            said = str(self._scripts[script](keys, values))
        if said in ("rooms", "people", "steps"):
            raise self._no_place(said)
        if said == "gone" and script != "close":
            raise self._no_room(code)
        return said

    def _create(self, code: str, owner: str) -> bool:
        life_ms = round(self.limits.life_s * 1000)
        return self._run("create", code, [_ALL, _room(code)], code, owner, self.limits.rooms, life_ms) == "done"

    def _join(self, code: str, person: str) -> None:
        self._run("join", code, [_room(code), _people(code)], person, self.limits.people)

    def _submit(self, code: str, step: str, person: str, value: str) -> None:
        keys = [_room(code), _people(code), _steps(code), _said(code, step)]
        self._run("submit", code, keys, person, self.limits.people, step, value, self.limits.steps)

    def _answers(self, code: str, step: str) -> list[str]:
        with _calling():
            open_, said = self._redis.pipeline().exists(_room(code)).hvals(_said(code, step)).execute()
        if not open_:
            raise self._no_room(code)
        return list(said)

    def _people(self, code: str) -> int:
        with _calling():
            open_, many = self._redis.pipeline().exists(_room(code)).scard(_people(code)).execute()
        if not open_:
            raise self._no_room(code)
        return int(many)

    def _close(self, code: str, owner: str) -> bool:
        return self._run("close", code, [_ALL, _room(code), _people(code), _steps(code)], code, owner) == "done"


@contextmanager
def _calling() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise Refused("room_down", f"the Redis that ROOMS_URL names: {type(error).__name__}") from error


def _room(code: str) -> str:
    return f"perfmodel:room:{code}"


def _people(code: str) -> str:
    return f"{_room(code)}:people"


def _steps(code: str) -> str:
    return f"{_room(code)}:steps"


def _said(code: str, step: str) -> str:
    return f"{_room(code)}:{step}"
