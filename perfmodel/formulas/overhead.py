"""Overhead: what the host, the launch of a kernel and an unfused operation cost, and what removes it."""

from __future__ import annotations

import numpy as np

from perfmodel.formulas.types import Real


def queue_time(launches: Real, host_s: Real, device_s: Real) -> Real:
    r"""Time of a queue of kernels that the host launches ahead of the device.

    $$ T = \max(N\,c,\; t) $$

    Args:
        launches: kernels launched, N [1]
        host_s: host time of one launch, c [s]
        device_s: time of all kernels on the device, t [s]

    Returns:
        time until the last kernel ends [s]

    Validity: asynchronous launches, no synchronisation on the way; the first launch and the last kernel are small.
    Source: article_cases S5, S20 (c is what a leaner host language lowers).

    >>> float(queue_time(1000.0, 7e-6, 2e-3)), float(queue_time(1000.0, 7e-6, 9e-3))
    (0.007, 0.009)
    """
    return np.maximum(launches * host_s, device_s)


def idle_share(total_s: Real, device_s: Real) -> Real:
    r"""Share of the time in which the device has nothing to do.

    $$ u = 1 - t / T $$

    Args:
        total_s: time of the pass, T [s]
        device_s: time of all kernels on the device, t [s]

    Returns:
        share between 0 and 1 [1]

    Validity: total_s >= device_s.
    Source: article_cases S5.

    >>> round(idle_share(7e-3, 2e-3), 3)
    0.714
    """
    return 1.0 - device_s / total_s


def missed_flops(peak_flops: Real, host_ops_per_s: Real) -> Real:
    r"""FLOPs the device could have done while the host handled one operation.

    $$ p = F / r $$

    Args:
        peak_flops: dense peak of the device, F [FLOP/s]
        host_ops_per_s: operations the host handles per second, r [1/s]

    Returns:
        work that fits into one host operation [FLOP]

    Validity: device at peak.
    Source: article_cases S5 (32 million Python additions/s against 312 TFLOP/s: 9.75 million).

    >>> missed_flops(312e12, 32e6)
    9750000.0
    """
    return peak_flops / host_ops_per_s


def elasticity(time_before_s: Real, time_after_s: Real, factor: Real) -> Real:
    r"""How much of a change of the work arrives in the time: the test that reveals overhead.

    $$ e = \frac{\ln(T_2/T_1)}{\ln f} $$

    Args:
        time_before_s: time before, T_1 [s]
        time_after_s: time with the work changed, T_2 [s]
        factor: by what the work changed, f [1]

    Returns:
        about 0 if overhead-bound, 1 if hardware-bound [1]

    Validity: factor not 1. Doubling the capability of the hardware instead is factor 1/2 (less work per capability).
    Source: article_cases S8 (He: double the batch; +10 % time is overhead), E2.

    >>> round(float(elasticity(1.0, 1.1, 2.0)), 2), float(elasticity(1.0, 2.0, 2.0))
    (0.14, 1.0)
    """
    return np.log(time_after_s / time_before_s) / np.log(factor)


def fusion_speedup(operations: Real, tensors: Real = 1.0) -> Real:
    r"""Gain from one kernel for a chain of N memory-bound pointwise operations.

    $$ S = \frac{2N + (n-1)}{2 + (n-1)} $$

    Args:
        operations: pointwise operations in the chain, N [1]
        tensors: tensors read from outside the chain, all but the first once either way, n [1]

    Returns:
        memory accesses before over after [1]

    Validity: every operation memory-bound; beyond some dozens of operations the arithmetic takes over.
    Source: article_cases S16 (x.cos().cos(): 4 accesses become 2).

    >>> fusion_speedup(2.0), fusion_speedup(2.0, 2.0)
    (2.0, 1.6666666666666667)
    """
    return (2.0 * operations + tensors - 1.0) / (1.0 + tensors)


def pointwise_rate(repeats: Real, bytes_per_value: Real, vector_flops: Real, bytes_per_s: Real) -> Real:
    r"""Rate of a fused kernel that applies one operation `repeats` times to each value.

    $$ R = \min\!\left(F,\; \frac{r\,W}{2\,b}\right) $$

    Args:
        repeats: operations per value, r [1]
        bytes_per_value: bytes of one value, b [B]
        vector_flops: rate of the vector lanes, half the peak for operations other than FMA, F [FLOP/s]
        bytes_per_s: memory bandwidth, W [B/s]

    Returns:
        arithmetic rate [FLOP/s]

    Validity: one read and one write per value, large tensors. The time is flat up to r = 2 b F / W, then linear.
    Source: article_cases S16 (He, A100 40 GB, fp32: 0.2 TFLOP/s at one multiply, 9.75 TFLOP/s beyond 64).

    >>> [round(float(pointwise_rate(r, 4.0, 9.75e12, 1555e9)) / 1e12, 2) for r in (1.0, 32.0, 64.0)]
    [0.19, 6.22, 9.75]
    """
    return np.minimum(vector_flops, repeats * bytes_per_s / (2.0 * bytes_per_value))


def graph_speedup(launches: Real, host_s: Real, graph_s: Real, device_s: Real) -> Real:
    r"""Gain from recording all launches once and replaying them as one graph.

    $$ S = \frac{\max(N c,\, t)}{\max(c_g,\, t)} $$

    Args:
        launches: kernels launched one by one, N [1]
        host_s: host time of one launch, c [s]
        graph_s: host time of the whole graph, c_g [s]
        device_s: time of all kernels on the device, t [s]

    Returns:
        time before over after [1]

    Validity: launch-bound only; from t = N c on there is nothing to gain.
    Source: article_cases S21.

    >>> float(graph_speedup(300.0, 7e-6, 1e-5, 1.05e-3)), float(graph_speedup(300.0, 7e-6, 1e-5, 2.1e-3))
    (2.0, 1.0)
    """
    return queue_time(launches, host_s, device_s) / np.maximum(graph_s, device_s)


def jit_cost(compile_s: Real, shapes: Real) -> Real:
    r"""Time spent compiling when every distinct shape is compiled once.

    $$ C = t_c\,n $$

    Args:
        compile_s: time to compile one shape, t_c [s]
        shapes: distinct shapes that occur, n [1]

    Returns:
        time [s]

    Validity: specialised to shapes; dynamic-shape code compiles about once, n = 1.
    Source: article_cases S23.

    >>> jit_cost(20.0, 6.0)
    120.0
    """
    return compile_s * shapes


def jit_break_even(compile_s: Real, shapes: Real, before_s: Real, after_s: Real) -> Real:
    r"""Runs after which compiling has paid for itself.

    $$ m = \frac{t_c\,n}{T_1 - T_2} $$

    Args:
        compile_s: time to compile one shape, t_c [s]
        shapes: distinct shapes that occur, n [1]
        before_s: time of one run before, T_1 [s]
        after_s: time of one run after, T_2 [s]

    Returns:
        runs, all shapes together; infinite where compiling does not speed up [1]

    Validity: as `jit_cost`.
    Source: article_cases S23.

    >>> round(float(jit_break_even(20.0, 6.0, 0.010, 0.004))), float(jit_break_even(20.0, 1.0, 1.0, 1.0))
    (20000, inf)
    """
    saved = np.maximum(before_s - after_s, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(jit_cost(compile_s, shapes) / np.float64(saved))[()]


def floor_time(flops: Real, s_per_flop: Real, floor_s: Real) -> Real:
    r"""Time of a kernel that cannot be faster than a floor.

    $$ t = \max(t_0,\; a\,F) $$

    Args:
        flops: work, F [FLOP]
        s_per_flop: time per FLOP once large, a [s/FLOP]
        floor_s: time of the smallest kernel, t_0 [s]

    Returns:
        time [s]

    Validity: one kernel; launch, tail and latency are all in the floor.
    Source: article_cases S49: linear layers with FLOPs 4 : 1 : 1 : 4 take 2 : 1 : 1 : 1.5 of the time.

    >>> [float(floor_time(f, 0.4375, 1.0)) for f in (4.0, 1.0, 1.0, 4.0)]
    [1.75, 1.0, 1.0, 1.75]
    """
    return np.maximum(floor_s, s_per_flop * flops)


def width_time(width: Real, floor_s: Real, quadratic_s: Real, reference: Real, sharpness: Real) -> Real:
    r"""Time of a generation over the width of the model: a floor that turns smoothly into a parabola.

    $$ T = \bigl(t_0^{\,p} + (t_2\,(d/d_0)^2)^{p}\bigr)^{1/p} $$

    Args:
        width: width of the residual stream, d [1]
        floor_s: time of a narrow model, t_0 [s]
        quadratic_s: time of the work alone at the reference width, t_2 [s]
        reference: reference width, d_0 [1]
        sharpness: sharpness of the bend, infinite for the plain maximum, p [1]

    Returns:
        time [s]

    Validity: a fit; depth and tokens fixed.
    Source: article_cases S51, E19 (T4: 1.10, 1.11, 1.15, 1.41, 1.82 s; neither linear nor d^2).

    >>> [round(width_time(d, 1.10, 1.37, 4096.0, 1.8), 3) for d in (1024.0, 1536.0, 2048.0, 3072.0, 4096.0)]
    [1.106, 1.126, 1.173, 1.392, 1.824]
    """
    return (floor_s**sharpness + (quadratic_s * (width / reference) ** 2) ** sharpness) ** (1.0 / sharpness)


def knee_batch(flat_s: Real, per_item_s: Real) -> Real:
    r"""Batch up to which the latency stays flat.

    $$ B_k = t_0 / t_1 $$

    Args:
        flat_s: latency of one input: weights read, kernels launched, t_0 [s]
        per_item_s: time of each further input in a large batch, t_1 [s]

    Returns:
        batch at which the line of large batches reaches the flat part [1]

    Validity: latency flat, then linear; about 1 where it is linear from the start.
    Source: article_cases S59, S64, S65.

    >>> round(knee_batch(9e-3, 3e-3), 6)
    3.0
    """
    return flat_s / per_item_s


def worthwhile_flops(floor_s: Real, host_flops: Real) -> Real:
    r"""Work below which a processor is done before an accelerator has launched its kernels.

    $$ F^* = t_0\,F_{\text{cpu}} $$

    Args:
        floor_s: time the accelerator needs for any work, however small, t_0 [s]
        host_flops: rate of the processor, F_cpu [FLOP/s]

    Returns:
        work of one call [FLOP]

    Validity: processor at its rate (weights in cache); transfer to the accelerator would raise the line.
    Source: article_cases S66.

    >>> round(worthwhile_flops(112e-6, 70.4e9))
    7884800
    """
    return floor_s * host_flops


def reserved_bytes(allocated_bytes: Real, segment_bytes: Real = 2.0**21) -> Real:
    r"""Memory a caching allocator holds for small tensors: whole segments.

    $$ R = \left\lceil \frac{a}{s} \right\rceil s $$

    Args:
        allocated_bytes: bytes in small tensors, a [B]
        segment_bytes: bytes the allocator asks the device for at a time, s [B]

    Returns:
        reserved bytes, never less than allocated [B]

    Validity: tensors of at most 1 MiB in segments of 2 MiB (PyTorch); larger ones have segments of their own.
    Source: article_cases S56, E20: a step of 2,097,152 B where 20 tokens need 655,360 B, 3.2 times as much.

    >>> [float(reserved_bytes(655360.0 * steps)) for steps in (1, 3, 4)], 2.0**21 / 655360.0
    ([2097152.0, 2097152.0, 4194304.0], 3.2)
    """
    return np.ceil(allocated_bytes / segment_bytes) * segment_bytes
