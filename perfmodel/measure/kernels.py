"""Single kernels with PyTorch, the same on every device: launches, copies, matrix products by type, attention.

Where a device has graphs, kernels are replayed from one, as a serving engine does; the launch is measured without too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from perfmodel.measure.cpu import copy_task
from perfmodel.measure.device import BF16_FROM, Call, Device, Repeated
from perfmodel.measure.timing import Task
from perfmodel.precision import BITS
from perfmodel.units import MIB


@dataclass(frozen=True)
class Sweep:
    """What is measured of one device: sizes copied [B], products by type, prompts, and steps on a cache."""

    copies: tuple[int, ...]
    dtypes: tuple[str, ...]
    rows: tuple[int, ...]
    shapes: tuple[tuple[int, int], ...]
    prompts: tuple[int, ...]
    steps: tuple[tuple[int, int], ...]


def _mib(*sizes: int) -> tuple[int, ...]:
    return tuple(int(size * MIB) for size in sizes)


SWEEPS = {
    "cpu": Sweep(
        _mib(1, 4, 16, 64, 128, 256),
        ("fp32", "bf16"),  # no int8: 1.3 ms with one row and 12 ms with two is a reference, no engine
        (1, 2, 4, 8, 16, 32, 128, 512),
        ((4096, 8192),),
        (128, 512, 1024),
        ((1, 1024), (1, 4096), (8, 1024)),
    ),
    "cuda": Sweep(
        _mib(1, 4, 16, 64, 256, 1024),
        ("bf16", "fp16", "fp8", "int8", "tf32", "fp32"),
        (1, 8, 64, 256, 1024, 4096),
        ((4096, 4096), (8192, 8192)),
        (512, 2048, 8192),
        ((1, 4096), (16, 4096), (64, 2048)),
    ),
}
#: Heads, KV heads and their width in the attention sweep.
HEADS = (32, 8, 128)
#: Our names of data types -> those of PyTorch.
KINDS = {"fp32": "float32", "tf32": "float32", "bf16": "bfloat16", "fp16": "float16", "fp8": "float8_e4m3fn",
         "int8": "int8"}  # fmt: skip
#: The compute capability from which tensor cores know a type.
CAPABILITY = {"bf16": BF16_FROM, "tf32": (8, 0), "fp8": (8, 9), "int8": (7, 5)}
#: Launches between two marks of a device's clock: a mark takes its time too.
LAUNCHES = 100
#: The least rows that PyTorch's integer product takes on a CUDA device.
INT8_ROWS = 17


def tasks(device: Device) -> Iterator[Task]:
    """Yield every kernel that is timed."""
    sweep = SWEEPS[device.name]
    if device.graphs:
        yield Task("launch", {}, lambda: device.replayed(_add(device), LAUNCHES))
        yield Task("launch", {"engine": "eager"}, lambda: Repeated(_add(device), LAUNCHES))
    else:
        yield Task("launch", {}, lambda: _add(device))
    for size in sweep.copies:
        yield copy_task(size, device.cache_bytes, _replayed(device, _copy(device, size)))
    for dtype in sweep.dtypes:
        if _has(device, dtype):
            yield from _products(device, dtype, sweep)
    for shape in (*((1, q, q) for q in sweep.prompts), *((batch, 1, kv) for batch, kv in sweep.steps)):
        yield _attention(device, shape)


def _replayed(device: Device, make: Callable[[], Call]) -> Callable[[], Call]:
    return lambda: device.replayed(make())


def _has(device: Device, dtype: str) -> bool:
    """Whether the device's matrix units know the type."""
    if device.name != "cuda":
        return True
    return device.capability >= CAPABILITY.get(dtype, (0, 0)) and hasattr(device.torch, KINDS[dtype])


def _add(device: Device) -> Call:
    one = device.torch.ones(1, device=device.name)
    return lambda: one.add_(1.0)


def _copy(device: Device, size: int) -> Callable[[], Call]:
    def make() -> Call:
        source = device.torch.ones(size, dtype=device.torch.uint8, device=device.name)
        target = device.torch.zeros_like(source)
        return lambda: target.copy_(source)

    return make


def _products(device: Device, dtype: str, sweep: Sweep) -> Iterator[Task]:
    size, tf32 = BITS["fp32" if dtype == "tf32" else dtype] / 8.0, dtype == "tf32"
    for n, k in sweep.shapes:
        for m in sweep.rows:
            if dtype == "int8" and device.name == "cuda" and m < INT8_ROWS:
                continue
            # Integer products are written as int32, 8-bit floats as bf16, the others as they came.
            written = {"int8": 4.0, "fp8": 2.0}.get(dtype, size)
            moved = size * (n * k + float(m) * k) + written * m * n
            fields = {"m": m, "n": n, "k": k, "weight_dtype": "fp32" if tf32 else dtype, "math_dtype": dtype}
            yield Task("gemm", fields, _replayed(device, _product(device, dtype, (m, n, k))), 2.0 * m * n * k, moved)


def _product(device: Device, dtype: str, sizes: tuple[int, int, int]) -> Callable[[], Call]:
    def make() -> Call:
        (m, n, k), torch = sizes, device.torch
        left, right = (operand(device, dtype, shape) for shape in ((m, k), (n, k)))
        if dtype == "int8":
            return lambda: torch._int_mm(left, right.t())
        if dtype == "fp8":
            one = torch.ones((), device=device.name)
            return lambda: torch._scaled_mm(left, right.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)
        out = torch.empty((m, n), device=device.name, dtype=left.dtype)
        return _in_tf32(torch, dtype == "tf32", lambda: torch.matmul(left, right.t(), out=out))

    return make


def operand(device: Device, dtype: str, shape: tuple[int, int]) -> Any:
    """Return a random matrix of a type, in the range of small integers for int8."""
    torch = device.torch
    if dtype == "int8":
        return torch.randint(-127, 128, shape, device=device.name, dtype=torch.int8)
    return torch.randn(shape, device=device.name).to(getattr(torch, KINDS[dtype]))


def _in_tf32(torch: Any, allowed: bool, product: Call) -> Call:
    """Return the product with tensor cores rounding fp32 to tf32, or not: a capture keeps the kernel chosen then."""

    def call() -> object:
        torch.backends.cuda.matmul.allow_tf32 = allowed
        return product()

    return call


def _attention(device: Device, shape: tuple[int, int, int]) -> Task:
    (batch, q_len, kv_len), (heads, kv_heads, width), torch = shape, HEADS, device.torch
    kind = getattr(torch, KINDS[device.dtype])

    def make() -> Call:
        attend = torch.nn.functional.scaled_dot_product_attention
        sizes = ((heads, q_len), (kv_heads, kv_len), (kv_heads, kv_len))
        q, k, v = (torch.randn((batch, h, t, width), device=device.name).to(kind) for h, t in sizes)
        return lambda: attend(q, k, v, is_causal=q_len > 1, enable_gqa=True)

    fields = {"phase": "prefill" if q_len > 1 else "decode", "batch": batch, "q_len": q_len, "kv_len": kv_len,
              "heads": heads, "kv_heads": kv_heads, "head_dim": width, "dtype": device.dtype,
              "kv_dtype": device.dtype}  # fmt: skip
    pairs = q_len * (q_len + 1) / 2.0 if q_len > 1 else float(kv_len)
    moved = BITS[device.dtype] / 8.0 * batch * width * (2.0 * kv_heads * kv_len + 2.0 * heads * q_len)
    return Task("attention", fields, _replayed(device, make), 4.0 * batch * heads * width * pairs, moved)
