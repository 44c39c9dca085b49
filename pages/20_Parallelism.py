"""How should this model be spread over many devices?"""

from functools import partial

from pages import frame
from pages.parts.cards import render
from pages.parts.speech import plain, st
from pages.parts.state import choose
from perfmodel import how, layout_curves, layout_links, layout_room, layouts
from perfmodel.figures import layout_memory, parallelism, topology

VIEWS = {"time": "Time and volume", "memory": "Memory: what fits", "scaling": "Speed-up", "topology": "Topology"}
VIEWS |= {"pope": "Gather weights or keep them", "shape": "Deep or wide"}
GOALS = {"latency": "Latency", "first": "First token", "throughput": "Throughput", "cost": "Cost"}
OVER = ("auto", "any", *layouts.SIZES[1:])
NAMED = {"auto": "this scenario's (8 for one)", "any": "1 to 64, any"}


def take(layout: layouts.Layout) -> None:
    """Make the layout that of the scenario (a callback)."""
    for name, value in layout.fields.items():
        choose(name, value)


def pick() -> layouts.Layout:
    """Draw the choice among the best layouts and the button that takes it; return it."""
    options = {rank: f"{rank}. {one.label}" for rank, one in enumerate(ranked, start=1)}
    with page.controls("bottom"):
        chosen = ranked[page.choice("pick", "Layout", tuple(options), 1, labels=options) - 1]
        used = chosen.fields.items() <= dict(scenario).items()
        text = "In use" if used else "Use this layout"
        page.control(partial(st.button, text, key="use_layout", on_click=take, args=(chosen,), disabled=used))
    return chosen


def show_time() -> None:
    """Draw time and volume of the best layouts."""
    text, marks = parallelism.describe_time(ranked), parallelism.time_legend(ranked)
    page.show(parallelism.time_bars(ranked), "time", height=330, describe=text, legend=marks)
    text, marks = parallelism.describe_volume(ranked), parallelism.volume_legend(ranked)
    page.show(parallelism.volume_bars(ranked), "volume", height=270, describe=text, legend=marks)


def show_memory() -> None:
    """Draw what fills a device in the best layouts and those nearest to fitting, and what fits on how many devices."""
    drawn, capacity = layout_room.shown(found, ranked), scenario.resolved_gpu.memory_bytes
    if drawn:
        text = layout_memory.describe_memory(drawn, capacity)
        page.show(layout_memory.memory_bars(drawn, capacity), "memory", height=360, describe=text)
    if rooms := layout_room.rooms(scenario):
        text = layout_memory.describe_room(rooms, scenario.batch)
        page.show(layout_memory.room_chart(rooms, scenario.batch), "room", height=320, describe=text)
        page.table(layout_room.room_table(rooms, scenario.batch), "rooms")


def show_scaling() -> None:
    """Draw the speed-up of one tensor-parallel group."""
    phase = page.choice("phase", "Phase", ("decode", "prefill"), "decode")
    curve = layout_curves.scaling(scenario, phase)
    page.show(parallelism.speedup_chart(curve), "scaling", describe=parallelism.describe_scaling(curve))


def show_topology() -> None:
    """Draw the devices of the chosen layout with their links, and say which collective runs on which."""
    if ranked:
        text = topology.describe(scenario, chosen)
        page.picture(topology.svg(scenario, chosen), text)
        st.caption(plain(text) + " One colour is one replica; t tensor, c context rank, s stage.")
        page.table(layout_links.flow_table(scenario, chosen), "flows")


def show_pope() -> None:
    """Draw Pope's layouts over tokens and over devices, and the paper's measurements beside ours."""
    tokens = layout_curves.pope_over_tokens(scenario, devices)
    page.show(parallelism.pope_chart(tokens), "tokens", height=380, describe=parallelism.describe_pope(tokens))
    over_n = layout_curves.pope_over_devices(scenario, float(scenario.batch * scenario.input))
    page.show(parallelism.pope_chart(over_n), "devices", height=380, describe=parallelism.describe_pope(over_n))
    st.markdown("**Beside what the paper measured** (PaLM 540B on 64 TPU v4, this engine profile):")
    page.table([anchor.row() for anchor in layout_curves.anchors(scenario.engine)], "anchors")
    st.markdown("**Why not the same.** " + layout_curves.anchor_words(scenario.engine))


def show_shape() -> None:
    """Draw the model beside its equal-FLOP sister of a quarter of the layers and twice the width."""
    st.markdown("The same FLOPs as many narrow layers or as few wide ones, on 8 devices that share every layer:")
    page.table(layout_curves.shape_table(layout_curves.wide_and_deep(scenario)), "shapes")


with frame("Parallelism", "How should this model be spread over many devices?") as page:
    scenario = page.scenario
    with page.controls():
        over = page.choice("over", "Devices", OVER, "auto", labels=NAMED)
        goal = page.choice("goal", "Best for", tuple(GOALS), "latency", labels=GOALS, help="Throughput is per device")
    found = layouts.layouts(scenario, layouts.chosen_sizes(scenario, over))
    ranked, devices = found.ranked(goal)[:8], max(found.sizes)

    page.say(lambda: layouts.answer(found, goal))
    page.metric_row(lambda: layouts.headline(found, goal), lambda: how.layouts(found, goal))
    if ranked:
        page.table(lambda: layouts.table(found, goal), "layouts")
        chosen = pick()
    if fold := page.fold(f"What was rejected, and why ({len(found.rejected)})", "rejected"):
        with fold:
            page.table(layouts.rejected_table(found), "rejected")
    view = page.choice("view", "Show", tuple(VIEWS), "time", labels=VIEWS)
    {
        "time": show_time,
        "memory": show_memory,
        "scaling": show_scaling,
        "topology": show_topology,
        "pope": show_pope,
        "shape": show_shape,
    }[view]()

    st.markdown(
        "**Why.** *Tensor* parallelism shares every layer: memory and work shrink with the group, but each layer ends "
        "in all-reduces whose start-up does not. *Pipeline* stages share the memory, never the time of a token. *Data* "
        "replicas share the batch and send nothing. *Gathering* weights pays once a pass has more tokens than the "
        "model is wide: then activations stay and **weights** move (the article's note has it the wrong way round)."
    )
    st.caption(
        "The batch is shared out in every layout, over replicas as over the micro-batches of a pipeline. On one "
        "kind of chip the order by cost is the order by throughput per device. The curves of Pope et al. count volume "
        "only, with no start-up. Sources: Pope et al. 2022 (arXiv:2211.05102), Shoeybi et al. 2019, Huang et al. 2019."
    )
    render(parallelism.cards(scenario, devices))
