"""Peak rates of accelerators: dense, units times clock, and the ladder of data types."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel.hardware import ACCELERATORS

#: Ridge of the 16-bit peak, FLOP/B: reconstructed Table 1 of the roofline article.
RIDGES = {
    "v100-sxm-16gb": 138.9,
    "a10": 208.3,
    "a100-sxm-40gb": 200.6,
    "a100-sxm-80gb": 153.0,
    "a100-pcie-80gb": 161.2,
    "h100-pcie": 378.0,
    "h100-sxm": 295.3,
    "h200-sxm": 206.1,
}

#: Figures with 2:4 sparsity (GeForce: with FP16 accumulate) as the vendors print them, TFLOP/s or TOP/s.
NOT_DENSE = {
    "a10": {"tf32": 125, "bf16": 250, "int8": 500},
    "a10g": {"bf16": 140, "int8": 280},
    "a30": {"tf32": 165, "bf16": 330, "int8": 661},
    "a40": {"tf32": 149.6, "bf16": 299.4, "int8": 598.6},
    "a100-sxm-40gb": {"tf32": 312, "fp16": 624, "bf16": 624, "int8": 1248},
    "a100-sxm-80gb": {"tf32": 312, "fp16": 624, "bf16": 624, "int8": 1248},
    "a100-pcie-40gb": {"tf32": 312, "fp16": 624, "bf16": 624, "int8": 1248},
    "a100-pcie-80gb": {"tf32": 312, "fp16": 624, "bf16": 624, "int8": 1248},
    "l4": {"tf32": 120, "fp16": 242, "bf16": 242, "fp8": 485, "int8": 485},
    "l40s": {"tf32": 366, "fp16": 733, "bf16": 733, "fp8": 1466, "int8": 1466},
    "rtx-a6000": {"bf16": 309.7},
    "rtx-3090": {"fp16": 142, "int8": 569.4},
    "rtx-4090": {"fp16": 330.3, "bf16": 330.3, "fp8": 660.6, "int8": 1321.2},
    "rtx-5090": {"fp16": 419, "bf16": 419, "fp8": 838, "int8": 1676, "fp4": 3352},
    "rtx-6000-ada": {"bf16": 728.5, "fp8": 1457, "int8": 1457},
    "rtx-pro-6000-workstation": {"bf16": 1000, "fp8": 2000, "fp4": 4000},
    "rtx-pro-6000-server": {"bf16": 1000, "fp8": 2000, "fp4": 4000},
    "h100-pcie": {"tf32": 756, "fp16": 1513, "bf16": 1513, "fp8": 3026, "int8": 3026},
    "h100-sxm": {"tf32": 989, "fp16": 1979, "bf16": 1979, "fp8": 3958, "int8": 3958},
    "h100-nvl": {"fp16": 1671, "bf16": 1671, "fp8": 3341, "int8": 3341},
    "h200-sxm": {"tf32": 989, "fp16": 1979, "bf16": 1979, "fp8": 3958, "int8": 3958},
    "h200-nvl": {"fp16": 1671, "bf16": 1671, "fp8": 3341, "int8": 3341},
    "gh200-96gb": {"tf32": 989, "fp16": 1979, "bf16": 1979, "fp8": 3958, "int8": 3958},
    "gh200-144gb": {"tf32": 989, "fp16": 1979, "bf16": 1979, "fp8": 3958, "int8": 3958},
    "b200-sxm": {"tf32": 2250, "fp16": 4500, "bf16": 4500, "fp8": 9000, "int8": 9000, "fp4": 18000},
    "b300-sxm": {"tf32": 2250, "bf16": 4500, "fp8": 9000, "int8": 307, "fp4": 18000},
    "gb200": {"tf32": 2500, "bf16": 5000, "fp8": 10000, "int8": 10000, "fp4": 20000},
    "gb300": {"tf32": 2500, "bf16": 5000, "fp8": 10000, "int8": 333, "fp4": 20000},
    "mi300x": {"tf32": 1307.4, "bf16": 2614.9, "fp8": 5229.8, "int8": 5229.8},
    "mi325x": {"tf32": 1307.4, "bf16": 2614.9, "fp8": 5229.8, "int8": 5229.8},
    "mi355x": {"bf16": 5033.2, "fp8": 10066.4, "int8": 10066.4},
}

#: Dense FP8 : 16-bit, where NVIDIA or AMD chips do not have 2.
FP8_EXCEPTIONS = {
    "l40s": (2.0246, "NVIDIA prints 362.05 and 733"),
    "rubin-r200": (4.375, "announced: 17.5 PFLOPS FP8 beside 4 PFLOPS of 16-bit"),
}

#: Dense INT8 : 16-bit, where NVIDIA or AMD chips do not have 2.
INT8_EXCEPTIONS = {
    "l40s": (2.0246, "NVIDIA prints 362.05 and 733"),
    "rtx-3090": (4.0, "GeForce halves only the FP32-accumulate rate"),
    "rtx-3090-ti": (4.0, "GeForce halves only the FP32-accumulate rate"),
    "rtx-4090": (4.0, "GeForce halves only the FP32-accumulate rate"),
    "rtx-5090": (4.0, "GeForce halves only the FP32-accumulate rate"),
    "b300-sxm": (0.0682, "Blackwell Ultra cut INT8"),
    "gb300": (0.066, "Blackwell Ultra cut INT8"),
    "rubin-r200": (0.625, "announced: INT8 below the 16-bit rate"),
    "mi210": (1.0, "CDNA2 runs INT8 at the 16-bit rate"),
    "mi250x": (1.0, "CDNA2 runs INT8 at the 16-bit rate"),
    "mi455x": (1.0, "announced: INT8 at the 16-bit rate"),
    "radeon-8060s": (1.0, "RDNA 3.5 runs INT8 at the 16-bit rate"),
}

#: Chips whose tensor peak stands at a clock [Hz] that is not the boost clock.
PEAK_CLOCKS = {"h100-pcie": 1.619e9, "h100-nvl": 1.545e9, "b200-sxm": 1.856e9, "l40s": 2.490e9}


def sixteen_bit(id: str) -> float:
    """Return the dense bf16 peak, or fp16 where the chip has no bf16; NaN without either [FLOP/s]."""
    peaks = ACCELERATORS[id].peak_flops
    return peaks.get("bf16", peaks.get("fp16", float("nan")))


def ratios(dtype: str) -> dict[str, float]:
    """Return peak[dtype] over the 16-bit peak of every NVIDIA and AMD chip that has both."""
    chips = {id: ACCELERATORS[id] for id in ACCELERATORS}
    found = {id: chip.peak_flops[dtype] / sixteen_bit(id) for id, chip in chips.items() if dtype in chip.peak_flops}
    return {id: ratio for id, ratio in found.items() if chips[id].vendor in ("NVIDIA", "AMD") and np.isfinite(ratio)}


@pytest.mark.parametrize(("id", "ridge"), RIDGES.items())
def test_ridges_of_the_article(id: str, ridge: float) -> None:
    """F / W of the dense 16-bit peak is the published ridge within 0.1 FLOP/B."""
    np.testing.assert_allclose(ACCELERATORS[id].ridge("fp16"), ridge, atol=0.1, rtol=0)


def test_fp8_is_twice_sixteen_bit() -> None:
    """Dense FP8 is 2.0 × dense 16-bit on every NVIDIA and AMD chip that has both, but for the listed ones."""
    for id, ratio in ratios("fp8").items():
        np.testing.assert_allclose(ratio, FP8_EXCEPTIONS.get(id, (2.0,))[0], rtol=1e-3, err_msg=id)
    assert set(FP8_EXCEPTIONS) <= set(ratios("fp8"))


def test_int8_is_twice_sixteen_bit() -> None:
    """Dense INT8 is 2.0 × dense 16-bit on every NVIDIA and AMD chip that has both, but for the listed ones."""
    for id, ratio in ratios("int8").items():
        np.testing.assert_allclose(ratio, INT8_EXCEPTIONS.get(id, (2.0,))[0], rtol=2e-3, err_msg=id)
    assert set(INT8_EXCEPTIONS) <= set(ratios("int8"))


def test_gaudi_3_is_the_known_exception() -> None:
    """Gaudi 3 runs FP8 at the bfloat16 rate, and FP16 at a quarter of it."""
    peaks = ACCELERATORS["gaudi-3"].peak_flops
    assert peaks["fp8"] == peaks["bf16"] == 1677e12
    assert peaks["fp16"] == 459e12


@pytest.mark.parametrize("id", NOT_DENSE)
def test_no_peak_is_sparse_or_halved(id: str) -> None:
    """No entry equals the vendor's sparse figure, nor half of the dense one."""
    peaks = ACCELERATORS[id].peak_flops
    for dtype, printed in NOT_DENSE[id].items():
        if dtype in peaks:
            share = peaks[dtype] / (printed * 1e12)
            assert abs(share - 1.0) > 0.05, f"{id} {dtype} is the sparse figure"
            assert abs(share - 0.25) > 0.05, f"{id} {dtype} is half of the dense figure"


def test_peak_is_units_times_clock() -> None:
    """Peak / (SMs × clock) equals `flop_per_clock_per_sm` within 1 %, at the tensor clock for the listed exceptions."""
    checked = 0
    for id in ACCELERATORS:
        chip = ACCELERATORS[id]
        number = chip.file.chip.flop_per_clock_per_sm
        if number is None:
            continue
        clock, tolerance = (PEAK_CLOCKS[id], 1e-3) if id in PEAK_CLOCKS else (chip.clock_hz, 1e-2)
        np.testing.assert_allclose(sixteen_bit(id) / (chip.sms * clock), number.value, rtol=tolerance, err_msg=id)
        checked += 1
    assert checked >= 30


@pytest.mark.parametrize("id", PEAK_CLOCKS)
def test_clock_exceptions_are_real(id: str) -> None:
    """At its boost clock a listed exception misses the power of two by more than 1 %, and its clock's note says why."""
    chip = ACCELERATORS[id]
    assert chip.file.chip.flop_per_clock_per_sm is not None
    assert chip.file.chip.clock is not None
    miss = sixteen_bit(id) / (chip.sms * chip.clock_hz) / chip.file.chip.flop_per_clock_per_sm.value - 1
    assert abs(miss) > 0.01
    assert "tensor peak" in chip.file.chip.clock.note


def test_flop_per_clock_is_a_power_of_two() -> None:
    """Matrix units come in powers of two."""
    for id in ACCELERATORS:
        number = ACCELERATORS[id].file.chip.flop_per_clock_per_sm
        if number is not None:
            assert float(np.log2(number.value)).is_integer(), id


def test_wider_types_are_never_faster() -> None:
    """A tensor rate does not fall as the type narrows, fp32 to fp8 to fp4, but for FP16 on Gaudi 3."""
    for id in ACCELERATORS:
        peaks = ACCELERATORS[id].peak_flops
        chain = [peaks[name] for name in ("fp64", "fp32", "tf32", "bf16", "fp8", "fp4") if name in peaks]
        assert chain == sorted(chain), id
        if {"fp16", "bf16"} <= set(peaks) and id != "gaudi-3":
            assert peaks["fp16"] == peaks["bf16"], id


def test_precision_ladder_of_the_h100_pcie() -> None:
    """Case S12: 51 FP32, 378 TF32, 756 16-bit, 1513 FP8 and INT8, all dense: steps of 7.41, 2.00 and 2.00."""
    peaks = ACCELERATORS["h100-pcie"].peak_flops
    ladder = np.array([peaks[name] for name in ("fp32", "tf32", "bf16", "fp8")])
    np.testing.assert_allclose(ladder / 1e12, [51, 378, 756, 1513])
    np.testing.assert_allclose(ladder[1:] / ladder[:-1], [7.41, 2.00, 2.00], atol=0.005)
    assert peaks["int8"] == peaks["fp8"]


@pytest.mark.parametrize("id", ["t4", "v100-sxm-16gb", "v100-sxm-32gb"])
def test_no_bfloat16_before_ampere(id: str) -> None:
    """Volta and Turing have FP16 tensor cores and no bfloat16."""
    peaks = ACCELERATORS[id].peak_flops
    assert "fp16" in peaks
    assert "bf16" not in peaks


def test_no_fp8_before_ada_and_hopper() -> None:
    """Volta, Turing and Ampere have no FP8 rate, and nothing before Blackwell an FP4 rate."""
    for id in ACCELERATORS:
        chip = ACCELERATORS[id]
        if chip.architecture in ("Volta", "Turing", "Ampere"):
            assert "fp8" not in chip.peak_flops, id
        if chip.architecture in ("Volta", "Turing", "Ampere", "Ada Lovelace", "Hopper", "Grace Hopper"):
            assert "fp4" not in chip.peak_flops, id


@pytest.mark.parametrize(
    ("id", "dtype", "tflops"),
    [
        ("a10g", "bf16", 70),
        ("a10", "bf16", 125),
        ("rtx-4090", "bf16", 165.2),
        ("rtx-5090", "bf16", 209.5),
        ("t4", "fp16", 65),
        ("t4", "fp32", 8.1),
        ("l4", "bf16", 121),
        ("v100-sxm-16gb", "fp16", 125),
        ("h100-sxm", "bf16", 989.4),
        ("gb200", "bf16", 2500),
        ("trainium2", "bf16", 667),
    ],
)
def test_peaks_that_other_tools_get_wrong(id: str, dtype: str, tflops: float) -> None:
    """Published dense figures, FP32 accumulate, one GPU."""
    np.testing.assert_allclose(ACCELERATORS[id].peak_flops[dtype], tflops * 1e12)


def test_a_measured_rate_is_below_the_peak() -> None:
    """No matmul beats the peak of its type."""
    for id in ACCELERATORS:
        chip = ACCELERATORS[id]
        for dtype, number in chip.file.measured.items():
            assert number.value * 1e12 < chip.peak_flops[dtype], id
