"""The graph of a pass has every operator once, in an order that data can flow; it is that of the architecture."""

import csv
import io
import math
from itertools import pairwise

import pytest

from perfmodel import MODELS, Report, Scenario, cached_estimate
from perfmodel.blocks import blocks
from perfmodel.figures import explorer
from perfmodel.operator_graph import Graph, graph
from tests.test_explain import SCENARIOS as MIXED
from tests.test_pages import check, link, run

PHASES = ("decode", "prefill")
SCENARIOS = [Scenario(**fields) for fields in MIXED.values()]
#: One model of each architecture: what its kinds of layers consist of.
KINDS = {
    tuple((b.label.split()[0], type(b.mixer), type(b.ffn), b.norms) for b in blocks(MODELS[model].dimensions)): model
    for model in MODELS
}
SCENARIOS += [Scenario(model=model, input=256, batch=2) for model in KINDS.values()]
SCENARIOS += [Scenario(model="falcon-40b", n=2, tp=2), Scenario(model="falcon-7b", engine="eager")]
SCENARIOS += [Scenario(model="mixtral-8x7b", n=16, tp=2, dp=8, ep=8, batch=16)]
#: Layouts with collectives of their own, and drafts.
LAYOUTS: tuple[dict[str, object], ...] = (
    {"sp": True}, {"spread": "2d"}, {"spread": "x"}, {"spread": "2d/xyz"}, {"kv_split": "batch"},
    {"model": "mixtral-8x7b", "adp": True}, {"model": "jamba-1.5-mini", "sp": True},
    {"model": "falcon-40b", "spread": "2d"}, {"model": "falcon-40b", "kv_split": "batch"},
)  # fmt: skip
SCENARIOS += [Scenario(n=4, tp=4, batch=8, **fields) for fields in LAYOUTS]
SCENARIOS += [
    Scenario(n=4, cp=4),
    Scenario(model="gemma-3-27b", n=4, cp=4),
    Scenario(model="jamba-1.5-mini", n=4, cp=4),
]
SCENARIOS += [
    Scenario(model="llama-3.1-70b", n=4, tp=4, draft="llama-3.1-8b", spec=4),
    Scenario(model="deepseek-v3", n=8, tp=8, weights="fp8", draft="mtp", spec=1),
]


def inputs(drawing: Graph, id: str) -> set[str]:
    """The nodes that a node reads, by the names before the kind of layer."""
    return {edge.start.partition(" [")[0] for edge in drawing.edges if edge.end == id}


def layers(report: Report) -> int:
    """The layers of the model and of its draft."""
    draft = report.setup.drafting
    return report.setup.model.dimensions.layers + (draft.model.dimensions.layers if draft else 0)


def drawn(phase: str = "decode", **fields: object) -> Graph:
    """The graph of the default scenario with some fields changed."""
    return graph(cached_estimate(Scenario(**fields)), phase)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.model)
def test_every_operator_is_drawn_once(scenario: Scenario, phase: str) -> None:
    """Over its places in the graph every operator of the pass is shown once, and nothing else is shown."""
    report = cached_estimate(scenario)
    step = report.prefill if phase == "prefill" else report.decode
    drawing = graph(report, phase)
    shares: dict[str, float] = {}
    for node in drawing.nodes:
        shares[node.op] = shares.get(node.op, 0.0) + node.share
    shares.pop("")
    assert shares == pytest.approx({op.name: 1.0 for op in step.ops})
    assert sum(section.count for section in drawing.sections) == layers(report)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.model)
def test_data_flows_down(scenario: Scenario, phase: str) -> None:
    """Every edge joins two nodes and leads down; every node but the first is fed, every one but the last is read."""
    drawing = graph(cached_estimate(scenario), phase)
    rows = {node.id: node.row for node in drawing.nodes}
    assert len(rows) == len(drawing.nodes)
    assert all(rows[edge.start] < rows[edge.end] for edge in drawing.edges)
    flow = [edge for edge in drawing.edges if not edge.residual]
    assert set(rows) - {edge.end for edge in flow} == {drawing.nodes[0].id}
    assert set(rows) - {edge.start for edge in flow} == {drawing.tip}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.model)
def test_boxes_do_not_overlap(scenario: Scenario) -> None:
    """No two boxes of one row share room."""
    drawing = graph(cached_estimate(scenario), "decode")
    for row in {node.row for node in drawing.nodes}:
        boxes = sorted((node.left, node.right) for node in drawing.nodes if node.row == row)
        assert all(first[1] <= second[0] + 1e-9 for first, second in pairwise(boxes))


def test_a_parallel_block_has_two_branches_under_one_norm() -> None:
    """In Falcon 7B attention and feed-forward read the same norm, and one sum adds both to the residual stream."""
    drawing = drawn(model="falcon-7b")
    assert inputs(drawing, "qkv_proj") == inputs(drawing, "up_proj") == {"norm in"}
    assert inputs(drawing, "both") == {"out_proj", "down_proj"}
    assert len([edge for edge in drawing.edges if edge.residual]) == 1


def test_a_classic_block_has_two_residuals() -> None:
    """In Llama the feed-forward reads what attention has added to the residual stream."""
    drawing = drawn()
    assert inputs(drawing, "norm in1") == {"add0"}
    assert inputs(drawing, "add1") == {"down_proj", "add0"}


def test_latent_attention_absorbs_in_decode_and_expands_in_prefill() -> None:
    """MLA attends to the latent in decode, through absorbed queries; in prefill to the keys and values made of it."""
    fields: dict[str, object] = {"model": "deepseek-v3", "n": 8, "tp": 8, "weights": "fp8"}
    assert inputs(drawn("decode", **fields), "attention [2]") == {"absorb_query"}
    assert inputs(drawn("prefill", **fields), "attention [2]") == {"kv_up"}
    assert inputs(drawn("decode", **fields), "rope_and_cache [1]") == {"q_up", "kv_down"}


def test_shared_experts_stand_beside_the_routed_ones() -> None:
    """Shared experts read the norm, not the router; both ways are summed; the exchange stands on both sides."""
    fields: dict[str, object] = {"model": "deepseek-v3", "gpu": "h200-sxm", "n": 16, "tp": 2, "dp": 8, "ep": 16}
    drawing = drawn("decode", batch=8, weights="fp8", **fields)
    assert inputs(drawing, "shared_gate_up_proj [2]") == {"norm in1"}
    assert inputs(drawing, "expert_gate_up [2]") == {"exchange"}
    assert inputs(drawing, "combine [2]") == {"return"}
    assert inputs(drawing, "join1 [2]") == {"combine", "shared_down_proj"}


def test_a_state_space_layer_has_no_attention() -> None:
    """Jamba's Mamba layers run convolution, projections and scan; only its attention layers attend."""
    drawing = drawn(model="jamba-1.5-mini")
    assert inputs(drawing, "state_scan [1]") == {"dt_proj"}
    assert inputs(drawing, "out_proj [1]") == {"state_scan"}
    assert inputs(drawing, "out_proj [3]") == {"attention"}


def report() -> Report:
    """The report of a mixture of experts."""
    return cached_estimate(Scenario(model="mixtral-8x7b", n=2, tp=2))


@pytest.mark.parametrize("phase", PHASES)
def test_the_table_is_the_pass(phase: str) -> None:
    """The rows of the CSV add up to the pass, and the four parts of each to its time; shares add up to one."""
    found = report()
    step = found.prefill if phase == "prefill" else found.decode
    points = explorer.operators_of(found, phase)
    lines = list(csv.DictReader(io.StringIO(explorer.csv(points))))
    assert math.fsum(float(line["time_s"]) for line in lines) == pytest.approx(float(step.time_s), rel=1e-9)
    assert math.fsum(point.share for point in points) == pytest.approx(1.0, rel=1e-12)
    assert len(explorer.rows(points)) == len(lines) == len(step.ops)


def test_the_table_is_filtered() -> None:
    """A filter keeps the operators in whose name or block each word occurs, and those of one regime."""
    points = explorer.operators_of(report(), "decode")
    assert {row["Operator"] for row in explorer.rows(points, "proj attention")} == {"QKV proj", "out proj"}
    assert {row["Bound by"] for row in explorer.rows(points, "", "network")} == {"network"}
    assert explorer.csv(points, "no such operator") == ""


def test_the_page_follows_a_click() -> None:
    """The operator in the link is the one that is ringed, titled and opened; the next phase starts from the largest."""
    app = run("pages/15_Operators.py", {"op": "decode.lm_head"})
    check(app)
    assert any("LM head" in element.value for element in app.subheader)
    app.session_state["perfmodel"].views["Operators"]["phase"] = "prefill"
    app.session_state["perfmodel"].touched = True
    app.run()
    check(app)
    assert link(app)["op"] == "largest"
