"""The CPU with NumPy: copies over sizes, matrix products over shapes, matrix times vector, the overhead of a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from perfmodel.measure.timing import Task, cores, last_cache, model_name
from perfmodel.units import MIB

#: Sizes of a copied array [B]: in the caches, and beyond them, where a model's weights come from.
COPIES = tuple(int(size * MIB) for size in (1, 8, 64, 128, 256))
#: Rows of the left matrix; shapes of the right one, beyond the caches too.
ROWS, SHAPES = (1, 2, 8, 32, 128, 512), ((4096, 4096), (4096, 8192))
FP32_BYTES = 4


def about() -> dict[str, str]:
    """Return what is measured."""
    return {"device": f"CPU: {model_name()}", "cores": str(cores()), "library": "NumPy, fp32"}


def tasks() -> Iterator[Task]:
    """Yield everything that is timed."""
    yield Task("launch", {}, _nothing)
    for size in COPIES:
        yield copy_task(size, last_cache(), _copy(size))
    for rows in ROWS:
        for n, k in SHAPES:
            sizes = {"m": rows, "n": n, "k": k, "weight_dtype": "fp32", "math_dtype": "fp32"}
            moved = FP32_BYTES * (n * k + float(rows) * (n + k))
            yield Task("gemm", sizes, _product(rows, n, k), 2.0 * rows * n * k, moved)


def copy_task(size: int, cache_bytes: int, prepare: Callable[[], Callable[[], object]]) -> Task:
    """Return the task of copying so many bytes; what takes half of the cache is filed apart: no memory."""
    # A copy reads and writes; that a cache may read the target first is the machine's own affair.
    what = "cached_copy" if 4 * size <= cache_bytes else "copy"
    return Task(what, {"bytes": 2 * size}, prepare, moved_bytes=2.0 * size)


def _nothing() -> Callable[[], object]:
    one, two = np.ones(1, np.float32), np.empty(1, np.float32)
    return lambda: np.add(one, one, out=two)


def _copy(size: int) -> Callable[[], Callable[[], object]]:
    def prepare() -> Callable[[], object]:
        source, target = np.ones(size // FP32_BYTES, np.float32), np.zeros(size // FP32_BYTES, np.float32)
        return lambda: np.copyto(target, source)

    return prepare


def _product(rows: int, n: int, k: int) -> Callable[[], Callable[[], object]]:
    def prepare() -> Callable[[], object]:
        left, right = np.ones((rows, k), np.float32), np.ones((n, k), np.float32)
        out = np.empty((rows, n), np.float32)
        return lambda: np.matmul(left, right.T, out=out)

    return prepare
