"""What a forked process has of its parent and must not use: connections to Redis."""

import os
from typing import Any
from weakref import WeakSet

_connections: "WeakSet[Any]" = WeakSet()


def note_connection(connection: object) -> None:
    """Close this redis-py connection in forked processes."""
    _connections.add(connection)


def close_inherited() -> None:
    """Close this forked process' ends of the connections; its parent may go on using its own."""
    for connection in tuple(_connections):
        sock = connection._sock
        if sock is not None and sock.fileno() >= 0:
            close_descriptor(sock.fileno())


def close_descriptor(descriptor: int) -> None:
    """Close what the descriptor refers to, but not the descriptor, which an object still has and may close."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)
