"""FLOPs of a model, whatever devices share them: by block, role and layer, against rules of thumb and context."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from perfmodel.blocks import blocks, parameters
from perfmodel.dimensions import Dimensions
from perfmodel.formulas.flops import decoder_layer_flops
from perfmodel.formulas.types import Real
from perfmodel.ops import Group, Kernels, Op, Pass
from perfmodel.precision import Precision
from perfmodel.scenario import Scenario
from perfmodel.step import Step
from perfmodel.transformer import transformer_ops
from perfmodel.workload import Workload, decode, prefill

Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

#: Projections kept apart (Q, K, V, gate, up): the FLOPs are those of the merged ones.
SEPARATE, WIDE = Kernels(fused_qkv=False), Precision()
#: FLOPs of the classic decoder layer per token, by role, in units of d^2.
CLASSIC = {"Query": 2.0, "Key and value": 4.0, "Output": 2.0, "Feed-forward": 16.0}
#: What the first part of a projection's name says about its role; the rest belongs to state-space layers.
ROLES = {"q": "Query", "k": "Key and value", "v": "Key and value", "kv": "Key and value", "out": "Output"}
ROLES |= {"absorb": "Key and value", "expand": "Key and value", "index": "Indexer"}
MOST_POINTS = 1024


def flops_by_group(ops: Iterable[Op]) -> dict[Group, Real]:
    r"""FLOPs of a pass by the block they belong to.

    $$ F_g = \sum_{i \in g} n_i\,F_i $$

    Args:
        ops: operators of a pass with their counts: `step.ops`, or `model_ops` for the whole model

    Returns:
        group -> FLOPs, all occurrences; groups without FLOPs are left out [FLOP]

    Validity: scalar passes and grids alike.
    Source: article_cases S36.

    >>> from perfmodel import MODELS, decode
    >>> opt = MODELS["opt-6.7b"].dimensions
    >>> f = flops_by_group(model_ops(opt, decode(1, 0)))
    >>> round(f[Group.FFN] / f[Group.PROJECTIONS], 2)
    2.0
    """
    found: dict[Group, Real] = {}
    for op in ops:
        found[op.group] = found.get(op.group, 0.0) + op.flops * op.count
    return {group: found[group] for group in Group if group in found and np.any(found[group])}


def time_by_group(step: Step) -> dict[Group, float]:
    """Return the realistic time of a scalar pass by block, communication and engine step included [s]."""
    found: dict[Group, float] = {}
    for op, seconds in zip(step.ops, step.op_time_s.tolist(), strict=True):
        found[op.group] = found.get(op.group, 0.0) + seconds
    return {group: found[group] for group in Group if found.get(group)}


def model_ops(d: Dimensions, work: Workload, precision: Precision = WIDE) -> tuple[Op, ...]:
    """Return the operators of one pass over the whole model as if one device did it all, Q, K and V apart.

    >>> from perfmodel import MODELS, decode
    >>> [op.name for op in model_ops(MODELS["gpt-3-175b"].dimensions, decode(1, 0))][2:5]
    ['q_proj', 'k_proj', 'v_proj']
    """
    return transformer_ops(d, Pass(work, precision, SEPARATE))


def total_flops(ops: Iterable[Op]) -> Real:
    """Return the FLOPs of all operators and occurrences [FLOP]."""
    return sum(op.flops * op.count for op in ops)


@dataclass(frozen=True)
class Phase:
    """One pass of a scenario over the whole model."""

    name: str
    work: Workload
    ops: tuple[Op, ...]

    @property
    def context(self) -> float:
        """Context of the last token [tokens]."""
        return float(self.work.context)

    @property
    def groups(self) -> dict[Group, Real]:
        """FLOPs by block [FLOP]."""
        return flops_by_group(self.ops)

    @property
    def flops(self) -> float:
        """FLOPs of the pass [FLOP]."""
        return float(total_flops(self.ops))

    @property
    def flops_per_token(self) -> float:
        """FLOPs per token computed [FLOP]."""
        return self.flops / float(self.work.tokens)


@lru_cache(maxsize=256)
def phases(scenario: Scenario) -> tuple[Phase, Phase]:
    """Return prefill and the decode step at context input + output/2 of a scenario."""
    d, start = scenario.resolved_model.dimensions, scenario.prefix + scenario.input
    first = prefill(scenario.batch, scenario.input, scenario.prefix)
    step = decode(scenario.batch, start + scenario.output / 2.0)
    kept = scenario.precision
    return Phase("Prefill", first, model_ops(d, first, kept)), Phase("Decode", step, model_ops(d, step, kept))


def role(op: Op) -> str:
    """Return what an operator is for: Query, Key and value, Output, Feed-forward, ...

    Attention is its two products alone; rotary, norms and activations are "Vector work".
    """
    if op.kind == "elementwise" and op.group != Group.STATE:
        return "Vector work"
    if op.group == Group.PROJECTIONS:
        return ROLES.get(op.name.split("_")[0], "State space")
    return op.group.value


def linear_multiples(d: Dimensions) -> dict[str, float]:
    r"""FLOPs of the linear layers per token and layer, by role, in units of d^2.

    $$ q = 2 h d_h/d,\quad kv = 4 n_{kv} d_h/d,\quad o = 2 h d_h/d,\quad f = 2 m\,d_{ff}/d $$

    Args:
        d: model dimensions; m is three matrices if the FFN is gated, else two

    Returns:
        role -> multiple of d^2, mean over the layers; the classic decoder has 2, 4, 2, 16 [1]

    Validity: any mix of layers; experts count as far as a token passes through them.
    Source: article_cases S36, S37.

    >>> from perfmodel import MODELS
    >>> linear_multiples(MODELS["gpt-3-175b"].dimensions)
    {'Query': 2.0, 'Key and value': 4.0, 'Output': 2.0, 'Feed-forward': 16.0}
    """
    unit = float(d.layers) * d.hidden * d.hidden
    found: dict[str, float] = {}
    for op in model_ops(d, decode(1, 0)):
        if op.kind == "matmul" and op.group != Group.HEAD:
            found[role(op)] = found.get(role(op), 0.0) + float(op.flops * op.count) / unit
    return found


@dataclass(frozen=True)
class Rules:
    """The two rules of thumb beside the exact count, all per token [FLOP].

    `classic`: 24 d^2 per layer; `params`: 2 x active parameters, by block; `prefill`, `decode`: exact, by block.
    """

    classic: dict[Group, float]
    params: dict[Group, float]
    prefill: dict[Group, float]
    decode: dict[Group, float]

    def ratio(self, rule: str, phase: str = "decode") -> float:
        """Return exact count over rule: above one, the rule promises too little."""
        return self.total(phase) / self.total(rule)

    def total(self, row: str) -> float:
        """Return the sum over the blocks of one row: classic, params, prefill or decode [FLOP per token]."""
        return float(sum(getattr(self, row).values()))


def flops_per_token_rules(scenario: Scenario) -> Rules:
    r"""Set 24 d^2 per layer and 2 x active parameters against the exact FLOPs per token.

    $$ F_{24} = 24\,L\,d^2,\qquad F_{2P} = 2\,P_{\text{active}} $$

    Args:
        scenario: the model, its batch and its lengths

    Returns:
        both rules and both phases by block [FLOP per token]

    Validity: neither rule knows the context; 2P counts the embedding, which is a gather, once more.
    Source: article_cases S36; traps 10.

    >>> from perfmodel import Scenario
    >>> round(flops_per_token_rules(Scenario(model="opt-6.7b", input=1024, output=1)).ratio("classic"), 2)
    1.07
    """
    d = scenario.resolved_model.dimensions
    p, layer = parameters(d), decoder_layer_flops(float(d.hidden), 1.0) * d.layers
    first, step = phases(scenario)
    return Rules(
        classic={Group.PROJECTIONS: layer / 3.0, Group.FFN: layer * 2.0 / 3.0},
        params={
            Group.PROJECTIONS: 2.0 * p.attention,
            Group.FFN: 2.0 * p.ffn_active,
            Group.NORMS: 2.0 * p.norms,
            Group.HEAD: 2.0 * p.head,
            Group.EMBEDDING: 2.0 * p.embedding,
        },
        prefill={group: float(flops) / float(first.work.tokens) for group, flops in first.groups.items()},
        decode={group: float(flops) / float(step.work.tokens) for group, flops in step.groups.items()},
    )


def classic_differences(scenario: Scenario) -> dict[str, float]:
    """Return what separates one decoded token from 24 d^2 per layer, by role [FLOP]; the sum is the whole difference.

    >>> from perfmodel import Scenario
    >>> found = classic_differences(Scenario(model="gpt-3-175b", input=1024))
    >>> sorted(name for name, flops in found.items() if flops)
    ['Attention scores and values', 'LM head', 'Vector work']
    """
    d, step = scenario.resolved_model.dimensions, phases(scenario)[1]
    square = 1.0 * d.layers * d.hidden * d.hidden
    found = {name: -multiple * square for name, multiple in CLASSIC.items()}
    for op in step.ops:
        found[role(op)] = found.get(role(op), 0.0) + float(op.flops * op.count) / float(step.work.tokens)
    return found


def layer_groups(scenario: Scenario, phase: str) -> tuple[dict[Group, float], ...]:
    """Return the FLOPs per token of every layer by block, in order of depth; `phase` is prefill or decode.

    >>> from perfmodel import Scenario
    >>> layers = layer_groups(Scenario(model="gemma-3-27b", input=8192), "decode")
    >>> [round(layer[Group.ATTENTION] / layers[0][Group.ATTENTION]) for layer in layers[:6]]
    [1, 1, 1, 1, 1, 8]
    """
    d, chosen = scenario.resolved_model.dimensions, phases(scenario)[phase == "decode"]
    first_reuse = d.layers - d.shared_kv_layers
    codes = [(*code, i >= first_reuse) for i, code in enumerate(d.pattern())]
    kinds = list(dict.fromkeys(codes))
    outside = {"embedding", "final_norm", "lm_head", "sampling"}
    inside = [op for op in chosen.ops if op.name not in outside]
    found = []
    for index in range(len(kinds)):
        # transformer_ops names the kind of layer at the end, when there is more than one.
        own = [op for op in inside if len(kinds) == 1 or op.name.endswith(f" [{index + 1}]")]
        tokens = float(chosen.work.tokens) * blocks(d)[index].count
        found.append({group: float(flops) / tokens for group, flops in flops_by_group(own).items()})
    return tuple(found[kinds.index(code)] for code in codes)


@dataclass(frozen=True)
class AttentionCurve:
    """Scores and values over linear layers, per decoded token, against the context.

    `equal`: context at which they cost the same; None if they never do (all windows, or no attention).
    """

    context: Array
    ratio: Array
    equal: float | None

    def at(self, context: float) -> float:
        """Return the ratio at one context."""
        return float(np.interp(context, self.context, self.ratio))


@lru_cache(maxsize=256)
def attention_curve(d: Dimensions) -> AttentionCurve:
    r"""Cost of attention scores and values over that of the linear layers, against the context.

    $$ \frac{4\,T\,h\,d_h}{24\,d^2} = \frac{T}{6d} \text{ for the classic decoder} $$

    Args:
        d: model dimensions

    Returns:
        contexts from 1 to 2^30, ratios (exact between them while no window ends), break-even context

    Validity: decode; LM head, rotary and norms not counted; windows and sparse attention flatten the curve.
    Source: article_cases S38, E10.

    >>> from perfmodel import MODELS
    >>> curve = attention_curve(MODELS["opt-6.7b"].dimensions)
    >>> round(curve.at(2048), 3), round(curve.at(4096), 3), round(curve.equal or 0)
    (0.083, 0.167, 24576)
    """
    context = np.unique(np.concatenate((np.geomspace(1.0, 2.0**30, 1200), np.maximum([d.window, d.index_top_k], 1.0))))
    ops = model_ops(d, decode(1, context - 1.0))
    scores = total_flops(op for op in ops if op.kind == "attention")
    linear = total_flops(op for op in ops if op.kind == "matmul" and op.group != Group.HEAD)
    ratio = np.broadcast_to(np.asarray(scores / linear), context.shape)
    equal = float(np.interp(1.0, ratio, context)) if ratio[-1] > 1.0 else None
    return AttentionCurve(context, ratio, equal)


@dataclass(frozen=True)
class Generation:
    """Cumulated FLOPs of generating tokens one by one, with and without a KV cache, one sequence."""

    tokens: Array
    cached: Array
    uncached: Array

    @property
    def ratio(self) -> float:
        """How many times more FLOPs the whole generation costs without a cache."""
        return float(self.uncached[-1] / self.cached[-1])


def generation(scenario: Scenario) -> Generation:
    r"""FLOPs of a request, prompt included, with a KV cache and with the whole prefix recomputed at each token.

    $$ F_{\text{cached}} = P(S) + \sum_{i=1}^{n-1} D(S+i-1), \qquad F_{\text{uncached}} = \sum_{i=0}^{n-1} P(S+i) $$

    Args:
        scenario: prompt S = prefix + input and output n; P(t) a prefill of t tokens, D(t) one step behind t

    Returns:
        cumulated FLOPs after each of at most 1024 counts of generated tokens [FLOP]

    Validity: one sequence; exact up to 1024 tokens, trapezoid sums between the points beyond.
    Source: article_cases S39.

    >>> from perfmodel import Scenario
    >>> round(generation(Scenario(model="gpt-3-175b", input=1, output=2000)).ratio)
    993
    """
    d, start = scenario.resolved_model.dimensions, float(scenario.prefix + scenario.input)
    tokens = np.unique(np.round(np.linspace(1.0, scenario.output, min(scenario.output, MOST_POINTS))))
    passes = prefill(1, start + tokens - 1.0), decode(1, start + tokens - 2.0)
    # Without attention the cost of a step does not depend on the context: a number, not an array.
    whole, step = (np.broadcast_to(total_flops(model_ops(d, work)), tokens.shape) for work in passes)
    # The first token comes out of the prompt's own pass, cache or not.
    return Generation(tokens, _cumulated(whole[0], step, tokens), _cumulated(whole[0], whole, tokens))


def _cumulated(first: float, each: Array, tokens: Array) -> Array:
    # Sum over the whole numbers of each gap: trapezoid plus half the difference, exact for gaps of one.
    gaps = np.diff(tokens) * (each[:-1] + each[1:]) / 2.0 + np.diff(each) / 2.0
    return first + np.concatenate(([0.0], np.cumsum(gaps)))
