"""From needs to times, from times to a request: what the parts of an estimate add up to."""

from __future__ import annotations

import numpy as np

from perfmodel.formulas.types import Real
from perfmodel.units import MEGA


def overlapped_time(first_s: Real, second_s: Real, overlap: Real) -> Real:
    r"""Time of two needs of one operator when a share of the shorter one hides behind the longer.

    $$ t = \max(a, b) + (1-\omega)\,\min(a, b) $$

    Args:
        first_s: time of one resource on its own, a [s]
        second_s: time of the other on its own, b [s]
        overlap: share of the shorter that is hidden, omega [1]

    Returns:
        time of both [s]

    Validity: overlap 1 is the roofline, 0 one after the other; what is hidden does not depend on the sizes.
    Source: article_cases S4.

    >>> [float(overlapped_time(3.0, 1.0, share)) for share in (1.0, 0.5, 0.0)]
    [3.0, 3.5, 4.0]
    """
    return np.maximum(first_s, second_s) + (1.0 - overlap) * np.minimum(first_s, second_s)


def operator_time(
    compute_s: Real, memory_s: Real, network_s: Real, fixed_s: Real, overlap: Real, network_overlap: Real
) -> Real:
    r"""Time of one operator on the device: compute and memory overlap, the network overlaps with both, fixed costs add.

    $$ t = o\bigl(o(c, m, \omega), n, \omega_n\bigr) + f,\quad o(a, b, \omega) = \max(a,b) + (1-\omega)\min(a,b) $$

    Args:
        compute_s: time of the arithmetic units, c [s]
        memory_s: time of main memory, m [s]
        network_s: time of the links, n [s]
        fixed_s: fixed time of the kernels, f [s]
        overlap: share of the shorter of compute and memory that is hidden, omega [1]
        network_overlap: share of the shorter of network and the rest that is hidden, omega_n [1]

    Returns:
        time of all occurrences in one pass [s]

    Validity: one stream; waiting for the host is counted by `host_wait`.
    Source: article_cases S3-S5.

    >>> float(operator_time(3.0, 1.0, 2.0, 0.5, 1.0, 0.0)), float(operator_time(3.0, 1.0, 2.0, 0.5, 0.0, 1.0))
    (5.5, 4.5)
    """
    return overlapped_time(overlapped_time(compute_s, memory_s, overlap), network_s, network_overlap) + fixed_s


def host_wait(own_host_s: Real, host_s: Real, device_s: Real) -> Real:
    r"""Share of one operator in the time for which the device waits for the host.

    $$ w = \max(H - D, 0)\,\frac{h}{H} $$

    Args:
        own_host_s: host time to launch this operator, h [s]
        host_s: host time of the whole pass, H [s]
        device_s: device time of the whole pass, D [s]

    Returns:
        waiting charged to the operator [s]

    Validity: the host queues kernels ahead, so only what exceeds the device time of the pass is waited for.
    Source: article_cases S5; the charge in proportion to the host time is a convention.

    >>> float(host_wait(1.0, 4.0, 3.0)), float(host_wait(1.0, 4.0, 5.0))
    (0.25, 0.0)
    """
    return np.maximum(host_s - device_s, 0.0) * own_host_s / host_s


def pass_time(device_s: Real, host_s: Real) -> Real:
    r"""Time of a pass: the device works through the kernels while the host launches them.

    $$ T = \max(D, H) $$

    Args:
        device_s: device time of all operators, D [s]
        host_s: host time of all launches, H [s]

    Returns:
        time of the pass [s]

    Validity: one stream, launches queued ahead.
    Source: article_cases S5.

    >>> float(pass_time(3.0, 4.0))
    4.0
    """
    return np.maximum(device_s, host_s)


def simpson_mean(first: Real, middle: Real, last: Real) -> Real:
    r"""Mean of a quantity over an interval from its two ends and its middle: Simpson's rule.

    $$ \bar t = \frac{a + 4\,m + b}{6} $$

    Args:
        first: value at the start, a [s]
        middle: value in the middle, m [s]
        last: value at the end, b [s]

    Returns:
        mean over the interval [s]

    Validity: exact for cubics and below; a kink (a window that fills up, a change of bound) costs a little.
    Source: Simpson's rule.

    >>> simpson_mean(0.0, 0.25, 1.0) == 1.0 / 3.0
    True
    """
    return (first + 4.0 * middle + last) / 6.0


def decode_context(prefix: Real, input: Real, output: Real) -> Real:
    r"""Context at which the decode step is shown: half of the answer is written.

    $$ t = p + n + T/2 $$

    Args:
        prefix: tokens cached before, p [1]
        input: prompt tokens, n [1]
        output: generated tokens, T [1]

    Returns:
        cached tokens of each sequence [1]

    Validity: a convention; exact for means of quantities linear in the context.
    Source: definition.

    >>> decode_context(0.0, 2048.0, 256.0)
    2176.0
    """
    return prefix + input + output / 2.0


def interference_time(prefill_s: Real, batch: Real, output: Real) -> Real:
    r"""Prefill of other requests that each token of a request waits for, under continuous batching.

    $$ t_i = \frac{B-1}{B}\,\frac{P}{o} $$

    Args:
        prefill_s: time to prefill the whole batch, P [s]
        batch: requests in flight, B [1]
        output: tokens generated per request, o [1]

    Returns:
        time added to every output token [s]

    Validity: steady state with equal requests; while one decodes its o tokens, the other B - 1 are each prefilled once.
    Source: conservation of work: B requests need one prefill each and share o steps.

    >>> round(interference_time(0.8, 8.0, 100.0), 4)
    0.007
    """
    return (batch - 1.0) / batch * prefill_s / output


def request_time(ttft_s: Real, tpot_s: Real, output: Real) -> Real:
    r"""Time of a whole request: the first token, then one decode step for each further one.

    $$ T = t_1 + (n-1)\,\bar t $$

    Args:
        ttft_s: time to first token, t_1 [s]
        tpot_s: mean time per output token after the first, t [s]
        output: generated tokens, n [1]

    Returns:
        time of the request batch [s]

    Validity: no queueing, no other requests between; all sequences of the batch equally long.
    Source: definition of TTFT and TPOT.

    >>> request_time(0.2, 0.01, 101.0)
    1.2
    """
    return ttft_s + (output - 1.0) * tpot_s


def output_rate(batch: Real, output: Real, request_s: Real) -> Real:
    r"""Generated tokens per second of all sequences together, prefill included.

    $$ r = \frac{B\,n}{T} $$

    Args:
        batch: sequences served together, B [1]
        output: generated tokens of each, n [1]
        request_s: time of the request batch, T [s]

    Returns:
        output tokens per second [1/s]

    Validity: one batch after another; continuous batching overlaps prefill and decode of different requests.
    Source: definition.

    >>> output_rate(16.0, 100.0, 2.0)
    800.0
    """
    return batch * output / request_s


def price_per_million(request_usd: Real, output: Real) -> Real:
    r"""Money per million output tokens.

    $$ p = 10^6\,\frac{C}{n} $$

    Args:
        request_usd: cost of one request, C [USD]
        output: generated tokens of the request, n [1]

    Returns:
        price of a million output tokens, the prompt's work included [USD]

    Validity: accelerator rent only, fully used.
    Source: definition.

    >>> price_per_million(0.002, 1000.0)
    2.0
    """
    return request_usd / output * MEGA


def device_memory(weights: Real, cache: Real, activations: Real, reserve: Real) -> Real:
    r"""Memory that one device needs.

    $$ M = W + C + A + R $$

    Args:
        weights: weights on the device, W [B]
        cache: KV cache and recurrent state at the end of the generation, C [B]
        activations: largest set of live activations, A [B]
        reserve: what the runtime takes for itself, R [B]

    Returns:
        memory in use [B]

    Validity: no fragmentation; paged caches round each sequence up to whole pages.
    Source: definition.

    >>> device_memory(16e9, 2e9, 1e9, 2e9)
    21000000000.0
    """
    return weights + cache + activations + reserve
