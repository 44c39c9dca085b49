"""Models: a name, its dimensions with their sources, and the published parameter counts to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from perfmodel.catalog import USER, Catalog, Source, load_sources
from perfmodel.dimensions import Dimensions

SPECS = Path(__file__).resolve().parent / "model_specs"


class PublishedTable(BaseModel):
    """What others print: totals as parameters, how ours should compare, and why it differs if it does."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    #: exact: equals the recomputed total; rounded: agrees within the printed digits; differs: see `difference`.
    agreement: Literal["exact", "rounded", "differs", "unpublished"]
    total: Annotated[int | None, Field(gt=0)] = None
    active: Annotated[int | None, Field(gt=0)] = None
    total_text: str = ""
    active_text: str = ""
    source: str = ""
    #: recomputed minus published, explained: parameters of the parts that only one side counts.
    difference: str = ""


class ModelFile(BaseModel):
    """The schema of perfmodel/model_specs/<id>.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    family: str
    hf_id: str = ""
    aliases: tuple[str, ...] = ()
    year: int | None = None
    dimensions: Dimensions
    published: PublishedTable
    #: "*" is the source of every dimension that has no entry of its own.
    sources: dict[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """A model as the engine reads it: identity, dimensions, provenance."""

    id: str
    name: str
    dimensions: Dimensions
    sources: dict[str, Source]
    file: ModelFile | None = None
    aliases: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash((self.id, self.dimensions))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and (self.id, self.dimensions) == (other.id, other.dimensions)

    def source_of(self, field: str) -> Source:
        """Return where the value of one dimension comes from."""
        return self.sources.get(field, self.sources["*"])


def model(id: str, table: dict[str, Any]) -> Model:
    """Validate one spec table; raise a `ValueError` that names the field."""
    file = ModelFile.model_validate(table)
    known = load_sources(SPECS / "sources.toml")
    if "*" not in file.sources:
        raise ValueError('sources: "*" is missing; it names the source of the dimensions')
    for field, key in file.sources.items():
        if key not in known:
            raise ValueError(f"sources.{field}={key!r} is not in model_specs/sources.toml")
    aliases = tuple(filter(None, (file.hf_id, *file.aliases)))
    sources = {field: known[key] for field, key in file.sources.items()}
    return Model(id, file.name, file.dimensions, sources, file, aliases)


def custom_model(dimensions: Dimensions, name: str = "") -> Model:
    """Return the model that a user described."""
    return Model("custom", name or "Custom model", dimensions, {"*": USER})


MODELS: Catalog[Model] = Catalog(SPECS, "model", model)
