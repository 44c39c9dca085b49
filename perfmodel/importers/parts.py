"""The parts of a decoder as config.json names them, whatever the family."""

from __future__ import annotations

from perfmodel.importers.family import FLAGS
from perfmodel.importers.reader import Reader, in_range
from perfmodel.importers.text import shown

LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
HIDDEN = ("hidden_size", "n_embd", "d_model", "n_embed", "dim", "model_dim")
VOCAB = ("vocab_size", "padded_vocab_size")
CONTEXT = (
    "max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length", "model_max_length",
    "n_ctx",
)  # fmt: skip
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
KV_HEADS = (
    "num_key_value_heads", "num_kv_heads", "n_head_kv", "n_kv_heads", "attn_config.kv_n_heads", "multi_query_group_num",
    "num_query_groups",
)  # fmt: skip
HEAD_DIM = ("head_dim", "attention_head_dim", "kv_channels", "head_size")
FFN = (
    "intermediate_size_mlp", "intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner", "inner_hidden_size", "d_ff",
    "ffn_config.ffn_hidden_size",
)  # fmt: skip
QK_NORM = ("use_qk_norm", "qk_layernorm", "qk_norm", "attn_config.qk_ln", "qk_ln")
GATED_ACTS = ("silu", "swish", "swiglu", "geglu", "reglu", "glu")


def sizes(r: Reader) -> None:
    """Read depth, width, vocabulary and context."""
    r.need("layers", *LAYERS)
    r.need("hidden", *HIDDEN)
    r.need("vocab", *VOCAB)
    if r.whole("max_context", *CONTEXT) is None:
        r.assume("max_context", 131_072, f"{CONTEXT[0]} is absent")


def attention(r: Reader) -> None:
    """Read heads, KV heads and head size, or the latent of MLA."""
    r.need("heads", *HEADS)
    if r.whole("kv_lora", "kv_lora_rank"):
        return latent(r)
    if r.whole("kv_heads", *KV_HEADS) is None:
        r.assume("kv_heads", r.values["heads"], f"{KV_HEADS[0]} is absent: every query head has its own")
    _head_dim(r)
    heads, shared = r.values["heads"], r.values["kv_heads"]
    if not shared or heads % shared:
        divisors = ", ".join(str(k) for k in range(1, heads + 1) if heads % k == 0)
        raise ValueError(f"{r.keys['kv_heads']}={shared} does not divide {r.keys['heads']}={heads}; try {divisors}")
    return None


def _head_dim(r: Reader) -> None:
    if r.whole("head_dim", *HEAD_DIM) is not None:
        r.need("head_dim", *HEAD_DIM)
        return
    hidden, heads = r.values["hidden"], r.values["heads"]
    if hidden % heads:
        raise ValueError(
            f"head_dim is missing and {r.keys['hidden']}={hidden:,} is not a multiple of {r.keys['heads']}={heads}; "
            "give head_dim as a whole number above 0"
        )
    r.assume("head_dim", hidden // heads, f"head_dim is absent: {r.keys['hidden']} / {r.keys['heads']}")


def latent(r: Reader) -> None:
    """Read multi-head latent attention and its sparse indexer; KV heads play no part in it."""
    r.find(*KV_HEADS, *HEAD_DIM, "qk_head_dim")
    for field, key in (("rope_dim", "qk_rope_head_dim"), ("nope_dim", "qk_nope_head_dim"), ("v_dim", "v_head_dim")):
        r.need(field, key)
    r.whole("q_lora", "q_lora_rank")
    if r.whole("index_top_k", "index_topk"):
        r.need("index_heads", "index_n_heads")
        r.need("index_dim", "index_head_dim")
        r.need("q_lora", "q_lora_rank")


def dense(r: Reader) -> None:
    """Read the inner width of the dense feed-forward block; it must be there."""
    if r.whole("ffn", *FFN) is None and r.family.ffn_times:
        times = r.family.ffn_times
        why = f"{FFN[1]} is absent: {times} x {r.keys['hidden']} ({r.family.name})"
        r.assume("ffn", in_range("ffn", times * r.values["hidden"], why), why)
    r.need("ffn", *FFN[1:])


def gate(r: Reader) -> None:
    """Tell a gated feed-forward block from a plain one by the family, else by its activation."""
    act = r.find("hidden_act", "hidden_activation", "activation_function", "activation", "mlp_hidden_act", "ffn_act_fn")
    if "gated" in r.values or "gated" in r.family.built:
        return
    name = str(act.value).lower() if act else "absent"
    gated = act is None or any(part in name for part in GATED_ACTS)
    r.assume(
        "gated",
        gated,
        f"{act.key if act else 'hidden_act'} is {shown(name, 20)}: {'three' if gated else 'two'} matrices",
    )


def flags(r: Reader) -> None:
    """Read the true/false keys: biases, ties and other small print."""
    for key, fields in (dict(FLAGS) | dict(r.family.flags)).items():
        value = r.flag(key)
        for name in fields if value is not None else ():
            if name in r.values:
                continue
            if key in r.table:
                r.put(name, value, key)
            else:
                r.assume(name, value, f"{key} is absent; {r.family.name} then has {str(value).lower()}")
    switched = r.flag(*QK_NORM)
    if switched is not None and "qk_norm" not in r.values:
        key = next((key for key in QK_NORM if key in r.table), QK_NORM[0])
        r.put("qk_norm", r.family.qk if switched else "none", key)


def built(r: Reader) -> None:
    """Fill in what the family's code decides where the file did not."""
    for name, value in r.family.built.items():
        r.assume(name, value, f"{r.family.name}: its code, not config.json, says so")


def positions(r: Reader) -> None:
    """Add the table of learned positions that some families have."""
    extra = r.family.positions
    if extra is None or "position_rows" in r.values:
        return
    why = f"one learned row per position{f', and {extra} more' if extra else ''} ({r.family.name})"
    r.assume("position_rows", r.values["max_context"] + extra, why)
