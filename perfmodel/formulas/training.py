"""Training: FLOPs per token, pipeline bubble, activation and state memory, optimizer traffic, MFU and HFU."""

from __future__ import annotations

import numpy as np

from perfmodel.formulas.types import Real


def forward_flops_per_token(parameters: Real, layers: Real, width: Real, length: Real) -> Real:
    r"""Model FLOPs of the forward pass for one token, by the convention of published MFU figures.

    $$ F = 2\,P + 4\,L\,a\,s $$

    Args:
        parameters: weights that a token is multiplied with: layers and LM head, no embedding gather, P [1]
        layers: layers with attention, L [1]
        width: query heads times head size, the hidden width of most models, a [1]
        length: sequence length, s [1]

    Returns:
        FLOPs per token [FLOP]

    Validity: the convention counts the whole s x s square of scores; a causal kernel computes about half of it.
    Source: Chowdhery et al. 2022 (PaLM), appendix B; Narayanan et al. 2021.

    >>> forward_flops_per_token(8e9, 32.0, 4096.0, 8192.0)
    20294967296.0
    """
    return 2.0 * parameters + 4.0 * layers * width * length


def training_flops_per_token(parameters: Real, layers: Real, width: Real, length: Real) -> Real:
    r"""Model FLOPs of one training step for one token: forward, and backward at twice its cost.

    $$ F = 6\,P + 12\,L\,a\,s $$

    Args:
        parameters: weights that a token is multiplied with: layers and LM head, no embedding gather, P [1]
        layers: layers with attention, L [1]
        width: query heads times head size, the hidden width of most models, a [1]
        length: sequence length, s [1]

    Returns:
        FLOPs per token [FLOP]

    Validity: dense models, or the active parameters of a mixture of experts; no recomputation; the whole s x s square
        of scores is counted (a causal kernel computes half). Norms, softmax and the optimizer are left out.
    Source: Chowdhery et al. 2022 (PaLM), appendix B; Kaplan et al. 2020 for 6 P.

    >>> training_flops_per_token(8e9, 32.0, 4096.0, 8192.0)
    60884901888.0
    """
    return 6.0 * parameters + 12.0 * layers * width * length


def recomputation_factor(share: Real) -> Real:
    r"""FLOPs that the hardware executes per model FLOP when a share of the forward pass is run again.

    $$ R = \frac{3 + r}{3} $$

    Args:
        share: part of the forward pass that the backward pass computes again (1: full recomputation), r [1]

    Returns:
        hardware FLOPs over model FLOPs [1]

    Validity: backward costs twice the forward pass.
    Source: Korthikanti et al. 2022, appendix A.

    >>> recomputation_factor(1.0), recomputation_factor(0.0)
    (1.3333333333333333, 1.0)
    """
    return (3.0 + share) / 3.0


def pipeline_bubble(stages: Real, micro_batches: Real, chunks: Real) -> Real:
    r"""Idle time of a pipeline over its busy time: stages wait while the pipeline fills and drains.

    $$ b = \frac{p - 1}{m\,v} $$

    Args:
        stages: pipeline stages, p [1]
        micro_batches: micro-batches of one step on one replica, m [1]
        chunks: model chunks per stage of the interleaved schedule (1: plain 1F1B), v [1]

    Returns:
        bubble over ideal time [1]

    Validity: equal stages; 1F1B or GPipe (v = 1), interleaved 1F1B (v > 1); no zero-bubble schedule.
    Source: Narayanan et al. 2021, section 2.2.

    >>> pipeline_bubble(8.0, 64.0, 1.0), pipeline_bubble(8.0, 64.0, 2.0)
    (0.109375, 0.0546875)
    """
    return (stages - 1.0) / (micro_batches * chunks)


def layer_activation_bytes(length: Real, batch: Real, hidden: Real, heads: Real, ranks: Real) -> Real:
    r"""Activations that a GPT layer keeps for its backward pass, tensor and sequence parallel.

    $$ A = \frac{s\,b\,h}{t}\,\left(34 + 5\,\frac{a\,s}{h}\right) $$

    Args:
        length: sequence length, s [1]
        batch: sequences of the micro-batch, b [1]
        hidden: hidden width, h [1]
        heads: attention heads, a [1]
        ranks: tensor-parallel ranks with sequence parallelism, t [1]

    Returns:
        bytes per layer and device [B]

    Validity: 16-bit GPT with dropout, plain FFN of 4 h, scores kept in memory; FlashAttention drops the second term.
    Source: Korthikanti et al. 2022, equations 1 and 4.

    >>> layer_activation_bytes(2048.0, 1.0, 12288.0, 96.0, 8.0)
    358612992.0
    """
    return length * batch * hidden / ranks * (34.0 + 5.0 * heads * length / hidden)


def layer_activation_bytes_tensor_only(length: Real, batch: Real, hidden: Real, heads: Real, ranks: Real) -> Real:
    r"""Activations that a GPT layer keeps under tensor parallelism alone: norms and dropouts are replicated.

    $$ A = s\,b\,h\,\left(10 + \frac{24}{t} + 5\,\frac{a\,s}{h\,t}\right) $$

    Args:
        length: sequence length, s [1]
        batch: sequences of the micro-batch, b [1]
        hidden: hidden width, h [1]
        heads: attention heads, a [1]
        ranks: tensor-parallel ranks, t [1]

    Returns:
        bytes per layer and device [B]

    Validity: 16-bit GPT with dropout, plain FFN of 4 h, scores kept in memory.
    Source: Korthikanti et al. 2022, equation 2.

    >>> layer_activation_bytes_tensor_only(2048.0, 1.0, 12288.0, 96.0, 8.0)
    578813952.0
    """
    return length * batch * hidden * (10.0 + 24.0 / ranks + 5.0 * heads * length / (hidden * ranks))


def selective_activation_bytes(length: Real, batch: Real, hidden: Real, ranks: Real) -> Real:
    r"""Activations that a GPT layer keeps when the attention core is computed again (selective recomputation).

    $$ A = \frac{34\,s\,b\,h}{t} $$

    Args:
        length: sequence length, s [1]
        batch: sequences of the micro-batch, b [1]
        hidden: hidden width, h [1]
        ranks: tensor-parallel ranks with sequence parallelism, t [1]

    Returns:
        bytes per layer and device [B]

    Validity: 16-bit GPT with dropout and a plain FFN of 4 h; also what FlashAttention keeps without recomputation.
    Source: Korthikanti et al. 2022, equation 6.

    >>> selective_activation_bytes(2048.0, 1.0, 12288.0, 8.0)
    106954752.0
    """
    return 34.0 * length * batch * hidden / ranks


def full_recompute_bytes(length: Real, batch: Real, hidden: Real) -> Real:
    r"""Activations that a layer keeps under full recomputation: its 16-bit input.

    $$ A = 2\,s\,b\,h $$

    Args:
        length: sequence length, s [1]
        batch: sequences of the micro-batch, b [1]
        hidden: hidden width, h [1]

    Returns:
        bytes per layer and device [B]

    Validity: every layer is one checkpoint; inputs are not split over the tensor-parallel ranks.
    Source: Korthikanti et al. 2022, section 5.

    >>> full_recompute_bytes(2048.0, 1.0, 12288.0)
    50331648.0
    """
    return 2.0 * length * batch * hidden


def pipelined_micro_batches(stages: Real, chunks: Real) -> Real:
    r"""Micro-batches whose activations the first pipeline stage holds at once, in units of its own layers.

    $$ k = p + \min(v - 1, 1)\,\frac{p - 1}{v} $$

    Args:
        stages: pipeline stages, p [1]
        chunks: model chunks per stage (1: plain 1F1B), v [1]

    Returns:
        micro-batches in flight [1]

    Validity: 1F1B holds p; the interleaved schedule (v > 1) holds p - 1 chunks more. A step with fewer micro-batches
        holds only those.
    Source: Korthikanti et al. 2022, section 4.2.3.

    >>> float(pipelined_micro_batches(8.0, 1.0)), float(pipelined_micro_batches(8.0, 2.0))
    (8.0, 11.5)
    """
    # v is whole: the minimum is 0 for plain 1F1B and 1 for the interleaved schedule.
    return stages + np.minimum(chunks - 1.0, 1.0) * (stages - 1.0) / chunks


def sharded_state_bytes(parameters: Real, kept_bytes: Real, sharded_bytes: Real, ranks: Real) -> Real:
    r"""Parameters, gradients and optimizer states on one device under ZeRO.

    $$ M = P\,\left(k + \frac{z}{n}\right) $$

    Args:
        parameters: parameters of the model-parallel shard, P [1]
        kept_bytes: bytes per parameter on every rank (16 without ZeRO, 4 for stage 1, 2 for 2, 0 for 3), k [B]
        sharded_bytes: bytes per parameter split over the ranks (0, 12, 14 and 16 for the stages), z [B]
        ranks: data-parallel ranks that share them, n [1]

    Returns:
        bytes on one device [B]

    Validity: mixed-precision Adam: 2 parameter + 2 gradient + 12 master copy and moments; gradients in FP32 add 2.
    Source: Rajbhandari et al. 2020 (ZeRO), figure 1.

    >>> sharded_state_bytes(7.5e9, 4.0, 12.0, 64.0) / 1e9, sharded_state_bytes(7.5e9, 0.0, 16.0, 64.0) / 1e9
    (31.40625, 1.875)
    """
    return parameters * (kept_bytes + sharded_bytes / ranks)


def optimizer_traffic(parameters: Real, gradient_bytes: Real, state_bytes: Real, weight_bytes: Real) -> Real:
    r"""Main-memory traffic of one optimizer step: read gradients, read and write states, write working weights.

    $$ B = P\,\left(g + 2\,z + w\right) $$

    Args:
        parameters: parameters that this device updates, P [1]
        gradient_bytes: bytes of one gradient, g [B]
        state_bytes: bytes of master weight and moments of one parameter (12 for Adam in FP32), z [B]
        weight_bytes: bytes of one working weight, w [B]

    Returns:
        bytes moved [B]

    Validity: one fused pass over the states.
    Source: definition of Adam (Kingma and Ba 2015): every moment is read and written once.

    >>> optimizer_traffic(1e9, 4.0, 12.0, 2.0)
    30000000000.0
    """
    return parameters * (gradient_bytes + 2.0 * state_bytes + weight_bytes)


def exposed_time(collective_s: Real, hidden_behind_s: Real, overlap: Real) -> Real:
    r"""Part of the communication that a step waits for: only a share can run behind computation.

    $$ T = \max(c - \omega\,k,\ (1 - \omega)\,c) $$

    Args:
        collective_s: time of the collectives alone, c [s]
        hidden_behind_s: computation they may run behind, k [s]
        overlap: share of either that runs at the same time, omega [1]

    Returns:
        time added to the step [s]

    Validity: one communication stream beside one compute stream.
    Source: identity; two lower bounds on what stays visible.

    >>> float(exposed_time(2.0, 10.0, 0.75)), float(exposed_time(10.0, 4.0, 0.75))
    (0.5, 7.0)
    """
    return np.maximum(collective_s - overlap * hidden_behind_s, (1.0 - overlap) * collective_s)


def flops_utilization(flops: Real, time_s: Real, devices: Real, peak_flops: Real) -> Real:
    r"""Share of the peak rate that the given FLOPs make of a step: MFU for model FLOPs, HFU for executed ones.

    $$ U = \frac{F}{n\,T\,R} $$

    Args:
        flops: FLOPs of one step, all devices together: model FLOPs for MFU, with recomputation for HFU, F [FLOP]
        time_s: time of the step, T [s]
        devices: devices, n [1]
        peak_flops: dense peak of one device for the type of the linear layers, R [FLOP/s]

    Returns:
        utilization [1]

    Validity: MFU does not depend on recomputation; HFU = MFU without it.
    Source: Chowdhery et al. 2022 (PaLM), appendix B; Korthikanti et al. 2022, section 6.2.3.

    >>> flops_utilization(1e15, 0.5, 8.0, 1e15)
    0.25
    """
    return flops / (devices * time_s * peak_flops)


def training_days(tokens: Real, tokens_per_s: Real) -> Real:
    r"""Days that a token budget takes at a steady rate.

    $$ D = \frac{N}{86400\,r} $$

    Args:
        tokens: token budget, N [1]
        tokens_per_s: tokens per second of the whole cluster, r [1/s]

    Returns:
        time without restarts, evaluation and failures [d]

    Validity: every step like the one computed.
    Source: definition.

    >>> training_days(15e12, 1e7)
    17.36111111111111
    """
    return tokens / (86400.0 * tokens_per_s)
