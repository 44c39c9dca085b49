"""The same model over a grid of numbers: arrays in, arrays out."""

from __future__ import annotations

from typing import Any

import numpy as np

from perfmodel.estimate import setup
from perfmodel.formulas.sharing import pipeline_fill_time
from perfmodel.memory import device_bytes
from perfmodel.scenario import Scenario
from perfmodel.setup import Setup
from perfmodel.workload import Workload, decode, prefill, real

#: Points evaluated at once: few enough for the caches of a core, enough that calling costs little beside computing.
CHUNK = 4096
AXES = ("batch", "input", "output", "prefix")


def sweep(scenario: Scenario, **axes: Any) -> dict[str, Any]:
    """Evaluate a scenario over arrays of `batch`, `input`, `output` or `prefix`; arrays broadcast.

    Returns times of prefill, decode step (at context input + output/2) and the whole request [s], tokens per
    second, memory per device [B], each of the grid's shape, and the four regime shares of both passes,
    shape (4, *grid). The request counts every decode step at its mean context.

    >>> result = sweep(Scenario(), batch=[1, 8, 64])
    >>> result["decode_step_s"].shape, result["decode_shares"].shape
    ((3,), (4, 3))
    """
    resolved = setup(scenario)
    unknown = set(axes) - set(AXES)
    if unknown:
        raise ValueError(f"cannot sweep {sorted(unknown)[0]!r}; arrays are allowed for {', '.join(AXES)}")
    values = [np.asarray(real(axes.get(name, getattr(scenario, name))), dtype=np.float64) for name in AXES]
    if any(
        not np.all(np.isfinite(v)) or np.any(v < (0 if name == "prefix" else 1))
        for name, v in zip(AXES, values, strict=True)
    ):
        raise ValueError("batch, input and output must be finite and at least 1, prefix at least 0")
    full = np.broadcast_arrays(*values)
    shape, flat = full[0].shape, [np.ravel(v) for v in full]
    size = flat[0].size
    chunks = [_chunk(resolved, *(v[i : i + CHUNK] for v in flat)) for i in range(0, size, CHUNK)]
    return {
        key: np.concatenate([c[key] for c in chunks], axis=-1).reshape(_shape(chunks[0][key], shape))
        for key in chunks[0]
    }


def _shape(part: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*part.shape[:-1], *shape)


def _chunk(setup: Setup, batch: Any, input: Any, output: Any, prefix: Any) -> dict[str, Any]:
    prefill_s, prefill_shares = _pass(setup, prefill(batch, input, prefix))
    step_s, decode_shares = _pass(setup, decode(batch, prefix + input + output / 2.0))
    filled = pipeline_fill_time(prefill_s, float(setup.pp), float(setup.mb))
    end_to_end = filled + (output - 1.0) * setup.between_steps_s(step_s) / setup.tokens_per_step
    return {
        "prefill_s": prefill_s,
        "decode_step_s": step_s,
        "e2e_s": end_to_end,
        "tokens_per_s": batch * output / end_to_end,
        "memory_bytes": device_bytes(setup, batch, input, prefix + input + output),
        "prefill_shares": prefill_shares,
        "decode_shares": decode_shares,
    }


def _pass(setup: Setup, work: Workload) -> tuple[Any, Any]:
    # The times of each operator are let go at once: the next pass writes where they stood, in the cache.
    step = setup.run(work)
    return step.time_s, step.shares
