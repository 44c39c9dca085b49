"""Many devices: what holds for every layout, who wins the ranking, what fits, what the page draws."""

from itertools import pairwise, product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import plotly.graph_objects as go
import pytest
from streamlit.testing.v1 import AppTest

from perfmodel import MODELS, Scenario, estimate, layout_links, layout_room
from perfmodel import layout_curves as curves
from perfmodel.attention import Attention
from perfmodel.blocks import blocks, parameters
from perfmodel.estimate import setup
from perfmodel.figures import layout_memory, parallelism, topology
from perfmodel.formulas import layouts as f
from perfmodel.formulas.types import Real
from perfmodel.layouts import GOALS, MOST_NETWORK, Layout, answer, chosen_sizes, layouts, neutral, sent_bytes, shapes
from perfmodel.memory import device_weight_bytes, weight_bytes
from perfmodel.ops import Group
from perfmodel.report import Report
from perfmodel.step import REGIMES
from perfmodel.units import GIGA, show
from perfmodel.workload import decode

PALM = Scenario(model="palm-540b", gpu="tpu-v4")
SMALL = Scenario(model="llama-3.1-8b", batch=16, input=512, output=64)


# What holds for every layout

MIXED = (
    ("llama-3.1-8b", {}),
    ("mixtral-8x7b", {"gpu": "h200-sxm"}),
    ("gemma-3-27b", {"engine": "eager"}),
    ("falcon-40b", {"gpu": "mi300x"}),
)
#: What every rank of a tensor group does for itself.
REPLICATED = frozenset({"norms", "final_norm", "router", "embedding", "dispatch_combine"})


def shared_work(scenario: Scenario, field: str) -> float:
    """One field summed over what is shared out, all devices together."""
    total: Real = 0.0
    for op in setup(scenario).ops(decode(scenario.batch, 512)):
        if op.name.split(" [")[0] not in REPLICATED and op.group is not Group.NETWORK:
            total = total + getattr(op, field) * op.count
    return float(total) * scenario.tp * scenario.dp * scenario.cp * scenario.mb


@pytest.mark.parametrize(("model", "fields"), MIXED)
def test_flops_are_conserved(model: str, fields: dict[str, Any]) -> None:
    """DESIGN 4: the FLOPs of all devices of a layout add up to those of one device, in every layout without copies."""
    scenario = Scenario(model=model, batch=16, input=512, output=64, **fields)
    heads = [block.mixer.kv_heads for block in blocks(MODELS[model].dimensions) if isinstance(block.mixer, Attention)]
    whole, checked = shared_work(scenario, "flops"), 0
    for one in layouts(scenario, (1, 2, 4, 8, 16)).found:
        # Beyond one KV head each the devices copy; beyond ep = 1 the busiest device stands for all.
        # A batch of 16 does not divide among more parts: some devices then wait.
        parts = one.dp * one.mb * (one.tp if one.adp else 1)
        if one.ep == 1 and one.tp <= min(heads) and 16 % parts == 0 and "cannot share" not in one.problem:
            np.testing.assert_allclose(shared_work(scenario.change(**one.fields), "flops"), whole, rtol=1e-12)
            checked += 1
    assert checked >= 15


@pytest.mark.parametrize(("model", "fields"), MIXED)
def test_weights_are_conserved(model: str, fields: dict[str, Any]) -> None:
    """DESIGN 4: tensor shards add up to one copy of the weights, with every copied norm, router and KV head declared.

    Replicas hold one copy each, stages at least one.
    """
    scenario = Scenario(model=model, batch=16, input=512, output=64, **fields)
    d, once = MODELS[model].dimensions, weight_bytes(setup(scenario))
    router, kv = d.layers * d.hidden * d.experts, 2 * d.layers * d.hidden * d.kv_heads * d.head_dim
    for one in layouts(scenario, (1, 2, 4, 8, 16)).found:
        if np.isnan(one.memory_bytes) or one.adp:
            continue
        copies = (one.tp - 1) * (parameters(d).norms + router) + (max(one.tp / d.kv_heads, 1) - 1) * kv
        whole = once + 2 * copies
        held = device_weight_bytes(setup(scenario.change(**one.fields))) * one.tp * one.pp / whole
        if one.pp == 1 and one.ep <= one.tp:
            np.testing.assert_allclose(held, 1.0, rtol=1e-9)
        elif one.ep <= one.tp:
            # The fullest stage counts for all: uneven layers, and the embedding or the head on top.
            assert 1.0 - 1e-9 <= held < 2.0, one.label


@pytest.mark.parametrize(("model", "fields"), MIXED)
def test_n_devices_are_at_most_n_times_as_fast(model: str, fields: dict[str, Any]) -> None:
    """Traps 9: in every layout that fits, latency and throughput gain at most the number of devices."""
    scenario = Scenario(model=model, batch=16, input=512, output=64, **fields)
    alone = estimate(scenario)
    for one in layouts(scenario).found:
        if np.isfinite(one.tpot_s):
            for ours, single in ((one.tpot_s, alone.tpot_s), (one.ttft_s, alone.ttft_s), (one.e2e_s, alone.e2e_s)):
                assert single / ours <= one.n * (1 + 1e-9), one.label
            assert one.tokens_per_device <= alone.tokens_per_s * (1 + 1e-9)


def test_a_pipeline_leaves_the_latency_of_a_token() -> None:
    """Traps 9: more stages never shorten a token, cost only their hand-overs, and share the memory."""
    plain = [one for one in layouts(SMALL, (1, 2, 4, 8)).found if one.mb == one.cp == 1 and not one.sp]
    found = {(one.tp, one.pp, one.dp): one for one in plain}
    for tp in (1, 2):
        rows = [found[tp, pp, 1] for pp in (1, 2, 4)]
        times, memory = [one.step_s for one in rows], [one.memory_bytes for one in rows]
        assert times == sorted(times)
        assert memory == sorted(memory, reverse=True)
        assert times[-1] < 1.02 * times[0]
        handover = times[1] - times[0]
        np.testing.assert_allclose(times, [f.pipeline_latency(times[0], p, handover) for p in (1, 2, 4)], rtol=1e-9)


# The ranking


@pytest.mark.parametrize(
    ("model", "fields"),
    # Other requests' prefill, another first token: what an engine makes of a step is the report's business alone.
    [*MIXED, *(("llama-3.1-8b", {"engine": engine}) for engine in ("vllm", "sglang", "llama.cpp"))],
)
def test_layouts_are_estimates(model: str, fields: dict[str, Any]) -> None:
    """The ranking shows the very numbers that the estimate of the layout gives."""
    scenario = Scenario(model=model, batch=16, input=512, output=64, **fields)
    for one in layouts(scenario, (8,)).ranked()[:4]:
        report = estimate(scenario.change(**one.fields))
        ours = [one.ttft_s, one.tpot_s, one.e2e_s, one.step_s, one.tokens_per_s, one.memory_bytes]
        theirs = [report.ttft_s, report.tpot_s, report.e2e_s, report.decode_step_s, report.tokens_per_s]
        np.testing.assert_allclose(ours, [*theirs, report.memory.total], rtol=1e-12)


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("model", ["llama-3.1-8b", "mixtral-8x7b"])
def test_winner_by_brute_force(model: str, goal: str) -> None:
    """No layout of 8 devices that fits and does not mostly wait beats the winner, of all there are with one option."""
    scenario = Scenario(model=model, batch=12, input=512, output=64)
    best = layouts(scenario, (8,)).ranked(goal)[0]  # type: ignore[arg-type]
    tried = 0

    def check(report: Report) -> None:
        """The report's layout is not better than the winner."""
        network = [float(step.shares[2]) for step in (report.prefill, report.decode)]
        waits = (network[0] * report.ttft_s + network[1] * (report.e2e_s - report.ttft_s)) / report.e2e_s
        if not report.memory.fits or waits > MOST_NETWORK:
            return
        ours, winner = {
            "latency": (report.tpot_s, best.tpot_s),
            "first": (report.ttft_s, best.ttft_s),
        }.get(goal, (report.usd_per_million_tokens, best.usd_per_million_tokens))
        assert ours >= winner * (1 - 1e-8), report.scenario

    options: list[dict[str, Any]] = [{}, {"sp": True}, {"adp": True}, {"kv_split": "batch"}, {"mb": 2}, {"mb": 4}]
    options += [{"mb": 8}, {"spread": "2d"}]
    for tp, pp, dp, cp in product((1, 2, 3, 4, 5, 6, 7, 8), repeat=4):
        if tp * pp * dp * cp != 8:
            continue
        for ep, option in product((1, 2, 4, 8), options if cp == 1 else options[:1]):
            try:
                changed = scenario.change(n=8, tp=tp, pp=pp, dp=dp, cp=cp, ep=ep, **option)
                report = estimate(changed)
            except ValueError:
                continue
            tried += 1
            check(report)
    assert tried > 40


def test_cost_is_throughput_per_device() -> None:
    """On one kind of chip the dollars of a million tokens fall exactly as the tokens per device rise."""
    found = layouts(SMALL)
    assert found.ranked("cost") == found.ranked("throughput")
    dollars = [one.usd_per_million_tokens for one in found.ranked("cost")]
    np.testing.assert_array_less(dollars[:-1], np.array(dollars[1:]) * (1 + 1e-8))


def test_rejected_for_a_reason() -> None:
    """What is not ranked says why: it does not fit, does not divide, or mostly waits for its links."""
    big = layouts(Scenario(model="llama-3.1-70b", batch=32))
    reasons = [one.problem for one in big.rejected]
    for words in ("does not fit: ", "replicas cannot share", "links take "):
        assert any(words in reason for reason in reasons), words
    assert any("does not divide" in one.problem for one in layouts(SMALL, (6,)).rejected)
    assert {*big.ranked(), *big.rejected} == set(big.found)
    assert not big.left_out


def test_nothing_holds() -> None:
    """Where no layout holds the answer names the nearest one and what is missing; the page still draws."""
    found = layouts(Scenario(model="llama-3.1-405b", gpu="t4"), (1, 2))
    assert found.ranked() == ()
    assert "does not fit" in answer(found, "latency")
    assert parallelism.describe_time(())


def test_ranking_does_not_depend_on_the_present_layout() -> None:
    """The layouts of a scenario are the same whichever of them it has now; its own device count is among them."""
    assert layouts(SMALL, (4,)) == layouts(SMALL.change(n=8, tp=8), (4,))
    assert neutral(SMALL.change(n=8, tp=8)) == SMALL
    assert 12 in layouts(SMALL.change(n=12, tp=4, dp=3)).sizes
    assert chosen_sizes(SMALL, "auto") == (8,)
    assert chosen_sizes(SMALL.change(n=2, tp=2), "auto") == (2,)
    assert chosen_sizes(SMALL, "16") == (16,)


def test_many_divisors_are_bounded() -> None:
    """A number of devices with thousands of layouts is cut, and what was left out is counted."""
    found = layouts(Scenario(model="mixtral-8x7b", batch=1, input=16, output=16), (83_160,))
    assert len(found.found) == 400
    assert found.left_out > 1000


# Curves and figures


def test_scaling_is_bounded() -> None:
    """Traps 9: the speed-up is at most ideal, starts at one, and memory per device falls with the group."""
    for phase in ("decode", "prefill"):
        curve = curves.scaling(SMALL, phase)
        assert curve.speedup[0] == curve.efficiency[0] == 1.0
        assert np.all(curve.speedup <= curve.devices * (1 + 1e-12))
        assert np.all(np.diff(curve.memory_bytes) < 0)
        assert curve.network_share[0] == 0.0
        assert any("does not divide heads=32" in text for text in curve.skipped)


FIGURES = (
    ("llama-3.1-8b", "h100-sxm", {}),
    ("deepseek-v3", "h200-sxm", {"batch": 64}),
    ("palm-540b", "tpu-v4", {"batch": 64, "input": 1024}),
    ("nemotron-h-56b", "mi300x", {"n": 16, "tp": 8, "dp": 2, "batch": 8}),
    ("gpt-j-6b", "l40s", {"input": 1024}),
    ("llama-2-7b", "rtx-a6000", {"batch": 3}),
)


@pytest.mark.parametrize(("model", "gpu", "fields"), FIGURES)
def test_figures_are_valid(model: str, gpu: str, fields: dict[str, Any]) -> None:
    """Every figure of the page is one that Plotly takes, and comes with a sentence that ends."""
    scenario = Scenario(model=model, gpu=gpu, **fields)
    found = layouts(scenario)
    ranked = found.ranked()[:8]
    pope = [curves.pope_over_tokens(scenario, 64), curves.pope_over_devices(scenario, 4096.0)]
    curve = curves.scaling(scenario)
    rooms, drawn = layout_room.rooms(scenario), layout_room.shown(found, ranked)
    capacity = scenario.resolved_gpu.memory_bytes
    pairs = [
        (layout_memory.memory_bars(drawn, capacity), layout_memory.describe_memory(drawn, capacity)),
        (layout_memory.room_chart(rooms, scenario.batch), layout_memory.describe_room(rooms, scenario.batch)),
        (parallelism.time_bars(ranked), parallelism.describe_time(ranked)),
        (parallelism.volume_bars(ranked), parallelism.describe_volume(ranked)),
        (parallelism.speedup_chart(curve), parallelism.describe_scaling(curve)),
        *((parallelism.pope_chart(one), parallelism.describe_pope(one)) for one in pope),
    ]
    for figure, sentence in pairs:
        go.Figure(figure)
        assert sentence.endswith(".")
    assert all(card.shown for card in parallelism.cards(scenario, 64))


@pytest.mark.parametrize("fields", [{"tp": 4, "pp": 2, "dp": 2}, {"tp": 2, "cp": 4, "dp": 4}, {"dp": 3}, {}])
def test_topology_draws_every_device_once(fields: dict[str, int]) -> None:
    """Each device has one place with ranks of its own; the ranks of a tensor group stand next to each other."""
    one = Layout(**fields)
    picture = ElementTree.fromstring(topology.svg(SMALL, one))
    devices = [rect for rect in picture.iter("{http://www.w3.org/2000/svg}rect") if rect.get("class") == "device"]
    assert len(devices) == one.n
    ranks = [topology.place(one, device) for device in range(one.n)]
    assert len({rank[1:] for rank in ranks}) == one.n
    groups = [{rank[2:] for rank in ranks[start : start + one.tp]} for start in range(0, one.n, one.tp)]
    assert all(len(group) == 1 for group in groups)
    assert topology.describe(SMALL, one).endswith(".")


def test_flows_are_what_is_sent() -> None:
    """What runs on the links adds up to the volume and the network time of the step; groups of 16 leave the island."""
    for fields in ({"tp": 8}, {"tp": 16}, {"tp": 4, "pp": 4}):
        one = Layout(**fields)
        found = layout_links.flows(SMALL, one)
        step = estimate(SMALL.change(**one.fields)).decode
        np.testing.assert_allclose(sum(flow.sent_bytes for flow in found), sum(dict(sent_bytes(step)).values()))
        np.testing.assert_allclose(sum(flow.time_s for flow in found), step.totals_s[2])
        assert {flow.across for flow in found if flow.kind == "all_reduce"} == {one.tp > 8}
        assert len(layout_links.flow_table(SMALL, one)) == len(found)


def test_bars_add_up_to_the_step() -> None:
    """The parts of a bar are the decode step of its layout."""
    ranked = layouts(SMALL, (8,)).ranked()
    *bars, rows = parallelism.time_bars(ranked)["data"]
    lengths = [[bar["x"][at + 1] - bar["x"][at] for at in range(0, len(bar["x"]), 5)] for bar in bars]
    np.testing.assert_allclose(np.sum(lengths, axis=0), [1e3 * one.step_s for one in ranked])
    assert [text.split("</b>: ")[1].split("<br>")[0] for text in rows["hovertext"]] == [
        show(one.step_s, "s") for one in ranked
    ]


# What fits


@pytest.mark.parametrize(("model", "gpu"), [("llama-3.1-70b", "h100-sxm"), ("mixtral-8x7b", "a100-sxm-40gb")])
def test_largest_batch_by_brute_force(model: str, gpu: str) -> None:
    """Of all layouts of up to 8 devices without split sequences, the best holds just what the table says."""
    scenario = Scenario(model=model, gpu=gpu, batch=8, input=2048, output=256)
    (own, *_) = layout_room.rooms(scenario)
    most = dict.fromkeys(own.devices, 0)
    for n in (1, 2, 4, 8):
        for shape in shapes(n, scenario.resolved_model.dimensions.experts):
            if shape["cp"] == 1 and (shape["pp"] == 1 or shape["ep"] == 1):
                most[n] = max(most[n], estimate(scenario.change(n=n, **shape)).memory.largest_batch)
    assert own.batch[:4] == tuple(most[n] for n in own.devices[:4])


def test_room_grows() -> None:
    """Twice the devices hold twice the sequences or more, fewer bits never fewer; a bar's parts are its memory."""
    rooms = layout_room.rooms(Scenario(model="llama-3.1-70b", input=2048, output=256))
    for one in rooms:
        assert all(2 * few <= many for few, many in pairwise(one.batch))
        assert one.least(one.batch[3]) == 8
    bf16, fp8, int4 = rooms
    assert all(a <= b <= c for a, b, c in zip(bf16.batch, fp8.batch, int4.batch, strict=True))
    found = layouts(SMALL, (8,))
    drawn = layout_room.shown(found, found.ranked())
    bars = layout_memory.memory_bars(drawn, 80e9)["data"]
    np.testing.assert_allclose(np.sum([bar["x"] for bar in bars], axis=0), [one.memory_bytes / GIGA for one in drawn])


# The page

APP = Path(__file__).resolve().parents[1] / "app.py"


@pytest.mark.parametrize("view", ["time", "memory", "scaling", "topology", "pope", "shape"])
def test_every_view_draws(view: str) -> None:
    """Each view of the page comes by its link, for a mixture of experts too, and without an exception."""
    app = AppTest.from_file(str(APP), default_timeout=60).switch_page("pages/20_Parallelism.py")
    for key, value in (SMALL.change(model="mixtral-8x7b").to_query() | {"view": view, "over": "any"}).items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    assert view in app.query_params["view"]


def scenario_with(layout: Layout) -> Scenario:
    """The small scenario in a layout."""
    return SMALL.change(**layout.fields)


def test_use_this_layout() -> None:
    """The button makes the chosen layout that of the scenario: the link carries it, and the button says "In use"."""
    app = AppTest.from_file(str(APP), default_timeout=60).switch_page("pages/20_Parallelism.py")
    for key, value in SMALL.to_query().items():
        app.query_params[key] = value
    app.run()
    best = layouts(SMALL, (8,)).ranked()[0]
    app.button(key="use_layout").click().run()
    assert not app.exception
    shown = {key: text[-1] if isinstance(text, list) else text for key, text in app.query_params.items()}
    link = scenario_with(best).to_query()
    assert {key: shown[key] for key in link} == link
    assert app.button(key="use_layout").disabled


def test_legends_name_what_is_drawn() -> None:
    """The legend beside a figure has one mark for each of its traces, in their order, and told apart by glyph."""
    ranked = layouts(Scenario(batch=8), (8,)).ranked("latency")[:8]
    for figure, marks in (
        (parallelism.time_bars(ranked), parallelism.time_legend(ranked)),
        (parallelism.volume_bars(ranked), parallelism.volume_legend(ranked)),
    ):
        assert [trace["name"] for trace in figure["data"] if "name" in trace] == [mark.text for mark in marks]
        assert len({(mark.glyph, mark.colour) for mark in marks}) == len(marks) > 1
    seen = {trace.get("name") for trace in parallelism.time_bars(ranked)["data"]}
    for index, name in enumerate(REGIMES):
        assert (max(one.parts_s[index] for one in ranked) > 1e-3 * max(one.step_s for one in ranked)) == (name in seen)
