"""What does your machine reach? Fit the model to your measurements."""

from pages import frame
from pages.parts.measure_panel import pasted
from pages.parts.speech import plain, st
from pages.parts.state import choose
from perfmodel.calibration import words
from perfmodel.figures import validation as figures
from perfmodel.fitting import Fitted, answer, aside_text, engine_of, fitted, residual_rows, roofs


def adopt(cal: str, engine: str) -> None:
    """Put the fitted constants, and the engine that they belong to, into the scenario and its link."""
    choose("cal", cal)
    if engine:
        choose("engine", engine)


def show_fit(found: Fitted) -> None:
    """Draw what the fit found, the button that takes it, and the residuals."""
    st.markdown(plain(answer(found)))
    if found.measured.problems:
        page.notice("\n".join(found.measured.problems))
    if found.cal:
        used = found.cal == page.scenario.cal
        st.button(
            "In use" if used else "Use these constants everywhere", type="primary", disabled=used, key="adopt",
            on_click=adopt, args=(found.cal, engine_of(found)),
        )  # fmt: skip
        st.caption(f"They travel in the link as `cal={found.cal}`: {words(found.cal)}.")
    st.table([{name: plain(text) for name, text in row.items()} for row in found.rows()], hide_index=True)
    left, right = st.columns(2)
    with left:
        pairs = ([row.seconds for row in found.measured.rows], found.before_s, found.after_s)
        names = [row.label for row in found.measured.rows]
        page.show(
            figures.fitted(*pairs, names), "fit", describe=figures.describe_fitted(found), legend=figures.FITTED_MARKS
        )
    with right:
        roof = roofs(found)
        page.show(
            figures.roofline(roof), "roof", height=480, describe=figures.describe_roofline(roof),
            legend=figures.ROOFLINE_MARKS,
        )  # fmt: skip
    if found.measured.aside:
        st.caption(f"{plain(aside_text(found))}.")
    if fold := page.fold("Every measurement, the worst first", "residuals"):
        with fold:
            page.table(residual_rows(found), "residuals")


with frame("Your machine", "What does your machine reach? Fit the model to your measurements.") as page:
    text = pasted()
    if text.strip():
        try:
            with st.spinner("The constants are being fitted"):
                found = fitted(text, page.scenario.model_copy(update={"cal": ""}))
            show_fit(found)
        except ValueError as error:
            page.notice(str(error), "error")

    st.markdown(
        "**Why so few constants.** A machine is a share of its memory bandwidth, a share of its matrix peak (in "
        "attention its own), and fixed times of a kernel, a launch and a step. They are fitted by least squares on "
        "ln(predicted / measured), forgiving with outliers; a constant of which the rows say nothing stays the "
        "profile's, and is left out of the link. The text stays in this tab's memory: nothing is stored, evaluated or "
        "sent elsewhere."
    )
    st.markdown(
        "**No measurements yet?** `python -m perfmodel calibrate -o mine.csv` takes them on the machine it runs on. "
        "What a file does not say (model, accelerator, lengths of `vllm bench latency`) is taken from the sidebar."
    )
    st.markdown(
        "**A model that no catalogue has?** Columns such as `layers`, `hidden`, `heads`, `kv_heads`, `ffn` and `vocab` "
        "describe it, and `model` is its name; beside a model of the catalogue they change it. All names are those "
        "that `python -m perfmodel import config.json` prints."
    )
