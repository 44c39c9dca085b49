"""One search behind one door, in a process of its own: `python -m benchmarks.fuzz.inside link CORPUS [flags]`."""

import sys

import atheris

with atheris.instrument_imports(include=["perfmodel"]):  # what is imported here tells which way a text took
    from benchmarks.fuzz.doors import knock


def once(data: bytes) -> None:
    """Try one text."""
    knock(sys.argv[1], data.decode(errors="replace"))


if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], once)
    atheris.Fuzz()
