"""Uploads at their limits: ten real families, and files that are cut off, of wrong types, absurd or 50 MB large."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from perfmodel import parameters
from perfmodel.importer import import_chip, import_config
from perfmodel.importers.text import decoded

CONFIGS = Path(__file__).parent / "configs"
#: One real config.json of each of twelve families, with the parameter count that its maker or the Hub prints.
FAMILIES = {
    "llama-3.1-8b": 8_030_261_248,
    "mistral-7b-v0.1": 7_241_732_096,
    "mixtral-8x7b": 46_702_792_704,
    "qwen2.5-7b": 7_615_616_512,
    "deepseek-v3": 671_026_419_200,
    "gemma-2-9b": 9_241_705_984,
    "phi-3-mini-3.8b": 3_821_079_552,
    "gpt-2-xl": 1_557_611_200,
    "gpt-neox-20b": 20_554_567_680,
    "falcon-7b": 7_217_189_760,
    "opt-6.7b": 6_658_473_984,
    "bloom-176b": 176_247_271_424,
}
MEGABYTES_50 = 50 * 10**6


def text(name: str) -> str:
    """The config.json of a model."""
    return (CONFIGS / f"{name}.json").read_text(encoding="utf-8")


def refusal(content: str) -> str:
    """Why the text is refused: one short printable line."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        import_config(content)
    message = str(caught.value)
    assert type(caught.value) is ValueError
    assert message.isprintable()
    assert 10 < len(message) < 600
    return message


@pytest.mark.parametrize("name", FAMILIES)
def test_ten_real_families(name: str) -> None:
    """A real config.json of each family gives the published total, to the last parameter."""
    found = import_config(text(name))
    assert parameters(found.dimensions).total == FAMILIES[name]


def test_families_differ() -> None:
    """The twelve files belong to at least ten families."""
    assert len({import_config(text(name)).family for name in FAMILIES}) >= 10


@pytest.mark.parametrize("name", FAMILIES)
def test_truncated_anywhere(name: str) -> None:
    """A file that ends too early, wherever, is said to be cut off, or empty; never read as a smaller model."""
    whole = text(name).rstrip()
    for share in range(10):
        part = whole[: len(whole) * share // 10]
        message = refusal(part)
        assert ("cut off" in message) or ("empty" in message) or ("not valid JSON" in message)
    assert refusal(whole[:-1])


@pytest.mark.parametrize("wrong", ["4096", 3.5, True, None, [4096, 1], {"value": 4096}, -1, 0, 10**9, 1e300])
@pytest.mark.parametrize("field", ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"])
def test_wrong_types(field: str, wrong: Any) -> None:
    """Text, fractions, flags, null, lists, objects and impossible numbers are refused by the name of the field."""
    config = json.loads(text("llama-3.1-8b")) | {field: wrong}
    assert field in refusal(json.dumps(config))


def test_a_thousand_million_layers() -> None:
    """1e9 layers are refused with the value and the range, written as a whole number or as 1e9."""
    config = json.loads(text("llama-3.1-8b"))
    assert "num_hidden_layers=1000000000" in refusal(json.dumps(config | {"num_hidden_layers": 10**9}))
    assert "1 to 1,024" in refusal(json.dumps(config | {"num_hidden_layers": 10**9}))
    exponent = json.dumps(config).replace('"num_hidden_layers": 32', '"num_hidden_layers": 1e9')
    assert "num_hidden_layers" in refusal(exponent)


@pytest.mark.parametrize("filler", ["x", "[", "€"], ids=ascii)
def test_50_megabytes(filler: str) -> None:
    """50 MB, as text or as an uploaded file, are refused by their size before anything is parsed."""
    content = '{"a": "' + filler * MEGABYTES_50 + '"}'
    message = refusal(content)
    assert "bytes" in message
    assert "at most 262,144" in message
    with pytest.raises(ValueError, match="at most 262,144"):
        import_chip(content)
    with pytest.raises(ValueError, match=r"50,000,000 bytes; at most 262,144 are read"):
        decoded(b"\0" * MEGABYTES_50, "config.json")
