"""What the code of a family of models decides and its config.json does not say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: What a true/false of config.json means, unless the family says otherwise: fields of `Dimensions`.
FLAGS: Mapping[str, tuple[str, ...]] = {
    "attention_bias": ("qkv_bias", "o_bias"),
    "attn_bias": ("qkv_bias", "o_bias"),
    "qkv_bias": ("qkv_bias",),
    "use_qkv_bias": ("qkv_bias",),
    "add_qkv_bias": ("qkv_bias",),
    "mlp_bias": ("ffn_bias",),
    "use_bias": ("qkv_bias", "o_bias", "ffn_bias"),
    "bias": ("qkv_bias", "o_bias", "ffn_bias"),
    "enable_bias": ("qkv_bias", "o_bias", "ffn_bias"),
    "lm_head_bias": ("head_bias",),
    "use_parallel_residual": ("parallel_block",),
    "use_routing_bias": ("router_bias",),
    "attn_output_gate": ("output_gate",),
    "tie_word_embeddings": ("tied_embeddings",),
}


@dataclass(frozen=True)
class Family:
    """One way of building a decoder.

    `types`: the values of model_type. `built`: fields of `Dimensions` as the code builds them, where the file
    does not say. `defaults`: keys of config.json that the code fills in when absent. `sizes`: the same for the
    sizes, of which only a nested part such as text_config may leave out those that equal the default.
    `flags`: what a true/false means here, over `FLAGS`. `qk`: what kind of QK norm its flag switches on.
    `mixers`: the pattern of layers when there is a window and no list. `ffn_times`: inner width over hidden when
    absent. `positions`: rows of learned positions beyond the context; None: no table. `state`: code of its
    state-space layers. `read`: reads what only this family has, before anything else.
    """

    name: str
    types: tuple[str, ...]
    built: Mapping[str, Any]
    defaults: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, Any] = field(default_factory=dict)
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    qk: str = "head"
    mixers: str = ""
    ffn_times: int = 0
    positions: int | None = None
    state: str = "S"
    # Takes a Reader, which itself knows its family.
    read: Callable[[Any], None] | None = None

    def __hash__(self) -> int:
        return hash(self.name)
