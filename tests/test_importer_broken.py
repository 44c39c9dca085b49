"""Files that are broken, absurd or hostile: each is refused in one sentence."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perfmodel.blocks import parameters
from perfmodel.codec import from_query
from perfmodel.importer import Imported, import_chip, import_config
from perfmodel.importers.text import MAX_BYTES, decoded
from perfmodel.scenario import Scenario
from tests.test_importer import FILES, LLAMA, text

MIXTRAL = json.loads(FILES["mixtral-8x7b"])


BROKEN = {
    "empty": ("", "empty"),
    "blank": (" \n ", "empty"),
    "truncated": (FILES["llama-3.1-8b"][:200], "cut off"),
    "truncated in a word": (FILES["llama-3.1-8b"][:207], "cut off"),
    "not JSON": ("hidden_size: 4096}", "not valid JSON (line 1, column 1)"),
    "trailing comma": ('{"hidden_size": 4096,}', "line 1, column 22"),
    "an array": (f"[{FILES['llama-3.1-8b']}]", "must be a JSON object {...}, not a list"),
    "a number": ("42", "not a number"),
    "null": ("null", "not null"),
    "too long": ('{"a": "' + "x" * MAX_BYTES + '"}', "at most 262,144"),
    "too long in bytes": ('{"a": "' + "€" * (MAX_BYTES // 2) + '"}', "at most 262,144"),
    "too deep": ('{"a": ' + "[" * 50_000 + "]" * 50_000 + "}", "32 levels"),
    "NaN": (text(LLAMA, hidden_size=float("nan")), "NaN"),
    "infinity": (text(LLAMA, hidden_size=float("inf")), "hidden_size=Infinity"),
    "key twice": ('{"hidden_size": 1, "hidden_size": 2}', "hidden_size is given twice"),
    "a number of 5,000 digits": ('{"hidden_size": ' + "9" * 5000 + "}", "5,000 digits"),
    "1e9 layers": (text(LLAMA, num_hidden_layers=10**9), "num_hidden_layers=1000000000", "1 to 1,024"),
    "no layers": (text(LLAMA, num_hidden_layers=...), "num_hidden_layers", "missing"),
    "layers null": (text(LLAMA, num_hidden_layers=None), "num_hidden_layers", "missing"),
    "no width": (text(LLAMA, hidden_size=...), "hidden_size", "missing"),
    "no heads": (text(LLAMA, num_attention_heads=...), "num_attention_heads", "missing"),
    "no vocabulary": (text(LLAMA, vocab_size=...), "vocab_size", "missing"),
    "no FFN": (text(LLAMA, intermediate_size=...), "intermediate_size", "missing"),
    "nothing at all": ("{}", "num_hidden_layers", "missing"),
    "negative": (text(LLAMA, hidden_size=-4096), "hidden_size=-4096", "1 to 1,048,576"),
    "zero": (text(LLAMA, vocab_size=0), "vocab_size=0", "1 to 10,000,000"),
    "true as a number": (text(LLAMA, num_key_value_heads=True), "num_key_value_heads=true", "not true/false"),
    "text as a number": (text(LLAMA, hidden_size="4096"), 'hidden_size="4096"', "not text"),
    "a fraction": (text(LLAMA, num_attention_heads=32.5), "num_attention_heads=32.5", "not a fraction"),
    "an object as a number": (text(LLAMA, vocab_size={}), "vocab_size={}", "whole number"),
    "a width per layer": (text(LLAMA, intermediate_size=[1, 2]), "intermediate_size=[1, 2]", "layers that differ"),
    "number as true/false": (text(LLAMA, tie_word_embeddings=1), "tie_word_embeddings=1", "true or false"),
    "heads that do not divide": (text(LLAMA, hidden_size=4097), "head_dim", "hidden_size=4,097"),
    "head_dim 0": (text(LLAMA, head_dim=0), "head_dim=0", "above 0"),
    "KV heads not dividing": (text(LLAMA, num_key_value_heads=5), "num_key_value_heads=5", "num_attention_heads=32"),
    "KV heads 0": (text(LLAMA, num_key_value_heads=0), "num_key_value_heads=0"),
    "top-k above experts": (text(MIXTRAL, num_experts_per_tok=9), "num_experts_per_tok=9", "num_local_experts=8"),
    "no experts per token": (text(MIXTRAL, num_experts_per_tok=0), "num_experts_per_tok=0"),
    "1e9 experts": (text(MIXTRAL, num_local_experts=10**9), "num_local_experts=1000000000", "65,536"),
    "layer list too short": (text(LLAMA, layer_types=["full_attention"] * 3), "layer_types has 3 entries", "32 layers"),
    "layer kind unknown": (text(LLAMA, layer_types=["conv"] * 32), 'layer_types[0]="conv"', "full_attention"),
    "layer list no list": (text(LLAMA, layer_types="full_attention"), "layer_types", "one entry per layer"),
    "recurrent without sizes": (text(LLAMA, full_attention_interval=4), "linear_num_value_heads", "missing"),
    "window negative": (text(LLAMA, sliding_window=-1), "sliding_window=-1", "from 0"),
    "window pattern 0": (text(LLAMA, sliding_window=64, sliding_window_pattern=0), "sliding_window_pattern=0"),
    "dense layers beyond the depth": (text(MIXTRAL, first_k_dense_replace=33), "first_k_dense_replace=33", "0 to 32"),
    "listed layers beyond the depth": (text(MIXTRAL, mlp_only_layers=[32]), "mlp_only_layers=[32]", "0 to 31"),
    "MLA without its sizes": (text(LLAMA, kv_lora_rank=512), "qk_rope_head_dim", "missing"),
    "part no object": ('{"text_config": [1]}', "text_config=[1]", "object"),
    "model_type no text": (text(LLAMA, model_type=7), "model_type=7"),
    "an encoder": ('{"model_type": "bert", "hidden_size": 768}', "bert", "only decoders"),
    "an encoder and a decoder": (text(LLAMA, is_encoder_decoder=True), "is_encoder_decoder=true"),
    "layers with sizes of their own": (text(LLAMA, block_configs=[{}]), "block_configs"),
    "hybrid pattern": (text(json.loads(FILES["nemotron-nano-9b-v2"]), hybrid_override_pattern="M*"), "56 layers"),
    "narrow embedding": (text(json.loads(FILES["opt-6.7b"]), word_embed_proj_dim=512), "word_embed_proj_dim=512"),
    "own object, text as a number": ('{"layers": "32", "hidden": 64}', 'layers="32"'),
    "own object, a list": ('{"layers": 1, "hidden": 8, "shared_experts": 2, "expert_ffn": [1]}', "expert_ffn=[1]"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_file_is_one_sentence(name):
    """A broken file is a ValueError, on one line, that names the field, its value and what is allowed."""
    content, *parts = BROKEN[name]
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        import_config(content)
    message = str(caught.value)
    for part in parts:
        assert part in message
    assert len(message) < 600
    assert message.isprintable()
    assert type(caught.value) is ValueError


def test_worst_texts_are_refused():
    """Texts of the largest size that make a careless reader quadratic or recursive are refused like any other."""
    half = MAX_BYTES // 2 - 8
    worst = [
        '{"a": ' * 40_000,
        "[" * MAX_BYTES,
        '"' + '\\"' * half,
        '"' * MAX_BYTES,
        "{}" * half,
        "\\" * MAX_BYTES,
        "1" * MAX_BYTES,
    ]
    worst += [json.dumps(LLAMA | {"architectures": ["For" * 80_000 + "!"], "hidden_size": 0})]
    worst += [json.dumps(LLAMA | {"hidden_size": list(range(40_000))}), json.dumps({str(i): i for i in range(20_000)})]
    for content in worst:
        with pytest.raises(ValueError):  # noqa: PT011
            import_config(content)
        with pytest.raises(ValueError):  # noqa: PT011
            import_chip(content)


def test_many_strange_keys_are_counted():
    """The list of ignored keys ends at 200; the rest is counted, and keys of any kind are shown in print."""
    found = import_config(json.dumps(LLAMA | {f"x{i}\u0000\ud800{'y' * 100}": i for i in range(500)}))
    assert len(found.ignored) == 201
    assert found.ignored[-1].startswith("and ")
    assert all(key.isprintable() and len(key) <= 60 for key in found.ignored)


def test_upload_must_be_text():
    """A file that is too large or not UTF-8 is refused with the reason; a byte order mark is no harm."""
    with pytest.raises(ValueError, match=r"at most 262,144"):
        decoded(b"x" * (MAX_BYTES + 1), "config.json")
    with pytest.raises(ValueError, match="UTF-8"):
        decoded(b"\xff\xfe{}", "config.json")
    assert decoded(b"\xef\xbb\xbf{}", "config.json") == "{}"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
#: Every key that any real file has, and the values that hurt most.
TABLES = [json.loads(content) for content in FILES.values()]
KEYS = sorted({key for table in TABLES for part in (table, table.get("text_config", {})) for key in part})
VALUES = JSON | st.sampled_from(
    [0, 1, -1, 2, 3, 7, 64, 1024, 10**6, 10**9, 10**25, 0.5, 1e308, True, "M*-E", "auto", [], {}, [0], [[]]]
)
CALM = settings(suppress_health_check=list(HealthCheck))


def refused_or(read_text, content):
    """Read, and let nothing out but the result or a ValueError of one printable line."""
    try:
        return read_text(content)
    except ValueError as error:
        refusal = error
    assert type(refusal) is ValueError
    assert str(refusal).isprintable()
    assert len(str(refusal)) < 50_000
    return None


@CALM
@given(st.text(max_size=400) | st.text(alphabet='{}[]":,\\0123eE+-. ntf', max_size=200))
def test_any_text_is_read_or_refused(content):
    """No text raises anything but a ValueError."""
    refused_or(import_config, content)
    refused_or(import_chip, content)


@CALM
@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=12), VALUES, max_size=12))
def test_any_json_is_read_or_refused(table):
    """No JSON raises anything but a ValueError."""
    refused_or(import_config, json.dumps(table))
    refused_or(import_chip, json.dumps(table))


@CALM
@given(st.text() | st.from_regex(r"[\w./ -]*"))
def test_any_name_travels(name):
    """Whatever the file calls its model, the name that is shown fits into a link."""
    found = import_config(json.dumps(LLAMA | {"_name_or_path": name}))
    assert Scenario().change(**found.change()).to_query().get("name") == found.name


@CALM
@given(
    st.sampled_from(sorted(FILES)),
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4),
    st.sets(st.sampled_from(KEYS)),
)
def test_any_damage_is_read_or_refused(name, changes, dropped):
    """A real file with some keys changed or taken out is a model that can be counted and sent, or a ValueError."""
    table = json.loads(FILES[name])
    for part in (table, table.get("text_config", {})):
        for key in dropped if len(dropped) < 6 else ():
            part.pop(key, None)
    target = table.get("text_config", table)
    if isinstance(target, dict):
        target.update(changes)
    found = refused_or(import_config, json.dumps(table))
    if found is not None:
        assert isinstance(found, Imported)
        assert parameters(found.dimensions).total > 0
        scenario = Scenario(input=1, output=1).change(**found.change())
        assert from_query(scenario.to_query())[0].dimensions == found.dimensions
