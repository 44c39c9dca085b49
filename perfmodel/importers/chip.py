"""An accelerator description: the unit stands in the field name, `memory_gb`, `bandwidth_tb_per_s`, `bf16_tflops`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from perfmodel.catalog import closest
from perfmodel.hardware import DTYPES, Chip
from perfmodel.importers.reader import Fact
from perfmodel.importers.text import shown, shown_key
from perfmodel.units import GIB, GIGA, KILO, MEGA, TERA

#: Unit in a field name -> (kind, value of one such unit in the unit that `Chip` has).
_RATES = {"gb": 1.0, "tb": KILO, "mb": GIGA / TERA, "gib": GIB / GIGA}
UNITS: dict[str, tuple[str, float]] = {
    **{f"{unit}_{per}": ("GB/s", factor) for unit, factor in _RATES.items() for per in ("per_s", "s", "per_second")},
    "gb": ("GB", 1.0), "gib": ("GB", GIB / GIGA), "tb": ("GB", KILO), "mb": ("GB", MEGA / GIGA),
    **{
        f"{unit}{end}": ("T/s", factor)
        for unit, factor in (("tflop", 1.0), ("pflop", KILO), ("gflop", GIGA / TERA), ("top", 1.0), ("pop", KILO))
        for end in ("s", "_per_s", "s_per_s", "_s")
    },
    "w": ("W", 1.0), "watt": ("W", 1.0), "watts": ("W", 1.0), "kw": ("W", KILO),
    "usd_per_hour": ("USD/h", 1.0), "usd_per_h": ("USD/h", 1.0), "usd_h": ("USD/h", 1.0),
}  # fmt: skip
_LONGEST_FIRST = sorted(UNITS, key=len, reverse=True)
#: What a field name may call a quantity -> field of `Chip` and the kind of unit that it needs.
QUANTITIES: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("bandwidth", "memory_bandwidth", "hbm_bandwidth", "dram_bandwidth", "mem_bandwidth"), ("bandwidth", "GB/s")
    ),
    **dict.fromkeys(
        ("memory", "capacity", "memory_capacity", "hbm", "vram", "hbm_capacity", "memory_size"), ("memory", "GB")
    ),
    **dict.fromkeys(("link", "link_bandwidth", "interconnect", "interconnect_bandwidth", "nvlink"), ("link", "GB/s")),
    **dict.fromkeys(("tdp", "power", "board_power"), ("tdp", "W")),
    **dict.fromkeys(("price", "cost", "rent"), ("price", "USD/h")),
    **{name: (name, "T/s") for name in DTYPES if name in Chip.model_fields},
    **{f"{name}_{word}": (name, "T/s") for name in DTYPES if name in Chip.model_fields for word in ("dense", "peak")},
    **{f"peak_{name}": (name, "T/s") for name in DTYPES if name in Chip.model_fields},
}
#: Spellings that are refused, because a factor of two or eight hides in them.
TRAPS = {
    "sparse": "a figure with sparsity is twice the dense one or more; give the dense peak, such as fp8_tflops",
    "sparsity": "a figure with sparsity is twice the dense one or more; give the dense peak, such as fp8_tflops",
    "gbps": "gbps may mean gigabits or gigabytes; write gb_per_s for gigabytes per second",
    "tbps": "tbps may mean terabits or terabytes; write tb_per_s for terabytes per second",
    "gbit": "give bytes, not bits: gb_per_s",
    "bidirectional": "give one direction of the link, such as link_gb_per_s: half of the figure for both",
    "both": "give one direction of the link, such as link_gb_per_s: half of the figure for both",
}
#: A roofline that turns outside these intensities [FLOP/B] is a unit mistaken, not a chip.
RIDGE_LOW, RIDGE_HIGH = 1.0, 3000.0
MAX_FIELDS = 100
NAMES = ("name", "id", "vendor", "notes", "comment", "description")
MAX_VALUE = 1e12


@dataclass
class Found:
    """What was read from a description so far."""

    values: dict[str, float] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    understood: list[Fact] = field(default_factory=list)
    assumed: list[Fact] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def split(key: str) -> tuple[str, str]:
    """Return the quantity and the unit in a field name; the unit is empty where there is none.

    >>> split("memory_bandwidth_tb_per_s"), split("BF16-TFLOPS"), split("memory")
    (('memory_bandwidth', 'tb_per_s'), ('bf16', 'tflops'), ('memory', ''))
    """
    words = "".join(c if c.isascii() and c.isalnum() else "_" for c in key[:80].lower()).strip("_")
    for unit in _LONGEST_FIRST:
        if words.endswith(f"_{unit}") and words not in QUANTITIES:
            return words.removesuffix(f"_{unit}"), unit
    return words, ""


def read(table: Mapping[str, Any]) -> Found:
    """Read every field of a description; raise a `ValueError` that names the field that cannot be read."""
    if len(table) > MAX_FIELDS:
        raise ValueError(f"the description has {len(table):,} fields; at most {MAX_FIELDS} are read")
    found = Found()
    for key, value in table.items():
        words, unit = split(key)
        trap = next((text for word, text in TRAPS.items() if word in words.split("_")), "")
        if trap:
            raise ValueError(f"{shown_key(key)}={shown(value)} is not allowed: {trap}")
        if words in QUANTITIES and value is not None:
            _quantity(found, key, value, unit)
        elif unit and value is not None:
            raise ValueError(f"{shown_key(key)} is not a known quantity{closest(words, tuple(QUANTITIES))}")
        elif key not in NAMES:
            found.ignored.append(shown_key(key))
    for name in ("bandwidth", "memory"):
        if name not in found.values:
            example = {"bandwidth": "memory_bandwidth_gb_per_s", "memory": "memory_gb"}[name]
            raise ValueError(f"{name} is missing; give {example} as a number above 0")
    return found


def _quantity(found: Found, key: str, value: Any, unit: str) -> None:
    words, _ = split(key)
    name, kind = QUANTITIES[words]
    if unit and UNITS[unit][0] != kind:
        raise ValueError(f"{shown_key(key)} has a unit that does not fit; {name} is given in {kind}")
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not 0 <= value <= MAX_VALUE
        or not math.isfinite(value)
    ):
        raise ValueError(
            f"{shown_key(key)}={shown(value)} is not allowed: a number from 0 to {MAX_VALUE:,.0f} is needed"
        )
    if name in found.values:
        raise ValueError(f"{shown_key(key)} and {found.keys[name]} both give {name}; keep one")
    found.values[name] = float(value) * (UNITS[unit][1] if unit else 1.0)
    found.keys[name] = shown_key(key)
    target = "TFLOP/s" if kind == "T/s" else kind
    fact = Fact(
        name,
        f"{found.values[name]:,.6g} {target}",
        shown_key(key) if unit else f"{shown_key(key)} has no unit; read as {target}",
    )
    (found.understood if unit else found.assumed).append(fact)


def doubts(chip: Chip) -> tuple[str, ...]:
    """Return what looks like a mistaken unit, or a sparse figure in the place of a dense one."""
    texts = []
    peaks = {name: getattr(chip, name) for name in ("fp16", "bf16", "fp8", "int8", "fp4") if getattr(chip, name)}
    for name, peak in peaks.items():
        ridge = peak * KILO / chip.bandwidth
        if not RIDGE_LOW <= ridge <= RIDGE_HIGH:
            texts.append(f"{name}: peak over bandwidth is {ridge:,.3g} FLOP/B; chips have 10 to 2,000. Check the units")
    if "bf16" in peaks and peaks.get("fp8", 0.0) > 2.2 * peaks["bf16"]:
        texts.append(
            f"fp8 is {peaks['fp8'] / peaks['bf16']:.1f} times bf16; dense peaks have 2. Is it a figure with sparsity?"
        )
    return tuple(texts)
