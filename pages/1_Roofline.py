"""Which operators are limited by what?"""

from pages import frame
from pages.parts.speech import st
from perfmodel import how
from perfmodel.figures import operators, roofline

with frame("Roofline", "Which operators are limited by what?") as page:
    report = page.report

    with page.controls():
        phase = page.choice("phase", "Phase", tuple(roofline.PHASES), "both", help="Which pass the points belong to.")
        phases = roofline.PHASES[phase]
        names = [point.key for point in roofline.points(report, phases)]
        chosen = page.choice(
            "op", "Operator (or click a point)", ["largest", *names], "largest", labels=operators.labels(names)
        )
    point = operators.find(report, chosen, phases)
    page.show(
        roofline.figure(report, phases, point.key),
        "roofline",
        height=470,
        describe=roofline.describe(report, phases),
        legend=roofline.legend(report, phases),
        on_select="op",
    )

    st.subheader(operators.title(point))
    wanted = ("time", "share", "intensity", "rate")
    page.metric_row(operators.numbers(point, wanted), how.operator(report, point.phase, point.timed.op.name, wanted))
    page.cards(operators.cards(report, point))

    st.markdown(
        "**How to read it.** Left of the ridge a kernel waits for memory: its rate grows with every FLOP it does per "
        "byte. Right of it the arithmetic units are busy. Solid roofs are the datasheet's, dotted ones what the engine "
        "achieves; a point well below both pays for launches or for work that does not overlap."
    )
