"""Single kernels: one row in, its time and what binds it out. `python -m perfmodel kernels` is this on a stream."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from perfmodel.attention import Attention
from perfmodel.backend import backend_id
from perfmodel.bands import band
from perfmodel.calibration import calibrated, canonical
from perfmodel.catalog import closest, first_problem
from perfmodel.codec import DTYPE_ALIASES
from perfmodel.collectives import wires
from perfmodel.engine import ENGINES
from perfmodel.formulas.occupancy import cached_bandwidth
from perfmodel.generation import GENERATIONS
from perfmodel.hardware import ACCELERATORS, Accelerator, Chip, custom_accelerator
from perfmodel.ops import DECODE_UP_TO, Group, Op, Pass
from perfmodel.precision import BITS, KV_DTYPES, MATH_DTYPES, WEIGHT_DTYPES, Precision, rates
from perfmodel.step import Fabric, price
from perfmodel.tuning import tuned
from perfmodel.workload import Workload

Row = Mapping[str, Any]
Result = dict[str, Any]

#: The engine whose efficiencies a single kernel gets: a kernel of a good engine, launched from a graph.
ENGINE = "fused"
NO_LINK = Fabric(math.inf, 0.0)
#: Largest whole number of a row.
LARGEST = 10**15
#: Largest group of a collective.
MOST_RANKS = 1_000_000


def kernel(row: Row) -> Result:
    """Return `{"time_s", "bound"}` of one kernel, with `low` and `high` where a calibration gives them.

    >>> kernel({"kernel": "all_reduce", "gpu": "h100-sxm", "n_gpu": 1, "bytes": 8192})["time_s"]
    0.0
    """
    if not isinstance(row, Mapping):
        raise ValueError('a JSON object is needed, such as {"kernel": "all_reduce", "gpu": ..., "bytes": ...}')
    name = row.get("kernel")
    if not isinstance(name, str) or name not in KERNELS:
        near = closest(str(name), tuple(KERNELS))
        raise ValueError(f"kernel={name!r:.80} is not known; allowed are {', '.join(KERNELS)}{near}")
    price_one, fields = KERNELS[name]
    unknown = set(row) - fields - {"kernel", "gpu"}
    if unknown:
        first = min(map(str, unknown))
        raise ValueError(f"{first[:40]!r} is no field of a row of kind {name}{closest(first, tuple(sorted(fields)))}")
    return price_one(row)


def _whole(row: Row, name: str, default: int | None = None, least: int = 1, most: int = LARGEST) -> float:
    value = row.get(name, default)
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
    if value is None or not whole or not least <= value <= most:
        shown = f"{name}={value!r:.60} is not allowed" if name in row else f"{name} is missing"
        raise ValueError(f"{shown}: a whole number from {least} to {most:,} is needed")
    return float(value)


def _choice(row: Row, name: str, allowed: tuple[str, ...], default: str) -> str:
    value = row.get(name, default)
    text = DTYPE_ALIASES.get(str(value).strip().lower(), str(value).strip().lower())
    if text not in allowed:
        raise ValueError(
            f"{name}={value!r:.60} is not allowed; allowed are {', '.join(allowed)}{closest(text, allowed)}"
        )
    return text


def _chip(row: Row) -> Accelerator:
    given = row.get("gpu")
    if isinstance(given, Mapping):
        try:
            return custom_accelerator(Chip.model_validate(dict(given)))
        except ValidationError as error:
            raise ValueError(f"gpu: {first_problem(error)}; {', '.join(Chip.model_fields)} are its numbers") from error
    if not isinstance(given, str):
        raise ValueError(f"gpu={given!r:.60} is not allowed: an accelerator's id, an alias or an object is needed")
    return ACCELERATORS[given]


def _priced(op: Op, chip: Accelerator, precision: Precision, row: Row) -> Result:
    engine = calibrated(tuned(ENGINES[_engine(row)], chip, precision), _calibration(row))
    step = price((op,), (), _warm(op, chip), engine, rates(chip, precision), NO_LINK)
    timed = step.timed[0]  # the engine's own step is the second operator: a kernel alone has none
    # Launched one after the other, kernels take the longer of the device's time and the host's.
    waits = "engine" in row and engine.host_s > timed.time_s
    time_s, bound = (engine.host_s, "overhead") if waits else (timed.time_s, timed.bound)
    result: Result = {"time_s": time_s, "bound": bound}
    phase = "decode" if op.kind == "attention" and op.shape[5] <= DECODE_UP_TO else "prefill"
    known = band("gemm" if op.kind == "matmul" else f"{phase} attention", engine, chip)
    if known:
        result["low"], result["high"] = known.of(time_s)
        result |= {"note": f"far from any data: {known.far}"} if known.far else {}
    return result


def _engine(row: Row) -> str:
    given = row.get("engine", ENGINE)
    if not isinstance(given, str):
        raise ValueError(f"engine={given!r:.60} is not allowed: the id of a profile is needed, such as eager")
    return ENGINES.resolve(given, "engine")


def _calibration(row: Row) -> str:
    given = row.get("cal", "")
    if not isinstance(given, str):
        raise ValueError(f"cal={given!r:.60} is not allowed: a text such as 'mem:0.83,compute:0.71' is needed")
    return canonical(given)


def _warm(op: Op, chip: Accelerator) -> Accelerator:
    """Return the chip as a benchmark sees it that replays one decode kernel: data in the L2 cache come faster."""
    known = chip.architecture.lower() in GENERATIONS.aliases and chip.l2_bytes > 0
    fit = GENERATIONS[chip.architecture].file.decode_attention if known else None
    if fit is None or op.kind != "attention" or op.shape[5] > DECODE_UP_TO:
        return chip
    rate = cached_bandwidth(chip.memory_bytes_per_s, op.moved_bytes, chip.l2_bytes, fit.cache_gain)
    return replace(chip, memory_bytes_per_s=float(rate))


def all_reduce(row: Row) -> Result:
    """Return the time of an all-reduce of `bytes` on each of `n_gpu` ranks; the dtype does not matter."""
    chip, ranks = _chip(row), int(_whole(row, "n_gpu", most=MOST_RANKS))
    message = _whole(row, "bytes", least=0)
    _choice(row, "dtype", tuple(BITS), "bf16")
    given = row.get("backend", "nccl")
    if not isinstance(given, str):
        raise ValueError(f"backend={given!r:.60} is not allowed: a text such as 'nccl' or 'vllm' is needed")
    links = wires(chip, backend_id(given))
    time = float(links.time_s("all_reduce", message, ranks))
    # Start-up and hops belong to the network, as in a whole step; `latency_s` says how much of the time they are.
    late = float(links.time_s("all_reduce", 0.0, ranks))
    result = {"time_s": time, "bound": "network", "latency_s": late}
    known = band("all-reduce", ENGINES[ENGINE], chip)
    inside = not links.island or ranks <= links.island
    if known is None or ranks < 2 or not inside:
        return result
    result["low"], result["high"] = known.of(time)
    return result | ({"note": f"far from any data: {known.far}"} if known.far else {})


def gemm(row: Row) -> Result:
    """Return the time of C[m, n] = A[m, k] W[n, k]."""
    chip = _chip(row)
    m, n, k = (_whole(row, name) for name in ("m", "n", "k"))
    weights = _choice(row, "weight_dtype", WEIGHT_DTYPES, "bf16")
    precision = Precision(weights, _choice(row, "math_dtype", MATH_DTYPES, "auto"))
    run = Pass(Workload(m, 1.0, 0.0), precision, ENGINES[ENGINE].kernels)
    return _priced(run.matmul("gemm", Group.FFN, k, n), chip, precision, row)


def copy(row: Row) -> Result:
    """Return the time of an element-wise kernel that reads and writes `bytes` in all; with none, of a launch.

    Under an `engine` that launches from its host, the host's time counts too.
    """
    moved = _whole(row, "bytes", least=0)
    return _priced(Op("copy", Group.NORMS, "elementwise", activation_bytes=moved), _chip(row), Precision("bf16"), row)


def attention(row: Row) -> Result:
    """Return the time of softmax attention of `q_len` new tokens on `kv_len` cached ones, causal."""
    chip = _chip(row)
    names = ("batch", "q_len", "kv_len", "heads", "kv_heads", "head_dim")
    decode = _choice(row, "phase", ("prefill", "decode"), "decode") == "decode"
    given = {name: _whole(row, name, 1 if name == "q_len" and decode else None) for name in names}
    if given["q_len"] > given["kv_len"]:
        raise ValueError(
            f"q_len={given['q_len']:.0f} exceeds kv_len={given['kv_len']:.0f}, which counts the new tokens"
        )
    dtype = _choice(row, "dtype", WEIGHT_DTYPES, "bf16")
    precision = Precision(dtype, "auto", _choice(row, "kv_dtype", KV_DTYPES, dtype if dtype in KV_DTYPES else "bf16"))
    heads, kv_heads, head_dim = (int(given[name]) for name in names[3:])
    layer = Attention(heads * head_dim, heads, kv_heads, head_dim)
    work = Workload(given["batch"], given["q_len"], given["kv_len"] - given["q_len"])
    ops = layer.ops(Pass(work, precision, ENGINES[ENGINE].kernels))
    return _priced(next(op for op in ops if op.kind == "attention"), chip, precision, row)


#: Kernel name -> what prices it, and the fields its rows may have.
KERNELS: dict[str, tuple[Callable[[Row], Result], frozenset[str]]] = {
    "gemm": (gemm, frozenset({"m", "n", "k", "weight_dtype", "math_dtype", "cal"})),
    "copy": (copy, frozenset({"bytes", "engine", "cal"})),
    "attention": (
        attention,
        frozenset({"phase", "batch", "q_len", "kv_len", "heads", "kv_heads", "head_dim", "dtype", "kv_dtype", "cal"}),
    ),
    "all_reduce": (all_reduce, frozenset({"n_gpu", "bytes", "dtype", "backend"})),
}
