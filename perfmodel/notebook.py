"""The T4 notebook of "Where do LLMs spend their FLOPs?": its models, its measured points, its run as a scenario."""

from __future__ import annotations

from dataclasses import replace

from perfmodel.dimensions import Dimensions
from perfmodel.engine import ENGINES
from perfmodel.estimate import setup
from perfmodel.ops import Group
from perfmodel.scenario import CUSTOM, Scenario
from perfmodel.step import Step
from perfmodel.workload import decode

#: Width of the model -> seconds of one generation, read off the article (article_cases S51).
MEASURED_WIDTHS = {1024: 1.10, 1536: 1.11, 2048: 1.15, 3072: 1.41, 4096: 1.82}
#: Eight layers and 1024 features are in the article (S56). The tokens of one run are not: with 64, reading the weights
#: at the usual 82 % of bandwidth explains what the wide models take more than the narrow ones.
LAYERS, TOKENS, PROMPT = 8, 64, 8
HEAD_DIM, FFN_MULTIPLE, VOCAB, CONTEXT = 128, 256, 32000, 4096


def llama_shape(width: int, layers: int = LAYERS) -> Dimensions:
    """Return a Llama of this width: heads of 128, gated FFN of 8/3 the width, rounded up to a multiple of 256.

    >>> llama_shape(4096).ffn
    11008
    """
    heads = width // HEAD_DIM
    ffn = -(-(8 * width // 3) // FFN_MULTIPLE) * FFN_MULTIPLE
    return Dimensions(
        layers=layers,
        hidden=width,
        vocab=VOCAB,
        heads=heads,
        kv_heads=heads,
        head_dim=HEAD_DIM,
        ffn=ffn,
        max_context=CONTEXT,
    )


def run_of(width: int, layers: int = LAYERS, tokens: int = TOKENS) -> Scenario:
    """Return the scenario of one generation in the notebook: fp16, batch 1, on a T4."""
    return Scenario(
        model=CUSTOM,
        name=f"Llama {layers} x {width}",
        dimensions=llama_shape(width, layers),
        gpu="t4",
        engine="t4-notebook",
        weights="fp16",
        kv="fp16",
        input=PROMPT,
        output=tokens,
    )


def device_times(width: int, kv_heads: int = 0) -> dict[str, float]:
    """Return the device time of each operator for one token of the notebook, the host left out [s].

    The kernels are those that PyTorch launches one by one; `kv_heads` other than zero shares key and value heads.
    """
    step = _device_step(width, kv_heads)
    return dict(zip((op.name for op in step.ops), _device_s(step), strict=True))


def device_shares(width: int) -> dict[str, float]:
    """Return the shares of attention, MLP and the rest in the device time of one token."""
    step = _device_step(width, 0)
    spent = dict.fromkeys(Group, 0.0)
    for op, seconds in zip(step.ops, _device_s(step), strict=True):
        spent[op.group] += seconds
    attention, mlp, rest = spent[Group.PROJECTIONS] + spent[Group.ATTENTION], spent[Group.FFN], spent[Group.NORMS]
    whole = attention + mlp + rest
    return {"attention": attention / whole, "mlp": mlp / whole, "rest": rest / whole}


def _device_step(width: int, kv_heads: int) -> Step:
    run = run_of(width)
    if kv_heads:
        run = run.change(dimensions=llama_shape(width).model_copy(update={"kv_heads": kv_heads}))
    return replace(setup(run), engine=ENGINES["t4-eager"]).run(decode(1, TOKENS))


def _device_s(step: Step) -> list[float]:
    found: list[float] = (step.needs_s[:3].max(axis=0) + step.needs_s[3]).tolist()
    return found
