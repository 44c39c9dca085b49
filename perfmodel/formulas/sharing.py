"""What devices that share a layer, a sequence or a pipeline send each other and wait for."""

from __future__ import annotations

import numpy as np

from perfmodel.formulas.types import Real


def ring_volume(tokens: Real, values: Real, value_bytes: Real, ranks: Real) -> Real:
    r"""What one device of a ring hands on until everybody has seen every shard.

    $$ V = \frac{c - 1}{c}\,M\,v\,s $$

    Args:
        tokens: tokens of all shards together, M [1]
        values: values of one token that are handed on, v [1]
        value_bytes: bytes per value, s [B]
        ranks: devices that share each sequence, c [1]

    Returns:
        sent by one device in a pass over one layer [B]

    Validity: equal shards; c - 1 hand-overs, each of one shard. Keys and values of long passes, queries of short ones.
    Source: Liu et al. 2023 (ring attention), arXiv:2310.01889; Yang et al. 2024, arXiv:2411.01783, sections 3.3-3.5.

    >>> ring_volume(8192.0, 2048.0, 2.0, 4.0)
    25165824.0
    """
    return (ranks - 1.0) / ranks * tokens * values * value_bytes


def rows_of_2d(hidden: Real, widths: Real, devices: Real) -> Real:
    r"""Parts into which the 2D weight-stationary layout best cuts the model width.

    $$ X = \sqrt{\frac{2\,E\,n}{W}} $$

    Args:
        hidden: model width, E [1]
        widths: inner widths that are summed or gathered along X: in and out of the block together, W [1]
        devices: devices that share the layer, n [1]

    Returns:
        parts of the model width; the others cut the inner width [1]

    Validity: least of 2 E/X + W X/n, where both gathers and both scatters cost the same per byte; W = 2 F gives the
        X = sqrt(n)/2 of the paper at F = 4 E.
    Source: Pope et al. 2022, arXiv:2211.05102, section 3.2.2.

    >>> float(rows_of_2d(18432.0, 2.0 * 73728.0, 64.0))
    4.0
    """
    return np.sqrt(2.0 * hidden * devices / widths)


def pipeline_fill_time(pass_s: Real, stages: Real, in_flight: Real) -> Real:
    r"""Time until the last of several batches has passed a pipeline that starts empty.

    $$ T = t\,\frac{m + p - 1}{p} $$

    Args:
        pass_s: time of one batch through all stages, t [s]
        stages: pipeline stages, p [1]
        in_flight: batches that follow each other, m [1]

    Returns:
        time from the first batch's start to the last one's end [s]

    Validity: equal stages; one batch alone takes t.
    Source: Huang et al. 2019 (GPipe), arXiv:1811.06965, section 2.3.

    >>> pipeline_fill_time(0.8, 4.0, 1.0), pipeline_fill_time(0.8, 4.0, 5.0)
    (0.8, 1.6)
    """
    return pass_s * (in_flight + stages - 1.0) / stages


def pipeline_step_time(step_s: Real, stages: Real, in_flight: Real) -> Real:
    r"""Time between two tokens of a sequence when several batches take turns in a full pipeline.

    $$ T = t\,\max(1, m/p) $$

    Args:
        step_s: time of one batch through all stages, t [s]
        stages: pipeline stages, p [1]
        in_flight: batches that take turns, m [1]

    Returns:
        time between two tokens of one sequence [s]

    Validity: equal stages, each batch starts its next token as soon as the first stage is free. Up to m = p more
        batches cost no time, beyond it they wait.
    Source: definition; DESIGN: pipeline parallelism does not shorten one token.

    >>> float(pipeline_step_time(0.02, 4.0, 3.0)), float(pipeline_step_time(0.02, 4.0, 8.0))
    (0.02, 0.04)
    """
    return step_s * np.maximum(1.0, in_flight / stages)
