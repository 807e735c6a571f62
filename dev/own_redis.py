"""A Redis without password that tests and drills may kill, freeze and start again, always at the same address."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import redis

from dev import redis_server
from dev.lifetime import die_with_parent
from dev.ports import LOOPBACK, free_port


class OwnRedis:
    """One server; a durable one keeps an append-only file in its directory."""

    def __init__(self, directory: Path, *, durable: bool = False, also_at: Sequence[str] = ()) -> None:
        self.directory, self.port, self.durable, self.also_at = directory, free_port(), durable, also_at
        self.url = f"redis://{LOOPBACK}:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, with the data of its append-only file if it is durable, and wait until it answers."""
        options = ["--port", str(self.port), "--bind", LOOPBACK, *self.also_at, "--save", ""]
        options += ["--dir", str(self.directory), "--appendonly", "yes" if self.durable else "no"]
        options += ["--protected-mode", "no"] if self.also_at else []
        self.process = subprocess.Popen(
            [str(redis_server.find_binary()), *options],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=partial(die_with_parent, signal.SIGKILL) if self.durable else None,
        )
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex((LOOPBACK, self.port)) == 0:
                    return
            time.sleep(0.02)
        if self.process is not None:  # else the test has ended it already
            raise AssertionError("the test's own Redis did not start")

    def kill(self) -> None:
        """End it, so that its port refuses connections."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """End it as an operator does: it writes its data first."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def wipe(self) -> None:
        """Remove its data; it must not run. Redis 6.2 keeps them in a file, later versions in a folder."""
        assert self.process is None
        for path in self.directory.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def freeze(self) -> None:
        """Let it keep its connections and answer nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it answer again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def client(self) -> redis.Redis:
        """Return a client of it."""
        return redis.Redis.from_url(self.url, decode_responses=True)
