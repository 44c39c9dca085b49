"""The calibrator with PyTorch: the decoder computes what its dimensions say, and CUDA's part is used as documented.

What needs PyTorch runs where it is installed; events, graphs and the all-reduce run against a stand-in that keeps time.
"""

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from perfmodel import Scenario
from perfmodel.blocks import parameters
from perfmodel.dimensions import Dimensions
from perfmodel.estimate import setup
from perfmodel.measure import Wish, decoder, kernels, measure, reduce
from perfmodel.measure.device import IN_GRAPH, WARM_UP, Cuda, Device, Repeated, Replay, device_of, torch_module
from perfmodel.measure.timing import csv_text, provenance, timed
from perfmodel.measurements import read_measurements
from perfmodel.notebook import llama_shape
from perfmodel.workload import decode

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed; it is optional"
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Let small products run in one thread: two that wait for each other are slower than one on a busy machine."""
    if (torch := torch_module()) is not None:
        torch.set_num_threads(1)


GROUPED = llama_shape(256, 2).model_copy(update={"kv_heads": 1})


def shape_of(kv_heads: int) -> Dimensions:
    """Return a small Llama: two layers, 256 wide, 128 a head."""
    return llama_shape(256, 2).model_copy(update={"kv_heads": kv_heads})


@needs_torch
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("kv_heads", [1, 2])
def test_a_prompt_and_steps_after_it_equal_the_whole(kv_heads: int, fused: bool) -> None:
    """Prefill of 7 tokens and 5 steps give the logits of one pass over 12; so do chunks of 5, 4 and 3."""
    torch = torch_module()
    torch.manual_seed(0)
    weights = decoder.Weights(Device(torch), shape_of(kv_heads))
    tokens = torch.randint(0, 1000, (3, 12))
    whole = decoder.Decoder(weights, 3, 12, fused).forward(tokens, 0, True)
    for ends in ((7, 8, 9, 10, 11, 12), (5, 9, 12)):
        run, starts = decoder.Decoder(weights, 3, 12, fused), (0, *ends)
        parts = [run.forward(tokens[:, a:b], a, True) for a, b in zip(starts, ends, strict=False)]
        np.testing.assert_allclose(torch.cat(parts, 1).numpy(), whole.numpy(), atol=2e-5)


@needs_torch
def test_fused_and_unfused_kernels_compute_the_same() -> None:
    """One product for Q, K and V, a fused norm and attention give the logits of the separate kernels."""
    torch = torch_module()
    weights = decoder.Weights(Device(torch), GROUPED)
    tokens = torch.randint(0, 1000, (2, 9))
    one, other = (decoder.Decoder(weights, 2, 9, fused).forward(tokens, 0, True) for fused in (False, True))
    np.testing.assert_allclose(one.numpy(), other.numpy(), atol=2e-5)


@needs_torch
@pytest.mark.parametrize("kv_heads", [1, 2])
def test_the_decoder_has_the_parameters_of_its_dimensions(kv_heads: int) -> None:
    """The tensors hold as many numbers as the model counts."""
    weights = decoder.Weights(Device(torch_module()), shape_of(kv_heads))
    assert weights.parameters == parameters(shape_of(kv_heads)).total


@needs_torch
@pytest.mark.parametrize("batch", [1, 3])
def test_the_step_does_the_arithmetic_that_the_model_counts(batch: int) -> None:
    """PyTorch's own counter finds the FLOPs of products and attention that we predict for a step after 20 tokens."""
    torch = torch_module()
    from torch.utils.flop_counter import FlopCounterMode

    run = decoder.Decoder(decoder.Weights(Device(torch), GROUPED), batch, 21, False)
    with FlopCounterMode(display=False) as counter:
        run.step_call(20)()
    asked = Scenario(model="custom", dimensions=GROUPED, gpu="epyc-genoa-core", engine="eager-cpu", weights="fp32")
    ops = setup(asked).run(decode(batch, 20)).ops
    counted = sum(float(op.flops * op.count) for op in ops if op.kind in ("matmul", "attention"))
    # The softmax between the two products is not what PyTorch counts.
    products = sum(
        4.0 * batch * 21 * GROUPED.heads * GROUPED.head_dim * float(op.count) for op in ops if op.kind == "attention"
    )
    linear = sum(float(op.flops * op.count) for op in ops if op.kind == "matmul")
    np.testing.assert_allclose(counter.get_total_flops(), linear + products, rtol=1e-12)
    np.testing.assert_allclose(counted, linear + products, rtol=0.02)


@needs_torch
def test_every_kind_of_task_runs_and_is_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small sweep on the CPU measures every kind of row; its file is read without a problem."""
    axes = {"width": (128, 1024), "depth": (1,), "batch": (2,), "context": (16, 32), "prompt": (8,), "tokens": (4,)}
    sweep = kernels.Sweep((1 << 20, 1 << 27), ("fp32", "bf16", "int8"), (1, 17), ((64, 128),), (32,), ((2, 64),))
    monkeypatch.setattr(decoder, "AXES", {"cpu": axes})
    monkeypatch.setattr(decoder, "LAYERS", 2)
    monkeypatch.setattr(kernels, "SWEEPS", {"cpu": sweep})
    place = Device(torch_module(), busy=True)
    tasks = [*kernels.tasks(place), *decoder.tasks(place)]
    samples = timed(tasks, 600.0, lambda call, _budget: place.clock(call, 0.0))
    about = provenance(place.about(), 1)
    found = read_measurements(csv_text(samples, about), Scenario(gpu="epyc-genoa-core"))
    assert found.problems == ()
    assert {row.what for row in found.rows} == {"launch", "copy", "gemm", "attention", "tpot", "prefill", "e2e"}
    assert [row.what for row in found.aside] == ["cached_copy"]
    assert about["cores"].startswith("1 of")
    assert "processor time" in about["clock"]


@needs_torch
def test_without_cuda_the_command_says_so() -> None:
    """PyTorch without a device is named when one is asked for."""
    if torch_module().cuda.is_available():
        pytest.skip("a CUDA device is there")
    with pytest.raises(ValueError, match="sees no CUDA device"):
        measure(Wish(1.0, "cuda"))


class Stream:
    """A stream of the stand-in: it notes for whom it waited."""

    def __init__(self, cuda: "FakeCuda", name: str) -> None:
        self.cuda, self.name = cuda, name

    def wait_stream(self, other: "Stream") -> None:
        """Note the wait."""
        self.cuda.log.append(f"{self.name} waits for {other.name}")


class FakeCuda:
    """As much of torch.cuda as we use, on a clock that a call advances by `busy_ms`."""

    def __init__(self, capability: tuple[int, int] = (9, 0), busy_ms: float = 2.0) -> None:
        self.capability, self.busy_ms, self.now_ms = capability, busy_ms, 0.0
        self.log: list[str] = []
        self.main = self.current = Stream(self, "main")
        self.Event, self.Stream, self.graph = self._event, lambda: Stream(self, "side"), self._capture
        self.CUDAGraph = lambda: SimpleNamespace(replay=lambda: self.log.append("replayed"))

    def _event(self, enable_timing: bool) -> Any:
        assert enable_timing, "without it elapsed_time raises"
        event = SimpleNamespace(at=None, synchronize=lambda: self.log.append("waited for an event"))
        event.record = lambda: setattr(event, "at", self.now_ms)
        event.elapsed_time = lambda end: end.at - event.at
        return event

    def current_stream(self) -> Stream:
        """Return the stream that work goes to."""
        return self.current

    def synchronize(self) -> None:
        """Note the wait."""
        self.log.append("synchronized")

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        """Send work to another stream."""
        self.current, before = stream, self.current
        yield
        self.current = before

    @contextmanager
    def _capture(self, _graph: Any, stream: Stream) -> Iterator[None]:
        with self.stream(stream):
            self.log.append("capture begins")
            yield
            self.log.append("capture ends")

    def get_device_capability(self, _device: int) -> tuple[int, int]:
        """Return the compute capability."""
        return self.capability

    def get_device_properties(self, _device: int) -> Any:
        """Return what a device tells of itself."""
        return SimpleNamespace(L2_cache_size=50 << 20)

    def is_available(self) -> bool:
        """Tell that there is a device."""
        return True


def fake_torch(cuda: FakeCuda) -> Any:
    """Return a module with this CUDA and the names of the data types."""
    return SimpleNamespace(cuda=cuda, **dict.fromkeys(kernels.KINDS.values(), object()))


def busy(cuda: FakeCuda) -> Callable[[], None]:
    """Return a call that keeps the device busy and notes the stream it went to."""

    def call() -> None:
        cuda.now_ms += cuda.busy_ms
        cuda.log.append(f"call on {cuda.current.name}")

    return call


def test_events_give_the_time_of_one_call_in_seconds() -> None:
    """2 ms between two events are 2 ms a call; in a replay that holds ten calls, 0.2 ms each."""
    cuda = FakeCuda()
    place = device_of(fake_torch(cuda))
    assert isinstance(place, Cuda)
    np.testing.assert_allclose(place.clock(busy(cuda), 0.01), 2e-3, rtol=1e-12)

    replay = Replay(fake_torch(cuda), busy(cuda), 10)
    replay.graph.replay = busy(cuda)
    np.testing.assert_allclose(place.clock(replay, 0.01), 2e-4, rtol=1e-12)
    np.testing.assert_allclose(place.clock(Repeated(busy(cuda), 7), 0.01), 2e-3, rtol=1e-12)
    assert cuda.log.index("synchronized") < cuda.log.index("waited for an event")


def test_a_graph_is_warmed_up_and_captured_on_one_side_stream() -> None:
    """Streams wait for each other as PyTorch asks for, and a replay calls nothing in Python."""
    cuda = FakeCuda()
    replay = device_of(fake_torch(cuda)).replayed(busy(cuda))
    expected = ["side waits for main", *["call on side"] * WARM_UP, "main waits for side", "capture begins"]
    assert cuda.log == [*expected, *["call on side"] * IN_GRAPH, "capture ends"]
    cuda.log.clear()
    replay()
    assert cuda.log == ["replayed"]
    assert isinstance(replay, Replay)
    assert replay.calls == IN_GRAPH


@pytest.mark.parametrize(
    ("capability", "dtypes", "own"),
    [((7, 5), {"fp16", "int8", "fp32"}, "fp16"), ((8, 0), {"bf16", "fp16", "int8", "fp32", "tf32"}, "bf16"),
     ((9, 0), {"bf16", "fp16", "fp8", "int8", "fp32", "tf32"}, "bf16")],
)  # fmt: skip
def test_products_of_the_types_that_a_device_knows(capability: tuple[int, int], dtypes: set[str], own: str) -> None:
    """A T4 has no bf16, an A100 no fp8; integer products start at the 17 rows that PyTorch takes."""
    place = Cuda(fake_torch(FakeCuda(capability)))
    tasks = list(kernels.tasks(place))
    products = [task for task in tasks if task.what == "gemm"]
    assert {task.fields["math_dtype"] for task in products} == dtypes
    assert min(task.fields["m"] for task in products if task.fields["math_dtype"] == "int8") >= kernels.INT8_ROWS
    assert place.dtype == own
    # Of copies of 1, 4, 16 MiB ... two times 4 MiB take less than half of 50 MiB of L2, two times 16 MiB do not.
    assert [task.fields["bytes"] >> 20 for task in tasks if task.what == "cached_copy"] == [2, 8]
    assert [task.fields for task in tasks if task.what == "launch"] == [{}, {"engine": "eager"}]


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_tasks_are_rows_that_are_read_back(name: str) -> None:
    """Every task of either device is a row of ours, and the decoder's model is given by its dimensions."""
    torch = fake_torch(FakeCuda())
    place = Device(torch) if name == "cpu" else Cuda(torch)
    tasks = (*kernels.tasks(place), *decoder.tasks(place))
    rows = [{"what": task.what, "seconds": 1.0, **task.fields} for task in tasks]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [",".join(columns), *(",".join(str(row.get(key, "")) for key in columns) for row in rows)]
    found = read_measurements("\n".join(lines), Scenario(gpu="h100-sxm"))
    assert found.problems == ()
    assert len(found.rows) + len(found.aside) == len(rows)
    shapes = {row.asked.dimensions for row in found.rows if isinstance(row.asked, Scenario)}
    assert llama_shape(1024).model_copy(update={"max_context": 131072}) in shapes


def test_an_all_reduce_is_timed_between_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty calls of 2 ms between two events are 2 ms each; one device alone has nothing to reduce."""
    cuda = FakeCuda()
    distributed = SimpleNamespace(all_reduce=lambda _message: busy(cuda)(), barrier=lambda: None)
    torch = SimpleNamespace(
        cuda=cuda, distributed=distributed, bfloat16=object(), ones=lambda count, dtype, device: (count, dtype, device)
    )
    np.testing.assert_allclose(reduce._median(torch, 0, 1 << 20), 2e-3, rtol=1e-12)
    monkeypatch.setattr(cuda, "device_count", lambda: 1, raising=False)
    assert reduce.samples(torch) == []
