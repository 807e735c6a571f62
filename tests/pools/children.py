"""What processes started by the tests' tasks run; it imports little, so that a spawned process begins soon."""

import os
import socket
import subprocess
import sys
import time
from typing import Any


def double(number: int) -> int:
    return 2 * number


def put_double(number: int, results: Any) -> None:
    results.put(double(number))


def wait(seconds: float) -> None:
    time.sleep(seconds)


def run_program() -> None:
    sys.exit(subprocess.run(["sh", "-c", "exit 5"], check=False).returncode)


def send_state(to: Any, port: int) -> None:
    """Send how many connections to the port this process has."""
    to.send(sum(_peer_port(int(name)) == port for name in os.listdir("/dev/fd")))


def _peer_port(descriptor: int) -> int | None:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as connection:
            return int(connection.getpeername()[1])
    except (OSError, IndexError):
        return None
