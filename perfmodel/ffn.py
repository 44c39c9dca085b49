"""Feed-forward blocks: dense and mixture of experts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from perfmodel.formulas.flops import experts_touched
from perfmodel.formulas.occupancy import expected_maximum, imbalanced_share
from perfmodel.formulas.types import Real
from perfmodel.ops import Group, Op, Pass


def ffn_parameters(hidden: int, width: int, gated: bool, bias: bool) -> int:
    """Weights and biases of one feed-forward block: three matrices if gated, two if not."""
    matrices = 3 if gated else 2
    return matrices * hidden * width + ((matrices - 1) * width + hidden) * bias


@dataclass(frozen=True)
class DenseFFN:
    """Up (and gate), activation, down."""

    hidden: int
    width: int
    gated: bool = True
    bias: bool = False

    @cached_property
    def parameters(self) -> int:
        """Weights and biases of one layer."""
        return ffn_parameters(self.hidden, self.width, self.gated, self.bias)

    @property
    def active_parameters(self) -> int:
        """Parameters one token passes through: all of them."""
        return self.parameters

    def copied(self, tp: int) -> float:  # noqa: ARG002
        """Parameters one of `tp` devices holds beyond its share: none, the inner width splits."""
        return 0.0

    @property
    def widths(self) -> tuple[int, int]:
        """Columns of the matrices that lead in, and rows of the one that leads out."""
        return (2 if self.gated else 1) * self.width, self.width

    def ops(self, run: Pass) -> list[Op]:
        """List the operators of one layer on one device."""
        return dense_ops(run, self.hidden, self.width / run.tp, self.gated)


def dense_ops(run: Pass, hidden: int, width: float, gated: bool, prefix: str = "") -> list[Op]:
    """List up, activation and down of an FFN whose inner width on this device is `width`."""
    tokens = run.work.tokens
    names = ("gate_proj", "up_proj") if gated else ("up_proj",)
    if gated and run.kernels.fused_qkv:
        ups = [run.matmul(f"{prefix}gate_up_proj", Group.FFN, hidden, 2 * width)]
    else:
        ups = [run.matmul(prefix + name, Group.FFN, hidden, width) for name in names]
    # Fused: read gate and up, write one. Unfused: the activation goes through memory once more.
    fused = run.kernels.fused_elementwise
    values = ((3.0 if fused else 5.0) if gated else 2.0) * tokens * width
    launches = 1 if fused or not gated else 2
    act = run.elementwise(f"{prefix}activation", Group.FFN, values, flops=5.0 * tokens * width, launches=launches)
    return [*ups, act, run.matmul(f"{prefix}down_proj", Group.FFN, width, hidden)]


@dataclass(frozen=True)
class MoE:
    """Routed experts of `width`, of which `top_k` serve a token, plus shared experts of total width `shared`.

    The device holds all experts; a pass reads only those that its tokens touch.
    """

    hidden: int
    experts: int
    top_k: int
    width: int
    shared: int = 0
    gated: bool = True
    bias: bool = False
    shared_gate: bool = False
    router_bias: bool = False

    @cached_property
    def expert_parameters(self) -> int:
        """Weights and biases of one routed expert."""
        return ffn_parameters(self.hidden, self.width, self.gated, self.bias)

    @cached_property
    def parameters(self) -> int:
        """Router, all experts, shared experts of one layer."""
        return self.common + self.experts * self.expert_parameters

    @property
    def active_parameters(self) -> int:
        """Parameters one token passes through: router, top_k experts, shared experts."""
        return self.common + self.top_k * self.expert_parameters

    @property
    def common(self) -> int:
        """Weights that serve every token: router, shared experts and their gate."""
        router = self.hidden * self.experts + self.experts * self.router_bias
        shared = ffn_parameters(self.hidden, self.shared, self.gated, False) if self.shared else 0
        return router + shared + self.hidden * self.shared_gate

    @property
    def widths(self) -> tuple[int, int]:
        """Columns of the matrices that lead in, and rows of the one that leads out, of all experts."""
        width = self.experts * self.width + self.shared
        return (2 if self.gated else 1) * width, width

    def copied(self, tp: int) -> float:
        """Parameters one of `tp` devices holds beyond its share: the router, which every device runs on its tokens."""
        router = self.hidden * self.experts + self.experts * self.router_bias + self.hidden * self.shared_gate
        return router * (1.0 - 1.0 / tp)

    def ops(self, run: Pass) -> list[Op]:
        """List the operators of one layer on one device."""
        shared = dense_ops(run, self.hidden, self.shared / run.tp, self.gated, "shared_") if self.shared else []
        return [
            run.matmul("router", Group.FFN, self.hidden, self.experts, wide=True),
            *self._routed(run),
            *shared,
        ]

    def touched(self, tokens: Real, skew: float = 1.0) -> Real:
        """Experts read at least once by a pass of this many tokens; skewed routing spreads over fewer."""
        reached = max(float(self.top_k), self.experts / skew)
        return experts_touched(reached, float(self.top_k), tokens)

    def _load(self, run: Pass) -> _Load:
        # Experts spread over ep devices; beyond tp, replicas share experts. The busiest device sets the time.
        reach = run.work.tokens * max(1.0, run.ep / run.tp)
        fair = reach * self.top_k / run.ep
        if run.ep == 1:
            routed, touched = fair, self.touched(reach, run.skew)
        else:
            # Even balanced routing is uneven by chance; the busiest device's experts are chosen `skew` times as often.
            fair = imbalanced_share(fair, run.skew, run.ep)
            routed = np.minimum(expected_maximum(fair, fair * (1.0 - 1.0 / run.ep), run.ep), reach * self.top_k)
            local = self.experts / run.ep
            mean = experts_touched(local, np.minimum(local, self.top_k / run.ep * run.skew), reach)
            spread = expected_maximum(mean, mean * (1.0 - mean / local), run.ep)
            # Experts come whole: however few the tokens, the busiest device reads at least one.
            touched = np.minimum(np.maximum(spread, 1.0), local)
        return _load(routed, touched, self.experts / run.ep, run)

    def _routed(self, run: Pass) -> list[Op]:
        # What tp has beyond ep slices each expert.
        width = self.width / max(1.0, run.tp / run.ep)
        load = self._load(run)
        routed, each = load.routed, load.launches
        fused = run.kernels.fused_elementwise
        values = ((3.0 if fused else 5.0) if self.gated else 2.0) * load.rows * width
        act = run.elementwise("expert_activation", Group.FFN, values, flops=5.0 * routed * width, launches=each)
        # Tokens are gathered per expert and summed back: read and written once each way.
        gathered = 2.0 * (run.work.tokens + routed) * self.hidden
        return [
            run.elementwise("dispatch_combine", Group.FFN, gathered, launches=2.0 * each),
            _grouped(
                run,
                "expert_gate_up" if self.gated else "expert_up",
                self.hidden,
                (2 if self.gated else 1) * width,
                load,
            ),
            act,
            _grouped(run, "expert_down", width, self.hidden, load),
            *self._exchange(run),
        ]

    def _exchange(self, run: Pass) -> list[Op]:
        if run.ep <= run.tp:
            return []
        # Each token's activations go to its experts and come back, but for the share that stays at home.
        # The ranks of a tensor-parallel group hold the same tokens: each sends its share of them.
        sent = 2.0 * run.work.tokens / run.tp * self.top_k * self.hidden * run.precision.activation_bytes
        return [Op("all_to_all", Group.NETWORK, "all_to_all", network_bytes=sent, ranks=run.ep, launches=2.0)]


@dataclass(frozen=True, slots=True)
class _Load:
    """What reaches the experts of one device: token-expert pairs, experts read, launches per product.

    A loop over experts launches its kernels once per expert touched; a grouped GEMM once in all.
    `rows`: rows of the buffers between the products, the padding included. `filled`: as in `Op`.
    """

    routed: Real
    read: Real
    launches: Real
    rows: Real
    filled: Real


def _load(routed: Real, touched: Real, local: float, run: Pass) -> _Load:
    """Return the load of one device's `local` experts in the tiles of the engine's grouped product.

    A layout without the experts' counts at hand has room for the worst case: every expert starts a tile of its own.
    """
    kernels = run.kernels
    launches = 1.0 if kernels.fused_elementwise else touched
    tile = np.where(run.work.tokens > kernels.expert_above, kernels.expert_rows, 1.0)[()]
    # Half of an expert's last tile is empty on average, and an expert has at least one.
    share = routed / (touched * tile)
    filled = np.where(tile > 1.0, share / np.maximum(1.0, share + 0.5), 1.0)[()]
    if not kernels.every_expert:
        return _Load(routed, touched, launches, routed, filled)
    return _Load(routed, local, launches, routed + local * (tile - 1.0), filled)


def _grouped(run: Pass, name: str, k: float, n: float, load: _Load) -> Op:
    return Op(
        name,
        Group.FFN,
        "matmul",
        "linear",
        flops=run.linear_flops(load.routed, k, n),
        weight_bytes=load.read * k * n * run.precision.weight_bytes,
        activation_bytes=load.rows * (k + n) * run.precision.activation_bytes,
        launches=load.launches,
        shape=(np.maximum(load.routed / load.read, 1.0), k, n),
        filled=load.filled,
        grouped=run.kernels.fused_elementwise,
    )
