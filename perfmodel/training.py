"""A training step: its time by kind, MFU and HFU, memory, days and cost. `python -m perfmodel train` on a stream."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from perfmodel.bands import band
from perfmodel.blocks import blocks
from perfmodel.collectives import Collectives, wires
from perfmodel.engine import ENGINES
from perfmodel.formulas.training import (
    exposed_time,
    flops_utilization,
    forward_flops_per_token,
    optimizer_traffic,
    pipeline_bubble,
    training_days,
    training_flops_per_token,
)
from perfmodel.precision import Rates, rates
from perfmodel.ssm import StateSpace
from perfmodel.step import price
from perfmodel.training_memory import TrainingMemory
from perfmodel.training_ops import (
    Constants,
    Message,
    Phase,
    constants,
    keeps_products,
    layer_messages,
    model_parameters,
    parameter_share,
    pieces,
    ring_messages,
    training_engine,
)
from perfmodel.training_scenario import TrainingScenario, from_training_row
from perfmodel.units import DAY_S, HOUR_S, show

#: The parts of a step, in the order in which figures stack them.
PARTS = ("forward", "recompute", "backward", "tensor parallel", "expert parallel", "context parallel",
         "pipeline sends", "pipeline bubble", "data parallel", "optimizer")  # fmt: skip


@dataclass(frozen=True)
class MicroBatch:
    """What one micro-batch takes on one pipeline stage [s]: phases of the slowest stage, mean stage, visible sends."""

    phases: dict[str, float]
    mean_s: float
    sends: dict[str, float]

    @property
    def time_s(self) -> float:
        """All of it on the slowest stage [s]."""
        return sum(self.phases.values()) + sum(self.sends.values())


@dataclass(frozen=True)
class TrainingReport:
    """All results of one training scenario: no restarts, evaluation, checkpoints or failures."""

    scenario: TrainingScenario
    parts_s: dict[str, float]
    memory: TrainingMemory
    rates: Rates
    assumed: tuple[str, ...] = ()

    @cached_property
    def step_s(self) -> float:
        """Time of one optimizer step [s]."""
        return sum(self.parts_s.values())

    @property
    def tokens_per_s(self) -> float:
        """Tokens per second, all devices together [1/s]."""
        return self.scenario.tokens / self.step_s

    @property
    def tokens_per_s_per_gpu(self) -> float:
        """Tokens per second and device [1/s]."""
        return self.tokens_per_s / self.scenario.n

    @cached_property
    def model_flops(self) -> float:
        """Model FLOPs of one step, all devices together [FLOP]."""
        return self.scenario.tokens * flops_per_token(self.scenario)

    @cached_property
    def hardware_flops(self) -> float:
        """Model FLOPs and those computed again [FLOP]."""
        return self.model_flops + self.scenario.tokens * recomputed_flops_per_token(self.scenario)

    @property
    def model_flops_per_gpu(self) -> float:
        """Model FLOPs per second and device: the "model TFLOPs" of published tables [FLOP/s]."""
        return self.model_flops / (self.step_s * self.scenario.n)

    @property
    def peak_flops(self) -> float:
        """Dense peak of one device for the type of the linear layers: the denominator of MFU and HFU [FLOP/s]."""
        return self.rates.flops["linear"]

    @property
    def mfu(self) -> float:
        """Model FLOPs over what the devices could do in the time [1]."""
        return float(flops_utilization(self.model_flops, self.step_s, float(self.scenario.n), self.peak_flops))

    @property
    def hfu(self) -> float:
        """The same with the FLOPs computed again [1]."""
        return float(flops_utilization(self.hardware_flops, self.step_s, float(self.scenario.n), self.peak_flops))

    def days(self, tokens: float) -> float:
        """Days that a token budget takes [d]."""
        return float(training_days(tokens, self.tokens_per_s))

    def cost_usd(self, tokens: float) -> float:
        """List price of all devices for a token budget [USD]; NaN without a price."""
        return self.days(tokens) * DAY_S / HOUR_S * self.scenario.n * self.scenario.resolved_gpu.usd_per_hour

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know: what does not fit, what was assumed, what was replaced."""
        return (*_notes(self), *self.assumed, *self.rates.notes)

    def to_dict(self) -> dict[str, Any]:
        """Return the machine form (DESIGN: the result of `train`); NaN becomes null."""
        names = ("step_s", "tokens_per_s_per_gpu", "model_flops_per_gpu", "mfu", "hfu")
        found: dict[str, Any] = {name: _finite(getattr(self, name)) for name in names}
        return found | {
            "memory_bytes_per_gpu": _finite(self.memory.total),
            "fits": self.memory.fits,
            "parts_s": {name: value for name, value in self.parts_s.items() if value},
            "memory_by_kind": {name: value for name, value in self.memory.kinds.items() if value},
            "low": {name: low for name, (low, _) in self.bands.items()},
            "high": {name: high for name, (_, high) in self.bands.items()},
            "notes": list(self.notes),
        }

    @property
    def bands(self) -> dict[str, tuple[float, float]]:
        """Low and high of step time, rates and memory, between which 80 % of comparable measurements lie."""
        chip, found = self.scenario.resolved_gpu, {}
        speed, memory = (band(name, ENGINES["fused"], chip) for name in ("training", "training memory"))
        if speed:
            quick, slow = found["step_s"] = speed.of(self.step_s)
            for name in ("tokens_per_s_per_gpu", "model_flops_per_gpu", "mfu", "hfu"):
                value = float(getattr(self, name))
                found[name] = (value * self.step_s / slow, value * self.step_s / quick)
        if memory:
            found["memory_bytes_per_gpu"] = memory.of(self.memory.total)
        return found


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def train(row: dict[str, Any]) -> dict[str, Any]:
    """Return the machine form of one JSON row.

    >>> round(train({"model": "llama-3-8b", "n_gpu": 8, "global_batch": 16, "sharding": "zero3"})["mfu"], 1)
    0.4
    """
    scenario, assumed = from_training_row(row)
    return replace(estimate_training(scenario), assumed=assumed).to_dict()


def flops_per_token(s: TrainingScenario) -> float:
    """Return the model FLOPs of a training step per token: 6 P and 12 L a s, the convention of published MFU."""
    layers, width = attention_shape(s)
    return float(training_flops_per_token(model_parameters(s.trained), layers, width, float(s.seq_len)))


def recomputed_flops_per_token(s: TrainingScenario) -> float:
    """Return the model FLOPs computed again per token; the LM head is outside the layers and runs once."""
    d = s.trained
    layers, width = attention_shape(s)
    inside = model_parameters(d) - d.vocab * d.hidden
    if s.recompute == "full":
        return float(forward_flops_per_token(inside, layers, width, float(s.seq_len)))
    if s.recompute == "none":
        return 0.0
    if keeps_products(s):
        return float(forward_flops_per_token(inside / 2.0, 0.0, width, float(s.seq_len)))
    return float(forward_flops_per_token(0.0, layers, width, float(s.seq_len)))


def attention_shape(s: TrainingScenario) -> tuple[float, float]:
    """Layers with attention, and the width of their scores; windowed layers count what they see."""
    d = s.trained
    width = d.heads * (d.head_dim or (d.nope_dim + d.rope_dim + d.v_dim) / 2.0)
    seen = 0.0
    for block in blocks(d):
        if block.mixer is not None and not isinstance(block.mixer, StateSpace):
            window = getattr(block.mixer, "window", 0)
            seen += block.count * (min(1.0, 2.0 * window / s.seq_len) if window else 1.0)
    return seen, float(width)


@lru_cache(maxsize=64)
def _pieces(s: TrainingScenario, c: Constants) -> Any:
    return pieces(s, _engine(s, c), c)


def _engine(s: TrainingScenario, c: Constants) -> Any:
    return training_engine(s.resolved_gpu, s.precision, s.types, (s.kernels, s.attention_kernel), c)


def estimate_training(s: TrainingScenario, c: Constants | None = None) -> TrainingReport:
    """Estimate one training step.

    T = m t_slowest + bubble + what data parallelism shows + optimizer, for m micro-batches of the slowest stage.
    Validity: synchronous training, 1F1B or interleaved pipeline, balanced stages, no stragglers.
    Source: Narayanan et al. 2021 (schedules), Rajbhandari et al. 2020 (ZeRO); constants of perfmodel/training.toml.
    """
    c = c or constants()
    fabric = wires(s.resolved_gpu, _engine(s, c).collectives)
    one = micro_batch(s, c, fabric)
    times = s.micro_batches
    parts = dict.fromkeys(PARTS, 0.0)
    parts |= {name: times * value for name, value in (one.phases | one.sends).items()}
    busy = times * (one.mean_s + sum(one.sends.values()))
    parts["pipeline bubble"] = float(pipeline_bubble(float(s.pp), times, float(s.vpp))) * busy
    computing = times * sum(one.phases.values())
    parts["data parallel"] = float(exposed_time(data_parallel_s(s, c, fabric), computing, c.overlap))
    parts["optimizer"] = _optimizer_s(s, c)
    return TrainingReport(s, parts, TrainingMemory(s, c), rates(s.resolved_gpu, s.types))


cached_training = lru_cache(maxsize=256)(estimate_training)


def micro_batch(s: TrainingScenario, c: Constants, fabric: Collectives) -> MicroBatch:
    """Return what one micro-batch takes on the slowest stage: its share of the layers, and the end of the model."""
    engine, listed = _engine(s, c), _pieces(s, c)
    step = price(
        tuple(piece.op for piece in listed), (), s.resolved_gpu, engine, rates(s.resolved_gpu, s.types), fabric
    )
    times = step.op_time_s.tolist()
    d = s.trained
    share = -(-d.layers // s.pp) / d.layers
    phases = dict.fromkeys((phase.value for phase in Phase), 0.0)
    for piece, time in zip(listed, times, strict=True):
        phases[piece.phase.value] += time * (share if piece.inside else 1.0)
    mean = sum(times) / s.pp
    tensor, expert = layer_messages(s, engine)
    computing = sum(phases.values())
    ring = _sum_s(ring_messages(s), _spread(fabric, s.tp)) * share
    sends = {
        "tensor parallel": (1.0 - c.tensor_overlap) * share * _sum_s(tensor, fabric),
        "expert parallel": share * _sum_s(expert, fabric),
        "context parallel": float(exposed_time(ring, computing, c.overlap)),
        "pipeline sends": (1.0 - c.overlap) * _pipeline_s(s, fabric),
    }
    return MicroBatch(phases, mean, sends)


def _sum_s(messages: Sequence[Message], fabric: Collectives) -> float:
    return sum(m.times * float(fabric.time_s(m.kind, m.bytes, m.ranks)) for m in messages if m.bytes)


def _spread(fabric: Collectives, inner: int) -> Collectives:
    """Return what connects ranks of which every `inner`-th belongs to the group: fewer of them share an island."""
    if inner == 1 or not fabric.island or fabric.network is None:
        return fabric
    inside = fabric.island // inner
    return replace(fabric, island=inside) if inside > 1 else fabric.network


def _pipeline_s(s: TrainingScenario, fabric: Collectives) -> float:
    """Sends of one micro-batch: activations forward, gradients backward, once for each chunk of the stage [s]."""
    if s.pp == 1:
        return 0.0
    split = s.tp if s.sequence_parallel else 1
    size = s.micro_batch * s.seq_len / s.cp * s.trained.hidden * s.types.activation_bytes / split
    links = _spread(fabric, min(s.n // s.pp, fabric.island or 1))
    return 2.0 * s.vpp * float(links.time_s("send", size, 2))


def data_parallel_s(s: TrainingScenario, c: Constants, fabric: Collectives) -> float:
    """Collectives of one step among the ranks that hold the same weights, one buffer a layer [s].

    ZeRO-3 gathers the weights for the forward and again for the backward pass of every micro-batch and reduces the
    gradients; ZeRO-2 gathers once; ZeRO-1 and plain data parallelism reduce once a step.
    """
    if s.shards == 1:
        return 0.0
    share = parameter_share(s)
    links = _spread(fabric, s.tp)
    buffers = [(share.layers / share.depth, share.depth), (share.ends, 1.0)]
    each_micro_batch = s.sharding == "zero3" or (s.sharding == "zero2" and s.pp == 1)
    rounds = s.micro_batches if each_micro_batch else 1.0
    total = 0.0
    for size, times in buffers:
        gather = float(links.time_s("all_gather", size * s.types.wide_bytes, s.shards))
        reduce = float(links.time_s("reduce_scatter", size * c.gradient_bytes, s.shards))
        gathers = 2.0 if s.sharding == "zero3" else 1.0
        if s.sharding == "none":
            # An all-reduce is a reduce-scatter and a gather of the same buffer.
            gather = float(links.time_s("all_gather", size * c.gradient_bytes, s.shards))
        total += times * rounds * (gathers * gather + reduce)
    return total


def _optimizer_s(s: TrainingScenario, c: Constants) -> float:
    split = 1.0 if s.sharding == "none" else float(s.shards)
    moved = optimizer_traffic(parameter_share(s).total / split, c.gradient_bytes, c.state_bytes, s.types.wide_bytes)
    return float(moved) / (s.resolved_gpu.memory_bytes_per_s * c.memory_share)


def _notes(report: TrainingReport) -> list[str]:
    s, memory = report.scenario, report.memory
    notes = []
    name = s.resolved_gpu.name
    if not memory.capacity > 0:
        notes.append(f"The memory size of {name} is not published: whether it fits is unknown")
    elif not memory.fits:
        need, has = show(memory.total, "B"), show(memory.capacity, "B")
        notes.append(f"Does not fit: {need} are needed on each {name}, which has {has}. Times are what it would take")
    if s.global_batch % (s.dp * s.micro_batch):
        notes.append(
            f"global_batch={s.global_batch} is no multiple of dp x micro_batch = {s.dp * s.micro_batch}: "
            "the fullest replica counts"
        )
    if s.seq_len > s.resolved_model.dimensions.max_context:
        notes.append(f"seq_len={s.seq_len:,} is beyond the {s.resolved_model.dimensions.max_context:,} of the model")
    if s.tp > s.resolved_gpu.island > 1:
        notes.append(f"tp={s.tp} reaches beyond the {s.resolved_gpu.island} devices that share fast links")
    return notes
