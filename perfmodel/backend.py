"""Communication libraries: fitted constants by link, read from backends/<id>.toml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from perfmodel.catalog import Catalog
from perfmodel.units import MEGA, MICRO

BACKEND_SPECS = Path(__file__).resolve().parent / "backends"
#: The table of a backend that serves every link without one of its own.
DEFAULT = "default"

Algorithm = Literal["ring", "tree", "one_shot", "two_shot", "in_network"]


class Constant(BaseModel):
    """One constant of a backend: value, unit, where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    value: Annotated[float, Field(ge=0)]
    unit: Literal["µs", "1", "MB"]
    source: str
    note: str = ""

    @property
    def si(self) -> float:
        """The value in s, B or 1."""
        return self.value * {"µs": MICRO, "MB": MEGA, "1": 1.0}[self.unit]


class ProtocolTable(BaseModel):
    """One way to do it: `start` and chunk `fill` [µs], `share` of the link's rate, `limit` of the volume [MB]."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    algorithm: Algorithm
    start: Constant
    share: Constant
    fill: Constant | None = None
    limit: Constant | None = None


class FitTable(BaseModel):
    """How the constants of a link were fitted, and the band that holds eight of ten measured / predicted times."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rows: int
    date: str
    median_error: float
    p90_error: float
    low: float
    high: float
    source: str


class LinkTable(BaseModel):
    """The constants of one link: its protocols, the hop they share [µs], host contention, the largest group."""

    model_config = ConfigDict(frozen=True, extra="allow")
    basis: str = ""
    like: str = ""
    fit: FitTable | None = None
    step: Constant | None = None
    contention: Constant | None = None
    ranks: int = 0

    @cached_property
    def protocols(self) -> dict[str, ProtocolTable]:
        """The protocols by name."""
        return {name: ProtocolTable.model_validate(table) for name, table in (self.model_extra or {}).items()}


class BackendFile(BaseModel):
    """The schema of perfmodel/backends/<id>.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    summary: str
    aliases: tuple[str, ...] = ()
    beyond: str = ""
    links: dict[str, LinkTable]


@dataclass(frozen=True, slots=True)
class Protocol:
    """One algorithm in SI: start-up, hop and chunk [s], share of the link's rate, largest volume [B]."""

    algorithm: Algorithm
    start_s: float
    share: float
    step_s: float = 0.0
    fill_s: float = 0.0
    limit_bytes: float = float("inf")


@dataclass(frozen=True)
class Constants:
    """What a backend does on one link. `ranks`: largest group it serves, 0 for any."""

    protocols: tuple[Protocol, ...]
    contention: float = 0.0
    ranks: int = 0
    basis: str = ""


@dataclass(frozen=True)
class Backend:
    """A communication library: constants by link, and the library it leaves the rest to."""

    id: str
    name: str
    summary: str
    beyond: str
    links: Mapping[str, Constants]
    file: BackendFile
    aliases: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash(self.id)


def backend(id: str, table: dict[str, Any]) -> Backend:
    """Validate one backend and turn it into SI; raise a `ValueError` that names the link."""
    file = BackendFile.model_validate(table)
    links = {name: _constants(name, file.links) for name in file.links}
    return Backend(id, file.name, file.summary, file.beyond, links, file, file.aliases)


def _constants(name: str, tables: Mapping[str, LinkTable]) -> Constants:
    own = tables[name]
    table = tables.get(own.like or name)
    if table is None or (own.like and table.like):
        raise ValueError(f"links.{name}.like={own.like!r} is no table of constants; they are {', '.join(tables)}")
    step = table.step.si if table.step else 0.0
    protocols = tuple(
        Protocol(
            p.algorithm,
            p.start.si,
            p.share.si,
            step,
            p.fill.si if p.fill else 0.0,
            p.limit.si if p.limit else float("inf"),
        )
        for p in table.protocols.values()
    )
    contention = table.contention.si if table.contention else 0.0
    return Constants(protocols, contention, table.ranks, own.basis or _fitted(table))


def _fitted(table: LinkTable) -> str:
    fit = table.fit
    if fit is None:
        return "estimate"
    return f"fitted on {fit.rows} rows of {fit.source}, {fit.date}, median error {fit.median_error:.0%}"


BACKENDS: Catalog[Backend] = Catalog(BACKEND_SPECS, "backend", backend)


def backend_id(name: str) -> str:
    """Return the backend that a free text names, as measured tables write it.

    >>> [backend_id(text) for text in ("nccl 2.27.3", "trtllm 1.0.0 custom all-reduce", "custom")]
    ['nccl', 'trtllm', 'vllm']
    """
    text = name.strip().lower()
    words = text.split() or [""]
    for guess in (text, "nccl" if "nccl" in text or "rccl" in text else words[0], "custom" if "custom" in text else ""):
        if guess in BACKENDS.aliases:
            return BACKENDS.aliases[guess]
    raise ValueError(
        f"backend={name[:80]!r} is not known; allowed are {', '.join(BACKENDS)}, also with a version and words behind"
        ' ("nccl 2.27.3", "vllm 0.24.0 custom all-reduce")'
    )
