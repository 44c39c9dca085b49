"""What do the words and the letters mean?"""

from pages import frame
from pages.parts.speech import spoken, st
from perfmodel.glossary import GLOSSARY, uses
from perfmodel.lessons.phrases import phrases


def look_up(id: str) -> None:
    """Show one term, or all of them (a callback)."""
    page.remember("term", id)
    page.remember("find", "")


def show_terms() -> None:
    """Draw the terms that match, the one of the link first."""
    found = GLOSSARY.find_terms(wanted)
    first = GLOSSARY.terms.get(term) if not wanted else None
    for id in dict.fromkeys((*([term] if first else ()), *sorted(found, key=lambda id: found[id].word(language)))):
        entry = GLOSSARY.terms[id]
        with st.container(border=first is not None and id == term):
            st.markdown(f"**{entry.word(language)}**: {entry.text(language)}")
            if entry.see and id == term:
                with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                    st.caption(say["see_also"], width="content")
                    for other in entry.see:
                        word = GLOSSARY.terms[other].word(language)
                        st.button(word, key=f"see.{id}.{other}", type="tertiary", on_click=look_up, args=(other,))
    if not found and not first:
        st.info(say["glossary_none"])


def show_symbols() -> None:
    """Draw the letters that match, with the formulas in which they stand."""
    found = GLOSSARY.find_symbols(wanted)
    rows = [
        {
            say["symbol"]: letter,
            say["unit"]: entry.unit,
            say["meaning"]: entry.text(language),
            say["formulas"]: ", ".join(dict.fromkeys(told.title for told, _, _ in uses().get(letter, ()))),
        }
        for letter, entry in found.items()
    ]
    if rows:
        page.table(rows, "symbols")
    else:
        st.info(say["glossary_none"])


with frame("Glossary", "What do the words and the letters mean?", scenario_bar=False) as page:
    language = spoken()
    say = phrases(language)
    term = page.memo("term", "all")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = page.text("find", say["glossary_find"], "", placeholder=say["glossary_hint"])
        kinds = {"terms": say["glossary_terms"], "symbols": say["glossary_symbols"]}
        kind = page.choice("kind", say["view"], tuple(kinds), "terms", labels=kinds)

    {"terms": show_terms, "symbols": show_symbols}[kind]()
