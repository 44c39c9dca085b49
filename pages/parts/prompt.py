"""What a run draws leaves the server at once, and in as few parts as can be: a browser draws anew for each of them.

Both settings are those of the whole process, made when its first page is opened.
"""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

#: The open files of this process, on Linux; elsewhere there is none, and nothing is changed.
_OPEN = Path("/proc/self/fd")
#: How long a run may keep the interpreter before it lets the one that sends have it [s]. With Python's own 5 ms a run
#: is sent in five parts until its figure stands, with this one in two; beside a search of a neighbour the home page's
#: 95th percentile goes from 160 to 175 ms.
TURN_S = 0.02


@cache
def set_up() -> None:
    """Send at once, and what belongs together together; the first call does it."""
    send_at_once()
    sys.setswitchinterval(TURN_S)


def send_at_once() -> None:
    """Switch Nagle's algorithm off for every TCP socket of this process; what listens hands it on to each visitor.

    Streamlit binds its socket in a way that makes asyncio leave it on (github.com/Kludex/uvicorn/issues/3149): the
    second of two small messages then waits until the browser has acknowledged the first, up to 40 ms on one machine
    and a round trip over a network. A slider is answered by two: that a run begins, and what it draws.
    """
    for entry in _OPEN.iterdir() if _OPEN.is_dir() else ():
        # An open file may be closed by another thread while we look, and not every socket is one of TCP.
        with suppress(OSError):
            if entry.is_socket():
                with socket.fromfd(int(entry.name), socket.AF_INET, socket.SOCK_STREAM) as found:
                    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
