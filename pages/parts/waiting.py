"""What of a page waits for its figures when something changes: the eye follows the figure, the rest may come after."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

from pages.parts.speech import st

#: How long a run rests when a figure is on its way [s]. A browser draws what it has in one go: what came right behind
#: a figure would be drawn with it, and the figure would be seen that much later. Resting costs no processor.
BREATH_S = 0.1


T = TypeVar("T")
#: What is shown, or a function that returns it: called when it is drawn.
Lazy: TypeAlias = T | Callable[[], T]


def asked(what: Lazy[T]) -> T:
    """Return what is to be shown."""
    return what() if callable(what) else what


class Waiting:
    """The parts of one run of a page that wait, each with its place; none does while the page opens."""

    def __init__(self, opens: bool) -> None:
        """Begin a run."""
        self._opens = opens
        self._parts: list[tuple[Any, Callable[[], object]]] = []
        #: The row in which controls stand just now, one behind the other.
        self.row: Any = None

    def add(self, draw: Callable[[], object], place: Any = None) -> None:
        """Draw a part in its place (here, where none is given): at once if the page opens, else when asked to."""
        place = place or st.container()
        if not self._opens:
            self._parts.append((place, draw))
            return
        with place:
            draw()

    @contextmanager
    def all_into(self, row: Any) -> Iterator[None]:
        """Let the controls of a block stand in this row."""
        before, self.row = self.row, row
        try:
            yield
        finally:
            self.row = before

    def rest(self) -> None:
        """Give the browser the time to draw the figure that was just sent."""
        if not self._opens:
            time.sleep(BREATH_S)

    def draw(self) -> None:
        """Draw what waits."""
        for place, draw in self._parts:
            with place:
                draw()
