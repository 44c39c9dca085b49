"""Streamlit in the reader's language: `from pages.parts.speech import st` says the same in English or in Chinese.

Pages write English. What is read (texts, labels, helps, options, table heads and cells) passes through the catalogue
of the session's language on its way to the browser; everything else is Streamlit itself. In English nothing is done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import streamlit

from perfmodel.languages import ENGLISH, LANGUAGES, LINK_KEY, translate, translate_markup

#: Where the session keeps its language.
_KEY = "perfmodel.language"
#: What shows its first argument as text, or these ones.
_PLACES = {"metric": (0, 1), "progress": (1,)}
_TEXTS = frozenset(
    (
        *("markdown", "caption", "header", "subheader", "title", "success", "info", "warning", "error", "button"),
        *("download_button", "popover", "expander", "metric", "toggle", "checkbox", "radio", "selectbox", "pills"),
        *("segmented_control", "slider", "select_slider", "number_input", "text_input", "text_area", "file_uploader"),
        "progress",
    )
)
_NAMED = ("label", "text", "help", "placeholder", "alt")
_CHOICES = frozenset(("radio", "selectbox", "pills", "segmented_control"))
_TABLES = frozenset(("table", "dataframe"))
_HEADINGS = frozenset(("title", "header", "subheader"))
#: What Markdown would take for markup.
_MARKUP = re.compile(r"([\\\\`*_{}\[\]()#+\-.!|<>$:~&])")


def spoken() -> str:
    """Return the language of this session."""
    return str(streamlit.session_state.get(_KEY, ENGLISH))


def default() -> str:
    """Return the language the browser asks for, as far as there is a catalogue."""
    asked = (streamlit.context.locale or ENGLISH).lower()
    return next((language for language in LANGUAGES if asked.startswith(language)), ENGLISH)


def settle(link: Mapping[str, str]) -> None:
    """Take the language from the link; from the browser where the link names none; an empty link changes nothing."""
    if link.get(LINK_KEY) in LANGUAGES:
        streamlit.session_state[_KEY] = link[LINK_KEY]
    elif link or _KEY not in streamlit.session_state:
        streamlit.session_state[_KEY] = default()


def carried() -> dict[str, str]:
    """Return what a link says of the language: nothing where the language is English and the browser's own."""
    language = spoken()
    return {} if language == ENGLISH == default() else {LINK_KEY: language}


def switch(touch: Callable[[], None]) -> None:
    """Draw the button that changes to the next language, named by its readers' word for it."""
    names = list(LANGUAGES)
    other = names[(names.index(spoken()) + 1) % len(names)]
    streamlit.button(LANGUAGES[other], key="language", type="tertiary", on_click=_choose, args=(other, touch))


def _choose(language: str, touch: Callable[[], None]) -> None:
    touch()
    streamlit.session_state[_KEY] = language


def say(text: str) -> str:
    """Return a text in the language of this session."""
    language = spoken()
    return text if language == ENGLISH else translate(text, language)


def plain(text: str) -> str:
    """Return a text in the reader's language so that Markdown shows it as it is."""
    return escaped(say(text))


def escaped(text: str) -> str:
    """Return text that came from outside so that Markdown shows it as it is: no links, markup, formulas or icons."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return _MARKUP.sub(r"\\\1", printable)


def say_figure(figure: dict[str, Any]) -> dict[str, Any]:
    """Return a figure whose titles, annotations, names and ticks are in the language of this session."""
    return figure if spoken() == ENGLISH else _figure(figure, "")


def say_picture(svg: str) -> str:
    """Return an SVG picture whose texts are in the language of this session."""
    return translate_markup(svg, spoken())


#: Where a figure's words are: what is under these keys, a text or a list of texts.
_SHOWN = frozenset(
    ("text", "title", "name", "ticktext", "hovertemplate", "hovertext", "labels", "y", "x", "categoryarray")
)
_TAG = re.compile(r"(<[^>]*>)")
#: A list longer than this is data, not words.
_MOST_WORDS = 400


def _figure(part: Any, key: str) -> Any:
    if isinstance(part, str):
        return "".join(one if one.startswith("<") else say(one) for one in _TAG.split(part)) if key in _SHOWN else part
    if isinstance(part, dict):
        return {name: _figure(inner, name) for name, inner in part.items()}
    words = isinstance(part, list | tuple) and len(part) <= _MOST_WORDS
    return [_figure(inner, key) for inner in part] if words else part


def _cells(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {say(str(name)): _cells(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_cells(value) for value in data]
    return say(data) if isinstance(data, str) else data


def _translated(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return one of Streamlit's functions with its texts translated."""

    def call(*args: Any, **more: Any) -> Any:
        language = spoken()
        if language == ENGLISH:
            return function(*args, **more)
        more |= {key: say(more[key]) for key in _NAMED if isinstance(more.get(key), str)}
        if name in _TABLES:
            args = (_cells(args[0]), *args[1:])
            if more.get("column_config"):
                more["column_config"] = {say(key): value for key, value in more["column_config"].items()}
        else:
            places = _PLACES.get(name, (0,))
            args = tuple(_cells(value) if at in places else value for at, value in enumerate(args))
        if name in _CHOICES:
            shown = more.get("format_func", str)
            more["format_func"] = lambda option: translate(shown(option), language)
        return function(*args, **more)

    return call


def _named(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return one of Streamlit's headings so that it has a name, its words if no other. frame.css hides the link to it.

    A browser would else work out a name, by way of a thousand letters, each time a run begins or ends: some 2 ms a
    heading on the way from a slider to its figure.
    """

    def call(text: str, *args: Any, anchor: str = "", **more: Any) -> Any:
        return function(text, *args, anchor=anchor or "-".join(re.findall(r"\w+", text)), **more)

    return call


def _linked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return Streamlit's link to a page so that it carries the language."""

    def call(*args: Any, **more: Any) -> Any:
        more |= {key: say(more[key]) for key in _NAMED if isinstance(more.get(key), str)}
        if more.get("query_params") is not None:
            more["query_params"] = carried() | dict(more["query_params"])
        return function(*args, **more)

    return call


class Speech:
    """Streamlit, its texts in the session's language."""

    def __getattr__(self, name: str) -> Any:
        """Return Streamlit's own, translated where it shows text."""
        found = getattr(streamlit, name)
        if name in _TEXTS or name in _TABLES:
            found = _translated(name, found)
            found = _named(found) if name in _HEADINGS else found
        elif name == "page_link":
            found = _linked(found)
        else:
            return found
        setattr(self, name, found)
        return found


st = Speech()
