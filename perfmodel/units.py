"""The only home of powers of ten and of two, and of the way a number is shown.

Everything inside `perfmodel` is SI: B, B/s, FLOP, FLOP/s, s. One GB is 1e9 B; a GiB is written GiB.
"""

from __future__ import annotations

import math

KILO, MEGA, GIGA, TERA, PETA = 1e3, 1e6, 1e9, 1e12, 1e15
MILLI, MICRO, NANO = 1e-3, 1e-6, 1e-9
KIB, MIB, GIB = 2.0**10, 2.0**20, 2.0**30
HOUR_S, DAY_S = 3600.0, 86400.0

_PREFIXES = ((PETA, "P"), (TERA, "T"), (GIGA, "G"), (MEGA, "M"), (KILO, "k"), (1.0, ""))
_TIMES = ((DAY_S, "d"), (HOUR_S, "h"), (1.0, "s"), (MILLI, "ms"), (MICRO, "µs"), (NANO, "ns"))
# Units that take an SI prefix in front: "16.1 GB", "989 TFLOP/s".
_PREFIXED = frozenset({"B", "B/s", "FLOP", "FLOP/s", "W", "J", "B/token", "FLOP/token"})


def significant(value: float, digits: int = 3) -> str:
    """Return the number with the given significant digits, without exponent where it stays readable.

    >>> significant(1234.5), significant(0.012345), significant(7.0)
    ('1,234', '0.0123', '7')
    """
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude >= 15 or magnitude < -6:
        return f"{value:.{digits - 1}e}"
    decimals = max(0, digits - 1 - magnitude)
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _scaled(value: float, steps: tuple[tuple[float, str], ...]) -> tuple[float, str]:
    # 999.6 would round to "1,000" of the smaller unit: compare after rounding to three digits.
    for factor, prefix in steps:
        if abs(value) / factor >= 0.9995:
            return value / factor, prefix
    return value / steps[-1][0], steps[-1][1]


def show(value: float, unit: str = "", digits: int = 3) -> str:
    """Return a quantity as a person reads it, in the largest unit that keeps it at or above one.

    `unit` is the SI unit of `value`; times become ms or µs, bytes and rates take a decimal prefix,
    anything else is printed as it is. A value that is not finite is shown as a dash.

    >>> show(16_060_522_496, "B"), show(989.4e12, "FLOP/s"), show(0.0225, "s"), show(295.3, "FLOP/B")
    ('16.1 GB', '989 TFLOP/s', '22.5 ms', '295 FLOP/B')
    """
    value = float(value)
    if not math.isfinite(value):
        return "–"
    if unit == "s":
        if value == 0:
            return "0 s"
        scaled, name = _scaled(value, _TIMES)
        return f"{significant(scaled, digits)} {name}"
    if unit in _PREFIXED:
        scaled, prefix = _scaled(value, _PREFIXES)
        return f"{significant(scaled, digits)} {prefix}{unit}"
    if unit == "%":
        return f"{significant(100 * value, digits)} %"
    return f"{significant(value, digits)} {unit}".rstrip()


def count(value: float) -> str:
    """Return a count as "8.03 B" (thousand million), "405 M" or with thousands separators.

    >>> count(8_030_261_248), count(2048), count(512_000_000)
    ('8.03 B', '2,048', '512 M')
    """
    value = float(value)
    if not math.isfinite(value):
        return "–"
    if abs(value) < MEGA:
        return f"{value:,.0f}" if value == int(value) else significant(value)
    scaled, prefix = _scaled(value, ((TERA, "T"), (GIGA, "B"), (MEGA, "M")))
    return f"{significant(scaled)} {prefix}"
