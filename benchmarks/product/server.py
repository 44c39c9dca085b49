"""A Streamlit server of our own on a free port of this machine, as long as a `with` block; the browser's program."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APP, FLOOR = ROOT / "app.py", Path(__file__).with_name("one_slider.py")
#: Chromium without a screen, living on what the machine itself serves.
CHROMIUM_FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
]
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Server:
    """A running server: where it answers, its process, what it says, its launch (`time.perf_counter`)."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    started: float

    @property
    def pid(self) -> int:
        """Its process number."""
        return self.process.pid

    def words(self, since: int = 0) -> str:
        """Return what the server wrote to its log after so many bytes."""
        return self.log.read_bytes()[since:].decode(errors="replace")

    def check(self, since: int = 0) -> None:
        """Raise with the server's own words if it is dead or if an exception escaped from a page."""
        if self.process.poll() is not None:
            raise RuntimeError(f"the server stopped with exit code {self.process.returncode}:\n{self.words()}")
        if "Uncaught app execution" in self.words(since):
            raise RuntimeError(f"a page raised an exception:\n{self.words(since)}")


@contextmanager
def serve(app: Path = APP, flags: Sequence[str] = (), log: Path | None = None, root: Path = ROOT) -> Iterator[Server]:
    """Run one app until the block ends, from the folder `root`; the block begins when it is healthy."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(app), "--server.port", str(port)]
    command += ["--server.address", "127.0.0.1", "--server.headless", "true", *flags]
    with tempfile.TemporaryDirectory() as folder:
        log = log or Path(folder) / "streamlit.log"
        began = time.perf_counter()
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=root, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
            )
        server = Server(f"http://127.0.0.1:{port}", process, log, began)
        try:
            _wait(server)
            yield server
        finally:
            _end(process)


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


def find_chromium() -> str | None:
    """Return the browser's program: the one named in CHROMIUM, else the system's; None when there is none."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if name and (path := shutil.which(name))), None)


def _wait(server: Server) -> None:
    while not healthy(server.url):
        server.check()
        if time.perf_counter() > server.started + _PATIENCE_S:
            raise TimeoutError(f"the server did not answer within {_PATIENCE_S:.0f} s:\n{server.words()}")
        time.sleep(0.01)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
