"""How fast the search is, on one core: `python -m benchmarks.bench_search`.

A point is one whole configuration: accelerator, layout, types, engine, batch of a replica and number of replicas, with
first token, time per token, throughput, memory, power and price. Replicas are an array on top of the priced batches;
both rates are printed, beside what public tools need for one estimate.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from perfmodel import Scenario, estimate
from perfmodel.search import Answer, Need, fleets, space_of, whole

#: Published tools, one estimate [ms], measured on a quiet machine: the fastest, and the slowest interactive one.
FASTEST_MS, SLOWEST_MS = 0.044, 121.0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="llama-3.3-70b")
    parser.add_argument("--counts", type=int, default=64, help="replicas from 1 to this")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    space = space_of(Scenario(model=given.model, input=1024, output=256))
    priced, fleet, answered = [], [], []
    for _ in range(given.repeats):
        clock = [time.process_time()]
        study = whole(space)
        clock.append(time.process_time())
        points = fleets(study, np.arange(1, given.counts + 1))["tokens_per_s"].size
        clock.append(time.process_time())
        Answer(study, Need()).offers()
        clock.append(time.process_time())
        for times, spent in zip((priced, fleet, answered), np.diff(clock), strict=True):
            times.append(float(spent))
    start = time.process_time()
    for batch in range(1, 101):
        estimate(Scenario(model=given.model, batch=batch))
    single = (time.process_time() - start) / 100.0 * 1e3
    total = min(priced) + min(fleet)
    print(f"combinations {len(study.combinations):,}, batches priced {study.points:,}, configurations {points:,}")
    print(f"{'price all batches':34}{min(priced) * 1e3:10.1f} ms {study.points / min(priced):14,.0f} batches/s")
    print(f"{'all configurations, CPU of one core':34}{total * 1e3:9.1f} ms {points / total:14,.0f} points/s")
    print(f"{'answer one need':34}{min(answered) * 1e3:10.1f} ms")
    print(f"{'one configuration in the search':34}{total / points * 1e3:13.6f} ms")
    print(f"{'one estimate() with all details':34}{single:13.3f} ms")
    print(f"{'fastest public tool':34}{FASTEST_MS:13.3f} ms  {FASTEST_MS / (total / points * 1e3):10,.0f} times")
    print(f"{'slowest interactive tool':34}{SLOWEST_MS:13.3f} ms  {SLOWEST_MS / (total / points * 1e3):10,.0f} times")


if __name__ == "__main__":
    main()
