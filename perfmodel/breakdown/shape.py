"""What a changed shape multiplies: depth and width against parameters, FLOPs, cache and kernels in a row."""

from __future__ import annotations

from dataclasses import dataclass

from perfmodel.blocks import parameters
from perfmodel.breakdown.flops import model_ops, total_flops
from perfmodel.dimensions import Dimensions
from perfmodel.memory import cache_per_token
from perfmodel.ops import Group
from perfmodel.workload import decode

#: What `Growth` compares: depth and width doubled, and a quarter of the layers at twice the width (equal parameters).
SHAPES = {"Depth × 2": (2.0, 1), "Width × 2": (1.0, 2), "Depth ÷ 4, width × 2": (0.25, 2)}


@dataclass(frozen=True)
class Growth:
    """What a changed shape multiplies, layers only: embeddings and LM head are left out."""

    name: str
    parameters: float
    flops: float
    cache: float
    kernels: float


def growth(d: Dimensions) -> tuple[Growth, ...]:
    r"""What doubling the depth or the width does to parameters, FLOPs, cache and kernels in a row.

    $$ P = 12\,L\,d^2: \quad L \to 2L \Rightarrow 2P,\qquad d \to 2d \Rightarrow 4P $$

    Args:
        d: model dimensions; width means hidden, heads, FFN and their kin at the same head size

    Returns:
        one `Growth` per entry of `SHAPES`, as factors of this model [1]

    Validity: decode FLOPs per token without scores; biases and norms make width a little less than 4.
    Source: article_cases S46, S47.

    >>> from perfmodel import MODELS
    >>> [(g.parameters, g.cache) for g in growth(MODELS["llama-2-7b"].dimensions)]
    [(2.0, 2.0), (4.0, 2.0), (1.0, 0.5)]
    """
    base = _size(d)
    found = []
    for name, (depth, width) in SHAPES.items():
        size = _size(_scaled(d, width))
        found.append(Growth(name, *(depth * new / old if old else 0.0 for new, old in zip(size, base, strict=True))))
    return tuple(found)


_WIDTHS = (
    *("hidden", "heads", "kv_heads", "ffn", "expert_ffn", "shared_ffn", "q_lora", "kv_lora", "index_heads"),
    *("ssm_heads", "ssm_groups", "ssm_dt_rank"),
)


def _scaled(d: Dimensions, width: int) -> Dimensions:
    return d.model_copy(update={name: getattr(d, name) * width for name in _WIDTHS})


def _size(d: Dimensions) -> tuple[float, float, float, float]:
    p, ops = parameters(d), model_ops(d, decode(1, 0))
    linear = total_flops(op for op in ops if op.kind == "matmul" and op.group != Group.HEAD)
    kernels = sum(op.launches * op.count for op in ops if op.count > 1 or d.layers == 1)
    return float(p.attention + p.ffn), float(linear), cache_per_token(d, 2.0), float(kernels)
