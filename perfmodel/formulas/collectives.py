"""Collectives as latency plus volume over bandwidth (alpha-beta), one function for each algorithm.

Conventions: m is the buffer of one rank; beta is one rank's bandwidth in one direction; every time is that of the
slowest rank, all ranks starting together.
"""

from __future__ import annotations

import numpy as np

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

    Validity: one protocol on one island; `perfmodel.collectives` switches between several.
    Source: article_cases S18; NCCL's bus-bandwidth convention 2(n-1)/n.

    >>> round(ring_all_reduce_time(1e9, 8.0, 450e9, 20e-6) * 1e3, 3)
    3.909
    """
    return latency_s + 2.0 * (ranks - 1.0) / ranks * message_bytes / bytes_per_s


def ring_latency(ranks: Real, start_s: Real, step_s: Real) -> Real:
    r"""Start-up time of a ring all-reduce: one hop for each of its steps.

    $$ \alpha = \alpha_0 + 2(n-1)\,h $$

    Args:
        ranks: participants, n [1]
        start_s: launch and protocol, whatever the number of ranks, alpha_0 [s]
        step_s: one hop to the next rank, h [s]

    Returns:
        start-up time [s]

    Validity: one island; half of the steps for an all-gather or a reduce-scatter.
    Source: NCCL tuning model (src/graph/tuning.cc), whose trees are chains within a node too.

    >>> round(ring_latency(8.0, 5.0, 0.9), 1)
    17.6
    """
    return start_s + 2.0 * (ranks - 1.0) * step_s


def tree_latency(ranks: Real, start_s: Real, step_s: Real) -> Real:
    r"""Start-up time of a tree all-reduce: up to the root and down again.

    $$ \alpha = \alpha_0 + 2\lceil\log_2 n\rceil\,h $$

    Args:
        ranks: participants, n [1]
        start_s: launch and protocol, whatever the number of ranks, alpha_0 [s]
        step_s: one hop to the parent or a child, h [s]

    Returns:
        start-up time [s]

    Validity: one rank of the tree for each node of the cluster.
    Source: NCCL tuning model (src/graph/tuning.cc).

    >>> float(tree_latency(8.0, 4.0, 1.0))
    10.0
    """
    return start_s + 2.0 * np.ceil(np.log2(ranks)) * step_s


def tree_all_reduce_time(message_bytes: Real, bytes_per_s: Real, latency_s: Real) -> Real:
    r"""Time of an all-reduce over a double binary tree: each rank is a leaf of one tree and a node of the other.

    $$ T = \alpha + 2\,m/\beta $$

    Args:
        message_bytes: buffer on each rank, m [B]
        bytes_per_s: bandwidth of one rank in one direction, beta [B/s]
        latency_s: start-up time of the collective, alpha [s]

    Returns:
        time [s]

    Validity: chunks pipelined through the tree; volume n/(n-1) of the ring's, steps log n instead of n.
    Source: Sanders, Speck, Träff 2009 (two-tree algorithms); NCCL 2.4.

    >>> tree_all_reduce_time(1e9, 100e9, 0.0)
    0.02
    """
    return latency_s + 2.0 * message_bytes / bytes_per_s


def one_shot_all_reduce_time(message_bytes: Real, ranks: Real, bytes_per_s: Real, latency_s: Real) -> Real:
    r"""Time of a one-shot all-reduce: each rank reads the buffers of all others and adds them itself.

    $$ T = \alpha + (n-1)\,m/\beta $$

    Args:
        message_bytes: buffer on each rank, m [B]
        ranks: participants, n [1]
        bytes_per_s: bandwidth of one rank in one direction, beta [B/s]
        latency_s: start-up time of the collective, alpha [s]

    Returns:
        time [s]

    Validity: peers that can read each other's memory; n/2 times the ring's volume, but a single step.
    Source: definition of the algorithm; the custom all-reduce of TensorRT-LLM and vLLM below some 512 KB.

    >>> round(one_shot_all_reduce_time(1e6, 8.0, 350e9, 3e-6) * 1e6, 3)
    23.0
    """
    return latency_s + (ranks - 1.0) * message_bytes / bytes_per_s


def two_shot_all_reduce_time(message_bytes: Real, ranks: Real, bytes_per_s: Real, latency_s: Real) -> Real:
    r"""Time of a two-shot all-reduce: each rank sums its share of all buffers, then reads the others' sums.

    $$ T = \alpha + \frac{2(n-1)}{n}\,\frac{m}{\beta} $$

    Args:
        message_bytes: buffer on each rank, m [B]
        ranks: participants, n [1]
        bytes_per_s: bandwidth of one rank in one direction, beta [B/s]
        latency_s: start-up time with two barriers, alpha [s]

    Returns:
        time [s]

    Validity: peers that can read each other's memory; the ring's volume in two steps.
    Source: definition of the algorithm: a reduce-scatter, then an all-gather.

    >>> two_shot_all_reduce_time(1e6, 2.0, 100e9, 0.0)
    1e-05
    """
    latency = latency_s / 2.0
    return reduce_scatter_time(message_bytes, ranks, bytes_per_s, latency) + all_gather_time(
        message_bytes, ranks, bytes_per_s, latency
    )


def in_network_all_reduce_time(message_bytes: Real, ranks: Real, bytes_per_s: Real, latency_s: Real) -> Real:
    r"""Time of an all-reduce that the switch computes: each rank fetches its share summed and multicasts it.

    $$ T = \alpha + \frac{n+1}{n}\,\frac{m}{\beta} $$

    Args:
        message_bytes: buffer on each rank, m [B]
        ranks: participants, n [1]
        bytes_per_s: bandwidth of one rank in one direction, beta [B/s]
        latency_s: start-up time of the collective, alpha [s]

    Returns:
        time [s]

    Validity: switches that reduce and multicast (NVSwitch of NVLink 4 and later). By the 2(n-1)/n convention its
    bus bandwidth reaches 2(n-1)/(n+1) of the link, 1.56 for eight ranks, though no wire carries more than beta.
    Source: definition: a rank sends all n shares and its sum, receives its sum and all n results.

    >>> in_network_all_reduce_time(8e9, 8.0, 450e9, 0.0)
    0.02
    """
    return latency_s + (ranks + 1.0) / ranks * message_bytes / bytes_per_s


def all_gather_time(gathered_bytes: Real, ranks: Real, bytes_per_s: Real, latency_s: Real) -> Real:
    r"""Time of an all-gather: every rank ends with the shares of all.

    $$ T = \alpha + \frac{n-1}{n}\,\frac{m}{\beta} $$

    Args:
        gathered_bytes: the result, all shares together, m [B]
        ranks: participants, n [1]
        bytes_per_s: bandwidth of one rank in one direction, beta [B/s]
        latency_s: start-up time of the collective, alpha [s]

    Returns:
        time [s]

    Validity: ring or full-bisection island.
    Source: definition of the collective.

    >>> all_gather_time(8e9, 8.0, 450e9, 0.0) == 7e9 / 450e9
    True
    """
    return latency_s + (ranks - 1.0) / ranks * gathered_bytes / bytes_per_s


def reduce_scatter_time(message_bytes: Real, ranks: Real, bytes_per_s: Real, latency_s: Real) -> Real:
    r"""Time of a reduce-scatter: every rank ends with its share of the sum.

    $$ T = \alpha + \frac{n-1}{n}\,\frac{m}{\beta} $$

    Args:
        message_bytes: buffer on each rank before the sum, m [B]
        ranks: participants, n [1]
        bytes_per_s: bandwidth of one rank in one direction, beta [B/s]
        latency_s: start-up time of the collective, alpha [s]

    Returns:
        time [s]

    Validity: ring or full-bisection island.
    Source: definition of the collective: the mirror image of the all-gather.

    >>> reduce_scatter_time(8e9, 8.0, 450e9, 0.0) == all_gather_time(8e9, 8.0, 450e9, 0.0)
    True
    """
    return latency_s + (ranks - 1.0) / ranks * message_bytes / bytes_per_s


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


def pipelined_time(start_s: Real, stream_s: Real, fill_s: Real) -> Real:
    r"""Time of a transfer in chunks, with the best number of chunks.

    $$ T = \alpha + s + 2\sqrt{s\,f} = \min_k\;\alpha + s + k\,f + s/k $$

    Args:
        start_s: start-up time, alpha [s]
        stream_s: volume over bandwidth, s [s]
        fill_s: cost of one more chunk, f [s]

    Returns:
        time [s]

    Validity: chunk size free; a fixed chunk size would give a second alpha-beta line instead.
    Source: k chunks cost k f, and the last of them, s/k, is not overlapped; the derivative is zero at k = sqrt(s/f).

    >>> float(pipelined_time(1.0, 4.0, 1.0))
    9.0
    """
    return start_s + stream_s + 2.0 * np.sqrt(stream_s * fill_s)


def hierarchical_all_reduce_time(
    message_bytes: Real,
    island: Real,
    islands: Real,
    island_bytes_per_s: Real,
    network_bytes_per_s: Real,
    latency_s: Real,
) -> Real:
    r"""Time of an all-reduce over several islands: inside, then each share over its own rail, and back.

    $$ T = \alpha + \max\Bigl(\frac{2(g-1)}{g}\frac{m}{\beta_i},\; \frac{2(N-1)}{N}\frac{m}{g\,\beta_r}\Bigr) $$

    Args:
        message_bytes: buffer on each rank, m [B]
        island: ranks of one island, g [1]
        islands: islands, N [1]
        island_bytes_per_s: bandwidth of one rank inside its island, beta_i [B/s]
        network_bytes_per_s: bandwidth of one rank's own network port, beta_r [B/s]
        latency_s: start-up times of both levels together, alpha [s]

    Returns:
        time [s]

    Validity: one port for each rank (rails), chunks pipelined through both levels; one level after the other costs
    the sum instead of the larger, at most twice.
    Source: definition of the algorithm (reduce-scatter inside, all-reduce on the rails, all-gather inside).

    >>> round(float(hierarchical_all_reduce_time(1e9, 8.0, 2.0, 450e9, 50e9, 0.0)) * 1e3, 2)
    3.89
    """
    inside = ring_all_reduce_time(message_bytes, island, island_bytes_per_s, 0.0)
    across = ring_all_reduce_time(message_bytes / island, islands, network_bytes_per_s, 0.0)
    return latency_s + np.maximum(inside, across)


def mesh_bandwidth(bytes_per_s: Real, ranks: Real, mesh: Real) -> Real:
    r"""Bandwidth of one rank of a group within a fully connected mesh: only the links among its members carry traffic.

    $$ \beta_g = \beta\,\frac{\min(n, M) - 1}{M - 1} $$

    Args:
        bytes_per_s: all links of one chip together, one direction, beta [B/s]
        ranks: members of the group, n [1]
        mesh: chips wired point to point, M [1]

    Returns:
        usable bandwidth of one rank [B/s]

    Validity: M > 1; equal links between all pairs, no forwarding through third chips.
    Source: definition of the topology; two MI300X of eight share one link of 64 GB/s.

    >>> float(mesh_bandwidth(448e9, 2.0, 8.0))
    64000000000.0
    """
    return bytes_per_s * (np.minimum(ranks, mesh) - 1.0) / (mesh - 1.0)


def contended_bandwidth(bytes_per_s: Real, ranks: Real, contention: Real) -> Real:
    r"""Bandwidth of one rank where all share the host: each rank beyond a pair adds to the time of a byte.

    $$ \beta_n = \frac{\beta}{1 + \kappa\,(n - 2)} $$

    Args:
        bytes_per_s: bandwidth that a pair reaches, beta [B/s]
        ranks: participants, at least two, n [1]
        contention: growth of the time of a byte for each further rank, kappa [1]

    Returns:
        bandwidth of one rank [B/s]

    Validity: cards behind the sockets of one host; interpolates between 2 and 8 cards.
    Source: calibration against all-reduce on 2 and 8 PCIe cards (backends/nccl.toml).

    >>> contended_bandwidth(40e9, 2.0, 0.1), contended_bandwidth(40e9, 8.0, 0.1)
    (40000000000.0, 25000000000.0)
    """
    return bytes_per_s / (1.0 + contention * (ranks - 2.0))


def bus_bandwidth(message_bytes: Real, ranks: Real, time_s: Real) -> Real:
    r"""Bus bandwidth of a measured all-reduce, comparable between numbers of ranks.

    $$ B = \frac{2(n-1)}{n}\,\frac{m}{T} $$

    Args:
        message_bytes: buffer on each rank, m [B]
        ranks: participants, n [1]
        time_s: time of the all-reduce, T [s]

    Returns:
        bus bandwidth [B/s]

    Validity: a convention; above the link's rate where a switch computes the sum.
    Source: nccl-tests, PERFORMANCE.md.

    >>> round(bus_bandwidth(8e9, 8.0, 0.0350) / 1e9)
    400
    """
    return 2.0 * (ranks - 1.0) / ranks * message_bytes / time_s
