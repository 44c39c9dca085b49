"""The row on top of every page: links that carry the scenario, and the link to give away."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit, urlunsplit

import streamlit as st

from pages.parts.registry import pages
from pages.parts.state import Session, link_of, touch


def address(now: Session) -> str:
    """Return the whole address of the present page, as it stands in the browser after this run."""
    parts = urlsplit(st.context.url or "")
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", urlencode(link_of(now, now.page)), ""))


def page_links(now: Session) -> None:
    """Draw a link to every page; each carries the scenario and what that page showed last."""
    with st.container(horizontal=True, gap="xxsmall"):
        for page in pages():
            st.page_link(page.path, label=page.name, query_params=link_of(now, page.name))


def button(now: Session) -> None:
    """Draw the button that shows the link to give away."""
    box = st.popover("Share", icon=":material/link:", key=f"share.{now.page}", on_change=touch)
    if box.open:
        box.markdown("This link carries the whole scenario; the address bar holds the same one.")
        box.code(address(now), language=None, wrap_lines=True)
