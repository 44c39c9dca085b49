"""Layouts: every way to spread a scenario over devices, priced by the engine, ranked, or rejected with the reason."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np

from perfmodel.dimensions import Dimensions
from perfmodel.estimate import setup
from perfmodel.formulas.collectives import bus_bandwidth
from perfmodel.formulas.combine import output_rate, price_per_million, request_time, simpson_mean
from perfmodel.formulas.layouts import devices_for_2d, speedup, tokens_for_gathered
from perfmodel.formulas.roofline import chip_seconds, request_cost
from perfmodel.memory import Memory
from perfmodel.ops import Op
from perfmodel.report import request_parts
from perfmodel.scenario import Scenario
from perfmodel.setup import Setup
from perfmodel.split import ONE_DEVICE, Split, split_of
from perfmodel.step import REGIMES, Step
from perfmodel.units import show, significant
from perfmodel.workload import answer_steps, prefill

Goal = Literal["latency", "first", "throughput", "cost"]
GOALS: tuple[Goal, ...] = get_args(Goal)

#: Device counts tried beside the scenario's own.
SIZES = (1, 2, 4, 8, 16, 32, 64)
#: Devices shown where the scenario has one only: a usual node.
AUTO_DEVICES = 8
#: Layouts of one number of devices that are looked at; a number with many divisors has more, those are counted.
MOST_LAYOUTS = 400
#: Beyond this share of the request spent on links, devices mostly wait for each other.
MOST_NETWORK = 0.5
NETWORK = REGIMES.index("network")
NAN = float("nan")
#: The ways of parallelism, outermost word first.
WORDS = {"tp": "tensor", "pp": "pipeline", "dp": "data", "cp": "context"}
#: The kinds of memory, in the order of `Layout.memory_parts`.
MEMORY = ("weights", "KV cache", "activations", "runtime")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout(Split):
    """One way to spread the scenario: its times as the estimate gives them, or why it is not taken.

    `parts_s`: decode step at context input + output/2 by regime [s]. `network_share`: of the whole request.
    `sent_bytes`: what one device sends in a decode step, by kind of collective [B]. `problem`: "" if nothing is wrong.
    """

    problem: str = ""
    ttft_s: float = NAN
    tpot_s: float = NAN
    e2e_s: float = NAN
    parts_s: tuple[float, ...] = ()
    network_share: float = NAN
    tokens_per_s: float = NAN
    usd_per_million_tokens: float = NAN
    memory_bytes: float = NAN
    memory_parts: tuple[float, ...] = ()
    sent_bytes: tuple[tuple[str, float], ...] = ()

    @property
    def n(self) -> int:
        """Devices in all."""
        return self.tp * self.pp * self.dp * self.cp

    @property
    def fields(self) -> dict[str, Any]:
        """The layout as fields of a scenario."""
        return {"n": self.n} | split_of(self)

    @property
    def label(self) -> str:
        """The layout in words: "tensor 4 × data 2, expert 8"."""
        used = [f"{word} {getattr(self, name)}" for name, word in WORDS.items() if getattr(self, name) > 1]
        more = {
            f"expert {self.ep}": self.ep > 1,
            f"{self.mb} micro-batches": self.mb > 1,
            "sequence parallel": self.sp,
            "attention by sequences": self.adp,
            f"weights {self.spread}": self.spread != "1d",
            "cache by sequences": self.kv_split != "heads",
        }
        return ", ".join([" × ".join(used) or "one device", *(text for text, holds in more.items() if holds)])

    @property
    def tokens_per_device(self) -> float:
        """Output tokens per second of each device [1/s]."""
        return self.tokens_per_s / self.n

    @property
    def step_s(self) -> float:
        """Decode step at context input + output/2 [s]."""
        return float(sum(self.parts_s)) if self.parts_s else NAN


@dataclass(frozen=True)
class Layouts:
    """All layouts looked at, those that hold and those rejected; `left_out` were too many to look at."""

    scenario: Scenario
    found: tuple[Layout, ...]
    left_out: int = 0

    def ranked(self, goal: Goal = "latency") -> tuple[Layout, ...]:
        """Return the layouts that hold, best first; among equals the one with fewer devices, then fewer stages.

        "cost" is dollars per million tokens: on one kind of chip the order of "throughput", which is per device.
        """
        if goal not in GOALS:
            raise ValueError(f"goal={goal!r} is not known; it must be one of {', '.join(GOALS)}")
        return tuple(sorted((one for one in self.found if not one.problem), key=lambda one: _rank(one, goal)))

    @property
    def rejected(self) -> tuple[Layout, ...]:
        """The layouts that do not hold, the nearest to holding first: the links too busy, no room, impossible."""
        return tuple(sorted((one for one in self.found if one.problem), key=_misses))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of devices among them."""
        return tuple(sorted({one.n for one in self.found}))


def _rank(one: Layout, goal: Goal) -> tuple[float, ...]:
    # Rounded, so that the last bit does not decide between a layout and its twin with more devices.
    value = {"latency": one.tpot_s, "first": one.ttft_s}.get(goal, -one.tokens_per_device)
    plain = sum(getattr(one, name) != usual for name, usual in ONE_DEVICE.items())
    return float(f"{value:.9e}"), one.n, plain, one.pp, one.dp, one.ep


def _misses(one: Layout) -> tuple[float, ...]:
    impossible, unpriced = math.isnan(one.memory_bytes), math.isnan(one.tpot_s)
    return float(impossible), float(unpriced), 0.0 if impossible else one.memory_bytes, one.n, one.tp, one.pp


def neutral(scenario: Scenario) -> Scenario:
    """Return the scenario on one device: its layouts do not depend on the one it has."""
    return scenario.change(n=1, **ONE_DEVICE)


def chosen_sizes(scenario: Scenario, choice: str | int) -> tuple[int, ...]:
    """Return the numbers of devices meant by "auto" (the scenario's own, eight where it has one), "any" or a number."""
    if choice == "auto":
        return (scenario.n if scenario.n > 1 else AUTO_DEVICES,)
    return () if choice == "any" else (int(choice),)


def layouts(scenario: Scenario, sizes: tuple[int, ...] = ()) -> Layouts:
    """Return the layouts of a scenario for these numbers of devices; without any, powers of two up to 64 and its own.

    Validity: as `estimate`: no queueing. Beside every way to share out the devices those options are tried that can
    pay there (`_options`), one at a time; others can be set by hand.
    """
    return _layouts(neutral(scenario), tuple(sorted(set(sizes or (*SIZES, scenario.n)))))


@lru_cache(maxsize=64)
def _layouts(scenario: Scenario, sizes: tuple[int, ...]) -> Layouts:
    found: list[Layout] = []
    left_out = 0
    for n in sizes:
        every = list(shapes(n, scenario.resolved_model.dimensions.experts))
        # Wide tensor groups and deep pipelines last: what is left out is what nobody would take.
        every.sort(key=lambda shape: (max(shape["tp"], shape["pp"]), tuple(shape.values())))
        tried = [shape | option for shape in every for option in ({}, *_options(scenario, shape))]
        left_out += max(0, len(tried) - MOST_LAYOUTS)
        found += [_evaluate(scenario, shape) for shape in tried[:MOST_LAYOUTS]]
    return Layouts(scenario, tuple(found), left_out)


def shapes(n: int, experts: int) -> Iterator[dict[str, int]]:
    """List tp, pp, dp, cp, ep for n devices; experts spread over part of a tensor group or over whole ones.

    Sequences are split where there is no pipeline: stages already share what long sequences fill.
    """
    for tp in _divisors(n):
        for pp in _divisors(n // tp):
            for cp in _divisors(n // tp // pp) if pp == 1 else (1,):
                dp = n // tp // pp // cp
                yield {"tp": tp, "pp": pp, "dp": dp, "cp": cp, "ep": 1}
                # Beside split sequences experts stay together or are spread over everything.
                for ep in (_divisors(tp * dp)[1:] if cp == 1 else {tp * dp} - {1}) if experts else ():
                    if experts % ep == 0 and (ep % tp == 0 or tp % ep == 0):
                        yield {"tp": tp, "pp": pp, "dp": dp, "cp": cp, "ep": ep}


def _options(scenario: Scenario, shape: dict[str, int]) -> Iterator[dict[str, Any]]:
    """List the further options of a shape that can pay there.

    A pipeline can be filled. A tensor group can split norms; where it has more devices than KV heads, the cache by
    sequences; with experts, attention; from 4 F/E devices on weights may be cut in 2D, and gathered for long prompts.
    """
    d, tp = scenario.resolved_model.dimensions, shape["tp"]
    if shape["pp"] > 1 and scenario.batch > 1:
        yield {"mb": shape["pp"]}
    if tp == 1 or shape["cp"] > 1 or shape["ep"] not in (1, tp * shape["dp"]):
        return
    yield {"sp": True}
    if d.experts:
        yield {"adp": True}
    by_sequence = d.heads > 0 and (tp > d.kv_heads or d.kv_lora > 0)
    if by_sequence:
        yield {"kv_split": "batch"}
    if not d.experts and tp > devices_for_2d(d.hidden, inner_width(d)):
        kept = {"kv_split": "batch"} if by_sequence else {}
        yield {"spread": "2d"} | kept
        if scenario.batch * scenario.input > tokens_for_gathered(d.hidden):
            yield {"spread": "2d/xyz"} | kept


def inner_width(d: Dimensions) -> float:
    """Return F, the inner width that a token passes: of the experts it is routed to, or the usual 4 d without any."""
    experts = d.top_k * d.expert_ffn + d.shared_ffn if d.experts else 0
    return float(experts or d.ffn or 4 * d.hidden)


@lru_cache(maxsize=256)
def _divisors(n: int) -> tuple[int, ...]:
    small = [k for k in range(1, math.isqrt(n) + 1) if n % k == 0]
    return tuple(sorted({*small, *(n // k for k in small)}))


def _evaluate(scenario: Scenario, shape: dict[str, Any]) -> Layout:
    plain = Layout(**shape)
    try:
        changed = scenario.change(**plain.fields)
    except ValueError as error:
        return replace(plain, problem=str(error))
    resolved = setup(changed)
    full = float(scenario.prefix + scenario.input + scenario.output)
    memory = Memory(resolved, float(scenario.batch), float(scenario.input), full)
    if memory.capacity > 0 and not memory.fits:
        needs = f"does not fit: {show(memory.total, 'B')} on each device, which has {show(memory.capacity, 'B')}"
        return replace(plain, problem=needs, memory_bytes=memory.total, memory_parts=memory.parts)
    return replace(_priced(changed, resolved, plain), memory_bytes=memory.total, memory_parts=memory.parts)


def _priced(s: Scenario, resolved: Setup, plain: Layout) -> Layout:
    first = resolved.run(prefill(s.batch, s.input, s.prefix))
    steps = resolved.run(answer_steps(s.batch, s.prefix, s.input, s.output))
    mean, middle = float(simpson_mean(*steps.time_s)), steps.at(1)
    ttft, tpot = request_parts(resolved, float(first.time_s), mean, float(middle.time_s), s.batch, s.output)
    ttft, tpot = float(ttft), float(tpot)
    e2e = float(request_time(ttft, tpot, s.output))
    waits = float(first.shares[NETWORK]) * ttft + float(middle.shares[NETWORK]) * (e2e - ttft)
    cost = request_cost(chip_seconds(s.n, e2e, s.batch), resolved.chip.usd_per_hour)
    share = waits / e2e
    return replace(
        plain,
        problem=f"communication-bound: links take {share:.0%} of the request" if share > MOST_NETWORK else "",
        ttft_s=ttft,
        tpot_s=tpot,
        e2e_s=e2e,
        parts_s=tuple(middle.parts_s.sum(axis=1).tolist()),
        network_share=share,
        tokens_per_s=float(output_rate(s.batch, s.output, e2e)),
        usd_per_million_tokens=float(price_per_million(cost, s.output)),
        sent_bytes=sent_bytes(middle),
    )


def sent_bytes(step: Step) -> tuple[tuple[str, float], ...]:
    """Return what one device sends in a pass, by kind of collective [B]; grids: in their first point."""
    sums: dict[str, float] = {}
    for op in step.ops:
        if op.ranks > 1 and op.network_bytes is not None:
            sums[op.kind] = sums.get(op.kind, 0.0) + op.count * op_sent_bytes(op)
    return tuple(sums.items())


def op_sent_bytes(op: Op) -> float:
    """Return what one device sends in one occurrence of an operator [B]; grids: in their first point."""
    buffer = float(np.ravel(op.network_bytes)[0])
    if op.kind == "send":
        return buffer
    # The convention of bus bandwidth, over one second: 2 (n - 1)/n of the buffer; an all-to-all sends half of that.
    volume = float(bus_bandwidth(buffer, float(op.ranks), 1.0))
    return volume if op.kind == "all_reduce" else volume / 2.0


def answer(found: Layouts, goal: Goal) -> str:
    """Return the best layout in one sentence, beside the runner-up and one device, with the scenario's numbers."""
    ranked, s = found.ranked(goal), found.scenario
    who = f"{s.resolved_model.name} on {s.resolved_gpu.name}"
    if not ranked:
        return _nothing(found, who)
    best = ranked[0]
    links = f"; links take {best.network_share:.0%} of the request" if best.n > 1 else ""
    text = (
        f"{who}: the best for {goal} is {_on(best)}, {show(best.tpot_s, 's')} per token and "
        f"{show(best.tokens_per_device)} tokens/s per device{links}"
    )
    alone = next((one for one in ranked if one.n == 1), None)
    if alone and best.n > 1:
        gain = speedup(alone.tpot_s, best.tpot_s)
        return f"{text}. That is {significant(gain)}× as fast as one device, for {best.n}× the devices."
    other = next((one for one in ranked[1:]), None)
    return f"{text}. The next is {_on(other)}, {show(other.tpot_s, 's')} per token." if other else f"{text}."


def _on(one: Layout) -> str:
    return f"{one.label} on {one.n} devices" if one.n > 1 else "one device"


def _nothing(found: Layouts, who: str) -> str:
    nearest = found.rejected[0]
    return (
        f"{who}: none of the {len(found.found)} layouts looked at holds. The nearest is {_on(nearest)}: "
        f"{nearest.problem}."
    )


def headline(found: Layouts, goal: Goal) -> list[tuple[str, str, str]]:
    """Return the numbers above the figures: label, text, help."""
    ranked = found.ranked(goal)
    rows = [
        ("Layouts that hold", f"{len(ranked)} of {len(found.found)}", "the others do not fit, do not divide, or wait"),
    ]
    if ranked:
        best = ranked[0]
        rows += [
            ("Best layout", best.label, "ranked by " + goal),
            ("Per token", show(best.tpot_s, "s"), "mean over the generation"),
            ("First token", show(best.ttft_s, "s"), "without queueing"),
            ("Tokens/s per device", show(best.tokens_per_device), "all output tokens over all devices"),
            ("Memory per device", show(best.memory_bytes, "B"), "at full length"),
        ]
    return rows


def table(found: Layouts, goal: Goal, most: int = 8) -> list[dict[str, str]]:
    """Return the best layouts as table rows."""
    return [
        {
            "layout": one.label,
            "devices": str(one.n),
            "per token": show(one.tpot_s, "s"),
            "first token": show(one.ttft_s, "s"),
            "tokens/s": show(one.tokens_per_s),
            "tokens/s per device": show(one.tokens_per_device),
            "USD per 10⁶ tokens": significant(one.usd_per_million_tokens),
            "links": f"{one.network_share:.0%}",
            "memory per device": show(one.memory_bytes, "B"),
        }
        for one in found.ranked(goal)[:most]
    ]


def rejected_table(found: Layouts, most: int = 100) -> list[dict[str, str]]:
    """Return the rejected layouts with the reason as table rows."""
    return [{"layout": one.label, "devices": str(one.n), "why not": one.problem} for one in found.rejected[:most]]
