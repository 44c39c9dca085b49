"""Operators: what must be done (FLOPs, bytes, launches), with no word about hardware."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from enum import StrEnum
from typing import Any, Literal, NamedTuple

import numpy as np

from perfmodel.formulas.flops import matmul_flops
from perfmodel.formulas.types import Real
from perfmodel.precision import Precision
from perfmodel.split import Split
from perfmodel.workload import Workload


class Group(StrEnum):
    """The block an operator belongs to; one colour each on every page."""

    EMBEDDING = "Embedding"
    PROJECTIONS = "Attention projections"
    ATTENTION = "Attention scores and values"
    STATE = "State space"
    FFN = "Feed-forward"
    NORMS = "Norms and residuals"
    HEAD = "LM head"
    NETWORK = "Communication"
    ENGINE = "Engine step"


#: The kernel family an operator runs as: decides which efficiency of the engine applies.
Kind = Literal[
    "matmul", "attention", "elementwise", "all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send", "host"
]
#: Passes of at most this many new tokens per sequence run the decode form of a kernel (decode, speculative verify).
DECODE_UP_TO = 8
#: Kinds that use the network and not the device.
COLLECTIVES = frozenset({"all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send"})
#: The unit that does the arithmetic: quantised linear layers, 16-bit matrix work, or vector lanes.
Unit = Literal["linear", "wide", "vector"]


class Op(NamedTuple):
    """One operator on one device, `count` times per pass. Bytes and FLOPs are those of one occurrence.

    `shape`: (m, k, n) of a matrix product, (queries, context, heads, kv_heads, head_dim, new) of attention.
    `network_bytes`: buffer of a collective over `ranks` devices.
    `blocks`: thread blocks and the bytes each streams alone, for a kernel that cannot split its work further.
    `grouped`: a product over many experts at once, whose tiles fill the chip.
    `filled`: share of the rows of its tiles that hold tokens; the rest costs arithmetic time for nothing.
    A named tuple: a frozen dataclass takes thrice as long to make, and every pass makes some two dozen.
    """

    name: str
    group: Group
    kind: Kind
    unit: Unit = "vector"
    count: float = 1.0  # type: ignore[assignment] # in the place of tuple.count
    flops: Real = 0.0
    weight_bytes: Real = 0.0
    activation_bytes: Real = 0.0
    kv_bytes: Real = 0.0
    network_bytes: Real = 0.0
    ranks: int = 1
    launches: Real = 1.0
    shape: tuple[Real, ...] = ()
    blocks: tuple[Real, ...] = ()
    filled: Real = 1.0
    grouped: bool = False

    def repeated(self, count: float, suffix: str = "") -> Op:
        """Return the operator with another count and a longer name."""
        # By position: `_replace` costs three times as much, and this runs for every operator of every pass.
        name, group, kind, unit, _, *rest = self
        return Op._make((name + suffix, group, kind, unit, count, *rest))

    def at(self, index: int) -> Op:
        """Return the operator at one point of a line of points."""
        if not any(np.ndarray in map(type, parts) for parts in (self, self.shape, self.blocks)):
            return self
        return Op._make(_at(part, index) for part in self)

    @property
    def moved_bytes(self) -> Real:
        """Traffic to and from main memory [B]."""
        return self.weight_bytes + self.activation_bytes + self.kv_bytes


def _at(part: Any, index: int) -> Any:
    if isinstance(part, np.ndarray):
        return float(part[index])
    return tuple(_at(one, index) for one in part) if isinstance(part, tuple) else part


@dataclass(frozen=True, slots=True)
class Kernels:
    """How an engine maps the mathematics to kernels.

    `split_kv`: FlashDecoding, work split along the context. `vector_attention`: scores on vector lanes.
    `expert_rows`: rows of a tile of the product over experts; an expert with fewer tokens computes as many.
    `expert_above`: tokens of a pass from which tiles are used; fewer run as products of vectors.
    `every_expert`: the buffers of that product have a tile for every expert, and it walks the empty ones too.
    `piece_tokens`: tokens of a pass at most, longer prompts take several; 0 is all at once.
    """

    flash: bool = True
    split_kv: bool = True
    fused_qkv: bool = True
    fused_elementwise: bool = True
    vector_attention: bool = False
    expert_rows: float = 1.0
    expert_above: float = 0.0
    every_expert: bool = False
    piece_tokens: float = 0.0

    @property
    def attention_unit(self) -> Unit:
        """The unit that computes attention scores and sums the values."""
        return "vector" if self.vector_attention else "wide"


@dataclass(frozen=True, slots=True)
class Pass(Split):
    """What the layers need to list their operators: workload, precision, kernels, and how devices share the work.

    `work` is what one device computes; `attended` the sequences whose scores it computes where these are others.
    """

    work: Workload
    precision: Precision
    kernels: Kernels
    _: KW_ONLY
    skew: float = 1.0
    attended: Workload | None = None

    @property
    def seen(self) -> Workload:
        """The sequences whose attention scores this device computes."""
        return self.work if self.attended is None else self.attended

    @property
    def head_split(self) -> int:
        """Devices that share the heads of the attention scores: none where they share the sequences."""
        return 1 if self.kv_split == "batch" else self.tp

    @property
    def short(self) -> bool:
        """Whether every sequence of the pass has only a few new tokens."""
        return bool(np.all(np.asarray(self.work.new) <= DECODE_UP_TO))

    @property
    def kv_passes(self) -> int:
        """How often a device reads as much of the cache as it holds: long passes see every shard of the ring."""
        return 1 if self.cp == 1 or self.short else self.cp

    @property
    def residual_rows(self) -> Real:
        """Tokens whose norms and residuals this device computes: all, or its share of the tensor group's."""
        split = self.tp > 1 and not self.adp and (self.sp or self.spread != "1d")
        return np.ceil(self.work.tokens / self.tp) if split else self.work.tokens

    @property
    def alone(self) -> Pass:
        """The same pass where the tensor group splits the sequences: whole weights, no partner."""
        return replace(self, tp=1, adp=False)

    @property
    def together(self) -> Pass:
        """The pass over the tokens of the whole tensor group, whose devices hold different sequences."""
        return replace(self, work=replace(self.work, batch=self.work.batch * self.tp), adp=False)

    def matmul(
        self,
        name: str,
        group: Group,
        k: Real,
        n: Real,
        *,
        rows: Real | None = None,
        wide: bool = False,
        launches: Real = 1,
    ) -> Op:
        """Return the operator that multiplies `rows` activations (default: all tokens) by a k x n weight matrix."""
        m = self.work.tokens if rows is None else rows
        weight = self.precision.wide_bytes if wide else self.precision.weight_bytes
        return Op(
            name,
            group,
            "matmul",
            "wide" if wide else "linear",
            flops=self.linear_flops(m, k, n, wide=wide),
            weight_bytes=k * n * weight,
            activation_bytes=m * (k + n) * self.precision.activation_bytes,
            launches=launches,
            shape=(m, k, n),
        )

    def linear_flops(self, m: Real, k: Real, n: Real, *, wide: bool = False) -> Real:
        """Return the FLOPs of a product with weights: pruned channels are not computed."""
        return matmul_flops(m, k, n) * (1.0 if wide else self.precision.kept_channels)

    def elementwise(
        self,
        name: str,
        group: Group,
        values: Real,
        *,
        flops: Real = 0.0,
        launches: Real = 1,
        kv_bytes: Real = 0.0,
        weights: Real = 0.0,
    ) -> Op:
        """Return an element-wise operator that moves `values` activations and reads `weights` parameters."""
        return Op(
            name,
            group,
            "elementwise",
            flops=flops,
            weight_bytes=weights * self.precision.wide_bytes,
            activation_bytes=values * self.precision.activation_bytes,
            kv_bytes=kv_bytes,
            launches=launches,
        )


def table(
    columns: Sequence[Sequence[Real]], shape: tuple[int, ...]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return columns of equal length as an array (columns, rows, *shape); each value broadcasts to `shape`."""
    if not shape:
        return np.array(columns, dtype=np.float64)
    out = np.empty((len(columns), len(columns[0]), *shape))
    for index, column in enumerate(columns):
        for row, value in enumerate(column):
            out[index, row] = value
    return out


def in_pieces(whole: tuple[Op, ...], piece: tuple[Op, ...], count: Real) -> tuple[Op, ...]:
    """Return the operators of a pass that runs as `count` passes, each like `piece`.

    The arithmetic and the activations stay those of the whole; weights and cache are read, and kernels launched, in
    every piece. The LM head sees the last one alone.
    """
    pairs = zip(whole, piece, strict=True)
    return tuple(one if one.group is Group.HEAD else _in_pieces(one, part, count) for one, part in pairs)


def _in_pieces(whole: Op, piece: Op, count: Real) -> Op:
    return whole._replace(
        weight_bytes=piece.weight_bytes * count,
        kv_bytes=piece.kv_bytes * count,
        network_bytes=piece.network_bytes * count,
        launches=piece.launches * count,
        shape=piece.shape,
        filled=piece.filled,
    )
