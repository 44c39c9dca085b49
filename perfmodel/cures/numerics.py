"""Fewer bits and fewer operations: matrix units, quantisation, pruning, a smaller model."""

from __future__ import annotations

from functools import lru_cache, partial

from perfmodel.blocks import parameters
from perfmodel.cures.cure import Change, Cure, do, no
from perfmodel.model import MODELS, Model
from perfmodel.precision import BITS, PRUNED, SPARSE_UNITS
from perfmodel.scenario import Scenario
from perfmodel.units import count

#: A student has at most this share of its teacher's parameters; a draft at most this share of what it drafts for.
STUDENT, DRAFT = 0.6, 0.25


def matrix_units(s: Scenario) -> Change:
    """Run FP32 products on the matrix units: as TF32, else in 16 bit."""
    chip = s.resolved_gpu
    if s.precision.linear_math != "fp32":
        return no(f"{s.precision.linear_math} products run on the matrix units already")
    if "tf32" in chip.peak_flops:
        return do("TF32: 8 bits of exponent, 10 of mantissa; weights stay FP32", math="tf32")
    half = next((name for name in ("bf16", "fp16") if name in chip.peak_flops), None)
    if half is None:
        return no(f"{chip.name} has no matrix units")
    return do(f"weights and products in {half}", weights=half, math="auto")


def eight_bit(s: Scenario) -> Change:
    """Store weights and multiply in 8 bit: FP8 where the chip has it, else INT8."""
    chip = s.resolved_gpu
    target = next((name for name in ("fp8", "int8") if name in chip.peak_flops), None)
    if target is None:
        return no(f"{chip.name} has no 8-bit units: only the weights can be stored in 8 bit")
    if BITS[s.weights] <= 8 and BITS[s.precision.linear_math] <= 8:
        return no(f"weights and products are in {s.weights} already")
    return do(f"weights and activations in {target}", weights=target, math="auto")


def four_bit(s: Scenario) -> Change:
    """Store weights and multiply in FP4."""
    chip = s.resolved_gpu
    if "fp4" not in chip.peak_flops:
        return no(f"{chip.name} has no FP4 units")
    if s.weights == "fp4" and s.math == "auto":
        return no("weights and products are in FP4 already")
    return do("weights and activations in FP4, one FP8 scale per 16 values", weights="fp4", math="auto")


def weights_only(dtype: str, s: Scenario) -> Change:
    """Store the weights in fewer bits; products stay in 16 bit."""
    if BITS[s.weights] <= BITS[dtype]:
        return no(f"weights are in {s.weights} already")
    # int4 multiplies in 16 bit by itself; int8 would take the INT8 units.
    math = "bf16" if dtype == "int4" else s.precision.wide_math
    return do(f"weights in {dtype}, products in {math}", weights=dtype, math="auto" if dtype == "int4" else math)


def smaller_cache(dtype: str, s: Scenario) -> Change:
    """Store keys and values in fewer bits."""
    if not s.resolved_model.dimensions.heads:
        return no(f"{s.resolved_model.name} keeps no KV cache")
    if BITS[s.kv] <= BITS[dtype]:
        return no(f"the cache is in {s.kv} already")
    return do(f"keys and values in {dtype}", kv=dtype)


def half_zeros(s: Scenario) -> Change:
    """Drop two of every four weights, as the sparse matrix units want it."""
    if s.sparsity != "none":
        return no(f"weights are pruned already: {s.sparsity}")
    if s.resolved_gpu.architecture not in SPARSE_UNITS:
        return no(f"{s.resolved_gpu.name} has no 2:4 units")
    return do("two of every four weights dropped", sparsity="2:4")


def fewer_channels(s: Scenario) -> Change:
    """Remove a quarter of the channels of the linear layers."""
    if s.sparsity != "none":
        return no(f"weights are pruned already: {s.sparsity}")
    return do(f"{PRUNED['structured-25']:.0%} of the channels removed", sparsity="structured-25")


@lru_cache(maxsize=256)
def relatives(model: Model, most: float) -> tuple[Model, ...]:
    """Return the models of the family and vocabulary with at most this share of the parameters, largest first.

    Of equally large ones the younger first; where no year tells, the later in the catalogue.
    """
    if model.file is None:
        return ()
    limit = most * parameters(model.dimensions).total
    same = (one for one in (MODELS[key] for key in MODELS) if one.file and one.file.family == model.file.family)
    found = [
        one
        for one in same
        if one.dimensions.vocab == model.dimensions.vocab and parameters(one.dimensions).total <= limit
    ]
    found.sort(key=lambda one: (parameters(one.dimensions).total, one.file.year or 0 if one.file else 0))
    return tuple(found[::-1])


def smaller_model(s: Scenario) -> Change:
    """Take the next smaller model of the family."""
    found = relatives(s.resolved_model, STUDENT)
    if not found:
        return no("the catalogue has no smaller model of this family and vocabulary")
    sizes = [count(parameters(one.dimensions).total) for one in (found[0], s.resolved_model)]
    said = f"{found[0].name}: {sizes[0]} of {sizes[1]} parameters"
    return do(said, model=found[0].id, dimensions=None, name="")


CURES = (
    Cure("tc", "Matrix units (tensor cores)", "compute", "10 bits of mantissa, not 23: rarely seen", matrix_units),
    Cure("w8a8", "8-bit weights and activations", "compute", "small when calibrated; outliers need care", eight_bit),
    Cure("fp4", "4-bit weights and activations", "compute", "visible without training for it", four_bit),
    Cure("2x4", "2:4 sparsity", "compute", "needs pruning and fine-tuning; some loss stays", half_zeros),
    Cure(
        "prune",
        "Structured pruning",
        "compute",
        "needs fine-tuning; some loss stays",
        fewer_channels,
    ),
    Cure("distil", "A smaller model (distillation)", "compute", "the answers of a smaller model", smaller_model),
    Cure("w8", "8-bit weights only", "memory", "next to none", partial(weights_only, "int8")),
    Cure(
        "w4", "4-bit weights only (GPTQ, AWQ)", "memory", "small from 7 G parameters on", partial(weights_only, "int4")
    ),
    Cure("kv8", "8-bit KV cache", "memory", "next to none", partial(smaller_cache, "fp8")),
    Cure("kv4", "4-bit KV cache", "memory", "visible at long contexts", partial(smaller_cache, "fp4")),
)
