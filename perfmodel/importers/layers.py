"""Which layer does what: windows and patterns along the depth, experts, state-space layers."""

from __future__ import annotations

from math import ceil
from typing import Any

from perfmodel.importers.parts import FFN, dense
from perfmodel.importers.reader import Reader, bounds, in_range
from perfmodel.importers.text import shown

WINDOW = (
    "sliding_window",
    "sliding_window_size",
    "attention_chunk_size",
    "attn_config.sliding_window_size",
    "window_size",
)
LAYER_LISTS = ("layer_types", "layers_block_type", "attn_type_list")
#: What an entry of such a list means; "S" stands for the state space of the family.
LAYER_TYPES = {
    "full_attention": "G", "attention": "G", "global_attention": "G", "global": "G",
    "sliding_attention": "L", "chunked_attention": "L", "local_attention": "L", "local": "L",
    "linear_attention": "D", "gated_delta_net": "D", "mamba": "S", "mamba2": "S",
}  # fmt: skip
EXPERTS = ("num_local_experts", "n_routed_experts", "num_experts", "moe_num_experts", "ffn_config.moe_num_experts")
TOP_K = (
    "num_experts_per_tok", "num_experts_per_token", "experts_per_token", "moe_top_k", "moe_topk", "moe_k",
    "top_k_experts", "ffn_config.moe_top_k",
)  # fmt: skip
EXPERT_FFN = ("moe_intermediate_size", "expert_intermediate_size", "expert_ffn_hidden_size", "moe_ffn_hidden_size")
SHARED_FFN = ("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", "shared_intermediate_size")
DEEPEST = bounds("layers")[1]
SHARED = ("n_shared_experts", "num_shared_experts", "num_shared_expert", "moe_num_shared_experts")


def period(codes: str) -> str:
    """Return the shortest pattern that gives these codes when repeated over the depth, at least twice.

    >>> period("LLGLLGLL"), period("GGG"), period("GL-GL")
    ('LLG', 'G', 'GL-GL')
    """
    lengths = range(1, len(codes) // 2 + 1)
    return next((codes[:n] for n in lengths if (codes[:n] * ceil(len(codes) / n))[: len(codes)] == codes), codes)


def mixers(r: Reader) -> str:
    """Read what each layer does along the sequence; keep the pattern and return one code per layer."""
    layers = r.values["layers"]
    window = _window(r)
    if "mixers" in r.values:
        codes = str(r.values["mixers"] * layers)[:layers]
    else:
        codes, why, said = _pattern(r, layers, window)
        if "L" in codes and not window:
            codes, why = codes.replace("L", "G"), f"{why}; but {WINDOW[0]} is absent, so every layer is global"
        if set(codes) != {"G"} or said:
            (r.put if said else r.assume)("mixers", period(codes), why)
    if "L" in codes:
        r.whole("window", *WINDOW)
    elif window:
        r.find(*WINDOW)
    return codes


def _window(r: Reader) -> int:
    given = r.number(0, bounds("window")[1], *WINDOW)
    if given is None or given.value == 0 or r.flag("use_sliding_window") is False:
        return 0
    if given.value >= r.values["max_context"]:
        r.note(f"{given.key}={given.value:,} is no shorter than the context: every layer counts as global")
        return 0
    return int(given.value)


def _pattern(r: Reader, layers: int, window: int) -> tuple[str, str, bool]:
    """Return one code per layer, the reason, and whether the file says it."""
    every = r.number(1, DEEPEST, "sliding_window_pattern", "_sliding_window_pattern")
    first = r.number(0, 1_000_000, "max_window_layers")
    linear = r.number(1, DEEPEST, "full_attention_interval")
    listed = r.per_layer(layers, *LAYER_LISTS)
    if listed:
        return _listed(r, *listed), listed[0], True
    if linear:
        why = f"{linear.key}: every {linear.value}th layer attends"
        return _every(linear.value, "D", layers), why, not linear.assumed
    if not window:
        return "G" * layers, "no window", False
    if every:
        why = f"{every.key}: every {every.value}th layer is global"
        return _every(every.value, "L", layers), why, not every.assumed
    if r.family.mixers:
        return (r.family.mixers * layers)[:layers], f"{r.family.name}: its code, not config.json, says so", False
    if first:
        why = f"{first.key}: the layers from {first.value} on are local"
        return ("G" * min(first.value, layers) + "L" * layers)[:layers], why, not first.assumed
    return "L" * layers, f"a window and no list of layers: all are local ({r.family.name})", False


def _every(step: int, other: str, layers: int) -> str:
    return "".join("G" if (i + 1) % step == 0 else other for i in range(layers))


def _listed(r: Reader, key: str, entries: list[Any]) -> str:
    codes = []
    for index, entry in enumerate(entries):
        if key == "attn_type_list":
            code = {0: "D", 1: "G"}.get(entry) if isinstance(entry, int) else None
        else:
            code = LAYER_TYPES.get(entry) if isinstance(entry, str) else None
        if code is None:
            allowed = "0 or 1" if key == "attn_type_list" else ", ".join(LAYER_TYPES)
            raise ValueError(
                f"{key}[{index}]={shown(entry)} cannot be expressed here; known kinds of layer are {allowed}"
            )
        codes.append(r.family.state if code == "S" else code)
    return "".join(codes)


def experts(r: Reader, codes: str) -> None:
    """Read the experts and on which layers they are; layers without a feed-forward block keep their "-"."""
    layers = len(codes)
    given = r.number(*bounds("experts"), *EXPERTS)
    count = given.value if given else 0
    # One expert is a dense block that everybody passes (Jamba tiny, dense Granite 4).
    sparse = _sparse_layers(r, layers) if count > 1 else [False] * layers
    if "ffns" in r.values:
        sparse = [code == "e" and count > 1 for code in (r.values["ffns"] * layers)[:layers]]
    if not any(sparse):
        r.find(*TOP_K, *EXPERT_FFN, *SHARED, *SHARED_FFN)
        if "ffns" not in r.values or "d" in r.values["ffns"]:
            dense(r)
        return
    r.whole("experts", *EXPERTS)
    top_k = r.need("top_k", *TOP_K)
    if top_k > count:
        raise ValueError(f"{r.keys['top_k']}={top_k} is more than {r.keys['experts']}={count}")
    _widths(r)
    if "ffns" not in r.values:
        _place(r, sparse)
    if r.values.get("dense_layers") or "d" in r.values.get("ffns", ""):
        dense(r)
    elif r.find(*FFN):
        r.note("Every layer has experts, so a dense width in the file is not used")


def _place(r: Reader, sparse: list[bool]) -> None:
    leading = sparse.index(True)
    why = "the layers with experts"
    if all(sparse[leading:]):
        if leading:
            r.put("dense_layers", leading, "the leading layers without experts", "first_k_dense_replace")
    else:
        r.put("ffns", period("".join("e" if here else "d" for here in sparse)), why)


def _widths(r: Reader) -> None:
    if not r.whole("expert_ffn", *EXPERT_FFN):
        r.forget("expert_ffn")
        r.need("expert_ffn", *FFN[1:])
    shared = r.number(0, 1024, *SHARED)
    if r.whole("shared_ffn", *SHARED_FFN):
        return
    r.forget("shared_ffn")
    if shared and shared.value:
        why = f"{shared.key} x {r.keys['expert_ffn']}"
        r.put("shared_ffn", in_range("shared_ffn", shared.value * r.values["expert_ffn"], why), why)


def _sparse_layers(r: Reader, layers: int) -> list[bool]:
    """Return whether each layer has experts: every key that the families use, all of which must agree."""
    leading = r.number(0, layers, "first_k_dense_replace", "moe_layer_start_index")
    first = leading.value if leading else 0
    offset = r.number(0, DEEPEST, "expert_layer_offset")
    turn = _step(r, "expert_layer_period")
    steps = [_step(r, key) for key in ("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_interval")]
    excluded = r.indices(layers, "mlp_only_layers")
    included = r.indices(layers, "moe_layers")
    named = r.per_layer(layers, "mlp_layer_types")
    frequency = r.find("moe_layer_freq")
    listed = r.per_layer(layers, "moe_layer_freq") if frequency and isinstance(frequency.value, list) else None
    every = 1 if listed else _step(r, "moe_layer_freq")

    def sparse(i: int) -> bool:
        if i < first or i in excluded or (included and i not in included):
            return False
        if (named and named[1][i] == "dense") or (listed and not listed[1][i]):
            return False
        regular = i % turn == (offset.value if offset else 0) and i % every == 0
        return regular and all((i + 1) % step == 0 for step in steps)

    return [sparse(i) for i in range(layers)]


def _step(r: Reader, key: str) -> int:
    given = r.number(1, DEEPEST, key)
    return int(given.value) if given else 1


def state_space(r: Reader, codes: str) -> None:
    """Read the sizes of the recurrent layers, of whichever kind the model has."""
    kinds = set(codes) & set("MSD")
    if len(kinds) > 1:
        raise ValueError("layer_types mixes two kinds of recurrent layers, which cannot be expressed here")
    if "D" in kinds and "ssm_heads" not in r.values:
        r.need("ssm_heads", "linear_num_value_heads")
        r.need("ssm_head_dim", "linear_value_head_dim")
        r.need("ssm_state", "linear_key_head_dim")
        r.need("ssm_groups", "linear_num_key_heads")
        r.need("ssm_conv", "linear_conv_kernel_dim")
    if "S" in kinds:
        r.need("ssm_heads", "mamba_num_heads", "mamba_n_heads", "num_heads")
        r.need("ssm_head_dim", "mamba_head_dim", "mamba_d_head")
        r.need("ssm_state", "ssm_state_size", "mamba_d_state", "mamba_state_dim", "state_size")
        r.need("ssm_groups", "n_groups", "mamba_n_groups", "mamba_num_groups")
        r.need("ssm_conv", "conv_kernel", "mamba_d_conv")
    if "M" in kinds:
        _mamba(r)


def _mamba(r: Reader) -> None:
    expand = r.number(1, 64, "mamba_expand", "expand")
    times = expand.value if expand else 2
    r.assume("ssm_heads", 1, "Mamba-1 has one head of the inner width")
    why = f"mamba_expand x {r.keys['hidden']}"
    r.put("ssm_head_dim", in_range("ssm_head_dim", times * r.values["hidden"], why), why)
    r.need("ssm_state", "mamba_d_state", "ssm_state_size", "state_size")
    r.need("ssm_conv", "mamba_d_conv", "conv_kernel")
    rank = r.find("mamba_dt_rank", "time_step_rank")
    if rank is None or rank.value == "auto":
        r.assume("ssm_dt_rank", ceil(r.values["hidden"] / 16), "mamba_dt_rank is automatic: hidden / 16")
    r.need("ssm_dt_rank", "mamba_dt_rank", "time_step_rank")
