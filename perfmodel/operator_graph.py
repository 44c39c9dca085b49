"""The operators of one pass as a graph: what feeds what, identical layers drawn once.

The engine lists operators in order; the graph adds the flow between them, which timing does not need: projections that
read the same input stand side by side, residual connections go around each branch, a parallel block has both branches
under one norm. An operator that runs at several places of a layer (norms, all-reduces, dispatch and combine) is drawn
at each of them, with its share of the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from perfmodel.attention import Attention, LatentAttention
from perfmodel.blocks import Block, blocks
from perfmodel.dimensions import MIXERS, Dimensions
from perfmodel.ffn import MoE
from perfmodel.report import Report
from perfmodel.ssm import StateSpace

#: Rows of the sequence mixer, top to bottom; what stands in one row reads the same or independent inputs.
MIXER_ROWS: tuple[tuple[str, ...], ...] = (
    ("qkv_proj",),
    ("in_proj",),
    ("conv",),
    ("x_proj",),
    ("dt_proj",),
    ("state_scan",),
    ("q_down", "kv_down", "index_key"),
    ("q_up", "index_query"),
    ("q_proj", "k_proj", "v_proj"),
    ("rope_and_cache", "cache_write", "index_scores"),
    ("absorb_query", "kv_up"),
    ("attention",),
    ("expand_value",),
    ("out_proj",),
)
#: Rows of the feed-forward block; routed experts at the left of the shared ones.
FFN_ROWS: tuple[tuple[str, ...], ...] = (
    ("router",),
    ("dispatch",),
    ("exchange",),
    ("gate_proj", "up_proj", "gate_up_proj"),
    ("activation",),
    ("down_proj",),
    ("expert_gate_up", "expert_up", "shared_gate_proj", "shared_up_proj", "shared_gate_up_proj"),
    ("expert_activation", "shared_activation"),
    ("expert_down", "shared_down_proj"),
    ("return",),
    ("combine",),
)
#: Node -> where its input comes from: each name that is there counts; IN is the input of the branch.
IN = "in"
INPUTS: dict[str, tuple[str, ...]] = {
    "q_up": ("q_down",),
    "index_query": ("q_down",),
    "rope_and_cache": ("qkv_proj", "q_proj", "k_proj", "v_proj", "q_up", "kv_down"),
    "cache_write": ("qkv_proj", "q_proj", "k_proj", "v_proj"),
    "index_scores": ("index_query", "index_key"),
    "absorb_query": ("rope_and_cache",),
    "kv_up": ("rope_and_cache",),
    "attention": ("rope_and_cache", "cache_write", "absorb_query", "kv_up", "index_scores"),
    "expand_value": ("attention",),
    "out_proj": ("expand_value", "attention", "state_scan"),
    "conv": ("in_proj",),
    "x_proj": ("conv",),
    "dt_proj": ("x_proj",),
    "state_scan": ("dt_proj", "x_proj", "conv"),
    "activation": ("gate_up_proj", "gate_proj", "up_proj"),
    "down_proj": ("activation",),
    "dispatch": ("router",),
    "exchange": ("dispatch",),
    "expert_gate_up": ("exchange", "dispatch"),
    "expert_up": ("exchange", "dispatch"),
    "expert_activation": ("expert_gate_up", "expert_up"),
    "expert_down": ("expert_activation",),
    "return": ("expert_down",),
    "combine": ("return", "expert_down"),
    "shared_activation": ("shared_gate_up_proj", "shared_gate_proj", "shared_up_proj"),
    "shared_down_proj": ("shared_activation",),
}
#: Nodes for which only the nearest of their inputs counts: the others reach them through it.
_NEAREST = frozenset(("out_proj", "state_scan", "expert_gate_up", "expert_up", "combine"))
#: Operators that stand for two places of a layer, on the way out and back.
_TWICE = {"dispatch_combine": ("dispatch", "combine"), "all_to_all": ("exchange", "return")}
_OPERATOR = {place: name for name, places in _TWICE.items() for place in places}


@dataclass(frozen=True, slots=True)
class Node:
    """A place where an operator runs. `op`: its name in the pass, "" for a sum; `share` of its time spent here.

    `row` from the top; `left` and `right` from 0 to 1 across the drawing.
    """

    id: str
    op: str
    label: str
    row: float
    left: float = 0.0
    right: float = 1.0
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Edge:
    """Data that flows from one node to another; a residual goes around a branch."""

    start: str
    end: str
    residual: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """Identical layers drawn once: how many, of what kind, and the rows they take."""

    title: str
    count: int
    first: float
    last: float


@dataclass
class Graph:
    """All nodes, edges and sections of one pass, top to bottom."""

    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    rows: float = 0.0
    tip: str = ""

    def put(self, id: str, op: str, label: str, share: float = 1.0, height: float = 1.0) -> None:
        """Add a node across the whole drawing below all others, fed by the last one."""
        self.nodes.append(Node(id, op, label, self.rows, share=share))
        if self.tip:
            self.edges.append(Edge(self.tip, id))
        self.tip, self.rows = id, self.rows + height

    def sum(self, id: str, branches: Iterable[str], around: str) -> None:
        """Add the sum of branches and of the residual stream that went around them."""
        self.nodes.append(Node(id, "", "+", self.rows - 0.2))
        self.edges += [Edge(branch, id) for branch in branches]
        if around:
            self.edges.append(Edge(around, id, residual=True))
        self.tip, self.rows = id, self.rows + 0.6


def graph(report: Report, phase: str) -> Graph:
    """Return the graph of "prefill" or "decode": the model, then the draft where there is one."""
    step = report.prefill if phase == "prefill" else report.decode
    names = [op.name for op in step.ops]
    drafts = [name for name in names if name.endswith(DRAFT)]
    found, draft = Graph(), report.setup.drafting
    _model(found, report.setup.model.dimensions, [name for name in names if name not in drafts], "")
    if draft is not None:
        _model(found, draft.model.dimensions, drafts, DRAFT)
    drawn = {node.op for node in found.nodes}
    for name in names:
        if name not in drawn:
            found.put(name, name, _label(name.removesuffix(DRAFT)))
    return found


def _model(found: Graph, d: Dimensions, names: Sequence[str], tail: str) -> None:
    """Add a pass of one model; `tail` is what its operators' names end in."""
    found.put(f"embedding{tail}", f"embedding{tail}", "embedding")
    kinds = blocks(d)
    for index, block in enumerate(kinds):
        suffix = (f" [{index + 1}]" if len(kinds) > 1 else "") + tail
        bare = {name.removesuffix(suffix) for name in names if name.endswith(suffix)}
        _section(found, d, block, suffix, {name for name in bare if name not in HEAD and "[" not in name})
    for name in HEAD:
        if name + tail in names and name != "embedding":
            found.put(name + tail, name + tail, _label(name))


#: What ends the names of a draft's operators.
DRAFT = " (draft)"
#: Operators outside the layers, in order.
HEAD = ("embedding", "final_norm", "lm_head", "sampling", "pipeline_send", "engine_step")
#: Collectives before and after a branch; those without a name in front are shared by the branches.
ALL_TO_ALL = "attention_all_to_all"
BEFORE = ("gather_weights", "gather_width", "all_gather")
AFTER = ("scatter_inner", "gather_inner", "scatter_width", "reduce_scatter", "all_reduce")
RINGS = (("kv_ring", "query_ring", ALL_TO_ALL), ("partial_outputs", "state_handover", ALL_TO_ALL))
_LABELS = {
    "lm_head": "LM head",
    "qkv_proj": "QKV proj",
    "q_proj": "Q proj",
    "k_proj": "K proj",
    "v_proj": "V proj",
    "kv_down": "KV down",
    "kv_up": "KV up",
    "q_down": "Q down",
    "q_up": "Q up",
    "out_proj": "O proj",
    "rope_and_cache": "RoPE, cache",
    "absorb_query": "absorb Q",
    "expand_value": "expand V",
    "all_reduce": "all-reduce",
    "attention_all_to_all": "all-to-all",
    "exchange": "all-to-all",
    "return": "all-to-all",
    "pipeline_send": "to the next stage",
    "engine_step": "engine step (host)",
}


def _label(name: str) -> str:
    return _LABELS.get(name, name.replace("_", " "))


def _section(found: Graph, d: Dimensions, block: Block, suffix: str, there: set[str]) -> None:
    """Add one kind of layer: its norms, its branches, its collectives, its sums."""
    found.rows += 1.0
    first = found.rows - 0.9
    there |= {place for name, places in _TWICE.items() if name in there for place in places}
    before, after = _norms(block)
    parts = (("attention", block.mixer, MIXER_ROWS), ("ffn", block.ffn, FFN_ROWS))
    branches = [(name, rows) for name, part, rows in parts if part]
    if d.parallel_block and len(branches) == 2:
        _parallel(found, there, suffix, sum(before), [rows for _, rows in branches], block.norms)
    else:
        for index, (name, rows) in enumerate(branches):
            entry = found.tip
            _add_norms(found, f"in{index}", suffix, before[index], block.norms)
            _send(found, there, suffix, 0, (name,), len(branches))
            ends = _branch(found, there, suffix, rows, 0.0, 1.0)
            if len(ends) > 1:
                found.sum(f"join{index}{suffix}", ends, "")
            else:
                found.tip = ends[0]
            _send(found, there, suffix, 1, (name,), len(branches))
            _add_norms(found, f"out{index}", suffix, after[index], block.norms)
            found.sum(f"add{index}{suffix}", [found.tip], entry)
    found.sections.append(Section(kind_words(block), block.count, first, found.rows - 0.25))
    found.rows += 0.15


def _send(found: Graph, there: set[str], suffix: str, side: int, names: tuple[str, ...], branches: int) -> None:
    """Add the collectives before (0) or after (1) branches; those that all branches share by their part."""
    own = [f"{name}_{what}" for name in names for what in (BEFORE, AFTER)[side]]
    rings = RINGS[side] if "attention" in names else ()
    shared = [name for name in (BEFORE, AFTER)[side] if name in there]
    for name in (*(name for name in (*own, *rings) if name in there), *shared):
        share = 0.5 if name == ALL_TO_ALL else 1.0 / branches if name in shared else 1.0
        found.put(f"{name} {side} {names[0]}{suffix}", f"{name}{suffix}", _label(name), share)


def _parallel(
    found: Graph, there: set[str], suffix: str, before: int, branches: Sequence[tuple[tuple[str, ...], ...]], norms: int
) -> None:
    """Add a block whose attention and feed-forward read the same input and are added together."""
    entry, both = found.tip, ("attention", "ffn")
    ends: list[str] = []
    _add_norms(found, "in", suffix, before, norms)
    _send(found, there, suffix, 0, both, 1)
    top, start = found.rows, found.tip
    depth = top
    for index, rows in enumerate(branches):
        found.rows, found.tip = top, start
        ends += _branch(found, there, suffix, rows, index / 2.0, (index + 1) / 2.0)
        depth = max(depth, found.rows)
    found.rows = depth
    found.sum(f"both{suffix}", ends, "")
    _send(found, there, suffix, 1, both, 1)
    found.sum(f"add{suffix}", [found.tip], entry)


def _norms(block: Block) -> tuple[list[int], list[int]]:
    """Return how many norms stand before and after each branch; the dimensions tell only how many there are."""
    branches = int(block.mixer is not None) + int(block.ffn is not None)
    before, after = [0] * max(1, branches), [0] * max(1, branches)
    places = [(before, i) for i in range(branches)] + [(after, i) for i in range(branches)]
    for index in range(block.norms):
        side, place = places[min(index, len(places) - 1)]
        side[place] += 1
    return before, after


def _add_norms(found: Graph, place: str, suffix: str, count: int, norms: int) -> None:
    if count:
        label = "norm" if count == 1 else f"{count} norms"
        found.put(f"norm {place}{suffix}", f"norms{suffix}", label, count / norms)


def _branch(
    found: Graph, there: set[str], suffix: str, rows: tuple[tuple[str, ...], ...], left: float, right: float
) -> list[str]:
    """Add the rows of a branch between two edges of the drawing; return the nodes that nothing in it reads."""
    entry, ends = found.tip, dict[str, str]()
    columns = _columns(there, rows)
    for row in rows:
        present = [name for name in row if name in there]
        for name in present:
            low, high = columns[name]
            width = right - left
            op = f"{_OPERATOR.get(name, name)}{suffix}"
            label, share = _label(name), 0.5 if name in _OPERATOR else 1.0
            node = Node(f"{name}{suffix}", op, label, found.rows, left + low * width, left + high * width, share)
            found.nodes.append(node)
            for source in _sources(name, there):
                found.edges.append(Edge(f"{source}{suffix}" if source != IN else entry, node.id))
                ends.pop(source, None)
            ends[name] = node.id
        found.rows += 1.0 if present else 0.0
    return list(ends.values())


def _sources(name: str, there: set[str]) -> list[str]:
    known = [source for source in INPUTS.get(name, ()) if source in there]
    if name == "attention" and {"absorb_query", "kv_up"} & there:
        known = [source for source in known if source != "rope_and_cache"]
    return (known[:1] if name in _NEAREST else known) or [IN]


def _columns(there: set[str], rows: tuple[tuple[str, ...], ...]) -> dict[str, tuple[float, float]]:
    """Return left and right edge of every node: a row is shared out evenly, shared experts keep the right half."""
    shared = any(name.startswith("shared_") for name in there)
    found: dict[str, tuple[float, float]] = {}
    for row in rows:
        present = [name for name in row if name in there]
        right = [name for name in present if name.startswith("shared_")]
        sides = ((0.0, 0.5, [n for n in present if n not in right]), (0.5, 1.0, right)) if right else ()
        halved = shared and present and set(present) <= {"dispatch", "exchange", "return", "combine"}
        for low, high, names in sides or ((0.0, 0.5 if halved else 1.0, present),):
            for index, name in enumerate(names):
                width = (high - low) / len(names)
                found[name] = (low + index * width, low + (index + 1) * width)
    return found


def kind_words(block: Block) -> str:
    """Return what a kind of layer consists of: "grouped-query attention 32:8, mixture of 8 experts, 2 a token"."""
    parts = []
    if isinstance(block.mixer, Attention):
        heads, shared = block.mixer.heads, block.mixer.kv_heads
        kind = "multi-head" if heads == shared else "multi-query" if shared == 1 else "grouped-query"
        window = f", window {block.mixer.window:,}" if block.mixer.window else ""
        parts.append(f"{kind} attention {heads}:{shared}{window}")
    elif isinstance(block.mixer, LatentAttention):
        parts.append("latent attention" + (f", {block.mixer.index_top_k:,} tokens" if block.mixer.index_top_k else ""))
    elif isinstance(block.mixer, StateSpace):
        parts.append(MIXERS[block.mixer.kind])
    if isinstance(block.ffn, MoE):
        shared_words = " + shared" if block.ffn.shared else ""
        parts.append(f"{block.ffn.top_k} of {block.ffn.experts:,} experts{shared_words}")
    elif block.ffn:
        parts.append("gated feed-forward" if block.ffn.gated else "feed-forward")
    return ", ".join(parts)
