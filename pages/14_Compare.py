"""Which is faster, and what makes the difference?"""

from pages import frame
from pages.parts import pin
from pages.parts.speech import plain, st
from pages.parts.state import session
from perfmodel.difference import difference, sentences, summary
from perfmodel.figures import compare


def start() -> None:
    """Say what to do while nothing is pinned, with scenarios to begin with."""
    st.markdown(
        "Nothing is pinned yet. **Pin** keeps the present scenario, here or on any other page; change anything then, "
        "and both stand side by side. Or begin with a neighbour of this scenario:"
    )
    with st.container(horizontal=True):
        for name, scenario in compare.neighbours(page.scenario).items():
            st.button(name, key=f"start.{name}", on_click=pin.add, args=(scenario, name))


def why(phase: str) -> None:
    """Draw the waterfall between two of the scenarios."""
    options = ("first", *(key for key in list(names)[1:]))
    named = names | {"first": shown[0].label}
    with page.controls():
        one = page.choice("from", "From", options, "first", labels=named)
        two = page.choice("to", "to", options, compare.NOW, labels=named)
    before, after = (next(side for side in shown if side.key == key or key == "first") for key in (one, two))
    found = difference(before.report, after.report, phase)
    st.markdown(f"**{plain(summary(found, before.label, after.label))}**")
    st.markdown("\n".join(f"- {plain(text)}" for text in sentences(found)))
    page.show(
        compare.waterfall(found, before, after), "waterfall", describe=compare.describe_waterfall(found, before, after)
    )
    if fold := page.fold("Every operator and cause", "parts"):
        with fold:
            page.table(compare.parts_table(found), "parts")
            st.download_button(
                "Download as CSV", compare.parts_csv(found), "difference.csv", "text/csv", on_click="ignore"
            )


with frame("Compare", "Which is faster, and what makes the difference?") as page:
    now = session()
    shown = compare.sides(now.pins, page.scenario)
    names = {side.key: side.label for side in shown}

    if not now.pins:
        start()
    phase = page.choice("phase", "Phase", ("decode", "prefill"), "decode")
    page.picture(compare.bars(shown, phase), compare.describe_bars(shown, phase))
    if now.pins:
        why(phase)
    page.later(lambda: st.table(compare.rows(shown), border="horizontal", hide_index=True))
    st.caption("In brackets: the value divided by that of the first column.")
    page.show(
        compare.rooflines(shown, phase),
        "roofs",
        describe=compare.describe_rooflines(shown, phase),
        legend=compare.marks(shown),
    )
    st.markdown(
        "**How the difference is split.** Where two needs of an operator hide behind one another, which of them made "
        "it longer has no unique answer. Each cause gets its *Shapley value*: what its change adds, averaged over all "
        "orders of changing them one after another. The values add up to the difference exactly, whatever else "
        "changed: model, chip, engine, layout. *Overlap* is what hides more or less than before. Operators are matched "
        "by name; those that only one side has count as added or removed."
    )
    st.caption(
        "Source of the rule: L. S. Shapley, *A value for n-person games*, 1953. Times are those of the estimate."
    )
