"""Bytes: weights, KV cache, and what attention moves."""

from __future__ import annotations

import numpy as np

from perfmodel.formulas.types import Real


def kv_bytes_per_token(layers: Real, kv_heads: Real, head_dim: Real, bytes_per_value: Real) -> Real:
    r"""KV cache that one token adds: keys and values of all layers.

    $$ c = 2\,L\,n_{kv}\,d_h\,b $$

    Args:
        layers: layers that keep a cache, L [1]
        kv_heads: key/value heads, n_kv [1]
        head_dim: size of one head, d_h [1]
        bytes_per_value: bytes of one cached value, b [B]

    Returns:
        bytes per token of context [B]

    Validity: MHA, GQA, MQA; a sliding window caps the tokens, not this figure.
    Source: article_cases S41, S42 (GPT-3: 4,718,592 B).

    >>> kv_bytes_per_token(96.0, 96.0, 128.0, 2.0), kv_bytes_per_token(32.0, 8.0, 128.0, 2.0)
    (4718592.0, 131072.0)
    """
    return 2.0 * layers * kv_heads * head_dim * bytes_per_value


def mla_bytes_per_token(layers: Real, kv_lora: Real, rope_dim: Real, bytes_per_value: Real) -> Real:
    r"""Latent cache that one token adds under multi-head latent attention.

    $$ c = L\,(d_c + d_r)\,b $$

    Args:
        layers: layers that keep a cache, L [1]
        kv_lora: compressed latent, d_c [1]
        rope_dim: shared rotary key, d_r [1]
        bytes_per_value: bytes of one cached value, b [B]

    Returns:
        bytes per token of context [B]

    Validity: DeepSeek-style MLA; the latent serves keys and values of all heads.
    Source: traps 2 (DeepSeek-V3: 61 x 576 x 2 = 70,272 B).

    >>> mla_bytes_per_token(61.0, 512.0, 64.0, 2.0)
    70272.0
    """
    return layers * (kv_lora + rope_dim) * bytes_per_value


def kv_cache_bytes(batch: Real, context: Real, bytes_per_token: Real) -> Real:
    r"""KV cache of a batch of equally long sequences.

    $$ C = B\,t\,c $$

    Args:
        batch: sequences, B [1]
        context: tokens of each sequence in the cache, t [1]
        bytes_per_token: cache per token, c [B]

    Returns:
        bytes held in memory [B]

    Validity: no paging waste, no shared prefix.
    Source: article_cases S42 (GPT-3 at 2048 tokens: 9.66 GB, not 5.6).

    >>> kv_cache_bytes(1.0, 2048.0, 4718592.0)
    9663676416.0
    """
    return batch * context * bytes_per_token


def window_context(context: Real, window: Real) -> Real:
    r"""Tokens that a sliding-window layer keeps and reads.

    $$ t_w = \min(t,\,w) $$

    Args:
        context: tokens of the sequence, t [1]
        window: width of the window, w [1]

    Returns:
        tokens in the layer's cache [1]

    Validity: a cache that drops what no query can see any more.
    Source: article_cases S45 (Mistral 7B: at most 4096 tokens, 536.9 MB).

    >>> float(window_context(9000.0, 4096.0))
    4096.0
    """
    return np.minimum(context, window)


def quantised_bits(bits: Real, scale_bits: Real, group: Real) -> Real:
    r"""Bits per weight of a group-quantised matrix, scales included.

    $$ b_{\text{eff}} = b + s/g $$

    Args:
        bits: bits of one weight, b [bit]
        scale_bits: bits of one scale, s [bit]
        group: weights that share a scale, g [1]

    Returns:
        effective bits per weight [bit]

    Validity: symmetric quantisation; zero points add their own bits / g.
    Source: article_cases S14 (4 bits, group 128, fp16 scale: 4.125 bits, 3.88x fewer bytes than fp16).

    >>> quantised_bits(4.0, 16.0, 128.0), round(16.0 / quantised_bits(4.0, 16.0, 128.0), 2)
    (4.125, 3.88)
    """
    return bits + scale_bits / group


def unfused_attention_bytes(rows: Real, context: Real, heads: Real, bytes_per_value: Real) -> Real:
    r"""Extra traffic of attention that writes the score matrix to memory (no FlashAttention).

    $$ M = 4\,n\,t\,h\,b $$

    Args:
        rows: queries, summed over sequences, n [1]
        context: tokens each query is scored against, t [1]
        heads: query heads, h [1]
        bytes_per_value: bytes of one score, b [B]

    Returns:
        scores written and read, probabilities written and read [B]

    Validity: masked scores are computed and moved too; on top of the Q, K, V, O traffic of the fused kernel.
    Source: article_cases S17.

    >>> unfused_attention_bytes(2048.0, 2048.0, 32.0, 2.0)
    1073741824.0
    """
    return 4.0 * rows * context * heads * bytes_per_value


def repeated_kv_bytes(tokens: Real, heads: Real, head_dim: Real, bytes_per_value: Real) -> Real:
    r"""Extra traffic of unfused grouped-query attention that copies K and V for every query head.

    $$ M = 2 \cdot 2\,t\,h\,d_h\,b $$

    Args:
        tokens: context, summed over sequences, t [1]
        heads: query heads, h [1]
        head_dim: size of one head, d_h [1]
        bytes_per_value: bytes of one value, b [B]

    Returns:
        the copies of K and V written and read [B]

    Validity: eager frameworks whose batched products need one K and V per query head (repeat_kv).
    Source: article_cases S35, the table's PyTorch column.

    >>> repeated_kv_bytes(65536.0, 16.0, 128.0, 2.0)
    1073741824.0
    """
    return 2.0 * 2.0 * tokens * heads * head_dim * bytes_per_value
