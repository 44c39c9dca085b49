"""What the server sends leaves at once.

Streamlit binds its socket in a way that makes asyncio leave Nagle's algorithm on for every connection
(github.com/Kludex/uvicorn/issues/3149): the second of two small messages then waits until the browser has acknowledged
the first, up to 40 ms on one machine and a round trip over a network. A slider sends two: that a run begins, and what
it draws.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

#: The open files of this process, on Linux; elsewhere there is none, and nothing is changed.
_OPEN = Path("/proc/self/fd")


def send_at_once() -> None:
    """Switch Nagle's algorithm off for every TCP socket of this process; what listens hands it on to each visitor."""
    for number in [int(entry.name) for entry in _OPEN.iterdir()] if _OPEN.is_dir() else []:
        # Most open files are no sockets, and some are closed by another thread while we look.
        with suppress(OSError), socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM) as found:
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
