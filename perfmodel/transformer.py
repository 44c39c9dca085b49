"""The operators of one pass through a whole model, on one device of a tensor-parallel group."""

from __future__ import annotations

import numpy as np

from perfmodel.blocks import Block, blocks
from perfmodel.dimensions import Dimensions
from perfmodel.exchange import exchange, respread, shares_ffn
from perfmodel.ops import Group, Op, Pass

# An unfused RMSNorm with its residual: add, pow, mean, add, rsqrt, mul, mul; about nine passes over the activations.
EAGER_NORM_LAUNCHES, EAGER_NORM_VALUES, FUSED_NORM_VALUES = 7, 9.0, 4.0


def transformer_ops(d: Dimensions, run: Pass) -> tuple[Op, ...]:
    """List every operator of the pass once, with its count; identical layers share one entry."""
    kinds = blocks(d)
    named = len(kinds) > 1
    listed = [_embedding(d, run)]
    for index, block in enumerate(kinds):
        suffix = f" [{index + 1}]" if named else ""
        listed += [op.repeated(float(block.count), suffix) for op in _layer(d, block, run)]
    return (*listed, *_head(d, run.together if run.adp else run))


def _embedding(d: Dimensions, run: Pass) -> Op:
    values = run.work.tokens * d.hidden
    rows = 2.0 if d.position_rows else 1.0
    return Op(
        "embedding",
        Group.EMBEDDING,
        "elementwise",
        weight_bytes=rows * values * run.precision.wide_bytes,
        activation_bytes=values * run.precision.activation_bytes,
        launches=1.0 if run.kernels.fused_elementwise else 1.0 + (d.position_rows > 0),
    )


def _layer(d: Dimensions, block: Block, run: Pass) -> list[Op]:
    ops = [_norm("norms", d, run, block.norms)] if block.norms else []
    mixing = feeding = run
    if run.adp:
        mixing = run.alone
        feeding = run.together if shares_ffn(block, run) else run.alone
    if block.mixer:
        ops += block.mixer.ops(mixing)
    if block.ffn:
        ops += block.ffn.ops(feeding)
    if run.tp == 1 and run.cp == 1:
        return ops
    return [*respread(d, run, ops), *exchange(d, block, run)]


def _norm(name: str, d: Dimensions, run: Pass, norms: int) -> Op:
    fused = run.kernels.fused_elementwise
    tokens = run.residual_rows
    values = (FUSED_NORM_VALUES if fused else EAGER_NORM_VALUES) * norms * tokens * d.hidden
    launches = norms * (1 if fused else EAGER_NORM_LAUNCHES)
    vectors = norms * d.hidden * (2 if d.norm_bias else 1)
    flops = 5.0 * norms * tokens * d.hidden
    return run.elementwise(name, Group.NORMS, values, flops=flops, launches=launches, weights=vectors)


def _head(d: Dimensions, run: Pass) -> tuple[Op, ...]:
    # A device that shares sequences with others still computes whole rows.
    rows = np.ceil(run.work.batch * run.work.logits) if run.cp > 1 else run.work.batch * run.work.logits
    head = run.matmul("lm_head", Group.HEAD, d.hidden, d.vocab / run.tp, rows=rows, wide=True)
    passes = 2.0 if run.kernels.fused_elementwise else 6.0
    sample = run.elementwise("sampling", Group.HEAD, passes * rows * d.vocab / run.tp, launches=passes / 2.0)
    return (_norm("final_norm", d, run, 1), head, sample)
