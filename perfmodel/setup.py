"""Setup: the names of a scenario resolved: model, chip, engine, precision, layout, link; and one pass priced on it."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property

import numpy as np

from perfmodel.collectives import wires
from perfmodel.engine import Engine
from perfmodel.formulas.sharing import pipeline_step_time
from perfmodel.formulas.types import Real
from perfmodel.hardware import Accelerator
from perfmodel.model import Model
from perfmodel.ops import Group, Kernels, Op, Pass, in_pieces
from perfmodel.precision import Precision, Rates, half_accumulated, rates
from perfmodel.speculative import Speculation
from perfmodel.split import Split, split_of
from perfmodel.step import Fabric, Step, price
from perfmodel.transformer import transformer_ops
from perfmodel.workload import Workload

#: Attention kernels a user can choose instead of the engine's own.
ATTENTION_KERNELS = {
    "unfused": {"flash": False, "split_kv": False},
    "flash": {"flash": True, "split_kv": False},
    "split": {"flash": True, "split_kv": True},
}


@dataclass(frozen=True)
class Setup(Split):
    """Everything but the numbers: who computes what with which types on how many devices."""

    model: Model
    chip: Accelerator
    engine: Engine
    precision: Precision
    _: KW_ONLY
    attention: str = "engine"
    skew: float = 1.0
    speculation: Speculation | None = None
    overlap: float = 0.0

    @cached_property
    def kernels(self) -> Kernels:
        """The engine's kernels on this chip, with the attention kernel the user chose."""
        own, tiles = self.engine.kernels, self.engine.grouped
        if own.vector_attention and self.chip.vendor == "NVIDIA":
            own = replace(own, vector_attention=False)
        if tiles and tiles.holds(self.rates.linear, self.chip.architecture, self.tp):
            own = replace(own, expert_rows=float(tiles.rows), expert_above=float(tiles.above), every_expert=tiles.every)
        return own if self.attention == "engine" else replace(own, **ATTENTION_KERNELS[self.attention])

    @cached_property
    def rates(self) -> Rates:
        """Peak rates this run uses, with the notes on what had to be replaced."""
        run = rates(self.chip, self.precision)
        return half_accumulated(run, self.chip) if self.engine.half_accumulate else run

    @cached_property
    def fabric(self) -> Fabric:
        """What collectives use: the chip's own link, else PCIe, with the engine's library on top."""
        return wires(self.chip, self.engine.collectives)

    @cached_property
    def drafting(self) -> Setup | None:
        """The setup that the draft of speculative decoding runs as; None without one, or where a lookup drafts."""
        plan = self.speculation
        if plan is None or plan.model is None:
            return None
        kept = replace(self, model=plan.model, tp=plan.tp, pp=1, ep=plan.ep, speculation=None)
        return replace(kept, spread="1d", kv_split="heads")

    @property
    def tokens_per_step(self) -> Real:
        """Tokens of each sequence that one decode step gives: one, or those of a round of speculative decoding."""
        return self.speculation.tokens_per_round if self.speculation else 1.0

    def ops(self, work: Workload) -> tuple[Op, ...]:
        """List the operators of one pass on one device of one replica, those of the draft included.

        With several micro-batches in a pipeline it is the pass of one of them.
        """
        plan = self.speculation
        if plan is None:
            return self._pass_ops(work)
        if not work.generating:
            return (*self._pass_ops(work), *self._draft_ops(work, 1.0))
        verified = replace(work, new=plan.rows, logits=plan.rows, generating=False)
        # The cache of the draft grows by a token with every pass: the mean over the round.
        drafted = replace(work, past=work.past + (plan.tokens - 1.0) / 2.0, generating=False)
        return (*self._pass_ops(verified), *self._draft_ops(drafted, float(plan.tokens)))

    def _draft_ops(self, work: Workload, passes: float) -> tuple[Op, ...]:
        own, plan = self.drafting, self.speculation
        if own is None or plan is None:
            return ()
        ops = (*own._pass_ops(work), *plan.joined(own._pass(work)))
        return tuple(op.repeated(op.count * passes, " (draft)") for op in ops)

    def between_steps_s(self, step_s: Real) -> Real:
        """Return the time from one decode step of a sequence to its next, when micro-batches take turns [s]."""
        return step_s if self.mb == 1 else pipeline_step_time(step_s, self.pp, self.mb)

    def _pass_ops(self, work: Workload) -> tuple[Op, ...]:
        run = self._pass(work)
        ops = transformer_ops(self.model.dimensions, run)
        most = self.kernels.piece_tokens
        if most and run.attended is None and np.any(np.asarray(run.work.tokens) > most):
            piece, count = run.work.pieces(most)
            ops = in_pieces(ops, transformer_ops(self.model.dimensions, replace(run, work=piece)), count)
        if self.pp == 1:
            return ops
        sent = run.work.tokens * self.model.dimensions.hidden * self.precision.activation_bytes
        # Two neighbouring stages: beyond the island when they do not fit into it together.
        ranks = 2 * self.tp * self.cp
        send = Op("pipeline_send", Group.NETWORK, "send", count=self.pp - 1.0, network_bytes=sent, ranks=ranks)
        return (*ops, send)

    @property
    def holders(self) -> int:
        """Devices of a stage among which the sequences are shared out: replicas, and the group if attention splits."""
        return self.dp * (self.tp if self.adp else 1)

    def _pass(self, work: Workload) -> Pass:
        """Return what one device computes of a micro-batch: the one with the most sequences, which sets the time."""
        ways = self.holders * self.mb
        local, attended = work if ways == 1 else replace(work, batch=np.ceil(work.batch / ways)), None
        if self.cp > 1:
            # Every device sees its share of each sequence's pairs, and computes whole tokens.
            attended = replace(local, batch=local.batch / self.cp)
            local = replace(local, batch=np.ceil(local.tokens / self.cp) / local.new)
        elif self.kv_split == "batch" and self.tp > 1 and not self.adp:
            attended = replace(local, batch=np.ceil(local.batch / self.tp))
        return Pass(local, self.precision, self.kernels, skew=self.skew, attended=attended, **split_of(self))

    def run(self, work: Workload) -> Step:
        """Price one pass. Arrays in the workload give a step of the same shape."""
        return price(self.ops(work), work.shape, self.chip, self.engine, self.rates, self.fabric, self.overlap)


def undivided(setup: Setup) -> Setup:
    """Return the same setup on one device: each piece of work is done once."""
    plan = setup.speculation and replace(setup.speculation, tp=1, ep=1)
    return Setup(setup.model, setup.chip, setup.engine, setup.precision, attention=setup.attention, speculation=plan)


def model_flops(setup: Setup, work: Workload) -> float:
    """Return the FLOPs that the model needs for a pass, whatever the devices do twice [FLOP]."""
    return float(sum(op.flops * op.count for op in undivided(setup).ops(work)))


def replicated_flops(setup: Setup, work: Workload) -> float:
    """Return the FLOPs of a pass that devices do beyond one copy: norms, routers, copies of KV heads [FLOP].

    Idle devices are no replication, and routed experts are never copied: counted on a batch that divides evenly,
    without them and without drafts. FLOPs grow in proportion to the batch.
    """
    devices = setup.tp * setup.dp * setup.cp
    if devices == 1:
        return 0.0
    even, setup = replace(work, batch=float(devices)), replace(setup, mb=1, speculation=None)

    def common(one: Setup) -> float:
        return float(sum(op.flops * op.count for op in one.ops(even) if not op.name.startswith("expert_")))

    beyond = common(setup) * devices - common(undivided(setup))
    return beyond * float(work.batch) / devices
