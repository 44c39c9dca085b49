"""Tables of accelerators and links: the ridge table, one chip with its sources, several chips side by side.

Numbers of the ridge table stand in the unit of the heading; NaN where nobody published the number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from perfmodel.catalog import load_sources
from perfmodel.catalogue_tables import ALL, DERIVED, Row, footnotes, found, is_estimate, marked, source_row
from perfmodel.formulas.roofline import request_cost, ridge_intensity
from perfmodel.hardware import ACCELERATORS, DTYPES, LINKS, SPECS, Accelerator, Link, Number
from perfmodel.scenario import CUSTOM, Scenario
from perfmodel.units import GIGA, MICRO, PETA, TERA, show, significant

#: The peak that stands for a width: the first of these types that the chip has a unit for.
WIDTHS = {"16 bit": ("bf16", "fp16"), "8 bit": ("fp8", "int8")}
INTEGERS = ("int8", "int4")
#: Spec path -> what it is, unit of the file.
NAMES = {
    "memory.capacity": ("Memory", "GB"),
    "memory.bandwidth": ("Memory bandwidth", "GB/s"),
    "memory.l2": ("Last shared cache", "MB"),
    "chip.sm": ("SMs, CUs or cores", ""),
    "chip.clock": ("Clock", "MHz"),
    "chip.flop_per_clock_per_sm": ("16-bit FLOP per clock and SM", "FLOP"),
    "chip.tdp": ("Board power", "W"),
    "link.bandwidth": ("Link, one direction", "GB/s"),
    "link.size": ("Chips joined by the link", "chips"),
    "link.pcie": ("PCIe, one direction", "GB/s"),
    "price.usd_per_hour": ("Price on demand", "USD/h"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """A number of the ridge table: heading, short name, value in the heading's unit, spec paths it rests on."""

    heading: str
    name: str
    value: Callable[[Accelerator], float]
    paths: Callable[[Accelerator], tuple[str, ...]]
    help: str = ""


def wide_type(chip: Accelerator, width: str) -> str:
    """Return the data type whose peak stands for 16 or 8 bit on this chip, or "" if it has none.

    >>> wide_type(ACCELERATORS["v100-sxm-16gb"], "16 bit"), wide_type(ACCELERATORS["a10"], "8 bit")
    ('fp16', 'int8')
    """
    return next((name for name in WIDTHS[width] if name in chip.peak_flops), "")


def peak(chip: Accelerator, width: str) -> float:
    """Return the dense peak at a width [FLOP/s]; NaN where the chip has none."""
    return chip.peak_flops.get(wide_type(chip, width), math.nan)


def ridge(chip: Accelerator, width: str) -> float:
    """Return the intensity at which the chip turns compute-bound at a width [FLOP/B].

    >>> round(ridge(ACCELERATORS["h100-sxm"], "16 bit"), 1)
    295.3
    """
    return float(ridge_intensity(peak(chip, width), chip.memory_bytes_per_s))


def flops_per_usd(chip: Accelerator) -> float:
    r"""Return the most 16-bit work that a dollar buys, $F / (p / 3600)$ [FLOP/USD].

    >>> f"{flops_per_usd(ACCELERATORS['h100-sxm']):.3g}"
    '5.18e+17'
    """
    return float(peak(chip, "16 bit") / request_cost(1.0, chip.usd_per_hour))


def _peak_path(width: str) -> Callable[[Accelerator], tuple[str, ...]]:
    return lambda chip: (f"peak.{wide_type(chip, width)}",)


def _dtype(name: str) -> Column:
    unit = "TOP/s" if name in INTEGERS else "TFLOP/s"
    label = name.upper()
    return Column(
        f"{label}, {unit}",
        label,
        lambda chip: chip.peak_flops.get(name, math.nan) / TERA,
        lambda _: (f"peak.{name}",),
        f"dense {label} peak, without sparsity, accumulated in FP32",
    )


def _ridge(width: str) -> Column:
    types = " or else ".join(name.upper() for name in WIDTHS[width])
    return Column(
        f"Ridge {width}, FLOP/B",
        f"ridge {width}",
        lambda chip: ridge(chip, width),
        lambda chip: (*_peak_path(width)(chip), "memory.bandwidth"),
        f"peak ({types}) / memory bandwidth: below it a kernel is memory-bound",
    )


PRICE = "price.usd_per_hour"
COLUMNS = (
    Column("Memory, GB", "memory", lambda c: c.memory_bytes / GIGA, lambda _: ("memory.capacity",), "1 GB = 10⁹ B"),
    Column("Bandwidth, GB/s", "bandwidth", lambda c: c.memory_bytes_per_s / GIGA, lambda _: ("memory.bandwidth",)),
    _ridge("16 bit"),
    _ridge("8 bit"),
    *(_dtype(name) for name in ("bf16", "fp16", "fp8", "int8", "fp4", "tf32", "fp32", "fp64", "int4")),
    Column(
        "Link, GB/s",
        "link",
        lambda c: c.link_bytes_per_s / GIGA,
        lambda _: ("link.bandwidth",),
        "one direction, all links of one chip together",
    ),
    Column("TDP, W", "TDP", lambda c: c.tdp_w, lambda _: ("chip.tdp",), "board power"),
    Column("Price, USD/h", "price", lambda c: c.usd_per_hour, lambda _: (PRICE,), "one chip, on demand, list price"),
    Column(
        "PFLOP per USD",
        "PFLOP per USD",
        lambda c: flops_per_usd(c) / PETA,
        lambda c: (*_peak_path("16 bit")(c), PRICE),
        "16-bit work at the full peak that one dollar buys",
    ),
    Column(
        "GB/s per USD/h",
        "GB/s per USD/h",
        lambda c: c.memory_bytes_per_s / GIGA / c.usd_per_hour,
        lambda _: ("memory.bandwidth", PRICE),
        "memory bandwidth that one dollar per hour rents",
    ),
)


#: So many numbers stand before the column of estimates, which must not hide at the far end: memory and bandwidth.
SHOWN_FIRST = 2


def estimated(chip: Accelerator, column: Column) -> bool:
    """Whether a number of the table rests on one that nobody published."""
    return any(is_estimate(chip.sources[path]) for path in column.paths(chip) if path in chip.sources)


def chip_row(chip: Accelerator) -> Row:
    """Return one line of the ridge table: identity, numbers, which of them are estimates, the sources."""
    file = chip.file
    doubtful = [column.name for column in COLUMNS if estimated(chip, column)]
    titles = [source.title for source in chip.sources.values() if not is_estimate(source)]
    numbers = {column.heading: column.value(chip) for column in COLUMNS}
    first = list(numbers)[:SHOWN_FIRST]
    return {
        "id": chip.id,
        "Chip": chip.name,
        "Vendor": chip.vendor,
        "Architecture": chip.architecture,
        **{heading: numbers[heading] for heading in first},
        "≈ Estimates": marked(", ".join(doubtful), True) if doubtful else "",
        **numbers,
        "Kind": chip.kind,
        "Year": float(file.year or math.nan),
        "Sources": "; ".join(dict.fromkeys(titles)) or "estimate",
    }


@lru_cache(maxsize=1)
def ridge_table() -> tuple[Row, ...]:
    """Return every accelerator of the catalogue, the largest 16-bit peak first, those without one last."""
    ordered = sorted((ACCELERATORS[id] for id in ACCELERATORS), key=lambda chip: -np.nan_to_num(peak(chip, "16 bit")))
    return tuple(chip_row(chip) for chip in ordered)


def filter_chips(
    rows: Iterable[Row], search: str = "", vendor: str = ALL, kind: str = ALL, least_memory_gb: float = 0.0
) -> list[Row]:
    """Return the rows of a vendor and a kind with so much memory that hold every word of the search.

    >>> [row["id"] for row in filter_chips(ridge_table(), "h100 80gb", kind="gpu")]
    ['h100-sxm', 'h100-pcie']
    """
    return [
        row
        for row in rows
        if vendor in (ALL, row["Vendor"])
        and kind in (ALL, row["Kind"])
        # An unpublished size is no reason to drop a chip until a size is asked for.
        and (not least_memory_gb or row["Memory, GB"] >= least_memory_gb)
        and found(search, row["id"], row["Chip"], row["Vendor"], row["Architecture"], *_aliases(row["id"]))
    ]


def _aliases(id: str) -> tuple[str, ...]:
    return ACCELERATORS[id].aliases if id in ACCELERATORS else ()


def choices(heading: str) -> tuple[str, ...]:
    """Return the values of a text column, the most frequent first."""
    values = [row[heading] for row in ridge_table()]
    return tuple(sorted(set(values), key=lambda value: (-values.count(value), value)))


# One chip


def chips_of(scenario: Scenario) -> dict[str, Accelerator]:
    """Return the catalogue, led by the user's own chip if the scenario has one."""
    own = {CUSTOM: scenario.resolved_gpu} if scenario.chip else {}
    return own | {id: ACCELERATORS[id] for id in ACCELERATORS}


def headline(chip: Accelerator) -> list[tuple[str, str, str]]:
    """Return the five numbers that matter first: label, text with the mark of an estimate, help."""

    def text(value: float, unit: str, *paths: str) -> str:
        known = [chip.sources[path] for path in paths if path in chip.sources]
        return marked(show(value, unit, 4), any(is_estimate(source) for source in known))

    path, kind = f"peak.{wide_type(chip, '16 bit')}", wide_type(chip, "16 bit").upper() or "16 bit"
    price = show(chip.usd_per_hour, "USD/h")
    return [
        ("Memory", text(chip.memory_bytes, "B", "memory.capacity"), chip.file.memory.type or "type not published"),
        ("Bandwidth", text(chip.memory_bytes_per_s, "B/s", "memory.bandwidth"), "main memory, 1 GB = 10⁹ B"),
        (f"{kind} peak", text(peak(chip, "16 bit"), "FLOP/s", path), "dense, accumulated in FP32"),
        ("Ridge", text(ridge(chip, "16 bit"), "FLOP/B", path, "memory.bandwidth"), "peak / bandwidth"),
        (
            "Price",
            marked(price, is_estimate(chip.sources[PRICE])) if PRICE in chip.sources else "–",
            "list price on demand",
        ),
    ]


def number_at(chip: Accelerator, path: str) -> Number:
    """Return the number of a spec file with its source and note, such as peak.bf16 or memory.capacity."""
    table, name = path.split(".")
    part = getattr(chip.file, table)
    number = part[name] if isinstance(part, dict) else getattr(part, name)
    if not isinstance(number, Number):
        raise ValueError(f"{path} of {chip.id} is no number; there are {', '.join(chip.sources)}")
    return number


def describe_path(path: str) -> tuple[str, str]:
    """Return what a path of a spec file means, and its unit.

    >>> describe_path("peak.int8"), describe_path("memory.bandwidth")
    (('Dense peak INT8', 'TOP/s'), ('Memory bandwidth', 'GB/s'))
    """
    table, name = path.split(".")
    if table in ("peak", "measured"):
        label = "Dense peak" if table == "peak" else "Measured matmul"
        return f"{label} {name.upper()}", "TOP/s" if name in INTEGERS else "TFLOP/s"
    return NAMES[path]


def chip_panel(chip: Accelerator) -> tuple[list[Row], list[str]]:
    """Return every number of a chip with the number of its source, and the sources."""
    year = [load_sources(SPECS / "sources.toml")[chip.file.year_source]] if chip.file.year else []
    return footnotes(chip_sources(chip), [*chip.sources.values(), *year])


def chip_sources(chip: Accelerator) -> list[Row]:
    """Return every number of a chip with unit, source, place, date and note; then what follows from them."""
    paths = sorted(chip.sources, key=_order)
    rows = []
    for path in paths:
        number, (name, unit) = number_at(chip, path), describe_path(path)
        rows.append(source_row(name, f"{number.value:,.6g} {unit}".strip(), chip.sources[path], number.note))
    if chip.file.year:
        source = load_sources(SPECS / "sources.toml")[chip.file.year_source]
        rows.append(source_row("Year", str(chip.file.year), source))
    return [*rows, *_derived(chip)]


def _order(path: str) -> tuple[int, int]:
    tables = ("memory", "peak", "measured", "link", "chip", "price")
    table, name = path.split(".")
    return tables.index(table), DTYPES.index(name) if name in DTYPES else list(NAMES).index(path)


def _derived(chip: Accelerator) -> list[Row]:
    rows = []
    for width in WIDTHS:
        value = ridge(chip, width)
        if math.isfinite(value):
            doubtful = any(is_estimate(chip.sources[p]) for p in (*_peak_path(width)(chip), "memory.bandwidth"))
            rate, speed = show(peak(chip, width), "FLOP/s", 4), show(chip.memory_bytes_per_s, "B/s", 4)
            text = marked(f"{significant(value, 4)} FLOP/B", doubtful)
            note = f"{wide_type(chip, width).upper()} {rate} / {speed}"
            rows.append({"Number": f"Ridge {width}", "Value": text, "Source": DERIVED, "Note": note})
    return rows


def chip_remarks(chip: Accelerator) -> list[str]:
    """Return what to know about a chip: form, memory, notes of the file, and where sources disagree."""
    file = chip.file
    form = ", ".join(filter(None, (file.form_factor, file.memory.type)))
    return [
        *([f"Form: {form}."] if form else []),
        *file.notes,
        *(f"Sources disagree: {text}" for text in file.disagreements),
    ]


def link_table() -> list[Row]:
    """Return every link: bandwidth of one direction, start-up of a collective, the chips that have it."""
    rows = []
    for link in (LINKS[id] for id in LINKS):
        used = [ACCELERATORS[chip].name for chip in ACCELERATORS if ACCELERATORS[chip].link_id == link.id]
        rows.append(
            {
                "Link": link.name,
                "Bandwidth, GB/s": _bandwidth(link),
                "Start-up, µs": _latency(link),
                "Switched": "yes" if link.switched else "no",
                "Chips": ", ".join(used) or "–",
                "Note": " ".join(link.file.notes),
            }
        )
    return rows


def link_sources() -> list[Row]:
    """Return the two numbers of every link, each with its source."""
    rows = []
    for link in (LINKS[id] for id in LINKS):
        for name, text, unit in (("bandwidth", _bandwidth(link), "GB/s"), ("latency", _latency(link), "µs")):
            row = source_row(f"{link.name}: {name}", "", link.sources[name], getattr(link.file, name).note)
            # The text carries its mark already.
            rows.append(row | {"Value": f"{text} {unit}"})
    return rows


def link_panel() -> tuple[list[Row], list[str]]:
    """Return the two numbers of every link with the number of their source, and the sources."""
    return footnotes(link_sources(), [source for id in LINKS for source in LINKS[id].sources.values()])


def _bandwidth(link: Link) -> str:
    return marked(significant(link.bytes_per_s / GIGA, 4), is_estimate(link.sources["bandwidth"]))


def _latency(link: Link) -> str:
    return marked(significant(link.latency_s / MICRO), is_estimate(link.sources["latency"]))
