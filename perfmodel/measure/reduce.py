"""All-reduce over the GPUs of one machine with NCCL: one process per GPU, as engines run it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perfmodel.measure.device import torch_module
from perfmodel.measure.timing import LEAST_REPEATS, Sample
from perfmodel.units import KIB, MIB, MILLI

#: Sizes of a message [B]: of one decode step, of a batch, of a long prompt.
MESSAGES = tuple(int(size) for size in (8 * KIB, 64 * KIB, MIB, 16 * MIB, 256 * MIB))
#: Calls to warm up, and calls between two events.
WARM_UP, CALLS = 5, 20


def samples(torch: Any, messages: Sequence[int] = MESSAGES, ranks: int = 0) -> list[Sample]:
    """Return the time of an all-reduce by size; none where fewer than two GPUs are there."""
    count = ranks or int(torch.cuda.device_count())
    if count < 2:
        return []
    with tempfile.TemporaryDirectory() as folder:
        # The ranks meet in a file and the first one leaves the times in another.
        torch.multiprocessing.spawn(_rank, (count, folder, tuple(messages)), nprocs=count)
        lines = Path(folder, "times").read_text(encoding="utf-8").split()
    fields = {"n_gpu": count, "backend": "nccl"}
    return [
        Sample("all_reduce", float(line), {"bytes": size} | fields) for size, line in zip(messages, lines, strict=True)
    ]


def _rank(rank: int, count: int, folder: str, messages: tuple[int, ...]) -> None:
    """Measure on one rank; the first writes the medians."""
    torch = torch_module()
    torch.cuda.set_device(rank)
    place = Path(folder, "meeting").as_uri()
    torch.distributed.init_process_group("nccl", init_method=place, rank=rank, world_size=count)
    times = [_median(torch, rank, size) for size in messages]
    if rank == 0:
        Path(folder, "times").write_text("\n".join(f"{seconds:.9g}" for seconds in times), encoding="utf-8")
    torch.distributed.destroy_process_group()


def _median(torch: Any, rank: int, size: int) -> float:
    """Return the median time of one all-reduce [s] over some runs of `CALLS` between two events."""
    message = torch.ones(size // 2, dtype=torch.bfloat16, device=f"cuda:{rank}")
    for _ in range(WARM_UP):
        torch.distributed.all_reduce(message)
    torch.distributed.barrier()
    found = []
    for _ in range(LEAST_REPEATS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(CALLS):
            torch.distributed.all_reduce(message)
        end.record()
        end.synchronize()
        found.append(start.elapsed_time(end) * MILLI / CALLS)
    return float(sorted(found)[LEAST_REPEATS // 2])
