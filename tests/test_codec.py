"""Links and rows: what goes out comes back, what comes in broken is said, and nothing from outside raises."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal, get_args, get_origin
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from perfmodel import ACCELERATORS, ENGINES, MODELS, Scenario, estimate, from_query, from_row
from perfmodel.codec import ROW_FIELDS
from perfmodel.dimensions import FFNS, MIXERS, Dimensions
from perfmodel.hardware import Chip
from perfmodel.scenario import CHOICES, CUSTOM, MAX_KEYS, MAX_VALUE_CHARS, OPTIONAL, VERSION, field_keys, link_keys

GOLDEN = Path(__file__).with_name("golden_links.txt")
KEYS = [key.key for record in (Scenario, Dimensions, Chip) for key in field_keys(record).values()]


# What goes out comes back


def bounds(record: type, name: str) -> dict[str, float]:
    """The limits of a numeric field."""
    metadata = record.model_fields[name].metadata
    return {key: getattr(item, key) for item in metadata for key in ("ge", "gt", "le") if hasattr(item, key)}


def values(record: type, name: str) -> st.SearchStrategy[Any]:
    """Any value that the type and the limits of one field allow."""
    kind, limit = record.model_fields[name].annotation, bounds(record, name)
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(int(limit["ge"]), int(limit["le"]))
    if kind is float:
        low = limit.get("ge", limit.get("gt"))
        return st.floats(low, limit["le"], exclude_min="gt" in limit, allow_nan=False)
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if name in ("mixers", "ffns"):
        return st.text("".join(MIXERS if name == "mixers" else FFNS), min_size=name == "mixers", max_size=12)
    raise TypeError(f"{record.__name__}.{name}: say here how to draw it")


@st.composite
def shapes(draw: st.DrawFn) -> Dimensions:
    """Any valid model, small print included."""
    fields = {
        name: draw(values(Dimensions, name)) for name in ("layers", "hidden", "vocab", "head_dim", "ffn", "gated")
    }
    fields["kv_heads"] = draw(st.integers(1, 64))
    fields["heads"] = fields["kv_heads"] * draw(st.integers(1, 16))
    fields |= {"head_dim": max(1, fields["head_dim"]), "max_context": 1_000_000}
    small = [name for name in Dimensions.model_fields if name not in (*fields, "experts", "top_k", "expert_ffn")]
    fields |= draw(st.fixed_dictionaries({}, optional={name: values(Dimensions, name) for name in small}))
    if draw(st.booleans()):
        fields["experts"] = draw(st.integers(1, 512))
        fields |= {"top_k": draw(st.integers(1, fields["experts"])), "expert_ffn": draw(st.integers(1, 50_000))}
    try:
        return Dimensions(**fields)
    except ValueError:
        assume(False)
        raise


@st.composite
def chips(draw: st.DrawFn) -> Chip:
    """Any valid accelerator of the user's own."""
    fields = {name: draw(values(Chip, name)) for name in Chip.model_fields}
    assume(any(fields[name] for name in ("fp32", "tf32", "fp16", "bf16", "fp8", "int8", "fp4")))
    return Chip(**fields)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Any valid scenario: presets and custom parts, every layout."""
    fields: dict[str, Any] = {name: draw(st.sampled_from(CHOICES[name])) for name in CHOICES}
    fields |= {name: draw(values(Scenario, name)) for name in ("batch", "group", "skew")}
    fields |= {
        "input": draw(st.integers(1, 300)),
        "output": draw(st.integers(1, 300)),
        "prefix": draw(st.integers(0, 300)),
    }
    fields |= {"gpu": draw(st.sampled_from(list(ACCELERATORS))), "engine": draw(st.sampled_from(list(ENGINES)))}
    fields["model"] = draw(st.sampled_from(list(MODELS)))
    if draw(st.booleans()):
        name = draw(st.text("abcXYZ019 .()+-_äß", max_size=60))
        fields |= {"model": CUSTOM, "dimensions": draw(shapes()), "name": name}
    if draw(st.booleans()):
        fields |= {"gpu": CUSTOM, "chip": draw(chips())}
    sizes = {name: draw(st.sampled_from((1, 2, 4, 8))) for name in ("tp", "pp", "dp")}
    fields |= sizes | {"n": math.prod(sizes.values()), "ep": draw(st.sampled_from((1, 2, 4, 8)))}
    try:
        return Scenario(**fields)
    except ValueError:
        fields |= {"n": 1, "tp": 1, "pp": 1, "dp": 1, "ep": 1}
    try:
        return Scenario(**fields)
    except ValueError:
        assume(False)
        raise


@given(scenarios())
@settings(max_examples=200)
def test_link_round_trip(scenario: Scenario) -> None:
    """A scenario comes back from its own link as it was, without a notice, through the text of a real URL."""
    query = scenario.to_query()
    assert all(isinstance(key, str) and isinstance(value, str) for key, value in query.items())
    assert from_query(query) == (scenario, ())
    through_url = parse_qs(urlencode(query), keep_blank_values=True)
    assert from_query(through_url) == (scenario, ())
    assert from_query(query)[0].to_query() == query


def to_row(scenario: Scenario) -> dict[str, Any]:
    """The JSON row that says the same as a scenario, as far as a row can."""
    row = {theirs: getattr(scenario, ours) for theirs, ours in ROW_FIELDS.items()}
    for owner, part in (("model", scenario.dimensions), ("gpu", scenario.chip)):
        if part is not None:
            row[owner] = part.model_dump()
    return row


@given(scenarios())
@settings(max_examples=100)
def test_row_round_trip(scenario: Scenario) -> None:
    """A scenario comes back from its JSON row, but for what a row has no field for."""
    found = from_row(json.loads(json.dumps(to_row(scenario))))
    kept = {ours: getattr(scenario, ours) for ours in (*ROW_FIELDS.values(), "dimensions", "chip")}
    assert {name: getattr(found, name) for name in kept} == kept


def test_link_and_row_agree() -> None:
    """The same question by link and by row is the same scenario."""
    link, _ = from_query(
        {"model": "mixtral-8x7b", "gpu": "a100-sxm-80gb", "n": "4", "tp": "4", "w": "int8", "in": "100"}
    )
    row = from_row(
        {"model": "mixtral-8x7b", "gpu": "a100-sxm-80gb", "n_gpu": 4, "tp": 4, "weight_dtype": "int8", "input_len": 100}
    )
    assert link == row


@given(scenarios())
@settings(max_examples=50)
def test_defaults_are_written(scenario: Scenario) -> None:
    """DESIGN 5: every plain input stands in the link, defaults too, with the version; empty texts stay out."""
    query = scenario.to_query()
    written = {"v", *(key for name, key in link_keys().items() if name not in OPTIONAL or getattr(scenario, name))}
    assert written <= set(query)
    assert query["v"] == str(VERSION)
    if scenario.dimensions:
        always = {"layers", "hidden", "vocab", "heads", "kvh", "hd", "ffn", "gated", "tied", "ctx", "mix", "norms"}
        assert always <= set(query)


def test_defaults_other_than_nothing_are_written() -> None:
    """A field whose default is not zero, false, none or empty is always in the link of a custom model or chip."""
    shape = Dimensions(layers=1, hidden=64, vocab=100, heads=1, kv_heads=1, head_dim=64, ffn=64)
    query = Scenario(
        model=CUSTOM, dimensions=shape, gpu=CUSTOM, chip=Chip(bandwidth=1, memory=1, bf16=1), output=1
    ).to_query()
    for record in (Dimensions, Chip):
        for name, key in field_keys(record).items():
            assert key.key in query or record.model_fields[name].default in (0, False, "none", "")


def test_keys_are_unique() -> None:
    """No two fields share a link key, neither within a record nor across model, chip and scenario."""
    assert len(KEYS) == len(set(KEYS))
    assert "v" not in KEYS
    assert all(key.isascii() and key == key.lower() for key in KEYS)


# What comes in broken


HOSTILE = [
    "1e999", "-1e999", "nan", "NaN", "Infinity", "-1", "0", "1.5", "\0", "16\0", "a" * 10_240, "9" * 5000, "9" * 19,
    "<script>alert(1)</script>", "'; DROP TABLE--", "../../etc/passwd", "__import__('os')", "{}", "[]", "null", "true",
    "", " ", "\n", "٣", "１６", "\u202e", "\ud800", "0x10", "1_000", "+5", "%00", "custom",
]  # fmt: skip


#: The words of a switch that is off, and of one that is on.
SWITCHES = (("0", "false", "off", "no", "n", "f"), ("1", "true", "on", "yes", "y", "t"))


@pytest.mark.parametrize("key", KEYS)
def test_hostile_values(key: str) -> None:
    """No value of any key raises; what is not understood gives a short notice, the rest has its plain meaning."""
    names = {own: name for name, own in link_keys().items()}
    for value in HOSTILE:
        scenario, notices = from_query({key: value})
        assert all(isinstance(notice, str) and len(notice) < 1000 for notice in notices)
        if not notices and key in names:
            found = getattr(scenario, names[key])
            if isinstance(found, bool):
                assert value.strip().lower() in SWITCHES[found]
                continue
            assert str(found) in (value, value.strip()) or float(found) == float(value)


@given(st.dictionaries(st.text(max_size=30) | st.sampled_from(KEYS), st.text(max_size=200), max_size=20))
@settings(max_examples=300)
def test_any_text_is_read(query: dict[str, str]) -> None:
    """Reading never raises, whatever the keys and values; the result is a scenario that survives its own link."""
    scenario, notices = from_query(query)
    assert from_query(scenario.to_query()) == (scenario, ())
    assert isinstance(notices, tuple)


NUMBERS = st.integers(-5, 5000).map(str) | st.sampled_from(
    ["1e999", "", "x", "custom", "llama-3.1-8b", "h100", "GLS-", "fp8"]
)


@given(st.dictionaries(st.sampled_from([*KEYS, "v"]), NUMBERS | st.lists(NUMBERS, max_size=3), max_size=30))
@example({"model": "custom"})
@example({"model": "gpt-2-124m", "ctx": "1", "pos": "1"})
@example({"ctx": "1"})
@settings(max_examples=300)
def test_any_mixture_of_known_keys_is_read(query: dict[str, Any]) -> None:
    """Known keys in any combination, single or repeated, give a scenario that can be computed."""
    scenario, _ = from_query(query)
    assert estimate(scenario).to_dict()


@pytest.mark.parametrize(
    ("query", "name", "value", "allowed"),
    [
        ({"batch": "0"}, "batch", "0", "from 1 to 1,000,000"),
        ({"batch": "-4"}, "batch", "-4", "from 1 to 1,000,000"),
        ({"batch": "1e999"}, "batch", "1e999", "whole number"),
        ({"in": "ten"}, "in", "ten", "whole number from 1"),
        ({"kv": "fp9"}, "kv", "fp9", "did you mean fp8"),
        ({"w": "bfloat"}, "w", "bfloat", "one of"),
        ({"gpu": "h100_sxn"}, "gpu", "h100_sxn", "did you mean h100-sxm"),
        ({"model": "lama-3.1-8b"}, "model", "lama-3.1-8b", "did you mean llama-3.1-8b"),
        ({"engine": "fussed"}, "engine", "fussed", "did you mean fused"),
        ({"tp": "3", "n": "3"}, "tp", "3", "try 1, 2, 4"),
        ({"n": "8", "tp": "2", "pp": "2", "dp": "1"}, "n", "8", "must equal tp x pp x dp"),
        ({"dp": "2", "n": "2"}, "dp", "2", "at most dp=1"),
        ({"model": "mixtral-8x7b", "n": "4", "ep": "3"}, "ep", "3", "try 1, 2, 4"),
        ({"in": "100000000"}, "in", "100,000,256", "at most"),
        ({"bach": "8"}, "bach", "bach", "did you mean batch"),
        ({"v": "99"}, "v", "99", "1 to 1"),
        ({"batch": "x" * 3000}, "batch", "3,000", f"at most {MAX_VALUE_CHARS:,}"),
        ({"model": "llama-3.1-8b", "layers": "-1"}, "layers", "-1", "from 1 to 1,024"),
        ({"model": "llama-3.1-8b", "kvh": "5"}, "kv_heads", "5", "try 1, 2, 4"),
        ({"gpu": "custom", "g.bw": "0", "g.mem": "1", "g.bf16": "1"}, "g.bw", "0", "above 0"),
        ({"gpu": "custom", "g.bw": "1", "g.mem": "nan", "g.bf16": "1"}, "g.mem", "nan", "number above 0"),
    ],
)
def test_a_notice_names_key_value_and_what_is_allowed(
    query: dict[str, str], name: str, value: str, allowed: str
) -> None:
    """STYLE: a refusal names the thing, the value and what is allowed."""
    notices = from_query(query)[1]
    text = " | ".join(notices)
    assert notices
    assert name in text
    assert value in text
    assert allowed in text


def test_one_problem_costs_one_field() -> None:
    """What is wrong is replaced; what is right beside it stays."""
    query = {"model": "llama-2-7b", "gpu": "nope", "batch": "32", "in": "x", "out": "77", "w": "fp8"}
    scenario, notices = from_query(query)
    assert len(notices) == 2
    assert (scenario.model, scenario.batch, scenario.output, scenario.weights) == ("llama-2-7b", 32, 77, "fp8")


def test_duplicates_take_the_last() -> None:
    """A key that stands twice in a link counts with its last value, as in the browser's own address bar."""
    assert from_query(parse_qs("batch=2&batch=64"))[0].batch == 64
    assert from_query({"batch": []})[1]


def test_many_keys() -> None:
    """A link of a thousand keys is read up to a limit, and that is said."""
    _, notices = from_query({f"k{i}": "1" for i in range(1000)})
    assert any(f"only the first {MAX_KEYS}" in notice for notice in notices)
    assert len(notices) <= MAX_KEYS + 1


def test_keys_of_the_page_are_kept_quiet() -> None:
    """What belongs to a page and not to the scenario is passed over without a notice."""
    assert from_query({"lesson": "3"}, frozenset({"lesson"}))[1] == ()
    assert from_query({"lesson": "3"})[1]


# Links are forever


def golden() -> list[Any]:
    """The lines of the golden file: query and expected facts."""
    lines = [line for line in GOLDEN.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return [pytest.param(*line.split("\t"), id=line[:60]) for line in lines]


@pytest.mark.parametrize(("link", "facts"), golden())
def test_golden_links(link: str, facts: str) -> None:
    """A link that was ever published means what it meant; one that ever broke is read and its problems are counted."""
    scenario, notices = from_query(parse_qs(link, keep_blank_values=True))
    for fact in facts.split(" "):
        name, _, expected = fact.partition("=")
        if name == "notices":
            assert len(notices) == int(expected), notices
            continue
        value: Any = scenario
        for part in name.split("."):
            value = getattr(value, part)
        assert str(value).replace(" ", "_") == expected, name
    assert from_query(scenario.to_query()) == (scenario, ())
