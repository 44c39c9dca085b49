"""Units in which a student enters a number, and what one of them is in SI."""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.units import GIGA, KILO, MEGA, MICRO, MILLI, TERA

#: Unit of the entry -> its size in SI. "%" of one; "x" and "" are plain numbers.
ENTERED: Mapping[str, float] = {
    "": 1.0,
    "×": 1.0,
    "%": 0.01,
    "s": 1.0,
    "ms": MILLI,
    "µs": MICRO,
    "B": 1.0,
    "kB": KILO,
    "MB": MEGA,
    "GB": GIGA,
    "TB": TERA,
    "GB/s": GIGA,
    "TFLOP/s": TERA,
    "GFLOP": GIGA,
    "MFLOP": MEGA,
    "FLOP/B": 1.0,
    "tokens": 1.0,
    "sequences": 1.0,
    "USD": 1.0,
}
#: SI unit of what is entered in one of these, for `units.show`.
SHOWN: Mapping[str, str] = {
    "ms": "s",
    "µs": "s",
    "kB": "B",
    "MB": "B",
    "GB": "B",
    "TB": "B",
    "GB/s": "B/s",
    "TFLOP/s": "FLOP/s",
    "GFLOP": "FLOP",
    "MFLOP": "FLOP",
}


def si_unit(entered: str) -> str:
    """Return the SI unit behind an entry's unit.

    >>> si_unit("ms"), si_unit("FLOP/B")
    ('s', 'FLOP/B')
    """
    return SHOWN.get(entered, entered)


def to_si(value: float, entered: str) -> float:
    """Return an entered number in SI.

    >>> to_si(22.5, "ms")
    0.0225
    """
    return value * ENTERED[entered]
