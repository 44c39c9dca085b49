"""The importer: real config.json files give the published totals, broken ones a sentence, nothing is guessed silently.

tests/configs/ holds one config.json per family, under the id that its model has in the catalogue where it is there. The
numbers are facts of public files: copies kept by NVIDIA AIConfigurator (Llama 4, Qwen3.5, GLM-4.7 Flash, GLM-5) and by
kvfit (with the Hub's parameter count), the others as published on the Hugging Face Hub, retyped.
"""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perfmodel.blocks import parameters
from perfmodel.codec import from_query
from perfmodel.dimensions import Dimensions
from perfmodel.hardware import Chip
from perfmodel.importer import Imported, import_chip, import_config, import_text_report
from perfmodel.importers.families import FAMILIES
from perfmodel.importers.text import MAX_BYTES, decoded
from perfmodel.model import MODELS
from perfmodel.scenario import Scenario

FILES = {path.stem: path.read_text() for path in sorted((Path(__file__).parent / "configs").glob("*.json"))}
IN_CATALOGUE = sorted(set(FILES) & set(MODELS))
LLAMA = json.loads(FILES["llama-3.1-8b"])
MIXTRAL = json.loads(FILES["mixtral-8x7b"])
#: Parameter counts that the Hub or the maker prints, where nothing but the model itself is counted.
PUBLISHED = {
    "llama-3.1-8b": 8_030_261_248,
    "mistral-7b-v0.1": 7_241_732_096,
    "mistral-small-3.1-24b": 23_572_403_200,
    "mixtral-8x7b": 46_702_792_704,
    "qwen-7b": 7_721_324_544,
    "qwen2.5-7b": 7_615_616_512,
    "qwen2-57b-a14b": 57_408_658_944,
    "qwen3-30b-a3b": 30_532_122_624,
    "qwen3-next-80b-a3b": 79_674_391_296,
    "deepseek-v2-lite": 15_706_484_224,
    "deepseek-v3": 671_026_419_200,
    "gemma-7b": 8_537_680_896,
    "gemma-2-9b": 9_241_705_984,
    "phi-2": 2_779_683_840,
    "phi-3-mini-3.8b": 3_821_079_552,
    "phi-4-mini-3.8b": 3_836_021_760,
    "gpt-2-xl": 1_557_611_200,
    "gpt-neox-20b": 20_554_567_680,
    "falcon-7b": 7_217_189_760,
    "falcon-40b": 41_835_970_560,
    "opt-6.7b": 6_658_473_984,
    "bloom-176b": 176_247_271_424,
    "gpt-oss-120b": 116_829_156_672,
    "jamba-1.5-mini": 51_570_323_328,
    "glm-4-9b": 9_399_951_360,
    "chatglm2-6b": 6_243_584_000,
    "nemotron-nano-9b-v2": 8_888_227_328,
    "granite-4.0-h-small": 32_207_337_984,
}
#: Checkpoints that hold more: the Hub's count less the towers, extra layers or buffers that come with them.
WITH_MORE = {
    # The SigLIP tower of 27 layers and its projector: 416,867,184 and (1152 + 64 - 64) x 5376.
    "gemma-3-27b": 27_432_406_640 - 416_867_184 - 1152 * 5376,
    # The vision tower of 34 layers and its projector.
    "llama-4-scout": 108_641_793_536 - 811_115_008 - 60_817_408,
    "llama-4-maverick": 401_583_781_376 - 811_115_008 - 60_817_408,
    # One layer for multi-token prediction, its input projection, norms, copies of embedding and head.
    "glm-4.5-355b-a32b": 358_337_791_296 - 5_539_962_272,
}


def text(base, **changes):
    """The config as text with some keys changed; a key set to `...` is taken out."""
    return json.dumps({key: value for key, value in (base | changes).items() if value is not ...})


def read(base, **changes):
    """The dimensions of a changed config."""
    return import_config(text(base, **changes)).dimensions


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_total(name):
    """A real config.json gives the published number of parameters, to the last one."""
    assert parameters(import_config(FILES[name]).dimensions).total == PUBLISHED[name]


@pytest.mark.parametrize("name", WITH_MORE)
def test_published_total_of_the_language_model(name):
    """Where the checkpoint holds more than the language model, the rest is exactly that."""
    assert parameters(import_config(FILES[name]).dimensions).total == WITH_MORE[name]


@pytest.mark.parametrize("name", IN_CATALOGUE)
def test_import_equals_the_catalogue(name):
    """Importing the config.json of a model in the catalogue gives its very dimensions, field by field."""
    expected = MODELS[name].dimensions
    if name == "gemma-3-27b":  # the multimodal checkpoint has 64 more rows
        expected = expected.model_copy(update={"vocab": 262_208})
    assert import_config(FILES[name]).dimensions == expected


def test_families_are_covered():
    """At least 35 real files of 25 families are read, each by an entry of its own in the registry."""
    families = {import_config(content).family for content in FILES.values()}
    assert len(FILES) >= 35
    assert len(families) >= 25
    assert families <= {family.name for family in FAMILIES}


def test_a_model_type_belongs_to_one_family():
    """No model_type is claimed twice, and no two families share a name."""
    types = [kind for family in FAMILIES for kind in family.types]
    assert len(types) == len(set(types))
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_guessed_silently(name):
    """Every field that is not at its default is a fact, understood or assumed, once; and only those are facts."""
    found = import_config(FILES[name])
    told = [fact.field for fact in (*found.understood, *found.assumed)]
    assert len(told) == len(set(told))
    defaults = {key: field.default for key, field in Dimensions.model_fields.items()}
    assert {key for key, value in defaults.items() if getattr(found.dimensions, key) != value} <= set(told)
    for fact in (*found.understood, *found.assumed):
        value = getattr(found.dimensions, fact.field)
        assert fact.value == (
            {True: "yes", False: "no"}[value]
            if isinstance(value, bool)
            else f"{value:,}"
            if isinstance(value, int)
            else value
        )
        assert fact.why


@pytest.mark.parametrize("name", FILES)
def test_ignored_keys_do_not_matter(name):
    """Without the keys listed as ignored the file gives the same model; none of a real file is strange to us."""
    found = import_config(FILES[name])
    table = json.loads(FILES[name])
    for part in (table, table.get("text_config", {})):
        for key in found.ignored:
            part.pop(key, None)
    assert import_config(json.dumps(table)).dimensions == found.dimensions
    assert found.unknown == ()


def test_unknown_keys_are_named():
    """A key that nobody knows is listed as ignored and named as one that may matter."""
    found = import_config(text(LLAMA, altup_num_inputs=4, rope_theta=1.0))
    assert found.unknown == ("altup_num_inputs",)
    assert {"altup_num_inputs", "rope_theta"} <= set(found.ignored)


@pytest.mark.parametrize("name", FILES)
def test_order_and_space_do_not_matter(name):
    """A config.json is a set of keys: neither their order nor the layout changes what is read."""
    table = json.loads(FILES[name])
    turned = json.dumps(dict(reversed(table.items())), separators=(",", ":"))
    assert import_config("\ufeff\n " + turned).dimensions == import_config(FILES[name]).dimensions


@pytest.mark.parametrize("name", FILES)
def test_an_imported_model_travels_in_a_link(name):
    """Using an imported model and reading the link again gives the same scenario, without a notice."""
    found = import_config(FILES[name])
    scenario = Scenario(input=512, output=64).change(**found.change())
    assert from_query(scenario.to_query()) == (scenario, ())
    assert scenario.resolved_model.name == found.name


def test_kv_of_an_imported_model():
    """Importing gives the KV bytes per token that the literature prints: 131,072 B for Llama 3.1 8B in bf16."""
    d = import_config(FILES["llama-3.1-8b"]).dimensions
    assert 2 * 2 * d.layers * d.kv_heads * d.head_dim == 131_072
    v3 = import_config(FILES["deepseek-v3"]).dimensions
    assert 2 * v3.layers * (v3.kv_lora + v3.rope_dim) == 70_272


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("deepseek-v3", "fp8"),
        ("gpt-oss-120b", "fp4"),
        ("llama-3.1-8b", "bf16"),
        ("phi-2", "fp16"),
        ("gpt-2-xl", ""),
    ],
)
def test_weights_suggested(name, dtype):
    """The file suggests the type of its weights: by quantization_config, else torch_dtype, else not at all."""
    assert import_config(FILES[name]).weights == dtype


@pytest.mark.parametrize(
    ("config", "dtype"),
    [
        ({"quant_method": "awq", "bits": 4}, "int4"),
        ({"quant_method": "gptq", "bits": 8}, "int8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "int4"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "fp4"),
        ({"config_groups": {"g": {"weights": {"num_bits": 8, "type": "float"}}}}, "fp8"),
        ({"config_groups": {"g": {"weights": {"num_bits": 8, "type": "int"}}}}, "int8"),
        ({"quant_method": "something new"}, ""),
        ({"config_groups": [1]}, ""),
    ],
)  # fmt: skip
def test_quantisation_methods(config, dtype):
    """Each way of writing a quantisation suggests its bits; an unknown one is said to be unknown."""
    found = import_config(text(LLAMA, quantization_config=config))
    assert found.weights == dtype
    assert any("quantization_config" in note for note in found.notes)


def test_defaults_of_heads():
    """Without num_key_value_heads every head has its own; without head_dim it is hidden / heads: both assumed."""
    found = import_config(text(LLAMA, num_key_value_heads=..., head_dim=...))
    assert (found.dimensions.kv_heads, found.dimensions.head_dim) == (32, 128)
    assert {"kv_heads", "head_dim"} <= {fact.field for fact in found.assumed}
    assert read(LLAMA, num_key_value_heads=None).kv_heads == 32
    assert read(LLAMA, head_dim=64).head_dim == 64


def test_ties_by_family():
    """Whether head and embedding are one matrix is the family's habit where the file is silent."""
    assert not read(LLAMA, tie_word_embeddings=...).tied_embeddings
    assert read(LLAMA, tie_word_embeddings=True).tied_embeddings
    assert read(json.loads(FILES["gemma-7b"])).tied_embeddings
    assert read(
        LLAMA, model_type="brand_new", architectures=["BrandNewForCausalLM"], tie_word_embeddings=...
    ).tied_embeddings


def test_windows():
    """A sliding window is read as each family means it: all layers, the layers from max_window_layers on, or none."""
    qwen = json.loads(FILES["qwen2.5-7b"]) | {"sliding_window": 4096}
    assert read(qwen).mixers == "G"
    mixed = read(qwen, use_sliding_window=True, max_window_layers=20)
    assert [mixer for mixer, _ in mixed.pattern()] == ["G"] * 20 + ["L"] * 8
    assert read(LLAMA, sliding_window=4096).mixers == "L"
    assert read(LLAMA, sliding_window=131_072).mixers == "G"
    mistral = json.loads(FILES["mistral-7b-v0.1"])
    assert read(mistral).window == 4096
    assert read(mistral, sliding_window=None).mixers == "G"
    gemma = json.loads(FILES["gemma-2-9b"])
    assert read(gemma).mixers == "LG"
    assert read(gemma, layer_types=["full_attention", "sliding_attention"] * 21).mixers == "GL"
    assert read(LLAMA, sliding_window=1024, sliding_window_pattern=4).mixers == "LLLG"


def test_where_the_experts_are():
    """Leading dense layers, every second layer, listed layers: each key puts the experts where the code does."""

    def ffns(d):
        return "".join(code for _, code in d.pattern())

    moe = json.loads(FILES["qwen3-30b-a3b"]) | {"num_hidden_layers": 8}
    assert ffns(read(moe)) == "e" * 8
    assert ffns(read(moe, decoder_sparse_step=2)) == "dede" * 2
    assert ffns(read(moe, mlp_only_layers=[0, 7])) == "deeeeeed"
    assert ffns(read(moe, first_k_dense_replace=3)) == "dddeeeee"
    assert ffns(read(moe, mlp_layer_types=["dense"] + ["sparse"] * 7)) == "deeeeeee"
    assert ffns(read(moe, moe_layer_freq=[0, 1] * 4)) == "dede" * 2
    assert read(moe, num_experts=0, num_experts_per_tok=...).experts == 0
    assert read(moe).ffn == 0
    assert read(moe, decoder_sparse_step=2).ffn == 6144


@pytest.mark.parametrize("name", ["qwen3-next-80b-a3b", "gemma-2-9b", "jamba-1.5-mini", "mixtral-8x7b", "deepseek-v3"])
def test_toy_models(name):
    """A pattern may be longer than the model is deep: two layers of any family are a model."""
    assert read(json.loads(FILES[name]), num_hidden_layers=2, first_k_dense_replace=1).layers == 2


def test_lightning_attention():
    """MiniMax-01 (published: 456 B parameters) is counted with DeltaNet layers, right to 0.1 %, and that is said."""
    config = json.loads(FILES["minimax-m2.5"]) | {
        "model_type": "minimax_text_01", "attn_type_list": ([0] * 7 + [1]) * 10, "num_hidden_layers": 80,
        "hidden_size": 6144, "intermediate_size": 9216, "num_attention_heads": 64, "num_local_experts": 32,
        "num_experts_per_tok": 2, "use_qk_norm": False, "use_routing_bias": False,
    }  # fmt: skip
    found = import_config(json.dumps(config))
    assert parameters(found.dimensions).total == pytest.approx(456e9, rel=1e-3)
    assert any("DeltaNet" in note for note in found.notes)


def test_unknown_family_is_read_by_its_fields():
    """A model_type that nobody knows is read by the common names of its fields, and that is said."""
    found = import_config(text(LLAMA, model_type="brand_new", architectures=["BrandNewForCausalLM"]))
    assert parameters(found.dimensions).total == PUBLISHED["llama-3.1-8b"]
    assert any("brand_new" in note for note in found.notes)
    plain = read(
        LLAMA, model_type="brand_new", architectures=..., hidden_act="gelu", rms_norm_eps=..., layer_norm_eps=1e-5
    )
    assert not plain.gated
    assert plain.norm_bias


def test_class_name_stands_in_for_model_type():
    """Without a model_type the class in architectures names the family."""
    assert import_config(text(LLAMA, model_type=..., architectures=["Qwen2ForCausalLM"])).family == "Qwen2"


def test_text_part_of_a_multimodal_model():
    """The language model of a nested file is read; the vision tower is left out and that is said."""
    found = import_config(FILES["gemma-3-27b"])
    assert found.dimensions.vocab == 262_208  # absent from text_config: the family's own
    assert "vocab" in {fact.field for fact in found.assumed}
    assert any("vision" in note for note in found.notes)
    assert import_config(json.dumps({"text_config": LLAMA, "model_type": "llava"})).dimensions == read(LLAMA)


def test_own_model_object():
    """The model object of a JSON row (DESIGN, section 5) is a config too."""
    own = {
        "layers": 32,
        "hidden": 4096,
        "heads": 32,
        "kv_heads": 8,
        "head_dim": 128,
        "ffn": 14336,
        "gated": True,
        "vocab": 128256,
    }
    assert parameters(import_config(json.dumps(own | {"name": "mine"})).dimensions).total == PUBLISHED["llama-3.1-8b"]
    assert import_config(json.dumps(own | {"name": "mine/v1"})).name == "mine v1"


def test_report_lists_everything():
    """The text report names the model, every fact, every ignored key and every note."""
    found = import_config(FILES["deepseek-v3"])
    report = import_text_report(found)
    assert report.startswith(found.title)
    for part in (*(fact.text for fact in (*found.understood, *found.assumed)), *found.ignored, *found.notes):
        assert part in report


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


def test_chip_units_are_in_the_names():
    """The unit is read from the field name, whatever the spelling: TB/s is 1000 GB/s, a GiB is 1.0737 GB."""
    expected = Chip(bandwidth=3350, memory=80, bf16=989, fp8=1979, link=450, tdp=700, price=2.5)
    given = {
        "name": "H100", "memory_gb": 80, "memory_bandwidth_tb_per_s": 3.35, "bf16_tflops": 989, "fp8_pflops": 1.979,
        "link_gb_per_s": 450, "tdp_kw": 0.7, "price_usd_per_hour": 2.5, "vendor": "nobody", "colour": "green",
    }  # fmt: skip
    found = import_chip(json.dumps(given))
    assert found.chip.model_dump() == pytest.approx(expected.model_dump())
    assert found.name == "H100"
    assert found.ignored == ("colour",)
    assert not found.assumed
    assert not found.notes
    gib = import_chip('{"memory_gib": 80, "bandwidth_gb_s": 3350, "bf16_tflop_per_s": 989}').chip
    assert gib.memory == pytest.approx(80 * 2**30 / 10**9)


def test_chip_without_units_is_assumed():
    """The fields of a JSON row (bandwidth in GB/s, memory in GB, peaks in TFLOP/s) are read, their units assumed."""
    found = import_chip('{"bandwidth": 3350, "memory": 80, "bf16": 989}')
    assert found.chip == Chip(bandwidth=3350, memory=80, bf16=989)
    assert {fact.field for fact in found.assumed} == {"bandwidth", "memory", "bf16"}


def test_chip_doubts():
    """A ridge that no chip has, or FP8 at four times BF16, is said to look like a wrong unit or a sparse figure."""
    assert any("units" in note for note in import_chip('{"bandwidth": 3.35, "memory": 80, "bf16": 989}').notes)
    sparse = import_chip('{"bandwidth_gb_s": 3350, "memory_gb": 80, "bf16_tflops": 989, "fp8_tflops": 3958}')
    assert any("sparsity" in note for note in sparse.notes)


def test_an_imported_chip_travels_in_a_link():
    """Using an imported chip and reading the link again gives the same scenario."""
    found = import_chip('{"memory_gb": 80, "bandwidth_tb_s": 3.35, "bf16_tflops": 989.4}')
    scenario = Scenario().change(**found.change())
    assert from_query(scenario.to_query()) == (scenario, ())
    assert "bandwidth = 3,350 GB/s" in import_text_report(found)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"memory_gb": ...}, ["memory", "missing"]),
        ({"bandwidth_gb_per_s": ...}, ["bandwidth", "missing"]),
        ({"bf16_tflops": ...}, ["peak"]),
        ({"memory_gb": "80"}, ['memory_gb="80"', "number"]),
        ({"memory_gb": True}, ["memory_gb=true"]),
        ({"memory_gb": -1}, ["memory_gb=-1"]),
        ({"memory_gb": 0}, ["memory_gb=0", "above 0"]),
        ({"memory_gb": 1e30}, ["memory_gb=1e+30"]),
        ({"memory_tflops": 80}, ["memory_tflops", "GB"]),
        ({"hbm_gb": 80}, ["hbm_gb and memory_gb"]),
        ({"memmory_gb": 80}, ["memmory_gb", "did you mean"]),
        ({"fp8_sparse_tflops": 3958}, ["fp8_sparse_tflops", "dense"]),
        ({"link_gbps": 400}, ["link_gbps", "gigabits"]),
        ({"link_bidirectional_gb_per_s": 900}, ["link_bidirectional_gb_per_s", "one direction"]),
    ],
)
def test_broken_chip_is_one_sentence(changes, parts):
    """A broken description is a ValueError that names the field, its value and what is allowed; traps are refused."""
    base = {"memory_gb": 80, "bandwidth_gb_per_s": 3350, "bf16_tflops": 989}
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        import_chip(text(base, **changes))
    for part in parts:
        assert part in str(caught.value)


def panel():
    """The panel on an empty page, and what it returns."""
    import streamlit as st

    from pages.parts.import_panel import import_panel

    change = import_panel()
    if change:
        st.session_state["taken"] = change


def test_panel_offers_what_was_pasted():
    """Pasting shows the title, pressing the button returns the change; a broken text shows the sentence."""
    from streamlit.testing.v1 import AppTest

    app = AppTest.from_function(panel, default_timeout=30).run()
    assert not app.exception
    app.text_area[0].set_value(FILES["deepseek-v3"]).run()
    assert not app.exception
    assert "671 B" in app.markdown[0].value
    app.button[0].click().run()
    assert not app.exception
    taken = app.session_state["taken"]
    assert Scenario().change(**taken).resolved_model.dimensions == MODELS["deepseek-v3"].dimensions
    assert taken["weights"] == "fp8"
    app.text_area[0].set_value('{"hidden_size": 4096}').run()
    assert "missing" in app.error[0].value
    assert not app.button
