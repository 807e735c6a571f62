"""Real worker processes and a coordinator for the tests, against the test database and the tests' Redis."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from django.conf import settings
from django.db import connection

from poolwise.lifecycle.heartbeats import coordinator_is_up, pools_up
from poolwise.models import Job
from poolwise.support import kill_family
from poolwise.support.errors import BrokerUnavailable
from tests import ROOT
from tests.helpers.pace import eventually
from tests.helpers.services import DIRECTORY, TEST_DATABASE

#: How long a stopping worker waits for its jobs.
GRACE_S = 8
#: The coordinator writes no samples by itself, since other tests count them.
SETTINGS = {"JOB_SAMPLE_EVERY_S": "86400", "SHUTDOWN_GRACE_S": str(GRACE_S)}


class Platform:
    """Starts and ends `manage.py` processes that share the tests' database and Redis."""

    def __init__(self, **environment: str) -> None:
        self.environment = environment
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._replaced: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process; `ensure` starts them again."""
        processes = [*self.processes.values(), *self._replaced]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                _wait_for(process, 20.0)
        self.processes.clear()
        self._replaced.clear()

    def ensure(self, *names: str) -> None:
        """Start the processes that do not run, and wait for their heartbeats."""
        for name in names:
            running = self.processes.get(name)
            if running is None or running.poll() is not None:
                self.start(name)
        eventually(lambda: self._are_up(names), timeout_s=60)

    def _are_up(self, names: tuple[str, ...]) -> bool:
        try:
            up = pools_up()
        except BrokerUnavailable:  # no reply within the time-out of a web page
            return False
        return all(coordinator_is_up() if name == "coordinator" else name in up for name in names)

    def start(self, name: str, *, is_supervised: bool = True, **environment: str) -> subprocess.Popen[bytes]:
        """Start the coordinator, or a worker of a pool."""
        arguments = [name] if name == "coordinator" else ["pool", name, *["--restart"] * is_supervised]
        log = (DIRECTORY / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                "DATABASE_URL": _test_database_url(),
                **SETTINGS,
                **self.environment,
                **environment,
            },
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        log.close()
        return self.processes[name]

    def stop(self, name: str, *, timeout_s: float = 40.0) -> int:
        """End a process as an operator does, by SIGTERM; return its exit status."""
        return self.end(self.processes.pop(name), timeout_s=timeout_s)

    def replace(self, name: str) -> subprocess.Popen[bytes]:
        """Start another process of that name, as a rolling restart does; return the previous one, for `end`."""
        previous = self.processes[name]
        self._replaced.append(previous)
        self.start(name)
        return previous

    def end(self, process: subprocess.Popen[bytes], *, timeout_s: float = 40.0) -> int:
        """End a process by SIGTERM; return its exit status. Kill it and raise TimeoutExpired if it does not end."""
        process.send_signal(signal.SIGTERM)
        return _wait_for(process, timeout_s)

    def end_replaced(self) -> None:
        """End replaced processes that a failed test has left: they would take jobs of later tests."""
        while self._replaced:
            self.end(self._replaced.pop())

    def stop_if_running(self, name: str) -> None:
        """End a process of the session that would see jobs of the test's own platform."""
        if name in self.processes:
            self.stop(name)

    def manage(
        self, *arguments: str, timeout_s: float = 120.0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a management command to its end against the test database."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": _test_database_url(), **environment},
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def log_of(self, name: str) -> str:
        """Return the output of a process."""
        return (DIRECTORY / f"{name}.log").read_text()

    def wait_for(self, *jobs: Job, timeout_s: float = 30.0) -> None:
        """Wait until the jobs have ended and reload them."""
        ids = [job.pk for job in jobs]
        eventually(lambda: not Job.objects.live().filter(pk__in=ids).exists(), timeout_s=timeout_s)
        for job in jobs:
            job.refresh_from_db()

    def drain(self) -> None:
        """Wait until no job runs, so that the next test begins with idle workers."""
        try:
            eventually(lambda: not Job.objects.live().exists(), timeout_s=20)
        except AssertionError:
            Job.objects.live().update(state="cancelled")


def _wait_for(process: subprocess.Popen[bytes], timeout_s: float) -> int:
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        kill_family(process.pid)  # a supervised worker would survive its supervisor
        process.wait()
        raise


def _test_database_url() -> str:
    name: Any = connection.settings_dict["NAME"]
    if TEST_DATABASE == "postgres":
        return settings.DATABASE_URL.rpartition("/")[0] + f"/{name}"
    return f"sqlite:///{name}"
