"""Bands: how far measurements lay from predictions of the same kind, and what that says about one prediction.

A band holds 80 % of the measurements that its rows left out of the fit. It is taken from the closest kind of which
enough was measured: the same engine on the same chip architecture, the same engine, engines of its kind, any engine.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from perfmodel.engine import Engine
from perfmodel.hardware import Accelerator
from perfmodel.precision import Rates
from perfmodel.step import Step

BANDS_FILE = Path(__file__).resolve().parent / "bands.toml"
#: What a band is about: the kind of number.
REQUESTS = ("prefill", "decode", "request")
KERNELS = ("gemm", "prefill attention", "decode attention", "all-reduce")
QUANTITIES = (*REQUESTS, "memory", *KERNELS, "training", "training memory")
#: Far from any data the band is this much wider, in powers: twice the logarithmic distance.
FAR = 2.0


class BandRow(BaseModel):
    """Factors between which 80 % of measured / predicted lay, and on how much that stands.

    Empty `engine`, `kind` or `architecture`: any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    quantity: str
    engine: str = ""
    kind: str = ""
    architecture: str = ""
    low: Annotated[float, Field(gt=0)]
    high: Annotated[float, Field(gt=0)]
    rows: Annotated[int, Field(ge=1)]
    families: Annotated[int, Field(ge=1)]
    median_error: Annotated[float, Field(ge=0)]


class BandFile(BaseModel):
    """The schema of perfmodel/bands.toml, written by benchmarks/fit_bands.py.

    `coverage`: share of the rows inside the band to which their family had not contributed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    fitted: str
    source: str
    level: float
    coverage: dict[str, float]
    engines: tuple[str, ...]
    architectures: tuple[str, ...]
    kernel_architectures: tuple[str, ...]
    band: tuple[BandRow, ...]


@dataclass(frozen=True, slots=True)
class Band:
    """Factors on a prediction, what they stand on, and why they are wide if nothing close was measured."""

    low: float
    high: float
    rows: int
    families: int
    basis: str
    far: str = ""

    def of(self, value: float, bound: float = 0.0) -> tuple[float, float]:
        """Return low and high of one prediction; nothing lies below its physical bound."""
        return max(value * self.low, min(bound, value)), value * self.high


@lru_cache(maxsize=1)
def band_file() -> BandFile:
    """Return the fitted bands."""
    return BandFile.model_validate(tomllib.loads(BANDS_FILE.read_text(encoding="utf-8")))


@lru_cache(maxsize=1)
def _by_key() -> dict[tuple[str, str, str, str], BandRow]:
    return {(row.quantity, row.engine, row.kind, row.architecture): row for row in band_file().band}


def band(quantity: str, engine: Engine, chip: Accelerator) -> Band | None:
    """Return the band of a prediction; None for the ideal engine, which is a bound and predicts nothing.

    >>> from perfmodel.engine import ENGINES
    >>> from perfmodel.hardware import ACCELERATORS
    >>> band("decode", ENGINES["ideal"], ACCELERATORS["h100-sxm"]) is None
    True
    """
    if engine.kind == "bound":
        return None
    if quantity not in QUANTITIES:
        raise ValueError(f"quantity={quantity!r} has no band; there are {', '.join(QUANTITIES)}")
    return _band(quantity, engine.id, engine.kind, chip.architecture if chip.id != "custom" else "")


@lru_cache(maxsize=1024)
def _band(quantity: str, engine: str, kind: str, architecture: str) -> Band:
    keys = ((engine, "", architecture), (engine, "", ""), ("", "", architecture), ("", kind, ""), ("", "", ""))
    table = _by_key()
    row = next(found for key in keys if (found := table.get((quantity, *key))))
    far = _far(quantity, architecture)
    wide = FAR if far else 1.0
    low, high = (math.exp(wide * math.log(x)) for x in (min(row.low, 1.0), max(row.high, 1.0)))
    return Band(low, high, row.rows, row.families, _basis(row), far)


def _basis(row: BandRow) -> str:
    who = " on ".join(
        name for name in (row.engine or (f"{row.kind} engines" if row.kind else ""), row.architecture) if name
    )
    return f"{row.rows} published measurements of {row.families} families" + (f", {who}" if who else "")


def _far(quantity: str, architecture: str) -> str:
    """Return why a prediction is far from any data; empty if it is not."""
    if quantity in ("memory", "training", "training memory"):
        return ""
    if not architecture:
        return "nothing was measured on a chip of your own"
    file = band_file()
    known = file.architectures if quantity in REQUESTS else file.kernel_architectures
    return "" if architecture in known else f"nothing was measured on a {architecture} chip"


def floor_s(step: Step, chip: Accelerator, run: Rates) -> float:
    """Return the time below which no measurement of a pass can lie: its FLOPs at the peaks, its bytes at the datasheet.

    t = max(sum F_u / P_u, M / W) with F_u the FLOPs on unit u, P_u its dense peak, M the moved bytes, W the bandwidth.
    """
    compute = sum(float(op.flops * op.count) / run.flops[op.unit] for op in step.ops)
    return max(compute, float(step.total("moved_bytes")) / chip.memory_bytes_per_s)
