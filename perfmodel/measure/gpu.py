"""A CUDA device with PyTorch: copies, matrix products, attention, launches, all-reduce, and a small real decoder.

PyTorch is optional and imported only here, when the command asks for a device. Kernels are replayed from a CUDA graph,
as a serving engine does; the decoder also runs eagerly, launch by launch.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable, Iterator
from typing import Any

from perfmodel.measure import decoder
from perfmodel.measure.timing import LEAST_REPEATS, LEAST_S, Task
from perfmodel.units import KIB, MIB

COPIES = tuple(int(size * MIB) for size in (1, 16, 64, 256, 1024))
ROWS, SHAPES = (1, 8, 64, 256, 1024, 4096), ((4096, 4096), (8192, 8192))
DTYPES = {"bf16": "bfloat16", "fp16": "float16"}
#: Heads, KV heads and their width in the attention sweep; tokens of a prompt; sequences and cached tokens of a step.
HEADS, PROMPTS, STEPS = (32, 8, 128), (512, 2048, 8192), ((1, 4096), (16, 4096), (64, 2048))
MESSAGES = tuple(int(size) for size in (8 * KIB, MIB, 64 * MIB))
#: Calls in one graph: a replay's own launch is spread over them.
IN_GRAPH = 10


def torch_with_cuda() -> Any:
    """Return the torch module where it is installed and sees a CUDA device, else None."""
    if importlib.util.find_spec("torch") is None:
        return None
    torch = importlib.import_module("torch")
    return torch if torch.cuda.is_available() else None


def about(torch: Any) -> dict[str, str]:
    """Return what is measured."""
    count = torch.cuda.device_count()
    return {"device": f"GPU: {torch.cuda.get_device_name(0)}", "devices": str(count),
            "library": f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}"}  # fmt: skip


def clock(torch: Any) -> Callable[[Callable[[], object], float], float]:
    """Return the clock of device work: the median of repetitions between synchronisations [s]."""

    def measure(call: Callable[[], object], budget_s: float) -> float:
        calls = getattr(call, "calls", 1)
        call()
        torch.cuda.synchronize()
        times: list[float] = []
        begun = time.perf_counter()
        while len(times) < LEAST_REPEATS or time.perf_counter() - begun < max(LEAST_S, budget_s):
            start = time.perf_counter()
            call()
            torch.cuda.synchronize()
            times.append((time.perf_counter() - start) / calls)
        return float(sorted(times)[len(times) // 2])

    return measure


class Replay:
    """A call captured `IN_GRAPH` times in one CUDA graph; `calls` says how many one replay holds."""

    calls = IN_GRAPH

    def __init__(self, torch: Any, call: Callable[[], object], calls: int = IN_GRAPH) -> None:
        """Warm up on a side stream, as capture asks for, then capture."""
        self.calls, side = calls, torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                call()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            for _ in range(calls):
                call()

    def __call__(self) -> None:
        """Replay."""
        self.graph.replay()


def tasks(torch: Any, device: str = "cuda") -> Iterator[Task]:
    """Yield everything that is timed; on a device other than CUDA without graphs."""

    def graph(make: Callable[[], Callable[[], object]]) -> Callable[[], Callable[[], object]]:
        return lambda: Replay(torch, make()) if device == "cuda" else make()

    yield Task("launch", {}, graph(lambda: _add(torch, device)))
    for size in COPIES:
        yield Task("copy", {"bytes": 2 * size}, graph(_copy(torch, device, size)), moved_bytes=2.0 * size)
    for dtype, name in DTYPES.items():
        for n, k in SHAPES:
            for m in ROWS:
                sizes = {"m": m, "n": n, "k": k, "weight_dtype": dtype, "math_dtype": dtype}
                moved = 2.0 * (n * k + m * n + m * k)
                yield Task("gemm", sizes, graph(_product(torch, device, name, (m, n, k))), 2.0 * m * n * k, moved)
    for shape in (*((1, q, q) for q in PROMPTS), *((batch, 1, kv) for batch, kv in STEPS)):
        yield _attention_task(torch, device, shape, graph)
    yield from _all_reduces(torch)
    yield from decoder.tasks(torch, device, lambda call: Replay(torch, call, 1))


def _add(torch: Any, device: str) -> Callable[[], object]:
    one = torch.ones(1, device=device)
    return lambda: one.add_(1.0)


def _copy(torch: Any, device: str, size: int) -> Callable[[], Callable[[], object]]:
    def make() -> Callable[[], object]:
        source = torch.empty(size, dtype=torch.uint8, device=device)
        target = torch.empty_like(source)
        return lambda: target.copy_(source)

    return make


def _product(torch: Any, device: str, dtype: str, sizes: tuple[int, int, int]) -> Callable[[], Callable[[], object]]:
    def make() -> Callable[[], object]:
        m, n, k = sizes
        kind = getattr(torch, dtype)
        left, right = (torch.randn(shape, device=device, dtype=kind) for shape in ((m, k), (n, k)))
        out = torch.empty((m, n), device=device, dtype=kind)
        return lambda: torch.matmul(left, right.t(), out=out)

    return make


def _attention_task(torch: Any, device: str, shape: tuple[int, int, int], graph: Callable[..., Any]) -> Task:
    (batch, q_len, kv_len), (heads, kv_heads, width) = shape, HEADS

    def make() -> Callable[[], object]:
        attend = torch.nn.functional.scaled_dot_product_attention
        sizes = ((heads, q_len), (kv_heads, kv_len), (kv_heads, kv_len))
        q, k, v = (torch.randn((batch, h, t, width), device=device, dtype=torch.bfloat16) for h, t in sizes)
        return lambda: attend(q, k, v, is_causal=q_len > 1, enable_gqa=True)

    fields = {"phase": "prefill" if q_len > 1 else "decode", "batch": batch, "q_len": q_len, "kv_len": kv_len,
              "heads": heads, "kv_heads": kv_heads, "head_dim": width, "dtype": "bf16"}  # fmt: skip
    pairs = q_len * (q_len + 1) / 2.0 if q_len > 1 else float(kv_len)
    moved = 2.0 * batch * width * (2.0 * kv_heads * kv_len + 2.0 * heads * q_len)
    return Task("attention", fields, graph(make), 4.0 * batch * heads * width * pairs, moved)


def _all_reduces(torch: Any) -> Iterator[Task]:
    count = torch.cuda.device_count()
    if count < 2:
        return

    def make(size: int) -> Callable[[], Callable[[], object]]:
        def prepare() -> Callable[[], object]:
            parts = [torch.ones(size, dtype=torch.uint8, device=f"cuda:{rank}") for rank in range(count)]

            def call() -> None:
                torch.cuda.nccl.all_reduce(parts)
                for rank in range(count):
                    torch.cuda.synchronize(rank)

            return call

        return prepare

    for size in MESSAGES:
        yield Task("all_reduce", {"bytes": size, "n_gpu": count, "backend": "nccl"}, make(size))
