"""What does more work per byte buy, and what does it cost?"""

from pages import frame
from pages.parts.share import onward
from pages.parts.speech import st
from perfmodel.diagnosis import intensity
from perfmodel.figures import intensity as figures

with frame("Raising intensity", "What does more work per byte buy, and what does it cost?") as page:
    report, scenario = page.report, page.scenario
    with page.controls():
        phase = page.choice("phase", "Phase", ("decode", "prefill"), "decode")
        factor = page.choice("factor", "Raise the intensity", intensity.FACTORS, 4, labels=intensity.LABELS)
        found = intensity.operators(report, phase)
        named = {"largest": found[0], **{timed.op.name: timed for timed in found}}
        chosen = page.choice("op", "Operator", tuple(named), "largest")
    one = intensity.raised(report, phase, named[chosen], factor)

    page.say(lambda: intensity.said(one))
    page.show(
        figures.roofline(one), "roofline", describe=figures.describe_roofline(one), legend=figures.roofline_legend(one)
    )

    st.subheader("Latency against throughput")
    curve = intensity.trade(scenario)
    page.say(lambda: intensity.trade_said(curve, scenario))
    page.show(
        figures.trade(curve, scenario.batch),
        "trade",
        describe=figures.describe_trade(curve),
        legend=figures.trade_legend(),
    )

    st.subheader("Fewer bytes or more FLOPs")
    page.table(intensity.way_rows(scenario, phase), "ways")
    onward(("Diagnosis", "Regime map", "Cures"))
    if fold := page.fold("Every operator: its case, and what moving right and up would give", "operators"):
        with fold:
            page.table(intensity.case_rows(report, phase, factor), "cases")

    st.markdown(
        "**How to read it.** Below the ridge the rate grows with the intensity, beyond it not at all: raising it from "
        "$A_1$ to $A_2$ gains $\\min(F, A_2 W) / \\min(F, A_1 W)$. *Fewer bytes* (quantised weights or cache, fusion, "
        "FlashAttention) lower the latency. *More FLOPs* through the same bytes (a larger batch) serve more requests "
        "at the same or a higher latency; computing the same thing twice raises FLOP/s and serves nobody. A pass that "
        "stays below its own roof can also move *up*: better kernels, fewer launches, work spread over all "
        "multiprocessors."
    )
    st.caption(
        "FlashAttention's use of the device in decode falls as the batch *shrinks*: fewer blocks than multiprocessors "
        "(the articles say it falls as the batch grows). Splitting along the context fills them again."
    )
    page.cards(figures.cards(report, one))
