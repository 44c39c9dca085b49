"""Laws of the hardware catalogue: decimal bytes, one direction of a link, a parent for every number."""

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
