"""Traps in reading datasheets: sparse or halved peaks, both directions, two chips in one, binary units."""

from __future__ import annotations

import pytest

from perfmodel import ACCELERATORS, Scenario, estimate
from perfmodel.estimate import setup
from perfmodel.hardware import LINKS
from perfmodel.precision import native_dtype
from perfmodel.units import show
from tests.test_traps import close


def test_hardware_tensor_peak() -> None:
    """Hardware: the ridge of an H100 is 295 on its tensor cores, not 20 on its FP32 cores."""
    chip = ACCELERATORS["h100-sxm"]
    close(chip.ridge("fp32"), 20, atol=0.5)
    run = setup(Scenario(gpu="h100-sxm")).rates
    assert run.flops["linear"] == run.flops["wide"] == 989.4e12


@pytest.mark.parametrize(
    ("gpu", "tflops"),
    [("l4", 121), ("l40s", 362.05), ("a100-sxm-40gb", 312), ("a100-pcie-80gb", 312), ("a100-sxm-80gb", 312)],
)
def test_hardware_dense_is_not_halved_again(gpu: str, tflops: float) -> None:
    """Hardware: a figure that is dense already is not halved: L4 121, L40S 362, A100 312."""
    close(ACCELERATORS[gpu].peak_flops["bf16"], tflops * 1e12, rtol=1e-6)


@pytest.mark.parametrize(("gpu", "fp32_sum", "fp16_sum"), [("rtx-4090", 165.2, 330), ("rtx-5090", 209.5, 419)])
def test_hardware_geforce_accumulate(gpu: str, fp32_sum: float, fp16_sum: float) -> None:
    """Hardware: GeForce prints the rate with FP16 accumulate, 330 and 419; with FP32 accumulate it is half."""
    peak = ACCELERATORS[gpu].peak_flops["fp16"] / 1e12
    close(peak, fp32_sum, rtol=1e-3)
    close(fp16_sum / peak, 2.0, rtol=2e-3)


def test_hardware_a10g_is_not_a10() -> None:
    """Hardware: A10G has 70 TFLOP/s, A10 125."""
    assert ACCELERATORS["a10g"].peak_flops["bf16"] == 70e12
    assert ACCELERATORS["a10"].peak_flops["bf16"] == 125e12


def test_hardware_t4_has_no_bf16() -> None:
    """Hardware: T4 has no BF16 units: bf16 runs at the FP16 rate of 65 TFLOP/s, and a note says so."""
    chip = ACCELERATORS["t4"]
    assert "bf16" not in chip.peak_flops
    assert native_dtype(chip, "bf16") == "fp16"
    report = estimate(Scenario(model="llama-3.2-1b", gpu="t4"))
    assert report.setup.rates.flops["linear"] == 65e12
    assert any("no bf16 units" in note.text for note in report.notes)


@pytest.mark.parametrize(
    ("gpu", "both", "one_way"),
    [("a100-sxm-80gb", 600, 300), ("h100-sxm", 900, 450), ("h200-sxm", 900, 450), ("b200-sxm", 1800, 900)],
)
def test_hardware_nvlink_is_one_way(gpu: str, both: float, one_way: float) -> None:
    """Hardware: NVLink is quoted both directions together (600, 900, 1800 GB/s): 300, 450, 900 count."""
    chip = ACCELERATORS[gpu]
    assert chip.link_bytes_per_s == LINKS[chip.link_id].bytes_per_s == one_way * 1e9 == both * 1e9 / 2


def test_hardware_superchip_is_two_gpus() -> None:
    """Hardware: the figures of a GB200 superchip halve per GPU: 2500 TFLOP/s, 8 TB/s, 186 or 192 GB of 384."""
    chip = ACCELERATORS["gb200"]
    assert chip.peak_flops["bf16"] == 2500e12
    assert chip.peak_flops["fp4"] == 10_000e12
    assert chip.memory_bytes_per_s == 8e12
    assert 186e9 <= chip.memory_bytes <= 192e9


def test_hardware_bytes_are_decimal() -> None:
    """Hardware: GB and GiB are not mixed: H200 has 141e9 B, not 151.4e9; GB300 288e9; 80e9 B read 80 GB."""
    assert ACCELERATORS["h200-sxm"].memory_bytes == 141e9
    assert ACCELERATORS["gb300"].memory_bytes == 288e9
    assert show(80e9, "B") == "80 GB"
    assert show(2.0**30, "B") == "1.07 GB"


def test_hardware_network_is_per_gpu() -> None:
    """Hardware: a node's network is eight ports: one GPU has 400 Gbit/s = 50 GB/s, not 400 GB/s."""
    assert LINKS["infiniband-ndr-400"].bytes_per_s == 50e9
    assert LINKS["infiniband-hdr-200"].bytes_per_s == 25e9


@pytest.mark.parametrize(
    ("gpu", "dtype", "per_clock", "clock_ghz"),
    [
        ("t4", "fp16", 1024, None),
        ("a10", "fp16", 1024, None),
        ("a40", "bf16", 1024, None),
        ("v100-sxm-16gb", "fp16", 1024, None),
        ("a30", "bf16", 2048, None),
        ("a100-sxm-80gb", "bf16", 2048, None),
        ("h100-sxm", "bf16", 4096, 1.83),
        ("rtx-4090", "bf16", 512, None),
        ("mi300x", "bf16", 2048, None),
        ("mi355x", "bf16", 4096, None),
        # The exceptions: their peak stands at a clock that is not the boost clock.
        ("h100-pcie", "bf16", 4096, 1.619),
        ("b200-sxm", "bf16", 8192, 1.856),
        ("l40s", "bf16", 1024, 2.490),
    ],
)
def test_hardware_peak_over_clock(gpu: str, dtype: str, per_clock: int, clock_ghz: float | None) -> None:
    """Hardware: peak / (SM x clock) is a power of two, at the boost clock or at the documented one."""
    chip = ACCELERATORS[gpu]
    clock = clock_ghz * 1e9 if clock_ghz else chip.clock_hz
    close(chip.peak_flops[dtype] / (chip.sms * clock), per_clock, rtol=0.01)
