"""Export: the scenario as a report, as tables, as JSON, as a launch line. The control beside Share, on every page.

Closed it costs its button; a file is written when its button is pressed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import partial

from pages.parts.share import address
from pages.parts.speech import st
from pages.parts.state import Session, hold, link_of, session, touch
from perfmodel import Report
from perfmodel.pins import to_link

#: What the camera of a figure can save.
IMAGES = ("png", "svg")


def button(now: Session) -> None:
    """Draw the button that offers the files."""
    box = st.popover("Export", icon=":material/download:", key=f"export.{now.page}", on_change=touch)
    if box.open:
        with box:
            _panel(now)


def _panel(now: Session) -> None:
    from perfmodel.dossier import Subject, archive, html, machine_text  # here: nobody pays for it who exports nothing

    page = address(now).partition("?")[0]
    beside = now.scenario.to_query() | to_link(now.pins)
    views = {key: text for key, text in link_of(now, now.page).items() if key not in beside}
    subject = Subject(now.scenario, page, date.today().isoformat(), now.pins, views)
    st.caption(
        "A page with every figure that opens offline and prints on A4 (5 MB), the tables behind it, or all as data."
    )
    files: dict[str, tuple[str, str, Callable[[Subject], str | bytes]]] = {
        "Report (HTML)": ("html", "text/html", html),
        "Tables (CSV)": ("zip", "application/zip", archive),
        "Everything (JSON)": ("json", "application/json", machine_text),
    }
    for label, (ending, mime, write) in files.items():
        name = f"{subject.file_name}.{ending}"
        st.download_button(label, partial(write, subject), name, mime, on_click="ignore", width="stretch")
    _launch(subject.report)
    with_camera = {"on_change": _image} | hold("export.image", now.image, "default")
    st.segmented_control("The camera above a figure saves", IMAGES, format_func=str.upper, required=True, **with_camera)


def _launch(report: Report) -> None:
    from perfmodel.launch import launches

    found = {one.server: one for one in launches(report)}
    if not found:
        st.caption("No server that runs on this chip takes a launch line.")
        return
    st.segmented_control("Launch with", tuple(found), default=next(iter(found)), required=True, key="export.server")
    one = found.get(st.session_state["export.server"]) or next(iter(found.values()))
    st.code(one.command, language="bash", wrap_lines=True)
    if one.notes:
        st.caption(". ".join(f"{note[0].upper()}{note[1:]}" for note in one.notes) + ".")


def _image() -> None:
    session().image = st.session_state["export.image"]
    touch()
