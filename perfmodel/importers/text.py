"""JSON from outside, read within limits: size, depth, digits; one clear `ValueError` for whatever is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

#: No longer text is read: the largest config.json that we saw has 150 kB, most of it a list of unquantised layers.
MAX_BYTES = 262_144
MAX_DEPTH, MAX_DIGITS = 32, 30

# One alternative always matches at a quote, also where a string never ends, so that a scan is linear.
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


def shown(value: object, most: int = 60) -> str:
    """Return a value as JSON writes it, in ASCII and cut.

    >>> shown(True), shown("4096"), shown([1, 2, 3], 5)
    ('true', '"4096"', '[1, …')
    """
    text = json.dumps(value)
    return text if len(text) <= most else text[: most - 1] + "…"


def shown_key(key: str, most: int = 60) -> str:
    """Return a key of the text without control characters and cut; it may be anything.

    >>> shown_key("rope_theta"), shown_key("a" + chr(10) + "b")
    ('rope_theta', 'a?b')
    """
    text = "".join(character if character.isprintable() else "?" for character in key[: most + 1])
    return text if len(text) <= most else text[: most - 1] + "…"


def decoded(data: bytes, what: str) -> str:
    """Return an uploaded file as text; raise a `ValueError` where it is too large or not UTF-8."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"{what} has {len(data):,} bytes; at most {MAX_BYTES:,} are read. Is it the weights file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{what} is not a text file in UTF-8: save it as plain text") from None


def read_object(text: str, what: str) -> dict[str, Any]:
    """Return the JSON object that the text holds; `what` names it in messages.

    >>> read_object('{"hidden_size": 4096}', "config.json")
    {'hidden_size': 4096}
    """
    value = read_json(text, what)
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be a JSON object {{...}}, not {_kind(value)}")
    return value


def read_json(text: str, what: str) -> Any:
    """Return whatever JSON the text holds, within the limits.

    >>> read_json("[1, 2]", "the list")
    [1, 2]
    """
    if not isinstance(text, str):
        raise ValueError(f"{what} must be text, not {type(text).__name__}")
    _check_size(text, what)
    _check_depth(text, what)
    try:
        return json.loads(
            text.removeprefix("\ufeff"), parse_int=_whole, parse_constant=_constant, object_pairs_hook=_without_repeats
        )
    except json.JSONDecodeError as error:
        raise ValueError(_syntax(error, what)) from None
    except RecursionError:
        raise ValueError(f"{what} is nested too deeply; at most {MAX_DEPTH} levels are read") from None


def _check_size(text: str, what: str) -> None:
    if not text.strip():
        raise ValueError(f"{what} is empty; paste the whole file, from {{ to }}")
    size = len(text) if len(text) > MAX_BYTES else len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise ValueError(f"{what} has {size:,} bytes; at most {MAX_BYTES:,} are read")


def _check_depth(text: str, what: str) -> None:
    depth = 0
    for match in _TOKENS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match.group(), 0)
        if depth > MAX_DEPTH:
            raise ValueError(f"{what} is nested more than {MAX_DEPTH} levels deep; a model description needs three")


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits ({digits[:12]}…) is not allowed; at most {MAX_DIGITS}")
    return int(digits)


def _constant(name: str) -> float:
    # Real files do hold Infinity (time_step_limit of Mamba-2 models); NaN is always a mistake.
    if name == "NaN":
        raise ValueError("NaN is not a number that JSON allows; write a number, or null for none")
    return float(name.replace("Infinity", "inf"))


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"{shown_key(twice)} is given twice in one object; keep one")
    return found


def _syntax(error: json.JSONDecodeError, what: str) -> str:
    place = f"line {error.lineno}, column {error.colno}"
    if not error.doc.rstrip().endswith(("}", "]")):
        return f"{what} ends too early ({place}): it was cut off; paste the whole file, from {{ to }}"
    return f"{what} is not valid JSON ({place}): {error.msg[:1].lower()}{error.msg[1:]}"


def _kind(value: object) -> str:
    if value is None:
        return "null"
    return {list: "a list [...]", str: "a text", bool: "true/false"}.get(type(value), "a number")


def nested(table: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return the object under a key, empty where there is none; raise a `ValueError` where it is something else."""
    value = table.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{key}={shown(value)} is not allowed: an object {{...}} is needed, not {_kind(value)}")
    return value
