"""What the devices of a tensor or context group send each other in a layer, in every layout of weights and sequences.

Layouts of the weights over the n devices of a group (Pope et al. 2022, section 3.2): "1d" keeps a slice of each matrix
on each device and sums the outputs (Megatron); "2d" cuts both sides of each matrix; "x", "xy" and "xyz" keep the
activations and gather the weights over a third, two thirds (in the exponent) or all of the devices; "2d/xyz" is 2d in
decode and xyz in prefill, what the paper found best for large batches.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from perfmodel.blocks import Block
from perfmodel.dimensions import Dimensions
from perfmodel.formulas.sharing import ring_volume, rows_of_2d
from perfmodel.formulas.types import Real
from perfmodel.ops import Group, Kind, Op, Pass
from perfmodel.ssm import StateSpace

#: Exponent of n that gives the devices a weight is gathered over, for a cube X = Y = Z.
GATHERS = {"x": 1.0 / 3.0, "xy": 2.0 / 3.0, "xyz": 1.0}
SPREADS = ("1d", "2d", *GATHERS, "2d/xyz")


def form(run: Pass) -> str:
    """Return the layout of the weights in this pass: what decode and prefill each use of a mixed one."""
    if run.spread != "2d/xyz":
        return run.spread
    return "2d" if run.short else "xyz"


@lru_cache(maxsize=256)
def nearest_divisor(devices: int, wanted: float) -> int:
    """Return the divisor of a number of devices that is nearest to what is wanted, by ratio."""
    wanted = min(max(wanted, 1.0), float(devices))
    found = [k for k in range(1, devices + 1) if devices % k == 0]
    return min(found, key=lambda k: abs(math.log(k / wanted)))


def gathered(spread: str, devices: int) -> int:
    """Return over how many of its devices a group gathers each weight: one where weights stay."""
    return nearest_divisor(int(devices), devices ** GATHERS[spread]) if spread in GATHERS else 1


def rows(d: Dimensions, widths: tuple[int, int], devices: int) -> int:
    """Return into how many parts the 2D layout cuts the model width, of a block with these inner widths."""
    return nearest_divisor(int(devices), float(rows_of_2d(d.hidden, sum(widths), devices)))


def shares_ffn(block: Block, run: Pass) -> bool:
    """Return whether a group that splits attention by sequences shares this block's FFN: all but whole experts."""
    return block.ffn is not None and not (block.routed and run.ep >= run.tp)


def exchange(d: Dimensions, block: Block, run: Pass) -> list[Op]:
    """List what a device sends in one layer: along split sequences, then within the tensor group."""
    ops = _ring(block, run) if run.cp > 1 and block.mixer is not None else []
    if run.tp == 1:
        return ops
    if run.adp:
        return [*ops, *_gather_and_scatter(d, run.together, 1, "ffn_")] if shares_ffn(block, run) else ops
    if run.spread == "1d":
        # A parallel block adds both outputs before one reduction.
        times = 1 if d.parallel_block else int(block.mixer is not None) + int(block.ffn is not None)
        ops += _gather_and_scatter(d, run, times) if run.sp else [_all_reduce(d, run, times)]
    else:
        for prefix, widths in _parts(d, block):
            ops += _two_d(d, run, prefix, widths) if form(run) == "2d" else _gathered(d, run, prefix, widths)
    if block.mixer is not None and not isinstance(block.mixer, StateSpace):
        ops += _redistribute(block, run)
    return ops


def respread(d: Dimensions, run: Pass, ops: list[Op]) -> list[Op]:
    """Return a block's operators with the traffic that its layout of the weights causes; the FLOPs are the same.

    A gathered weight is read whole, by fewer tokens: what was as wide as the model is read for those tokens only. In
    2D each device holds the wider part of fewer inner columns.
    """
    spread = form(run)
    if spread == "1d" or run.tp == 1:
        return ops
    n = gathered(spread, run.tp)
    changed = []
    for op in ops:
        if op.kind == "matmul" and op.shape and d.hidden in op.shape[1:]:
            m, k, width = op.shape
            inner = width if k == d.hidden else k
            # A product as wide inside as the model counts as one that leads in.
            cut = n if n > 1 else rows(d, (int(inner * run.tp), int(inner * run.tp)), run.tp)
            values = m * d.hidden / cut + m * inner * (1.0 if n > 1 else cut)
            moved = values * run.precision.activation_bytes
            op = op._replace(weight_bytes=op.weight_bytes * n, activation_bytes=moved)
        changed.append(op)
    return changed


def _parts(d: Dimensions, block: Block) -> list[tuple[str, tuple[int, int]]]:
    mixer = block.mixer.widths if block.mixer is not None else (0, 0)
    feed = block.ffn.widths if block.ffn is not None else (0, 0)
    if d.parallel_block:
        return [("", (mixer[0] + feed[0], mixer[1] + feed[1]))]
    return [(name, widths) for name, widths in (("attention_", mixer), ("ffn_", feed)) if widths[0]]


def _network(name: str, kind: Kind, size: Real, ranks: int, launches: Real = 1.0) -> Op:
    return Op(name, Group.NETWORK, kind, network_bytes=size, ranks=ranks, launches=launches)


def _all_reduce(d: Dimensions, run: Pass, times: int) -> Op:
    size = times * run.work.tokens * d.hidden * run.precision.activation_bytes
    return _network("all_reduce", "all_reduce", size, run.tp, float(times))


def _gather_and_scatter(d: Dimensions, run: Pass, times: int, prefix: str = "") -> list[Op]:
    """Two halves of an all-reduce: between them each device has its share of the tokens only."""
    size = times * run.work.tokens * d.hidden * run.precision.activation_bytes
    return [
        _network(f"{prefix}all_gather", "all_gather", size, run.tp, float(times)),
        _network(f"{prefix}reduce_scatter", "reduce_scatter", size, run.tp, float(times)),
    ]


def _two_d(d: Dimensions, run: Pass, prefix: str, widths: tuple[int, int]) -> list[Op]:
    """Gather the model width, sum the inner one, and back: 2 E/X + W X/n values per token."""
    x = rows(d, widths, run.tp)
    beside, value = run.tp // x, run.work.tokens * run.precision.activation_bytes
    ops = [
        _network(f"{prefix}gather_width", "all_gather", value * d.hidden / x, beside),
        _network(f"{prefix}scatter_inner", "reduce_scatter", value * widths[0] / beside, x),
        _network(f"{prefix}gather_inner", "all_gather", value * widths[1] / beside, x),
        _network(f"{prefix}scatter_width", "reduce_scatter", value * d.hidden / x, beside),
    ]
    return [op for op in ops if op.ranks > 1]


def _gathered(d: Dimensions, run: Pass, prefix: str, widths: tuple[int, int]) -> list[Op]:
    """Gather the weights over N devices; over the others the activations of M/N tokens are gathered and summed."""
    n = gathered(form(run), run.tp)
    weights = d.hidden * sum(widths) * run.precision.weight_bytes / run.tp * n
    ops = [_network(f"{prefix}gather_weights", "all_gather", weights, n)]
    if n < run.tp:
        size = run.work.tokens / n * d.hidden * run.precision.activation_bytes
        ops += [
            _network(f"{prefix}all_gather", "all_gather", size, run.tp // n),
            _network(f"{prefix}reduce_scatter", "reduce_scatter", size, run.tp // n),
        ]
    return ops


def _redistribute(block: Block, run: Pass) -> list[Op]:
    """Turn projections split by heads into attention split by sequences and back, where the two are not the same."""
    by_sequence = run.spread != "1d" and gathered(form(run), run.tp) == run.tp
    if block.mixer is None or by_sequence == (run.kv_split == "batch"):
        return []
    query, output, cached = block.mixer.ring_values(1)
    sent = run.work.tokens / run.tp * (query + output + cached) * run.precision.activation_bytes
    return [_network("attention_all_to_all", "all_to_all", sent, run.tp, 2.0)]


def _ring(block: Block, run: Pass) -> list[Op]:
    """Hand on keys and values in long passes, queries in short ones, whose partial outputs then go home."""
    if block.mixer is None:
        return []
    cp, span = float(run.cp), run.tp * run.cp
    if isinstance(block.mixer, StateSpace):
        state = run.seen.batch * block.mixer.state_bytes() / run.tp
        return [] if run.short else [_network("state_handover", "send", cp * (cp - 1.0) * state, span, cp - 1.0)]
    query, output, cached = block.mixer.ring_values(run.tp)
    value = run.precision.activation_bytes
    if run.short:
        whole = run.seen.tokens * cp
        return [
            _network("query_ring", "send", ring_volume(whole, query, value, cp), span, cp - 1.0),
            _network("partial_outputs", "all_to_all", whole * output * value, span),
        ]
    kept = run.seen.context
    reach = getattr(block.mixer, "window", 0)
    # A window reaches back into the shards before: at most all, at most its own length.
    seen = np.minimum(kept, reach * cp / (cp - 1.0)) if reach else kept
    hops = np.minimum(cp - 1.0, np.ceil(reach * cp / kept)) if reach else cp - 1.0
    size = ring_volume(run.seen.batch * cp * seen, cached, run.precision.kv_bytes, cp)
    return [_network("kv_ring", "send", size, span, hops)]
