"""An engine on a chip: the general constants of the profile give way to what the chip's generation was measured at."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

from perfmodel.engine import Constant, Engine, KernelClass
from perfmodel.generation import GENERATIONS, Fit, Generation, matmul_class
from perfmodel.hardware import Accelerator
from perfmodel.precision import BITS, Precision, Rates, rates
from perfmodel.units import MICRO, TERA

#: Operations of the vector lanes to unpack one weight in a tuned GPU kernel: on the A100, where it binds, products with
#: int4 and with int8 weights both stream 1.9 to 2.0e12 weights/s at 19.5e12 operations/s (generations/ampere.toml).
UNPACK_OPS = 10.0
#: Share of the peak that vendors' products reach where nobody measured a chip: as in the profiles of good engines.
TYPICAL_REACH = 0.78


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
        engine = _measured(engine, GENERATIONS[chip.architecture], chip, precision, run)
    elif engine.kernel_table:
        engine = replace(engine, linear_efficiency=reach(chip) or engine.linear_efficiency)
    if engine.own_products:
        engine = _own_products(engine, chip)
    if engine.alu_efficiency and run.flops["linear"] <= run.flops["vector"]:
        # The lanes that multiply also unpack: a weight once per tile of rows, for two operations a row.
        rows = engine.grouped.rows if engine.grouped else 1
        engine = replace(
            engine,
            linear_efficiency=engine.alu_efficiency,
            dequant_efficiency=1.0 / (1.0 + engine.dequant_ops / (2.0 * rows)),
        )
    unpacks = engine.dequant_ops and run.dequantised and chip.kind == "soc" and "int8" not in chip.peak_flops
    return _unpacking(engine, chip, precision, run) if unpacks else engine


def reach(chip: Accelerator) -> float:
    """Return the share of the 16-bit peak that the vendor's products reach on this chip; 0 where nobody measured it.

    From the fitted timings of its generation, else the best product that a search found on the chip.
    """
    if chip.architecture.lower() in GENERATIONS.aliases:
        return GENERATIONS[chip.architecture].file.matmul["16-bit"].efficiency
    shares = (number.value * TERA / chip.peak_flops[name] for name, number in chip.file.measured.items())
    return min(1.0, max(shares, default=0.0))


def _measured(engine: Engine, generation: Generation, chip: Accelerator, precision: Precision, run: Rates) -> Engine:
    fits = {name: fit for name, fit in _fits(generation, precision, run).items() if fit}
    classes = {name: _kernel_class(fit) for name, fit in fits.items()}
    if "linear" in classes:
        unpacked = _unpacked_share(chip, precision, run, generation)
        classes["linear"] = _at_most(classes["linear"], unpacked)
        # One small product has too few tiles for the whole chip; those of all experts stream as fast as a cache.
        stream = classes["decode_attention"].memory_efficiency if "decode_attention" in classes else 0.0
        reached = max(stream, classes["linear"].memory_efficiency)
        classes["experts"] = _at_most(replace(classes["linear"], memory_efficiency=reached), unpacked)
    constants = {key: value for name, fit in fits.items() for key, value in _constants(name, fit, generation).items()}
    if "experts" in classes:
        share, note = float(classes["experts"].memory_efficiency), "the tiles of all experts fill the chip"
        constants["experts.memory_efficiency"] = Constant(value=share, source="derived", note=note)
    return replace(engine, classes=classes, constants=engine.constants | constants)


def _own_products(engine: Engine, chip: Accelerator) -> Engine:
    own, vendor = engine.linear_efficiency, reach(chip) or TYPICAL_REACH
    note = f"{own:.3g} of the {vendor:.0%} of the peak that the vendor's products reach on the chip"
    said = {"linear.efficiency": Constant(value=own * vendor, source="derived", note=note)}
    return replace(engine, linear_efficiency=own * vendor, constants=engine.constants | said)


def _unpacked_share(chip: Accelerator, precision: Precision, run: Rates, generation: Generation) -> float:
    """Return the share of the bandwidth at which the vector lanes can unpack weights of fewer bits than the math.

    Infinite where kernels of such weights were timed, or the chip multiplies them as they are.
    """
    timed = matmul_class(BITS[precision.weights], run.linear) in generation.file.matmul
    native = precision.weights == "fp4" and "fp4" in chip.peak_flops
    if timed or native or not run.dequantised:
        return math.inf
    return run.flops["vector"] / UNPACK_OPS * precision.weight_bytes / chip.memory_bytes_per_s


def _at_most(kernel: KernelClass, share: float) -> KernelClass:
    return kernel if kernel.memory_efficiency <= share else replace(kernel, memory_efficiency=share)


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
