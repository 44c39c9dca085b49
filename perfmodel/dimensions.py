"""The shape of a model as one flat record: the same fields in spec files, links, JSON rows and sliders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

#: Mixer codes of `mixers`: what a layer does along the sequence.
MIXERS = {
    "G": "global attention",
    "L": "local (sliding-window) attention",
    "M": "Mamba-1 state space",
    "S": "Mamba-2 state space",
    "D": "gated DeltaNet linear attention",
    "-": "none",
}
#: Codes of `ffns`: what a layer does per token.
FFNS = {"d": "dense", "e": "mixture of experts", "-": "none"}


@dataclass(frozen=True, slots=True)
class Key:
    """What a field needs beyond its type: the link key, the unit and one line of help."""

    key: str
    unit: str = ""
    help: str = ""


def _int(low: int, high: int) -> Any:
    return Field(ge=low, le=high)


_WIDTH, _COUNT, _OFF_WIDTH, _OFF_COUNT = _int(1, 1_048_576), _int(1, 4096), _int(0, 1_048_576), _int(0, 4096)


class Dimensions(BaseModel):
    """Every number that fixes a decoder's parameters, FLOPs and bytes. Zero means "has none"."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    layers: Annotated[int, _int(1, 1024), Key("layers", "layers", "transformer layers (depth)")]
    hidden: Annotated[int, _WIDTH, Key("hidden", "features", "width of the residual stream, d")]
    vocab: Annotated[int, _int(1, 10_000_000), Key("vocab", "tokens", "vocabulary size")]
    heads: Annotated[int, _OFF_COUNT, Key("heads", "heads", "query heads")] = 0
    kv_heads: Annotated[int, _OFF_COUNT, Key("kvh", "heads", "key/value heads: = heads is MHA, 1 is MQA")] = 0
    head_dim: Annotated[int, _int(0, 65_536), Key("hd", "features", "size of one head; not always hidden / heads")] = 0
    ffn: Annotated[int, _OFF_WIDTH, Key("ffn", "features", "inner width of the dense feed-forward block")] = 0
    gated: Annotated[bool, Key("gated", "", "gated FFN (SwiGLU/GeGLU, three matrices) or plain (two)")] = True
    tied_embeddings: Annotated[bool, Key("tied", "", "LM head shares the embedding matrix")] = False
    max_context: Annotated[int, _int(1, 1_000_000_000), Key("ctx", "tokens", "longest context the model allows")] = (
        131072
    )
    # Layer patterns, repeated over the depth
    mixers: Annotated[str, Key("mix", "", "sequence mixer per layer, repeated: G L M S D -")] = "G"
    ffns: Annotated[str, Key("ffns", "", "feed-forward per layer, repeated: d e -; empty: e if experts else d")] = ""
    window: Annotated[int, _int(0, 1_000_000_000), Key("win", "tokens", "window of local layers")] = 0
    # Mixture of experts
    experts: Annotated[int, _int(0, 65_536), Key("experts", "experts", "routed experts per MoE layer")] = 0
    top_k: Annotated[int, _int(0, 65_536), Key("topk", "experts", "routed experts per token")] = 0
    expert_ffn: Annotated[int, _OFF_WIDTH, Key("effn", "features", "inner width of one routed expert")] = 0
    shared_ffn: Annotated[int, _OFF_WIDTH, Key("sffn", "features", "total inner width of the shared experts")] = 0
    shared_gate: Annotated[bool, Key("sgate", "", "shared expert has a learned gate (hidden x 1)")] = False
    router_bias: Annotated[bool, Key("rbias", "", "router has a bias per expert")] = False
    dense_layers: Annotated[int, _int(0, 1024), Key("dense", "layers", "leading layers with a dense FFN")] = 0
    # Multi-head latent attention (DeepSeek)
    q_lora: Annotated[int, _OFF_WIDTH, Key("qlora", "features", "MLA query compression; 0: full rank")] = 0
    kv_lora: Annotated[int, _OFF_WIDTH, Key("kvlora", "features", "MLA latent; 0: no MLA")] = 0
    rope_dim: Annotated[int, _int(0, 65_536), Key("rope", "features", "MLA rotary part of a head, shared key")] = 0
    nope_dim: Annotated[int, _int(0, 65_536), Key("nope", "features", "MLA part of a head without position")] = 0
    v_dim: Annotated[int, _int(0, 65_536), Key("vdim", "features", "MLA value size of a head")] = 0
    # Sparse attention (DeepSeek V3.2 indexer)
    index_heads: Annotated[int, _OFF_COUNT, Key("ixh", "heads", "indexer heads; 0: dense attention")] = 0
    index_dim: Annotated[int, _int(0, 65_536), Key("ixd", "features", "size of an indexer head")] = 0
    index_top_k: Annotated[int, _int(0, 10_000_000), Key("ixk", "tokens", "tokens the indexer keeps")] = 0
    # State space and linear attention
    ssm_heads: Annotated[int, _OFF_COUNT, Key("sh", "heads", "Mamba-2 heads, or DeltaNet value heads")] = 0
    ssm_head_dim: Annotated[int, _OFF_WIDTH, Key("shd", "features", "channels per SSM head (Mamba-1: inner width)")] = 0
    ssm_state: Annotated[int, _int(0, 65_536), Key("sst", "features", "state size N (DeltaNet: key size)")] = 0
    ssm_groups: Annotated[int, _OFF_COUNT, Key("sg", "groups", "B/C groups (DeltaNet: key heads)")] = 0
    ssm_conv: Annotated[int, _int(0, 64), Key("scv", "taps", "causal convolution width")] = 0
    ssm_dt_rank: Annotated[int, _OFF_WIDTH, Key("sdt", "features", "Mamba-1 rank of dt")] = 0
    # Small print: norms, biases, positions
    qkv_bias: Annotated[bool, Key("qkvb", "", "bias on Q, K, V")] = False
    o_bias: Annotated[bool, Key("ob", "", "bias on the output projection")] = False
    ffn_bias: Annotated[bool, Key("fb", "", "bias on the FFN or expert matrices")] = False
    head_bias: Annotated[bool, Key("hb", "", "bias on the LM head")] = False
    norm_bias: Annotated[bool, Key("nb", "", "LayerNorm with bias (two vectors) or RMSNorm (one)")] = False
    layer_norms: Annotated[int, _int(0, 8), Key("norms", "norms", "norms in a full layer")] = 2
    embedding_norm: Annotated[bool, Key("en", "", "norm after the embedding")] = False
    qk_norm: Annotated[Literal["none", "head", "full"], Key("qkn", "", "norm on Q and K: per head or full width")] = (
        "none"
    )
    output_gate: Annotated[bool, Key("og", "", "attention output gate: doubles the Q projection")] = False
    sinks: Annotated[bool, Key("sinks", "", "one learned attention sink per head")] = False
    parallel_block: Annotated[bool, Key("par", "", "attention and FFN read the same input")] = False
    shared_kv_layers: Annotated[int, _int(0, 1024), Key("skv", "layers", "layers that reuse another layer's KV")] = 0
    position_rows: Annotated[int, _int(0, 100_000_000), Key("pos", "rows", "learned position embeddings")] = 0

    @field_validator("*", mode="before")
    @classmethod
    def _no_bool_as_number(cls, value: Any, info: Any) -> Any:
        numeric = cls.model_fields[info.field_name].annotation is int
        if numeric and isinstance(value, bool):
            raise ValueError("a number is needed, not true/false")
        return value

    @field_validator("mixers", "ffns")
    @classmethod
    def _known_codes(cls, value: str, info: Any) -> str:
        codes = MIXERS if info.field_name == "mixers" else FFNS
        if len(value) > 1024 or set(value) - set(codes):
            raise ValueError(f"at most 1024 characters out of {' '.join(codes)}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.mixers:
            raise ValueError("mixers is empty; 'G' means attention in every layer")
        if {"G", "L"} & set(self.mixers) and not self.kv_lora:
            self._require_heads()
        if self.kv_lora and not (self.heads and self.nope_dim + self.rope_dim and self.v_dim):
            raise ValueError("kv_lora (MLA) needs heads, nope_dim or rope_dim, and v_dim above 0")
        if "L" in self.mixers and not self.window:
            raise ValueError("mixers has local layers (L) but window is 0; give window or use G")
        if {"M", "S", "D"} & set(self.mixers) and not (self.ssm_head_dim and self.ssm_state):
            raise ValueError("state-space layers (M, S, D) need ssm_head_dim and ssm_state above 0")
        if self.index_heads and not (self.index_dim and self.index_top_k and self.q_lora):
            raise ValueError("index_heads needs index_dim, index_top_k and q_lora above 0")
        return self

    @model_validator(mode="after")
    def _routed(self) -> Self:
        if self.experts and not (0 < self.top_k <= self.experts and self.expert_ffn):
            raise ValueError(f"experts={self.experts} needs top_k from 1 to {self.experts} and expert_ffn above 0")
        if "e" in self.ffns and not self.experts:
            raise ValueError("ffns has expert layers (e) but experts is 0")
        return self

    def _require_heads(self) -> None:
        if not (self.heads and self.kv_heads and self.head_dim):
            raise ValueError("attention needs heads, kv_heads and head_dim above 0")
        if self.heads % self.kv_heads:
            divisors = ", ".join(str(k) for k in range(1, self.heads + 1) if self.heads % k == 0)
            raise ValueError(f"kv_heads={self.kv_heads} does not divide heads={self.heads}; try {divisors}")

    def pattern(self) -> tuple[tuple[str, str], ...]:
        """Return (mixer code, FFN code) for every layer, in order."""
        ffns = self.ffns or ("e" if self.experts else "d")
        mixer = [self.mixers[i % len(self.mixers)] for i in range(self.layers)]
        feed = ["d" if i < self.dense_layers else ffns[i % len(ffns)] for i in range(self.layers)]
        return tuple(zip(mixer, feed, strict=True))

    @classmethod
    def keys(cls) -> dict[str, Key]:
        """Return the link key, unit and help of every field, by field name."""
        found = {}
        for name, field in cls.model_fields.items():
            found[name] = next(item for item in field.metadata if isinstance(item, Key))
        return found
