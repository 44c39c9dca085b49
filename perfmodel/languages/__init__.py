"""The interface in other languages than English: one catalogue file each, whose keys are the English texts.

`zh.toml` maps English to Simplified Chinese. A key may have places to fill, which both sides name:

- `{{1}}`, `{{2}}` ... stand for numbers with their units, in the order of the English text;
- `{{a}}`, `{{name}}` ... stand for a part of a clause, which is translated in turn; `{{rest}}` for all to the end.

A text that no key fits is divided (lines, sentences, clauses) and its parts are looked up; what is not found stays
English. So a sentence put together from clauses needs one key per clause. Identifiers, units and names have no keys.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

#: Languages of the interface, by what their readers call them; the first is what the program is written in.
LANGUAGES: Mapping[str, str] = {"en": "English", "zh": "中文"}
ENGLISH = "en"
#: The name of the language in a link.
LINK_KEY = "lang"

_UNIT = (
    r"(?:FLOP/(?:byte|B|s|token)|FLOPs?|[kKMGTPE]i?B(?:/s|/token)?|[kKMGTPE]?FLOP(?:/s|/B|/token)?|B/s|B\b|[mµun]?s\b"
    r"|min\b|h\b|kW|MW|W\b|%|×|[kMGT]\b)"
)
_NUMBER = rf"(?:%\{{[^}}]*\}}|[≈~<>≥≤±+−–-]?\$?(?:\d+(?:,\d{{3}})*(?:\.\d+)?(?:e[+-]?\d+)?|∞)(?:[ \u00a0]?{_UNIT})?)"
_NUMBERS = re.compile(rf"(?<![\w.{{]){_NUMBER}(?![\w}}])")
REST = "rest"
_ANY, _PART = r".+", r"[^;\n]+?(?<![,:.])"
_SLOT = re.compile(r"\{\{(\w+)\}\}")
#: A word of a language: what has digits or capitals only is an identifier, a unit or a name.
_WORD = re.compile(r"(?<![\w./-])(?:[A-Za-z][a-z]{2,}|no|of|in|at|by)(?!\w)")
_QUANTITY = re.compile(r"\S*\d\S*")
_TEXT = re.compile(r"(?<=>)[^<>]+(?=<)")
_CODE = re.compile(r"%\{[^}]*\}|`[^`]*`|\$[^$]+\$|https?://\S+|:material/\w+:")
_TRANSLATED = re.compile(r"[\u4e00-\u9fff]")
#: How a text that no key fits is divided, and what stands between the parts in Chinese.
_DIVISIONS = (
    ("  \n", "  \n"),
    ("\n", "\n"),
    (" · ", " · "),
    ("\u2003", "\u2003"),
    (". ", "。"),
    ("; ", "；"),
    (": ", "："),
    (", ", "，"),
)
#: What may stand around a text: Markdown's marks, brackets, a closing stop, a unit in brackets.
_FRAMES = (
    re.compile(r"(?P<before>- |· |\d+\. |\*\*)(?P<text>.+?)(?P<after>(?<=.)(?:\*\*)?)", re.S),
    re.compile(r"(?P<before>)(?P<text>.+)(?P<after>\.)", re.S),
    re.compile(r"(?P<before>)(?P<text>[^\[]+)(?P<after> \[[^\]]*\])"),
    re.compile(r"(?P<before>)(?P<text>.+)(?P<after> \([^()]*\)| =| ≈|:)"),
    re.compile(r"(?P<before>\()(?P<text>.+)(?P<after>\))"),
)
_STOPS = {".": "。", ":": "："}


@dataclass(frozen=True, slots=True)
class Said:
    """A text in another language, and the parts of it that have no key."""

    text: str
    missing: tuple[str, ...] = ()


@lru_cache(maxsize=4)
def catalogue(language: str) -> Mapping[str, str]:
    """Return English -> the language's text, all sections of its file together."""
    with Path(__file__).with_name(f"{language}.toml").open("rb") as file:
        sections = tomllib.load(file)
    found: dict[str, str] = {}
    for section in sections.values():
        if twice := found.keys() & section.keys():
            raise ValueError(f"{language}.toml: {sorted(twice)[0]!r} stands in two sections")
        found |= section
    return found


def translate(text: str, language: str) -> str:
    """Return a text in a language; the English where the catalogue has nothing.

    >>> translate("Batch size [sequences]", "zh"), translate("Batch size [sequences]", "en")
    ('批大小 [序列]', 'Batch size [sequences]')
    """
    return text if language == ENGLISH else said(text, language).text


def translate_markup(markup: str, language: str) -> str:
    """Return SVG or HTML with its texts in a language; what is between braces is a style and stays.

    >>> translate_markup("<text>weights</text>", "zh")
    '<text>权重</text>'
    """
    if language == ENGLISH:
        return markup
    return _TEXT.sub(lambda found: found[0] if "{" in found[0] else translate(found[0], language), markup)


@lru_cache(maxsize=16_384)
def said(text: str, language: str) -> Said:
    """Return a text in a language, with what is missing in the catalogue for it."""
    core = text.strip()
    if not is_words(core):
        return Said(text)
    found = _whole(core, language) or _patterned(core, language) or _divided(core, language) or _framed(core, language)
    if found is None:
        return Said(text, (core,))
    start = text.index(core)
    return Said(text[:start] + found.text + text[start + len(core) :], found.missing)


def is_words(text: str) -> bool:
    """Tell whether a text has something to translate: not only numbers, units, identifiers or names in capitals.

    >>> is_words("memory-bound"), is_words("3.35 TB/s"), is_words("H100 SXM"), is_words("受限")
    (True, False, False, False)
    """
    return not _TRANSLATED.search(text) and bool(_WORD.search(_QUANTITY.sub(" ", _CODE.sub(" ", text))))


def masked(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a text with its numbers as places {{1}}, {{2}} ..., and the numbers.

    >>> masked("batch 2,048 takes 3.1 ms")
    ('batch {{1}} takes {{2}}', ('2,048', '3.1 ms'))
    """
    numbers: list[str] = []

    def place(match: re.Match[str]) -> str:
        numbers.append(match[0])
        return f"{{{{{len(numbers)}}}}}"

    return _NUMBERS.sub(place, text), tuple(numbers)


def slots(text: str) -> list[str]:
    """Return the places to fill of a text, sorted.

    >>> slots("{{a}} at batch {{1}}")
    ['1', 'a']
    """
    return sorted(_SLOT.findall(text))


def _whole(text: str, language: str) -> Said | None:
    """Look up a whole text, or failing that without its closing stop."""
    found = _entry(text, language)
    if found is None and text.endswith(".") and (inner := _entry(text[:-1], language)) is not None:
        found = inner + _STOPS["."]
    return None if found is None else Said(found)


def _entry(text: str, language: str) -> str | None:
    """Return what the catalogue says for a text as it is, else with its numbers as places; capital or not."""
    known = catalogue(language)
    key, numbers = masked(text)
    if found := known.get(text) or known.get(_recased(text)):
        return found
    if numbers and (found := known.get(key) or known.get(_recased(key))):
        return _SLOT.sub(lambda slot: numbers[int(slot[1]) - 1], found)
    return None


def _recased(text: str) -> str:
    return text[:1].swapcase() + text[1:]


@lru_cache(maxsize=4)
def _patterns(language: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Return the keys with named places as patterns, those that say most first."""
    keys = [key for key in catalogue(language) if any(not name.isdigit() for name in slots(key))]
    keys.sort(key=lambda key: -len(_SLOT.sub("", key)))
    return tuple((re.compile(_pattern(key), re.S), catalogue(language)[key]) for key in keys)


def _pattern(key: str) -> str:
    parts = _SLOT.split(key)
    inside = (
        re.escape(part)
        if i % 2 == 0
        else f"(?P<n{part}>{_NUMBER})"
        if part.isdigit()
        else f"(?P<{part}>{_ANY if part == REST else _PART})"
        for i, part in enumerate(parts)
    )
    return "".join(inside)


def _patterned(text: str, language: str) -> Said | None:
    """Match the keys with named places, a sentence with its closing stop or without."""
    for pattern, translation in _patterns(language):
        if match := pattern.fullmatch(text):
            filled = {name: said(value, language) for name, value in match.groupdict().items()}
            place = {name.removeprefix("n") if name[1:].isdigit() else name: one.text for name, one in filled.items()}
            missing = tuple(part for one in filled.values() for part in one.missing)
            return Said(_SLOT.sub(lambda slot, place=place: place[slot[1]], translation), missing)  # type: ignore[misc]
    inner = _patterned(text[:-1], language) if text.endswith(".") else None
    return inner and Said(inner.text + _STOPS["."], inner.missing)


def _divided(text: str, language: str) -> Said | None:
    for between, joint in _DIVISIONS:
        if between in text:
            parts = [said(part, language) for part in _parts(text, between)]
            if any(part.missing != (one.strip(),) for part, one in zip(parts, _parts(text, between), strict=True)):
                return Said(joint.join(p.text for p in parts), tuple(miss for p in parts for miss in p.missing))
    return None


def _parts(text: str, between: str) -> Iterator[str]:
    return iter(text.split(between))


def _framed(text: str, language: str) -> Said | None:
    for frame in _FRAMES:
        if match := frame.fullmatch(text):
            inner = said(match["text"], language)
            if inner.missing != (match["text"].strip(),):
                after = said(match["after"], language)
                end = _STOPS.get(match["after"], after.text)
                return Said(match["before"] + inner.text + end, inner.missing + after.missing)
    return None
