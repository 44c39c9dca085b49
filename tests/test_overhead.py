"""Overhead: the host queue, fusion, graphs, tracing, compiling, and the tests that reveal what binds."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from perfmodel.engine import ENGINES
from perfmodel.estimate import estimate
from perfmodel.formulas import overhead
from perfmodel.hardware import ACCELERATORS
from perfmodel.mlp import MLP
from perfmodel.network import NetworkSetup
from perfmodel.precision import Precision
from perfmodel.scenario import Scenario
from perfmodel.units import MICRO, TERA

FP32, FP16 = Precision("fp32", "auto", "fp32"), Precision("fp16", "auto", "fp16")
SMALL, LARGE = MLP(8, 64), MLP(8, 8192)


def on_t4(network: MLP, engine: str, **engine_fields: float) -> NetworkSetup:
    """An MLP on a T4 in fp16 under a profile, some of its constants replaced."""
    return NetworkSetup(network, ACCELERATORS["t4"], replace(ENGINES[engine], **engine_fields), FP16)


def test_queue_takes_the_longer_of_host_and_device() -> None:
    """S5: T = max(N c, sum t); the device idles for 1 - sum t / T of it."""
    for network in (SMALL, LARGE):
        step = on_t4(network, "eager").run(1.0)
        host = float(step.total("launches")) * ENGINES["eager"].host_s
        device = float(step.time_s - step.idle_s)
        assert_allclose(step.time_s, overhead.queue_time(step.total("launches"), ENGINES["eager"].host_s, device))
        assert_allclose(step.time_s, max(host, device))
        assert_allclose(step.idle_share, overhead.idle_share(step.time_s, device), atol=1e-12)
    assert on_t4(SMALL, "eager").run(1.0).idle_share > 0.4
    assert on_t4(LARGE, "eager").run(1.0).idle_share == 0.0


def test_small_operations_of_a_slow_host() -> None:
    """S5: 280,000 small ops/s are 3.57 us each; a Python addition costs 9.75 million FLOPs of an A100."""
    assert_allclose(1.0 / 280e3, 3.57 * MICRO, rtol=1e-3)
    a100 = ACCELERATORS["a100-sxm-40gb"].peak_flops["bf16"]
    assert_allclose(overhead.missed_flops(a100, 32e6), 9.75e6)
    assert ENGINES["traced"].host_s == pytest.approx(3.57 * MICRO)


def test_elasticity_reveals_overhead() -> None:
    """S8: doubled work leaves an overhead-bound time alone and doubles a hardware-bound one; He's +10 % is overhead."""
    assert_allclose(overhead.elasticity(1.0, 1.1, 2.0), 0.1375, atol=1e-3)
    for network, batch, expected in ((SMALL, 64.0, 0.0), (LARGE, 4096.0, 1.0)):
        before, after = (float(on_t4(network, "eager").run(b).time_s) for b in (batch, 2.0 * batch))
        assert_allclose(overhead.elasticity(before, after, 2.0), expected, atol=0.05)


def test_doubled_capability_does_not_lower_an_overhead_bound_time() -> None:
    """S8, E2: with twice the FLOP/s and B/s an overhead-bound time does not *drop*; a hardware-bound one halves."""
    t4 = ACCELERATORS["t4"]
    twice = replace(
        t4,
        peak_flops={name: 2.0 * peak for name, peak in t4.peak_flops.items()},
        memory_bytes_per_s=2.0 * t4.memory_bytes_per_s,
    )
    for network, batch, expected in ((SMALL, 64.0, 1.0), (LARGE, 4096.0, 0.5)):
        before = float(NetworkSetup(network, t4, ENGINES["eager"], FP16).run(batch).time_s)
        after = float(NetworkSetup(network, twice, ENGINES["eager"], FP16).run(batch).time_s)
        assert_allclose(after / before, expected, rtol=0.03)


def test_fusing_n_operations_saves_all_but_two_accesses() -> None:
    """S16: N pointwise operations cost 2N accesses, fused 2: a gain of N; x.cos().cos() gains 2."""
    assert overhead.fusion_speedup(2.0) == 2.0
    assert_allclose(overhead.fusion_speedup(np.arange(1.0, 20.0)), np.arange(1.0, 20.0))


def test_repeat_sweep_of_a_fused_kernel() -> None:
    """S16: on an A100 the time is flat until 32 to 64 repeats; 0.2 TFLOP/s at one, 9.75 TFLOP/s (no FMA) beyond 64."""
    a100 = ACCELERATORS["a100-sxm-40gb"]
    peak, bandwidth = a100.peak_flops["fp32"] / 2.0, a100.memory_bytes_per_s
    assert_allclose(peak, 9.75 * TERA)
    assert_allclose(overhead.pointwise_rate(1.0, 4.0, peak, bandwidth), 0.2 * TERA, rtol=0.05)
    repeats = 2.0 ** np.arange(0, 9)
    rate = overhead.pointwise_rate(repeats, 4.0, peak, bandwidth)
    time = repeats / rate
    assert_allclose(time[repeats <= 32], time[0])
    assert (time[repeats >= 64] > 1.2 * time[0]).all()
    assert_allclose(rate[repeats >= 64], peak)


def test_fused_engine_moves_and_launches_less() -> None:
    """S16: an engine that fuses element-wise work moves fewer bytes in fewer kernels, with the same matrix FLOPs."""
    eager, compiled = (on_t4(MLP(), name).run(64.0) for name in ("eager", "compiled"))
    assert compiled.total("launches") == eager.total("launches") / 2
    assert compiled.total("activation_bytes") == eager.total("activation_bytes") / 2
    assert sum(op.flops * op.count for op in compiled.ops if op.kind == "matmul") == 2.0 * MLP().parameters * 64


def test_leaner_host_helps_until_the_device_is_busy() -> None:
    """S20: T = max(N c, sum t): proportional to the launch cost c, then independent of it."""
    costs = np.array([0.0, 1e-6, 5e-6, 20e-6, 40e-6, 80e-6])
    times = np.array([float(on_t4(SMALL, "eager", host_s=c).run(1.0).time_s) for c in costs])
    assert_allclose(times[-2:], 16 * costs[-2:])
    assert_allclose(times[:2], times[0])


def test_graph_gains_only_while_launch_bound() -> None:
    """S21: CUDA graphs gain N c / max(c_g, t), and nothing from t = N c on."""
    launches, host = 300.0, 7 * MICRO
    device = np.array([0.1, 0.5, 1.0, 2.0]) * launches * host
    gain = overhead.graph_speedup(launches, host, 10 * MICRO, device)
    assert_allclose(gain, [10.0, 2.0, 1.0, 1.0])
    eager = on_t4(SMALL, "eager").run(1.0).time_s
    replayed = on_t4(SMALL, "eager", host_s=0.0).run(1.0).time_s
    assert_allclose(eager / replayed, overhead.graph_speedup(16.0, ENGINES["eager"].host_s, 0.0, replayed))


def test_tracing_removes_python_and_nothing_else() -> None:
    """S22: a traced graph runs the kernels of eager with a cheaper host; bound by the device, it gains nothing."""
    assert ENGINES["traced"].kernels == ENGINES["eager"].kernels
    for network, gains in ((SMALL, True), (LARGE, False)):
        eager, traced = (on_t4(network, name).run(64.0) for name in ("eager", "traced"))
        assert_allclose(traced.needs_s, eager.needs_s)
        assert (traced.time_s < eager.time_s) == gains
        assert traced.time_s <= eager.time_s


@pytest.mark.parametrize("batch", [1, 16, 256])
def test_order_of_the_software_stacks(batch: int) -> None:
    """S20 to S23: ideal <= fused <= compiled <= traced <= eager, for prefill and for decode."""
    reports = [
        estimate(Scenario(engine=name, batch=batch)) for name in ("ideal", "fused", "compiled", "traced", "eager")
    ]
    for field in ("ttft_s", "decode_step_s"):
        times = [getattr(report, field) for report in reports]
        assert times == sorted(times), dict(zip((r.scenario.engine for r in reports), times, strict=True))


def test_compiling_pays_after_enough_runs() -> None:
    """S23: every distinct shape is compiled once: cost t_c n, paid back after t_c n / (T1 - T2) runs, or never."""
    assert overhead.jit_cost(20.0, 6.0) == 120.0
    eager, compiled = (float(on_t4(MLP(), name).run(64.0).time_s) for name in ("eager", "compiled"))
    runs = overhead.jit_break_even(20.0, 3.0, eager, compiled)
    assert_allclose(runs * eager, overhead.jit_cost(20.0, 3.0) + runs * compiled)
    assert np.isinf(overhead.jit_break_even(20.0, 3.0, compiled, compiled))


def test_floor_of_small_linear_layers() -> None:
    """S49: FLOPs of 4 : 1 : 1 : 4 take 2 : 1 : 1 : 1.5; with k and v at the floor, q and o take their mean, 1.75."""
    flops = np.array([4.0, 1.0, 1.0, 4.0])
    times = overhead.floor_time(flops, 1.75 / 4.0, 1.0)
    assert_allclose(times, [1.75, 1.0, 1.0, 1.75])
    assert_allclose(times / times.sum(), [0.364, 0.182, 0.182, 0.273], atol=0.05)


def test_smooth_width_law() -> None:
    """S51: a floor of 1.10 s and a parabola of 1.37 s at 4096, p = 1.8, meet the five points within 0.025 s."""
    widths, measured = np.array([1024.0, 1536, 2048, 3072, 4096]), [1.10, 1.11, 1.15, 1.41, 1.82]
    times = overhead.width_time(widths, 1.10, 1.37, 4096.0, 1.8)
    assert_allclose(times, [1.106, 1.126, 1.173, 1.392, 1.824], atol=5e-4)
    assert_allclose(times, measured, atol=0.025)


def test_allocator_reserves_in_blocks() -> None:
    """S56: 20 tokens need 655,360 B; small tensors come out of blocks of 2,097,152 B, 3.2 times as much."""
    needed = 20.0 * 4 * 8 * 1024
    assert needed == 655_360
    assert overhead.reserved_bytes(needed) == 2_097_152
    assert overhead.reserved_bytes(needed) / needed == pytest.approx(3.2)
    tokens = np.arange(0.0, 400.0)
    stairs = overhead.reserved_bytes(tokens * 32_768)
    assert (stairs >= tokens * 32_768).all()
    assert set(np.diff(stairs)) == {0.0, 2_097_152.0}
