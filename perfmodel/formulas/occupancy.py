"""Occupancy: what is lost when the work does not fill all multiprocessors."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from perfmodel.formulas.types import Real

_normal_quantile = np.vectorize(NormalDist().inv_cdf, otypes=[float])


def wave_utilisation(blocks: Real, sms: Real) -> Real:
    r"""Share of the multiprocessors that do useful work, averaged over the waves of a kernel.

    $$ u = \frac{g}{\lceil g/s \rceil\, s} $$

    Args:
        blocks: independent thread blocks, g [1]
        sms: multiprocessors of the chip, s [1]

    Returns:
        utilisation between 0 and 1 [1]

    Validity: equal blocks, one per multiprocessor at a time.
    Source: article_cases S35 (16 blocks on the 108 SMs of an A100: 15 %).

    >>> round(float(wave_utilisation(16.0, 108.0)), 3), round(float(wave_utilisation(1024.0, 108.0)), 3)
    (0.148, 0.948)
    """
    return blocks / (np.ceil(blocks / sms) * sms)


def streaming_time(blocks: Real, block_bytes: Real, sms: Real, bytes_per_s: Real) -> Real:
    r"""Time when every block streams its own bytes and a multiprocessor gets its fair share of the bandwidth.

    $$ t = \frac{g\,b}{u\,W} = \Bigl\lceil \frac{g}{s} \Bigr\rceil \frac{b\,s}{W} $$

    Args:
        blocks: independent thread blocks, g [1]
        block_bytes: bytes each block reads, b [B]
        sms: multiprocessors, s [1]
        bytes_per_s: memory bandwidth, W [B/s]

    Returns:
        time [s]

    Validity: FlashAttention-2 in decode: one block per sequence and query head, each reading its whole K and V.
    Source: article_cases S35: A100, 16 query heads x 128, 65,536 tokens, batch 1: 2301 us measured.

    >>> round(float(streaming_time(16.0, 65536 * 512.0, 108.0, 1555e9)) * 1e6)
    2330
    """
    return np.ceil(blocks / sms) * block_bytes * sms / bytes_per_s


def imbalanced_share(share: Real, skew: Real, most: Real) -> Real:
    r"""Load of the busiest of several devices when routing is skewed.

    $$ l = \bar l\,\min(k, n) $$

    Args:
        share: load under balanced routing, l [any]
        skew: load of the busiest device over the mean, k >= 1 [1]
        most: devices that share the load, n [1]

    Returns:
        load of the busiest device, in the unit of `share` [any]

    Validity: all of the work on one device at worst.
    Source: article_cases S69.

    >>> float(imbalanced_share(10.0, 3.0, 8.0)), float(imbalanced_share(10.0, 30.0, 8.0))
    (30.0, 80.0)
    """
    return share * np.minimum(skew, most)


def ramped_rate(rate: Real, tokens: Real, ramp_tokens: Real) -> Real:
    r"""Rate of attention over short query sequences: tiles on the diagonal and the pipeline's start cost more.

    $$ R(q) = R_\infty\,\frac{q}{q + q_0} $$

    Args:
        rate: rate on long sequences, R_inf [FLOP/s]
        tokens: query tokens of one sequence, q [1]
        ramp_tokens: length at which half of it is reached, q_0 [1]

    Returns:
        rate on sequences of this length [FLOP/s]

    Validity: causal FlashAttention prefill; q_0 is about 600 on Ampere, 1100 on Hopper, 2000 on Blackwell.
    Source: fitted on 618 published prefill kernels (benchmarks/fit_kernels.py).

    >>> ramped_rate(600e12, 1000.0, 1000.0) / 1e12
    300.0
    """
    return rate * tokens / (tokens + ramp_tokens)


def cached_bandwidth(bytes_per_s: Real, moved_bytes: Real, cache_bytes: Real, gain: Real) -> Real:
    r"""Bandwidth of a kernel that is replayed on the same data: what stays in the L2 cache comes faster.

    $$ W' = W\,\bigl(1 + (g-1)\,h\bigr),\quad h = \operatorname{clip}(1.5 - m/C,\ 0,\ 1) $$

    Args:
        bytes_per_s: memory bandwidth, W [B/s]
        moved_bytes: working set of the kernel, m [B]
        cache_bytes: capacity of the L2 cache, C [B]
        gain: bandwidth of the cache over that of memory, g [1]

    Returns:
        effective bandwidth [B/s]

    Validity: benchmarks that repeat one call; in a model the weights of the other layers evict the cache.
    Source: fitted on published decode kernels (benchmarks/fit_kernels.py).

    >>> float(cached_bandwidth(1e12, 1e6, 50e6, 2.0)), float(cached_bandwidth(1e12, 1e9, 50e6, 2.0))
    (2000000000000.0, 1000000000000.0)
    """
    hit = np.minimum(np.maximum(1.5 - moved_bytes / cache_bytes, 0.0), 1.0)
    return bytes_per_s * (1.0 + (gain - 1.0) * hit)


def expected_maximum(mean: Real, variance: Real, count: int) -> Real:
    r"""Expected largest of several equally distributed loads, by the normal approximation.

    $$ l = \mu + \sigma\,\Phi^{-1}\!\bigl(0.5264^{1/n}\bigr) $$

    Args:
        mean: mean load, mu [any]
        variance: variance of one load, sigma squared [any]
        count: loads, n [1]

    Returns:
        load of the busiest, l, in the unit of `mean` [any]

    Validity: independent loads; within about 8 % of simulated expert-parallel routing from batch 1 to 64.
    Source: Blom's plotting position of the largest order statistic; article_cases S69.

    >>> round(float(expected_maximum(1.0, 31 / 32, 8)), 2), float(expected_maximum(5.0, 3.0, 1))
    (2.4, 5.0)
    """
    quantile = np.where(np.asarray(count) > 1, _normal_quantile(0.5264 ** (1.0 / np.asarray(count))), 0.0)
    return mean + np.sqrt(variance) * quantile
