"""What the server sends leaves at once."""

import os
import socket
from pathlib import Path

from pages.parts.prompt import send_at_once


def test_nagle_is_off_for_who_is_here_and_for_who_comes() -> None:
    """Streamlit's socket names no protocol, so asyncio leaves Nagle's algorithm on: we switch it off, inherited."""
    with socket.socket(socket.AF_INET) as listening:  # as Streamlit binds it
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        before = socket.create_connection(listening.getsockname())
        present, _ = listening.accept()
        assert not present.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        send_at_once()
        after = socket.create_connection(listening.getsockname())
        later, _ = listening.accept()
        for visitor in (present, later):
            assert visitor.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        for end in (before, present, after, later):
            end.close()


def test_looking_opens_nothing() -> None:
    """Whatever is open (a file, a pipe, sockets of other kinds) stays, and nothing more is open afterwards."""
    folder = Path("/proc/self/fd")
    inner, outer = os.pipe()
    one, other = socket.socketpair()
    with Path(__file__).open() as file, one, other:
        before = {entry.name: entry.readlink() for entry in folder.iterdir() if entry.exists()}
        send_at_once()
        after = {entry.name: entry.readlink() for entry in folder.iterdir() if entry.exists()}
        assert after == before
        assert file.readline().startswith('"""')
    os.close(inner)
    os.close(outer)
