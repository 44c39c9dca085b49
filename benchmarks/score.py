"""Every score in one run: `python -m benchmarks.score [--calibration DIR] [--leave-out]`.

Kernels, collectives, requests, serving, memory and training, each by its own script; with `--leave-out` also fitted
again without each family, which takes some minutes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.requests import CALIBRATION

#: What is scored, and whether its constants can be fitted again without a family.
PARTS = {"kernels": True, "collectives": True, "requests": True, "serving": False, "memory": False, "training": True}


def main() -> int:
    """Run the scores one after another; the first that fails gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibration", type=Path, default=CALIBRATION)
    parser.add_argument("--leave-out", action="store_true", help="also fit again without each family")
    options = parser.parse_args()
    for part, refits in PARTS.items():
        rows = ["--rows", str(options.calibration / "allreduce.csv")]
        place = rows if part == "collectives" else ["--calibration", str(options.calibration)]
        print(f"\n== {part}", flush=True)
        more = ["--leave-out"] if options.leave_out and refits else []
        done = subprocess.run([sys.executable, "-m", f"benchmarks.score_{part}", *place, *more], check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
