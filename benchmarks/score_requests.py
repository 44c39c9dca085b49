"""Score whole requests and tokens against published measurements: `python -m benchmarks.score_requests`.

Prints the error of each source family, engine profile and metric, and the headline: for each kind of number the mean
over families of the family's median |ln(predicted / measured)|, for grade A, grades A and B, and with each family left
out of the fit. What a row could not be asked for is counted with its reason.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from benchmarks.fit_engines import FREE, GRADES, changed, fit
from benchmarks.requests import CALIBRATION, KINDS, Row, by_family, read
from benchmarks.show import HEAD, line
from perfmodel.engine import ENGINES, Engine
from perfmodel.score import mean_of_medians, score

Misses = list[tuple[Row, float]]
#: What a constant is before anything is fitted: that of a good engine.
GENERAL = {name: constant.value for name, constant in ENGINES["fused"].constants.items()}
#: Local engines: attention on vector lanes, small kernels one after another, weights unpacked in some 30 operations.
LOCAL = {"attention_efficiency": 0.1, "alu_efficiency": 0.8, "kernel_us": 5.0, "dequant_ops": 30.0}
#: The profile that is closest to one that nobody has measured.
KIN = {"sglang": "vllm", "autoawq": "llama.cpp", "exllama": "llama.cpp", "mlc-llm": "llama.cpp", "llama.cpp": "autoawq"}


def misses(rows: Iterable[Row]) -> Misses:
    """Return each row with its residual."""
    return [(row, row.miss()) for row in rows]


def left_out(rows: list[Row]) -> Misses:
    """Return the residual of each row under constants fitted without its family.

    A profile that one family alone has measured then takes the constants of its kin, or general ones.
    """
    found: Misses = []
    for family in sorted({row.family for row in rows}):
        own = [row for row in rows if row.family == family]
        others = [row for row in rows if row.family != family]
        engines = {id: without(id, others) for id in {row.scenario.engine for row in own}}
        found += [(row, row.miss(engines[row.scenario.engine])) for row in own]
    return found


def without(id: str, others: list[Row]) -> Engine:
    """Return the profile as it would be if only the other rows had been measured."""
    engine = ENGINES[id]
    if id not in FREE:
        return engine
    general = GENERAL | (LOCAL if engine.kind == "local" else {})
    start = {name: general[name] for name in FREE[id]}
    kin = KIN.get(id)
    if kin and not any(row.scenario.engine == id and row.grade in GRADES for row in others):
        start |= {name: value for name, value in fit(kin, others).items() if name in start}
    return changed(engine, fit(id, others, start))


def headline(title: str, found: Misses) -> list[str]:
    """Return one line per kind of number: the mean over families of their medians."""
    groups = by_family((row for row, _ in found), (miss for _, miss in found))
    lines = []
    for kind in dict.fromkeys(KINDS.values()):
        own = {family: miss for (name, family), miss in groups.items() if name == kind}
        if own:
            size = sum(len(miss) for miss in own.values())
            lines.append(f"{title:34}{kind:10}{len(own):3} families {size:5} rows  {mean_of_medians(own):6.1%}")
    return lines


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibration", type=Path, default=CALIBRATION)
    parser.add_argument("--leave-out", action="store_true", help="also fit again without each family")
    options = parser.parse_args()
    rows, reasons = read(options.calibration)
    found = misses(rows)
    groups: dict[tuple[str, str, str], list[float]] = {}
    for row, miss in found:
        groups.setdefault((row.family, row.scenario.engine, row.metric), []).append(miss)
    print(f"{'family':24}{'profile':18}{'metric':28}{HEAD}")
    for (family, engine, metric), own in sorted(groups.items()):
        print(f"{family:24}{engine:18}{metric:28}{line(score(own))}")
    for reason, count in reasons.most_common():
        print(f"left out {count}: {reason}")
    print("\nmean over families of the family median")
    for title, grades in (("grade A", ("A",)), ("grades A and B", GRADES), ("all grades", ("A", "B", "C"))):
        print("\n".join(headline(title, [pair for pair in found if pair[0].grade in grades])))
    if options.leave_out:
        graded = [row for row in rows if row.grade in GRADES]
        again = left_out(graded)
        print("\n".join(headline("A and B, family left out of the fit", again)))


if __name__ == "__main__":
    main()
