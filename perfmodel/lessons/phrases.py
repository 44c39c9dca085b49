"""The words around the texts of a lesson, in every language; `phrases.toml` is their only home."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def _tables() -> dict[str, dict[str, str]]:
    with Path(__file__).with_name("phrases.toml").open("rb") as file:
        return tomllib.load(file)


def phrases(language: str) -> Mapping[str, str]:
    """Return the words of a language.

    >>> phrases("zh")["next"]
    '下一步'
    """
    return _tables()[language]
