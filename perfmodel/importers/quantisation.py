"""Which data type of the weights a config.json suggests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perfmodel.importers.text import nested, shown

PLAIN = {"float32": "fp32", "float": "fp32", "bfloat16": "bf16", "float16": "fp16", "half": "fp16"}
METHODS = {"fp8": "fp8", "fbgemm_fp8": "fp8", "mxfp4": "fp4", "nvfp4": "fp4", "mxfp8": "fp8"}
BITS = {("int", 8): "int8", ("int", 4): "int4", ("float", 8): "fp8", ("float", 4): "fp4"}


def weights(table: Mapping[str, Any]) -> tuple[str, str]:
    """Return the suggested weight data type and a sentence on it; both empty where the file suggests none.

    >>> weights({"quantization_config": {"quant_method": "awq", "bits": 4}})
    ('int4', 'quantization_config (awq) stores the weights as int4')
    >>> weights({"torch_dtype": "bfloat16"})
    ('bf16', 'torch_dtype says bf16 weights')
    """
    config = nested(table, "quantization_config")
    if not config:
        key = "torch_dtype" if table.get("torch_dtype") is not None else "dtype"
        name = str(table.get(key)).removeprefix("torch.")
        return (PLAIN[name], f"{key} says {PLAIN[name]} weights") if name in PLAIN else ("", "")
    method = str(config.get("quant_method", "")).lower()[:40]
    found = METHODS.get(method) or _algorithm(config) or BITS.get(_bits(config), "")
    if not found:
        return (
            "",
            f"quantization_config={shown(config)} is of a kind that is not known here; choose the weights' data type",
        )
    return found, f"quantization_config ({method or 'no method'}) stores the weights as {found}"


def _algorithm(config: Mapping[str, Any]) -> str:
    name = str(config.get("quant_algo", "")).lower()
    return next(
        (kind for text, kind in (("fp4", "fp4"), ("fp8", "fp8"), ("w4a16", "int4"), ("int8", "int8")) if text in name),
        "",
    )


def _bits(config: Mapping[str, Any]) -> tuple[str, int]:
    if config.get("load_in_4bit") is True:
        return "int", 4
    if config.get("load_in_8bit") is True:
        return "int", 8
    groups = config.get("config_groups")
    group = next(iter(groups.values()), None) if isinstance(groups, dict) else None
    part = group.get("weights") if isinstance(group, dict) else None
    stored: Mapping[str, Any] = part if isinstance(part, dict) else config
    bits = next((stored[key] for key in ("num_bits", "bits", "w_bit") if type(stored.get(key)) is int), 0)
    return ("float" if stored.get("type") == "float" else "int"), bits
