"""From dimensions to layers: identical layers are counted, not repeated."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from perfmodel.attention import Attention, LatentAttention
from perfmodel.dimensions import Dimensions
from perfmodel.ffn import DenseFFN, MoE
from perfmodel.ssm import StateSpace

Mixer: TypeAlias = Attention | LatentAttention | StateSpace
FFN: TypeAlias = DenseFFN | MoE


@dataclass(frozen=True, slots=True)
class Block:
    """`count` identical layers of one mixer and one feed-forward block; either may be missing."""

    count: int
    mixer: Mixer | None
    ffn: FFN | None
    norms: int

    @property
    def routed(self) -> bool:
        """Whether the feed-forward block is a mixture of experts."""
        return isinstance(self.ffn, MoE)

    @property
    def label(self) -> str:
        """What tells this kind of layer from the others of the model."""
        names = [type(part).__name__ for part in (self.mixer, self.ffn) if part]
        if isinstance(self.mixer, Attention) and self.mixer.window:
            names[0] = f"Window {self.mixer.window}"
        return " + ".join(names)


def _mixer(d: Dimensions, code: str, reuses_kv: bool) -> Mixer | None:
    if code == "-":
        return None
    if code in "MSD":
        heads, groups = max(1, d.ssm_heads), max(1, d.ssm_groups)
        return StateSpace(code, d.hidden, heads, d.ssm_head_dim, d.ssm_state, groups, d.ssm_conv, d.ssm_dt_rank)
    if d.kv_lora:
        return LatentAttention(
            d.hidden,
            d.heads,
            d.q_lora,
            d.kv_lora,
            d.rope_dim,
            d.nope_dim,
            d.v_dim,
            d.index_heads,
            d.index_dim,
            d.index_top_k,
        )
    return Attention(
        hidden=d.hidden,
        heads=d.heads,
        kv_heads=d.kv_heads,
        head_dim=d.head_dim,
        window=d.window if code == "L" else 0,
        qkv_bias=d.qkv_bias,
        o_bias=d.o_bias,
        qk_norm=d.qk_norm,
        output_gate=d.output_gate,
        sinks=d.sinks,
        rope=d.position_rows == 0,
        reuses_kv=reuses_kv,
    )


def _ffn(d: Dimensions, code: str) -> FFN | None:
    if code == "e":
        return MoE(
            d.hidden, d.experts, d.top_k, d.expert_ffn, d.shared_ffn, d.gated, d.ffn_bias, d.shared_gate, d.router_bias
        )
    return DenseFFN(d.hidden, d.ffn, d.gated, d.ffn_bias) if code == "d" and d.ffn else None


@lru_cache(maxsize=512)
def blocks(d: Dimensions) -> tuple[Block, ...]:
    """Return the distinct kinds of layer with their counts, in the order in which they first appear."""
    first_reuse = d.layers - d.shared_kv_layers
    codes = Counter((mixer, ffn, i >= first_reuse) for i, (mixer, ffn) in enumerate(d.pattern()))
    found = []
    for (mixer_code, ffn_code, reuses_kv), count in codes.items():
        mixer, ffn = _mixer(d, mixer_code, reuses_kv), _ffn(d, ffn_code)
        norms = d.layer_norms if mixer and ffn else 1
        found.append(Block(count, mixer, ffn, norms))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameter counts by part; `total` counts tied embeddings once, `active` only what one token passes."""

    embedding: int
    head: int
    attention: int
    ffn: int
    ffn_active: int
    norms: int

    @property
    def total(self) -> int:
        """All stored parameters."""
        return self.embedding + self.head + self.attention + self.ffn + self.norms

    @property
    def active(self) -> int:
        """Total without the experts that a token is not routed to."""
        return self.total - self.ffn + self.ffn_active

    @property
    def linear_active(self) -> int:
        """Active parameters of the layers and the LM head, without the embedding gather."""
        return self.active - self.embedding - self.norms


@lru_cache(maxsize=512)
def parameters(d: Dimensions) -> Parameters:
    """Count the parameters of a model exactly, norms, biases and positions included."""
    norm = d.hidden * (2 if d.norm_bias else 1)
    layers = blocks(d)
    return Parameters(
        embedding=d.vocab * d.hidden + d.position_rows * d.hidden,
        head=(0 if d.tied_embeddings else d.vocab * d.hidden) + d.vocab * d.head_bias,
        attention=sum(b.count * b.mixer.parameters for b in layers if b.mixer),
        ffn=sum(b.count * b.ffn.parameters for b in layers if b.ffn),
        ffn_active=sum(b.count * b.ffn.active_parameters for b in layers if b.ffn),
        norms=norm * (sum(b.count * b.norms for b in layers) + 1 + d.embedding_norm),
    )
