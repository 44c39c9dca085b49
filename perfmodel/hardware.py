"""Accelerators and links: dense peaks, decimal bytes, one direction of every link, a source for each number."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from perfmodel.catalog import Catalog, Source, load_sources
from perfmodel.dimensions import Key
from perfmodel.units import GIGA, MEGA, MICRO, TERA

_RATE = Field(ge=0, le=1e9)

SPECS = Path(__file__).resolve().parent.parent / "hardware_specs"

#: Data types a chip may have a peak rate for, widest first.
DTYPES = ("fp64", "fp32", "tf32", "fp16", "bf16", "fp8", "int8", "fp4", "int4")


class Number(BaseModel):
    """One published number: value in the unit its table names, source key, optional note."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    value: Annotated[float, Field(gt=0)]
    source: str
    note: str = ""

    @field_validator("value", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        if isinstance(value, (bool, str)):
            raise ValueError("a number is needed")
        return value


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MemoryTable(_Table):
    """Main memory: `capacity` [GB], `bandwidth` [GB/s], on-chip `l2` [MB]."""

    type: str = ""
    capacity: Number | None = None
    bandwidth: Number | None = None
    l2: Number | None = None


class ChipTable(_Table):
    """`sm`: SMs, CUs or cores; `clock` [MHz]; `flop_per_clock_per_sm`: dense 16-bit; `tdp` [W]."""

    sm: Number | None = None
    clock: Number | None = None
    flop_per_clock_per_sm: Number | None = None
    tdp: Number | None = None


class LinkTable(_Table):
    """Island link of the chip, per direction and per accelerator: `id` of links/, `bandwidth` [GB/s], `size`."""

    id: str = ""
    bandwidth: Number | None = None
    size: Number | None = None
    pcie: Number | None = None


class PriceTable(_Table):
    """On-demand list price of one accelerator [USD/h]."""

    usd_per_hour: Number | None = None
    date: str = ""


class AcceleratorFile(_Table):
    """The schema of hardware_specs/accelerators/<id>.toml."""

    name: str
    vendor: str
    architecture: str
    kind: Literal["gpu", "tpu", "cpu", "soc", "asic"]
    form_factor: str = ""
    year: int | None = None
    year_source: str = ""
    aliases: tuple[str, ...] = ()
    peak: dict[str, Number] = {}
    measured: dict[str, Number] = {}
    memory: MemoryTable = MemoryTable()
    chip: ChipTable = ChipTable()
    link: LinkTable = LinkTable()
    price: PriceTable = PriceTable()
    disagreements: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unsourced: tuple[str, ...] = ()

    @field_validator("peak", "measured")
    @classmethod
    def _known_dtypes(cls, value: dict[str, Number]) -> dict[str, Number]:
        unknown = set(value) - set(DTYPES)
        if unknown:
            raise ValueError(f"unknown data type {sorted(unknown)}; allowed are {', '.join(DTYPES)}")
        return value


@dataclass(frozen=True)
class Accelerator:
    """One chip in SI. NaN where nobody published the number; `sources` maps a field path to its source.

    `peak_flops` [FLOP/s] dense with FP32 accumulate (OP/s for integers); `memory_bytes` [B];
    `memory_bytes_per_s` [B/s]; `link_bytes_per_s` [B/s] one direction, all links of one chip together.
    """

    id: str
    name: str
    vendor: str
    architecture: str
    kind: str
    peak_flops: dict[str, float]
    memory_bytes: float
    memory_bytes_per_s: float
    l2_bytes: float
    sms: float
    clock_hz: float
    tdp_w: float
    link_id: str
    link_bytes_per_s: float
    island: int
    pcie_bytes_per_s: float
    usd_per_hour: float
    sources: dict[str, Source]
    file: AcceleratorFile
    aliases: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash((self.id, self.file.model_dump_json())) if self.id == "custom" else hash(self.id)

    def ridge(self, dtype: str) -> float:
        """Return the arithmetic intensity at which this chip turns compute-bound, F/W [FLOP/B]."""
        return self.peak_flops.get(dtype, float("nan")) / self.memory_bytes_per_s


def _numbers(file: AcceleratorFile) -> dict[str, Number]:
    found = {f"peak.{name}": number for name, number in file.peak.items()}
    found |= {f"measured.{name}": number for name, number in file.measured.items()}
    for table in ("memory", "chip", "link", "price"):
        for name, value in getattr(file, table):
            if isinstance(value, Number):
                found[f"{table}.{name}"] = value
    return found


def accelerator(id: str, table: dict[str, Any]) -> Accelerator:
    """Validate one spec table and turn it into SI; raise a `ValueError` that names the field."""
    file = AcceleratorFile.model_validate(table)
    known = load_sources(SPECS / "sources.toml")
    numbers = _numbers(file)
    for path, number in numbers.items():
        if number.source not in known:
            raise ValueError(f"{path}: source={number.source!r} is not in hardware_specs/sources.toml")

    def si(path: str, factor: float = 1.0) -> float:
        return numbers[path].value * factor if path in numbers else float("nan")

    return Accelerator(
        id=id,
        name=file.name,
        vendor=file.vendor,
        architecture=file.architecture,
        kind=file.kind,
        peak_flops={name: number.value * TERA for name, number in file.peak.items()},
        memory_bytes=si("memory.capacity", GIGA),
        memory_bytes_per_s=si("memory.bandwidth", GIGA),
        l2_bytes=si("memory.l2", MEGA),
        sms=si("chip.sm"),
        clock_hz=si("chip.clock", MEGA),
        tdp_w=si("chip.tdp"),
        link_id=file.link.id,
        link_bytes_per_s=si("link.bandwidth", GIGA),
        island=int(numbers["link.size"].value) if "link.size" in numbers else 1,
        pcie_bytes_per_s=si("link.pcie", GIGA),
        usd_per_hour=si("price.usd_per_hour"),
        sources={path: known[number.source] for path, number in numbers.items()},
        file=file,
        aliases=file.aliases,
    )


class Chip(BaseModel):
    """A user's own accelerator, as it travels in a link or a JSON row. Zero means "has none"."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    bandwidth: Annotated[float, Field(gt=0, le=1e9), Key("g.bw", "GB/s", "memory bandwidth")]
    memory: Annotated[float, Field(gt=0, le=1e9), Key("g.mem", "GB", "memory capacity")]
    fp32: Annotated[float, _RATE, Key("g.fp32", "TFLOP/s", "dense FP32 peak")] = 0.0
    tf32: Annotated[float, _RATE, Key("g.tf32", "TFLOP/s", "dense TF32 peak")] = 0.0
    fp16: Annotated[float, _RATE, Key("g.fp16", "TFLOP/s", "dense FP16 peak, FP32 accumulate")] = 0.0
    bf16: Annotated[float, _RATE, Key("g.bf16", "TFLOP/s", "dense BF16 peak")] = 0.0
    fp8: Annotated[float, _RATE, Key("g.fp8", "TFLOP/s", "dense FP8 peak")] = 0.0
    int8: Annotated[float, _RATE, Key("g.int8", "TOP/s", "dense INT8 peak")] = 0.0
    fp4: Annotated[float, _RATE, Key("g.fp4", "TFLOP/s", "dense FP4 peak")] = 0.0
    link: Annotated[float, Field(ge=0, le=1e9), Key("g.link", "GB/s", "link bandwidth, one direction")] = 0.0
    tdp: Annotated[float, Field(ge=0, le=1e6), Key("g.tdp", "W", "board power")] = 0.0
    price: Annotated[float, Field(ge=0, le=1e6), Key("g.usd", "USD/h", "price per hour")] = 0.0

    @model_validator(mode="after")
    def _has_a_rate(self) -> Self:
        if not any(getattr(self, name) for name in DTYPES if name in type(self).model_fields):
            raise ValueError("a custom accelerator needs at least one peak rate, such as bf16 in TFLOP/s")
        return self


def custom_accelerator(chip: Chip) -> Accelerator:
    """Return the accelerator that a user described; every number has the user as its source."""

    def number(value: float) -> dict[str, Any]:
        return {"value": value, "source": "user"}

    table = {
        "name": "Custom accelerator",
        "vendor": "custom",
        "architecture": "custom",
        "kind": "gpu",
        "peak": {name: number(getattr(chip, name)) for name in DTYPES if getattr(chip, name, 0.0)},
        "memory": {"capacity": number(chip.memory), "bandwidth": number(chip.bandwidth)},
        "chip": {"tdp": number(chip.tdp)} if chip.tdp else {},
        "link": {"bandwidth": number(chip.link)} if chip.link else {},
        "price": {"usd_per_hour": number(chip.price)} if chip.price else {},
    }
    return accelerator("custom", table)


ACCELERATORS: Catalog[Accelerator] = Catalog(SPECS / "accelerators", "gpu", accelerator)


class LinkFile(_Table):
    """The schema of hardware_specs/links/<id>.toml: `bandwidth` [GB/s] one direction per chip, `latency` [µs]."""

    name: str
    bandwidth: Number
    latency: Number
    switched: bool = False
    aliases: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Link:
    """A way between chips in SI: one direction, all links of one chip together; start-up time of a collective."""

    id: str
    name: str
    bytes_per_s: float
    latency_s: float
    switched: bool
    sources: dict[str, Source]
    file: LinkFile
    aliases: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash(self.id)


def link(id: str, table: dict[str, Any]) -> Link:
    """Validate one link table and turn it into SI."""
    file = LinkFile.model_validate(table)
    known = load_sources(SPECS / "sources.toml")
    numbers = {"bandwidth": file.bandwidth, "latency": file.latency}
    for path, number in numbers.items():
        if number.source not in known:
            raise ValueError(f"{path}: source={number.source!r} is not in hardware_specs/sources.toml")
    return Link(
        id=id,
        name=file.name,
        bytes_per_s=file.bandwidth.value * GIGA,
        latency_s=file.latency.value * MICRO,
        switched=file.switched,
        sources={path: known[number.source] for path, number in numbers.items()},
        file=file,
        aliases=file.aliases,
    )


LINKS: Catalog[Link] = Catalog(SPECS / "links", "link", link)
