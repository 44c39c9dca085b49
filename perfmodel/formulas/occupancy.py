"""Occupancy: what is lost when the work does not fill all multiprocessors."""

from __future__ import annotations

import numpy as np

from perfmodel.formulas.types import Real


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
        share: load under balanced routing [any]
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
