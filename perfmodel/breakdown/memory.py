"""Memory of one device: the cache by kind of attention, by data type, and the map of what fits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd
from typing import TypeAlias

import numpy as np

from perfmodel.dimensions import Dimensions
from perfmodel.memory import Memory, cache_bytes, cache_per_token, device_bytes, device_cache_bytes
from perfmodel.report import Report
from perfmodel.scenario import Scenario
from perfmodel.setup import Setup

Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

#: 16-, 8- and 4-bit caches: what the KV precision can do.
KV_CHOICES = ("bf16", "fp8", "fp4")
MOST_BATCH = 2.0**24
#: Contexts beyond this are shown only when the scenario goes there.
MOST_MAP_CONTEXT = 2**20


@dataclass(frozen=True)
class Variant:
    """One way to keep keys and values; `factor`: bytes per token of MHA over its own."""

    name: str
    dimensions: Dimensions
    own: bool
    bytes_per_token: float
    cache_bytes: float
    factor: float


def kv_variants(scenario: Scenario) -> tuple[Variant, ...]:
    r"""The same model with one KV head per query head (MHA), with fewer (GQA), with one (MQA), and with what it has.

    $$ c = 2\,L\,n_{kv}\,d_h\,b, \qquad c_{\text{MHA}}/c = h/n_{kv} $$

    Args:
        scenario: model, batch, lengths and KV data type

    Returns:
        variants from the largest to the smallest cache; bytes of the whole batch at the end of the generation [B]

    Validity: same head size; an MLA model is compared as if its heads kept their own keys and values.
    Source: article_cases S41-S44.

    >>> from perfmodel import Scenario
    >>> [(v.name, v.bytes_per_token, v.factor) for v in kv_variants(Scenario(model="llama-2-70b")) if v.own]
    [('GQA, 8 KV heads', 327680.0, 8.0)]
    """
    d, value = scenario.resolved_model.dimensions, scenario.precision.kv_bytes
    if not d.heads:
        return ()
    context = float(scenario.prefix + scenario.input + scenario.output)
    shapes = {_kv_name(d): d, **{_kv_name(other): other for other in _kv_shapes(d)}}
    # All have the attention layers in common, so MHA is the common yardstick.
    full = cache_per_token(shapes["MHA"], value)
    found = []
    for name, shape in shapes.items():
        token, held = cache_per_token(shape, value), float(scenario.batch * cache_bytes(shape, context, value))
        found.append(Variant(name, shape, shape is d, token, held, full / token if token else 1.0))
    return tuple(sorted(found, key=lambda variant: -variant.bytes_per_token))


def _kv_name(d: Dimensions) -> str:
    if d.kv_lora:
        return "MLA"
    return {d.heads: "MHA", 1: "MQA"}.get(d.kv_heads, f"GQA, {d.kv_heads} KV heads")


def _kv_shapes(d: Dimensions) -> list[Dimensions]:
    # Keys of nope + rope and values of v_dim fill as much as two heads of their mean size.
    size = (d.nope_dim + d.rope_dim + d.v_dim) // 2 if d.kv_lora else d.head_dim
    plain = {"kv_lora": 0, "index_heads": 0, "head_dim": size}
    heads = (d.heads, gcd(d.heads, 8), 1) if d.kv_heads in (0, 1, d.heads) else (d.heads, 1)
    return [d.model_copy(update=plain | {"kv_heads": n}) for n in heads if n != d.kv_heads or d.kv_lora]


def without_window(d: Dimensions) -> Dimensions:
    """Return the model with every local layer made global: what its cache would be without the window.

    >>> from perfmodel import MODELS
    >>> without_window(MODELS["gemma-3-27b"].dimensions).mixers
    'GGGGGG'
    """
    return d.model_copy(update={"mixers": d.mixers.replace("L", "G")})


@dataclass(frozen=True)
class CacheCurve:
    """Cache on one device against context or batch, all else as in the scenario [B].

    `room`: what weights, activations and runtime leave of `capacity`; `held`: the cache of the scenario itself.
    """

    axis: str
    title: str
    x: Array
    lines: dict[str, Array]
    now: float
    held: float
    room: float
    capacity: float


def cache_curve(report: Report, axis: str) -> CacheCurve:
    """Return the cache of one device against "tokens" of context or "sequences" of the batch.

    Lines: this model; without its window if it has one; with multi-head attention if it shares or compresses heads.

    >>> from perfmodel import Scenario, estimate
    >>> curve = cache_curve(estimate(Scenario(model="mistral-7b-v0.1", input=30_000)), "tokens")
    >>> list(curve.lines), round(curve.held)
    (['This model', 'Without the window', 'With multi-head attention'], 536870912)
    """
    memory, d = report.memory, report.setup.model.dimensions
    tokens = axis == "tokens"
    now, end = (memory.context, 4.0 * d.max_context) if tokens else (memory.batch, 4096.0)
    start = min(64.0, now) if tokens else 1.0
    corner = max(float(d.window), now) if tokens else now
    x = np.unique(np.round(np.append(np.geomspace(start, max(end, 4.0 * now), 120), [now, corner])))
    batch, context = (memory.batch, x) if tokens else (x, memory.context)
    shapes = {"This model": d, "Without the window": without_window(d)}
    for variant in kv_variants(report.scenario)[:1]:
        shapes["With multi-head attention"] = variant.dimensions
    lines: dict[str, Array] = {}
    for name, shape in shapes.items():
        y = np.asarray(device_cache_bytes(_with_shape(report.setup, shape), batch, context))
        if not lines or not np.allclose(y, lines["This model"]):
            lines[name] = y
    room = memory.capacity - (memory.total - memory.cache)
    title = "context per sequence [tokens]" if tokens else "batch [sequences]"
    return CacheCurve(axis, title, x, lines, now, memory.cache, room, memory.capacity)


def _with_shape(setup: Setup, d: Dimensions) -> Setup:
    return replace(setup, model=replace(setup.model, dimensions=d))


@dataclass(frozen=True)
class FitMap:
    """What fits: memory over capacity, shape (batches, contexts), and the largest batch at each context."""

    batch: Array
    context: Array
    used: Array
    largest: Array


def fit_map(setup: Setup, batch: Array, context: Array, output: float = 0.0) -> FitMap:
    r"""Memory of one device over its capacity on a grid of batches and contexts, with the edge of what fits.

    $$ u(B, t) = \frac{W + C(B, t) + A(B, t) + R}{M} $$

    Args:
        setup: model, chip, engine, precision and layout
        batch: sequences in all, shape (B,) [1]
        context: tokens per sequence at the end of the generation, shape (C,) [1]
        output: of these, tokens generated: they pass one by one, so they need no prompt activations [1]

    Returns:
        share of the capacity (weights W, cache C, activations A, runtime R over M) and largest batches [1]

    Validity: NaN where the capacity is not published; the edge agrees with `Memory.largest_batch`.
    Source: definition; memory.py.

    >>> from perfmodel import Scenario
    >>> from perfmodel.estimate import setup
    >>> fit_map(setup(Scenario()), np.array([1.0, 512.0]), np.array([4096.0])).used.ravel() <= 1.0
    array([ True, False])
    """
    prompt = np.maximum(context - output, 1.0)
    used = device_bytes(setup, batch[:, None], prompt[None, :], context[None, :]) / setup.chip.memory_bytes
    low, high = np.zeros_like(context), np.full_like(context, MOST_BATCH)
    while np.any(high - low > 1.0):
        middle = np.floor((low + high) / 2.0)
        fits = device_bytes(setup, middle, prompt, context) <= setup.chip.memory_bytes
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return FitMap(batch, context, np.asarray(used), low)


def scenario_map(report: Report) -> FitMap:
    """Return the map around a scenario: batches and contexts by powers of two, the scenario well inside.

    >>> from perfmodel import Scenario, estimate
    >>> found = scenario_map(estimate(Scenario(batch=16)))
    >>> float(found.batch[-1]), float(found.context[0])
    (1024.0, 128.0)
    """
    memory, d = report.memory, report.setup.model.dimensions
    most_batch = 2.0 ** max(10.0, np.ceil(np.log2(memory.batch)) + 2.0)
    most_context = max(4.0 * memory.context, float(min(d.max_context, MOST_MAP_CONTEXT)))
    batch = np.geomspace(1.0, most_batch, 49)
    context = np.geomspace(min(128.0, memory.context / 2.0), most_context, 57)
    return fit_map(report.setup, batch, context, float(report.scenario.output))


def kv_precisions(report: Report) -> dict[str, Memory]:
    """Return the memory of the same scenario with the KV cache in 16, 8 and 4 bits, and in the type that was chosen.

    >>> from perfmodel import Scenario, estimate
    >>> found = kv_precisions(estimate(Scenario(batch=8)))
    >>> [round(found["bf16"].cache / memory.cache, 2) for memory in found.values()]
    [1.0, 2.0, 3.56]
    """
    chosen = report.scenario.kv
    names = dict.fromkeys((chosen, *KV_CHOICES) if chosen not in KV_CHOICES else KV_CHOICES)
    return {name: replace(report.memory, setup=_with_kv(report.setup, name)) for name in names}


def _with_kv(setup: Setup, name: str) -> Setup:
    return replace(setup, precision=replace(setup.precision, kv=name))
