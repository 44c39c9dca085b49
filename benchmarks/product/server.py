"""A Streamlit server of our own on a free port of this machine, as long as a `with` block."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APP, FLOOR = ROOT / "app.py", Path(__file__).with_name("one_slider.py")
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Server:
    """Where it listens, its process, and how long it took until it was healthy."""

    url: str
    pid: int
    started: float
    health_s: float


@contextmanager
def serve(app: Path = APP, flags: Sequence[str] = ()) -> Iterator[Server]:
    """Run one app until the block ends; `started` is the clock (`time.perf_counter`) at its launch."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(app), "--server.port", str(port)]
    command += ["--server.address", "127.0.0.1", *flags]
    began = time.perf_counter()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, **quiet) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(url, process, began + _PATIENCE_S)
            yield Server(url, process.pid, began, time.perf_counter() - began)
        finally:
            process.terminate()


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def healthy(url: str) -> bool:
    """Say whether a Streamlit server answers its health check."""
    try:
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _wait(url: str, process: subprocess.Popen[bytes], until: float) -> None:
    while not healthy(url):
        if process.poll() is not None:
            raise RuntimeError(f"the server on {url} ended with status {process.returncode}")
        if time.perf_counter() > until:
            raise TimeoutError(f"the server on {url} was not healthy within {_PATIENCE_S:.0f} s")
        time.sleep(0.01)
