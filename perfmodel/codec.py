"""Links and JSON rows to scenarios and back. A link never raises; a row raises one clear `ValueError`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from perfmodel.catalog import closest
from perfmodel.dimensions import Dimensions
from perfmodel.hardware import Chip
from perfmodel.scenario import (
    CUSTOM,
    MAX_KEYS,
    MAX_VALUE_CHARS,
    VERSION,
    Conflict,
    Scenario,
    checked,
    field_keys,
    link_keys,
    problem_text,
)

Query = dict[str, str]
#: Step k turns a query of version k + 1 into one of version k + 2; they fall through to the newest.
MIGRATIONS: tuple[Callable[[Query], Query], ...] = ()

#: JSON row field -> scenario field.
ROW_FIELDS = {
    "model": "model",
    "gpu": "gpu",
    "n_gpu": "n",
    "tp": "tp",
    "pp": "pp",
    "ep": "ep",
    "dp": "dp",
    "weight_dtype": "weights",
    "math_dtype": "math",
    "kv_dtype": "kv",
    "batch": "batch",
    "input_len": "input",
    "output_len": "output",
    "prefix_len": "prefix",
    "engine": "engine",
    "draft": "draft",
    "draft_tokens": "spec",
    "acceptance": "accept",
    "cal": "cal",
    "cp": "cp",
    "mb": "mb",
    "sp": "sp",
    "adp": "adp",
    "spread": "spread",
    "kv_split": "kv_split",
    "overlap": "overlap",
}
#: Fields whose values are names, upper case or lower.
_NAMES = frozenset(("weights", "math", "kv", "engine", "draft", "cal", "spread", "kv_split"))
_ALL_KEYS = ("v", *(key.key for record in (Scenario, Dimensions, Chip) for key in field_keys(record).values()))
#: Other spellings of data types -> ours.
DTYPE_ALIASES = {
    "float32": "fp32",
    "float16": "fp16",
    "half": "fp16",
    "bfloat16": "bf16",
    "fp8_e4m3": "fp8",
    "fp8_block": "fp8",
    "e4m3": "fp8",
    "nvfp4": "fp4",
    "mxfp4": "fp4",
    "awq": "int4",
    "gptq": "int4",
    "w4a16": "int4",
}


def from_query(query: Mapping[str, Any], keep: frozenset[str] = frozenset()) -> tuple[Scenario, tuple[str, ...]]:
    """Return the scenario of a link and one notice per problem; never raise.

    `keep` names keys that belong to the page, not to the scenario.

    >>> scenario, notices = from_query({"model": "llama-2-7b", "batch": "zero"})
    >>> scenario.model, scenario.batch, notices
    ('llama-2-7b', 1, ("batch='zero' is not allowed: it must be a whole number from 1 to 1,000,000; using 1",))
    """
    notices: list[str] = []
    texts = _texts(query, notices)
    texts = _migrate(texts, notices)
    data = {name: texts.pop(key) for name, key in link_keys().items() if key in texts}
    dimensions, chip = _take(Dimensions, texts), _take(Chip, texts)
    notices += [
        f"{key[:40]} is not a known key{closest(key, _ALL_KEYS)}; it was ignored" for key in texts if key not in keep
    ]
    _add_parts(data, dimensions, chip, notices)
    _fill_layout(data)
    return _settle(data, notices), tuple(notices)


def _texts(query: Mapping[str, Any], notices: list[str]) -> Query:
    texts: Query = {}
    for key, value in list(query.items())[:MAX_KEYS]:
        text = str(value[-1] if isinstance(value, (list, tuple)) and value else value)
        if len(text) > MAX_VALUE_CHARS:
            notices.append(
                f"{str(key)[:40]} has {len(text):,} characters; at most {MAX_VALUE_CHARS:,} are read; it was ignored"
            )
        else:
            texts[str(key)] = text
    if len(query) > MAX_KEYS:
        notices.append(f"the link has {len(query):,} keys; only the first {MAX_KEYS} were read")
    return texts


def _migrate(texts: Query, notices: list[str]) -> Query:
    text = texts.pop("v", str(VERSION))
    version = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 1 <= version <= VERSION:
        notices.append(f"v={text[:20]!r} is not a version this page knows (1 to {VERSION}); read as version {VERSION}")
        return texts
    for step in MIGRATIONS[version - 1 :]:
        texts = step(texts)
    return texts


def _take(record: type[BaseModel], texts: Query) -> Query:
    return {name: texts.pop(key.key) for name, key in field_keys(record).items() if key.key in texts}


def _add_parts(data: dict[str, Any], dimensions: Query, chip: Query, notices: list[str]) -> None:
    """Add custom model and chip; dimensions beside a preset edit that preset."""
    for field, record, part in (("dimensions", Dimensions, dimensions), ("chip", Chip, chip)):
        owner = "model" if field == "dimensions" else "gpu"
        if not part:
            continue
        base: dict[str, Any] = {}
        if field == "dimensions" and data.get("model", CUSTOM) != CUSTOM:
            found, said = from_query({"model": data["model"]})
            notices += said
            base = found.resolved_model.dimensions.model_dump()
        built = _part(record, part, base, notices)
        if built is not None:
            data[field], data[owner] = built, CUSTOM
        elif data.get(owner) == CUSTOM:
            del data[owner]


def _part(record: type[BaseModel], texts: Query, base: dict[str, Any], notices: list[str]) -> BaseModel | None:
    names = {name: key.key for name, key in field_keys(record).items()}
    given: dict[str, Any] = dict(texts)
    for _ in range(len(given) + 1):
        try:
            return record.model_validate(base | given)
        except ValidationError as error:
            problem = error.errors()[0]
            name = str(problem["loc"][0]) if problem["loc"] else _culprit(record, base, given)
            notices.append(
                problem_text(record, problem, names) + f"; {names[name] if name in given else 'all'} ignored"
            )
            if name not in given:
                break
            del given[name]
    return None


def _culprit(record: type[BaseModel], base: dict[str, Any], given: dict[str, Any]) -> str:
    """Return the one field without which the rest is valid; an empty text if no single field is to blame."""
    for name in given:
        try:
            record.model_validate(base | {key: value for key, value in given.items() if key != name})
        except ValidationError:
            continue
        return name
    return ""


def _fill_layout(data: dict[str, Any]) -> None:
    """Complete the one that is missing of n, tp and dp: n = tp x pp x dp x cp."""
    try:
        sizes = {name: int(data[name]) for name in ("n", "tp", "pp", "dp", "cp") if name in data}
    except (ValueError, TypeError, OverflowError):
        return
    beside = sizes.get("pp", 1) * sizes.get("cp", 1)
    rest = beside * sizes.get("dp", 1)
    if "n" not in sizes:
        data["n"] = sizes.get("tp", 1) * rest
    elif "tp" not in sizes and rest > 0 and sizes["n"] % rest == 0:
        data["tp"] = sizes["n"] // rest
    elif "tp" in sizes and "dp" not in sizes and (group := sizes["tp"] * beside) > 0 and sizes["n"] % group == 0:
        data["dp"] = sizes["n"] // group


def _settle(data: dict[str, Any], notices: list[str]) -> Scenario:
    """Drop what does not fit, one problem at a time, until the scenario is valid."""
    names = link_keys()
    while True:
        try:
            return Scenario.model_validate(data)
        except ValidationError as error:
            problem = error.errors()[0]
            used = _give_way(data, problem)
            values = [f"{names[name]}={value}" if len(used) > 1 else str(value) for name, value in used.items()]
            notices.append(f"{problem_text(Scenario, problem, names)}; using {', '.join(values) or 'the default'}")


def _give_way(data: dict[str, Any], problem: Any) -> dict[str, Any]:
    """Take the fields at fault out of `data` and return what is used instead; all of them if nobody is to blame."""
    cause = problem.get("ctx", {}).get("error")
    fields = cause.fields if isinstance(cause, Conflict) else tuple(str(part) for part in problem["loc"][:1])
    dropped = [name for name in fields if name in data]
    if not dropped and isinstance(cause, Conflict) and cause.instead:
        data |= cause.instead
        return cause.instead
    dropped = dropped or list(data)
    for name in dropped:
        del data[name]
    defaults = Scenario.model_fields
    return {name: defaults[name].default for name in dropped if name in link_keys()}


def from_row(row: Any) -> Scenario:
    """Return the scenario of one JSON row (DESIGN: fields model, gpu, n_gpu, tp, ..., engine); raise `ValueError`.

    >>> from_row({"model": "llama-3.1-8b", "gpu": "h100-sxm", "weight_dtype": "fp8"}).weights
    'fp8'
    """
    if not isinstance(row, dict):
        raise ValueError(f"a row must be a JSON object, not {type(row).__name__}")
    unknown = [key for key in row if key not in ROW_FIELDS]
    if unknown:
        raise ValueError(f"{str(unknown[0])[:40]!r} is not a known field{closest(str(unknown[0]), tuple(ROW_FIELDS))}")
    data = {ROW_FIELDS[key]: value for key, value in row.items() if value is not None}
    for name, value in data.items():
        if name in ("model", "gpu"):
            continue
        if name in _NAMES:
            if not isinstance(value, str):
                raise ValueError(f"{_row_name(name)}={value!r:.80} is not allowed: a name is needed")
            data[name] = DTYPE_ALIASES.get(value.lower(), value.lower())
        elif isinstance(value, str):
            kind = "a number" if name == "accept" else "a whole number"
            raise ValueError(f"{_row_name(name)}={value!r:.80} is not allowed: {kind} is needed, not text")
    _objects(data)
    _fill_layout(data)
    scenario: Scenario = checked(Scenario, data, {ours: theirs for theirs, ours in ROW_FIELDS.items()})
    return scenario


def _row_name(field: str) -> str:
    return next(theirs for theirs, ours in ROW_FIELDS.items() if ours == field)


def _objects(data: dict[str, Any]) -> None:
    for owner, field, build in (("model", "dimensions", row_dimensions), ("gpu", "chip", row_chip)):
        value = data.get(owner)
        if isinstance(value, dict):
            data[field], data[owner] = build(value), CUSTOM
        elif value is not None and not isinstance(value, str):
            raise ValueError(f"{owner}={value!r:.80} is not allowed: an id or an object of dimensions is needed")
        elif value == CUSTOM:
            raise ValueError(f"{owner}=custom needs an object of dimensions in its place")


def row_dimensions(value: dict[str, Any]) -> Dimensions:
    """Return the dimensions of a model object; `shared_experts` and `window` are understood as in DESIGN."""
    given = {key: item for key, item in value.items() if item is not None and key not in ("name", "id")}
    for key, item in given.items():
        field = Dimensions.model_fields.get(key)
        if isinstance(item, str) and field is not None and field.annotation in (int, bool):
            raise ValueError(f"model.{key}={item!r:.80} is not allowed: a number is needed, not text")
    shared = given.pop("shared_experts", 0)
    if shared and "shared_ffn" not in given:
        if isinstance(shared, bool) or not isinstance(shared, int) or not 0 < shared < 1024:
            raise ValueError(
                f"model.shared_experts={shared!r:.80} is not allowed: a whole number from 0 to 1,023 is needed"
            )
        width = given.get("expert_ffn")
        given["shared_ffn"] = shared * width if isinstance(width, int) else 0
    if given.get("window") and "mixers" not in given:
        given["mixers"] = "L"
    given.setdefault("vocab", 32_000)
    if "head_dim" not in given and isinstance(given.get("hidden"), int) and isinstance(given.get("heads"), int):
        given["head_dim"] = given["hidden"] // max(1, given["heads"])
    given.setdefault("kv_heads", given.get("heads", 0))
    dimensions: Dimensions = checked(Dimensions, given, {name: f"model.{name}" for name in Dimensions.model_fields})
    return dimensions


def row_chip(value: dict[str, Any]) -> Chip:
    """Return the chip of a gpu object: bandwidth [GB/s], memory [GB], peaks [TFLOP/s], as the fields of `Chip`."""
    given = {key: item for key, item in value.items() if item is not None and key not in ("name", "id")}
    chip: Chip = checked(Chip, given, {name: f"gpu.{name}" for name in Chip.model_fields})
    return chip
