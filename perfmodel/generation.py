"""What a chip generation's kernels reach: a few physical constants per architecture, fitted on published timings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from perfmodel.catalog import Catalog

GENERATION_SPECS = Path(__file__).resolve().parent / "generations"

#: The classes of matrix product that are timed apart: type of the weights, then of the math where it is wider.
MATMUL_CLASSES = ("16-bit", "fp8", "int8", "fp4", "int4-weights", "int8-weights")

#: The class that stands in for one that was not timed on a generation.
STANDS_IN = {"int4-weights": "16-bit", "int8-weights": "16-bit", "int8": "fp8", "fp8": "int8", "fp4": "fp8"}

_Share = Annotated[float, Field(gt=0, le=1)]


class Fit(BaseModel):
    """Constants of one kernel class with the rows they were fitted on and the median error there."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    #: Share of the dense peak that large kernels reach.
    efficiency: _Share
    #: Share of the memory bandwidth that large kernels reach.
    memory_efficiency: _Share
    #: Time of the smallest kernel [µs]; for fp8, int8 and fp4 it includes quantising the activations.
    kernel_us: Annotated[float, Field(ge=0)]
    #: Query tokens at which attention reaches half of its efficiency: short tiles run below it.
    ramp_tokens: Annotated[float, Field(ge=0)] = 0.0
    #: Gain of the bandwidth when a replayed kernel finds its data in the L2 cache.
    cache_gain: Annotated[float, Field(ge=1)] = 1.0
    rows: Annotated[int, Field(ge=1)]
    median_error: Annotated[float, Field(ge=0)]


class GenerationFile(BaseModel):
    """The schema of perfmodel/generations/<id>.toml, written by benchmarks/fit_kernels.py."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    architectures: tuple[str, ...]
    fitted: str
    source: str
    matmul: dict[str, Fit]
    prefill_attention: Fit | None = None
    decode_attention: Fit | None = None


@dataclass(frozen=True)
class Generation:
    """The fitted kernel classes of one architecture."""

    id: str
    name: str
    file: GenerationFile
    aliases: tuple[str, ...] = ()

    def matmul(self, weights_bits: int, math: str) -> Fit | None:
        """Return the class that multiplies weights of this many bits in this math type, or the one that stands in.

        None if neither was timed.
        """
        name = matmul_class(weights_bits, math)
        return self.file.matmul.get(name) or self.file.matmul.get(STANDS_IN.get(name, ""))


def matmul_class(weights_bits: int, math: str) -> str:
    """Return the kernel class of a matrix product.

    >>> matmul_class(4, "bf16"), matmul_class(8, "fp8"), matmul_class(16, "bf16")
    ('int4-weights', 'fp8', '16-bit')
    """
    if math in ("fp8", "int8", "fp4"):
        return math
    return {4: "int4-weights", 8: "int8-weights"}.get(weights_bits, "16-bit")


def generation(id: str, table: dict[str, Any]) -> Generation:
    """Validate one file of constants."""
    file = GenerationFile.model_validate(table)
    return Generation(id, file.architectures[0], file, file.architectures)


GENERATIONS: Catalog[Generation] = Catalog(GENERATION_SPECS, "generation", generation)
