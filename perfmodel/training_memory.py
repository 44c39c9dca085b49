"""Memory of a training step on the fullest device, by kind."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from perfmodel.attention import Attention, LatentAttention
from perfmodel.blocks import Block, blocks
from perfmodel.ffn import DenseFFN, MoE
from perfmodel.formulas.training import pipelined_micro_batches, sharded_state_bytes
from perfmodel.ssm import StateSpace
from perfmodel.training_ops import Constants, keeps_products, parameter_share
from perfmodel.training_scenario import TrainingScenario

#: Dropout after attention and after the FFN keeps a mask of a byte a value; scores, softmax and its dropout keep five.
MASK_BYTES, SCORE_BYTES = 2.0, 5.0


@dataclass(frozen=True)
class TrainingMemory:
    """What one device holds [B]. Peak of the first pipeline stage (activations) or the last (logits)."""

    scenario: TrainingScenario
    constants: Constants

    @property
    def _stage(self) -> int:
        return {"none": 0, "zero1": 1, "zero2": 2, "zero3": 3}[self.scenario.sharding]

    @cached_property
    def _parameters(self) -> float:
        return parameter_share(self.scenario).total

    @property
    def weights(self) -> float:
        """Working weights: whole up to ZeRO-2; under ZeRO-3 the master copies are all there is, but for `gathered`."""
        if self._stage == 3:
            return 0.0
        return self._parameters * self._working

    @property
    def _working(self) -> float:
        return self.scenario.types.wide_bytes

    @property
    def gradients(self) -> float:
        """Gradients; split from ZeRO-2 on [B]."""
        kept, split = (0.0, self.constants.gradient_bytes) if self._stage >= 2 else (self.constants.gradient_bytes, 0.0)
        return float(sharded_state_bytes(self._parameters, kept, split, float(self.scenario.shards)))

    @property
    def optimizer(self) -> float:
        """Master weights and moments; split from ZeRO-1 on [B]. FP32 working weights are their own master."""
        own = 4.0 if self._working >= 4.0 and self._stage < 3 else 0.0
        size = self.constants.state_bytes - own
        kept, split = (0.0, size) if self._stage else (size, 0.0)
        return float(sharded_state_bytes(self._parameters, kept, split, float(self.scenario.shards)))

    @property
    def gathered(self) -> float:
        """Full weights of the layers that ZeRO-3 has fetched, and their gradients before they are split [B]."""
        if self._stage < 3:
            return 0.0
        share = parameter_share(self.scenario)
        layer = share.layers / share.depth
        return (self.constants.gathered_layers * layer + share.ends) * self._working

    @cached_property
    def activations(self) -> float:
        """Activations kept for the backward pass, logits and the working set of a layer that is computed again [B]."""
        return max(self._first_stage, self._last_stage)

    @property
    def _first_stage(self) -> float:
        s = self.scenario
        held = 1.0
        if s.pp > 1:
            held = min(float(pipelined_micro_batches(float(s.pp), float(s.vpp))), s.micro_batches)
        return held * self._kept + self._working_set + (self._logits if s.pp == 1 else 0.0)

    @property
    def _last_stage(self) -> float:
        return self._kept + self._working_set + self._logits

    @property
    def _logits(self) -> float:
        s = self.scenario
        return self._tokens * s.trained.vocab / s.tp * self.constants.logit_bytes

    @property
    def _tokens(self) -> float:
        return self.scenario.micro_batch * self.scenario.seq_len / self.scenario.cp

    @cached_property
    def _kept(self) -> float:
        """One micro-batch on the layers of one stage."""
        d = self.scenario.trained
        share = -(-d.layers // self.scenario.pp) / d.layers
        return share * self._tokens * sum(b.count * kept_bytes(b, self.scenario) for b in blocks(d))

    @cached_property
    def _working_set(self) -> float:
        if self.scenario.recompute == "none" or (
            self.scenario.recompute == "selective" and not keeps_products(self.scenario)
        ):
            return 0.0
        plain = self.scenario.model_copy(update={"recompute": "none"})
        return self._tokens * max(kept_bytes(b, plain) for b in blocks(self.scenario.trained))

    @property
    def reserve(self) -> float:
        """What the runtime takes for itself [B]."""
        return self.constants.reserve_bytes

    @property
    def kinds(self) -> dict[str, float]:
        """Every part by name, in the order in which figures stack them."""
        return {
            "weights": self.weights,
            "gradients": self.gradients,
            "optimizer": self.optimizer,
            "gathered weights": self.gathered,
            "activations": self.activations,
            "runtime": self.reserve,
        }

    @property
    def total(self) -> float:
        """All of it [B]."""
        return sum(self.kinds.values())

    @property
    def capacity(self) -> float:
        """Memory of one device [B]; NaN when it is not published."""
        return self.scenario.resolved_gpu.memory_bytes

    @property
    def fits(self) -> bool:
        """Whether it fits; an unpublished capacity never fits."""
        return self.total <= self.capacity


def kept_bytes(block: Block, s: TrainingScenario) -> float:
    """Bytes per token that one layer keeps for its backward pass on one device.

    Korthikanti et al. 2022 counted operator by operator: what goes into norms and products, what attention and the
    activation function need, dropout masks and scores where they are kept; generalised to grouped heads and gates.
    """
    value, split = s.types.activation_bytes, float(s.tp)
    whole = split if s.sequence_parallel else 1.0
    hidden = float(s.trained.hidden)
    if s.recompute == "full":
        return value * hidden / whole
    mixer, ffn = _mixer_values(block), _ffn_values(block)
    if s.recompute == "selective" and keeps_products(s):
        # Layer input, what attention puts out, and the outputs of every second product.
        attended = mixer / 4.0
        return value * (hidden / whole + (attended + (mixer - attended + ffn[1] + 2.0 * hidden) / 2.0) / split)
    branches = (block.mixer is not None) + (block.ffn is not None)
    masks = MASK_BYTES / 2.0 * branches * hidden if s.attention_kernel == "unfused" else 0.0
    # Each branch keeps the input of its norm and of its first product.
    outside = (2.0 * branches * hidden * value + masks) / whole
    return outside + (mixer + ffn[0]) * value / split + _scores(block, s) / split


def _mixer_values(block: Block) -> float:
    """Queries, keys, values and what attention puts out."""
    match block.mixer:
        case Attention() as a:
            return float((2 * a.heads * (1 + 0.5 * a.output_gate) + 2 * a.kv_heads) * a.head_dim)
        case LatentAttention() as a:
            return float(a.heads * (2 * (a.nope_dim + a.rope_dim) + 2 * a.v_dim) + a.kv_lora + a.rope_dim + a.q_lora)
        case StateSpace() as m:
            return 3.0 * m.in_width
    return 0.0


def _ffn_values(block: Block) -> tuple[float, float]:
    """Inner values that plain backward needs, and those that products put out."""
    match block.ffn:
        case DenseFFN() as f:
            ups = 2 if f.gated else 1
            return (ups + 1.0) * f.width, float(ups * f.width)
        case MoE() as f:
            ups = 2 if f.gated else 1
            inner, copies = f.top_k * f.width + f.shared, f.top_k * f.hidden
            return (ups + 1.0) * inner + 2.0 * copies, ups * inner + 2.0 * copies
    return 0.0, 0.0


def _scores(block: Block, s: TrainingScenario) -> float:
    if s.attention_kernel != "unfused" or s.recompute == "selective" or not isinstance(block.mixer, Attention):
        return 0.0
    return SCORE_BYTES * block.mixer.heads * s.seq_len
