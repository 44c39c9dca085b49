"""Attention and context: fused kernels, fewer heads, windows, less to read."""

from __future__ import annotations

import re
from typing import Any

from perfmodel.cures.cure import Change, Cure, do, no
from perfmodel.estimate import cached_estimate
from perfmodel.scenario import CUSTOM, Scenario

#: The window that full attention is cut to: that of Mistral 7B v0.1.
WINDOW = 4096
#: Query heads that share one key/value head after grouping, as in Llama 3 8B and up.
GROUP = 8


def flash(s: Scenario) -> Change:
    """Compute attention in one kernel that never writes the scores."""
    if not s.resolved_model.dimensions.heads:
        return no(f"{s.resolved_model.name} has no attention")
    if cached_estimate(s).setup.kernels.flash:
        return no("attention runs in one fused kernel already")
    return do("scores stay on the chip", attention="flash")


def split(s: Scenario) -> Change:
    """Split the reading of the cache along the context, so that few sequences fill the chip."""
    if not s.resolved_model.dimensions.heads:
        return no(f"{s.resolved_model.name} has no attention")
    if cached_estimate(s).setup.kernels.split_kv:
        return no("decoding splits the context over all multiprocessors already")
    return do("each sequence's cache read by many multiprocessors at once", attention="split")


def _own(s: Scenario, **dimensions: Any) -> dict[str, Any]:
    """Return the fields that make the model one of its own, with these dimensions changed."""
    changed = s.resolved_model.dimensions.model_copy(update=dimensions)
    name = re.sub(r"[^\w .()+-]", " ", s.resolved_model.name)[:50]
    return {"model": CUSTOM, "dimensions": changed, "name": name if s.dimensions else f"{name} (edited)"}


def grouped(s: Scenario) -> Change:
    """Let eight query heads share one key and value head."""
    d = s.resolved_model.dimensions
    if d.kv_lora or not d.heads:
        return no("it caches no keys and values of single heads")
    if d.heads // d.kv_heads >= GROUP or d.heads % GROUP:
        return no(f"{d.kv_heads} of {d.heads} heads keep keys and values already")
    return do(f"{d.heads // GROUP} instead of {d.kv_heads} key/value heads", **_own(s, kv_heads=d.heads // GROUP))


def windowed(s: Scenario) -> Change:
    """Let every full-attention layer see the last few thousand tokens only."""
    d, context = s.resolved_model.dimensions, s.prefix + s.input + s.output
    if d.kv_lora or "G" not in d.mixers:
        return no("no layer attends to the whole context")
    if "L" in d.mixers:
        return no(f"most layers see a window of {d.window:,} tokens already")
    if context <= WINDOW:
        return no(f"the {context:,} tokens fit into a window of {WINDOW:,}")
    mixers = d.mixers.replace("G", "L")
    return do(f"each token sees the last {WINDOW:,}", **_own(s, mixers=mixers, window=WINDOW))


def shorter(s: Scenario) -> Change:
    """Send half of the prompt."""
    if s.input < 2:
        return no("the prompt is one token")
    return do(f"{s.input - s.input // 2:,} prompt tokens instead of {s.input:,}", input=s.input - s.input // 2)


def shared_prefix(s: Scenario) -> Change:
    """Find half of the prompt in the cache, as system prompts and earlier turns are."""
    half = s.input // 2
    if not half:
        return no("the prompt is one token")
    said = f"{half:,} of the {s.input:,} prompt tokens found in the cache"
    return do(said, prefix=s.prefix + half, input=s.input - half)


CURES = (
    Cure("flash", "FlashAttention", "memory", "none: the same sum in another order", flash),
    Cure("split", "FlashDecoding (split KV)", "memory", "none: the same sum in another order", split),
    Cure("gqa", "Grouped-query attention", "memory", "needs training; a small loss stays", grouped),
    Cure("window", "Windowed attention", "memory", "needs training; what is far away is forgotten", windowed),
    Cure("short", "A shorter prompt", "compute", "what was cut is not known to the model", shorter),
    Cure("prefix", "Prefix caching", "compute", "none; pays only where prompts begin alike", shared_prefix),
)
