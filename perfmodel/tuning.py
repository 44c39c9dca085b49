"""An engine on a chip: the general constants of the profile give way to what the chip's generation was measured at."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from perfmodel.engine import Constant, Engine, KernelClass
from perfmodel.generation import GENERATIONS, Fit, Generation
from perfmodel.hardware import Accelerator
from perfmodel.precision import BITS, Precision, Rates, rates
from perfmodel.units import MICRO


@lru_cache(maxsize=512)
def tuned(engine: Engine, chip: Accelerator, precision: Precision) -> Engine:
    """Return the engine with the kernel constants of this chip's generation, for the types that really run.

    A profile that does not ask for them (`kernel_table`), or a chip of a generation without timings, keeps its own.
    Kernels that unpack quantised weights (`dequant_ops`) stay below the rate of the units that do it.
    Validity: the rates are shares of the datasheet of any chip of the architecture.
    Source: perfmodel/generations/*.toml, fitted by benchmarks/fit_kernels.py.
    """
    run = rates(chip, precision)
    if engine.kernel_table and chip.architecture.lower() in GENERATIONS.aliases:
        engine = _measured(engine, GENERATIONS[chip.architecture], precision, run)
    unpacks = engine.dequant_ops and run.dequantised and chip.kind == "soc" and "int8" not in chip.peak_flops
    return _unpacking(engine, chip, precision, run) if unpacks else engine


def _measured(engine: Engine, generation: Generation, precision: Precision, run: Rates) -> Engine:
    fits = {name: fit for name, fit in _fits(generation, precision, run).items() if fit}
    classes = {name: _kernel_class(fit) for name, fit in fits.items()}
    constants = {key: value for name, fit in fits.items() for key, value in _constants(name, fit, generation).items()}
    return replace(engine, classes=classes, constants=engine.constants | constants)


def _unpacking(engine: Engine, chip: Accelerator, precision: Precision, run: Rates) -> Engine:
    """Bound the weight stream of the linear layers by the vector lanes that unpack it.

    weights/s = rate / dequant_ops; times the bytes of a weight, over the bandwidth: a share of the bandwidth.
    Validity: mobile GPUs without integer dot products (Apple); others multiply the packed integers as they are.
    """
    kernel = engine.kernel_class("linear")
    stream = run.flops["vector"] / engine.dequant_ops * precision.weight_bytes
    share = stream / chip.memory_bytes_per_s
    if share >= kernel.memory_efficiency:
        return engine
    note = f"unpacking at {engine.dequant_ops:g} operations a weight bounds the weight stream"
    said = {"linear.memory_efficiency": Constant(value=share, source="derived", note=note)}
    classes = dict(engine.classes) | {"linear": replace(kernel, memory_efficiency=share)}
    return replace(engine, classes=classes, constants=engine.constants | said)


def _fits(generation: Generation, precision: Precision, run: Rates) -> dict[str, Fit | None]:
    file = generation.file
    return {
        "linear": generation.matmul(BITS[precision.weights], run.linear),
        "wide": generation.matmul(16, run.wide),
        "prefill_attention": file.prefill_attention,
        "decode_attention": file.decode_attention,
    }


def _kernel_class(fit: Fit) -> KernelClass:
    return KernelClass(fit.efficiency, fit.memory_efficiency, fit.kernel_us * MICRO, fit.ramp_tokens, measured=True)


def _constants(name: str, fit: Fit, generation: Generation) -> dict[str, Constant]:
    """Return the measured constants under names of their own, with what they were fitted on."""
    note = (
        f"{generation.name}: {fit.rows} kernels, median error {fit.median_error:.1%}, fitted {generation.file.fitted}"
    )
    values = {"efficiency": fit.efficiency, "memory_efficiency": fit.memory_efficiency, "kernel_us": fit.kernel_us}
    if fit.ramp_tokens:
        values["ramp_tokens"] = fit.ramp_tokens
    return {f"{name}.{key}": Constant(value=v, source=generation.file.source, note=note) for key, v in values.items()}
