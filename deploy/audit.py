"""Known holes in the packages that the dashboard runs on: `./dev audit`.

Asks the advisory database of PyPI, through pip-audit, about the installed version of every package that
requirements.txt brings along, directly or not. Where no database answers it says so, and that is no failure: nothing
was found, because nothing was asked.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
#: One question may take so long, and all of them together [s].
QUESTION_S, PATIENCE_S = 5, 120
#: Advisories that do not concern us: id -> why not.
ACCEPTED: dict[str, str] = {}


class NoAnswer(Exception):
    """No advisory database can be asked from here; the text says why."""


@dataclass(frozen=True)
class Hole:
    """One advisory against an installed package."""

    package: str
    version: str
    id: str
    fixed_in: tuple[str, ...]

    def __str__(self) -> str:
        """Say where the hole is and what closes it."""
        cure = f"fixed in {', '.join(self.fixed_in)}" if self.fixed_in else "not fixed yet"
        return f"{self.package} {self.version}: {self.id}, {cure}"


def written(file: Path) -> Iterator[Requirement]:
    """Yield the requirements of a file."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if text := line.partition("#")[0].strip():
            yield Requirement(text)


def installed(file: Path) -> dict[str, str]:
    """Return name -> version of all that a requirement file brings along, as far as it is installed."""
    found: dict[str, str] = {}
    waiting = list(written(file))
    while waiting:
        wanted = waiting.pop()
        name = wanted.name.lower().replace("_", "-")
        if name in found or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue
        found[name] = package.version
        waiting += [Requirement(text) for text in package.requires or ()]
    return dict(sorted(found.items()))


def asked(packages: dict[str, str]) -> list[dict[str, object]]:
    """Return what pip-audit says of the packages that the database knows; raise `NoAnswer` if there is none."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(f"{name}=={version}\n" for name, version in packages.items())
        file.flush()
        command = [sys.executable, "-m", "pip_audit", "-r", file.name, "--no-deps", "--disable-pip", "--format", "json"]
        command += ["--progress-spinner", "off", "--timeout", str(QUESTION_S)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        except subprocess.TimeoutExpired as late:
            raise NoAnswer(f"no answer within {PATIENCE_S} s") from late
    return answered(done.stdout, done.stderr)


def answered(text: str, complaint: str = "") -> list[dict[str, object]]:
    """Return the packages of pip-audit's answer that the database knows; raise `NoAnswer` where it knows none."""
    try:
        packages = json.loads(text)["dependencies"]
    except (ValueError, KeyError, TypeError) as nonsense:
        last = complaint.strip().splitlines()[-1:] or ["pip-audit says nothing that can be read"]
        raise NoAnswer(last[0][:200]) from nonsense
    if known := [one for one in packages if "vulns" in one]:
        return known
    raise NoAnswer(next((str(one["skip_reason"]) for one in packages), "nothing was asked")[:200])


def holes(known: list[dict[str, object]]) -> list[Hole]:
    """Return the advisories that nobody has accepted."""
    return [
        Hole(str(one["name"]), str(one["version"]), found["id"], tuple(found["fix_versions"]))
        for one in known
        for found in one["vulns"]  # type: ignore[attr-defined]
        if found["id"] not in ACCEPTED
    ]


def main() -> int:
    """Ask about one package, then about all; 1 if a hole is known."""
    packages = installed(ROOT / "requirements.txt")
    try:
        asked(dict(list(packages.items())[:1]))
        known = asked(packages)
    except NoAnswer as reason:
        print(f"audit: NOT DONE, none of the {len(packages)} packages was looked at. No advisory database: {reason}")
        return 0
    found = holes(known)
    print(f"audit: {len(known)} of {len(packages)} packages looked at, {len(found)} known holes")
    for hole in found:
        print(f"  {hole}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
