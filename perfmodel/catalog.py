"""A folder of TOML files as a lazy, read-only registry: one file is one entry, its name is the id."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

T = TypeVar("T")

SOURCES_FILE = "sources.toml"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a number comes from: `key` is what spec files write, `title` and `place` what a reader needs."""

    key: str
    title: str
    place: str = ""
    date: str = ""
    note: str = ""


#: What a spec file writes for a number that nobody published; the page shows the word.
ESTIMATE = Source("estimate", "estimate: no published source was found")

#: The source of what a user typed in.
USER = Source("user", "entered by the user")


class Sources(dict[str, Source]):
    """Source key -> source. Of a file that could not be read every key is known, and only its words are missing."""

    def __init__(self, known: dict[str, Source], problem: str = "") -> None:
        """Keep the sources and, where the file could not be read, why."""
        super().__init__(known | {own.key: own for own in (ESTIMATE, USER)})
        self.problem = problem

    def __missing__(self, key: str) -> Source:
        """Return a source without words if the file is at fault, else say that the key is not there."""
        if not self.problem:
            raise KeyError(key)
        return Source(key, f"{key} (its description could not be read)")

    def __contains__(self, key: object) -> bool:
        return bool(self.problem) or super().__contains__(key)


@lru_cache(maxsize=8)
def load_sources(path: Path) -> Sources:
    """Read a `sources.toml`: one table per source key with title, place, date and note. A broken one stops nothing."""
    try:
        with path.open("rb") as file:
            tables = tomllib.load(file)
        return Sources({key: Source(key, **table) for key, table in tables.items()})
    except (OSError, ValueError, TypeError) as error:
        found = Sources({}, f"{_shown(path)}: {_reason(error)}")
        _BROKEN[path] = found.problem
        return found


#: Source files that could not be read, with the reason.
_BROKEN: dict[Path, str] = {}


def _reason(error: Exception) -> str:
    """Return what is wrong in words; an OSError's own words name the machine's folders."""
    return (error.strerror or "cannot be read").lower() if isinstance(error, OSError) else str(error)


def _shown(path: Path) -> str:
    """Return a file with its folder: what somebody needs who has to mend it, without the machine's own folders."""
    return f"{path.parent.name}/{path.name}"


def closest(value: str, allowed: tuple[str, ...]) -> str:
    """Return "; did you mean X?" when one of `allowed` is near `value`, else nothing.

    >>> closest("fp9", ("fp8", "bf16"))
    '; did you mean fp8?'
    """
    near = difflib.get_close_matches(value[:80].lower(), allowed, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def first_problem(error: ValidationError) -> str:
    """Return the first complaint of a pydantic error as `field=value: reason`."""
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"]) or "the file"
    return f"{place}={problem['input']!r:.80}: {problem['msg'].lower()}"


#: Every catalogue there is.
_CATALOGS: list[Catalog[Any]] = []


class Catalog(Generic[T]):
    """Entries of one kind, read from `folder` on first use and kept.

    A malformed file never stops the others: it is left out and named in `problems`.
    """

    def __init__(self, folder: Path, noun: str, build: Callable[[str, dict[str, Any]], T]) -> None:
        """Keep the folder, the noun used in messages and the function (id, table) -> entry."""
        self.folder, self.noun, self._build = folder, noun, build
        _CATALOGS.append(self)

    @cached_property
    def _loaded(self) -> tuple[dict[str, T], tuple[str, ...]]:
        entries: dict[str, T] = {}
        problems: list[str] = []
        for path in sorted(self.folder.glob("*.toml")):
            if path.name == SOURCES_FILE:
                continue
            try:
                entries[path.stem] = self._read(path)
            except ValidationError as error:
                problems.append(f"{_shown(path)}: {first_problem(error)}")
            except (OSError, ValueError, TypeError, KeyError) as error:
                problems.append(f"{_shown(path)}: {_reason(error)}")
        if not entries:
            problems.append(f"{self.folder.name}: no {self.noun} could be read")
        return entries, tuple(problems)

    def _read(self, path: Path) -> T:
        with path.open("rb") as file:
            return self._build(path.stem, tomllib.load(file))

    def preferred(self, *keys: str) -> str:
        """Return the first of these ids whose file can be read, else the first of all: what a default falls back to."""
        for key in keys:
            try:
                self._read(self.folder / f"{key}.toml")
                return key
            except (OSError, ValueError, TypeError, KeyError):
                continue  # named in `problems` as soon as the catalogue is read
        return next(iter(self), keys[0])

    @property
    def problems(self) -> tuple[str, ...]:
        """Files that could not be read, each with the reason."""
        return self._loaded[1]

    @cached_property
    def aliases(self) -> dict[str, str]:
        """Other accepted names (lower case: ids, display names, declared aliases) to ids."""
        names: dict[str, str] = {}
        for key, entry in self._loaded[0].items():
            for name in (key, getattr(entry, "name", ""), *getattr(entry, "aliases", ())):
                names.setdefault(str(name).lower(), key)
        return names

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded[0])

    def __contains__(self, key: object) -> bool:
        return key in self._loaded[0]

    def __len__(self) -> int:
        return len(self._loaded[0])

    def resolve(self, name: str, field: str = "") -> str:
        """Return the id of an id or alias; raise a `ValueError` that names the field and suggests the nearest ids."""
        found = self.aliases.get(name.strip().lower())
        if found is None:
            near = difflib.get_close_matches(name.lower(), list(self.aliases), n=3, cutoff=0.5)
            hint = " or ".join(dict.fromkeys(self.aliases[n] for n in near))
            advice = (
                f"did you mean {hint}?" if hint else f"{len(self)} ids are known, such as {next(iter(self), 'none')}"
            )
            raise ValueError(f"{field or self.noun}={name[:80]!r} is not known; {advice}")
        return found

    def __getitem__(self, name: str) -> T:
        return self._loaded[0][self.resolve(name)]


def spec_problems() -> tuple[str, ...]:
    """Return every data file that could not be read, with the reason; reads the catalogues that nobody used so far."""
    return tuple(problem for catalog in _CATALOGS for problem in catalog.problems) + tuple(_BROKEN.values())
