"""Scenario: every input once, with link key, unit, range, default and help; the codec of links and rows.

A link is human-readable and versioned. Reading one never raises: each problem becomes a notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from perfmodel.calibration import canonical
from perfmodel.catalog import closest
from perfmodel.dimensions import Dimensions, Key
from perfmodel.engine import ENGINES, Engine
from perfmodel.exchange import SPREADS
from perfmodel.hardware import ACCELERATORS, Accelerator, Chip, custom_accelerator
from perfmodel.model import MODELS, Model, custom_model
from perfmodel.precision import KV_DTYPES, MATH_DTYPES, SPARSITIES, WEIGHT_DTYPES, Precision, precision_of
from perfmodel.speculative import DRAFTS

VERSION = 1
#: What a link without them means. An installation that lost one of these files starts with another one.
DEFAULT_MODEL = MODELS.preferred("llama-3.1-8b", "llama-2-7b")
DEFAULT_GPU = ACCELERATORS.preferred("h100-sxm", "a100-sxm-80gb")
DEFAULT_ENGINE = ENGINES.preferred("fused", "ideal")
#: The model id that says "the dimensions are in the link".
CUSTOM = "custom"
#: Fields that take one of a few words.
CHOICES: dict[str, tuple[str, ...]] = {
    "weights": WEIGHT_DTYPES,
    "math": MATH_DTYPES,
    "kv": KV_DTYPES,
    "attention": ("engine", "unfused", "flash", "split"),
    "sparsity": SPARSITIES,
    "spread": SPREADS,
    "kv_split": ("heads", "batch"),
}
#: Texts that a link leaves out while they are empty.
OPTIONAL = frozenset({"name", "cal"})
#: No text from outside longer than this is read.
MAX_VALUE_CHARS, MAX_KEYS = 2048, 200
#: Rotary models run beyond their trained context, with worse answers; beyond this factor it is a mistake.
MAX_CONTEXT_STRETCH = 32


class Subject(BaseModel):
    """What every question is about: a model on an accelerator, each from the catalogue or given in numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: Annotated[str, Key("model", "", "model id, alias, or custom")] = DEFAULT_MODEL
    name: Annotated[str, Field(max_length=60, pattern=r"^[\w .()+-]*$"), Key("name", "", "name of a custom model")] = ""
    dimensions: Dimensions | None = None
    gpu: Annotated[str, Key("gpu", "", "accelerator id or alias")] = DEFAULT_GPU
    chip: Chip | None = None

    @field_validator("model")
    @classmethod
    def _model(cls, value: str) -> str:
        return value if value == CUSTOM else MODELS.resolve(value)

    @field_validator("gpu")
    @classmethod
    def _gpu(cls, value: str) -> str:
        return value if value == CUSTOM else ACCELERATORS.resolve(value)

    @cached_property
    def resolved_model(self) -> Model:
        """The model in question."""
        return custom_model(self.dimensions, self.name) if self.dimensions else MODELS[self.model]

    @cached_property
    def resolved_gpu(self) -> Accelerator:
        """The accelerator in question."""
        return custom_accelerator(self.chip) if self.chip else ACCELERATORS[self.gpu]


class Scenario(Subject):
    """One question to the model. Frozen and hashable: the key of every cache.

    >>> Scenario(batch=8).to_query()["batch"]
    '8'
    """

    n: Annotated[int, Field(ge=1, le=100_000), Key("n", "devices", "accelerators in all: tp x pp x dp x cp")] = 1
    tp: Annotated[int, Field(ge=1, le=4096), Key("tp", "devices", "tensor parallel: each layer split")] = 1
    pp: Annotated[int, Field(ge=1, le=1024), Key("pp", "stages", "pipeline parallel: layers split into stages")] = 1
    dp: Annotated[int, Field(ge=1, le=100_000), Key("dp", "replicas", "data parallel: whole copies")] = 1
    ep: Annotated[int, Field(ge=1, le=4096), Key("ep", "devices", "expert parallel: experts spread over devices")] = 1
    batch: Annotated[int, Field(ge=1, le=1_000_000), Key("batch", "sequences", "sequences processed together")] = 1
    input: Annotated[int, Field(ge=1, le=100_000_000), Key("in", "tokens", "prompt tokens per sequence")] = 2048
    output: Annotated[int, Field(ge=1, le=10_000_000), Key("out", "tokens", "generated tokens per sequence")] = 256
    prefix: Annotated[int, Field(ge=0, le=100_000_000), Key("prefix", "tokens", "tokens already cached")] = 0
    weights: Annotated[str, Key("w", "", "weight data type")] = "bf16"
    math: Annotated[str, Key("math", "", "data type of the matrix products; auto follows the weights")] = "auto"
    kv: Annotated[str, Key("kv", "", "KV-cache data type")] = "bf16"
    group: Annotated[int, Field(ge=8, le=65_536), Key("group", "weights", "int4 weights per scale")] = 128
    engine: Annotated[str, Key("engine", "", "engine profile")] = DEFAULT_ENGINE
    attention: Annotated[str, Key("attn", "", "attention kernel: the engine's own, or a chosen one")] = "engine"
    sparsity: Annotated[str, Key("sparse", "", "pruning of the linear layers")] = "none"
    skew: Annotated[float, Field(ge=1, le=1000), Key("skew", "x", "busiest expert device over the mean")] = 1.0
    draft: Annotated[str, Key("draft", "", "speculative decoding: none, ngram, mtp, or the id of a draft model")] = (
        "none"
    )
    spec: Annotated[
        int, Field(ge=0, le=64), Key("spec", "tokens", "tokens drafted per round of speculative decoding")
    ] = 4
    accept: Annotated[float, Field(ge=0, le=1), Key("accept", "share", "chance that a drafted token is accepted")] = 0.7
    cal: Annotated[str, Key("cal", "", "constants of your own machine, such as mem:0.83,compute:0.71")] = ""
    cp: Annotated[int, Field(ge=1, le=4096), Key("cp", "devices", "context parallel: each sequence split")] = 1
    mb: Annotated[int, Field(ge=1, le=4096), Key("mb", "parts", "micro-batches in the pipeline at a time")] = 1
    sp: Annotated[bool, Key("sp", "", "sequence parallel: the tensor group splits norms and residuals")] = False
    adp: Annotated[bool, Key("adp", "", "the tensor group splits attention by sequences, with whole weights")] = False
    spread: Annotated[str, Key("spread", "", "weights over the tensor group: kept (1d, 2d) or gathered")] = "1d"
    kv_split: Annotated[str, Key("kvcut", "", "what the tensor group splits the KV cache along")] = "heads"
    overlap: Annotated[float, Field(ge=0, le=1), Key("overlap", "share", "link time hidden by computing")] = 0.0

    @field_validator(
        *("n", "tp", "pp", "dp", "ep", "cp", "mb", "batch", "input", "output", "prefix", "group", "spec"), mode="before"
    )
    @classmethod
    def _whole(cls, value: Any) -> Any:
        if isinstance(value, bool) or (isinstance(value, str) and len(value) > 20):
            raise ValueError("a whole number is needed")
        return value

    @field_validator("draft")
    @classmethod
    def _draft(cls, value: str) -> str:
        return value if value in DRAFTS else MODELS.resolve(value, "draft")

    @field_validator("engine")
    @classmethod
    def _engine(cls, value: str) -> str:
        return ENGINES.resolve(value)

    @field_validator("cal")
    @classmethod
    def _cal(cls, value: str) -> str:
        return canonical(value)

    @field_validator(*CHOICES)
    @classmethod
    def _word(cls, value: str, info: Any) -> str:
        return one_of(CHOICES[info.field_name], value)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.model == CUSTOM and self.dimensions is None:
            needed = "its dimensions (layers, hidden, heads, kv_heads, head_dim, ffn, vocab)"
            raise Conflict(("model",), f"model=custom needs {needed}")
        if self.gpu == CUSTOM and self.chip is None:
            raise Conflict(
                ("gpu",), "gpu=custom needs its numbers (bandwidth in GB/s, memory in GB, a peak such as bf16)"
            )
        if (self.model != CUSTOM and self.dimensions) or (self.gpu != CUSTOM and self.chip):
            raise ValueError("dimensions go with model=custom, a chip's numbers with gpu=custom")
        if self.tp * self.pp * self.dp * self.cp != self.n:
            product = " x ".join(str(getattr(self, name)) for name in ("tp", "pp", "dp", "cp"))
            raise Conflict(("n", "tp", "pp", "dp", "cp"), f"n={self.n} must equal tp x pp x dp x cp = {product}")
        _check_chip(self)
        _check_layout(self)
        _check_sharing(self)
        _check_context(self)
        return self

    @cached_property
    def resolved_engine(self) -> Engine:
        """The engine profile of this scenario."""
        return ENGINES[self.engine]

    @property
    def precision(self) -> Precision:
        """Weights, math and KV data types together."""
        return precision_of(self.weights, self.math, self.kv, self.group, self.sparsity)

    def change(self, **fields: Any) -> Self:
        """Return a validated copy with some fields replaced; a `ValueError` names what does not fit."""
        data = {name: getattr(self, name) for name in type(self).model_fields} | fields
        changed: Self = checked(type(self), data)
        return changed

    def to_query(self) -> dict[str, str]:
        """Return every input as link parameters, defaults too: a changed default cannot change an old link."""
        query = {"v": str(VERSION)}
        for name, key in link_keys().items():
            if name not in OPTIONAL or getattr(self, name):
                query[key] = _to_text(getattr(self, name))
        for part in (self.dimensions, self.chip):
            if part is not None:
                query |= _part_to_query(part)
        return query


class Conflict(ValueError):
    """Fields that are valid alone and impossible together: `fields` to reset, `instead` where defaults clash too."""

    def __init__(self, fields: tuple[str, ...], message: str, instead: Mapping[str, int] | None = None) -> None:
        """Keep the names of the fields, and values that are possible, beside the message."""
        super().__init__(message)
        self.fields = fields
        self.instead = dict(instead or {})


def one_of(allowed: tuple[str, ...], value: str) -> str:
    """Return the word if it is one of those allowed; a `ValueError` names them and the closest."""
    if value not in allowed:
        raise ValueError(f"one of {', '.join(allowed)} is allowed{closest(value, allowed)}")
    return value


def _check_chip(s: Scenario) -> None:
    chip = s.resolved_gpu
    missing = [] if chip.peak_flops else ["dense peak rate"]
    missing += [] if chip.memory_bytes_per_s > 0 else ["memory bandwidth"]
    if missing:
        what = " and ".join(missing)
        raise Conflict(("gpu",), f"gpu={s.gpu}: the {what} of {chip.name} is not published; give yours as gpu=custom")


def _check_layout(s: Scenario) -> None:
    d = s.resolved_model.dimensions
    layout = ("n", "tp", "pp", "dp", "cp")
    # Groups of 2, 4, 8, ... devices are what machines have: engines that shard unevenly run them, with a note.
    uneven = s.tp < d.heads and not s.tp & (s.tp - 1)
    if s.tp > 1 and d.heads and d.heads % s.tp and not uneven:
        raise Conflict(
            layout, f"tp={s.tp} does not divide heads={d.heads} of {s.resolved_model.name}; try {_divisors(d.heads)}"
        )
    if s.tp > 1 and d.kv_heads and not d.kv_lora and max(s.tp, d.kv_heads) % min(s.tp, d.kv_heads):
        raise Conflict(layout, f"tp={s.tp} neither divides nor is a multiple of kv_heads={d.kv_heads}")
    if s.pp > d.layers:
        raise Conflict(layout, f"pp={s.pp} is more than the {d.layers} layers of {s.resolved_model.name}")
    if s.dp > s.batch:
        raise Conflict(layout, f"dp={s.dp} replicas cannot share a batch of {s.batch}; at most dp={s.batch}")
    if s.ep > 1 and s.ep not in (allowed := _expert_widths(d.experts, s.tp, s.dp)):
        choices = ", ".join(map(str, allowed)) if d.experts else "1: the model has no experts"
        raise Conflict(
            ("ep",), f"ep={s.ep} must divide {d.experts} experts and tile tp x dp = {s.tp} x {s.dp}; try {choices}"
        )


def _check_sharing(s: Scenario) -> None:
    if s.mb > 1 and s.pp == 1:
        raise Conflict(("mb",), f"mb={s.mb} micro-batches need a pipeline: pp is 1")
    if s.mb * s.dp > s.batch:
        raise Conflict(("mb",), f"mb={s.mb} micro-batches of dp={s.dp} replicas cannot share a batch of {s.batch}")
    if s.adp and s.batch < s.dp * s.tp * s.mb:
        at_most = f"dp x tp = {s.dp} x {s.tp} devices cannot share a batch of {s.batch}"
        raise Conflict(("adp",), f"adp=1 splits attention by sequences: {at_most}")
    if s.spread != "1d" and (s.adp or s.sp or s.resolved_model.dimensions.experts):
        why = "experts are spread with ep" if s.resolved_model.dimensions.experts else "it splits activations itself"
        raise Conflict(("spread",), f"spread={s.spread} goes with dense models, adp=0 and sp=0: {why}")
    if s.kv_split == "batch" and (s.cp > 1 or s.adp):
        raise Conflict(("kv_split",), "kvcut=batch goes with cp=1 and adp=0, which split the cache themselves")


def _expert_widths(experts: int, tp: int, dp: int) -> list[int]:
    # Experts spread over a part of one tensor-parallel group, or over whole groups of several replicas.
    sizes = [n for n in range(1, min(tp * dp, experts) + 1) if experts % n == 0 and tp * dp % n == 0]
    return [n for n in sizes if n % tp == 0 or tp % n == 0]


def _divisors(value: int, most: int = 64) -> str:
    return ", ".join(str(n) for n in range(1, min(value, most) + 1) if value % n == 0)


def _check_context(s: Scenario) -> None:
    d = s.resolved_model.dimensions
    context = s.prefix + s.input + s.output
    learned = d.position_rows > 0
    limit = d.max_context * (1 if learned else MAX_CONTEXT_STRETCH)
    if context > limit:
        why = "its position embeddings end there" if learned else f"its trained context times {MAX_CONTEXT_STRETCH}"
        text = f"context: prefix + in + out = {context:,} tokens, but {s.resolved_model.name} allows at most {limit:,}"
        # The defaults may be too long as well, as for GPT-2: half of what is allowed goes in, a quarter out.
        fitting = {"input": limit // 2, "output": max(1, limit // 4), "prefix": 0} if limit > 1 else {}
        raise Conflict(("input", "output", "prefix"), f"{text} ({why})", fitting)


@cache
def link_keys() -> dict[str, str]:
    """Return field name -> link key for the plain fields of a scenario."""
    return {name: key.key for name, key in field_keys(Scenario).items()}


@cache
def field_keys(record: type[BaseModel]) -> dict[str, Key]:
    """Return the `Key` of every field that has one, by field name."""
    fields = record.model_fields.items()
    return {name: item for name, field in fields for item in field.metadata if isinstance(item, Key)}


def _to_text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    # 450.0 reads as 450; what needs all its digits keeps them.
    return f"{value:.12g}" if isinstance(value, float) and float(f"{value:.12g}") == value else str(value)


def _part_to_query(part: Dimensions | Chip) -> dict[str, str]:
    # What the model or chip has none of stays out: zero, false and "none" mean the same in every version.
    always = {
        "layers",
        "hidden",
        "vocab",
        "heads",
        "kv_heads",
        "head_dim",
        "ffn",
        "gated",
        "tied_embeddings",
        "max_context",
        "mixers",
        "layer_norms",
    }
    values = {name: (key.key, getattr(part, name)) for name, key in field_keys(type(part)).items()}
    defaults = {name: field.default for name, field in type(part).model_fields.items()}
    return {key: _to_text(value) for name, (key, value) in values.items() if name in always or value != defaults[name]}


def allowed_text(record: type[BaseModel], name: str) -> str:
    """Return what a field allows, in words: "a whole number from 1 to 4,096"."""
    field = record.model_fields[name]
    bounds = {key: getattr(item, key) for item in field.metadata for key in ("ge", "gt", "le") if hasattr(item, key)}
    if field.annotation not in (int, float):
        return ""
    kind = "a whole number" if field.annotation is int else "a number"
    low = f"above {bounds['gt']:,}" if "gt" in bounds else f"from {bounds.get('ge', 0):,}"
    return f"{kind} {low} to {bounds['le']:,}" if "le" in bounds else kind


def problem_text(record: type[BaseModel], problem: Any, names: Mapping[str, str] | None = None) -> str:
    """Return one pydantic problem as "batch=0 is not allowed; it must be a whole number from 1 to 1,000,000"."""
    cause = problem.get("ctx", {}).get("error")
    if not problem["loc"]:
        return str(cause or problem["msg"])
    name = str(problem["loc"][0])
    # An unknown name came from outside: cut, and control characters written out.
    shown = (names or {}).get(name) or repr(name[:40])[1:-1]
    value = (
        f"{problem['input']!r:.80}"
        if isinstance(problem["input"], (str, int, float))
        else type(problem["input"]).__name__
    )
    if cause and " is not known" in str(cause):
        return str(cause)
    if problem["type"] == "missing":
        return f"{shown} is missing; it must be {allowed_text(record, name) or 'given'}"
    if problem["type"] == "extra_forbidden":
        return f"{shown} is not a known field{closest(name, tuple(record.model_fields))}"
    rule = str(cause) if cause else allowed_text(record, name) or problem["msg"].lower()
    return (
        f"{shown}={value} is not allowed: it must be {rule}" if not cause else f"{shown}={value} is not allowed: {rule}"
    )


def checked(record: type[Any], data: dict[str, Any], names: Mapping[str, str] | None = None) -> Any:
    """Build the record or raise one `ValueError` that names every field at fault, its value and what is allowed."""
    try:
        return record.model_validate(data)
    except ValidationError as error:
        raise ValueError("; ".join(problem_text(record, p, names) for p in error.errors()[:5])) from None
