"""Score the time per token of continuous batching against published serving runs: `python -m benchmarks.score_serving`.

The rows are closed-loop runs at a recorded concurrency, so their time per token holds other requests' prefill. Prints
per source family and engine profile the median |ln(predicted / measured)|, the signed median and the shares within
15 % and 30 %; then the median of each family, of all rows, and the mean over families. The goal is 18 % or less.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from pathlib import Path

from benchmarks.requests import CALIBRATION, read
from benchmarks.show import HEAD, line
from perfmodel import Scenario
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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibration", type=Path, default=CALIBRATION)
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    rows, left_out = read(parser.parse_args().calibration)
    for row in rows:
        served = row.family.startswith(SERVED) and ENGINES[row.scenario.engine].continuous
        if not served or row.metric != "tpot_s":
            continue
        try:
            groups[(row.family, row.scenario.engine)].append(math.log(predicted(row.scenario) / row.measured))
        except ValueError as error:
            left_out[str(error)] += 1
    families: dict[str, list[float]] = defaultdict(list)
    print(f"{'family, profile':44}{HEAD}")
    for (family, engine), errors in sorted(groups.items()):
        families[family] += errors
        print(f"{f'{family}, {engine}':44}{line(score(errors))}")
    for family, errors in families.items():
        print(f"{family:44}{line(score(errors))}")
    print(f"{'all rows':44}{line(score([error for errors in groups.values() for error in errors]))}")
    print(f"mean of the families' medians: {mean_of_medians(families):.1%} (goal: {GOAL:.0%} or less)")
    for reason, count in left_out.most_common():
        print(f"left out {count}: {reason}")


if __name__ == "__main__":
    main()
