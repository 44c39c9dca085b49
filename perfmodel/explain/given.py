"""What a run is given, as numbers with a name and a source: scenario, model, data types, engine, chip, links."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from functools import lru_cache
from typing import Any

from perfmodel.blocks import blocks, parameters
from perfmodel.catalog import Source
from perfmodel.dimensions import Dimensions
from perfmodel.engine import Engine, KernelClass
from perfmodel.explain.trace import Traced, leaf, named
from perfmodel.formulas.kv import quantised_bits
from perfmodel.formulas.types import Real
from perfmodel.hardware import LINKS, Accelerator
from perfmodel.model import Model
from perfmodel.precision import BITS, FP4_BLOCK, FP4_SCALE_BITS, Precision
from perfmodel.scenario import Scenario, field_keys
from perfmodel.setup import Setup
from perfmodel.speculative import Speculation
from perfmodel.step import Fabric

DEFINITION = Source("definition", "definition")
GIVEN = Source("scenario", "given here")
_DTYPE = Source("definition", "width of the data type")
_ESTIMATE = Source("estimate", "estimate")
_SHARES = ("linear_efficiency", "dequant_efficiency", "attention_efficiency", "memory_efficiency", "network_efficiency")


class TracedDimensions(Dimensions):
    """Dimensions whose numbers are traced; never equal to plain ones, so that no cache mixes the two."""


class TracedPrecision(Precision):
    """Data types whose bytes per value are traced."""

    @property
    def weight_bytes(self) -> Real:
        """Bytes per weight of the linear layers [B]."""
        plain = super().weight_bytes
        if self.sparsity == "none" and self.weights in ("int4", "fp4"):
            group = (16.0, float(self.group)) if self.weights == "int4" else (FP4_SCALE_BITS, FP4_BLOCK)
            return _quantised(self.weights, *group, name="bytes per weight")
        return leaf("bytes per weight", plain, "B", _DTYPE, f"one {self.weights} weight, sparsity {self.sparsity}")

    @property
    def kept_channels(self) -> Real:
        """Share of the channels that structured pruning keeps."""
        kept = super().kept_channels
        return kept if kept == 1.0 else leaf("kept channels", kept, "", scenario_source("sparsity"), self.sparsity)

    @property
    def wide_bytes(self) -> Real:
        """Bytes per weight of what quantisation leaves alone [B]."""
        return leaf("bytes per wide weight", super().wide_bytes, "B", _DTYPE, "embeddings, LM head, norms, router")

    @property
    def activation_bytes(self) -> Real:
        """Bytes per activation [B]."""
        return leaf("bytes per activation", super().activation_bytes, "B", _DTYPE, f"with {self.linear_math} math")

    @property
    def kv_bytes(self) -> Real:
        """Bytes per cached value [B]."""
        if BITS[self.kv] == 4:
            return _quantised(self.kv, FP4_SCALE_BITS, FP4_BLOCK, name="bytes per cached value")
        return leaf("bytes per cached value", super().kv_bytes, "B", _DTYPE, f"one {self.kv} value")


def _quantised(dtype: str, scale_bits: float, group: float, *, name: str) -> Real:
    bits = leaf("bits", BITS[dtype], "bit", _DTYPE, f"one {dtype} value")
    scale = leaf("scale bits", scale_bits, "bit", DEFINITION, "one scale")
    size = leaf("group", group, "", scenario_source("group") if dtype == "int4" else DEFINITION, "values per scale")
    return named(name, quantised_bits(bits, scale, size) / 8.0, "B")


def scenario_source(key: str) -> Source:
    """Return the source of a number that the scenario sets."""
    return Source("scenario", f"this scenario, {key}=")


@lru_cache(maxsize=64)
def traced_model(model: Model) -> Model:
    """Return the model with traced dimensions; kept, so that the engine's own caches hold them once."""
    keys = Dimensions.keys()
    values: dict[str, Any] = {}
    for name, key in keys.items():
        value = getattr(model.dimensions, name)
        number = type(value) is int and value != 0
        values[name] = leaf(spaced(name), value, "", model.source_of(name), key.help) if number else value
    traced = TracedDimensions.model_construct(**values)
    _name_parts(traced, model)
    return replace(model, dimensions=traced)


def traced_speculation(plan: Speculation, scenario: Scenario) -> Speculation:
    """Return how tokens are drafted with traced numbers and, where a model drafts, its traced dimensions."""
    numbers: dict[str, Any] = {"tokens": given(scenario, "spec"), "accept": given(scenario, "accept")}
    return replace(plan, **numbers, model=traced_model(plan.model) if plan.model else None)


def _name_parts(d: TracedDimensions, model: Model) -> None:
    """Name the counts of layers and the parts of the parameters, which the engine keeps once for these dimensions."""
    # Both records belong to the traced dimensions alone, no plain ones are equal to them: nobody else sees the names.
    for block in blocks(d):
        count = leaf("layers", block.count, "", model.source_of("layers"), f"layers of the kind {block.label}")
        object.__setattr__(block, "count", count)
    counted = parameters(d)
    for field in fields(counted):
        object.__setattr__(
            counted, field.name, named(f"{spaced(field.name)} parameters", getattr(counted, field.name), "")
        )


def spaced(name: str) -> str:
    """Return an identifier as words."""
    return name.replace("_", " ")


def traced_engine(engine: Engine) -> Engine:
    """Return the engine profile with traced constants."""

    def constant(field: str, name: str, unit: str) -> Real:
        value = getattr(engine, field)
        given = engine.constants.get(name)
        source = Source(given.source, given.source, engine.name, note=given.note) if given else _ESTIMATE
        return leaf(spaced(field.removesuffix("_s")), value, unit, source, source.note)

    values: dict[str, Any] = {name: constant(name, name, "") for name in (*_SHARES, "overlap", "network_overlap")}
    values |= {
        f"{name}_s": constant(f"{name}_s", f"{name}_us", "s") for name in ("kernel", "host", "step", "collective")
    }
    values["reserve_bytes"] = constant("reserve_bytes", "reserve_gb", "B")
    values["chunk_tokens"] = constant("chunk_tokens", "chunk_tokens", "")
    values["classes"] = {name: _traced_class(engine, name) for name in engine.classes}
    return replace(engine, **values)


def _traced_class(engine: Engine, name: str) -> KernelClass:
    """Return measured kernel constants, traced to the fit they come from."""
    plain = engine.classes[name]

    def number(key: str, value: float, unit: str = "") -> Real:
        given = engine.constants.get(f"{name}.{key}")
        if given is None:
            return value
        source = Source(given.source, given.source, note=given.note)
        return leaf(f"{spaced(name)} {spaced(key.removesuffix('_us'))}", value, unit, source, given.note)

    return replace(
        plain,
        efficiency=number("efficiency", plain.efficiency),
        memory_efficiency=number("memory_efficiency", plain.memory_efficiency),
        kernel_s=number("kernel_us", plain.kernel_s, "s"),
        ramp_tokens=number("ramp_tokens", plain.ramp_tokens),
    )


def traced_chip(chip: Accelerator) -> Accelerator:
    """Return the accelerator with traced numbers; what nobody published stays NaN."""

    def number(path: str, value: float, unit: str, name: str) -> Real:
        known = path in chip.sources and math.isfinite(value)
        return leaf(name, value, unit, chip.sources[path], f"{chip.name}, {path}") if known else value

    peaks = {d: number(f"peak.{d}", rate, "FLOP/s", f"peak {d}") for d, rate in chip.peak_flops.items()}
    return replace(
        chip,
        peak_flops=peaks,
        memory_bytes_per_s=number("memory.bandwidth", chip.memory_bytes_per_s, "B/s", "memory bandwidth"),
        memory_bytes=number("memory.capacity", chip.memory_bytes, "B", "memory capacity"),
        sms=number("chip.sm", chip.sms, "", "multiprocessors"),
        link_bytes_per_s=number("link.bandwidth", chip.link_bytes_per_s, "B/s", "link bandwidth"),
        pcie_bytes_per_s=number("link.pcie", chip.pcie_bytes_per_s, "B/s", "PCIe bandwidth"),
        usd_per_hour=number("price.usd_per_hour", chip.usd_per_hour, "USD/h", "price"),
    )


def traced_fabric(setup: Setup) -> Fabric:
    """Return what connects the devices, with traced numbers."""
    fabric = setup.fabric
    # The chip's own link, or the PCIe generation that the setup chose.
    names = [setup.chip.link_id, *(name for name in LINKS if name.startswith("pcie-"))]
    known = [LINKS[name] for name in names if name in LINKS and LINKS[name].latency_s == fabric.latency_s]
    link = known[0] if known else None
    source = link.sources["latency"] if link else _ESTIMATE
    latency = leaf("link latency", fabric.latency_s, "s", source, "start-up of one collective")
    bandwidth = fabric.bytes_per_s
    if not isinstance(bandwidth, Traced):
        given = link.sources["bandwidth"] if link else _ESTIMATE
        bandwidth = leaf("link bandwidth", bandwidth, "B/s", given, "one direction")
    return replace(fabric, bytes_per_s=bandwidth, latency_s=latency, by_formula=True)


def given(scenario: Scenario, name: str) -> Traced:
    """Return one number of the scenario as an input."""
    key = field_keys(Scenario)[name]
    return leaf(name, getattr(scenario, name), "", scenario_source(key.key), key.help)
