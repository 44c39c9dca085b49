"""Why is it slow, by what margin, and what would change it?"""

from pages import frame
from pages.parts.share import onward, open_with
from pages.parts.speech import st
from perfmodel.diagnosis import PHASES, case_of, effects, flips, stacks, tables
from perfmodel.figures import diagnosis

with frame("Diagnosis", "Why is it slow, by what margin, and what would change it?") as page:
    report = page.report
    phase = page.choice("phase", "Diagnose", tuple(PHASES), "decode", labels={"decode": "decode step"})
    case = case_of(page.scenario, phase)
    changes = effects(case)

    page.say(lambda: tables.sentence(report, case, flips(case)))
    page.picture(diagnosis.bars(case), diagnosis.describe_bars(case))
    page.later(lambda: st.caption(diagnosis.describe_bars(case)))

    st.subheader("What twice or half of each input does to the time")
    page.show(
        diagnosis.tornado(changes),
        "tornado",
        describe=diagnosis.describe_tornado(changes),
        legend=diagnosis.legend(changes),
    )
    st.markdown(f"**The test for overhead.** {tables.overhead_test(case)}")

    st.subheader("What flips the regime")
    page.table(tables.flip_rows(report, flips(case)), "flips")
    onward(("Cures", "Regime map", "Raising intensity"))

    if fold := page.fold("The verdict as numbers: shares, distance to the ridge, counters", "numbers"):
        with fold:
            page.table(tables.phase_rows(report), "phases")
            page.table(tables.effect_rows(changes), "effects")
    if fold := page.fold("Every operator: what it is bound by, what removing it is worth, where it turns", "operators"):
        with fold:
            single = case if phase != "request" else case_of(page.scenario, "decode")
            page.table(tables.operator_rows(single), "operators")
            st.caption("Amdahl: attack the largest first. Ten percent of the time made twice as fast gains 1.053×.")
    if fold := page.fold("The software: the same work in every engine profile", "stacks"):
        with fold:
            page.table(stacks.rows(page.scenario, phase), "stacks")
            st.caption(stacks.SAID)
            page.table(stacks.TAXONOMY, "taxonomy")
    if fold := page.fold("The articles' figures 1 to 5: each regime on a real scenario", "articles"):
        with fold:
            for title, scenario, phase in stacks.examples():
                example = case_of(scenario, phase)
                open_with(page.name, title, scenario.to_query() | {"phase": phase})
                page.picture(diagnosis.bars(example), diagnosis.describe_bars(example))

    st.markdown(
        "**How to read it.** The regime is what takes the largest share of the time as it runs. Speeding up a resource "
        "with share $f$ by $s$ leaves $T' = T\\,(1 - f\\,(1 - 1/s))$: a cure for the wrong regime is worth nothing. "
        "Every time is homogeneous of degree one in what the four resources need, so "
        "$\\sum_r \\partial \\ln T / \\partial \\ln v_r = -1$ over their speeds. Doubled capability that does not "
        "*lower* the time points at another resource (the articles' translations say *raise*: the wrong direction)."
    )
    page.cards(diagnosis.cards(report, phase))
