"""What does a larger batch buy, and where does it stop?"""

from pages import frame
from pages.parts.speech import st
from perfmodel import how
from perfmodel.batching import COMPARED_CHIPS, answer, batch_curve, by_chip, by_precision, headline, runnable
from perfmodel.figures import batching

with frame("Batching", "What does a larger batch buy, and where does it stop?") as page:
    scenario = page.scenario
    curve = batch_curve(scenario)

    page.say(lambda: answer(curve, scenario))
    page.metric_row(headline(curve, page.report), how.batching(curve, page.report))
    page.show(
        batching.anatomy(curve, scenario.batch),
        "anatomy",
        height=400,
        describe=batching.describe(curve),
        legend=batching.anatomy_legend(),
    )

    st.subheader("Throughput: the same work in other precisions or on other chips")
    with page.controls():
        axis = page.choice("compare", "Compare", ("precisions", "chips"), "precisions")
        others = {"none": "none", **runnable()}
        if axis == "chips":
            chips = [
                page.choice(f"chip{i}", f"Chip {i}", tuple(others), gpu, labels=others)
                for i, gpu in enumerate(COMPARED_CHIPS, 1)
            ]
    if axis == "precisions":
        curves = by_precision(scenario)
    else:
        curves = by_chip(scenario, tuple(gpu for gpu in chips if gpu != "none"))
    page.show(
        batching.throughput(curves, scenario.batch),
        "throughput",
        height=380,
        describe=batching.ranking(curves),
        legend=batching.throughput_legend(curves),
    )
    page.table(batching.rows(curves), "curves")

    st.markdown(
        "**Why.** One step reads every weight once, however many sequences share it: up to the critical batch "
        r"$B^* = \frac{s}{2}\frac{F}{W}$ the linear layers wait for memory and more sequences are nearly free. "
        "The KV cache is read once *per sequence*, so its share grows with the batch and is never shared: transformers "
        "batch like plain networks only in their linear layers. Beyond the memory of the device the curve is dotted."
    )
    st.caption(
        "The article's F/W counts tokens only for 2-byte weights; with s bytes per weight the critical batch is s/2 "
        "times that. A step is a lockstep decode at context input + output/2, without queueing or other requests' "
        "prefill."
    )
    page.cards(batching.cards(page.report))
