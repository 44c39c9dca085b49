"""Is it right? Every prediction beside what somebody measured."""

from pages import frame
from pages.parts import share
from pages.parts.speech import plain, st
from perfmodel import how, ours, validation
from perfmodel.figures import ours as own
from perfmodel.figures import validation as figures

VIEWS = {"times": "All times", "requests": "Requests", "kernels": "Kernels", "memory": "Memory", "training": "Training"}
BY = {"what": "What", "source": "Source", "engine": "Engine", "chip": "Chip", "regime": "Regime"}
ALL, NONE = "all", "none"


with frame("Validation", "Is it right? Every prediction beside what somebody measured.") as page:
    page.say(lambda: f"**How sure about your scenario?** {plain(validation.nearest_sentence(page.scenario))}")

    with page.controls():
        view = page.choice("kind", "Figures", tuple(VIEWS), "times", labels=VIEWS)
        by = page.choice("by", "Told apart by", tuple(BY), "what", labels=BY)
    names = validation.sorts(view, by)
    numbers, filtered = st.columns([3, 1])
    with filtered:
        only = page.choice("only", "Only", (ALL, *names), ALL, labels={ALL: "all of them"})
    found = validation.shown(view, by, only)
    rows = {check.row.id: f"{check.model} · {check.row.what} · {check.chip} · {check.row.id}" for check in found}

    with numbers:
        page.metric_row(lambda: validation.summary(found), lambda: how.validation(found))
    above = st.container()
    picked = page.choice(
        "row", "One figure (or click a point)", (NONE, *rows), NONE, labels=rows | {NONE: "none chosen"},
        help="What was printed where, what we predict, and the scenario behind it",
    )  # fmt: skip
    with above:
        page.show(
            figures.figure(found, by, names, validation.nearest(page.scenario), picked),
            "parity", describe=figures.describe(found), legend=figures.marks(names), on_select="row",
        )  # fmt: skip
    if picked != NONE:
        check = next(check for check in found if check.row.id == picked)
        st.table([{k: plain(v) for k, v in fact.items()} for fact in validation.facts(check)], hide_index=True)
        if check.scenario:
            query = check.scenario.to_query() | share.pins()
            st.page_link("app.py", label="Open this scenario", icon=":material/open_in_new:", query_params=query)

    st.subheader("The error by what was measured")
    page.table(validation.subject_rows, "subjects")
    st.subheader("Where it fails, and what is known about it")
    st.table([{k: plain(str(v)) for k, v in row.items()} for row in validation.failures()], hide_index=True)
    if fold := page.fold("Every family of figures, the worst first", "families"):
        with fold:
            page.table(validation.family_rows(validation.checks()), "families")
    st.subheader("What we measured ourselves")
    over = page.choice("over", "Time over", tuple(ours.AXES), "batch", labels=ours.AXES)
    for machine in ours.machines().values():
        st.markdown(plain(ours.sentence(machine)))
        left, right = st.columns(2)
        with left:
            sweep, told = own.figure(machine, over), own.describe(machine, over)
            page.show(sweep, f"own.{machine.id}", describe=told, legend=own.MARKS)
        with right:
            page.table(ours.error_rows(machine), f"own.errors.{machine.id}")
            st.caption(f"{plain(machine.note)}  \n{plain(machine.known)}")
    st.markdown(
        "**Why believe it.** Every row is a figure that somebody else published, cited to its document and place, "
        "taken by a fixed rule and never by how well we do. It is answered by the very functions that draw the other "
        "pages. The headline is the mean over families of the median |ln(predicted / measured)|, so that no large "
        "table rules; many of the kernel and training figures belong to tables on which constants were fitted, whole "
        "models and engines mostly do not."
    )
