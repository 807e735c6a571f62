"""A private Redis for one machine: find the program, run it, end it. Standard library only."""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from dev.lifetime import die_with_parent
from dev.ports import LOOPBACK, free_port

PROGRAMS = ("redis-server", "valkey-server")
OLDEST = (6, 2)
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 15.0


class RedisError(Exception):
    """No Redis could be started."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running Redis: its process, address and place of data."""

    process: subprocess.Popen[bytes]
    url: str
    port: int
    directory: Path


def find_binary() -> str | None:
    """Return the path of a Redis 6.2 or newer, a Valkey, or the Redis that pip compiled; else None."""
    path = os.pathsep.join((os.environ.get("PATH", ""), str(Path(sys.prefix) / "bin")))
    binaries = (shutil.which(program, path=path) for program in PROGRAMS)
    return next((binary for binary in binaries if binary and _version(binary) >= OLDEST), None)


def _version(binary: str) -> tuple[int, ...]:
    try:
        text = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return (0,)
    match = re.search(r"v=(\d+)\.(\d+)", text)
    return tuple(map(int, match.groups())) if match else (0,)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Redis listens, and its password."""

    port: int = field(default_factory=free_port)
    password: str = field(default_factory=partial(secrets.token_urlsafe, 24))

    @property
    def url(self) -> str:
        """Return the address as Poolwise and Celery take it."""
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"


def start(
    directory: Path, *, durable: bool = True, tied: bool = False, address: Address | None = None
) -> Server:
    """Start a Redis of its own with its data in a directory, on a free loopback port unless an address is given.

    `durable` keeps an append-only file there; `tied` ends it when this process is killed (no threads yet).
    Raises RedisError when none is found or it does not answer.
    """
    binary = find_binary()
    if binary is None:
        raise RedisError("No Redis found: install one (sudo apt install redis-server) or set REDIS_URL.")
    directory.mkdir(parents=True, exist_ok=True)
    address = address or Address()
    log = directory / "redis.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [binary, "-"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=partial(die_with_parent, signal.SIGTERM) if tied else None,
            start_new_session=True,  # the terminal's Ctrl-C is for the platform; Redis ends after the workers
        )
    _configure(process, _options(directory, address, durable=durable))
    _wait_until_ready(process, address, log)
    return Server(process, address.url, address.port, directory)


def _options(directory: Path, address: Address, *, durable: bool) -> dict[str, str]:
    return {
        "bind": LOOPBACK,
        "port": str(address.port),
        "dir": f'"{directory}"',
        "requirepass": address.password,
        "appendonly": "yes" if durable else "no",
        "appendfsync": "everysec",
        "save": '""',
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }


def _configure(process: subprocess.Popen[bytes], options: dict[str, str]) -> None:
    assert process.stdin is not None  # noqa: S101  (a pipe was asked for)
    # By standard input: arguments, and so the password, are readable by every user of the machine.
    text = "".join(f"{name} {value}\n" for name, value in options.items())
    process.stdin.write(text.encode())
    process.stdin.close()


def _wait_until_ready(process: subprocess.Popen[bytes], address: Address, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        if _answers(address):
            return
        time.sleep(0.02)
    process.kill()
    raise RedisError(f"Redis did not start; its log: {log}")


def _answers(address: Address) -> bool:
    try:
        with socket.create_connection((LOOPBACK, address.port), timeout=1) as connection:
            connection.sendall(f"AUTH {address.password}\r\nPING\r\n".encode())
            return b"+PONG" in _read_lines(connection, 2)
    except OSError:
        return False


def _read_lines(connection: socket.socket, count: int) -> bytes:
    answer = b""
    while answer.count(b"\r\n") < count and (chunk := connection.recv(256)):
        answer += chunk
    return answer


def stop(server: Server) -> None:
    """End a Redis started here; its append-only file is written out first."""
    server.process.terminate()
    try:
        server.process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()


@contextmanager
def running(
    directory: Path, *, durable: bool = True, tied: bool = False, address: Address | None = None
) -> Iterator[Server]:
    """Run a private Redis for the length of a with block."""
    server = start(directory, durable=durable, tied=tied, address=address)
    try:
        yield server
    finally:
        stop(server)
