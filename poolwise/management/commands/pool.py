"""`manage.py pool NAME`: run the worker of a pool."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from argparse import ArgumentParser
from contextlib import suppress
from functools import partial
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from poolwise.management.arguments import whole
from poolwise.pools import MAX_CONCURRENCY, POOL_ENV, PoolSpec, get_pool
from poolwise.support import (
    PoolwiseError,
    adopt_orphans,
    die_with_parent,
    kill_descendants,
    settings_checks,
)
from poolwise.worker import attempt_table

_STEADY_AFTER_S = 10.0
_LONGEST_PAUSE_S = 30.0


class Command(BaseCommand):
    """Replace this process by the Celery worker of a pool, or supervise one."""

    help = "Run the Celery worker of a pool of JOB_POOLS."
    requires_system_checks = ()  # the worker has its own checks; these would delay its start by a second

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("name", help="pool, such as gevent")
        parser.add_argument("--concurrency", type=whole, help="number of slots (default: that of JOB_POOLS)")
        parser.add_argument(
            "--restart",
            action="store_true",
            help="supervise the worker: start it again whenever it ends by itself",
        )

    def handle(self, *, name: str, concurrency: int | None, restart: bool, **options: Any) -> None:
        """Start the worker. Raise CommandError for an unknown pool or a missing library."""
        try:
            pool = get_pool(name)
        except PoolwiseError as error:
            raise CommandError(str(error)) from error
        if pool.missing_library:
            raise CommandError(
                f"The pool {name} needs the package {pool.missing_library}: run `make install`."
            )
        # Otherwise the worker would end with a traceback at each start, or take no jobs.
        for fault in (
            *settings_checks.check_addresses(),
            *settings_checks.check_numbers(),
            *settings_checks.check_heartbeats(),
        ):
            raise CommandError(f"{fault.msg} {fault.hint}")
        slots = pool.concurrency if concurrency is None else concurrency
        if not 1 <= slots <= MAX_CONCURRENCY:
            raise CommandError(f"--concurrency must be from 1 to {MAX_CONCURRENCY}.")
        if restart:
            raise SystemExit(_supervise(pool, slots))
        # Celery starts anew in this process, since gevent must patch before Django is imported.
        command = worker_command(pool, slots, worker_name(pool))
        os.execvpe(command[0], command, worker_environment(pool))  # noqa: S606 - our own interpreter and arguments


def worker_name(pool: PoolSpec) -> str:
    """Return a new name at each call: what a worker of the same name held could not be recovered."""
    return f"{pool.name}-{secrets.token_hex(3)}@{socket.gethostname()}"


def worker_command(pool: PoolSpec, concurrency: int, name: str) -> list[str]:
    """Return the command line of the pool's Celery worker."""
    return [
        *(
            sys.executable,
            "-m",
            "poolwise.worker.program",
            "--app",
            settings.JOB_CELERY_APP,
            "--pool",
            pool.model,
        ),
        *("--concurrency", str(concurrency), "--queues", pool.queue, "--hostname", name),
    ]


def worker_environment(pool: PoolSpec) -> dict[str, str]:
    """Return the environment of the pool's Celery worker."""
    # Celery runs Django's checks in each worker, which imports every page and form, and ignores the result.
    return {"CELERY_SKIP_CHECKS": "1", **os.environ, POOL_ENV: pool.name}


def _supervise(pool: PoolSpec, slots: int) -> int:
    """Keep a worker running; pass SIGTERM and SIGINT on as one warm shutdown. Return its last exit status."""
    adopt_orphans()
    supervisor = _Supervisor(pool, slots)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, supervisor.stop)
    return supervisor.run()


class _Supervisor:
    """Starts a pool's worker again whenever it ends by itself, once all that its jobs have started has ended, too."""

    def __init__(self, pool: PoolSpec, slots: int) -> None:
        self._pool, self._slots = pool, slots
        self._stopping = False
        self._worker: subprocess.Popen[bytes] | None = None
        self._for_job = ""  # how a job caused the end of the last worker

    def stop(self, *_: object) -> None:
        """Start a warm shutdown of the worker, once."""
        if not self._stopping and self._worker is not None:
            self._terminate(self._worker)
        self._stopping = True

    def run(self) -> int:
        """Run workers until `stop`; return the last one's exit status."""
        pause_s = 0.5
        while not self._is_stopping():
            began = time.monotonic()
            status = self._run_worker()
            if self._is_stopping():
                return 0 if status in (0, -signal.SIGTERM) else status
            if self._for_job:
                print(f"{self._for_job}; starting again", file=sys.stderr)  # noqa: T201
                pause_s = 0.5
                continue
            steady = time.monotonic() - began > _STEADY_AFTER_S
            pause_s = 0.5 if steady else min(pause_s * 2, _LONGEST_PAUSE_S)
            print(f"the worker ended with status {status}; starting again in {pause_s} s", file=sys.stderr)  # noqa: T201
            self._pause(pause_s)
        return 0

    def _pause(self, seconds: float) -> None:
        until_mono = time.monotonic() + seconds
        while not self._is_stopping() and (left_s := until_mono - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.1))  # a signal does not end a sleep, so it must be short

    def _run_worker(self) -> int:
        name = worker_name(self._pool)
        command = worker_command(self._pool, self._slots, name)
        table, descriptor = attempt_table.AttemptTable.create()
        environment = {**worker_environment(self._pool), attempt_table.TABLE_VARIABLE: str(descriptor)}
        # A new session: Ctrl-C reaches only this process, so the worker gets one signal, not two.
        worker = self._worker = subprocess.Popen(  # noqa: S603
            command,
            env=environment,
            pass_fds=(descriptor,),
            start_new_session=True,
            preexec_fn=partial(die_with_parent, signal.SIGTERM),
        )
        if self._is_stopping():  # the signal came while it started
            self._terminate(worker)
        status = _wait_for(worker)
        kill_descendants()
        self._for_job = "a job ended the worker" if _report_death(table, name, worker.pid) else ""
        if table.ends_for_job:
            self._for_job = "the worker ended because a job could not be stopped"
        table.close()
        return status

    def _terminate(self, worker: subprocess.Popen[bytes]) -> None:
        # Not by `send_signal`, which may wait for the worker in place of `_wait_for`.
        if worker.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGTERM)

    def _is_stopping(self) -> bool:
        return self._stopping


def _report_death(table: attempt_table.AttemptTable, name: str, pid: int) -> bool:
    """Report the death of a worker, unless it shut down or never got ready; return whether a job of it ended it."""
    if not table.sends_heartbeats and not table.fault():
        return False
    from poolwise.worker import death  # it takes Redis and pydantic, which a supervisor mostly does without

    return death.report(table, name, pid)


def _wait_for(worker: subprocess.Popen[bytes]) -> int:
    """Wait for the worker, and meanwhile for orphans of its jobs; return its exit status."""
    while worker.returncode is None:
        pid, status = os.wait()
        if pid == worker.pid:
            worker.returncode = os.waitstatus_to_exitcode(status)
    return worker.returncode
