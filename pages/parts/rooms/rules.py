"""What a room is and what may go into one; where it is kept is the business of the two stores."""

from __future__ import annotations

import re
import secrets
from abc import ABC, abstractmethod
from dataclasses import dataclass

from perfmodel.units import HOUR_S

#: Letters and digits that are not taken for one another: no 0 O, 1 I L, 2 Z, 5 S, 8 B, U V.
CODE_LETTERS = "3467ACDEFGHJKMNPQRTWXY9"
CODE_LENGTH = 6
#: How long a room is kept [s].
LIFE_S = 4 * HOUR_S
_CODE = re.compile(f"[{CODE_LETTERS}]{{{CODE_LENGTH}}}")
_STEP = re.compile(r"[a-z0-9-]{1,32}/[a-z0-9-]{1,32}")
_TOKEN = re.compile(r"[\w-]{16,64}", re.ASCII)
#: A number as Python writes it, or the key of a choice.
_VALUE = re.compile(r"[\w.+-]{1,32}", re.ASCII)


@dataclass(frozen=True)
class Limits:
    """How much a server keeps: rooms, and in each of them participants and steps; a room ends after `life_s` [s]."""

    rooms: int = 100
    people: int = 200
    steps: int = 60
    life_s: float = LIFE_S


class Refused(ValueError):
    """What a room does not do, and why: `reason` is a key of the words around the lessons."""

    def __init__(self, reason: str, text: str) -> None:
        """Keep the key beside the text."""
        super().__init__(text)
        self.reason = reason


class Rooms(ABC):
    """Rooms by their codes. Every method raises `Refused`: bad input, no such room, no place, store out of reach."""

    def __init__(self, limits: Limits | None = None) -> None:
        """Keep rooms within limits."""
        self.limits = limits or Limits()

    def create(self, owner: str) -> str:
        """Open a room that only `owner` can close, and return its code."""
        _check("owner", owner, _TOKEN)
        while not self._create(code := "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH)), owner):
            pass  # the code was taken
        return code

    def join(self, code: str, person: str) -> None:
        """Count a participant; again changes nothing."""
        _check("participant", person, _TOKEN)
        self._join(_code(code), person)

    def submit(self, code: str, step: str, person: str, value: str) -> None:
        """Keep a participant's answer to a step (lesson/step); a second one replaces the first."""
        _check("step", step, _STEP)
        _check("participant", person, _TOKEN)
        _check("answer", value, _VALUE)
        self._submit(_code(code), step, person, value)

    def answers(self, code: str, step: str) -> tuple[str, ...]:
        """Return what was answered, one text per participant, in an order that says nothing about them."""
        _check("step", step, _STEP)
        return tuple(sorted(self._answers(_code(code), step)))

    def people(self, code: str) -> int:
        """Return how many joined."""
        return self._people(_code(code))

    def close(self, code: str, owner: str) -> None:
        """Delete a room with all that was said in it; only its owner can."""
        _check("owner", owner, _TOKEN)
        if not self._close(_code(code), owner):
            raise Refused("room_gone", f"room={code!r} is not a room of this owner")

    @abstractmethod
    def count(self) -> int:
        """Return how many rooms there are."""

    @abstractmethod
    def release(self) -> None:
        """Let go of the file or the connections."""

    @abstractmethod
    def _create(self, code: str, owner: str) -> bool: ...

    @abstractmethod
    def _join(self, code: str, person: str) -> None: ...

    @abstractmethod
    def _submit(self, code: str, step: str, person: str, value: str) -> None: ...

    @abstractmethod
    def _answers(self, code: str, step: str) -> list[str]: ...

    @abstractmethod
    def _people(self, code: str) -> int: ...

    @abstractmethod
    def _close(self, code: str, owner: str) -> bool: ...

    def _no_room(self, code: str) -> Refused:
        return Refused("room_gone", f"room={code!r} is not open: rooms end after {self.limits.life_s / HOUR_S:g} hours")

    def _no_place(self, what: str) -> Refused:
        most: int = getattr(self.limits, what)
        return Refused("rooms_full" if what == "rooms" else "room_full", f"no more than {most} {what}")


def new_token() -> str:
    """Return a random name for a participant or an owner."""
    return secrets.token_urlsafe(16)


def tidy(code: str) -> str:
    """Return a typed code as it is kept: no spaces or dashes, capital letters.

    >>> tidy(" k7w-mq4 ")
    'K7WMQ4'
    """
    return re.sub(r"[\s-]", "", code).upper()


def _code(code: str) -> str:
    _check("room", code, _CODE, "room_bad")
    return code


def _check(field: str, text: str, allowed: re.Pattern[str], reason: str = "room_bad_answer") -> None:
    if not (isinstance(text, str) and allowed.fullmatch(text)):
        raise Refused(reason, f"{field}={str(text)[:40]!r} does not match {allowed.pattern}")
