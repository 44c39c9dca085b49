"""What does a layer consist of, and what does each operator cost?"""

from pages import frame
from pages.parts.speech import st
from perfmodel import how
from perfmodel.figures import explorer, operators, roofline

REGIMES = ("any", "compute", "memory", "network", "overhead")


with frame("Operators", "What does a layer consist of, and what does each operator cost?") as page:
    report = page.report

    with page.controls():
        phase = page.choice("phase", "Phase", ("decode", "prefill"), "decode")
        points = explorer.operators_of(report, phase)
        names = [point.key for point in points]
        chosen = page.choice(
            "op", "Operator (or click one)", ["largest", *names], "largest", labels=operators.labels(names)
        )
    point = explorer.find(points, chosen)

    # Halves: of a width that is no short decimal number Streamlit and Plotly hold two, and draw the figure twice.
    left, right = st.columns(2, gap="medium")
    with left:
        page.show(
            explorer.figure(report, phase, point.key),
            "graph",
            describe=explorer.describe(report, phase),
            legend=explorer.legend(),
            on_select="op",
        )
    with right:
        st.subheader(operators.title(point))
        wanted = ("time", "share", "flops", "bytes", "intensity")
        page.metric_row(operators.numbers(point, wanted), how.operator(report, phase, point.timed.op.name, wanted))
        page.show(
            roofline.figure(report, (phase,), point.key),
            "roofline",
            height=360,
            describe=roofline.describe(report, (phase,)),
            legend=roofline.legend(report, (phase,)),
            on_select="op",
        )
        page.cards(operators.cards(report, point), open_first=chosen != "largest")

    st.subheader("All of them")
    with page.controls():
        search = page.text("search", "Filter", "", placeholder="proj feed-forward")
        bound = page.choice("bound", "Bound by", REGIMES, "any")
    page.table(explorer.rows(points, search, bound), "operators")
    st.download_button(
        "Download as CSV", explorer.csv(points, search, bound), "operators.csv", "text/csv", on_click="ignore"
    )
    st.markdown(
        "**How to read it.** Data flows from top to bottom; what stands side by side reads the same input. A box is "
        "one operator of one device, a layer of one kind is drawn once and its times are those of all such layers. The "
        "strip is as long as its time, against the longest. Norms, all-reduces and the way to the experts and back run "
        "at several places of a layer: each place shows its share. Adding the residual is part of the norm that "
        "follows."
    )
