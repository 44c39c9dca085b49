"""TrainingScenario: every input of a training run once, with range and help; from a row of JSON, or with words of logs.

Invalid input is a `ValueError` that names the field, its value and what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from perfmodel.catalog import closest
from perfmodel.codec import row_chip, row_dimensions
from perfmodel.dimensions import Dimensions, Key
from perfmodel.model import MODELS
from perfmodel.precision import Precision
from perfmodel.scenario import CUSTOM, Subject, checked, one_of

#: ZeRO stages: what is split over the data-parallel ranks. zero3 is FSDP's full sharding.
SHARDINGS = ("none", "zero1", "zero2", "zero3")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp4")
RECOMPUTES = ("none", "selective", "full")
KERNELS = ("fused", "eager")
ATTENTIONS = ("auto", "flash", "vendor", "unfused")
CHOICES = {
    "sharding": SHARDINGS,
    "precision": PRECISIONS,
    "recompute": RECOMPUTES,
    "kernels": KERNELS,
    "attention": ATTENTIONS,
}
#: Architectures whose first training software had no fused attention.
BEFORE_FLASH = frozenset({"Volta", "Ampere"})
#: Sequence length of a row that states none, unless the model was trained for less.
DEFAULT_LENGTH = 8192
#: Micro-batches per stage and replica of a pipeline whose global batch is not given: a bubble of an eighth.
DEFAULT_DEPTH = 8
SCHEDULES = ("pp", "vpp", "cp", "ep")
#: What a row may have: the contract of `python -m perfmodel train`, and three choices of the software.
ROW_FIELDS = (
    "model", "gpu", "n_gpu", "dp", "tp", "pp", "vpp", "cp", "ep", "sharding", "precision", "global_batch",
    "micro_batch", "seq_len", "recompute", "kernels", "attention", "sequence_parallel",
)  # fmt: skip

_Devices = Annotated[int, Field(ge=1, le=1_000_000)]


class TrainingScenario(Subject):
    """One training run: model, devices, layout, batch, precision, what is sharded and what is computed again.

    >>> TrainingScenario(model="llama-3-8b", n=8, dp=8, global_batch=16, seq_len=8192, sharding="zero3").micro_batches
    2.0
    """

    # Rows come with any name; it is shown and never stands in a link.
    name: Annotated[str, Field(max_length=80)] = ""
    n: Annotated[_Devices, Key("n", "devices", "accelerators in all: dp x tp x pp x cp")] = 1
    dp: Annotated[_Devices, Key("dp", "replicas", "data parallel: replicas, or shards of FSDP")] = 1
    tp: Annotated[int, Field(ge=1, le=4096), Key("tp", "devices", "tensor parallel: each layer split")] = 1
    pp: Annotated[int, Field(ge=1, le=1024), Key("pp", "stages", "pipeline stages")] = 1
    vpp: Annotated[int, Field(ge=1, le=1024), Key("vpp", "chunks", "chunks per stage, interleaved schedule")] = 1
    cp: Annotated[int, Field(ge=1, le=4096), Key("cp", "devices", "context parallel: the sequence split")] = 1
    ep: Annotated[int, Field(ge=1, le=65_536), Key("ep", "devices", "expert parallel: experts spread over dp x tp")] = 1
    sharding: Annotated[str, Key("shard", "", "ZeRO stage")] = "zero1"
    precision: Annotated[str, Key("prec", "", "data type of the linear layers")] = "bf16"
    global_batch: Annotated[int, Field(ge=1, le=10_000_000), Key("gb", "sequences", "sequences of one step")] = 1
    micro_batch: Annotated[int, Field(ge=1, le=100_000), Key("mb", "sequences", "sequences of one pass")] = 1
    seq_len: Annotated[int, Field(ge=1, le=100_000_000), Key("seq", "tokens", "tokens of one sequence")] = 4096
    recompute: Annotated[str, Key("rc", "", "activations computed again in the backward pass")] = "none"
    kernels: Annotated[str, Key("kern", "", "fused (compiled) or eager element-wise kernels")] = "fused"
    attention: Annotated[str, Key("attn", "", "FlashAttention-2, the vendor's own, unfused; auto by sharding")] = "auto"
    sequence_parallel: Annotated[bool, Key("sp", "", "split norms and dropouts over the tensor-parallel ranks")] = True

    @field_validator("n", "dp", "tp", *SCHEDULES, "global_batch", "micro_batch", "seq_len", mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        if isinstance(value, bool | str):
            raise ValueError("a whole number is needed")
        return value

    @field_validator(*CHOICES)
    @classmethod
    def _word(cls, value: str, info: Any) -> str:
        return one_of(CHOICES[info.field_name], value)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.model == CUSTOM) != (self.dimensions is not None) or (self.gpu == CUSTOM) != (self.chip is not None):
            raise ValueError("dimensions go with model=custom, a chip's numbers with gpu=custom")
        layout = self.dp * self.tp * self.pp * self.cp
        if layout != self.n:
            raise ValueError(
                f"n_gpu={self.n} must equal dp x tp x pp x cp = "
                f"{self.dp} x {self.tp} x {self.pp} x {self.cp} = {layout}"
            )
        if self.global_batch < self.dp * self.micro_batch:
            raise ValueError(
                f"global_batch={self.global_batch} is less than dp x micro_batch = {self.dp} x {self.micro_batch}: "
                f"give at least {self.dp * self.micro_batch}"
            )
        _check_layers(self)
        _check_chip(self)
        return self

    @cached_property
    def trained(self) -> Dimensions:
        """The model's dimensions; learned positions reach as far as the sequence."""
        d = self.resolved_model.dimensions
        if not d.position_rows or d.position_rows >= self.seq_len:
            return d
        return d.model_copy(update={"position_rows": self.seq_len})

    @property
    def types(self) -> Precision:
        """Working weights and activations in 16 bit (32 with fp32 or tf32), linear layers in the chosen type."""
        if self.precision in ("fp32", "tf32"):
            return Precision("fp32", self.precision, "fp32")
        wide = "fp16" if self.precision == "fp16" else "bf16"
        return Precision(wide, self.precision, wide)

    @property
    def attention_kernel(self) -> str:
        """The attention kernel in use: FSDP runs come with PyTorch's FlashAttention-2, others with the vendor's own.

        Megatron's selective recomputation on chips older than FlashAttention says that scores are stored: unfused.
        """
        if self.attention != "auto":
            return self.attention
        if self.recompute == "selective" and self.sharding in ("none", "zero1"):
            return "unfused" if self.resolved_gpu.architecture in BEFORE_FLASH else "vendor"
        return "flash" if self.sharding in ("zero2", "zero3") else "vendor"

    @property
    def micro_batches(self) -> float:
        """Micro-batches of one replica in one step; the fullest replica counts."""
        return float(-(-self.global_batch // (self.dp * self.micro_batch)))

    @property
    def tokens(self) -> float:
        """Tokens of one step, all devices together."""
        return float(self.global_batch) * self.seq_len

    @property
    def shards(self) -> int:
        """Ranks that hold the same weights, among which ZeRO splits them: data and context parallel."""
        return self.dp * self.cp


def _check_layers(s: TrainingScenario) -> None:
    d, name = s.resolved_model.dimensions, s.resolved_model.name
    if s.tp > 1 and d.heads and d.heads % s.tp:
        allowed = ", ".join(str(k) for k in range(1, min(d.heads, 64) + 1) if d.heads % k == 0)
        raise ValueError(f"tp={s.tp} does not divide heads={d.heads} of {name}; try {allowed}")
    if s.pp > d.layers:
        raise ValueError(f"pp={s.pp} is more than the {d.layers} layers of {name}")
    if s.pp > 1 and s.vpp > -(-d.layers // s.pp):
        raise ValueError(
            f"vpp={s.vpp} is more than the {-(-d.layers // s.pp)} layers of a stage ({d.layers} layers, pp={s.pp})"
        )
    if s.cp > s.seq_len:
        raise ValueError(f"cp={s.cp} is more than seq_len={s.seq_len} tokens")
    if s.ep > 1 and (not d.experts or d.experts % s.ep or (s.dp * s.tp * s.cp) % s.ep):
        what = f"must divide {d.experts} experts and dp x tp x cp = {s.dp * s.tp * s.cp}" if d.experts else (
            f"is not allowed: {name} has no experts; use 1"
        )  # fmt: skip
        raise ValueError(f"ep={s.ep} {what}")


def _check_chip(s: TrainingScenario) -> None:
    chip = s.resolved_gpu
    if not chip.peak_flops or not chip.memory_bytes_per_s > 0:
        raise ValueError(f"gpu={s.gpu}: peak rate or memory bandwidth of {chip.name} is not published; give an object")


#: Words of logs and papers -> ours, the first that is found counts.
_SHARDING_WORDS = (
    (r"full_shard|hybrid_shard|zero.?3|stage.?3", "zero3"),
    (r"shard_grad_op|zero.?2|stage.?2", "zero2"),
    (r"zero.?1|stage.?1|dist\w*.opt", "zero1"),
    (r"fsdp", "zero3"),
    (r"ddp|^no|data.parallel", "none"),
)
_PRECISION_WORDS = (
    (r"fp4", "fp4"),
    (r"fp8|e4m3|float8", "fp8"),
    (r"int8", "int8"),
    (r"bf16|bfloat16", "bf16"),
    (r"fp16|float16|half", "fp16"),
    (r"tf32", "tf32"),
    (r"fp32|float32", "fp32"),
)
_RECOMPUTE_WORDS = (
    (r"not stated|unknown", "none"),
    (r"selec|attention", "selective"),
    (r"full|block|uniform|^(yes|true|on)$", "full"),
    (r"^(no|none|off|false)\b", "none"),
)
_WORDS = {"sharding": _SHARDING_WORDS, "precision": _PRECISION_WORDS, "recompute": _RECOMPUTE_WORDS}


def word(field: Literal["sharding", "precision", "recompute"], text: str) -> str:
    """Return our name for what a log or a paper calls it; the text itself where nothing is recognised.

    >>> word("sharding", "FSDP SHARD_GRAD_OP"), word("precision", "amp_bf16"), word("recompute", "selective (MLP)")
    ('zero2', 'bf16', 'selective')
    """
    plain = text.strip().lower()
    if plain in CHOICES[field]:
        return plain
    return next((ours for pattern, ours in _WORDS[field] if re.search(pattern, plain)), plain)


def from_training_row(row: Any) -> tuple[TrainingScenario, tuple[str, ...]]:
    """Return the scenario of one JSON row and what was assumed where the row says nothing.

    >>> scenario, assumed = from_training_row({"model": "llama-3-8b", "n_gpu": 16, "tp": 2, "global_batch": 32})
    >>> scenario.dp, assumed
    (8, ('seq_len is not given: 8,192 tokens assumed', 'micro_batch is not given: 1 assumed'))
    """
    if not isinstance(row, dict):
        raise ValueError(f"a row must be a JSON object, not {type(row).__name__}")
    unknown = [str(key) for key in row if key not in ROW_FIELDS]
    if unknown:
        raise ValueError(f"{unknown[0][:40]!r} is not a known field{closest(unknown[0], ROW_FIELDS)}")
    given = {key: value for key, value in row.items() if value is not None and value != ""}
    assumed: list[str] = []
    data = {key: value for key, value in given.items() if key not in ("n_gpu", *_WORDS)}
    _names(data)
    _words(given, data, assumed)
    _layout(data, given.get("n_gpu"))
    _batches(data, assumed)
    names = {"n": "n_gpu"}
    scenario: TrainingScenario = checked(TrainingScenario, data, names)
    return scenario, tuple(assumed)


def _names(data: dict[str, Any]) -> None:
    for owner, field, build in (("model", "dimensions", row_dimensions), ("gpu", "chip", row_chip)):
        value = data.get(owner)
        if isinstance(value, Mapping):
            data[field], data[owner] = build(dict(value)), CUSTOM
            if owner == "model" and value.get("name"):
                data["name"] = value["name"]
        elif value is not None and (not isinstance(value, str) or value == CUSTOM):
            raise ValueError(f"{owner}={value!r:.80} is not allowed: an id, an alias or an object is needed")


def _words(given: dict[str, Any], data: dict[str, Any], assumed: list[str]) -> None:
    for field in ("sharding", "precision", "recompute"):
        value = given.get(field)
        if value is None:
            continue
        if not isinstance(value, str):
            raise ValueError(f"{field}={value!r:.80} is not allowed: one of {', '.join(CHOICES[field])} is needed")
        data[field] = word(field, value)
        if "not stated" in value and field == "recompute":
            assumed.append(f"{field} is not stated: {data[field]} assumed")
    if "eager" in str(given.get("sharding", "")).lower():
        data.setdefault("kernels", "eager")


def _size(data: dict[str, Any], name: str, default: int = 1) -> int:
    value = data.get(name, default)
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1 and value >= 1
    return int(value) if whole else 0


def _layout(data: dict[str, Any], n: Any) -> None:
    """Complete the one that is missing of n and dp: n = dp x tp x pp x cp."""
    group = _size(data, "tp") * _size(data, "pp") * _size(data, "cp")
    if n is None:
        data["n"] = max(1, _size(data, "dp") * group)
        return
    data["n"] = n
    total = _size(data, "n")
    if not group or not total:
        return
    if "dp" not in data and total % group == 0:
        data["dp"] = total // group
    # Some tables count the context-parallel ranks among the replicas.
    elif _size(data, "dp") * group == total * _size(data, "cp") and _size(data, "dp") % _size(data, "cp") == 0:
        data["dp"] = _size(data, "dp") // _size(data, "cp")


def _batches(data: dict[str, Any], assumed: list[str]) -> None:
    if "seq_len" not in data:
        known = MODELS[data["model"]].dimensions.max_context if data.get("model", CUSTOM) != CUSTOM else DEFAULT_LENGTH
        data["seq_len"] = min(DEFAULT_LENGTH, known)
        assumed.append(f"seq_len is not given: {data['seq_len']:,} tokens assumed")
    if "micro_batch" not in data:
        data["micro_batch"] = 1
        assumed.append("micro_batch is not given: 1 assumed")
    if "global_batch" not in data:
        deep = DEFAULT_DEPTH * _size(data, "pp") if _size(data, "pp") > 1 else 1
        data["global_batch"] = max(1, _size(data, "dp") * _size(data, "micro_batch") * deep)
        assumed.append(f"global_batch is not given: {data['global_batch']:,} assumed")
