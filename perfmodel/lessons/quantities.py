"""What a lesson may ask the engine: each function here, and each formula of `perfmodel.formulas`, by its name.

Times are in seconds, sizes in bytes. `changes` are fields of the scenario, such as `batch=64` or `gpu="h200-sxm"`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

from perfmodel import breakdown, notebook, ours
from perfmodel.batching import batch_curve
from perfmodel.blocks import parameters
from perfmodel.convnet import RESNET_50, Conv
from perfmodel.engine import ENGINES
from perfmodel.estimate import cached_estimate
from perfmodel.explain.docstrings import formulas
from perfmodel.formulas.types import Real
from perfmodel.hardware import ACCELERATORS, Accelerator
from perfmodel.memory import cache_bytes, cache_per_token
from perfmodel.mlp import MLP
from perfmodel.model import MODELS
from perfmodel.network import NetworkSetup
from perfmodel.precision import Precision
from perfmodel.report import PLAIN_RESULTS, Report
from perfmodel.scenario import Scenario
from perfmodel.step import REGIMES, Step

Quantity = Callable[..., Any]


def report(scenario: Scenario, changes: Mapping[str, Any]) -> Report:
    """Return the estimate of the scenario, some of its fields changed."""
    return cached_estimate(scenario.change(**changes) if changes else scenario)


def _step(scenario: Scenario, phase: str, changes: Mapping[str, Any]) -> Step:
    if phase not in ("prefill", "decode"):
        raise ValueError(f"phase={phase!r} is not one of prefill, decode")
    found: Step = getattr(report(scenario, changes), phase)
    return found


def time_s(s: Scenario, phase: str, **changes: Any) -> Real:
    """Return the realistic time of a pass [s]."""
    return _step(s, phase, changes).time_s


def sequential_s(s: Scenario, phase: str, **changes: Any) -> Real:
    """Return the time of a pass in which nothing overlaps [s]."""
    return _step(s, phase, changes).sequential_s


def overlapped_s(s: Scenario, phase: str, **changes: Any) -> Real:
    """Return the time of a pass in which everything overlaps [s]."""
    return _step(s, phase, changes).overlapped_s


def idle_share(s: Scenario, phase: str, **changes: Any) -> Real:
    """Return the share of a pass in which the device waits for the host."""
    return _step(s, phase, changes).idle_share


def share(s: Scenario, phase: str, regime: str, **changes: Any) -> float:
    """Return the share of a pass that is charged to a regime."""
    return float(_step(s, phase, changes).shares[REGIMES.index(regime)])


def need_s(s: Scenario, phase: str, regime: str, **changes: Any) -> float:
    """Return the time one resource needs over a pass on its own [s]."""
    return float(_step(s, phase, changes).totals_s[REGIMES.index(regime)])


def regime(s: Scenario, phase: str, **changes: Any) -> str:
    """Return the regime with the largest share of a pass."""
    return _step(s, phase, changes).regime


def total(s: Scenario, phase: str, field: str, names: str = "", **changes: Any) -> float:
    """Return the sum of a field over the operators whose name starts with one of `names`; all if there is none."""
    wanted = tuple(names.split())
    ops = (op for op in _step(s, phase, changes).ops if not wanted or op.name.startswith(wanted))
    return float(sum(getattr(op, field) * op.count for op in ops))


def op_time_s(s: Scenario, phase: str, names: str, **changes: Any) -> float:
    """Return the realistic time of the operators whose name starts with one of `names` [s]."""
    wanted = tuple(names.split())
    return sum(one.time_s for one in _step(s, phase, changes).timed if one.op.name.startswith(wanted))


def largest_op(s: Scenario, phase: str, **changes: Any) -> str:
    """Return the name of the operator that takes the longest."""
    return max(_step(s, phase, changes).timed, key=lambda one: one.time_s).op.name


def linear_need_s(s: Scenario, phase: str, resource: str, **changes: Any) -> float:
    """Return what the linear layers need of a pass [s]: arithmetic alone, or reading their weights alone."""
    setup = report(s, changes).setup
    ops = [op for op in _step(s, phase, changes).ops if op.kind == "matmul" and op.name != "lm_head"]
    if resource == "compute":
        return float(sum(op.flops * op.count for op in ops)) / setup.rates.flops["linear"]
    return float(sum(op.weight_bytes * op.count for op in ops)) / setup.chip.memory_bytes_per_s


def memory_bytes(s: Scenario, **changes: Any) -> float:
    """Return the memory one device needs [B]."""
    return report(s, changes).memory.total


def largest_batch(s: Scenario, **changes: Any) -> float:
    """Return the most sequences of this length that fit."""
    return float(report(s, changes).memory.largest_batch)


def knee(s: Scenario, **changes: Any) -> float:
    """Return the batch at which a decode step takes twice as long as at batch 1."""
    return batch_curve(s.change(**changes) if changes else s).knee


def _chip(s: Scenario, gpu: str) -> Accelerator:
    return ACCELERATORS[gpu] if gpu else s.resolved_gpu


def peak(s: Scenario, dtype: str, gpu: str = "") -> float:
    """Return the dense peak of a chip for a data type [FLOP/s]."""
    return _chip(s, gpu).peak_flops[dtype]


def bandwidth(s: Scenario, gpu: str = "") -> float:
    """Return the memory bandwidth of a chip [B/s]."""
    return _chip(s, gpu).memory_bytes_per_s


def capacity(s: Scenario, gpu: str = "") -> float:
    """Return the memory of a chip [B]."""
    return _chip(s, gpu).memory_bytes


def ridge(s: Scenario, dtype: str = "fp16", gpu: str = "") -> float:
    """Return the ridge point of a chip [FLOP/B]."""
    return _chip(s, gpu).ridge(dtype)


def multiprocessors(s: Scenario, gpu: str = "") -> float:
    """Return the number of multiprocessors of a chip."""
    return float(_chip(s, gpu).sms)


def clock_hz(s: Scenario, gpu: str = "") -> float:
    """Return the boost clock of a chip [1/s]."""
    return _chip(s, gpu).clock_hz


def usd_per_hour(s: Scenario, gpu: str = "") -> float:
    """Return the list price of a chip [USD/h]."""
    return _chip(s, gpu).usd_per_hour


def measured_share(s: Scenario, dtype: str, gpu: str = "") -> float:
    """Return the best measured matmul rate of a chip as a share of its dense peak."""
    file = _chip(s, gpu).file
    return file.measured[dtype].value / file.peak[dtype].value


def dimension(s: Scenario, name: str, model: str = "") -> float:
    """Return a dimension of a model, such as layers, hidden, heads, kv_heads, head_dim, ffn, window."""
    return float(getattr((MODELS[model] if model else s.resolved_model).dimensions, name))


def parameter_count(s: Scenario, part: str = "total", model: str = "") -> float:
    """Return the parameters of a model, or of a part: total, active, attention, ffn."""
    return float(getattr(parameters((MODELS[model] if model else s.resolved_model).dimensions), part))


def model_kv_per_token(model: str, kv_heads: float = 0.0, head_dim: float = 0.0) -> float:
    """Return the 16-bit KV cache of a token [B], with other key and value heads where they are given."""
    d = MODELS[model].dimensions
    changes = {"kv_heads": int(kv_heads or d.kv_heads), "head_dim": int(head_dim or d.head_dim)}
    return cache_per_token(d.model_copy(update=changes), 2.0)


def model_cache(model: str, tokens: float) -> float:
    """Return the 16-bit cache of one sequence [B]."""
    return float(cache_bytes(MODELS[model].dimensions, tokens, 2.0))


def growth(s: Scenario, row: float, field: str) -> float:
    """Return by what a field grows in a model twice as deep (0), twice as wide (1), twice as wide and L/4 deep (2)."""
    return float(getattr(breakdown.growth(s.resolved_model.dimensions)[int(row)], field))


@lru_cache(maxsize=256)
def _network(network: str, gpu: str, engine: str, dtype: str, depth: float, width: float) -> NetworkSetup:
    shape = RESNET_50 if network == "resnet" else MLP(int(depth), int(width))
    return NetworkSetup(shape, ACCELERATORS[gpu], ENGINES[engine], Precision(dtype, "auto", dtype))


def network_s(
    network: str, gpu: str, engine: str, dtype: str, batch: float, depth: float = 8, width: float = 1024
) -> float:
    """Return the time of one pass of ResNet-50 ("resnet") or of an MLP ("mlp") [s]."""
    return float(_network(network, gpu, engine, dtype, depth, width).run(batch).time_s)


def network_knee(network: str, gpu: str, engine: str, dtype: str, depth: float = 8, width: float = 1024) -> float:
    """Return the batch up to which the latency of a network is flat."""
    return float(_network(network, gpu, engine, dtype, depth, width).knee)


def network_need_s(
    network: str, gpu: str, dtype: str, need: str, batch: float, depth: float = 8, width: float = 1024
) -> float:
    """Return what the matrix products of a network need at the datasheet's rates [s]: compute, or weights."""
    setup = _network(network, gpu, "ideal", dtype, depth, width)
    products = [op for op in setup.ops(batch) if op.kind == "matmul"]
    if need == "compute":
        return float(sum(op.flops * op.count for op in products)) / setup.rates.flops["linear"]
    return float(sum(op.weight_bytes * op.count for op in products)) / setup.chip.memory_bytes_per_s


def network_flops(network: str, batch: float, depth: float = 8, width: float = 1024) -> float:
    """Return the FLOPs of the matrix products of a network."""
    setup = _network(network, "t4", "ideal", "fp32", depth, width)
    return float(sum(op.flops * op.count for op in setup.ops(batch) if op.kind == "matmul"))


def mlp_parameters(depth: float, width: float) -> float:
    """Return the weights of an MLP."""
    return float(MLP(int(depth), int(width)).parameters)


def conv_weights(inputs: float, outputs: float, kernel: float) -> float:
    """Return the weights of a convolution."""
    return float(Conv("conv", int(inputs), int(outputs), int(kernel), 1, 224).weights)


def conv_reuse(size: float, kernel: float, padded: bool = True) -> float:
    """Return how often one image uses each weight of a convolution."""
    padding = None if padded else 0
    return float(Conv("conv", 1, 1, int(kernel), 1, int(size), padding=padding).reuse)


def conv_intensity(size: float, kernel: float, bytes_per_weight: float) -> float:
    """Return the FLOPs per byte of weights of a convolution at batch 1 [FLOP/B]."""
    return float(Conv("conv", 1, 1, int(kernel), 1, int(size)).weight_intensity(1.0, bytes_per_weight))


def notebook_s(width: float, layers: float = notebook.LAYERS, tokens: float = notebook.TOKENS) -> float:
    """Return the time of one generation of the T4 notebook [s]."""
    return cached_estimate(notebook.run_of(int(width), int(layers), int(tokens))).e2e_s


def notebook_measured_s(width: float) -> float:
    """Return the measured time of one generation of the T4 notebook [s]."""
    return notebook.MEASURED_WIDTHS[int(width)]


def ours_s(axis: str, value: float) -> float:
    """Return a time of the small Llama that we measured ourselves, on the first of our machines [s]."""
    return next(iter(ours.machines().values())).measured_s(axis, int(value))


def notebook_share(part: str, width: float) -> float:
    """Return the share of attention, mlp or rest in the device time of a token in the notebook."""
    return notebook.device_shares(int(width))[part]


def notebook_op_s(name: str, width: float, kv_heads: float) -> float:
    """Return the device time of one operator of a token in the notebook, with fewer key and value heads [s]."""
    return notebook.device_times(int(width), int(kv_heads))[name]


def _result(name: str, s: Scenario, **changes: Any) -> float:
    return float(getattr(report(s, changes), name))


#: Functions of this file that take the scenario first.
_OWN = (
    time_s, sequential_s, overlapped_s, idle_share, share, need_s, regime, total, op_time_s, largest_op, linear_need_s,
    memory_bytes, largest_batch, knee, peak, bandwidth, capacity, ridge, multiprocessors, clock_hz, usd_per_hour,
    measured_share, dimension, parameter_count, growth,
)  # fmt: skip
#: Functions of this file that need no scenario.
_FREE = (
    model_kv_per_token, model_cache, network_s, network_knee, network_need_s, network_flops, mlp_parameters,
    conv_weights, conv_reuse, conv_intensity, notebook_s, notebook_measured_s, notebook_share, notebook_op_s,
    ours_s,
)  # fmt: skip
#: Numbers of a report under their own name: `ttft_s(batch=8)`. `chip_seconds` is the formula: it says of what.
_RESULTS = (*(name for name in PLAIN_RESULTS if name != "chip_seconds"), "prefill_s")


@lru_cache(maxsize=1)
def _formulas() -> Mapping[str, Quantity]:
    """Every formula by its name; a name that two modules share stays out."""
    found: dict[str, list[Quantity]] = {}
    for formula in formulas():
        found.setdefault(formula.__name__, []).append(formula)
    return {name: same[0] for name, same in found.items() if len(same) == 1}


@lru_cache(maxsize=128)
def functions(scenario: Scenario) -> Mapping[str, Quantity]:
    """Return every function that an expression may call, by name, for one scenario."""
    own = {function.__name__: partial(function, scenario) for function in _OWN}
    free = {function.__name__: function for function in _FREE}
    results = {name: partial(_result, name, scenario) for name in _RESULTS}
    return {**_formulas(), **results, **free, **own}
