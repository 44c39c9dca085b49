"""Pinned scenarios: up to four that travel in the link beside the current one, each whole and versioned.

`a=Before~v~1~model~llama-3.1-8b~gpu~h100-sxm~...`: the name, then link keys and values in turn, joined by tildes, which
no address has to escape. A pin does not depend on the rest of the link, so editing that by hand moves no pin. Reading
never raises: each problem becomes a notice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from perfmodel.codec import from_query
from perfmodel.scenario import Scenario

#: Link keys of the pins, in the order in which they are given away.
SLOTS = ("a", "b", "c", "d")
#: No pin longer than this is read or written; the longest one of a catalogue model has some 700 characters.
MAX_PIN_CHARS = 4096
MAX_NAME_CHARS = 40
_JOIN = "~"
_NAME = re.compile(r"[^\w .,()+×-]")


@dataclass(frozen=True)
class Pin:
    """A scenario that was kept, with the name it was given."""

    name: str
    scenario: Scenario

    @cached_property
    def text(self) -> str:
        """The pin as it stands in a link.

        >>> Pin("Before", Scenario()).text[:42]
        'Before~v~1~model~llama-3.1-8b~gpu~h100-sxm'
        """
        pairs = self.scenario.to_query().items()
        return _JOIN.join((self.name, *(part for pair in pairs for part in pair)))


Pins = dict[str, Pin]


def clean_name(text: str) -> str:
    r"""Return a name as a pin may have it: letters, digits and a few signs, at most 40 characters.

    >>> clean_name("  H100 ~ <b>fp8</b> "), clean_name("\u202e")
    ('H100 bfp8b', '')
    """
    return " ".join(_NAME.sub("", text[: 4 * MAX_NAME_CHARS]).split())[:MAX_NAME_CHARS].strip()


def free_slot(pins: Pins) -> str | None:
    """Return the first link key without a pin; None when all are taken."""
    return next((slot for slot in SLOTS if slot not in pins), None)


def refusal(pins: Pins, scenario: Scenario) -> str:
    """Return why a scenario cannot be pinned; nothing when it can."""
    if free_slot(pins) is None:
        return f"All {len(SLOTS)} places are taken; remove one first."
    size = len(Pin("", scenario).text) + MAX_NAME_CHARS
    if size > MAX_PIN_CHARS:
        return f"This scenario takes {size:,} characters of a link, a pin at most {MAX_PIN_CHARS:,}."
    return ""


def pinned(pins: Pins, scenario: Scenario, name: str = "") -> Pins:
    """Return the pins with one more in the first free place; raise a `ValueError` when it cannot be pinned."""
    if why := refusal(pins, scenario):
        raise ValueError(why)
    slot = next(slot for slot in SLOTS if slot not in pins)
    return dict(sorted((pins | {slot: Pin(clean_name(name), scenario)}).items()))


def to_link(pins: Pins) -> dict[str, str]:
    """Return the link parameters of the pins."""
    return {slot: pin.text for slot, pin in pins.items()}


def from_link(link: Mapping[str, str]) -> tuple[Pins, tuple[str, ...]]:
    """Return the pins of a link and one notice per problem; never raise.

    >>> from_link({"a": "Mine~v~1~batch~8"})[0]["a"].scenario.batch
    8
    """
    pins: Pins = {}
    notices: list[str] = []
    for slot in SLOTS:
        if slot in link:
            pin, said = _read(link[slot])
            notices += [f"pinned scenario {slot.upper()}: {text}" for text in said]
            if pin is not None:
                pins[slot] = pin
    return pins, tuple(notices)


def _read(text: str) -> tuple[Pin | None, tuple[str, ...]]:
    if len(text) > MAX_PIN_CHARS:
        return None, (f"{len(text):,} characters; at most {MAX_PIN_CHARS:,} are read; it was left out",)
    name, *rest = text.split(_JOIN)
    if len(rest) % 2 or not rest:
        return None, ("not a name followed by pairs of a key and a value; it was left out",)
    scenario, notices = from_query(dict(zip(rest[::2], rest[1::2], strict=True)))
    return Pin(clean_name(name), scenario), notices


def labels(pins: Pins) -> dict[str, str]:
    """Return what each pin is called: its letter, and its name where it has one."""
    return {slot: f"{slot.upper()}: {pin.name}" if pin.name else slot.upper() for slot, pin in pins.items()}


def unlike(scenario: Scenario, other: Scenario) -> str:
    """Return in a few words what one scenario has that another has not: "gpu a100-sxm-80gb, batch 8".

    >>> unlike(Scenario(batch=8, weights="fp8"), Scenario())
    'batch 8, w fp8'
    """
    mine, theirs = scenario.to_query(), other.to_query()
    found = [f"{key} {text}" for key, text in mine.items() if theirs.get(key) != text]
    gone = [f"no {key}" for key in theirs if key not in mine]
    rest = len(found) + len(gone) - _MOST
    return ", ".join((*found, *gone)[:_MOST]) + (f" and {rest} more" if rest > 0 else "") or "the same"


#: Differences named before the rest is only counted.
_MOST = 5
