"""Device memory: weights, KV cache, activations, runtime; what fits, the largest batch, the longest context."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from perfmodel.attention import Attention, LatentAttention
from perfmodel.blocks import Block, blocks, parameters
from perfmodel.dimensions import Dimensions
from perfmodel.exchange import gathered
from perfmodel.ffn import DenseFFN, MoE
from perfmodel.formulas.combine import device_memory
from perfmodel.formulas.types import Real
from perfmodel.setup import Setup
from perfmodel.ssm import StateSpace

#: Logits are sampled in FP32.
LOGIT_BYTES = 4.0
#: Search limits of "how much would fit".
MOST_BATCH, MOST_CONTEXT = 1e9, 1e9


def weight_bytes(setup: Setup) -> float:
    """Bytes of one copy of the weights: linear layers at their type, embeddings, head and norms wide [B]."""
    p, precision = parameters(setup.model.dimensions), setup.precision
    return (p.attention + p.ffn) * precision.weight_bytes + (p.embedding + p.head + p.norms) * precision.wide_bytes


def device_weight_bytes(setup: Setup) -> float:
    """Weights on the fullest device: split over tensor and pipeline ranks, experts over the larger of tp and ep [B].

    Norms, routers and KV heads that several ranks use are copied; split by sequences, all of attention is.
    The first pipeline stage holds the embedding, the last one the LM head (its own copy if they are tied).
    """
    d, precision = setup.model.dimensions, setup.precision
    p = parameters(d)
    head = p.head + (d.vocab * d.hidden if d.tied_embeddings else 0)
    ends = p.embedding + p.head if setup.pp == 1 else max(p.embedding, head)
    return _layer_bytes(setup) + ends / setup.tp * precision.wide_bytes + _draft_weight_bytes(setup)


def _layer_bytes(setup: Setup) -> float:
    d, precision = setup.model.dimensions, setup.precision
    p = parameters(d)
    routed = sum(b.count * b.ffn.experts * b.ffn.expert_parameters for b in blocks(d) if isinstance(b.ffn, MoE))
    linear = (p.attention + p.ffn - routed) / setup.tp + routed / max(setup.tp, setup.ep) + copied_parameters(setup)
    layers = linear * precision.weight_bytes + p.norms * precision.wide_bytes
    return layers * _stage(setup)


def _draft_weight_bytes(setup: Setup) -> float:
    """Weights of the draft on one device; a prediction head shares embedding and LM head with the model [B]."""
    draft, plan = setup.drafting, setup.speculation
    if draft is None or plan is None:
        return 0.0
    if not plan.shared:
        return device_weight_bytes(draft)
    return _layer_bytes(draft) + plan.joined_weights / draft.tp * setup.precision.weight_bytes


def copied_parameters(setup: Setup) -> float:
    """Parameters of the layers that each device of a tensor group holds beyond its share of one copy."""
    tp = setup.tp
    if tp == 1:
        return 0.0
    copied = 0.0
    for block in blocks(setup.model.dimensions):
        if block.mixer:
            copied += block.count * (block.mixer.parameters * (1.0 - 1.0 / tp) if setup.adp else block.mixer.copied(tp))
        if isinstance(block.ffn, MoE):
            whole = setup.adp and setup.ep >= tp
            copied += block.count * (block.ffn.common * (1.0 - 1.0 / tp) if whole else block.ffn.copied(tp))
    return copied


def _gathered_bytes(setup: Setup) -> float:
    # A gathered layer's weights stand whole beside the device's own slice, while the layer runs.
    spread = "xyz" if setup.spread == "2d/xyz" else setup.spread
    extra = gathered(spread, setup.tp) - 1
    if extra <= 0:
        return 0.0
    p, layers = parameters(setup.model.dimensions), setup.model.dimensions.layers
    return (p.attention + p.ffn) / layers / setup.tp * extra * setup.precision.weight_bytes


def _stage(setup: Setup) -> float:
    # Share of the layers on the fullest pipeline stage: 61 layers on 4 stages are 16 + 15 + 15 + 15.
    layers = setup.model.dimensions.layers
    return math.ceil(layers / setup.pp) / layers


def cache_bytes(d: Dimensions, context: Real, value_bytes: float) -> Real:
    """KV cache and recurrent state of one sequence at `context` tokens, all layers, whole model [B]."""
    grown = sum(b.count * b.mixer.cached_values(context) for b in blocks(d) if b.mixer) * value_bytes
    # The sparse indexer keeps an FP8 key of index_dim values per token and layer.
    indexed = d.layers * d.index_dim * context if d.index_heads else 0.0
    return grown + indexed + state_bytes(d)


def state_bytes(d: Dimensions) -> float:
    """Recurrent state of one sequence, all layers, whole model: it does not grow with the context [B]."""
    return float(sum(b.count * b.mixer.state_bytes() for b in blocks(d) if b.mixer))


def cache_per_token(d: Dimensions, value_bytes: float) -> float:
    """Bytes that the first token of a sequence adds to the cache: every layer still grows [B/token]."""
    return float(cache_bytes(d, 1.0, value_bytes) - cache_bytes(d, 0.0, value_bytes))


def device_cache_bytes(setup: Setup, batch: Real, context: Real) -> Real:
    """Cache on one device: sequences over replicas, KV heads over tp as far as they go (MLA latents replicate).

    Context-parallel devices share every sequence's tokens.
    """
    d, state = setup.model.dimensions, state_bytes(setup.model.dimensions)
    kv_split = 1.0 if d.kv_lora else float(min(setup.tp, max(1, d.kv_heads)))
    sequences = kept = np.ceil(batch / setup.holders)
    state_split = 1 if setup.adp else setup.tp
    if setup.adp or setup.kv_split == "batch":
        kv_split = 1.0
    if setup.kv_split == "batch":
        kept = np.ceil(sequences / setup.tp)
    # States split over all of tp, as their channels do.
    grown = (cache_bytes(d, context, setup.precision.kv_bytes) - state) / kv_split / setup.cp
    own = (kept * grown + sequences * state / state_split) * _stage(setup)
    return own if setup.drafting is None else own + device_cache_bytes(setup.drafting, batch, context)


def activation_bytes(setup: Setup, batch: Real, tokens: Real, context: Real) -> Real:
    """Largest set of live activations: residual twice, widest intermediate, unfused scores, logits [B]."""
    d = setup.model.dimensions
    sequences = np.ceil(batch / setup.dp)
    at_once = np.minimum(np.ceil(sequences / setup.mb) * tokens / setup.cp, setup.engine.chunk_tokens)
    value = setup.precision.activation_bytes
    split = setup.tp if setup.sp or setup.adp or setup.spread != "1d" else 1
    live = at_once * value * (2.0 * d.hidden / split + max(_width(b) for b in blocks(d)) / setup.tp)
    if not setup.kernels.flash and d.heads:
        # Scores and probabilities of one layer.
        live = live + 2.0 * at_once * context * d.heads / setup.tp * value
    rows = sequences * setup.speculation.rows if setup.speculation else sequences
    return live + rows * d.vocab / setup.tp * LOGIT_BYTES + _gathered_bytes(setup)


def _width(block: Block) -> float:
    # Values per token that live at once inside the mixer or the feed-forward block, whichever is wider.
    match block.mixer:
        case Attention() as a:
            mixer = (a.heads * (2 if a.output_gate else 1) + 2 * a.kv_heads) * a.head_dim
        case LatentAttention() as a:
            mixer = a.heads * (2 * a.nope_dim + a.rope_dim + a.v_dim)
        case StateSpace() as s:
            mixer = s.in_width
        case _:
            mixer = 0
    match block.ffn:
        case DenseFFN() as f:
            feed = (3 if f.gated else 2) * f.width
        case MoE() as f:
            feed = f.top_k * (2 * f.hidden + 3 * f.width) + 3 * f.shared
        case _:
            feed = 0
    return max(mixer, feed)


def device_bytes(setup: Setup, batch: Real, tokens: Real, context: Real) -> Real:
    """Memory one device needs for a batch whose sequences reach `context` tokens [B]; arrays broadcast."""
    fixed = device_weight_bytes(setup) + setup.engine.reserve_bytes
    return fixed + device_cache_bytes(setup, batch, context) + activation_bytes(setup, batch, tokens, context)


@dataclass(frozen=True)
class Memory:
    """Memory of one scenario, per device [B]; `capacity` NaN when the chip's memory is not published."""

    setup: Setup
    batch: float
    input: float
    context: float

    @cached_property
    def weights(self) -> float:
        """Weights on one device [B]."""
        return device_weight_bytes(self.setup)

    @cached_property
    def cache(self) -> float:
        """KV cache and state on one device at the end of the generation [B]."""
        return float(device_cache_bytes(self.setup, self.batch, self.context))

    @cached_property
    def activations(self) -> float:
        """Activations and workspace on one device [B]."""
        return float(activation_bytes(self.setup, self.batch, self.input, self.context))

    @property
    def allocated(self) -> float:
        """What the framework allocates on one device: all but the runtime's own reserve [B]."""
        return self.total - self.reserve

    @property
    def reserve(self) -> float:
        """What the runtime takes for itself [B]."""
        return self.setup.engine.reserve_bytes

    @property
    def capacity(self) -> float:
        """Memory of one device [B]."""
        return self.setup.chip.memory_bytes

    @property
    def total(self) -> float:
        """All of it, per device [B]."""
        return float(device_memory(self.weights, self.cache, self.activations, self.reserve))

    @property
    def parts(self) -> tuple[float, float, float, float]:
        """Weights, cache, activations and runtime, per device [B]."""
        return self.weights, self.cache, self.activations, self.reserve

    @property
    def fits(self) -> bool:
        """Whether the scenario fits; an unpublished capacity never fits."""
        return self.total <= self.capacity

    @cached_property
    def largest_batch(self) -> int:
        """Most sequences of this length that fit, over all replicas; 0 if not even one does."""
        return largest(lambda b: device_bytes(self.setup, b, self.input, self.context), self.capacity, MOST_BATCH)

    @cached_property
    def longest_context(self) -> int:
        """Most tokens per sequence that fit at this batch (prompt grows, all cached); 0 if none."""
        return largest(lambda t: device_bytes(self.setup, self.batch, t, t), self.capacity, MOST_CONTEXT)


def largest(need: Callable[[float], Real], capacity: float, most: float) -> int:
    """Return the largest whole number whose need fits; the need grows with the number."""
    if not need(1.0) <= capacity:
        return 0
    low, high = 1.0, 2.0
    while high < most and need(high) <= capacity:
        low, high = high, high * 2.0
    while high - low > 1.0:
        middle = np.floor((low + high) / 2.0)
        low, high = (middle, high) if need(middle) <= capacity else (low, middle)
    return int(low)
