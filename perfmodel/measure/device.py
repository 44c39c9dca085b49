"""What PyTorch computes on: a processor that blocks, or a CUDA device with events and graphs.

Everything that only CUDA can do is in `Cuda` and `Replay`; the tasks are the same code on every device.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import time
from collections.abc import Callable
from typing import Any

from perfmodel.measure.timing import (
    LEAST_REPEATS,
    LEAST_S,
    LEAST_TICK_S,
    Clock,
    cores,
    last_cache,
    median_time,
    model_name,
    processor_time,
)
from perfmodel.units import MILLI

#: Calls to warm up before a capture, and calls in one graph: a replay's own launch is spread over them.
WARM_UP, IN_GRAPH = 3, 10
#: So many repetitions have their events in flight at once, so that the host never waits for the device between them.
MOST_IN_FLIGHT = 20

#: The compute capability from which tensor cores know bf16.
BF16_FROM = (8, 0)

Call = Callable[[], object]


def torch_module() -> Any:
    """Return the torch module, or None where it is not installed."""
    return importlib.import_module("torch") if importlib.util.find_spec("torch") else None


def device_of(torch: Any, name: str = "auto", busy: bool = False) -> Device:
    """Return the device of this name; auto takes CUDA where it is, and the processor where that is `busy`."""
    has_cuda = bool(torch.cuda.is_available())
    if name == "cuda" and not has_cuda:
        raise ValueError("device=cuda is not possible: PyTorch is here, but sees no CUDA device")
    return Cuda(torch) if has_cuda and name != "cpu" and not busy else Device(torch, busy)


class Device:
    """The processor itself: a call returns when it is done, and nothing can be captured."""

    name, graphs = "cpu", False
    engines: tuple[str, ...] = ("eager-cpu",)

    def __init__(self, torch: Any, busy: bool = False) -> None:
        """Hold the library; on a `busy` machine compute in one thread and count the processor time that it got."""
        self.torch, self.busy = torch, busy
        if busy:
            torch.set_num_threads(1)

    def about(self) -> dict[str, str]:
        """Return what is measured."""
        found = {"device": f"CPU: {model_name()}", "cores": f"{self.torch.get_num_threads()} of {cores()}"}
        found |= {"clock": "processor time of the one thread, as the machine did other work too"} if self.busy else {}
        return found | {"library": f"PyTorch {self.torch.__version__}"}

    @property
    def dtype(self) -> str:
        """The data type of the decoder and of attention."""
        return "fp32"

    @property
    def capability(self) -> tuple[int, int]:
        """What compute capability means to CUDA: here, none."""
        return (0, 0)

    @property
    def cache_bytes(self) -> int:
        """Size of the last cache before memory [B], 0 where it is unknown."""
        return last_cache()

    @property
    def clock(self) -> Clock:
        """What times a call."""
        return processor_time if self.busy else median_time

    def replayed(self, call: Call, calls: int = IN_GRAPH) -> Call:
        """Return what runs a call as a serving engine does: a graph of so many, or the call where there are none."""
        return Replay(self.torch, call, calls) if self.graphs else call


class Cuda(Device):
    """A CUDA device: timed between events on its stream, replayed from graphs."""

    name, graphs = "cuda", True
    engines = ("eager", "fused")

    @property
    def dtype(self) -> str:
        """The 16-bit type that its matrix units know."""
        return "bf16" if self.capability >= BF16_FROM else "fp16"

    @property
    def capability(self) -> tuple[int, int]:
        """Its compute capability, such as (9, 0)."""
        found: tuple[int, int] = self.torch.cuda.get_device_capability(0)
        return found

    def about(self) -> dict[str, str]:
        """Return what is measured."""
        cuda = self.torch.cuda
        library = f"PyTorch {self.torch.__version__}, CUDA {self.torch.version.cuda}"
        return {"device": f"GPU: {cuda.get_device_name(0)}", "devices": str(cuda.device_count()), "library": library}

    @property
    def cache_bytes(self) -> int:
        """Size of the L2 cache [B], 0 where this PyTorch does not tell it."""
        return int(getattr(self.torch.cuda.get_device_properties(0), "L2_cache_size", 0))

    @property
    def clock(self) -> Clock:
        """What times a call: events on the stream, so that the host's wait is no part of it."""
        return self._between_events

    def _between_events(self, call: Call, budget_s: float) -> float:
        """Return the median time of a call [s]: the device's, or the host's where launching takes longer."""
        cuda, calls = self.torch.cuda, getattr(call, "calls", 1)
        call()
        cuda.synchronize()
        begun = time.perf_counter()
        call()
        cuda.synchronize()
        once = max(LEAST_TICK_S, time.perf_counter() - begun)
        in_flight = int(min(MOST_IN_FLIGHT, max(1.0, budget_s / LEAST_REPEATS / once)))
        times: list[float] = []
        begun = time.perf_counter()
        while len(times) < LEAST_REPEATS or time.perf_counter() - begun < max(LEAST_S, budget_s):
            marks = [cuda.Event(enable_timing=True) for _ in range(in_flight + 1)]
            marks[0].record()
            for mark in marks[1:]:
                call()
                mark.record()
            marks[-1].synchronize()
            times += [a.elapsed_time(b) * MILLI / calls for a, b in itertools.pairwise(marks)]
        return float(sorted(times)[len(times) // 2])


class Repeated:
    """A call made `calls` times in a row, so that the marks of the clock are spread over many."""

    def __init__(self, call: Call, calls: int) -> None:
        """Hold the call."""
        self.call, self.calls = call, calls

    def __call__(self) -> None:
        """Make them all."""
        for _ in range(self.calls):
            self.call()


class Replay:
    """A call captured `calls` times in one CUDA graph."""

    def __init__(self, torch: Any, call: Call, calls: int) -> None:
        """Warm up and capture on one side stream: libraries make their handles per stream, and not during a capture."""
        self.calls, side = calls, torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                call()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=side):
            for _ in range(calls):
                call()

    def __call__(self) -> None:
        """Replay."""
        self.graph.replay()
