"""Where do the time, the bytes and the money go?"""

from pages import frame
from pages.parts.share import onward
from pages.parts.speech import st
from perfmodel import how
from perfmodel.diagnosis import tables
from perfmodel.figures import operators, roofline, time_bar
from perfmodel.text import BAND_HELP, band_text
from perfmodel.units import show, significant


def why() -> None:
    """Say what limits this scenario and what would help, with the ways to go on."""
    st.markdown(tables.why_and_what(page.scenario))
    onward(("Diagnosis", "Cures", "Regime map"))


with frame("Home", "Where do the time, the bytes and the money go?") as page:
    report = page.report

    page.metric_row(
        [
            ("First token, no queue", show(report.ttft_s, "s"), BAND_HELP, band_text(report, "ttft_s")),
            ("Time per output token", show(report.tpot_s, "s"), BAND_HELP, band_text(report, "tpot_s")),
            (
                "Output tokens per second",
                significant(report.tokens_per_s),
                BAND_HELP,
                band_text(report, "tokens_per_s", ""),
            ),
            ("Memory per device", operators.memory_text(report), BAND_HELP, band_text(report, "memory_bytes", "B")),
            ("A million output tokens", operators.cost_text(report)),
        ],
        how.home(report),
    )
    page.picture(time_bar.svg(report), time_bar.describe(report), "time-bar")
    page.later(why, st.container(border=True, gap="xsmall"))
    page.show(
        roofline.figure(report),
        "roofline",
        height=370,
        describe=roofline.describe(report),
        legend=roofline.legend(report),
    )

    if fold := page.fold("Why: every operator, largest share first", "why"):
        with fold:
            page.table(operators.rows(report), "operators")
