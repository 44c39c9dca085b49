"""What would help, and by how much?"""

from pages import frame
from pages.parts.speech import plain, st
from perfmodel import cached_estimate, how
from perfmodel.cures import GOAL_WORDS, GOALS, NOTHING, Outcome, combined, outcomes, ranked
from perfmodel.cures.words import (
    all_rows,
    answer,
    effect,
    gain_text,
    headline,
    idle_rows,
    interaction,
    refused_rows,
    skipped_text,
)
from perfmodel.figures import cures

#: Cures whose links are shown at once.
SHOWN = 6


def offer(outcome: Outcome) -> None:
    """Draw the link that applies a cure, with what it changes below."""
    with st.container(gap="xxsmall"):
        page.link(f"**{gain_text(outcome.gain(goal))}** {outcome.cure.name}", outcome.scenario or scenario, goal=goal)
        st.caption(plain(effect(outcome)))


with frame("Cures", "What would help, and by how much?") as page:
    scenario = page.scenario

    goal = page.choice("goal", "Judge a cure by", GOALS, "request", labels=GOAL_WORDS)
    page.say(lambda: plain(answer(scenario, goal)))
    page.show(
        cures.figure(scenario, goal),
        "gains",
        describe=cures.describe(scenario, goal),
        legend=cures.legend(scenario, goal),
    )

    st.subheader("Apply one")
    st.caption("Each link opens this page with the cure applied: every number is the estimate of that scenario.")
    helpful = [outcome for outcome in ranked(scenario, goal) if outcome.gain(goal) >= 1 + NOTHING]
    for outcome in helpful[:SHOWN]:
        offer(outcome)
    if helpful[SHOWN:] and (box := page.fold(f"Smaller gains ({len(helpful[SHOWN:])})", "smaller")):
        with box:
            for outcome in helpful[SHOWN:]:
                offer(outcome)
    idle, refused = idle_rows(scenario, goal), refused_rows(scenario)
    if idle and (box := page.fold(f"Worth nothing for this goal, or less ({len(idle)})", "idle")):
        with box:
            page.table(idle, "idle")
    if refused and (box := page.fold(f"Cannot be had here ({len(refused)})", "refused")):
        with box:
            page.table(refused, "refused")
    if box := page.fold("All numbers of all cures", "all"):
        with box:
            page.table(all_rows(scenario), "all")

    st.subheader("Several together")
    names = {one.cure.id: one.cure.name for one in outcomes(scenario) if one.applies}
    chosen = page.several("with", "Cures to combine", names, "")
    if chosen:
        together = combined(scenario, chosen, goal)
        st.markdown(plain(interaction(together)))
        values = together.before.value(goal), together.after.value(goal)
        page.metric_row(headline(together, goal), how.cures(cached_estimate(together.scenario), values))
        if together.skipped:
            st.caption(plain(skipped_text(together)))
        page.link("Apply all of them", together.scenario, goal=goal)

    st.markdown(
        "**Why.** A cure shortens one of four times: arithmetic, memory traffic, communication, overhead. What does "
        "not wait for that time gains nothing, however large the cure; what does gains at most the share it waits "
        r"(Amdahl: $1/(1-s)$), and then waits for something else. Two cures of the same time therefore give less than "
        r"the "
        "product of their gains; two of different times give more."
    )
    page.cards(cures.cards(page.report))
