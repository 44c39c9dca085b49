"""Tables of models: the catalogue, one model with its sources, its layers and its parameters by part."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby

from perfmodel.blocks import parameters
from perfmodel.catalogue_tables import ALL, Row, footnotes, found, is_estimate, marked, source_row
from perfmodel.dimensions import Dimensions
from perfmodel.engine import ENGINES
from perfmodel.hardware import ACCELERATORS
from perfmodel.memory import cache_bytes, cache_per_token, weight_bytes
from perfmodel.model import MODELS, Model
from perfmodel.precision import Precision
from perfmodel.scenario import CUSTOM, Scenario
from perfmodel.setup import Setup
from perfmodel.units import GIGA, count, show, significant

#: Bytes of a 16-bit cached value, and the context at which whole caches are compared.
KV_VALUE_BYTES, LONG_CONTEXT = 2.0, 32_768
WEIGHT_FORMATS = ("bf16", "fp8", "int4")
#: What a layer does along the sequence and per token, in two words.
MIXER_NAMES = {"G": "attention", "L": "window", "M": "Mamba-1", "S": "Mamba-2", "D": "DeltaNet", "-": "no mixer"}
FFN_NAMES = {"d": "dense FFN", "e": "experts", "-": "no FFN"}
STATE_CODES = "MSD"
CAPITALS = frozenset({"kv", "qkv", "qk", "ffn", "ssm", "dt"})
#: A pattern of more runs than this is not spelled out.
MOST_RUNS = 6
#: What the numbers of the catalogue mean.
HELP = {
    "Parameters, B": "counted from the dimensions, norms and biases included; tied embeddings once",
    "Active, B": "without the experts that a token is not routed to",
    "KV, B/token": "16-bit cache, all layers, while no window is full",
    "KV at 32k, GB": "16-bit cache of one sequence of 32,768 tokens, windows and recurrent state included",
    "Weights bf16, GB": "one copy, 1 GB = 10⁹ B",
    "Layers": "",
    "Hidden": "width of the residual stream",
    "Heads": "query heads",
    "KV heads": "key/value heads; 0: latent attention or none",
    "Head size": "not always hidden / heads",
    "Context": "tokens that the model was trained for",
    "Vocabulary": "",
}
AGREEMENTS = {
    "exact": "equals the published count to the last parameter",
    "rounded": "agrees with every digit that is printed",
    "differs": "differs from the published count for a known reason",
    "unpublished": "nobody published a count",
}


def attention_class(d: Dimensions) -> str:
    """Return MHA, GQA, MQA, MLA or hybrid (recurrent layers among the attention layers).

    >>> attention_class(MODELS["llama-3.1-8b"].dimensions), attention_class(MODELS["deepseek-v3"].dimensions)
    ('GQA', 'MLA')
    """
    if any(mixer in STATE_CODES for mixer, _ in d.pattern()):
        return "hybrid"
    if d.kv_lora:
        return "MLA"
    return "MHA" if d.kv_heads == d.heads else "MQA" if d.kv_heads == 1 else "GQA"


def attention_kind(d: Dimensions) -> str:
    """Return how the layers attend: heads sharing, windows, recurrent layers, with their number.

    >>> attention_kind(MODELS["gemma-3-27b"].dimensions), attention_kind(MODELS["jamba-1.5-mini"].dimensions)
    ('GQA, window 1,024 in 52 of 62 layers', 'hybrid: 28 of 32 layers Mamba-1, GQA in 4')
    """
    mixers = [mixer for mixer, _ in d.pattern()]
    states = [mixer for mixer in mixers if mixer in STATE_CODES]
    local, attending = mixers.count("L"), sum(mixer in "GL" for mixer in mixers)
    plain = d.model_copy(update={"mixers": "G"})
    heads = attention_class(plain)
    if states:
        names = " and ".join(MIXER_NAMES[code] for code in dict.fromkeys(states))
        return f"hybrid: {len(states)} of {d.layers} layers {names}, {heads} in {attending}"
    if local:
        return f"{heads}, window {d.window:,} in {'all' if local == d.layers else f'{local} of {d.layers}'} layers"
    return f"{heads}, sparse: {d.index_top_k:,} tokens" if d.index_heads else heads


def experts_text(d: Dimensions) -> str:
    """Return how many experts serve a token, out of how many.

    >>> experts_text(MODELS["deepseek-v3"].dimensions), experts_text(MODELS["llama-3.1-8b"].dimensions)
    ('8 of 256 + shared', '')
    """
    return f"{d.top_k} of {d.experts}{' + shared' if d.shared_ffn else ''}" if d.experts else ""


def estimated_fields(model: Model) -> tuple[str, ...]:
    """Return the dimensions of a model that nobody published; "all dimensions" where the whole shape is a guess."""
    names = [name for name, source in model.sources.items() if is_estimate(source)]
    return tuple("all dimensions" if name == "*" else name.replace("_", " ") for name in names)


@lru_cache(maxsize=512)
def model_row(model: Model) -> Row:
    """Return one line of the catalogue: size, cache, shape, agreement with the published count, source."""
    d, p, file = model.dimensions, parameters(model.dimensions), model.file
    doubtful = estimated_fields(model)
    return {
        "id": model.id,
        "Model": model.name,
        "Family": file.family if file else CUSTOM,
        "Year": float(file.year) if file and file.year else math.nan,
        "Parameters, B": p.total / GIGA,
        "Active, B": p.active / GIGA,
        "Published": published_text(model),
        "Agreement": file.published.agreement if file else "",
        "≈ Estimates": marked(", ".join(doubtful), True) if doubtful else "",
        "KV, B/token": cache_per_token(d, KV_VALUE_BYTES),
        "KV at 32k, GB": long_cache_bytes(d) / GIGA,
        "Weights bf16, GB": stored_bytes(model, "bf16") / GIGA,
        "Layers": d.layers,
        "Hidden": d.hidden,
        "Heads": d.heads,
        "KV heads": d.kv_heads,
        "Head size": d.head_dim,
        "Kind": attention_class(d),
        "Attention": attention_kind(d),
        "Experts": experts_text(d),
        "Context": d.max_context,
        "Vocabulary": d.vocab,
        "Source": model.source_of("*").title,
    }


def long_cache_bytes(d: Dimensions) -> float:
    """Return the 16-bit cache of one sequence of 32,768 tokens [B]; NaN where the model allows no such context."""
    return float(cache_bytes(d, LONG_CONTEXT, KV_VALUE_BYTES)) if d.max_context >= LONG_CONTEXT else math.nan


def published_text(model: Model) -> str:
    """Return the published count as it is printed, or the integer in short; "" if there is none."""
    if not model.file:
        return ""
    published = model.file.published
    return published.total_text or (count(published.total) if published.total else "")


def stored_bytes(model: Model, weights: str) -> float:
    """Return the bytes of one copy of the weights in a format; embeddings, head and norms stay 16 bit [B].

    >>> show(stored_bytes(MODELS["llama-3.1-8b"], "bf16"), "B")
    '16.1 GB'
    """
    # Which chip and engine makes no difference to the weights; a setup has to name some.
    chip, engine = ACCELERATORS[next(iter(ACCELERATORS))], ENGINES[next(iter(ENGINES))]
    return weight_bytes(Setup(model, chip, engine, Precision(weights=weights)))


@lru_cache(maxsize=1)
def model_table() -> tuple[Row, ...]:
    """Return every model of the catalogue, by family, the largest first."""
    rows = [model_row(MODELS[id]) for id in MODELS]
    return tuple(sorted(rows, key=lambda row: (row["Family"], -row["Parameters, B"])))


def filter_models(rows: Iterable[Row], search: str = "", family: str = ALL, kind: str = ALL) -> list[Row]:
    """Return the rows of a family and an attention class that hold every word of the search.

    >>> [row["id"] for row in filter_models(model_table(), "r1 671b")]
    ['deepseek-v3']
    """
    return [
        row
        for row in rows
        if family in (ALL, row["Family"])
        and kind in (ALL, row["Kind"])
        and found(search, row["id"], row["Model"], row["Family"], row["Attention"], *MODELS[row["id"]].aliases)
    ]


@lru_cache(maxsize=1)
def families() -> tuple[str, ...]:
    """Return the families, the one with most models first."""
    names = [row["Family"] for row in model_table()]
    return tuple(sorted(set(names), key=lambda name: (-names.count(name), name)))


# One model


def models_of(scenario: Scenario) -> dict[str, Model]:
    """Return the catalogue, led by the user's own model if the scenario has one."""
    own = {CUSTOM: scenario.resolved_model} if scenario.dimensions else {}
    return own | {id: MODELS[id] for id in MODELS}


def headline(model: Model) -> list[tuple[str, str, str]]:
    """Return the five numbers that matter first: label, text, help."""
    d, p = model.dimensions, parameters(model.dimensions)
    return [
        ("Parameters", count(p.total), "counted from the dimensions, norms and biases included"),
        ("Active", count(p.active), "without the experts that a token is not routed to"),
        (
            "KV per token",
            show(cache_per_token(d, KV_VALUE_BYTES), "B"),
            "bf16 cache, all layers, while no window is full",
        ),
        ("Weights in bf16", show(stored_bytes(model, "bf16"), "B"), "one copy, 1 GB = 10⁹ B"),
        ("Context", f"{d.max_context:,}", "tokens that the model was trained for"),
    ]


def model_panel(model: Model) -> tuple[list[Row], list[str]]:
    """Return every dimension of a model with the number of its source, and the sources."""
    return footnotes(model_sources(model), model.sources.values())


def model_sources(model: Model) -> list[Row]:
    """Return every dimension that the model has, with its unit, meaning and source."""
    rows = []
    for name, key in Dimensions.keys().items():
        value = getattr(model.dimensions, name)
        if value and value != "none":
            text = "yes" if value is True else f"{value:,}" if isinstance(value, int) else _cut(value)
            source = model.source_of(name)
            rows.append(source_row(field_label(name), f"{text} {key.unit}".strip(), source, key.help))
    return rows


def field_label(name: str) -> str:
    """Return the name of a dimension in words.

    >>> field_label("kv_heads"), field_label("head_dim")
    ('KV heads', 'Head dim')
    """
    words = " ".join(word.upper() if word in CAPITALS else word for word in name.split("_"))
    return words[0].upper() + words[1:]


def _cut(text: str, most: int = 24) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def agreement_text(model: Model) -> str:
    """Return how the recomputed count compares with the published one, in full sentences."""
    total = parameters(model.dimensions).total
    if not model.file:
        return f"{total:,} parameters, counted from the dimensions entered."
    published = model.file.published
    printed = published_text(model)
    said = AGREEMENTS[published.agreement]
    if published.agreement == "unpublished":
        name = f"; its name says {printed}" if printed else ""
        return f"{total:,} parameters, counted from the dimensions; {said}{name}."
    against = f"{published.total:,}" if published.total else printed
    text = f"{total:,} parameters, counted from the dimensions; published: {against}. The count {said}."
    why = " ".join(published.difference.split())
    return f"{text} Counted minus published: {why}." if why else text


def parts(d: Dimensions) -> list[tuple[str, int]]:
    """Return the parameters by part; experts that one token does not use stand apart. Adds up to the total.

    >>> sum(size for _, size in parts(MODELS["mixtral-8x7b"].dimensions))
    46702792704
    """
    p = parameters(d)
    return [
        ("Embedding", p.embedding),
        ("State space and attention" if attention_class(d) == "hybrid" else "Attention", p.attention),
        ("Feed-forward, active", p.ffn_active),
        ("Feed-forward, idle experts", p.ffn - p.ffn_active),
        ("Norms", p.norms),
        ("LM head", p.head),
    ]


def parts_table(d: Dimensions) -> list[Row]:
    """Return the parameters by part with their share of the total."""
    total = parameters(d).total
    rows = [
        {"Part": name, "Parameters": f"{size:,}", "Share": f"{significant(100 * size / total)} %"}
        for name, size in parts(d)
        if size
    ]
    return [*rows, {"Part": "Total", "Parameters": f"{total:,}", "Share": "100 %"}]


def memory_table(model: Model) -> list[Row]:
    """Return what the weights take in each format, and the caches beside them."""
    d = model.dimensions
    rows = [{"What": f"Weights in {name}", "Bytes": show(stored_bytes(model, name), "B")} for name in WEIGHT_FORMATS]
    for label, value_bytes in (("bf16", KV_VALUE_BYTES), ("fp8", KV_VALUE_BYTES / 2)):
        rows.append({"What": f"KV cache per token, {label}", "Bytes": show(cache_per_token(d, value_bytes), "B")})
    return [*rows, {"What": f"KV cache at {LONG_CONTEXT:,} tokens, bf16", "Bytes": show(long_cache_bytes(d), "B")}]


def layer_names(d: Dimensions) -> list[tuple[str, str]]:
    """Return what each layer does along the sequence and per token, in order."""
    return [(MIXER_NAMES[mixer], FFN_NAMES[ffn]) for mixer, ffn in d.pattern()]


def pattern_text(d: Dimensions) -> str:
    """Return the layers in short: what leads, what repeats, what is left over.

    >>> pattern_text(MODELS["gemma-3-27b"].dimensions)
    '10 × (5 window, 1 attention), then 2 window; dense FFN'
    >>> pattern_text(MODELS["deepseek-v3"].dimensions)
    '3 attention + dense FFN, then 58 attention + experts'
    """
    layers = layer_names(d)
    mixers, ffns = {mixer for mixer, _ in layers}, {ffn for _, ffn in layers}
    names = [mixer if len(ffns) == 1 else f"{mixer} + {ffn}" for mixer, ffn in layers]
    tail = f"; {ffns.pop()}" if len(ffns) == 1 and len(mixers) > 1 else ""
    if len(set(names)) == 1:
        return f"{d.layers} × {layers[0][0]} + {layers[0][1]}"
    period = _period(names)
    if period == len(names):
        return _runs(names) + tail
    repeats, rest = divmod(len(names), period)
    text = f"{repeats} × ({_runs(names[:period])})"
    return text + (f", then {_runs(names[-rest:])}" if rest else "") + tail


def _period(names: Sequence[str]) -> int:
    """The shortest stretch whose repetition, cut at the end, gives all names; all of them if none repeats twice."""
    sizes = range(1, len(names) // 2 + 1)
    return next((p for p in sizes if all(a == b for a, b in zip(names, names[p:], strict=False))), len(names))


def _runs(names: Sequence[str]) -> str:
    runs = [(name, len(list(same))) for name, same in groupby(names)]
    if len(runs) > MOST_RUNS:
        counts = {name: names.count(name) for name in dict.fromkeys(names)}
        return "mixed: " + ", ".join(f"{size} {name}" for name, size in counts.items())
    joiner = ", then " if len(runs) == 2 and len(names) > MOST_RUNS else ", "
    return joiner.join(f"{size} {name}" for name, size in runs)
