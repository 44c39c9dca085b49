"""Engine profiles: how a software stack maps operators to kernels and how far below the datasheet it stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from perfmodel.catalog import Catalog
from perfmodel.formulas.types import Real
from perfmodel.ops import Kernels
from perfmodel.units import GIGA, MICRO

ENGINE_SPECS = Path(__file__).resolve().parent / "engines"


#: What a profile stands for: a bound, a server of many requests, a local engine, a framework's own loop.
EngineKind = Literal["bound", "serving", "local", "framework"]


class Constant(BaseModel):
    """One constant of a profile with its source: a published table, a definition, or an estimate."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    value: Annotated[float, Field(ge=0)]
    source: str
    note: str = ""


class KernelTable(BaseModel):
    """Kernel choices of the engine."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    flash: bool
    split_kv: bool
    fused_qkv: bool
    fused_elementwise: bool
    #: Attention on vector lanes; on NVIDIA chips it runs on matrix units all the same.
    vector_attention: bool = False


class GroupedTable(BaseModel):
    """How the product over experts is tiled, and where: empty `math` or `architectures` are all, `not_tp` 0 is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rows: Annotated[int, Field(ge=1)]
    above: Annotated[int, Field(ge=0)] = 0
    every: bool = False
    math: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    not_tp: int = 0
    source: str
    note: str

    def holds(self, math: str, architecture: str, tp: int) -> bool:
        """Return whether experts run in these tiles on such a chip, in this math, over this many devices."""
        here = not self.architectures or architecture in self.architectures
        return here and (not self.math or math in self.math) and tp != self.not_tp


class EngineFit(BaseModel):
    """How constants of a profile were fitted: which, when, on how many rows of which families, with what error left."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    date: str
    constants: tuple[str, ...]
    families: tuple[str, ...]
    rows: Annotated[int, Field(ge=1)]
    median_error: Annotated[float, Field(ge=0)]


class EngineFile(BaseModel):
    """The schema of perfmodel/engines/<id>.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    summary: str
    kind: EngineKind = "framework"
    aliases: tuple[str, ...] = ()
    collectives: str = "nccl"
    kernels: KernelTable
    kernel_table: bool = False
    continuous: bool = False
    half_accumulate: bool = False
    first_token_step: bool = False
    own_products: bool = False
    grouped: GroupedTable | None = None
    constants: dict[str, Constant]
    fit: EngineFit | None = None


#: Kernel classes whose constants may be measured per chip generation.
MATMUL_CLASSES = ("linear", "wide", "experts")
ATTENTION_CLASSES = ("prefill_attention", "decode_attention")


@dataclass(frozen=True, slots=True)
class KernelClass:
    """What kernels of one class reach: shares of peak and bandwidth, fixed device time [s], attention's ramp [tokens].

    `measured`: fitted on timings of this chip generation, conversion of the operands included.
    """

    efficiency: Real
    memory_efficiency: Real
    kernel_s: Real
    ramp_tokens: Real = 0.0
    measured: bool = False

    @property
    def ramps(self) -> bool:
        """Whether short passes reach less than long ones, somewhere in the grid."""
        return bool(np.any(self.ramp_tokens)) if isinstance(self.ramp_tokens, np.ndarray) else self.ramp_tokens > 0.0


@dataclass(frozen=True)
class Engine:
    """One profile in SI. Efficiencies are shares of the datasheet; overlaps are shares hidden (0 to 1).

    `continuous`: requests join and leave at every step, so a decode step also carries other requests' prefill.
    `half_accumulate`: 16-bit products add up in 16 bit, which GeForce chips do at twice their rate.
    `first_token_step`: the last prompt token goes through a decode step, so the first token waits for one.
    `own_products`: `linear_efficiency` is relative to what the vendor's own products reach on the chip.
    `alu_efficiency`: share of the peak of products on chips without matrix units, whose peak is that of the vector
    lanes; 0: `linear_efficiency`.
    `dequant_ops`: operations to unpack one quantised weight in a kernel that does not hide it [1]; 0: hidden.
    `grouped`: how the product over experts is tiled, where that costs.
    `collectives`: the communication library, an id of backends/; `network_efficiency` is relative to its own rate,
    `collective_s` comes on top of its start-up.
    """

    id: str
    name: str
    summary: str
    kernels: Kernels
    linear_efficiency: float
    dequant_efficiency: float
    attention_efficiency: float
    memory_efficiency: float
    network_efficiency: float
    kernel_s: float
    host_s: float
    step_s: float
    collective_s: float
    overlap: float
    network_overlap: float
    reserve_bytes: float
    chunk_tokens: float
    constants: dict[str, Constant]
    kind: EngineKind = "framework"
    aliases: tuple[str, ...] = ()
    collectives: str = "nccl"
    kernel_table: bool = False
    continuous: bool = False
    half_accumulate: bool = False
    first_token_step: bool = False
    dequant_ops: float = 0.0
    alu_efficiency: float = 0.0
    own_products: bool = False
    grouped: GroupedTable | None = None
    fit: EngineFit | None = None
    classes: Mapping[str, KernelClass] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash(self.id)

    def kernel_class(self, name: str) -> KernelClass:
        """Return the constants of a kernel class: measured ones where the chip's generation has them, else general."""
        return self._classes[name]

    @cached_property
    def _classes(self) -> dict[str, KernelClass]:
        return {name: self._kernel_class(name) for name in (*MATMUL_CLASSES, "vector", *ATTENTION_CLASSES)}

    def _kernel_class(self, name: str) -> KernelClass:
        own = self.classes.get(name) or (self.classes.get("linear") if name == "experts" else None)
        share = self.attention_efficiency if name in ATTENTION_CLASSES else self.linear_efficiency
        return own or KernelClass(share, self.memory_efficiency, self.kernel_s)


_SHARES = ("linear_efficiency", "dequant_efficiency", "attention_efficiency", "memory_efficiency", "network_efficiency")


def engine(id: str, table: dict[str, Any]) -> Engine:
    """Validate one profile and turn it into SI; raise a `ValueError` that names the constant."""
    file = EngineFile.model_validate(table)
    value = {name: constant.value for name, constant in file.constants.items()}
    for name in (*_SHARES, "overlap", "network_overlap"):
        low = 0.0 if "overlap" in name else 1e-6
        if not low <= value[name] <= 1.0:
            raise ValueError(f"constants.{name}={value[name]} must lie between 0 and 1")
    numbers: dict[str, Any] = {name: value[name] for name in (*_SHARES, "overlap", "network_overlap", "chunk_tokens")}
    numbers |= {f"{name}_s": value[f"{name}_us"] * MICRO for name in ("kernel", "host", "step", "collective")}
    return Engine(
        id=id,
        name=file.name,
        summary=file.summary,
        kernels=Kernels(**file.kernels.model_dump(), piece_tokens=value.get("piece_tokens", 0.0)),
        **numbers,
        reserve_bytes=value["reserve_gb"] * GIGA,
        constants=file.constants,
        kind=file.kind,
        aliases=file.aliases,
        collectives=file.collectives,
        kernel_table=file.kernel_table,
        continuous=file.continuous,
        half_accumulate=file.half_accumulate,
        first_token_step=file.first_token_step,
        dequant_ops=value.get("dequant_ops", 0.0),
        alu_efficiency=value.get("alu_efficiency", 0.0),
        own_products=file.own_products,
        grouped=file.grouped,
        fit=file.fit,
    )


ENGINES: Catalog[Engine] = Catalog(ENGINE_SPECS, "engine", engine)
