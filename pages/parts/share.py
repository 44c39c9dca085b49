"""The row on top of every page: links that carry the scenario, and the link to give away."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from urllib.parse import urlencode, urlsplit, urlunsplit

from pages.parts.registry import PageFile, groups, pages
from pages.parts.speech import st
from pages.parts.state import ALONE, Session, link_of, session, touch
from perfmodel.pins import to_link


def address(now: Session, **more: str) -> str:
    """Return the whole address of the present page, as it stands in the browser after this run; `more` is added."""
    return at(link_of(now, now.page) | more)


def at(query: dict[str, str]) -> str:
    """Return the address of the present page with these keys."""
    parts = urlsplit(st.context.url or "")
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", urlencode(query), ""))


def page_links(now: Session) -> None:
    """Draw the way to every page: the groups, then the pages of the present one. Each link carries the scenario.

    A group leads to its first page; the present group to the page at hand, which marks both rows.
    """
    inside: tuple[PageFile, ...] = ()
    with st.container(horizontal=True, gap="xxsmall"):
        for group, members in groups().items():
            here = next((page for page in members if page.name == now.page), None)
            _link(now, here or members[0], group or members[0].name)
            inside = members if here and group else inside
    if inside:
        with st.container(horizontal=True, gap="xxsmall"):
            for page in inside:
                _link(now, page, page.name)


def _link(now: Session, page: PageFile, label: str) -> None:
    st.page_link(page.path, label=label, help=page.question, query_params=link_of(now, page.name))


def onward(names: Sequence[str]) -> None:
    """Draw links to pages by name, each carrying the scenario; only those there are."""
    now, known = session(), {page.name: page for page in pages()}
    with st.container(horizontal=True, gap="small"):
        for name in names:
            if page := known.get(name):
                query, arrow = link_of(now, page.name), ":material/arrow_forward:"
                st.page_link(page.path, label=page.name, icon=arrow, help=page.question, query_params=query)


def pins() -> dict[str, str]:
    """Return the link parameters of what is pinned: they travel in every link, whatever its scenario."""
    return to_link(session().pins)


def open_with(name: str, label: str, query: dict[str, str]) -> None:
    """Draw a link to a page with another scenario; what is pinned stays."""
    path = next(page.path for page in pages() if page.name == name)
    st.page_link(path, label=label, query_params=query | pins())


def button(now: Session, figures: Sequence[str]) -> None:
    """Draw the button that shows the link to give away, of the page or of one of its figures."""
    box = st.popover("Share", icon=":material/link:", key=f"share.{now.page}", on_change=touch)
    if box.open:
        box.markdown("This link carries the whole scenario and what is pinned; the address bar holds the same one.")
        box.code(address(now), language=None, wrap_lines=True)
        if figures:
            with box:
                _embed(now, figures)


def _embed(now: Session, figures: Sequence[str]) -> None:
    """Draw the line that puts one figure of the page into a slide or a wiki."""
    figure = figures[0]
    if len(figures) > 1:
        figure = st.selectbox("Embed one figure", figures, key=f"embed.{now.page}", on_change=touch)
    else:
        st.markdown("Embed the figure in a slide or a wiki:")
    source = escape(address(now, **{ALONE: figure, "embed": "true"}))
    st.code(f'<iframe src="{source}" width="100%" height="480" style="border:0"></iframe>', "html", wrap_lines=True)
