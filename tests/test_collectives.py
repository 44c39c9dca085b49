"""Laws of the collectives, the article's numbers, and a few published measurements as anchors."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.__main__ import results
from perfmodel.backend import BACKENDS, backend_id
from perfmodel.collectives import Kind, wires
from perfmodel.engine import ENGINES
from perfmodel.formulas import collectives as f
from perfmodel.hardware import ACCELERATORS, LINKS
from perfmodel.kernels import kernel
from perfmodel.units import GIGA, KIB, MIB, MICRO

KINDS: tuple[Kind, ...] = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send")
CHIPS = (
    "h100-sxm",
    "a100-sxm-80gb",
    "b200-sxm",
    "gb200",
    "l40s",
    "rtx-pro-6000-server",
    "mi300x",
    "tpu-v4",
    "h100-nvl",
)
SIZES = np.logspace(2, 10, 81)

chips = st.sampled_from(CHIPS)
libraries = st.sampled_from(("nccl", "trtllm", "vllm", "ideal"))
widths = st.sampled_from((2, 4, 8, 16, 64))
messages = st.one_of(st.just(0.0), st.floats(1.0, 1e12))


def microseconds(gpu: str, backend: str, ranks: int, message_bytes: float) -> float:
    """Time of an all-reduce [µs]."""
    return float(wires(ACCELERATORS[gpu], backend).time_s("all_reduce", message_bytes, ranks)) / MICRO


@given(messages, st.integers(2, 1000), st.floats(1e9, 1e12))
def test_all_reduce_is_reduce_scatter_and_all_gather(message: float, ranks: int, rate: float) -> None:
    """A ring all-reduce moves what a reduce-scatter and an all-gather of the same buffer move."""
    parts = f.reduce_scatter_time(message, ranks, rate, 0.0) + f.all_gather_time(message, ranks, rate, 0.0)
    np.testing.assert_allclose(f.ring_all_reduce_time(message, ranks, rate, 0.0), parts, rtol=1e-12)
    np.testing.assert_allclose(f.two_shot_all_reduce_time(message, ranks, rate, 0.0), parts, rtol=1e-12)


def test_two_ranks_make_algorithms_equal() -> None:
    """With two ranks one-shot, two-shot and ring all move the buffer once: nothing is left to save."""
    for cost in (f.one_shot_all_reduce_time, f.two_shot_all_reduce_time, f.ring_all_reduce_time):
        np.testing.assert_allclose(cost(1e6, 2.0, 1e9, 0.0), 1e-3, rtol=1e-12)


@given(st.integers(3, 1000))
def test_volumes_are_ordered(ranks: int) -> None:
    """In-network moves less than a ring, a ring less than a tree, a tree at most what one-shot moves (n >= 3)."""
    ring = f.ring_all_reduce_time(1.0, ranks, 1.0, 0.0)
    in_network = f.in_network_all_reduce_time(1.0, ranks, 1.0, 0.0)
    assert in_network <= ring + 1e-12
    assert ring < f.tree_all_reduce_time(1.0, 1.0, 0.0) <= f.one_shot_all_reduce_time(1.0, ranks, 1.0, 0.0)


@given(st.floats(1e-9, 1.0), st.floats(1e-9, 1e-3), st.floats(0.01, 1e6))
def test_pipelining_takes_the_best_number_of_chunks(stream: float, fill: float, chunks: float) -> None:
    """No number of chunks beats the pipelined time: k f + s / k is smallest at k = sqrt(s/f)."""
    assert f.pipelined_time(0.0, stream, fill) <= (stream + chunks * fill + stream / chunks) * (1 + 1e-12)


@given(chips, libraries, widths, st.sampled_from(KINDS))
def test_monotone_in_bytes(gpu: str, library: str, ranks: int, kind: Kind) -> None:
    """More bytes never take less time."""
    times = wires(ACCELERATORS[gpu], library).time_s(kind, SIZES, ranks)
    assert np.all(np.diff(times) >= 0.0)


@given(chips, libraries, widths, st.sampled_from(KINDS), st.floats(1.0, 1e10))
def test_scalar_and_array_agree(gpu: str, library: str, ranks: int, kind: Kind, message: float) -> None:
    """A number, an array and the explained path give the same time."""
    links = wires(ACCELERATORS[gpu], library)
    one = links.time_s(kind, message, ranks)
    np.testing.assert_allclose(links.time_s(kind, np.array([[message]]), ranks), [[one]], rtol=1e-12)
    np.testing.assert_allclose(replace(links, by_formula=True).time_s(kind, message, ranks), one, rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_one_rank_pays_nothing(kind: Kind) -> None:
    """A group of one has nobody to talk to."""
    links = wires(ACCELERATORS["h100-sxm"], "nccl")
    assert links.time_s(kind, 1e9, 1) == 0.0
    np.testing.assert_array_equal(links.time_s(kind, np.array([1.0, 2.0]), 1), [0.0, 0.0])


@given(chips, libraries, st.sampled_from((2, 4, 8)))
def test_no_wire_carries_more_than_its_rate(gpu: str, library: str, ranks: int) -> None:
    """Bus bandwidth stays below the link, or below 2(n-1)/(n+1) of it where the switch adds."""
    links = wires(ACCELERATORS[gpu], library)
    most = 2.0 * (ranks - 1) / (ranks + 1) if ranks > 2 and links.link in ("nvlink4", "nvlink5", "nvlink6") else 1.0
    time = links.time_s("all_reduce", SIZES, ranks)
    assert np.all(f.bus_bandwidth(SIZES, ranks, time) <= links.usable(ranks) * most * (1 + 1e-9))


@given(chips, st.sampled_from(("nccl", "trtllm", "vllm")), widths, st.sampled_from(KINDS), messages)
def test_no_library_beats_the_ideal(gpu: str, library: str, ranks: int, kind: Kind, message: float) -> None:
    """The ideal collectives are a bound."""
    ideal = wires(ACCELERATORS[gpu], "ideal").time_s(kind, message, ranks)
    assert ideal <= wires(ACCELERATORS[gpu], library).time_s(kind, message, ranks) * (1 + 1e-9)


@given(chips, st.sampled_from(("trtllm", "vllm")), widths, messages)
def test_custom_kernels_never_lose_to_nccl(gpu: str, library: str, ranks: int, message: float) -> None:
    """An engine's own kernels leave to NCCL what NCCL does faster."""
    nccl = wires(ACCELERATORS[gpu], "nccl").time_s("all_reduce", message, ranks)
    assert wires(ACCELERATORS[gpu], library).time_s("all_reduce", message, ranks) <= nccl * (1 + 1e-9)


@pytest.mark.parametrize("gpu", ["h100-sxm", "a100-sxm-80gb", "b200-sxm", "rtx-pro-6000-server"])
def test_tiny_messages_cost_the_start_up(gpu: str) -> None:
    """Below 4 KB the time is a floor of microseconds that the size does not move by more than a tenth."""
    times = [microseconds(gpu, "nccl", 8, size) for size in (1.0, KIB, 4 * KIB)]
    assert times[0] > 5.0
    np.testing.assert_allclose(times, times[0], rtol=0.1)


def test_mesh_pairs_have_one_link() -> None:
    """Two of eight MI300X share one of seven links: a seventh of the bandwidth of the whole group."""
    links = wires(ACCELERATORS["mi300x"])
    np.testing.assert_allclose(links.usable(8) / links.usable(2), 7.0, rtol=1e-12)


def test_an_island_is_left_through_one_port_each() -> None:
    """H100 in four nodes: large all-reduces run at the rate of the ports; in two, inside and outside are balanced."""
    size, links = 4.0 * GIGA, wires(ACCELERATORS["h100-sxm"])
    ports = f.hierarchical_all_reduce_time(size, 8.0, 4.0, math.inf, 50e9, 0.0)
    time = links.time_s("all_reduce", size, 32)
    # nccl-tests issue 290 (NVIDIA): 46 to 48 GB/s for each port
    np.testing.assert_allclose(1.5 * size / 8 / time / GIGA, 47.0, rtol=0.1)
    assert ports < time
    inside = links.time_s("all_reduce", size, 8)
    assert inside <= links.time_s("all_reduce", size, 16) < 1.1 * inside


def test_kipply_latency_floor() -> None:
    """S18: four collectives a layer, 80 layers, 8 µs each: 2.56 ms however small the batch (kipply, 260B, 16 A100)."""
    each = f.ring_all_reduce_time(0.0, 16.0, 300e9, 8 * MICRO)
    np.testing.assert_allclose(4 * 80 * each, 2.56e-3, rtol=1e-12)


def test_pope_one_dimensional_layout_does_not_scale() -> None:
    """S19: all-gather and reduce-scatter of B L E elements take 2 B L E / bandwidth, whatever the number of chips."""
    elements, rate = 512 * 18432.0, 1e9
    times = [
        f.all_gather_time(elements, n, rate, 0.0) + f.reduce_scatter_time(elements, n, rate, 0.0) for n in (64, 4096)
    ]
    np.testing.assert_allclose(times, 2 * elements / rate, rtol=0.02)


# Anchors: AIConfigurator's published tables (systems/data/*/comm, GitHub, 2026), time of one all-reduce [µs].
@pytest.mark.parametrize(
    ("gpu", "backend", "ranks", "size", "measured"),
    [
        ("h100-sxm", "nccl 2.29.2", 2, 8 * KIB, 6.8),
        ("h100-sxm", "nccl 2.29.2", 8, 8 * KIB, 16.0),
        ("h100-sxm", "nccl 2.29.2", 8, 512 * MIB, 2111.0),
        ("h100-sxm", "vllm 0.24.0 custom all-reduce", 8, 8 * KIB, 5.1),
        ("h100-sxm", "vllm 0.24.0 custom all-reduce", 8, MIB, 15.0),
        ("a100-sxm-80gb", "nccl 2.27.3", 8, 512 * MIB, 4226.0),
        ("b200-sxm", "nccl 2.29.2", 8, MIB, 30.1),
        ("b200-sxm", "trtllm 1.3.0rc20 custom all-reduce", 8, MIB, 17.8),
        ("rtx-pro-6000-server", "nccl 2.29.2", 8, 512 * MIB, 38073.0),
    ],
)
def test_published_times(gpu: str, backend: str, ranks: int, size: float, measured: float) -> None:
    """Published all-reduce times are met within 15 %."""
    np.testing.assert_allclose(microseconds(gpu, backend_id(backend), ranks, size), measured, rtol=0.15)


@pytest.mark.parametrize(
    ("gpu", "ranks", "measured"),
    [
        ("h100-sxm", 8, 476.0),  # nccl-tests issue 290, largest messages
        ("mi300x", 2, 48.0),  # stas00/ml-engineering, network: one xGMI link of 64 GB/s
        ("mi300x", 8, 313.0),
    ],
)
def test_published_bus_bandwidths(gpu: str, ranks: int, measured: float) -> None:
    """Bus bandwidths that were not fitted are met within a quarter."""
    size = 16.0 * GIGA
    time = wires(ACCELERATORS[gpu]).time_s("all_reduce", size, ranks)
    np.testing.assert_allclose(f.bus_bandwidth(size, ranks, time) / GIGA, measured, rtol=0.25)


def test_every_library_file_is_sound() -> None:
    """No backend file is left out; shares lie between 0 and 1; every fitted link exists and says its rows and error."""
    assert not BACKENDS.problems
    for name in BACKENDS:
        library = BACKENDS[name]
        assert not library.beyond or library.beyond in BACKENDS
        for link, constants in library.links.items():
            assert link in LINKS or link == "default"
            assert constants.basis
            assert all(0.0 < p.share <= 1.0 for p in constants.protocols)
    fits = [table.fit for name in BACKENDS for table in BACKENDS[name].file.links.values() if table.fit]
    assert len(fits) == 10
    assert all(fit.rows >= 18 and fit.median_error <= 0.15 and fit.p90_error <= 0.40 for fit in fits)


def test_every_engine_names_a_library() -> None:
    """The `collectives` of an engine profile is a file of backends/."""
    for name in ENGINES:
        assert ENGINES[name].collectives in BACKENDS


def test_a_link_without_rows_says_so() -> None:
    """A chip whose link nobody measured gets the defaults, with its own start-up, and the words."""
    links = wires(ACCELERATORS["mi300x"])
    assert links.constants.basis.startswith("no rows for infinity-fabric")
    start = min(p.start_s + 2 * p.step_s for p in links.constants.protocols)
    np.testing.assert_allclose(start, links.latency_s, rtol=1e-9)


def test_kernel_rows() -> None:
    """All three kinds of kernel answer with a time above zero and a bound; a calibrated link gives a band."""
    rows = [
        {
            "kernel": "all_reduce",
            "gpu": "h100-sxm",
            "n_gpu": 8,
            "bytes": 65536,
            "dtype": "bf16",
            "backend": "nccl 2.27",
        },
        {"kernel": "gemm", "gpu": "h100-sxm", "m": 4096, "n": 4096, "k": 4096},
        {"kernel": "attention", "gpu": "h100-sxm", "phase": "decode", "batch": 8, "q_len": 1, "kv_len": 4096}
        | {"heads": 32, "kv_heads": 8, "head_dim": 128, "dtype": "bf16", "kv_dtype": "fp8"},
    ]
    answers = list(results(iter(map(json.dumps, rows)), kernel))
    assert [answer["bound"] for answer in answers] == ["network", "compute", "memory"]
    assert all(answer["time_s"] > 0.0 for answer in answers)
    assert answers[0]["low"] < answers[0]["time_s"] < answers[0]["high"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kernel": "reduce"}, "kernel='reduce' is not known; allowed are gemm, copy, attention, all_reduce"),
        ({"gpu": "nope"}, "gpu='nope' is not known"),
        ({"gpu": {"bandwidth": 1000}}, "gpu: memory"),
        ({"n_gpu": 2.5}, "n_gpu=2.5 is not allowed: a whole number"),
        ({"n_gpu": True}, "n_gpu=True is not allowed"),
        ({"bytes": -1}, "bytes=-1 is not allowed"),
        ({"bytes": "1 MB"}, "bytes='1 MB' is not allowed"),
        ({"dtype": "fp9"}, "dtype='fp9' is not allowed"),
        ({"backend": "gloo"}, "backend='gloo' is not known; allowed are ideal, nccl"),
        ({"backend": 3}, "backend=3 is not allowed"),
        ({"n_gpus": 3}, "'n_gpus' is no field of a row of kind all_reduce; did you mean n_gpu"),
    ],
)
def test_kernel_rows_that_are_refused(change: dict[str, object], words: str) -> None:
    """An error names the field, the value and what is allowed; the stream goes on."""
    row = {"kernel": "all_reduce", "gpu": "h100-sxm", "n_gpu": 8, "bytes": 1024} | change
    first, second = results(iter([json.dumps(row), json.dumps(row | {"kernel": "gemm"})]), kernel)
    assert words in first["error"]
    assert second["error"]
