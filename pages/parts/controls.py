"""Secondary controls of a page: what they show travels in the link, and the page knows it before they are drawn.

After a change they wait like everything else that is no figure, each in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from pages.parts import state
from pages.parts.speech import plain, st
from pages.parts.waiting import Waiting

#: From so many options on, a secondary control is a select box.
_MANY = 6
_BOXES = {"info": st.info, "warning": st.warning, "error": st.error, "remark": st.caption}


@dataclass(frozen=True)
class Controls:
    """The controls of one run of the page `name`; `messages` is where notices go."""

    name: str
    messages: Any
    waiting: Waiting

    def later(self, draw: Callable[[], object], place: Any = None) -> None:
        """Leave a costly part that holds no control for after the figures; numbers, tables and cards wait anyway."""
        self.waiting.add(draw, place)

    @contextmanager
    def controls(self, align: Literal["top", "bottom"] = "top") -> Iterator[None]:
        """Put the secondary controls of the block in one row; beside a button their lower edges line up."""
        row = st.container(horizontal=True, vertical_alignment=align)
        with row, self.waiting.all_into(row):
            yield

    def control(self, draw: Callable[[], object]) -> None:
        """Draw a secondary control, whose value is known already, in the row it belongs to."""
        self.waiting.add(draw, self.waiting.row)

    def say(self, text: Callable[[], str]) -> None:
        """Show a text that changes with the scenario; it is computed behind the figures too."""
        self.later(lambda: st.markdown(text()))

    def notice(self, text: str, level: str = "warning") -> None:
        """Show a message at the top of the page, its lines in one box; level info, warning or error."""
        with self.messages:
            _BOXES[level]("  \n".join(plain(line) for line in text.split("\n")))

    def choice(
        self,
        key: str,
        label: str,
        options: Sequence[str | int],
        default: str | int,
        *,
        labels: Mapping[Any, str] | None = None,
        help: str = "",
    ) -> Any:
        """Draw a secondary control and return the option chosen; it travels in the link as `key`."""
        by_text = {str(option): option for option in options}
        value, wrong = state.view(self.name, key, by_text.__contains__, str(default))
        if wrong:
            self.notice(f"{key}={wrong!r} is not one of {', '.join(by_text)}; using {default}")
        texts, widget, few = list(by_text), f"v.{self.name}.{key}", len(by_text) < _MANY
        named = {text: (labels or {}).get(option, text) for text, option in by_text.items()}
        held = state.hold(widget, value, "default") if few else state.hold(widget, value, "index", texts.index(value))
        common: dict[str, Any] = {"on_change": _chosen, "args": (self.name, key, widget), "help": help or None} | held
        if few:
            common |= {"required": True, "wrap": True}
        draw = st.segmented_control if few else st.selectbox
        self.control(partial(draw, label, texts, format_func=named.__getitem__, **common))
        return by_text[value]

    def number(
        self,
        key: str,
        label: str,
        default: float,
        *,
        low: float,
        high: float,
        step: float | None = None,
        help: str = "",
    ) -> Any:
        """Draw a secondary number and return it, whole where the default is; it travels in the link as `key`."""
        kind = type(default)
        text, wrong = state.view(self.name, key, lambda asked: within(asked, kind, low, high), str(default))
        if wrong:
            whole = "a whole number" if kind is int else "a number"
            self.notice(f"{key}={wrong!r} is not {whole} from {low:,} to {high:,}; using {default}")
        widget = f"v.{self.name}.{key}"
        common: dict[str, Any] = {"on_change": _chosen, "args": (self.name, key, widget), "help": help or None}
        common |= {
            "min_value": kind(low),
            "max_value": kind(high),
            "step": kind(step) if step else 1 if kind is int else None,
        }
        self.control(partial(st.number_input, label, **common, **state.hold(widget, kind(text))))
        return kind(text)

    def text(
        self,
        key: str,
        label: str,
        default: str,
        *,
        check: Callable[[str], object] | None = None,
        help: str = "",
        placeholder: str = "",
    ) -> str:
        """Draw a secondary text and return it; one that `check` refuses stays as typed, and the default counts."""
        text, _ = state.view(self.name, key, lambda asked: len(asked) <= state.MAX_VIEW_CHARS, default)
        widget = f"v.{self.name}.{key}"
        common: dict[str, Any] = {"on_change": _chosen, "args": (self.name, key, widget), "help": help or None}
        common |= {"max_chars": state.MAX_VIEW_CHARS, "placeholder": placeholder or None}
        self.control(partial(st.text_input, label, **common, **state.hold(widget, text)))
        try:
            (check or str)(text)
        except ValueError as error:
            self.notice(f"{key}: {error}; what you typed stays and does not count")
            return default
        return text

    def memo(self, key: str, default: str) -> str:
        """Return a short text that the page keeps under `key` without a widget; it travels in the link."""
        return state.view(self.name, key, lambda asked: len(asked) <= state.MAX_VIEW_CHARS, default)[0]

    def remember(self, key: str, text: str) -> None:
        """Change what `memo` or a secondary control says, in a callback."""
        state.set_view(self.name, key, text)
        state.touch()

    def several(self, key: str, label: str, options: Mapping[str, str], default: str) -> tuple[str, ...]:
        """Draw options of which any number can be chosen, value -> what is shown; the link divides them by dots.

        What the link names and is no option any more is left out with a notice.
        """
        text, _ = state.view(self.name, key, str.isprintable, default)
        asked = tuple(filter(None, text.split(".")))
        chosen = [value for value in options if value in asked]
        if gone := [value for value in asked if value not in options]:
            self.notice(f"{key}: {', '.join(gone)} cannot be chosen here; left out", "info")
        widget = f"v.{self.name}.{key}"
        common: dict[str, Any] = {"on_change": _chosen, "args": (self.name, key, widget)}
        common |= state.hold(widget, chosen, "default")
        draw = partial(st.pills, label, tuple(options), selection_mode="multi", format_func=options.__getitem__)
        self.control(partial(draw, **common))
        return tuple(chosen)


def within(text: str, kind: type[Any], low: float, high: float) -> bool:
    """Tell whether a text is a number of this kind between these bounds.

    >>> within("8", int, 1, 10), within("8.5", int, 1, 10), within("nan", float, 1, 10)
    (True, False, False)
    """
    try:
        return bool(low <= kind(text) <= high)
    except ValueError:
        return False


def _chosen(page: str, key: str, widget: str) -> None:
    value = st.session_state[widget]
    state.set_view(page, key, ".".join(value) if isinstance(value, list) else str(value))
    state.touch()
