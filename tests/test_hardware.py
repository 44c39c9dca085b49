"""Laws of the hardware catalogue: dense peaks, decimal bytes, one direction of a link, a parent for every number."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from perfmodel.catalog import load_sources
from perfmodel.hardware import ACCELERATORS, DTYPES, LINKS, SPECS, accelerator

FILES = sorted((SPECS / "accelerators").glob("*.toml"))
LINK_FILES = sorted((SPECS / "links").glob("*.toml"))

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

#: Names in the published measurements that the model is fitted to, and the chip that each means.
MEASURED_NAMES = {
    "AMD Instinct MI300X 192GB": "mi300x",
    "AMD Instinct MI325X 256GB": "mi325x",
    "AMD Instinct MI355X 288GB": "mi355x",
    "AMD Radeon 8060S (Ryzen AI Max+ 395 Strix Halo, 128GB)": "radeon-8060s",
    "Apple M1 Max (32-core GPU, 64GB)": "apple-m1-max",
    "CPU: Intel Xeon 4th Gen (Sapphire Rapids), 48 cores": "xeon-spr-48c",
    "Intel Gaudi 2 96GB": "gaudi-2",
    "Intel Gaudi 3 128GB": "gaudi-3",
    "NVIDIA A100 80GB (8-GPU server; form factor not stated)": "a100-sxm-80gb",
    "NVIDIA A100 80GB (form factor not stated)": "a100-sxm-80gb",
    "NVIDIA A100 PCIe 80GB": "a100-pcie-80gb",
    "NVIDIA A100 SXM4 80GB": "a100-sxm-80gb",
    "NVIDIA B200 SXM 180GB": "b200-sxm",
    "NVIDIA B300 SXM 288GB": "b300-sxm",
    "NVIDIA GB200 (NVL)": "gb200",
    "NVIDIA GH200 141GB HBM3e (900W)": "gh200-144gb",
    "NVIDIA GeForce RTX 3090 24GB": "rtx-3090",
    "NVIDIA GeForce RTX 3090 Ti 24GB": "rtx-3090-ti",
    "NVIDIA GeForce RTX 4090 24GB": "rtx-4090",
    "NVIDIA H100 96GB HBM2e 2.4TB/s (Meta Grand Teton, 500W)": "h100-sxm-96gb",
    "NVIDIA H100 SXM5 80GB": "h100-sxm",
    "NVIDIA H200 SXM5 141GB": "h200-sxm",
    "NVIDIA L40S 48GB": "l40s",
    "NVIDIA RTX A6000 48GB": "rtx-a6000",
    "NVIDIA RTX PRO 6000 Blackwell Server 96GB": "rtx-pro-6000-server",
    "a100_80": "a100-sxm-80gb",
    "a100_sxm_80": "a100-sxm-80gb",
    "b200_sxm": "b200-sxm",
    "cpu_spr_48c": "xeon-spr-48c",
    "gaudi2": "gaudi-2",
    "h100_sxm": "h100-sxm",
    "h200_sxm": "h200-sxm",
    "l40s": "l40s",
    "m1_max_32c": "apple-m1-max",
    "mi300x": "mi300x",
    "rtx_3090": "rtx-3090",
    "rtx_3090_ti": "rtx-3090-ti",
    "rtx_4090": "rtx-4090",
    "rtx_a6000": "rtx-a6000",
    "strix_halo": "radeon-8060s",
}


def numbers(table: dict[str, object], path: str = "") -> dict[str, dict[str, object]]:
    """Return every `{ value, source }` of a spec table by its dotted path."""
    found: dict[str, dict[str, object]] = {}
    for key, value in table.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            found |= {here: value} if "value" in value else numbers(value, here)
    return found


def read(path: Path) -> dict[str, object]:
    """Read one spec file."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def sixteen_bit(id: str) -> float:
    """Return the dense bf16 peak, or fp16 where the chip has no bf16; NaN without either [FLOP/s]."""
    peaks = ACCELERATORS[id].peak_flops
    return peaks.get("bf16", peaks.get("fp16", float("nan")))


def ratios(dtype: str) -> dict[str, float]:
    """Return peak[dtype] over the 16-bit peak of every NVIDIA and AMD chip that has both."""
    chips = {id: ACCELERATORS[id] for id in ACCELERATORS}
    found = {id: chip.peak_flops[dtype] / sixteen_bit(id) for id, chip in chips.items() if dtype in chip.peak_flops}
    return {id: ratio for id, ratio in found.items() if chips[id].vendor in ("NVIDIA", "AMD") and np.isfinite(ratio)}


# ------------------------------------------------------------------------------------------------ files and names


def test_every_file_loads() -> None:
    """A spec file that does not fit the schema is a defect: no file may be left out."""
    assert ACCELERATORS.problems == ()
    assert LINKS.problems == ()
    assert len(ACCELERATORS) == len(FILES) >= 69
    assert len(LINKS) == len(LINK_FILES) > 0


def test_no_name_means_two_chips() -> None:
    """An id, a display name or an alias belongs to one file only, whatever its case."""
    owners = defaultdict(set)
    for id in ACCELERATORS:
        for name in (id, ACCELERATORS[id].name, *ACCELERATORS[id].aliases):
            owners[name.lower()].add(id)
    assert {name: ids for name, ids in owners.items() if len(ids) > 1} == {}


@pytest.mark.parametrize(("name", "id"), MEASURED_NAMES.items())
def test_measured_names_resolve(name: str, id: str) -> None:
    """Every chip in the measurements is known under the name that stands there."""
    assert ACCELERATORS.resolve(name) == id


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("h100", "h100-sxm"),
        ("H100 SXM5 80GB", "h100-sxm"),
        ("NVIDIA-H100-80GB-HBM3", "h100-sxm"),
        ("a100-80gb", "a100-sxm-80gb"),
    ],
)
def test_common_names_resolve(name: str, id: str) -> None:
    """What people type and what the driver prints find the chip, in any case."""
    assert ACCELERATORS.resolve(name) == id


def test_unknown_chip_is_refused_with_a_suggestion() -> None:
    """An unknown id is a ValueError that names the input and the nearest known id."""
    with pytest.raises(ValueError, match=r"gpu='h100-smx' is not known; did you mean .*h100-sxm"):
        ACCELERATORS.resolve("h100-smx")


def test_every_link_id_names_a_link() -> None:
    """A chip's island link is one of hardware_specs/links/ and has a bandwidth; a chip without one stands alone."""
    for id in ACCELERATORS:
        chip = ACCELERATORS[id]
        if chip.link_id:
            assert chip.link_id in LINKS, id
            assert chip.link_bytes_per_s > 0, id
        else:
            assert np.isnan(chip.link_bytes_per_s), id
            assert chip.island == 1, id


def test_announced_chips_say_so() -> None:
    """A chip that nobody can buy carries the word in its name and in its notes."""
    for id in ("rubin-r200", "mi455x"):
        assert "announced" in ACCELERATORS[id].name
        assert any("Announced" in note for note in ACCELERATORS[id].file.notes)


# ------------------------------------------------------------------------------------------------ sources


@pytest.mark.parametrize("path", [*FILES, *LINK_FILES], ids=lambda path: path.stem)
def test_every_number_has_a_parent(path: Path) -> None:
    """Each number names a source that is listed, each year has one, and nothing outside the tables is a bare number."""
    known, table = load_sources(SPECS / "sources.toml"), read(path)
    for field, number in numbers(table).items():
        assert number["source"], field
        assert number["source"] in known, field
    assert ("year" in table) == bool(table.get("year_source"))
    assert table.get("year_source", "derived") in known
    bare = [key for key, value in table.items() if isinstance(value, (int, float)) and key not in ("year", "switched")]
    assert bare == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_unsourced_means_estimate(path: Path) -> None:
    """The list `unsourced` and the numbers marked estimate are the same, so no guess can hide."""
    table = read(path)
    guesses = {field for field, number in numbers(table).items() if number["source"] == "estimate"}
    assert set(table.get("unsourced", ())) == guesses


def test_estimates_and_derived_numbers_say_how() -> None:
    """A number without a published source explains itself in a note."""
    for path in [*FILES, *LINK_FILES]:
        for field, number in numbers(read(path)).items():
            if number["source"] in ("estimate", "derived"):
                assert number.get("note"), f"{path.stem} {field}"


def test_every_source_is_used_and_complete() -> None:
    """A source that no number names is dead; one without title and place cannot be looked up."""
    used: set[object] = set()
    for path in [*FILES, *LINK_FILES]:
        table = read(path)
        used |= {number["source"] for number in numbers(table).values()} | {table.get("year_source")}
    listed = read(SPECS / "sources.toml")
    assert set(listed) - used == set()
    assert [key for key, source in listed.items() if not (source.get("title") and source.get("place"))] == []


def test_sources_are_public_places() -> None:
    """No path of somebody's machine stands in the catalogue."""
    for path in [*FILES, *LINK_FILES, SPECS / "sources.toml", SPECS / "README.md"]:
        assert not re.search(r"/wor[k]/|/hom[e]/|/tm[p]/|peers/", path.read_text(encoding="utf-8")), path.name


# ------------------------------------------------------------------------------------------------ peaks


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


# ------------------------------------------------------------------------------------------------ memory, links, money


@pytest.mark.parametrize(
    ("id", "size"), [("h100-sxm", 80e9), ("h200-sxm", 141e9), ("a100-sxm-40gb", 40e9), ("b200-sxm", 180e9)]
)
def test_bytes_are_decimal(id: str, size: float) -> None:
    """A GB of a datasheet is 1e9 B."""
    assert ACCELERATORS[id].memory_bytes == size


def test_bandwidth_is_decimal() -> None:
    """A TB/s of a datasheet is 1e12 B/s."""
    assert ACCELERATORS["h100-sxm"].memory_bytes_per_s == 3.35e12


@pytest.mark.parametrize(
    ("id", "link", "one_way"),
    [
        ("v100-sxm-16gb", "nvlink2", 150e9),
        ("a100-sxm-80gb", "nvlink3", 300e9),
        ("h100-sxm", "nvlink4", 450e9),
        ("h200-sxm", "nvlink4", 450e9),
        ("b200-sxm", "nvlink5", 900e9),
        ("gb200", "nvlink5", 900e9),
    ],
)
def test_nvlink_is_one_direction(id: str, link: str, one_way: float) -> None:
    """NVLink is sold with both directions together (300, 600, 900, 1800 GB/s): half of it counts."""
    assert ACCELERATORS[id].link_id == link
    assert ACCELERATORS[id].link_bytes_per_s == LINKS[link].bytes_per_s == one_way


def test_islands() -> None:
    """Eight GPUs on an HGX board, 72 in an NVL72 rack, one without an island link."""
    assert {ACCELERATORS[id].island for id in ("a100-sxm-80gb", "h100-sxm", "h200-sxm", "b200-sxm", "b300-sxm")} == {8}
    assert {ACCELERATORS[id].island for id in ("gb200", "gb300")} == {72}
    assert {ACCELERATORS[id].island for id in ("l4", "l40s", "t4", "rtx-4090")} == {1}


def test_pcie_is_one_direction_and_doubles() -> None:
    """PCIe x16 doubles with each generation: 16, 32, 64, 128 GB/s one way; every card uses one of these."""
    speeds = [LINKS[f"pcie-gen{n}"].bytes_per_s for n in (3, 4, 5, 6)]
    np.testing.assert_allclose(speeds, [16e9, 32e9, 64e9, 128e9])
    cards = [ACCELERATORS[id].pcie_bytes_per_s for id in ACCELERATORS]
    assert {speed for speed in cards if np.isfinite(speed)} <= set(speeds)


def test_network_is_per_chip() -> None:
    """A port of 400 Gbit/s gives one GPU 50 GB/s; 400 GB/s is the node."""
    np.testing.assert_allclose(LINKS["infiniband-ndr-400"].bytes_per_s, 400e9 / 8)
    np.testing.assert_allclose(LINKS["infiniband-hdr-200"].bytes_per_s, 200e9 / 8)


def test_link_latencies_are_microseconds() -> None:
    """Start-up of a collective lies between one and a hundred microseconds, in seconds."""
    for id in LINKS:
        assert 1e-6 <= LINKS[id].latency_s <= 100e-6, id


def test_a_price_has_a_day() -> None:
    """A list price without its date is worthless."""
    for id in ACCELERATORS:
        price = ACCELERATORS[id].file.price
        assert (price.usd_per_hour is None) == (price.date == ""), id


# ------------------------------------------------------------------------------------------------ the loader

MINIMAL = {"name": "x", "vendor": "x", "architecture": "x", "kind": "gpu"}


def test_missing_numbers_are_nan() -> None:
    """What nobody published is NaN, not zero, and the chip stands alone."""
    chip = accelerator("x", MINIMAL)
    assert np.isnan([chip.memory_bytes, chip.memory_bytes_per_s, chip.clock_hz, chip.link_bytes_per_s]).all()
    assert chip.peak_flops == {}
    assert chip.island == 1


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("memory", {"capacity": {"value": 80, "source": "nobody"}}, r"memory\.capacity: source='nobody' is not in"),
        ("memory", {"capacity": {"value": -80, "source": "derived"}}, "greater than 0"),
        ("memory", {"capacity": {"value": "75-80", "source": "derived"}}, "a number is needed"),
        ("memory", {"capacity": {"value": 80}}, "source"),
        ("peak", {"bf17": {"value": 1, "source": "derived"}}, "unknown data type"),
        ("memory", {"capacty": {"value": 80, "source": "derived"}}, "capacty"),
    ],
)
def test_bad_numbers_are_refused(field: str, value: object, reason: str) -> None:
    """A number without a listed source, out of range, as text or under an unknown name is a ValueError that says so."""
    with pytest.raises(ValueError, match=reason):
        accelerator("x", MINIMAL | {field: value})


def test_data_types_are_the_known_ones() -> None:
    """Every peak is of a type that the model can ask for."""
    assert {dtype for id in ACCELERATORS for dtype in ACCELERATORS[id].peak_flops} <= set(DTYPES)
