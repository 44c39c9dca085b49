"""Formula cards in Streamlit: the equation, the values put in, every symbol with its source, and the way further down.

A closed card costs its heading only: what it shows is computed when it is opened. Inside, a click on a quantity opens
the card of that quantity, down to the numbers of the spec files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pages.parts.expander import expander
from pages.parts.speech import plain, st
from perfmodel.explain import Argument, Card, Contract
from perfmodel.explain.docstrings import words

#: An equation in words longer than this wraps as text: as LaTeX it would not fit a phone.
_LATEX_CHARS = 60


def render(cards: Sequence[Any], *, open_first: bool = False) -> None:
    """Draw formula cards, one expander each; a card is one of `perfmodel.explain` or a mapping of texts."""
    for index, card in enumerate(cards):
        _lazy(card, f"card.{index}.{_text(card, 'title')}", open_first and index == 0)


def sheet(contract: Contract, key: str) -> None:
    """Draw a formula without values: what it says, its symbols and its example, in an expander."""
    box = st.expander(_heading(contract.title, ""), key=key, on_change="rerun")
    if box.open:
        with box:
            st.markdown(plain(contract.sentence))
            st.latex(contract.equation)
            rows = [(symbol.latex, symbol.name, symbol.meaning, symbol.unit) for symbol in contract.symbols.values()]
            st.table(
                [
                    {"Symbol": _symbol(x, name, words(name)), "Meaning": plain(text), "Unit": plain(u)}
                    for x, name, text, u in rows
                ],
                border="horizontal",
                hide_index=True,
            )
            st.code(contract.example, language="python", wrap_lines=True)
            _promise(contract)


@st.fragment
def how(card: Any, key: str) -> None:
    """Draw the way from a headline number to its card; nothing is computed before it is opened."""
    box = st.popover("how?", type="tertiary", key=key, on_change="rerun")
    if box.open:
        with box:
            st.markdown(_named(card))
            _inside(card, key)


@st.fragment
def _lazy(card: Any, key: str, opened: bool) -> None:
    box = expander(_named(card), key, "rerun", opened=opened)
    if box.open:
        with box:
            _inside(card, key)


def _inside(card: Any, key: str) -> None:
    _open(card, key) if isinstance(card, Card) else _texts(card)


def _open(card: Card, key: str) -> None:
    """Draw the card at the end of the path that the reader has clicked, with the way back."""
    path: list[str] = st.session_state.setdefault(f"{key}.path", [])
    trail = [card]
    for name in path:
        found = next((a.card for a in trail[-1].arguments if a.name == name and a.card), None)
        if found is None:
            break
        trail.append(found)
    del path[len(trail) - 1 :]
    if len(trail) > 2:
        st.caption(" › ".join(plain(part.title) for part in trail[:-1]))
    if len(trail) > 1:
        st.button(f"‹ Back to {plain(trail[-2].title)}", key=f"{key}.back", on_click=_back, args=(key,))
        st.markdown(f"**{plain(trail[-1].title)} = {plain(trail[-1].shown)}**")
    _face(trail[-1])
    deeper = [a.name for a in trail[-1].arguments if a.card]
    if deeper:
        pick = f"{key}.{len(path)}"
        shown = {a.name: f"{plain(a.label)} = {plain(a.shown)}" for a in trail[-1].arguments}
        label = "Open what it was computed from"
        st.pills(label, deeper, key=pick, format_func=shown.__getitem__, on_change=_deeper, args=(key, pick))
    _promise(trail[-1].contract)
    st.caption("  \n".join(filter(None, (_trust(trail[-1]), _measured(trail[-1])))))


def _deeper(key: str, pick: str) -> None:
    name = st.session_state.get(pick)
    if name is not None:
        st.session_state[f"{key}.path"].append(name)
        st.session_state[pick] = None


def _back(key: str) -> None:
    st.session_state[f"{key}.path"].pop()


def _face(card: Card) -> None:
    contract = card.contract
    st.markdown(plain(contract.sentence))
    if card.call is not None or len(card.wording) <= _LATEX_CHARS:
        st.latex(contract.equation)
    else:
        st.code(card.wording, language=None, wrap_lines=True)
    st.markdown(f"With the values put in: **{plain(card.substituted)}**")
    rows = [_row(argument, contract) for argument in card.arguments]
    if rows:
        st.table(rows, border="horizontal", hide_index=True)


def _row(argument: Argument, contract: Contract) -> dict[str, str]:
    symbol = contract.symbols[argument.name]
    meaning = "" if argument.meaning == argument.name else argument.meaning
    return {
        "Symbol": _symbol(symbol.latex, argument.name, argument.label),
        "Meaning": plain(meaning),
        "Value": plain(argument.shown),
        "Source": plain(_origin(argument)),
    }


def _origin(argument: Argument) -> str:
    """Return where a value comes from and how far it carries, without saying a thing twice."""
    source = argument.source
    cited = ", ".join(filter(None, (source.title, source.date)))
    said = argument.confidence == "given" or argument.confidence in cited
    return cited if said else f"{cited} ({argument.confidence})"


def _symbol(letter: str, name: str, label: str) -> str:
    return f"${letter}$ {plain(label)}" if letter and letter != name else plain(label)


def _promise(contract: Contract) -> None:
    facts = [f"Valid for: {plain(contract.validity)}"] if contract.validity else []
    facts.append(f"Source of the formula: {plain(_cited(contract.source))}")
    st.caption("  \n".join(facts).replace("\\`", ""))


def _cited(source: str) -> str:
    return source.replace("article_cases", "the four articles, case")


def _trust(card: Card) -> str:
    guesses = card.estimates
    if not guesses:
        return "Confidence: derived from published numbers."
    return f"Confidence: rests on {len(guesses)} estimate{'s' * (len(guesses) > 1)}: {plain('; '.join(guesses))}."


def _measured(card: Card) -> str:
    text = card.measured()
    return f"Measured: {plain(text)}." if text else ""


def _texts(card: Any) -> None:
    if _text(card, "latex"):
        st.latex(_text(card, "latex"))
    if _text(card, "substituted"):
        st.markdown(plain(_text(card, "substituted")))
    facts = (
        f"{name.capitalize()}: {plain(_text(card, name))}" for name in ("source", "confidence") if _text(card, name)
    )
    st.caption("  \n".join(facts))


def _named(card: Any) -> str:
    return _heading(_text(card, "title"), card.shown if isinstance(card, Card) else _text(card, "value"))


def _heading(title: str, value: str) -> str:
    return f"**{plain(title)}**" + (f" = {plain(value)}" if value else "")


def _text(card: Any, name: str) -> str:
    found = card.get(name) if isinstance(card, Mapping) else getattr(card, name, None)
    return "" if found is None else str(found)
