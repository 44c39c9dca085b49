"""The calibrator: what it measures on this machine is a file that the page reads and the fit takes."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from perfmodel import Scenario
from perfmodel.__main__ import main
from perfmodel.calibration import parse
from perfmodel.fitting import fit
from perfmodel.measure import Wish, cpu, measure
from perfmodel.measure.cpu import copy_task
from perfmodel.measure.timing import Sample, Task, csv_text, least_of, median_time, provenance, table_text
from perfmodel.measurements import read_measurements


def test_cpu_measurement_feeds_the_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two seconds on this CPU give a file with its provenance, read without a problem, that a fit takes as it is."""
    path = tmp_path / "mine.csv"
    assert main(["calibrate", "--library", "numpy", "--seconds", "2", "-o", str(path)]) == 0
    assert "Of the best" in capsys.readouterr().out
    text = path.read_text(encoding="utf-8")
    assert "# device: CPU" in text
    found = read_measurements(text, Scenario(gpu="xeon-spr-48c"))
    assert found.problems == ()
    assert {"launch", "copy"} <= {row.what for row in found.rows}
    result = fit(found)
    assert all(value > 0 for _, value in parse(result.cal))
    assert result.scores[1].median <= result.scores[0].median + 1e-9


def test_file_and_table_say_the_same() -> None:
    """The written file holds every sample; the table adds rates as shares of the best."""
    samples = [
        Sample("gemm", 1e-3, {"m": 8, "n": 64, "k": 64}, 2e9, 1e6),
        Sample("gemm", 2e-3, {"m": 1, "n": 64, "k": 64}, 2e9, 1e6),
        Sample("launch", 1e-6),
    ]
    found = read_measurements(csv_text(samples, {"device": "none"}), Scenario())
    np.testing.assert_allclose([row.seconds for row in found.rows], [1e-3, 2e-3, 1e-6], rtol=1e-5)
    assert "2 TFLOP/s" in table_text(samples)
    assert "50%" in table_text(samples)


def test_a_slow_call_is_repeated_less() -> None:
    """The median of a call is positive and a budget ends its repetitions."""
    count = []
    assert median_time(lambda: count.append(sum(range(1000))), 0.01) > 0
    assert len(count) >= 5


def test_provenance_names_no_host() -> None:
    """Date, processor, cores and versions; neither host nor user."""
    about = provenance(cpu.about(), 3)
    assert set(about) == {"date", "device", "cores", "library", "system", "versions", "method"}
    assert about["method"].endswith("the least of 3 rounds")
    import getpass
    import socket

    said = " ".join(about.values())
    assert socket.gethostname() not in said
    assert f" {getpass.getuser()} " not in said


def test_tasks_of_the_cpu_are_rows_of_ours() -> None:
    """Every task of the CPU is a row that the reader knows."""
    samples = [Sample(task.what, 1.0, task.fields) for task in cpu.tasks()]
    found = read_measurements(csv_text(samples, {}), Scenario())
    assert found.problems == ()
    assert len(found.rows) + len(found.aside) == len(samples)


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="PyTorch is there")
def test_without_pytorch_the_command_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    """A CUDA measurement without PyTorch is one sentence that says what is missing."""
    with pytest.raises(ValueError, match="PyTorch"):
        measure(Wish(1.0, "cuda"))
    assert main(["calibrate", "--device", "cuda"]) == 2
    assert "pip install torch" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--seconds", "0"), "from 0.5 to 3600"),
        (("--rounds", "0"), "rounds=0 is not allowed: a whole number from 1 to 20"),
        (("--library", "numpy", "--device", "cuda"), "device=cuda is not possible with library=numpy"),
        (("--library", "numpy", "--busy"), "busy is not possible with library=numpy"),
        (("--busy", "--device", "cuda"), "busy is not possible with device=cuda"),
    ],
)
def test_what_cannot_be_measured_is_named(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wish that is none is one sentence with what is allowed, before anything is measured."""
    assert main(["calibrate", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_least_of_several_rounds_counts() -> None:
    """What else a machine does only adds to a time: of 3, 1 and 2 s the 1 s stays, in the order of the tasks."""
    times = {0: [3.0, 1.0, 2.0], 1: [5.0, 6.0, 4.0], 2: [7.0, 8.0, 9.0]}
    order: list[int] = []
    tasks = [Task("launch", {"n": n}, lambda n=n: lambda: n) for n in range(3)]

    def clock(call: Callable[[], int], _budget: float) -> float:
        order.append(call())
        return times[call()].pop(0)

    found = least_of(tasks, 60.0, clock, 3)
    assert [(sample.fields["n"], sample.seconds) for sample in found] == [(0, 1.0), (1, 4.0), (2, 7.0)]
    assert order == [0, 1, 2, 1, 2, 0, 2, 0, 1]


def test_copies_within_the_cache_are_filed_apart() -> None:
    """Source and target of 8 MiB fill a cache of 32 MiB by half: its bandwidth, not that of the memory."""
    kinds = [copy_task(size << 20, 32 << 20, lambda: lambda: None).what for size in (8, 9)]
    assert kinds == ["cached_copy", "copy"]
    assert copy_task(1 << 20, 0, lambda: lambda: None).what == "copy"
