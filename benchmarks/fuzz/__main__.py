"""Coverage-guided fuzzing of every door: `./dev fuzz [--seconds 60] [--only link,config]`.

Each door runs in a process of its own, so that one that hangs, crashes or eats memory is named and the others go on.
Findings stay as files in build/fuzz; `./dev fuzz --again FILE --only NAME` runs one of them.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.fuzz.doors import DOORS, MOST_CHARS, knock

FOLDER = Path(__file__).resolve().parents[2] / "build" / "fuzz"
#: A door may hold so much memory [MB], and hang on one text so long [s].
MEMORY_MB, HANGS_S = 2048, 300


def search(name: str, seconds: int, seed: int) -> subprocess.CompletedProcess[str]:
    """Fuzz one door in a process of its own."""
    corpus = FOLDER / name
    corpus.mkdir(parents=True, exist_ok=True)
    for index, text in enumerate(DOORS[name].seeds):
        (corpus / f"seed-{index}").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.fuzz.inside", name, str(corpus)]
    command += [f"-max_total_time={seconds}", f"-artifact_prefix={FOLDER}/{name}-", f"-rss_limit_mb={MEMORY_MB}"]
    command += [
        f"-timeout={HANGS_S}",
        f"-max_len={MOST_CHARS}",
        "-print_final_stats=1",
        "-report_slow_units=300",
        f"-seed={seed}",
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def report(name: str, done: subprocess.CompletedProcess[str]) -> bool:
    """Say what a search did; return whether the law held."""
    said = done.stderr + done.stdout
    runs = re.search(r"number_of_executed_units:\s+(\d+)", said)
    covered = re.findall(r"cov: (\d+)", said)
    memory = re.search(r"peak_rss_mb:\s+(\d+)", said)
    numbers = [found[1] if found else "?" for found in (runs, memory)]
    verdict = "holds" if done.returncode == 0 else "BROKEN"
    print(f"{name:14}{numbers[0]:>9} texts, {covered[-1] if covered else '?':>6} edges, {numbers[1]:>5} MB   {verdict}")
    if done.returncode:
        print("\n".join(said.splitlines()[-40:]))
    return done.returncode == 0


def main() -> int:
    """Knock at the doors asked for; 1 if the law of one was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each door")
    parser.add_argument("--only", default=",".join(DOORS), help="doors, separated by commas")
    parser.add_argument("--seed", type=int, default=0, help="0: another search each time")
    parser.add_argument("--again", type=Path, help="run one text that was found")
    given = parser.parse_args()
    names = given.only.split(",")
    if unknown := [name for name in names if name not in DOORS]:
        parser.error(f"--only={unknown[0]} is not known; doors are {', '.join(DOORS)}")
    if given.again:
        text = given.again.read_bytes().decode(errors="replace")
        print({name: "answered" if knock(name, text) else "refused" for name in names})
        return 0
    held = {name: report(name, search(name, given.seconds, given.seed)) for name in names}
    return int(not all(held.values()))


if __name__ == "__main__":
    sys.exit(main())
