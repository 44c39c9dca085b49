"""Layouts of one layer over many devices: what each of them sends, when it pays, and what a pipeline can and cannot do.

Conventions: M tokens of a pass, all sequences together (B L in Pope et al.); E the width of the residual stream; F the
inner width of the feed-forward block; s bytes of one value; beta the bandwidth of one device in one direction. Times
are those of the links of one layer alone. A factor (n - 1)/n is taken as one, as in the paper.
"""

from __future__ import annotations

import numpy as np

from perfmodel.formulas.types import Real


def weight_stationary_1d_time(tokens: Real, hidden: Real, value_bytes: Real, bytes_per_s: Real) -> Real:
    r"""Communication of a layer whose weights are cut along F: activations are gathered before and summed after it.

    $$ t_{1D} = \frac{2\,s\,M\,E}{\beta} $$

    Args:
        tokens: tokens of the pass, M [1]
        hidden: width of the residual stream, E [1]
        value_bytes: bytes of one activation, s [B]
        bytes_per_s: bandwidth of one device in one direction, beta [B/s]

    Returns:
        time of the links in one layer [s]

    Validity: an all-gather and a reduce-scatter, or one all-reduce; no start-up. More devices do not shorten it.
    Source: Pope et al. 2022, arXiv:2211.05102, section 3.2.1; article_cases S19.

    >>> round(weight_stationary_1d_time(512.0, 18432.0, 2.0, 270e9) * 1e6, 1)
    139.8
    """
    return 2.0 * value_bytes * tokens * hidden / bytes_per_s


def weight_stationary_2d_time(
    tokens: Real, hidden: Real, ffn: Real, devices: Real, value_bytes: Real, bytes_per_s: Real
) -> Real:
    r"""Communication of a layer whose weights are cut along E and along F, in the best proportion.

    $$ t_{2D} = \frac{4\,s\,M\,\sqrt{E\,F}}{\sqrt{n}\,\beta} $$

    Args:
        tokens: tokens of the pass, M [1]
        hidden: width of the residual stream, E [1]
        ffn: inner width of the feed-forward block, F [1]
        devices: devices of the layout, n [1]
        value_bytes: bytes of one activation, s [B]
        bytes_per_s: bandwidth of one device in one direction, beta [B/s]

    Returns:
        time of the links in one layer [s]

    Validity: n = X Y with X = sqrt(n E/F) along E, which minimises 2 s M (E/X + F/Y) over beta; with F = 4 E it is
    8 s M E over sqrt(n) beta.
    Source: Pope et al. 2022, arXiv:2211.05102, section 3.2.2; article_cases S19.

    >>> one = weight_stationary_1d_time(512.0, 18432.0, 2.0, 270e9)
    >>> weight_stationary_2d_time(512.0, 18432.0, 73728.0, 64.0, 2.0, 270e9) / one
    0.5
    """
    return 4.0 * value_bytes * tokens * (hidden * ffn) ** 0.5 / (devices**0.5 * bytes_per_s)


def weight_gathered_time(
    tokens: Real, hidden: Real, ffn: Real, devices: Real, gathered: Real, value_bytes: Real, bytes_per_s: Real
) -> Real:
    r"""Communication of a layer whose weights are gathered over N devices, each group of which keeps its own tokens.

    $$ t_{WG} = \frac{2\,s\,E}{\beta}\Bigl(\frac{F\,N}{n} + \frac{M}{N}\Bigr) $$

    Args:
        tokens: tokens of the pass, M [1]
        hidden: width of the residual stream, E [1]
        ffn: inner width of the feed-forward block, F [1]
        devices: devices of the layout, n [1]
        gathered: devices over which the weights are gathered, N [1]
        value_bytes: bytes of one weight and of one activation, s [B]
        bytes_per_s: bandwidth of one device in one direction, beta [B/s]

    Returns:
        time of the links in one layer [s]

    Validity: activations stay and weights move. On a torus X Y Z the forms X, XY and XYZ gather over X, X Y and all
    devices; over all of them the second term, here 2 s E M/n, vanishes with its (n - 1)/n. One device is the 1D layout
    and a gather of its share that is not needed.
    Source: Pope et al. 2022, arXiv:2211.05102, section 3.2.3 and appendix A; article_cases S19.

    >>> round(weight_gathered_time(2.0**20, 18432.0, 73728.0, 64.0, 64.0, 2.0, 270e9) * 1e3, 2)
    24.61
    """
    return 2.0 * value_bytes * hidden / bytes_per_s * (ffn * gathered / devices + tokens / gathered)


def best_gathered(tokens: Real, ffn: Real, devices: Real) -> Real:
    r"""Devices over which to gather the weights, so that weights and activations cost the same.

    $$ N^* = \sqrt{\frac{M\,n}{F}} $$

    Args:
        tokens: tokens of the pass, M [1]
        ffn: inner width of the feed-forward block, F [1]
        devices: devices of the layout, n [1]

    Returns:
        number of devices, between 1 and n where it can be had [1]

    Validity: F/n <= M <= n F; outside that range the best is 1 or n. A torus offers a few values only.
    Source: derivative of `weight_gathered_time`; Pope et al. 2022, appendix A.

    >>> best_gathered(18432.0, 73728.0, 64.0)
    4.0
    """
    return (tokens * devices / ffn) ** 0.5


def weight_gathered_best_time(
    tokens: Real, hidden: Real, ffn: Real, devices: Real, value_bytes: Real, bytes_per_s: Real
) -> Real:
    r"""Communication of a layer whose weights are gathered over the best number of devices.

    $$ t_{WG} = \frac{4\,s\,E\,\sqrt{M\,F}}{\sqrt{n}\,\beta} $$

    Args:
        tokens: tokens of the pass, M [1]
        hidden: width of the residual stream, E [1]
        ffn: inner width of the feed-forward block, F [1]
        devices: devices of the layout, n [1]
        value_bytes: bytes of one weight and of one activation, s [B]
        bytes_per_s: bandwidth of one device in one direction, beta [B/s]

    Returns:
        time of the links in one layer [s]

    Validity: `best_gathered` devices, F/n <= M <= n F.
    Source: Pope et al. 2022, arXiv:2211.05102, section 3.2.3; article_cases S19.

    >>> best = weight_gathered_best_time(18432.0, 18432.0, 73728.0, 64.0, 2.0, 270e9)
    >>> best == weight_gathered_time(18432.0, 18432.0, 73728.0, 64.0, 4.0, 2.0, 270e9)
    True
    """
    return 4.0 * value_bytes * hidden * (tokens * ffn) ** 0.5 / (devices**0.5 * bytes_per_s)


def devices_for_2d(hidden: Real, ffn: Real) -> Real:
    r"""Devices beyond which cutting weights along both widths sends less than along one.

    $$ n^* = \frac{4\,F}{E} $$

    Args:
        hidden: width of the residual stream, E [1]
        ffn: inner width of the feed-forward block, F [1]

    Returns:
        number of devices [1]

    Validity: volume only, the same link for both; 16 for the usual F = 4 E.
    Source: t_1D = t_2D; article_cases S19.

    >>> devices_for_2d(18432.0, 73728.0)
    16.0
    """
    return 4.0 * ffn / hidden


def tokens_for_gathered(hidden: Real) -> Real:
    r"""Tokens of a pass beyond which moving the weights sends less than moving the activations of the 2D layout.

    $$ M^* = E $$

    Args:
        hidden: width of the residual stream, E [1]

    Returns:
        tokens of the pass [1]

    Validity: volume only, n >= 4 E/F so that the best gather can be had; for the usual F = 4 E it is F/4.
    Source: t_2D = t_WG; article_cases S19.

    >>> tokens_for_gathered(18432.0)
    18432.0
    """
    return 1.0 * hidden


def tokens_for_gathered_over_1d(ffn: Real, devices: Real) -> Real:
    r"""Tokens of a pass beyond which moving the weights sends less than moving the activations of the 1D layout.

    $$ M^* = \frac{4\,F}{n} $$

    Args:
        ffn: inner width of the feed-forward block, F [1]
        devices: devices of the layout, n [1]

    Returns:
        tokens of the pass [1]

    Validity: volume only, the best gather.
    Source: t_1D = t_WG.

    >>> tokens_for_gathered_over_1d(73728.0, 64.0)
    4608.0
    """
    return 4.0 * ffn / devices


def head_sharded_kv_time(cache_bytes: Real, kv_heads: Real, devices: Real, bytes_per_s: Real) -> Real:
    r"""Time to read a KV cache that is cut along its heads: beyond one head each, the devices hold copies.

    $$ t = \frac{C}{\min(h, n)\,W} $$

    Args:
        cache_bytes: cache of the whole batch, C [B]
        kv_heads: key/value heads, h [1]
        devices: devices of the layout, n [1]
        bytes_per_s: memory bandwidth of one device, W [B/s]

    Returns:
        time of the fullest device [s]

    Validity: with multi-query attention, h = 1, every device reads the whole cache.
    Source: Pope et al. 2022, arXiv:2211.05102, section 3.3 and figure 4; article_cases S74.

    >>> float(head_sharded_kv_time(64e9, 1.0, 64.0, 1e12)), float(head_sharded_kv_time(64e9, 64.0, 64.0, 1e12))
    (0.064, 0.001)
    """
    return cache_bytes / (np.minimum(kv_heads, devices) * bytes_per_s)


def batch_sharded_kv_time(cache_bytes: Real, batch: Real, devices: Real, bytes_per_s: Real) -> Real:
    r"""Time to read a KV cache that is cut along its sequences: the device with the most of them sets it.

    $$ t = \Bigl\lceil\frac{B}{n}\Bigr\rceil\,\frac{C}{B\,W} $$

    Args:
        cache_bytes: cache of the whole batch, C [B]
        batch: sequences, B [1]
        devices: devices of the layout, n [1]
        bytes_per_s: memory bandwidth of one device, W [B/s]

    Returns:
        time of the fullest device [s]

    Validity: sequences of equal length; costs two all-to-alls of queries and outputs, not counted here.
    Source: Pope et al. 2022, arXiv:2211.05102, section 3.3 and figure 4; article_cases S74.

    >>> [float(batch_sharded_kv_time(64e9, batch, 64.0, 1e12)) for batch in (32.0, 64.0, 128.0)]
    [0.002, 0.001, 0.001]
    """
    return np.ceil(batch / devices) * cache_bytes / (batch * bytes_per_s)


def megatron_volume(tokens: Real, hidden: Real, value_bytes: Real, ranks: Real, reductions: Real) -> Real:
    r"""Bytes one device sends in a layer of a tensor-parallel group: an all-reduce after attention, one after the FFN.

    $$ V = r\,\frac{2(n-1)}{n}\,s\,M\,E $$

    Args:
        tokens: tokens of the pass, M [1]
        hidden: width of the residual stream, E [1]
        value_bytes: bytes of one activation, s [B]
        ranks: devices of the group, n [1]
        reductions: all-reduces of the layer, one for a parallel block, else two, r [1]

    Returns:
        volume of one device in one direction [B]

    Validity: forward pass, ring or tree without help of the switch; n >= 1.
    Source: Shoeybi et al. 2019 (Megatron-LM), arXiv:1909.08053, figure 4; article_cases S18.

    >>> megatron_volume(1.0, 8192.0, 2.0, 8.0, 2.0)
    57344.0
    """
    return reductions * 2.0 * (ranks - 1.0) / ranks * value_bytes * tokens * hidden


def pipeline_latency(whole_s: Real, stages: Real, handover_s: Real) -> Real:
    r"""Time of one token through a pipeline: all layers, and a hand-over between each two stages.

    $$ T = T_1 + (p - 1)\,h $$

    Args:
        whole_s: time of all layers on one stage's devices, T_1 [s]
        stages: pipeline stages, p [1]
        handover_s: time to send the activations on, h [s]

    Returns:
        time of one pass [s]

    Validity: one batch; stages of any size. More stages never shorten a token, they only share the memory.
    Source: definition; traps 9.

    >>> pipeline_latency(0.02, 4.0, 0.00001)
    0.02003
    """
    return whole_s + (stages - 1.0) * handover_s


def pipeline_idle_share(stages: Real, micro_batches: Real) -> Real:
    r"""Share of the time in which a stage of a pipeline waits.

    $$ b = \frac{p - 1}{m + p - 1} $$

    Args:
        stages: pipeline stages, p [1]
        micro_batches: micro-batches that follow each other, m [1]

    Returns:
        idle share of each stage [1]

    Validity: equal stages, filled and drained once; one micro-batch alone keeps one of p stages busy.
    Source: Huang et al. 2019 (GPipe), arXiv:1811.06965, section 2.3.

    >>> pipeline_idle_share(4.0, 1.0), pipeline_idle_share(4.0, 13.0)
    (0.75, 0.1875)
    """
    return (stages - 1.0) / (micro_batches + stages - 1.0)


def speedup(alone_s: Real, together_s: Real) -> Real:
    r"""How many times faster the devices are together than one alone.

    $$ S = T_1 / T_n $$

    Args:
        alone_s: time on one device, T_1 [s]
        together_s: time of the same work on all, T_n [s]

    Returns:
        speed-up [1]

    Validity: the same work (strong scaling); at most the number of devices.
    Source: definition.

    >>> speedup(0.016, 0.004)
    4.0
    """
    return alone_s / together_s


def parallel_efficiency(alone_s: Real, together_s: Real, devices: Real) -> Real:
    r"""Share of the devices' time that the speed-up pays back.

    $$ e = \frac{T_1}{n\,T_n} $$

    Args:
        alone_s: time on one device, T_1 [s]
        together_s: time of the same work on all, T_n [s]
        devices: devices, n [1]

    Returns:
        efficiency, at most one [1]

    Validity: the same work (strong scaling).
    Source: definition.

    >>> parallel_efficiency(0.016, 0.004, 8.0)
    0.5
    """
    return alone_s / (devices * together_s)
