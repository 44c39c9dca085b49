"""Sequence mixing by attention: MHA, GQA, MQA, sliding window, and multi-head latent attention."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from perfmodel.formulas.flops import attention_flops, causal_pairs, windowed_pairs
from perfmodel.formulas.kv import repeated_kv_bytes, unfused_attention_bytes, window_context
from perfmodel.formulas.types import Real
from perfmodel.ops import DECODE_UP_TO, Group, Op, Pass

# Kernels an unfused framework launches: rotate-half RoPE on Q and K with the cache update; bmm, scale, mask,
# softmax, cast, bmm.
EAGER_ROPE_LAUNCHES, EAGER_ATTENTION_LAUNCHES = 12, 6


def decodes(run: Pass) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return where in the grid the sequences of the pass have only a few new tokens."""
    return np.asarray(np.asarray(run.work.new) <= DECODE_UP_TO)


def only(where: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], ops: list[Op]) -> list[Op]:
    """Return the operators with nothing to do outside `where`: a grid may need one form here and another there."""
    fields = ("flops", "weight_bytes", "activation_bytes", "kv_bytes", "launches")
    return [op._replace(**{name: getattr(op, name) * where for name in fields}) for op in ops]


def shared_heads(kv_heads: int, tp: int) -> float:
    """Return the KV heads one of `tp` devices holds: never less than one, so they replicate beyond kv_heads."""
    return kv_heads / min(tp, kv_heads)


def split_heads(heads: float, tp: float) -> float:
    """Return the query heads of the busiest of `tp` devices: 28 heads on 8 devices are 4 on some and 3 on others."""
    even = heads / tp
    return even if float(even).is_integer() else float(np.ceil(even))


@dataclass(frozen=True)
class Attention:
    """Softmax attention with `kv_heads` shared key/value heads and an optional sliding window (0: none)."""

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    window: int = 0
    qkv_bias: bool = False
    o_bias: bool = False
    qk_norm: str = "none"
    output_gate: bool = False
    sinks: bool = False
    rope: bool = True
    reuses_kv: bool = False

    @cached_property
    def parameters(self) -> int:
        """Weights, biases, QK norms and sinks of one layer."""
        kv = 0 if self.reuses_kv else 2 * self.kv_heads
        query = self.heads * (2 if self.output_gate else 1)
        total = self.hidden * (query + kv) * self.head_dim + self.heads * self.head_dim * self.hidden
        total += (self.heads + kv) * self.head_dim * self.qkv_bias + self.hidden * self.o_bias
        total += {"none": 0, "head": 2, "full": self.heads + self.kv_heads}[self.qk_norm] * self.head_dim
        return total + self.heads * self.sinks

    def cached_values(self, context: Real) -> Real:
        """Values one sequence keeps in the cache of one layer at this context, both of K and V."""
        if self.reuses_kv:
            return 0.0
        kept = window_context(context, float(self.window)) if self.window else context
        return 2.0 * self.kv_heads * self.head_dim * kept

    def state_bytes(self) -> float:
        """Bytes of fixed-size state per sequence: none, everything grows with the context."""
        return 0.0

    def copied(self, tp: int) -> float:
        """Parameters one of `tp` devices holds beyond its share: its copy of a KV head that several use."""
        kv = 0 if self.reuses_kv else 2 * self.kv_heads * self.head_dim
        return kv * (self.hidden + self.qkv_bias) * (1.0 / min(tp, max(1, self.kv_heads)) - 1.0 / tp)

    def ring_values(self, tp: int) -> tuple[float, float, float]:
        """Values per token of queries, outputs and cache that one of `tp` devices exchanges in context parallelism."""
        query = self.heads * self.head_dim / tp
        return query, query, 2.0 * shared_heads(self.kv_heads, tp) * self.head_dim

    @property
    def widths(self) -> tuple[int, int]:
        """Columns of the input projections and rows of the output projection."""
        query = self.heads * (2 if self.output_gate else 1) + (0 if self.reuses_kv else 2 * self.kv_heads)
        return query * self.head_dim, self.heads * self.head_dim

    def ops(self, run: Pass) -> list[Op]:
        """List the operators of one layer on one device."""
        heads, kv_heads = split_heads(self.heads, run.tp), shared_heads(self.kv_heads, run.tp)
        return [
            *self._projections(run, heads, kv_heads),
            self._position(run, heads, kv_heads),
            self._attend(run, split_heads(self.heads, run.head_split), shared_heads(self.kv_heads, run.head_split)),
            run.matmul("out_proj", Group.PROJECTIONS, heads * self.head_dim, self.hidden),
        ]

    def _projections(self, run: Pass, heads: float, kv_heads: float) -> list[Op]:
        query = heads * self.head_dim * (2 if self.output_gate else 1)
        shared = 0.0 if self.reuses_kv else kv_heads * self.head_dim
        if run.kernels.fused_qkv or not shared:
            return [run.matmul("qkv_proj", Group.PROJECTIONS, self.hidden, query + 2 * shared)]
        widths = (("q_proj", query), ("k_proj", shared), ("v_proj", shared))
        return [run.matmul(name, Group.PROJECTIONS, self.hidden, width) for name, width in widths]

    def _position(self, run: Pass, heads: float, kv_heads: float) -> Op:
        kept = kv_heads if run.head_split == run.tp else self.kv_heads / run.tp
        written = 0.0 if self.reuses_kv else 2 * kept * self.head_dim * run.precision.kv_bytes
        turned = (heads + kv_heads) * self.head_dim
        fused = run.kernels.fused_elementwise
        # Unfused rotate-half reads and writes Q and K about three times over.
        values = (
            (2.0 if fused else 6.0) * turned * run.work.tokens
            if self.rope
            else 2.0 * kv_heads * self.head_dim * run.work.tokens
        )
        launches = 1 if fused else EAGER_ROPE_LAUNCHES if self.rope else 2
        return run.elementwise(
            "rope_and_cache" if self.rope else "cache_write",
            Group.ATTENTION,
            values,
            flops=3.0 * turned * run.work.tokens if self.rope else 0.0,
            launches=launches,
            kv_bytes=written * run.work.tokens,
        )

    def pairs(self, run: Pass) -> Real:
        """Query-key pairs of one head over the whole batch."""
        work = run.seen
        if self.window:
            return work.batch * windowed_pairs(work.new, work.past, float(self.window))
        return work.batch * causal_pairs(work.new, work.past)

    def read_context(self, run: Pass) -> Real:
        """Tokens of one sequence whose K and V this pass reads from memory."""
        work = run.work
        if not self.window:
            return work.context
        return np.minimum(work.context, work.new + float(self.window) - 1.0)

    def _attend(self, run: Pass, heads: float, kv_heads: float) -> Op:
        work, precision = run.seen, run.precision
        context = self.read_context(run)
        # A window reaches into few shards of a split sequence, global attention into all.
        passes = 1 if self.window else run.kv_passes
        moved = 2.0 * work.tokens * heads * self.head_dim * precision.activation_bytes
        if not run.kernels.flash:
            moved = moved + unfused_attention_bytes(work.tokens, context, heads, precision.activation_bytes)
            if heads > kv_heads:
                moved = moved + repeated_kv_bytes(
                    work.batch * context, heads, self.head_dim, precision.activation_bytes
                )
        return Op(
            "attention",
            Group.ATTENTION,
            "attention",
            run.kernels.attention_unit,
            flops=attention_flops(self.pairs(run), heads, self.head_dim),
            activation_bytes=moved,
            kv_bytes=work.batch * context * 2.0 * kv_heads * self.head_dim * precision.kv_bytes * passes,
            launches=1 if run.kernels.flash else EAGER_ATTENTION_LAUNCHES,
            shape=(work.tokens, context, heads, kv_heads, self.head_dim, work.new),
            blocks=self._blocks(run, heads, context),
        )

    def _blocks(self, run: Pass, heads: float, context: Real) -> tuple[Real, ...]:
        # Without split-KV a decode kernel has one block per sequence and query head, and each reads its whole K and V.
        if run.kernels.split_kv or not run.kernels.flash or not (few := decodes(run)).any():
            return ()
        return run.seen.batch * heads, few * context * 2.0 * self.head_dim * run.precision.kv_bytes


@dataclass(frozen=True)
class LatentAttention:
    """Multi-head latent attention (DeepSeek): one compressed latent per token serves all heads.

    Long passes expand the latent into keys and values; decode absorbs the expansion into the query
    and attends to the latent itself. `index_top_k` > 0 adds the sparse indexer of DeepSeek V3.2.
    """

    hidden: int
    heads: int
    q_lora: int
    kv_lora: int
    rope_dim: int
    nope_dim: int
    v_dim: int
    index_heads: int = 0
    index_dim: int = 0
    index_top_k: int = 0

    @cached_property
    def parameters(self) -> int:
        """Weights and latent norms of one layer, indexer included."""
        head = self.nope_dim + self.rope_dim
        query = self.hidden * self.heads * head
        if self.q_lora:
            query = self.hidden * self.q_lora + self.q_lora + self.q_lora * self.heads * head
        latent = self.hidden * (self.kv_lora + self.rope_dim) + self.kv_lora
        expand = self.kv_lora * self.heads * (self.nope_dim + self.v_dim)
        return query + latent + expand + self.heads * self.v_dim * self.hidden + self.indexer_parameters

    @cached_property
    def indexer_parameters(self) -> int:
        """Weights of the sparse indexer alone."""
        if not self.index_heads:
            return 0
        return (
            self.q_lora * self.index_heads * self.index_dim
            + self.hidden * (self.index_dim + self.index_heads)
            + 2 * self.index_dim
        )

    def cached_values(self, context: Real) -> Real:
        """Values one sequence keeps in the cache of one layer: latent plus shared rotary key."""
        return (self.kv_lora + self.rope_dim) * context

    def state_bytes(self) -> float:
        """Bytes of fixed-size state per sequence: none."""
        return 0.0

    def copied(self, tp: int) -> float:
        """Parameters one of `tp` devices holds beyond its share: compressions and indexer serve all heads."""
        down = self.hidden * self.q_lora + self.q_lora if self.q_lora else 0
        latent = self.hidden * (self.kv_lora + self.rope_dim) + self.kv_lora
        return (down + latent + self.indexer_parameters) * (1.0 - 1.0 / tp)

    def ring_values(self, tp: int) -> tuple[float, float, float]:
        """Values per token of queries, outputs and cache that one of `tp` devices exchanges in context parallelism."""
        latent = self.kv_lora + self.rope_dim
        return self.heads * latent / tp, self.heads * self.kv_lora / tp, float(latent)

    @property
    def widths(self) -> tuple[int, int]:
        """Columns of the input projections and rows of the output projection."""
        query = self.q_lora or self.heads * (self.nope_dim + self.rope_dim)
        return query + self.kv_lora + self.rope_dim, self.heads * self.v_dim

    def ops(self, run: Pass) -> list[Op]:
        """List the operators of one layer on one device; the latent is replicated under tensor parallelism."""
        heads = split_heads(self.heads, run.tp)
        return [
            *self._queries(run, heads),
            run.matmul("kv_down", Group.PROJECTIONS, self.hidden, self.kv_lora + self.rope_dim),
            self._position(run, heads),
            *(self._indexer(run) if self.index_heads else ()),
            *self._body(run, heads),
            run.matmul("out_proj", Group.PROJECTIONS, heads * self.v_dim, self.hidden),
        ]

    def _body(self, run: Pass, heads: float) -> list[Op]:
        few = decodes(run)
        if few.all():
            return self._absorbed(run, heads)
        if not few.any():
            return self._expanded(run, heads)
        return [*only(few, self._absorbed(run, heads)), *only(~few, self._expanded(run, heads))]

    def _queries(self, run: Pass, heads: float) -> list[Op]:
        width = heads * (self.nope_dim + self.rope_dim)
        if not self.q_lora:
            return [run.matmul("q_proj", Group.PROJECTIONS, self.hidden, width)]
        return [
            run.matmul("q_down", Group.PROJECTIONS, self.hidden, self.q_lora),
            run.matmul("q_up", Group.PROJECTIONS, self.q_lora, width),
        ]

    def _position(self, run: Pass, heads: float) -> Op:
        tokens = run.work.tokens
        turned = (heads + 1.0) * self.rope_dim
        values = 2.0 * (turned + self.kv_lora) * tokens
        written = (self.kv_lora + self.rope_dim) * run.precision.kv_bytes * tokens
        launches = 2 if run.kernels.fused_elementwise else EAGER_ROPE_LAUNCHES
        return run.elementwise(
            "rope_and_cache", Group.ATTENTION, values, flops=3.0 * turned * tokens, launches=launches, kv_bytes=written
        )

    def _indexer(self, run: Pass) -> list[Op]:
        work = run.seen
        score_flops = 2.0 * self.index_heads * self.index_dim * work.batch * causal_pairs(work.new, work.past)
        # The indexer keeps its own FP8 key of index_dim values per token.
        return [
            run.matmul("index_query", Group.PROJECTIONS, self.q_lora, self.index_heads * self.index_dim),
            run.matmul("index_key", Group.PROJECTIONS, self.hidden, self.index_dim + self.index_heads, wide=True),
            Op(
                "index_scores",
                Group.ATTENTION,
                "attention",
                "linear",
                flops=score_flops,
                kv_bytes=work.batch * work.context * self.index_dim,
                shape=(work.tokens, work.context, float(self.index_heads), 1.0, float(self.index_dim), work.new),
            ),
        ]

    def _sparse(self, run: Pass) -> tuple[Real, Real]:
        # Pairs per head and tokens read per sequence, after the indexer's choice.
        work = run.seen
        if not self.index_top_k:
            return work.batch * causal_pairs(work.new, work.past), work.context
        kept = float(self.index_top_k)
        read = np.minimum(work.context, work.new * kept)
        return work.batch * windowed_pairs(work.new, work.past, kept), read

    def _absorbed(self, run: Pass, heads: float) -> list[Op]:
        work, precision = run.seen, run.precision
        pairs, read = self._sparse(run)
        own, heads = heads, self.heads / run.head_split
        latent = self.kv_lora + self.rope_dim
        moved = work.tokens * heads * (latent + self.kv_lora) * precision.activation_bytes
        if not run.kernels.flash:
            moved = moved + unfused_attention_bytes(work.tokens, read, heads, precision.activation_bytes)
        attend = Op(
            "attention",
            Group.ATTENTION,
            "attention",
            run.kernels.attention_unit,
            flops=2.0 * pairs * heads * (latent + self.kv_lora),
            activation_bytes=moved,
            kv_bytes=work.batch * read * latent * precision.kv_bytes * run.kv_passes,
            launches=1 if run.kernels.flash else EAGER_ATTENTION_LAUNCHES,
            shape=(work.tokens, read, heads, 1.0, float(latent), work.new),
        )
        return [
            self._per_head(run, "absorb_query", own, self.nope_dim, self.kv_lora),
            attend,
            self._per_head(run, "expand_value", own, self.kv_lora, self.v_dim),
        ]

    def _per_head(self, run: Pass, name: str, heads: float, k: int, n: int) -> Op:
        # A batched product: every head has its own k x n matrix.
        op = run.matmul(name, Group.PROJECTIONS, float(k), heads * n)
        moved = run.work.tokens * heads * (k + n) * run.precision.activation_bytes
        return Op(name, op.group, op.kind, op.unit, 1.0, op.flops, op.weight_bytes, moved, launches=1, shape=op.shape)

    def _expanded(self, run: Pass, heads: float) -> list[Op]:
        work, precision = run.seen, run.precision
        pairs, read = self._sparse(run)
        heads = self.heads / run.head_split
        # Ring attention hands the latents on: every device expands all of them.
        rows = work.batch * work.context * run.kv_passes
        head = self.nope_dim + self.rope_dim
        expand = run.matmul("kv_up", Group.PROJECTIONS, self.kv_lora, heads * (self.nope_dim + self.v_dim), rows=rows)
        moved = work.tokens * heads * (head + self.v_dim) * precision.activation_bytes
        keys = work.batch * read * heads * (head + self.v_dim) * precision.activation_bytes * run.kv_passes
        if not run.kernels.flash:
            moved = moved + unfused_attention_bytes(work.tokens, read, heads, precision.activation_bytes)
        attend = Op(
            "attention",
            Group.ATTENTION,
            "attention",
            run.kernels.attention_unit,
            flops=2.0 * pairs * heads * (head + self.v_dim),
            activation_bytes=moved + keys,
            kv_bytes=work.batch * work.past * (self.kv_lora + self.rope_dim) * precision.kv_bytes * run.kv_passes,
            launches=1 if run.kernels.flash else EAGER_ATTENTION_LAUNCHES,
            shape=(work.tokens, read, heads, heads, float(head), work.new),
        )
        return [expand, attend]
