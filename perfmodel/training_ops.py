"""The operators of one training micro-batch on one device: forward, computed again, backward, and what is sent."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

from perfmodel.blocks import blocks, parameters
from perfmodel.dimensions import Dimensions
from perfmodel.engine import ENGINES, Constant, Engine, KernelClass
from perfmodel.ffn import MoE
from perfmodel.hardware import Accelerator
from perfmodel.ops import COLLECTIVES, Group, Op, Pass
from perfmodel.precision import Precision, rates
from perfmodel.training_scenario import TrainingScenario
from perfmodel.transformer import transformer_ops
from perfmodel.tuning import tuned
from perfmodel.units import GIGA
from perfmodel.workload import Workload

CONSTANTS_FILE = Path(__file__).resolve().parent / "training.toml"
#: Operators outside the layers: on the first or the last pipeline stage.
ENDS = frozenset({"embedding", "final_norm", "lm_head", "sampling"})
#: Operators that selective recomputation runs again in Megatron: the attention core.
CORE = "attention"
#: Architectures on which FlashAttention-2 was published, and the constant that holds its share of the peak.
PORTABLE_FLASH = {"Ampere": "flash_ampere", "Hopper": "flash_hopper", "Grace Hopper": "flash_hopper"}


class Phase(StrEnum):
    """The part of a step an operator belongs to."""

    FORWARD = "forward"
    RECOMPUTE = "recompute"
    BACKWARD = "backward"


@dataclass(frozen=True)
class Constants:
    """The constants of perfmodel/training.toml in SI, with their file entries in `source`."""

    linear_share: float
    narrow_share: float
    attention_share: float
    memory_share: float
    overlap: float
    tensor_overlap: float
    flash_ampere: float
    flash_hopper: float
    attention_backward: float
    elementwise_backward: float
    loss_backward: float
    gradient_bytes: float
    state_bytes: float
    logit_bytes: float
    gathered_layers: float
    reserve_gb: float

    @property
    def reserve_bytes(self) -> float:
        """What the runtime takes for itself [B]."""
        return self.reserve_gb * GIGA


@cache
def constant_entries() -> dict[str, Constant]:
    """Read the constants with value, source and note."""
    with CONSTANTS_FILE.open("rb") as file:
        table = tomllib.load(file)["constants"]
    return {name: Constant.model_validate(entry) for name, entry in table.items()}


@cache
def constants() -> Constants:
    """Return the constants in use."""
    return Constants(**{name: entry.value for name, entry in constant_entries().items()})


@dataclass(frozen=True, slots=True)
class Piece:
    """One operator of a micro-batch on one device: in which phase, inside the layers or at an end of the model."""

    phase: Phase
    op: Op
    inside: bool


@lru_cache(maxsize=256)
def training_engine(
    chip: Accelerator, precision: str, types: Precision, software: tuple[str, str], c: Constants
) -> Engine:
    """Return the engine of a training run: kernels of the chip's generation at the rate they sustain for hours."""
    base = ENGINES["fused"]
    stored = precision if precision in ("fp8", "fp4", "int8") else types.weights
    native = tuned(base, chip, Precision(stored))
    names = ("linear", "wide", "prefill_attention", "vector")
    found = {name: native.kernel_class(name) for name in names}
    narrow = stored != types.weights and rates(chip, types).linear == stored
    if not narrow:
        found["linear"] = found["wide"]  # no units for the type: the linear layers run like the rest
    if software[1] == "flash" and chip.architecture in PORTABLE_FLASH:
        share = PORTABLE_FLASH[chip.architecture]
        found["prefill_attention"] = replace(found["prefill_attention"], efficiency=getattr(c, share))
    classes = {name: _sustained(name, kernel, narrow, c) for name, kernel in found.items()}
    kernels = replace(base.kernels, flash=software[1] != "unfused", fused_elementwise=software[0] == "fused")
    return replace(base, classes=classes, kernels=kernels, host_s=0.0, step_s=0.0, memory_efficiency=c.memory_share)


def _sustained(name: str, kernel: KernelClass, narrow: bool, c: Constants) -> KernelClass:
    if name == "vector":
        return replace(kernel, memory_efficiency=c.memory_share)
    linear = c.narrow_share if narrow and name == "linear" else c.linear_share
    share = c.attention_share if name == "prefill_attention" else linear
    return replace(kernel, efficiency=kernel.efficiency * share)


def pass_of(s: TrainingScenario, engine: Engine) -> Pass:
    """Return what the layers need to list the operators of one micro-batch; context-parallel shares are equal.

    A rank's tokens see on average half of what the others hold: past = (s - s/cp)/2 gives the causal pairs exactly.
    """
    local = s.seq_len / s.cp
    work = Workload(float(s.micro_batch), local, (s.seq_len - local) / 2.0, logits=local)
    return Pass(work, s.types, engine.kernels, tp=s.tp, ep=s.ep)


def pieces(s: TrainingScenario, engine: Engine, c: Constants) -> tuple[Piece, ...]:
    """List the device operators of one micro-batch on the whole depth of the model, without collectives."""
    listed = transformer_ops(s.trained, pass_of(s, engine))
    found = []
    for op in (_split_norms(one, s) for one in listed if one.kind not in COLLECTIVES):
        inside = op.name not in ENDS
        found.append(Piece(Phase.FORWARD, op, inside))
        if inside and (again := run_again(op, s)):
            found.append(Piece(Phase.RECOMPUTE, op.repeated(op.count * again), inside))
        found += [Piece(Phase.BACKWARD, back, inside) for back in backward(op, c)]
    return tuple(found)


def run_again(op: Op, s: TrainingScenario) -> float:
    """Return the share of an operator of a layer that the backward pass runs again.

    Full: all. Selective: the attention core (Megatron), or every second matrix product and all that is neither a
    product nor attention (PyTorch's per-operator policy, FSDP).
    """
    if s.recompute == "selective":
        if keeps_products(s):
            return {"elementwise": 1.0, "matmul": 0.5}.get(op.kind, 0.0)
        return float(op.kind == CORE)
    return float(s.recompute == "full")


def keeps_products(s: TrainingScenario) -> bool:
    """Whether `selective` means PyTorch's per-operator policy (FSDP) and not Megatron's attention core."""
    return s.sharding in ("zero2", "zero3")


def _split_norms(op: Op, s: TrainingScenario) -> Op:
    # Sequence parallelism splits what tensor parallelism alone repeats on every rank.
    if not (s.sequence_parallel and s.tp > 1 and op.group is Group.NORMS):
        return op
    moved = {name: getattr(op, name) / s.tp for name in ("flops", "activation_bytes", "weight_bytes")}
    return op._replace(**moved)


def backward(op: Op, c: Constants) -> list[Op]:
    """Return what the backward pass does for one forward operator.

    A matrix product becomes two: the gradient of its input, which reads the weights, and that of the weights, which
    are read and written as a sum.
    """
    name = f"{op.name} backward"
    if op.kind == "matmul":
        m, k, n = op.shape
        summed = op.weight_bytes / max(1.0, float(op.weight_bytes / (k * n))) if op.weight_bytes else 0.0
        inputs = op._replace(name=f"{name} (inputs)", shape=(m, n, k))
        weights = op._replace(name=f"{name} (weights)", shape=(k, m, n), weight_bytes=2.0 * c.gradient_bytes * summed)
        return [inputs, weights]
    factor = {"attention": c.attention_backward, "elementwise": c.elementwise_backward}.get(op.kind, 1.0)
    if op.name == "sampling":
        factor = c.loss_backward
    fields = ("flops", "weight_bytes", "activation_bytes", "kv_bytes")
    return [op._replace(name=name, **{field: factor * getattr(op, field) for field in fields})]


@dataclass(frozen=True, slots=True)
class Message:
    """A collective of one micro-batch: kind, bytes, ranks and how often it runs."""

    kind: Literal["all_reduce", "all_to_all", "all_gather", "reduce_scatter", "send"]
    bytes: float
    ranks: int
    times: float


def layer_messages(s: TrainingScenario, engine: Engine) -> tuple[list[Message], list[Message]]:
    """Return the tensor- and the expert-parallel collectives of one micro-batch, all layers and phases.

    Backward sends what forward sends; full recomputation sends the forward part again. Sequence parallelism replaces an
    all-reduce by a reduce-scatter and an all-gather of the same buffer.
    """
    rounds = 3.0 if s.recompute == "full" else 2.0
    tensor: list[Message] = []
    expert: list[Message] = []
    for op in transformer_ops(s.trained, pass_of(s, engine)):
        times = op.count * float(op.launches) * rounds
        size = float(op.network_bytes / op.launches) if op.kind in COLLECTIVES else 0.0
        if op.kind == "all_to_all":
            expert.append(Message("all_to_all", size, s.ep, times))
        elif op.kind == "all_reduce" and s.sequence_parallel:
            tensor += [Message("reduce_scatter", size, s.tp, times), Message("all_gather", size, s.tp, times)]
        elif op.kind == "all_reduce":
            tensor.append(Message("all_reduce", size, s.tp, times))
    return tensor, expert


def ring_messages(s: TrainingScenario) -> list[Message]:
    """Return the sends of ring attention: keys and values pass all other ranks, in backward with their gradients."""
    if s.cp == 1:
        return []
    d = s.trained
    width = 2.0 * max(1, d.kv_heads) * d.head_dim / min(s.tp, max(1, d.kv_heads)) if not d.kv_lora else 2.0 * d.kv_lora
    layers = sum(block.count for block in blocks(d) if block.mixer)
    size = s.micro_batch * s.seq_len / s.cp * width * s.types.activation_bytes
    rounds = 4.0 if s.recompute == "full" else 3.0
    return [Message("send", size, 2, layers * (s.cp - 1.0) * rounds)]


@dataclass(frozen=True, slots=True)
class Share:
    """Parameters on one device: those in layers, those at the ends of the model, and how many layers."""

    layers: float
    ends: float
    depth: float

    @property
    def total(self) -> float:
        """All parameters of the device."""
        return self.layers + self.ends


def parameter_share(s: TrainingScenario) -> Share:
    """Return the parameters on the fullest device: split by tensor, expert and pipeline ranks, not yet by ZeRO."""
    d = s.trained
    p = parameters(d)
    routed = sum(b.count * b.ffn.experts * b.ffn.expert_parameters for b in blocks(d) if isinstance(b.ffn, MoE))
    linear = (p.attention + p.ffn - routed + p.norms) / s.tp + routed / max(s.tp, s.ep)
    depth = float(-(-d.layers // s.pp))
    head = p.head + (d.vocab * d.hidden if d.tied_embeddings else 0)
    ends = p.embedding + p.head if s.pp == 1 else max(p.embedding, head)
    return Share(linear * depth / d.layers, ends / s.tp, depth)


def model_parameters(d: Dimensions) -> float:
    """Return the parameters that a token is multiplied with: layers and LM head, no gather, no norms."""
    p = parameters(d)
    return float(p.attention + p.ffn_active + (d.vocab * d.hidden if d.tied_embeddings else p.head))
