"""The T4 notebook of "Where do LLMs spend their FLOPs?": its models, its measured points, its run as a scenario."""

from __future__ import annotations

from perfmodel.dimensions import Dimensions
from perfmodel.scenario import CUSTOM, Scenario

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
