"""Precision: weights, math and KV cache chosen separately, and what a chip makes of the choice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from perfmodel.formulas.kv import quantised_bits
from perfmodel.hardware import Accelerator

#: Bits of one stored value.
BITS = {"fp32": 32, "tf32": 32, "fp16": 16, "bf16": 16, "fp8": 8, "int8": 8, "int4": 4, "fp4": 4}
WEIGHT_DTYPES = ("fp32", "bf16", "fp16", "fp8", "int8", "int4", "fp4")
MATH_DTYPES = ("auto", "fp32", "tf32", "fp16", "bf16", "fp8", "int8", "fp4")
KV_DTYPES = ("fp32", "bf16", "fp16", "fp8", "int8", "int4", "fp4")

#: Math that each weight type is multiplied in when the user leaves it to us. int4 is weight-only (GPTQ, AWQ).
AUTO_MATH = {"fp32": "fp32", "fp16": "fp16", "bf16": "bf16", "fp8": "fp8", "int8": "int8", "int4": "bf16", "fp4": "fp4"}
#: What runs instead, in order, when a chip has no unit for a type: the operands are converted first.
FALLBACK = {
    # Without FP4 units the weights are unpacked to 16 bit, as weight-only kernels do.
    "fp4": ("bf16", "fp16", "fp32", "tf32"),
    "fp8": ("bf16", "fp16", "fp32", "tf32"),
    "int8": ("bf16", "fp16", "fp32", "tf32"),
    "bf16": ("fp16", "fp32", "tf32"),
    "fp16": ("bf16", "fp32", "tf32"),
    "tf32": ("fp32", "bf16"),
    "fp32": ("tf32", "bf16", "fp16"),
}
#: Scale bits and block of the 4-bit float format (NVFP4: one FP8 scale per 16 values).
FP4_SCALE_BITS, FP4_BLOCK = 8.0, 16.0

#: What may be left out of the linear layers. Single zeros (unstructured) neither shrink nor speed up a dense product.
SPARSITIES = ("none", "unstructured", "2:4", "structured-25", "structured-50")
PRUNED = {"structured-25": 0.25, "structured-50": 0.5}
#: Index bits per original weight of the 2:4 format: two bits for each of two kept values in four.
SPARSE_INDEX_BITS = 1.0
#: Architectures with 2:4 units: twice the dense rate.
SPARSE_UNITS = frozenset(
    {
        "Ampere",
        "Ada Lovelace",
        "Hopper",
        "Grace Hopper",
        "Blackwell",
        "Blackwell (GB202)",
        "Blackwell Ultra",
        "CDNA3",
        "CDNA4",
    }
)


@dataclass(frozen=True)
class Precision:
    """Data types of a run. `group` is the number of int4 weights that share one fp16 scale.

    What follows from them is kept: every operator of every pass asks for it.
    """

    weights: str = "bf16"
    math: str = "auto"
    kv: str = "bf16"
    group: int = 128
    sparsity: str = "none"

    @cached_property
    def weight_bytes(self) -> float:
        """Bytes per weight of the linear layers, scales, pruning and 2:4 indices included [B]."""
        return self._stored_bytes * self.kept_channels

    @cached_property
    def _stored_bytes(self) -> float:
        if self.sparsity == "2:4":
            return self._dense_bytes / 2.0 + SPARSE_INDEX_BITS / 8.0
        return self._dense_bytes

    @cached_property
    def _dense_bytes(self) -> float:
        if self.weights == "int4":
            return float(quantised_bits(4.0, 16.0, float(self.group))) / 8.0
        if self.weights == "fp4":
            return float(quantised_bits(4.0, FP4_SCALE_BITS, FP4_BLOCK)) / 8.0
        return BITS[self.weights] / 8.0

    @cached_property
    def kept_channels(self) -> float:
        """Share of the channels of the linear layers that structured pruning keeps."""
        return 1.0 - PRUNED.get(self.sparsity, 0.0)

    @cached_property
    def wide_bytes(self) -> float:
        """Bytes per weight of what quantisation leaves alone: embeddings, LM head, norms, router [B]."""
        return max(2.0, BITS[self.weights] / 8.0)

    @cached_property
    def activation_bytes(self) -> float:
        """Bytes per activation in the residual stream [B]: 16 bit, or 32 with fp32 or tf32 math."""
        return 4.0 if self.linear_math in ("fp32", "tf32") else 2.0

    @cached_property
    def kv_bytes(self) -> float:
        """Bytes per cached value [B]; 4-bit caches carry one scale per group."""
        if BITS[self.kv] == 4:
            return float(quantised_bits(4.0, FP4_SCALE_BITS, FP4_BLOCK)) / 8.0
        return BITS[self.kv] / 8.0

    @cached_property
    def linear_math(self) -> str:
        """Data type in which the weights are multiplied."""
        return AUTO_MATH[self.weights] if self.math == "auto" else self.math

    @cached_property
    def wide_math(self) -> str:
        """Data type of attention, LM head and router: never below 16 bit."""
        chosen = self.linear_math
        if BITS[chosen] >= 16:
            return chosen
        return "fp16" if self.weights == "fp16" else "bf16"


#: The same record for the same types, so that what was worked out once is there the next time.
precision_of = lru_cache(maxsize=512)(Precision)


def native_dtype(chip: Accelerator, wanted: str) -> str | None:
    """Return `wanted` if the chip has a unit for it, else the first fallback it has, else None."""
    return next((name for name in (wanted, *FALLBACK[wanted]) if name in chip.peak_flops), None)


@dataclass(frozen=True, slots=True)
class Rates:
    """Peak rates this run uses [FLOP/s] by the unit an operator runs on, and what had to be replaced."""

    linear: str
    wide: str
    vector: str
    flops: dict[str, float]
    notes: tuple[str, ...]
    dequantised: bool = False


@lru_cache(maxsize=512)
def rates(chip: Accelerator, precision: Precision) -> Rates:
    """Choose the peak rate for linear layers, for attention and for element-wise work on this chip.

    A type without a unit is priced at its fallback and said in `notes`; a chip without any peak raises.
    """
    names: dict[str, str] = {}
    notes: list[str] = []
    for unit, wanted in (("linear", precision.linear_math), ("wide", precision.wide_math), ("vector", "fp32")):
        found = native_dtype(chip, wanted)
        if found is None:
            raise ValueError(f"gpu={chip.id} has no published peak rate for {wanted} or any type that could replace it")
        wide = native_dtype(chip, precision.wide_math)
        if unit == "linear" and precision.math == "auto" and wide and chip.peak_flops[found] < chip.peak_flops[wide]:
            notes.append(
                f"{found} is slower than {wide} on {chip.name}: linear layers run in {wide}, converted on the fly"
            )
            found = wide
        elif found != wanted and unit == "linear":
            notes.append(f"{chip.name} has no {wanted} units: linear layers run in {found}, converted on the fly")
        if found != wanted and unit == "wide" and names["linear"] != found:
            notes.append(f"{chip.name} has no {wanted} units: attention and LM head run in {found}")
        names[unit] = found
    flops = {unit: chip.peak_flops[name] for unit, name in names.items()}
    if precision.sparsity == "2:4" and chip.architecture in SPARSE_UNITS:
        flops["linear"] *= 2.0
    notes += _precision_notes(chip, precision)
    dequantised = BITS[precision.weights] < BITS[names["linear"]]
    return Rates(names["linear"], names["wide"], names["vector"], flops, tuple(notes), dequantised)


def half_accumulated(run: Rates, chip: Accelerator) -> Rates:
    """Return the rates of an engine that adds up 16-bit products in 16 bit.

    GeForce chips do that at twice the rate of FP32 accumulation, the other NVIDIA chips at the same. Tensor cores do
    INT8 at twice the full 16-bit rate, so half of the published INT8 rate is what they reach.
    """
    full = chip.peak_flops.get("int8", 0.0) / 2.0
    units = [unit for unit in ("linear", "wide") if getattr(run, unit) in ("fp16", "bf16")]
    if chip.vendor != "NVIDIA" or not units or any(full < 1.5 * run.flops[unit] for unit in units):
        return run
    note = f"16-bit accumulation: {chip.name} multiplies at twice its rate with FP32 accumulation"
    return replace(run, flops=run.flops | dict.fromkeys(units, full), notes=(*run.notes, note))


def _precision_notes(chip: Accelerator, precision: Precision) -> list[str]:
    notes = []
    if precision.weights == "int4" and precision.math == "auto":
        notes.append("int4 is weight-only: fewer bytes, the math stays 16 bit")
    if precision.sparsity == "unstructured":
        notes.append(
            "Unstructured pruning changes neither bytes nor time of a dense product: zeros are stored and multiplied"
        )
    if precision.sparsity == "2:4" and chip.architecture not in SPARSE_UNITS:
        notes.append(f"{chip.name} has no 2:4 units: fewer weight bytes, the math runs at the dense rate")
    return notes
