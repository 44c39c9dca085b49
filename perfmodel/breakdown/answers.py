"""The answers of the two pages in one sentence each, with the numbers of the scenario; and when an article differs."""

from __future__ import annotations

from perfmodel.breakdown.flops import Phase, Rules, flops_per_token_rules, phases
from perfmodel.breakdown.memory import kv_variants
from perfmodel.memory import Memory
from perfmodel.report import Report
from perfmodel.units import show, significant

#: From here on a number is the search limit of `Memory`, not a property of the device.
NO_LIMIT = 1e9


def flops_answer(report: Report) -> str:
    """Return where the FLOPs of a scenario go.

    >>> from perfmodel import Scenario, estimate
    >>> flops_answer(estimate(Scenario()))[:88]
    'At 2,177 tokens of context a generated token costs 16.2 GFLOP: feed-forward 70%, attenti'
    """
    first, step = phases(report.scenario)
    rules = flops_per_token_rules(report.scenario)
    sequences = "sequence" if report.scenario.batch == 1 else "sequences"
    return (
        f"At {step.context:,.0f} tokens of context a generated token costs {show(step.flops_per_token, 'FLOP')}: "
        f"{_parts(step)}. That is {_rules(rules)}. "
        f"A decode step of {report.scenario.batch:,} {sequences} costs {show(step.flops, 'FLOP')}, "
        f"the prefill of {first.work.tokens:,.0f} tokens {show(first.flops, 'FLOP')}."
    )


def _parts(step: Phase) -> str:
    ranked = sorted(step.groups.items(), key=lambda item: -float(item[1]))[:4]
    named = ((_lower(group.value), float(flops) / step.flops) for group, flops in ranked)
    return ", ".join(f"{name} {share:.0%}" for name, share in named if share >= 0.005)


def _lower(name: str) -> str:
    return name if name.startswith("LM") else name[0].lower() + name[1:]


def _rules(rules: Rules) -> str:
    return (
        f"{significant(rules.ratio('classic'))} × the rule of 24 d² per layer "
        f"and {significant(rules.ratio('params'))} × the rule of 2 × active parameters"
    )


def memory_answer(report: Report) -> str:
    """Return what the KV cache of a scenario takes and how much more would fit.

    >>> from perfmodel import Scenario, estimate
    >>> memory_answer(estimate(Scenario()))[:58]
    'One token of context costs 131 kB of KV cache, 4 times les'
    """
    memory, scenario = report.memory, report.scenario
    factor = next((v.factor for v in kv_variants(scenario) if v.own), 1.0)
    less = f", {significant(factor)} times less than with multi-head attention" if factor > 1.0 else ""
    each = "each device" if scenario.n > 1 else "the device"
    return (
        f"One token of context costs {show(report.kv_bytes_per_token, 'B')} of KV cache{less}. "
        f"{scenario.batch:,} × {memory.context:,.0f} tokens hold {show(memory.cache, 'B')} on {each}, "
        f"beside {show(memory.weights, 'B')} of weights. {_room(memory)}"
    )


def _room(memory: Memory) -> str:
    if not memory.capacity > 0:
        return "How much memory this accelerator has is not published, so what fits is unknown."
    there = show(memory.capacity, "B")
    filled = significant(memory.weights / memory.capacity)
    if memory.weights > memory.capacity:
        return f"**It does not fit**: the weights alone fill {filled} times the {there} that are there."
    if not memory.largest_batch:
        return (
            f"**It does not fit**: not even one sequence of this length finds room in the {there} beside the weights."
        )
    batch, context = limits(memory)
    trained = memory.setup.model.dimensions.max_context
    if memory.longest_context > trained:
        context += f" (the model ends at {trained:,})"
    limit = f"Largest batch at this length: {batch}. Longest context at this batch: {context}."
    if not memory.fits:
        return f"**It does not fit**: {show(memory.total, 'B')} are needed, {there} are there. {limit}"
    return f"In all, {show(memory.total, 'B')} of {there} are used. {limit}"


def limits(memory: Memory) -> tuple[str, str]:
    """Return the largest batch and the longest context as words: a number, or why there is none."""
    if not memory.capacity > 0:
        return "unknown", "unknown"
    found = (memory.largest_batch, memory.longest_context)
    first, second = ("not limited by memory" if n >= NO_LIMIT else f"{n:,}" if n else "none" for n in found)
    return first, second
