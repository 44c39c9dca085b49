"""Sequence mixing with a state of fixed size: Mamba-1, Mamba-2, gated DeltaNet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from perfmodel.formulas.types import Real
from perfmodel.ops import Group, Op, Pass

#: Bytes of one state value: engines keep recurrent states in FP32.
STATE_VALUE_BYTES = 4.0


@dataclass(frozen=True)
class StateSpace:
    """A linear recurrence with `heads` x `head_dim` channels, each with `state` values.

    `kind`: "M" Mamba-1, "S" Mamba-2, "D" gated DeltaNet (`groups` key heads of size `state`).
    """

    kind: str
    hidden: int
    heads: int
    head_dim: int
    state: int
    groups: int
    conv: int
    dt_rank: int = 0

    @property
    def inner(self) -> int:
        """Channels of the recurrence."""
        return self.heads * self.head_dim

    @cached_property
    def in_width(self) -> int:
        """Columns of the input projection."""
        grouped = 2 * self.groups * self.state
        return {
            "M": 2 * self.inner,
            "S": 2 * self.inner + grouped + self.heads,
            "D": 2 * self.inner + grouped + 2 * self.heads,
        }[self.kind]

    @cached_property
    def conv_width(self) -> int:
        """Channels that pass the causal convolution."""
        return self.inner if self.kind == "M" else self.inner + 2 * self.groups * self.state

    @cached_property
    def parameters(self) -> int:
        """Weights of one layer."""
        projections = self.hidden * self.in_width + self.inner * self.hidden
        if self.kind == "M":
            low = self.dt_rank + 2 * self.state
            scan = self.inner * low + self.dt_rank * self.inner + self.inner + self.inner * self.state + self.inner
            return projections + self.inner * (self.conv + 1) + scan + low
        if self.kind == "S":
            return projections + self.conv_width * (self.conv + 1) + 3 * self.heads + self.inner
        return projections + self.conv_width * self.conv + 2 * self.heads + self.head_dim

    def cached_values(self, context: Real) -> Real:
        """Values per sequence that grow with the context: none."""
        return 0.0 * context

    def state_bytes(self) -> float:
        """Bytes of recurrent and convolution state per sequence and layer."""
        return (self.inner * self.state + self.conv_width * max(0, self.conv - 1)) * STATE_VALUE_BYTES

    def copied(self, tp: int) -> float:  # noqa: ARG002
        """Parameters one of `tp` devices holds beyond its share: none, channels split."""
        return 0.0

    def ring_values(self, tp: int) -> tuple[float, float, float]:  # noqa: ARG002
        """Values per token that devices exchange in context parallelism: none, the state is handed on instead."""
        return 0.0, 0.0, 0.0

    @property
    def widths(self) -> tuple[int, int]:
        """Columns of the input projection and rows of the output projection."""
        return self.in_width, self.inner

    def ops(self, run: Pass) -> list[Op]:
        """List the operators of one layer on one device: channels split over the devices."""
        tokens, tp = run.work.tokens, run.tp
        conv = run.elementwise(
            "conv",
            Group.STATE,
            2.0 * tokens * self.conv_width / tp,
            flops=2.0 * self.conv * tokens * self.conv_width / tp,
        )
        low = []
        if self.kind == "M":
            low = [
                run.matmul("x_proj", Group.PROJECTIONS, self.inner / tp, self.dt_rank + 2 * self.state),
                run.matmul("dt_proj", Group.PROJECTIONS, self.dt_rank, self.inner / tp),
            ]
        return [
            run.matmul("in_proj", Group.PROJECTIONS, self.hidden, self.in_width / tp),
            conv,
            *low,
            self._scan(run),
            run.matmul("out_proj", Group.PROJECTIONS, self.inner / tp, self.hidden),
        ]

    def _scan(self, run: Pass) -> Op:
        # Per token and channel: decay, outer-product update and read-out of the state; DeltaNet also corrects it.
        per_value = 8.0 if self.kind == "D" else 6.0
        tokens, tp = run.work.tokens, run.tp
        return Op(
            "state_scan",
            Group.STATE,
            "elementwise",
            "wide" if self.kind != "M" else "vector",
            flops=per_value * tokens * self.inner * self.state / tp,
            activation_bytes=tokens
            * (2.0 * self.inner + 2.0 * self.groups * self.state)
            / tp
            * run.precision.activation_bytes,
            kv_bytes=2.0 * run.work.batch * self.state_bytes() / tp,
        )
