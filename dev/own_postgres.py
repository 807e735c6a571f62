"""A private PostgreSQL that tests and drills may restart, always at the same address."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from glob import glob
from pathlib import Path

from dev.ports import LOOPBACK, free_port

_WANTED = ("initdb", "postgres", "pg_isready")


class PostgresError(Exception):
    """PostgreSQL is not installed, or does not start."""


def find_postgres() -> Path | None:
    """Return the folder of PostgreSQL's server programs, the newest version first."""
    on_path = [Path(program).resolve().parent for program in [shutil.which("initdb")] if program]
    installed = sorted(glob("/usr/lib/postgresql/*/bin/initdb"), reverse=True)
    folders = [*(Path(program).parent for program in installed), *on_path]
    return next((folder for folder in folders if all((folder / name).exists() for name in _WANTED)), None)


def _as_postgres(command: Sequence[str]) -> list[str]:
    # The server refuses to run as root.
    if os.getuid() != 0:
        return [*command]
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *command]


class OwnPostgres:
    """One server with its data in a directory; `durable` makes it write through to the disk."""

    def __init__(self, directory: Path, *, durable: bool = False) -> None:
        programs = find_postgres()
        if programs is None:
            raise PostgresError("PostgreSQL's server is not installed: sudo apt install postgresql")
        self.directory, self.port, self.durable, self._programs = directory, free_port(), durable, programs
        self.data = directory / "postgres"
        self.url = f"postgres://poolwise@{LOOPBACK}:{self.port}/postgres"
        self.process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        """Make an empty cluster."""
        self.directory.chmod(0o755)
        self.data.mkdir()
        if os.getuid() == 0:
            shutil.chown(self.data, "postgres", "postgres")
        command = [str(self._programs / "initdb"), "-D", str(self.data), "-U", "poolwise", "-A", "trust"]
        subprocess.run(_as_postgres(command), check=True, stdout=subprocess.DEVNULL, cwd="/")

    def start(self) -> None:
        """Start it and wait until it answers. Raise PostgresError."""
        options = ["-h", LOOPBACK, "-p", str(self.port), "-k", str(self.data)]
        options += ["-c", f"fsync={'on' if self.durable else 'off'}"]
        with (self.directory / "postgres.log").open("ab") as log:
            self.process = subprocess.Popen(
                _as_postgres([str(self._programs / "postgres"), "-D", str(self.data), *options]),
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                start_new_session=True,
            )
        ready = [str(self._programs / "pg_isready"), "-h", LOOPBACK, "-p", str(self.port), "-q"]
        for _ in range(100):
            if subprocess.run(ready).returncode == 0:
                return
            time.sleep(0.1)
        raise PostgresError(f"PostgreSQL did not start: see {self.directory / 'postgres.log'}")

    @property
    def is_running(self) -> bool:
        """Return whether the server runs."""
        return self.process is not None and self.process.poll() is None

    def stop(self, signum: int = signal.SIGINT, *, timeout_s: float = 20.0) -> None:
        """End it: SIGINT cuts its connections, SIGTERM waits for them, SIGQUIT is a crash."""
        if self.process is None:
            return
        self.process.send_signal(signum)
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
