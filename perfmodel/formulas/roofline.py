"""Roofline, batching and cost: what a chip makes of FLOPs and bytes."""

from __future__ import annotations

import numpy as np

from perfmodel.formulas.types import Real


def arithmetic_intensity(flops: Real, moved_bytes: Real) -> Real:
    r"""FLOPs done per byte moved.

    $$ A = p / b $$

    Args:
        flops: work, p [FLOP]
        moved_bytes: traffic to and from main memory, b [B]

    Returns:
        arithmetic intensity [FLOP/B]

    Validity: moved_bytes > 0.
    Source: article_cases S25.

    >>> arithmetic_intensity(2.0, 2.0)
    1.0
    """
    return flops / moved_bytes


def ridge_intensity(peak_flops: Real, bytes_per_s: Real) -> Real:
    r"""Arithmetic intensity at which the chip turns from memory- to compute-bound.

    $$ A^* = F / W $$

    Args:
        peak_flops: dense peak of the data type, F [FLOP/s]
        bytes_per_s: memory bandwidth, W [B/s]

    Returns:
        ridge point [FLOP/B]

    Validity: dense peak, decimal bandwidth.
    Source: article_cases S26 (A10: 125e12 / 0.6e12 = 208.3).

    >>> round(ridge_intensity(125e12, 600e9), 1)
    208.3
    """
    return peak_flops / bytes_per_s


def attainable_flops(intensity: Real, peak_flops: Real, bytes_per_s: Real) -> Real:
    r"""Roofline: the rate a kernel of this intensity can reach.

    $$ R = \min(F,\;A\,W) $$

    Args:
        intensity: arithmetic intensity, A [FLOP/B]
        peak_flops: (achieved) peak, F [FLOP/s]
        bytes_per_s: (achieved) bandwidth, W [B/s]

    Returns:
        attainable rate [FLOP/s]

    Validity: perfect overlap of compute and memory. With achieved peaks it is the sub-optimal roofline.
    Source: article_cases S29, S34 (A10: A = 50 gives 30 TFLOP/s).

    >>> float(attainable_flops(50.0, 125e12, 600e9))
    30000000000000.0
    """
    return np.minimum(peak_flops, intensity * bytes_per_s)


def compute_time(flops: Real, peak_flops: Real) -> Real:
    r"""Time the arithmetic units need.

    $$ t_{\text{math}} = p / F $$

    Args:
        flops: work, p [FLOP]
        peak_flops: (achieved) rate of the data type, F [FLOP/s]

    Returns:
        time [s]

    Validity: dense rate for the type the chip really runs.
    Source: article_cases S1.

    >>> compute_time(312e12, 312e12)
    1.0
    """
    return flops / peak_flops


def memory_time(moved_bytes: Real, bytes_per_s: Real) -> Real:
    r"""Time main memory needs.

    $$ t_{\text{mem}} = b / W $$

    Args:
        moved_bytes: traffic, b [B]
        bytes_per_s: (achieved) bandwidth, W [B/s]

    Returns:
        time [s]

    Validity: large transfers; fixed costs are counted as overhead.
    Source: article_cases S2, S10 (Llama-2-7B on A10: 13.48 GB / 600 GB/s = 22.5 ms).

    >>> round(memory_time(13.48e9, 600e9), 4)
    0.0225
    """
    return moved_bytes / bytes_per_s


def critical_batch(bytes_per_weight: Real, peak_flops: Real, bytes_per_s: Real) -> Real:
    r"""Batch (tokens per pass) at which reading the weights and computing with them take equally long.

    $$ B^* = \frac{s}{2}\,\frac{F}{W} $$

    Args:
        bytes_per_weight: bytes of one weight, s [B]
        peak_flops: dense peak, F [FLOP/s]
        bytes_per_s: memory bandwidth, W [B/s]

    Returns:
        tokens per pass [1]

    Validity: linear layers only; KV reads grow with the batch and can keep decode memory-bound for ever.
    Source: article_cases S62, S63 (T4 fp16: 216.7; fp32: 54).

    >>> round(critical_batch(2.0, 65e12, 300e9), 1), round(critical_batch(4.0, 8.1e12, 300e9))
    (216.7, 54)
    """
    return bytes_per_weight / 2.0 * peak_flops / bytes_per_s


def batch_latency(batch: Real, params: Real, bytes_per_weight: Real, peak_flops: Real, bytes_per_s: Real) -> Real:
    r"""Latency of one pass through the weights: flat up to the critical batch, then linear.

    $$ T(B) = \max\!\left(\frac{2PB}{F},\;\frac{P\,s}{W}\right) $$

    Args:
        batch: tokens per pass, B [1]
        params: parameters that take part, P [1]
        bytes_per_weight: bytes of one weight, s [B]
        peak_flops: dense peak, F [FLOP/s]
        bytes_per_s: memory bandwidth, W [B/s]

    Returns:
        time of one pass [s]

    Validity: weights only, perfect overlap, no overhead.
    Source: article_cases S31; throughput is B / T(B).

    >>> round(float(batch_latency(1.0, 6.74e9, 2.0, 125e12, 600e9)), 4)
    0.0225
    """
    return np.maximum(2.0 * params * batch / peak_flops, params * bytes_per_weight / bytes_per_s)


def intensity_speedup(before: Real, after: Real, peak_flops: Real, bytes_per_s: Real) -> Real:
    r"""Gain in attainable rate when arithmetic intensity rises from `before` to `after`.

    $$ S = \frac{\min(F, A_2 W)}{\min(F, A_1 W)} $$

    Args:
        before: intensity A_1 [FLOP/B]
        after: intensity A_2 [FLOP/B]
        peak_flops: peak, F [FLOP/s]
        bytes_per_s: bandwidth, W [B/s]

    Returns:
        ratio of attainable rates [1]

    Validity: the three cases: both below the ridge A2/A1, crossing F/(A1 W), both above 1.
    Source: article_cases S30 (A10: 2x, 2.083x, 1x).

    >>> [round(float(intensity_speedup(a, b, 125e12, 600e9)), 3) for a, b in ((50, 100), (100, 300), (300, 600))]
    [2.0, 2.083, 1.0]
    """
    return attainable_flops(after, peak_flops, bytes_per_s) / attainable_flops(before, peak_flops, bytes_per_s)


def amdahl_time(total_s: Real, part_s: Real, speedup: Real) -> Real:
    r"""Time left when one part of the work becomes faster.

    $$ T' = T - t_k\,(1 - 1/s) $$

    Args:
        total_s: time before, T [s]
        part_s: time of the part, t_k [s]
        speedup: how many times faster the part becomes, s [1]

    Returns:
        time after [s]

    Validity: parts one after another; an infinite speed-up removes the part.
    Source: article_cases S6, S7 (10 % of the time made 2x faster gives 1.053x).

    >>> round(1.0 / amdahl_time(1.0, 0.1, 2.0), 3)
    1.053
    """
    return total_s - part_s * (1.0 - 1.0 / speedup)


def chip_seconds(devices: Real, latency_s: Real, batch: Real) -> Real:
    r"""Accelerator time one request costs.

    $$ c = n\,T / B $$

    Args:
        devices: accelerators, n [1]
        latency_s: time of the whole batch, T [s]
        batch: requests served together, B [1]

    Returns:
        chip-seconds per request [s]

    Validity: devices busy for the whole time.
    Source: article_cases S33: ~1/B while memory-bound, constant at and beyond the ridge.

    >>> chip_seconds(8.0, 2.0, 16.0)
    1.0
    """
    return devices * latency_s / batch


def request_cost(chip_s: Real, usd_per_hour: Real) -> Real:
    r"""Money for the accelerator time of one request.

    $$ C = c \cdot p / 3600 $$

    Args:
        chip_s: accelerator time, c [s]
        usd_per_hour: price of one accelerator, p [USD/h]

    Returns:
        cost [USD]

    Validity: rented by the hour and fully used.
    Source: article_cases S33.

    >>> round(request_cost(3600.0, 3.99), 2)
    3.99
    """
    return chip_s * usd_per_hour / 3600.0
