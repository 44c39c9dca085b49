"""How layouts scale: tensor-parallel speed-up, the layouts of Pope et al. with their crossings, wide against deep."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from perfmodel.blocks import parameters
from perfmodel.dimensions import Dimensions
from perfmodel.estimate import setup
from perfmodel.formulas import layouts as formula
from perfmodel.formulas.combine import decode_context
from perfmodel.hardware import LINKS
from perfmodel.layouts import NETWORK, inner_width, neutral, sent_bytes
from perfmodel.memory import Memory, device_weight_bytes
from perfmodel.model import MODELS
from perfmodel.ops import Group
from perfmodel.scenario import CUSTOM, Scenario
from perfmodel.setup import Setup
from perfmodel.units import MILLI, count, show, significant
from perfmodel.workload import Workload, decode, prefill

Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True)
class Scaling:
    """The same work on tensor-parallel groups of growing size. Arrays have one entry for each of `devices`.

    `fits`: whether the memory of each device suffices. `skipped`: group sizes that cannot be, and why.
    """

    phase: str
    devices: Array
    step_s: Array
    speedup: Array
    efficiency: Array
    network_share: Array
    memory_bytes: Array
    capacity: float
    skipped: tuple[str, ...]

    @property
    def fits(self) -> Array:
        """Where the memory of a device suffices."""
        return np.asarray(self.memory_bytes <= self.capacity)

    @property
    def worthwhile(self) -> int:
        """Largest group whose devices pay back at least half of their time."""
        return int(self.devices[self.efficiency >= 0.5].max())


def scaling(scenario: Scenario, phase: str = "decode", most: int = 64) -> Scaling:
    """Return the pass of a scenario over tp = 1, 2, 4 ... up to `most`, all sequences on one group.

    Validity: times also where the memory of one device would not suffice (`fits`); strong scaling.
    """
    return _scaling(neutral(scenario), phase, most)


@lru_cache(maxsize=64)
def _scaling(scenario: Scenario, phase: str, most: int) -> Scaling:
    sizes, rows, skipped = [], [], []
    work = work_of(scenario, phase)
    full = float(scenario.prefix + scenario.input + scenario.output)
    for tp in (2**power for power in range(int(math.log2(most)) + 1)):
        try:
            resolved = setup(scenario.change(n=tp, tp=tp))
        except ValueError as error:
            skipped.append(str(error))
            continue
        step = resolved.run(work)
        memory = Memory(resolved, float(scenario.batch), float(scenario.input), full)
        sizes.append(float(tp))
        rows.append((float(step.time_s), float(step.shares[NETWORK]), memory.total))
    devices, (time, share, need) = np.array(sizes), np.array(rows).T
    gain, efficiency = formula.speedup(time[0], time), formula.parallel_efficiency(time[0], time, devices)
    capacity = scenario.resolved_gpu.memory_bytes
    return Scaling(phase, devices, time, gain, efficiency, share, need, capacity, tuple(skipped))


def work_of(scenario: Scenario, phase: str) -> Workload:
    """Return the pass that stands for a phase: the whole prompt, or the decode step at context input + output/2."""
    if phase == "prefill":
        return prefill(scenario.batch, scenario.input, scenario.prefix)
    return decode(scenario.batch, decode_context(scenario.prefix, scenario.input, scenario.output))


#: Points of a curve, most tokens and most devices on it.
POINTS, MOST_TOKENS, MOST_DEVICES = 121, 2.0**22, 4096.0
ONE_D, TWO_D, GATHERED = "1D weight-stationary", "2D weight-stationary", "weight-gathered, best"


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where one layout starts to send less than another: below `at` it is `before`, beyond it is `after`."""

    before: str
    after: str
    at: float


@dataclass(frozen=True)
class PopeCurves:
    """Communication time of one layer in the layouts of Pope et al. over "tokens" of a pass or over "devices".

    `times_s`: layout -> time [s], of the shape of `x`. `here`: label and place of the scenario's own passes.
    `link`: what carries it, with the bandwidth of one device.
    """

    axis: str
    x: Array
    times_s: Mapping[str, Array]
    crossings: tuple[Crossing, ...]
    here: tuple[tuple[str, float], ...]
    fixed: str
    link: str


def link_rate(resolved: Setup, devices: Any) -> Any:
    """Return the bandwidth of one device in a group: of its island's link, of the network beyond [B/s]."""
    own = resolved.fabric
    beyond = own.network.bytes_per_s if own.network is not None else own.bytes_per_s
    return np.where((own.island > 0) & (np.asarray(devices) > own.island), beyond, own.bytes_per_s)


def pope_times(scenario: Scenario, tokens: Any, devices: Any) -> dict[str, Any]:
    """Return the communication time of one layer in every layout [s]; tokens and devices broadcast.

    The three forms of the gather are those of a cube X = Y = Z; the best is over any number of devices from 1 to n.
    Validity: as the formulas; weights are gathered in the type of the activations. Source: article_cases S19.
    """
    resolved = setup(scenario)
    d, size = scenario.resolved_model.dimensions, resolved.precision.activation_bytes
    E, F, M, n = float(d.hidden), inner_width(d), np.asarray(tokens, float), np.asarray(devices, float)
    rate = link_rate(resolved, n)
    best = np.clip(formula.best_gathered(M, F, n), 1.0, n)
    times = {
        ONE_D: formula.weight_stationary_1d_time(M, E, size, rate) * np.ones_like(n),
        TWO_D: formula.weight_stationary_2d_time(M, E, F, n, size, rate),
        GATHERED: formula.weight_gathered_time(M, E, F, n, best, size, rate),
    }
    for name, power in (("gathered over X", 1.0 / 3.0), ("gathered over XY", 2.0 / 3.0), ("gathered over XYZ", 1.0)):
        times[name] = formula.weight_gathered_time(M, E, F, n, n**power, size, rate)
    return times


def pope_over_tokens(scenario: Scenario, devices: int) -> PopeCurves:
    """Return the curves over the tokens of a pass, for a number of devices, with their crossings."""
    d = scenario.resolved_model.dimensions
    prompt, step = float(scenario.batch) * scenario.input, float(scenario.batch)
    x = np.geomspace(1.0, max(MOST_TOKENS, prompt), POINTS)
    F = inner_width(d)
    # Up to 4 F/E devices the 2D layout is never the best of the three.
    wide = devices > formula.devices_for_2d(d.hidden, F)
    before = TWO_D if wide else ONE_D
    at = formula.tokens_for_gathered(d.hidden) if wide else formula.tokens_for_gathered_over_1d(F, devices)
    crossings = (Crossing(before, GATHERED, float(at)),) if devices > 1 else ()
    here = (("decode step", step), ("prefill", prompt))
    return PopeCurves(
        "tokens", x, pope_times(scenario, x, devices), crossings, here, f"{devices:,} devices", _link(scenario, devices)
    )


def pope_over_devices(scenario: Scenario, tokens: float) -> PopeCurves:
    """Return the curves over the devices, for a number of tokens in the pass, with their crossings."""
    d = scenario.resolved_model.dimensions
    x = np.geomspace(2.0, MOST_DEVICES, POINTS)
    F = inner_width(d)
    # 1D and the gather meet at M n = 4 F: the formula for tokens serves for devices too.
    gathered = float(formula.tokens_for_gathered_over_1d(F, tokens))
    crossings = [Crossing(ONE_D, TWO_D, float(formula.devices_for_2d(d.hidden, F)))]
    if tokens > d.hidden:
        crossings = [Crossing(ONE_D, GATHERED, gathered)] if gathered >= 2.0 else []
    return PopeCurves(
        "devices",
        x,
        pope_times(scenario, tokens, x),
        tuple(crossings),
        (("this scenario", float(scenario.n)),),
        f"{count(tokens)} tokens",
        _link(scenario, int(MOST_DEVICES)),
    )


def _link(scenario: Scenario, devices: int) -> str:
    own = setup(scenario).fabric
    text = f"{_named(own.link)} at {show(own.bytes_per_s, 'B/s')}"
    if own.network is not None and 0 < own.island < devices:
        text += f", {_named(own.network.link)} at {show(own.network.bytes_per_s, 'B/s')} beyond {own.island} devices"
    return text


def _named(link: str) -> str:
    return LINKS[link].name if link in LINKS else "the chip's link"


@dataclass(frozen=True, slots=True)
class Anchor:
    """A published measurement beside ours: with our own all-reduce layout, and with the layout of the paper."""

    what: str
    unit: str
    published: float
    engine: float
    paper_layout: float

    def row(self) -> dict[str, str]:
        """Return the anchor as a table row, with the errors."""

        def shown(value: float) -> str:
            return show(value, self.unit)

        return {
            "": self.what,
            "published": shown(self.published),
            "ours, one all-reduce per layer": f"{shown(self.engine)} ({self.engine / self.published - 1:+.0%})",
            "ours, layout of the paper": f"{shown(self.paper_layout)} ({self.paper_layout / self.published - 1:+.0%})",
        }


def palm(**fields: Any) -> Scenario:
    """Return PaLM 540B on 64 TPU v4 as the paper ran it: 48 heads padded to 64, so that they divide."""
    padded = MODELS["palm-540b"].dimensions.model_copy(update={"heads": 64})
    base = Scenario(model=CUSTOM, name="PaLM 540B (64 heads)", dimensions=padded, gpu="tpu-v4", n=64, tp=64)
    return base.change(**fields)


#: The layout of the paper's best figures: 2D in decode, gathered weights in prefill, the cache cut by sequences.
BEST = {"spread": "2d/xyz", "kv_split": "batch"}


@lru_cache(maxsize=8)
def anchors(engine: str = "fused") -> tuple[Anchor, ...]:
    """Return the two measurements of the paper's abstract beside ours, for one engine profile.

    The step of 29 ms is 64 sequences at a context of 2048 with int8 weights; 76 % of the peak is a prompt of 512 x 2048
    tokens in bf16. Model FLOPs are 2 x 540 B parameters a token, without the padding.
    Source: Pope et al. 2022, arXiv:2211.05102, abstract and table 2.
    """
    step = palm(engine=engine, weights="int8", batch=64, input=1984, output=64)
    prompt = palm(engine=engine, batch=512, input=2047, output=1)
    work, whole = decode(64, 2016), prefill(512, 2048)
    flops = 2.0 * parameters(MODELS["palm-540b"].dimensions).total * 512.0 * 2048.0
    peak = 64.0 * prompt.resolved_gpu.peak_flops["bf16"]
    ours, paper = (flops / _engine_s(one, whole) / peak for one in (prompt, prompt.change(**BEST)))
    return (
        Anchor(
            "decode step, batch 64, int8", "s", 29 * MILLI, _engine_s(step, work), _engine_s(step.change(**BEST), work)
        ),
        Anchor("prefill, batch 512: share of the peak", "%", 0.76, ours, paper),
    )


@lru_cache(maxsize=8)
def anchor_words(engine: str = "fused") -> str:
    """Return why our decode step in the paper's layout is not the one measured, in words with its numbers.

    The gap per collective is the difference of the steps over the collectives of a step.
    """
    own = palm(engine=engine, weights="int8", batch=64, input=1984, output=64).change(**BEST)
    resolved, work, measured = setup(own), decode(64, 2016), 29 * MILLI
    ours, bound = resolved.run(work), _engine_s(own.change(engine="ideal"), work)
    reading = device_weight_bytes(resolved) / resolved.chip.memory_bytes_per_s
    layers = own.resolved_model.dimensions.layers
    sends = float(sum(op.launches * op.count for op in ours.ops if op.ranks > 1))
    time = float(ours.time_s)
    gap, adds = measured - time, "This profile adds what kernels miss and the start-ups"
    return (
        f"Reading the int8 weights that a chip holds (a share of the matrices, the whole of the one KV head) takes "
        f"{show(reading, 's')} at the full bandwidth; with the cache and the links the bound is {show(bound, 's')}, "
        f"which no system reaches. {adds if time > bound else 'This profile is that bound'}: {show(time, 's')}. The "
        f"paper's system takes {show(gap, 's')} longer, {show(gap / layers, 's')} in each of {layers} layers or "
        f"{show(gap / sends, 's')} for each of the {sends:,.0f} collectives of a step. Not in our number: start-ups "
        "measured on the torus of TPUs (ours are a default), int8 weights widened to bf16 before they are multiplied, "
        "and the sampling between steps. In prefill the paper hides its collectives behind matrix products; how "
        "efficient these are a profile knows from GPUs, so the measured share lies between the profiles and the bound."
    )


def _engine_s(scenario: Scenario, work: Workload) -> float:
    return float(setup(scenario).run(work).time_s)


@dataclass(frozen=True, slots=True)
class Shape:
    """One model shape on a tensor-parallel group: its decode step, and what grows with the depth."""

    label: str
    layers: int
    hidden: int
    parameters: float
    flops: float
    kernels: float
    sent_bytes: float
    step_s: float
    alone_s: float


#: Fields of a shape that double with its width; what is not a width of the layer stays.
WIDTHS = ("hidden", "heads", "kv_heads", "ffn", "expert_ffn", "shared_ffn", "q_lora", "kv_lora", "ssm_heads")


def wide_and_deep(scenario: Scenario, tp: int = 8) -> tuple[Shape, ...]:
    """Return the scenario's model and its equal-FLOP sister of a quarter of the layers and twice the width.

    Depth is passed one layer after the other, width is shared out: the wide one has a quarter of the kernels and sends
    half of the bytes. Layers are counted down to a multiple of four; empty where a dimension would leave its range.
    Source: article_cases S47.
    """
    return _wide_and_deep(neutral(scenario), tp)


@lru_cache(maxsize=64)
def _wide_and_deep(scenario: Scenario, tp: int) -> tuple[Shape, ...]:
    d = scenario.resolved_model.dimensions
    depth = d.layers // 4 * 4
    if not depth:
        return ()
    deep = d.model_dump() | {"layers": depth, "dense_layers": d.dense_layers // 4 * 4}
    wide = deep | {"layers": depth // 4, "dense_layers": d.dense_layers // 4}
    wide |= {name: 2 * getattr(d, name) for name in WIDTHS}
    try:
        return (_shape(scenario, "deep", deep, tp), _shape(scenario, "wide", wide, tp))
    except ValueError:
        return ()


def _shape(scenario: Scenario, label: str, dimensions: dict[str, Any], tp: int) -> Shape:
    own = scenario.change(model=CUSTOM, name=label, dimensions=Dimensions.model_validate(dimensions))
    work = work_of(own, "decode")
    alone, step = setup(own).run(work), setup(own.change(n=tp, tp=tp)).run(work)
    layers = [op for op in alone.ops if op.group not in (Group.EMBEDDING, Group.HEAD, Group.ENGINE)]
    p = parameters(own.dimensions)
    return Shape(
        label,
        int(dimensions["layers"]),
        int(dimensions["hidden"]),
        float(p.attention + p.ffn),
        float(sum(op.flops * op.count for op in layers if op.kind == "matmul")),
        float(sum(op.launches * op.count for op in layers)),
        sum(size for _, size in sent_bytes(step)),
        float(step.time_s),
        float(alone.time_s),
    )


def shape_table(shapes: tuple[Shape, ...]) -> list[dict[str, str]]:
    """Return the two shapes as table rows."""
    return [
        {
            "shape": one.label,
            "layers × width": f"{one.layers} × {one.hidden:,}",
            "parameters of the layers": count(one.parameters),
            "FLOPs of a step": show(one.flops, "FLOP"),
            "kernels": f"{one.kernels:,.0f}",
            "sent by a device": show(one.sent_bytes, "B"),
            "on one device": show(one.alone_s, "s"),
            "on the group": show(one.step_s, "s"),
            "speed-up": f"{significant(one.alone_s / one.step_s)}×",
        }
        for one in shapes
    ]
