"""The importer: real config.json files give the published totals, nothing is guessed silently.

tests/configs/ holds one config.json per family, under the id that its model has in the catalogue where it is there. The
numbers are facts of public files: copies kept by NVIDIA AIConfigurator (Llama 4, Qwen3.5, GLM-4.7 Flash, GLM-5) and by
kvfit (with the Hub's parameter count), the others as published on the Hugging Face Hub, retyped.
"""

import json
from pathlib import Path

import pytest

from perfmodel.blocks import parameters
from perfmodel.codec import from_query
from perfmodel.dimensions import Dimensions
from perfmodel.hardware import Chip
from perfmodel.importer import import_chip, import_config, import_text_report
from perfmodel.importers.families import FAMILIES
from perfmodel.model import MODELS
from perfmodel.scenario import Scenario

FILES = {path.stem: path.read_text() for path in sorted((Path(__file__).parent / "configs").glob("*.json"))}
IN_CATALOGUE = sorted(set(FILES) & set(MODELS))
LLAMA = json.loads(FILES["llama-3.1-8b"])
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
