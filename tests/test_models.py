"""The model catalogue: every file loads, and its parameters and KV bytes are the published ones or explained."""

import ast
import operator
import re
import tomllib
from collections import Counter

import pytest

from perfmodel.blocks import parameters
from perfmodel.catalog import ESTIMATE, USER, load_sources
from perfmodel.memory import cache_per_token
from perfmodel.model import MODELS, SPECS

BF16 = 2.0
UNITS = {"M": 10**6, "B": 10**9, "T": 10**12}
ARITHMETIC = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.USub: operator.neg}


def agreeing(*kinds):
    """List the ids whose published total agrees with ours in one of these ways."""
    return [id for id in MODELS if MODELS[id].file.published.agreement in kinds]


def whole(text):
    """Evaluate sums, differences and products of whole numbers, written 1,234 × 5."""

    def value(node):
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return node.value
        if isinstance(node, ast.UnaryOp):
            return ARITHMETIC[type(node.op)](value(node.operand))
        return ARITHMETIC[type(node.op)](value(node.left), value(node.right))

    return value(ast.parse(text.replace(",", "").replace("×", "*"), mode="eval").body)


def rounds_to(count, text):
    """Tell whether a count, rounded to the digits of a text such as 46.7B, gives that text."""
    number, unit = text[:-1], UNITS[text[-1]]
    half = 0.5 * 10 ** -len(number.partition(".")[2])
    return abs(count / unit - float(number)) <= half


def test_every_file_is_read():
    """A file of model_specs/ is a model: none is left out, none is malformed."""
    files = {path.stem for path in SPECS.glob("*.toml")} - {"sources"}
    assert MODELS.problems == ()
    assert set(MODELS) == files
    assert len(files) >= 101


@pytest.mark.parametrize("id", agreeing("exact"))
def test_exact_total_is_recomputed(id):
    """Where agreement is "exact", the dimensions give the published integer, to the last parameter."""
    model = MODELS[id]
    assert parameters(model.dimensions).total == model.file.published.total


@pytest.mark.parametrize("id", agreeing("rounded"))
def test_rounded_total_has_the_printed_digits(id):
    """Where agreement is "rounded", the recomputed total rounds to every digit that is printed."""
    model = MODELS[id]
    assert rounds_to(parameters(model.dimensions).total, model.file.published.total_text)


@pytest.mark.parametrize("id", agreeing("differs"))
def test_difference_is_explained_to_the_last_parameter(id):
    """Where agreement is "differs", `difference` starts with recomputed - published = its parts."""
    model = MODELS[id]
    published = model.file.published
    sum_, _, words = published.difference.partition(": ")
    total, _, parts = sum_.partition(" = ")
    assert whole(total) == whole(parts) == parameters(model.dimensions).total - published.total != 0
    assert len(words) > 20


@pytest.mark.parametrize("id", agreeing("unpublished"))
def test_unpublished_total_claims_nothing(id):
    """Where agreement is "unpublished", no total stands as if it were one; a name may."""
    published = MODELS[id].file.published
    assert published.total is None
    assert published.source in ("", "name")


@pytest.mark.parametrize(
    ("id", "total"),
    [
        ("llama-3-8b", 8_030_261_248),
        ("llama-3.1-405b", 405_853_388_800),
        ("gpt-2-xl", 1_557_611_200),
        ("bloom-176b", 176_247_271_424),
        ("mixtral-8x7b", 46_702_792_704),
        ("deepseek-v3", 671_026_419_200),
        ("gpt-oss-120b", 116_829_156_672),
        ("jamba-1.5-mini", 51_570_323_328),
        ("qwen3-next-80b-a3b", 79_674_391_296),
    ],
)
def test_totals_that_must_come_out(id, total):
    """Llama-3-8B has 8,030,261,248 parameters, and one model of each architecture its own known count."""
    assert parameters(MODELS[id].dimensions).total == total


@pytest.mark.parametrize(
    ("id", "total", "active"),
    [("mixtral-8x7b", "46.7B", "12.9B"), ("mixtral-8x22b", "141B", "39B"), ("phi-3.5-moe", "42B", "6.6B")],
)
def test_active_parameters(id, total, active):
    """A token passes through top_k experts only: Mixtral 8x7B has 46.7B parameters and uses 12.9B."""
    count = parameters(MODELS[id].dimensions)
    assert rounds_to(count.total, total)
    assert rounds_to(count.active, active)


def test_active_is_total_without_experts():
    """Without experts every parameter is active; with experts fewer are."""
    for id in MODELS:
        count = parameters(MODELS[id].dimensions)
        assert (count.active < count.total) == bool(MODELS[id].dimensions.experts), id


@pytest.mark.parametrize(
    ("id", "kv_bytes", "without_gqa"),
    [
        ("llama-1-7b", 524_288, 524_288),
        ("llama-2-7b", 524_288, 524_288),
        ("llama-1-13b", 819_200, 819_200),
        ("llama-2-13b", 819_200, 819_200),
        ("llama-1-33b", 1_597_440, 1_597_440),
        ("llama-1-65b", 2_621_440, 2_621_440),
        ("codellama-34b", 196_608, 1_572_864),
        ("llama-2-70b", 327_680, 2_621_440),
    ],
)
def test_llama_kv_table(id, kv_bytes, without_gqa):
    """KV bytes per token are 4 L n_kv d_h in 2-byte values; grouped queries divide them by 8, not by 5."""
    d = MODELS[id].dimensions
    assert cache_per_token(d, BF16) == kv_bytes == 4 * d.layers * d.kv_heads * d.head_dim
    assert cache_per_token(d.model_copy(update={"kv_heads": d.heads}), BF16) == without_gqa


@pytest.mark.parametrize(
    ("id", "kv_bytes"),
    [
        ("gpt-3-175b", 4_718_592),
        ("llama-3-8b", 131_072),
        ("deepseek-v3", 61 * (512 + 64) * 2),
        ("falcon-7b", 8_192),
        ("gemma-3-27b", 507_904),
        ("jamba-1.5-mini", 16_384),
        ("nemotron-h-56b", 40_960),
        ("qwen3-next-80b-a3b", 24_576),
        ("minimax-m2.5", 253_952),
    ],
)
def test_kv_bytes_follow_the_attention_kind(id, kv_bytes):
    """The first token's KV counts attention layers only, and of MLA the latent and rotary part only."""
    assert cache_per_token(MODELS[id].dimensions, BF16) == kv_bytes


@pytest.mark.parametrize(
    ("id", "width"),
    [
        ("gemma-7b", 4096),
        ("gemma-2-9b", 4096),
        ("gemma-3-27b", 4096),
        ("mistral-nemo-12b", 4096),
        ("qwen3-0.6b", 2048),
        ("qwen3-32b", 8192),
        ("qwen3-235b-a22b", 8192),
        ("glm-4.5-355b-a32b", 12288),
        ("gpt-oss-120b", 4096),
        ("palm-540b", 12288),
    ],
)
def test_head_dim_is_a_dimension_of_its_own(id, width):
    """The product heads × head_dim need not be hidden, so head_dim is never derived from them."""
    d = MODELS[id].dimensions
    assert d.heads * d.head_dim == width != d.hidden


@pytest.mark.parametrize(
    ("id", "mixers", "ffns"),
    [
        ("gemma-2-9b", {"L": 21, "G": 21}, {"d": 42}),
        ("gemma-3-1b", {"L": 22, "G": 4}, {"d": 26}),
        ("gemma-3-27b", {"L": 52, "G": 10}, {"d": 62}),
        ("gpt-oss-20b", {"L": 12, "G": 12}, {"e": 24}),
        ("mistral-7b-v0.1", {"L": 32}, {"d": 32}),
        ("mistral-7b-v0.3", {"G": 32}, {"d": 32}),
        ("ministral-8b-2410", {"G": 9, "L": 27}, {"d": 36}),
        ("llama-4-maverick", {"L": 36, "G": 12}, {"d": 24, "e": 24}),
        ("deepseek-v3", {"G": 61}, {"d": 3, "e": 58}),
        ("jamba-1.5-mini", {"G": 4, "M": 28}, {"d": 16, "e": 16}),
        ("qwen3-next-80b-a3b", {"D": 36, "G": 12}, {"e": 48}),
        ("nemotron-h-56b", {"S": 54, "G": 10, "-": 54}, {"d": 54, "-": 64}),
        ("nemotron-3-nano-30b-a3b", {"S": 23, "G": 6, "-": 23}, {"e": 23, "-": 29}),
    ],
)
def test_layer_patterns(id, mixers, ffns):
    """A window, an expert layer or a state space is a matter of the layer, in the published numbers."""
    pattern = MODELS[id].dimensions.pattern()
    assert Counter(mixer for mixer, _ in pattern) == mixers
    assert Counter(ffn for _, ffn in pattern) == ffns


def test_moe_falls_on_the_published_layers():
    """Layer 0 of Jamba and Llama 4 Maverick is dense, layer 1 is MoE; Jamba attends first in layer 4."""
    jamba, maverick = (MODELS[id].dimensions.pattern() for id in ("jamba-1.5-mini", "llama-4-maverick"))
    assert [ffn for _, ffn in jamba[:2]] == [ffn for _, ffn in maverick[:2]] == ["d", "e"]
    assert [mixer for mixer, _ in jamba].index("G") == 4
    assert [mixer for mixer, _ in maverick].index("G") == 3


def test_sources_exist_and_are_used():
    """Every source key that a file writes is in sources.toml, and none lies there unused."""
    files = [MODELS[id].file for id in MODELS]
    used = {key for file in files for key in (*file.sources.values(), file.published.source) if key}
    own = {ESTIMATE.key, USER.key}
    assert used - own == set(load_sources(SPECS / "sources.toml")) - own


def test_sources_name_dimensions():
    """A source of a single value belongs to a dimension that exists."""
    for id in MODELS:
        model = MODELS[id]
        assert set(model.file.sources) - {"*"} <= set(model.dimensions.keys()), id


def test_sources_have_a_public_place():
    """A source is something that a reader can find: a title and an address, and no path of ours."""
    for key, source in load_sources(SPECS / "sources.toml").items():
        assert source.title
        assert not re.search(r"peers/|/work|/home|/tmp", source.title + source.place + source.note), key
        assert source.place.startswith("https://") or key in (ESTIMATE.key, USER.key, "name"), key


def test_files_write_what_they_need():
    """A file states the shape in full, and beyond it only what differs from the default of the field."""
    always = {"layers", "hidden", "vocab", "gated", "tied_embeddings", "max_context"}
    for id in MODELS:
        with (SPECS / f"{id}.toml").open("rb") as file:
            written = tomllib.load(file)["dimensions"]
        defaults = {name: field.default for name, field in type(MODELS[id].dimensions).model_fields.items()}
        assert always <= set(written), id
        assert not {name for name in set(written) - always if written[name] == defaults[name]}, id


def test_unknown_id_suggests_a_known_one():
    """An unknown name is a ValueError that says what was asked and what is near it."""
    with pytest.raises(ValueError, match=r"model='llama-3.1-8bb' is not known; did you mean .*llama-3\.1-8b"):
        MODELS["llama-3.1-8bb"]


def test_names_are_unique():
    """An id, a display name, a Hugging Face id or an alias, in any case, means one model."""
    owners: dict[str, set[str]] = {}
    for id in MODELS:
        file = MODELS[id].file
        for name in filter(None, (id, file.name, file.hf_id, *file.aliases)):
            owners.setdefault(name.lower(), set()).add(id)
    assert {name: ids for name, ids in owners.items() if len(ids) > 1} == {}


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("Meta-Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("LLaMA-2-70B", "llama-2-70b"),
        ("LLAMA2-70B", "llama-2-70b"),
        ("LLaMA-7B", "llama-1-7b"),
        ("Vicuna-7B", "llama-2-7b"),
        ("deepseek-ai/DeepSeek-R1", "deepseek-v3"),
        ("gpt-oss-120B", "gpt-oss-120b"),
        ("GPT3-175B", "gpt-3-175b"),
        (" Mixtral-8x7B ", "mixtral-8x7b"),
    ],
)
def test_other_names_resolve(name, id):
    """The names that benchmarks and the Hub use lead to the model, whatever their case."""
    assert MODELS.resolve(name) == id
    assert MODELS[name] is MODELS[id]
