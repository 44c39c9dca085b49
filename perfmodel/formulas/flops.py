"""FLOPs: one multiply or one add each. Scalars and arrays alike; arrays broadcast."""

from __future__ import annotations

import numpy as np

from perfmodel.formulas.types import Real


def matmul_flops(m: Real, k: Real, n: Real) -> Real:
    r"""FLOPs of a dense matrix product of an m x k by a k x n matrix.

    $$ F = 2\,m\,k\,n $$

    Args:
        m: rows of the left matrix: tokens [1]
        k: inner dimension: features in [1]
        n: columns of the right matrix: features out [1]

    Returns:
        one multiply and one add per inner element [FLOP]

    Validity: dense, any precision; bias and activation are not counted.
    Source: definition; article_cases S52 (a 1024^3 product is 2.147 GFLOP, not 1).

    >>> matmul_flops(1024.0, 1024.0, 1024.0)
    2147483648.0
    """
    return 2.0 * m * k * n


def causal_pairs(new: Real, past: Real) -> Real:
    r"""Query-key pairs of a causal pass over `new` tokens behind `past` cached ones.

    $$ N = \sum_{i=1}^{n} (p+i) = n\,p + \frac{n\,(n+1)}{2} $$

    Args:
        new: tokens computed in this pass, n [1]
        past: tokens already in the cache, p [1]

    Returns:
        pairs of one sequence and one head [1]

    Validity: causal attention; exact for prefill (past = 0), decode (new = 1) and every chunk between.
    Source: identity; prefill(n) is the sum of decode(t) for t < n.

    >>> causal_pairs(4.0, 0.0), sum(causal_pairs(1.0, float(t)) for t in range(4))
    (10.0, 10.0)
    """
    return new * past + new * (new + 1.0) / 2.0


def windowed_pairs(new: Real, past: Real, window: Real) -> Real:
    r"""Query-key pairs when each query sees at most the last `window` tokens, itself included.

    $$ N = \sum_{i=1}^{n} \min(p+i,\,w) $$

    Args:
        new: tokens computed in this pass, n [1]
        past: tokens already seen, p [1]
        window: width of the window, w [1]

    Returns:
        pairs of one sequence and one head [1]

    Validity: causal sliding-window attention; equals `causal_pairs` while past + new <= window.
    Source: identity (closed form of the sum).

    >>> float(windowed_pairs(4.0, 0.0, 3.0)), float(windowed_pairs(1.0, 9000.0, 4096.0))
    (9.0, 4096.0)
    """
    growing = np.minimum(np.maximum(window - past, 0.0), new)
    return growing * past + growing * (growing + 1.0) / 2.0 + (new - growing) * window


def attention_flops(pairs: Real, heads: Real, head_dim: Real) -> Real:
    r"""FLOPs of scores and values: softmax(QK^T)V without the projections.

    $$ F = 4\,N\,h\,d_h $$

    Args:
        pairs: query-key pairs per head, summed over sequences, N [1]
        heads: query heads, h [1]
        head_dim: size of one head, d_h [1]

    Returns:
        two matrix products (scores and weighted values) per pair and head [FLOP]

    Validity: any attention with equal key and value size; the softmax itself is not counted.
    Source: article_cases S38 and E9; independent of kv_heads.

    >>> attention_flops(2048.0, 32.0, 128.0)
    33554432.0
    """
    return 4.0 * pairs * heads * head_dim


def experts_touched(experts: Real, top_k: Real, tokens: Real) -> Real:
    r"""Expected number of distinct experts that a pass over `tokens` tokens reads.

    $$ E_{\text{touched}} = E\,\bigl(1-(1-k/E)^{T}\bigr) $$

    Args:
        experts: routed experts in the layer, E [1]
        top_k: experts per token, k [1]
        tokens: tokens in the pass, T [1]

    Returns:
        experts whose weights are read at least once [1]

    Validity: balanced routing, tokens independent of each other; skewed routing touches fewer.
    Source: article_cases S69 (Mixtral: 2, 5.47, 7.20, 7.92 at batch 1, 4, 8, 16).

    >>> [round(float(experts_touched(8.0, 2.0, t)), 2) for t in (1.0, 4.0, 8.0, 16.0)]
    [2.0, 5.47, 7.2, 7.92]
    """
    return experts * (1.0 - (1.0 - top_k / experts) ** tokens)


def decoder_layer_flops(hidden: Real, tokens: Real) -> Real:
    r"""FLOPs of the linear layers of one classic decoder layer (MHA, plain FFN of width 4d).

    $$ F = (6 + 2 + 16)\,d^2\,T = 24\,d^2\,T $$

    Args:
        hidden: width of the residual stream, d [1]
        tokens: tokens in the pass, T [1]

    Returns:
        QKV 6d^2, output projection 2d^2, feed-forward 16d^2, per token [FLOP]

    Validity: kv_heads = heads, ffn = 4d, two FFN matrices; scores and values are not included.
    Source: article_cases S36.

    >>> decoder_layer_flops(4096.0, 1.0)
    402653184.0
    """
    return 24.0 * hidden * hidden * tokens


def generation_flops(layers: Real, hidden: Real, tokens: Real, cached: bool = True) -> Real:
    r"""FLOPs to generate `tokens` tokens one by one, with or without a KV cache.

    $$ F_{\text{cached}} = 24Ld^2T + 2LdT(T+1),\quad F_{\text{uncached}} = 12Ld^2T(T+1) + \tfrac{2}{3}LdT(T+1)(T+2) $$

    Args:
        layers: decoder layers, L [1]
        hidden: width of the residual stream, d [1]
        tokens: generated tokens, T [1]
        cached: keep keys and values of earlier tokens, or recompute the whole prefix each step [yes/no]

    Returns:
        linear layers plus causal scores and values [FLOP]

    Validity: classic decoder layer (24 d^2 per token), causal attention, no LM head.
    Source: article_cases S39; the ratio tends to T/2 (1024x at 2048 tokens) when linears dominate.

    >>> round(generation_flops(32.0, 1e6, 2048.0, False) / generation_flops(32.0, 1e6, 2048.0))
    1024
    """
    linear, pair = 24.0 * layers * hidden * hidden, 4.0 * layers * hidden
    triangle = tokens * (tokens + 1.0) / 2.0
    if cached:
        return linear * tokens + pair * triangle
    return linear * triangle + pair * triangle * (tokens + 2.0) / 3.0
