"""The frame every page stands in: link <-> Scenario <-> sidebar, page links, notices, the verdict, figures, cards.

A page is one file `NN_Name.py`; its first docstring line is the question it answers and the text of its page link.
Nothing has to be registered anywhere else. Files whose name starts with an underscore are no pages.

    \"\"\"Which operators are limited by what?\"\"\"
    from pages import frame
    from perfmodel.figures import roofline

    with frame("Roofline", "Which operators are limited by what?") as page:
        with page.controls():
            phase = page.choice("phase", "Phase", ("decode", "prefill"), "decode")    # in the link as phase=decode
        page.metric_row([("Time to first token", show(page.report.ttft_s, "s"), "no queueing")])
        page.show(roofline.figure(page.report), "roofline", describe=roofline.describe(page.report), on_select="op")
        page.cards(operators.cards(page.report, point))

A page that opens is drawn from top to bottom. When something changes on it, what waits (controls, numbers, tables,
cards, the frame itself) is drawn after the figures, each part in its place: the eye waits for the figure.

What a page may use of `page`:

- `page.scenario`, `page.report`: the frozen inputs and the cached estimate of this run.
- `page.choice(key, label, options, default, *, labels=None, help="")`: a secondary control (segmented, or a select box
  from six options on). `key` is its name in the link and must be a literal (or an f-string with one digit); write
  `default` as a literal or a constant of the file, so that the first link of the page carries it already. `labels` maps
  an option to what is shown. Options are short strings or whole numbers.
- `page.number(key, label, default, *, low, high, help="")`: a secondary number; whole where the default is an `int`.
  What the link asks for beyond the bounds gives a notice and the default.
- `page.text(key, label, default, *, check=None, help="", placeholder="")`: a short text; `check` raises a `ValueError`
  that says what is allowed.
- `with page.controls():` puts the controls of the block in one row; `page.control(draw)` puts a button among them.
- `page.memo(key, default)`: a short text without a widget that travels in the link; `page.remember(key, text)`, in a
  callback, changes it or any secondary control.
- `page.several(key, label, options, default)`: options (value -> shown) of which any number can be chosen; the link
  divides them by dots.
- `page.link(label, scenario, **views)`: a link to this page with another scenario.
- `page.metric_row(rows, how)`: headline numbers, or functions that return them, called after the figures; a row is
  (label, text[, help[, band]]), texts from `units.show` and `text.band_text`; `how` has for each row the card that
  opens below it (`perfmodel.how`), None for what is no number.
- `page.show(figure, key, *, height=None, describe="", legend=(), on_select=False)`: a figure given as a plain dict
  {"data": [...], "layout": {...}} with a sentence below it for those who do not see it. With `on_select=True` it
  returns the customdata of the clicked point, or None; `on_select="op"` makes a click choose its customdata in the
  secondary control `op` (which keyboards reach too); a function as `on_select` is called with the customdata, to
  change the scenario by `state.choose`. `legend` is a list of `theme.Mark` (glyph, colour, text) written
  as text below the figure: Plotly's own legend costs some 30 ms a redraw, so switch it off on pages with sliders.
- `page.picture(svg, describe, key="picture")`: an SVG picture, far cheaper than a figure where nothing is clicked.
- `page.say(lambda: text)`: a text that changes with the scenario, above a figure.
- `page.table(rows, key)`: a table from a list of dicts (column -> text or number), or a function that returns one.
- `page.cards(cards, *, open_first=False)`: formula cards of `perfmodel.explain`, one expander each, lazy:
  `page.cards(explain.cards(page.report, explain.TIME))`.
- `page.later(draw, place=None)`: leave another costly part that holds no control for after the figures.
- `page.notice(text, level="warning")`: a message at the top of the page, level info, warning or error.

Everything else is plain Streamlit below the frame, by `from pages.parts.speech import st`: pages write English, and
what is read is translated on its way to the browser (perfmodel/languages). Rules of the link: on a rerun of the same
page, after an edit or with the link that we wrote, the widgets hold the truth; otherwise the link if there is one;
otherwise the last scenario.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from pages.parts import alone, forget, head, prompt, share, sidebar, speech, state
from pages.parts.cards import how, render
from pages.parts.controls import Controls
from pages.parts.expander import expander
from pages.parts.speech import plain, say, st
from pages.parts.waiting import Lazy, Waiting, asked
from perfmodel import Report, Scenario, cached_estimate
from perfmodel.figures.theme import Mark, drawn, dressed

_CONFIG = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["zoomIn2d", "zoomOut2d", "autoScale2d", "lasso2d", "select2d"],
}


@contextmanager
def frame(name: str, question: str, *, scenario_bar: bool = True, own_verdict: bool = False) -> Iterator[Page]:
    """Draw what every page has in common around its own part; `name` is the page's name as its link shows it.

    Without `scenario_bar` the page is not about the reader's scenario: it keeps it and carries it on, and shows
    neither sidebar nor verdict. With `own_verdict` the page says its own: `page.verdict(sentence, summary)`.

    A page that opens is drawn from top to bottom. When something changes on it, its figures come first and the frame
    last, each in its place: the eye follows the figure, and the rest arrives while the browser draws it.
    """
    prompt.set_up()
    forget.few_heaps()
    forget.old_widgets()
    st.set_page_config(page_title=f"{say(name)} · perfmodel", layout="wide")
    now = state.begin(name)
    figures, now.figures[name] = now.figures.get(name, []), []
    if now.alone:
        st.html(head.STYLE)
        place, nowhere = alone.begin(now)
        yield Page(name, place, Waiting(opens=True), now.scenario, cached_estimate(now.scenario), nowhere)
        alone.absent(now, place)  # drawing the figure would have ended the run
        return
    with st.container(gap="xsmall"):
        parts, top, messages = (st.container(gap="xsmall") for _ in range(3))
    page = Page(name, messages, Waiting(now.fresh), now.scenario, cached_estimate(now.scenario), top)

    def around() -> None:
        st.html(head.STYLE)
        if scenario_bar:
            with st.sidebar:
                sidebar.draw(now.scenario)
            state.catch_up(now)
        with parts:
            head.draw(now, question, figures)
        told = head.messages(now)
        if scenario_bar and not own_verdict:
            page.verdict(head.sentence(now.scenario), plain(head.summary(now.scenario)))
            told = chain(told, head.notes(page.report))
        for text, level in told:
            page.notice(text, level)

    def finish() -> None:
        if not now.fresh:
            around()
        state.write_link(now)

    if now.fresh:
        around()
    try:
        yield page
        page.waiting.draw()
    except Exception:
        finish()  # the frame is the way out of what a page cannot show
        raise
    finish()


@dataclass(frozen=True)
class Page(Controls):
    """One run of one page: the scenario, its report, and the ways to show things."""

    scenario: Scenario
    report: Report
    top: Any

    def verdict(self, sentence: str, summary: str) -> None:
        """Say the answer in one sentence on top of the page, and in one line what it is about."""
        with self.top:
            st.subheader(sentence, anchor="verdict")
            st.caption(summary)

    def link(self, label: str, scenario: Scenario, **views: str) -> None:
        """Draw a link to this page with another scenario; secondary controls that are not given take their default."""
        share.open_with(self.name, label, scenario.to_query() | views)

    def metric_row(self, rows: Lazy[Iterable[Sequence[str]]], how: Lazy[Sequence[Any]] = ()) -> None:
        """Show headline numbers; a row is (label, text[, help[, band]]), `how` has the card of each or None."""

        def draw() -> None:
            listed = list(asked(rows))
            for (label, text, *more), card in zip(listed, asked(how) or [None] * len(listed), strict=True):
                help, band = (*(part or None for part in more), None, None)[:2]
                with st.container(width="content", gap=None):
                    st.metric(label, text, band, delta_color="off", delta_arrow="off", help=help, width="content")
                    if card is not None:
                        self.how(card, label)

        self.later(draw, st.container(horizontal=True, gap="small"))

    def how(self, card: Any, label: str) -> None:
        """Draw the way from a number to its card, the formula with the values put in; lazy."""
        how(card, f"how.{self.name}.{label}")

    def show(
        self,
        figure: dict[str, Any],
        key: str,
        *,
        height: int | None = None,
        describe: str = "",
        legend: Sequence[Mark] = (),
        on_select: bool | str | Callable[[Any], None] = False,
    ) -> Any:
        """Draw a figure given as a plain dict, with its legend and a sentence for those who do not see it.

        With `on_select=True` return the customdata of the clicked point, or None; `on_select="op"` makes a click choose
        that customdata in the secondary control `op` instead, and a function is called with it.
        """
        if not (place := alone.place(self.name, key, self.messages)):
            return None
        figure["layout"].setdefault("uirevision", key)
        # Streamlit hands Plotly the same figure twice, copied: with a revision it knows the data for the same ones.
        figure["layout"].setdefault("datarevision", 0)
        if height:
            figure["layout"]["height"] = height
        figure, describe = speech.say_figure(figure), say(describe)
        with place:
            found = self._draw(figure, key, describe, on_select)
            self.waiting.rest()
            marks = "\u2003".join(_coloured(mark) for mark in legend)
            lines = (f":small[{marks}]" if marks else "", f":small[:gray[{plain(describe)}]]" if describe else "")
            if text := "  \n".join(filter(None, lines)):
                st.markdown(text)
        alone.end()
        return found

    def _draw(self, figure: dict[str, Any], key: str, describe: str, on_select: bool | str) -> Any:
        widget, layout = f"f.{self.name}.{key}", figure["layout"]
        if on_select:
            # What Streamlit would otherwise add behind the first drawing, and have everything drawn anew.
            layout |= {"clickmode": "event+select", "dragmode": "pan"}
            layout.setdefault("hovermode", "closest")
        dress = drawn(dressed(figure))
        config = _CONFIG | {"toImageButtonOptions": alone.saved(self.name, key)}
        common: dict[str, Any] = {"key": widget, "theme": None, "config": config, "alt": describe or None}
        if not on_select:
            st.plotly_chart(dress, **common)
            return None
        state.session().clicks[widget] = on_select
        callback = state.touch if on_select is True else partial(_picked, self.name, widget)
        return clicked(st.plotly_chart(dress, on_select=callback, selection_mode="points", **common))

    def picture(self, svg: str, describe: str, key: str = "picture") -> None:
        """Show an SVG picture, described for those who do not see it; a tenth of a figure's cost."""
        if place := alone.place(self.name, key, self.messages):
            with place:
                st.image(speech.say_picture(svg), alt=describe, width="stretch")
            alone.end()

    def table(self, rows: Lazy[Sequence[Mapping[str, Any]]], key: str) -> None:
        """Show a table from a list of dicts, column -> text or number."""

        def draw() -> None:
            found = asked(rows)
            columns = {name: [row.get(name, "") for row in found] for name in (found[0] if found else ())}
            st.dataframe(columns, key=f"t.{self.name}.{key}", hide_index=True, width="stretch")

        self.later(draw)

    def fold(self, title: str, key: str) -> Any:
        """Draw an expander; return its container when it is open, else None: what is folded costs nothing."""
        box = expander(title, f"fold.{self.name}.{key}", state.touch)
        return box if box.open else None

    def cards(self, cards: Iterable[Any], *, open_first: bool = False) -> None:
        """Draw formula cards, one lazy expander each: formula, values put in, unit, source, confidence, drill-down."""
        self.later(lambda: render(list(cards), open_first=open_first))


def _coloured(mark: Mark) -> str:
    text = plain(mark.text).replace(" ", "\u00a0")
    return f':color[{mark.glyph}]{{foreground="{mark.colour}"}}\u00a0{text}'


def clicked(selection: Any) -> Any:
    """Return the customdata of the first selected point of a figure, or None."""
    points = selection["selection"]["points"] if selection else []
    data = points[0].get("customdata") if points else None
    return data[0] if isinstance(data, list | tuple) and len(data) == 1 else data


def _picked(page: str, widget: str) -> None:
    told = state.session().clicks[widget]
    found = clicked(st.session_state.get(widget))
    if found is not None and callable(told):
        told(found)
    elif found is not None:
        state.set_view(page, str(told), str(found[0] if isinstance(found, list | tuple) else found))
    state.touch()
