"""Where the FLOPs and the bytes of memory go, and what they would be with one thing changed.

FLOPs are those of the model, whatever devices share them; bytes of memory are those of one device.
"""

from perfmodel.breakdown.flops import (
    AttentionCurve,
    Generation,
    Phase,
    Rules,
    attention_curve,
    classic_differences,
    flops_by_group,
    flops_per_token_rules,
    generation,
    layer_groups,
    linear_multiples,
    model_ops,
    phases,
    time_by_group,
    total_flops,
)
from perfmodel.breakdown.memory import (
    FitMap,
    Variant,
    device_cache,
    fit_map,
    kv_precisions,
    kv_variants,
    without_window,
)
from perfmodel.breakdown.shape import Growth, growth

__all__ = [
    "AttentionCurve",
    "FitMap",
    "Generation",
    "Growth",
    "Phase",
    "Rules",
    "Variant",
    "attention_curve",
    "classic_differences",
    "device_cache",
    "fit_map",
    "flops_by_group",
    "flops_per_token_rules",
    "generation",
    "growth",
    "kv_precisions",
    "kv_variants",
    "layer_groups",
    "linear_multiples",
    "model_ops",
    "phases",
    "time_by_group",
    "total_flops",
    "without_window",
]
