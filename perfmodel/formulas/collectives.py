"""Collectives as latency plus volume over bandwidth (alpha-beta)."""

from __future__ import annotations

from perfmodel.formulas.types import Real


def ring_all_reduce_time(message_bytes: Real, ranks: Real, bytes_per_s: Real, latency_s: Real) -> Real:
    r"""Time of a ring all-reduce: every rank ends with the sum.

    $$ T = \alpha + \frac{2(n-1)}{n}\,\frac{m}{\beta} $$

    Args:
        message_bytes: buffer on each rank, m [B]
        ranks: participants, n [1]
        bytes_per_s: bandwidth of one rank in one direction, beta [B/s]
        latency_s: start-up time of the collective, alpha [s]

    Returns:
        time [s]

    Validity: one island, large and small messages within about 25 %; protocol switches in between are not modelled.
    Source: article_cases S18; NCCL's bus-bandwidth convention 2(n-1)/n.

    >>> round(ring_all_reduce_time(1e9, 8.0, 450e9, 20e-6) * 1e3, 3)
    3.909
    """
    return latency_s + 2.0 * (ranks - 1.0) / ranks * message_bytes / bytes_per_s


def point_to_point_time(message_bytes: Real, bytes_per_s: Real, latency_s: Real) -> Real:
    r"""Time to hand a buffer to the next rank, as between pipeline stages.

    $$ T = \alpha + m/\beta $$

    Args:
        message_bytes: buffer, m [B]
        bytes_per_s: bandwidth of the link in one direction, beta [B/s]
        latency_s: start-up time, alpha [s]

    Returns:
        time [s]

    Validity: one sender, one receiver, no contention.
    Source: definition.

    >>> point_to_point_time(450e9, 450e9, 0.0)
    1.0
    """
    return latency_s + message_bytes / bytes_per_s


def all_to_all_time(sent_bytes: Real, ranks: Real, bytes_per_s: Real, latency_s: Real) -> Real:
    r"""Time of an all-to-all: every rank sends an equal share of its buffer to each other rank.

    $$ T = \alpha + \frac{n-1}{n}\,\frac{m}{\beta} $$

    Args:
        sent_bytes: buffer of each rank, its own share included, m [B]
        ranks: participants, n [1]
        bytes_per_s: bandwidth of one rank in one direction, beta [B/s]
        latency_s: start-up time of the collective, alpha [s]

    Returns:
        time [s]

    Validity: balanced traffic, full-bisection island.
    Source: definition of the collective.

    >>> all_to_all_time(8e9, 8.0, 450e9, 0.0) == 7e9 / 450e9
    True
    """
    return latency_s + (ranks - 1.0) / ranks * sent_bytes / bytes_per_s
