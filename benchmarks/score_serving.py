"""Score the time per token of continuous batching against published serving runs: `python benchmarks/score_serving.py`.

The rows are closed-loop runs at a recorded concurrency, so their time per token holds other requests' prefill. Prints
per source family and engine profile the median |ln(predicted / measured)|, the signed median and the shares within
15 % and 30 %; then the median of each family, of all rows, and the mean over families. The goal is 18 % or less.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections import Counter, defaultdict
from pathlib import Path

from score_requests import CALIBRATION, profile, scenario_row

from perfmodel import Scenario, from_row
from perfmodel.engine import ENGINES
from perfmodel.score import mean_of_medians, score
from perfmodel.serving import Service, replica

GOAL = 0.18
#: What the notes of a closed-loop serving run say.
SERVED = ("InferenceX", "AIC-GAP")


def predicted(scenario: Scenario) -> float:
    """Return the time per token of the serving model at the recorded concurrency; beyond its memory, that of the most.

    The same code as `estimate`: at equal lengths the replica's time per token is that of the estimate at this batch.
    """
    one = replica(scenario.change(batch=scenario.dp), Service(0.0, 0.0, sequences=0))
    if not one.most:
        raise ValueError(f"{scenario.model} does not fit on {scenario.n} x {scenario.gpu}")
    return float(one.tpot_s[min(scenario.batch, one.most) - 1])


def line(name: str, errors: list[float]) -> str:
    """Return one line of the table."""
    s = score(errors)
    return f"{name:44}{s.rows:5}{s.median:9.1%}{s.signed:+9.1%}{s.within_15:7.0%}{s.within_30:7.0%}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibration", type=Path, default=CALIBRATION)
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    with (parser.parse_args().calibration / "e2e.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            continuous = row["family"].startswith(SERVED) and ENGINES[profile(row["engine"])].continuous
            if not continuous or row["metric"] != "tpot_s":
                continue
            try:
                time = predicted(from_row(scenario_row(row)))
            except ValueError as error:
                left_out[str(error)] += 1
                continue
            groups[(row["family"], profile(row["engine"]))].append(math.log(time / float(row["value"])))
    print(f"{'family, profile':44}{'rows':>5}{'median':>9}{'signed':>9}{'<15%':>7}{'<30%':>7}")
    for (family, engine), errors in sorted(groups.items()):
        print(line(f"{family}, {engine}", errors))
    families = {name: [e for key, es in groups.items() if key[0] == name for e in es] for name, _ in groups}
    for family, errors in families.items():
        print(line(family, errors))
    print(line("all rows", [error for errors in groups.values() for error in errors]))
    print(f"mean of the families' medians: {mean_of_medians(families):.1%} (goal: {GOAL:.0%} or less)")
    for reason, count in left_out.most_common():
        print(f"left out {count}: {reason}")


if __name__ == "__main__":
    main()
