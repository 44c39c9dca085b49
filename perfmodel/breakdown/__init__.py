"""Where the FLOPs and the bytes of memory go, and what they would be with one thing changed.

FLOPs are those of the model, whatever devices share them; bytes of memory are those of one device.
"""

from perfmodel.breakdown.answers import flops_answer, limits, memory_answer
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
    CacheCurve,
    FitMap,
    Variant,
    cache_curve,
    fit_map,
    kv_precisions,
    kv_variants,
    scenario_map,
    without_window,
)
from perfmodel.breakdown.shape import Growth, growth

__all__ = [
    "AttentionCurve",
    "CacheCurve",
    "FitMap",
    "Generation",
    "Growth",
    "Phase",
    "Rules",
    "Variant",
    "attention_curve",
    "cache_curve",
    "classic_differences",
    "fit_map",
    "flops_answer",
    "flops_by_group",
    "flops_per_token_rules",
    "generation",
    "growth",
    "kv_precisions",
    "kv_variants",
    "layer_groups",
    "limits",
    "linear_multiples",
    "memory_answer",
    "model_ops",
    "phases",
    "scenario_map",
    "time_by_group",
    "total_flops",
    "without_window",
]
