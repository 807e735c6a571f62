"""Jobs that do what jobs should not, for the soak `--odd`, and their neighbours; `drills.endings` has how each ends."""

import asyncio
import contextvars
import ctypes
import inspect
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.utils import timezone, translation

from drills.app.jobs import MAX_ATTEMPTS, Duration, note
from drills.endings import HANGING_PROGRAM
from poolwise import AttemptContext, JobTask, job

_LEFT_FORK_S, _LEFT_PROGRAM_S, _FOREVER_S = 20, 3600, 600
_MIB = 2**20
_MARK: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="none")
_context = multiprocessing.get_context("fork")


class SeesAnotherJob(Exception):
    """A job sees what another one has changed."""


def _odd(**options: Any) -> Callable[[Callable[[], Any]], JobTask]:
    """Make a function a job that notes its run, calls the function and returns the number of its attempt."""

    def declare(body: Callable[[], Any]) -> JobTask:
        def run(context: AttemptContext) -> dict[str, int]:
            note(context)
            body()
            return {"attempt": context.attempt}

        async def run_on_loop(context: AttemptContext) -> dict[str, int]:
            note(context)
            await body()
            return {"attempt": context.attempt}

        func: Callable[..., Any] = run_on_loop if inspect.iscoroutinefunction(body) else run
        func.__name__ = func.__qualname__ = body.__name__
        func.__doc__ = body.__doc__
        return job(kind="mixed", takes_context=True, **{"max_attempts": MAX_ATTEMPTS, **options})(func)

    return declare


_hangs = partial(_odd, time_limit_s=2.0)
#: The first attempt is lost and the second one, too; any other job has more, for which its worker's end may come.
_ends_worker = partial(_odd, max_attempts=2)


# --- neighbours
@job(kind="io", takes_context=True, max_attempts=MAX_ATTEMPTS)
def neighbour(context: AttemptContext, duration_s: Duration = 0.0) -> dict[str, int]:
    """Check that nothing of another job is seen, before and after a wait."""
    note(context)
    _look_around()
    time.sleep(duration_s)
    _look_around()
    return {"attempt": context.attempt}


@neighbour.asyncio
async def _neighbour_on_loop(context: AttemptContext, duration_s: float) -> dict[str, int]:
    note(context)
    _look_at_context()
    await sync_to_async(_look_around)()
    await asyncio.sleep(duration_s)
    _look_at_context()
    return {"attempt": context.attempt}


def _look_around() -> None:
    _look_at_context()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    if connection.in_atomic_block or not connection.get_autocommit():
        raise SeesAnotherJob("a transaction is open")


def _look_at_context() -> None:
    seen = (_MARK.get(), timezone.get_current_timezone_name(), translation.get_language())
    if seen != ("none", "UTC", "en"):
        raise SeesAnotherJob(f"the context is {seen}")


# --- forks and programs
@_odd()
def forks() -> None:
    """Fork, and wait for the other process."""
    if (pid := os.fork()) == 0:
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


@_odd()
def leaves_fork() -> None:
    """Fork, and leave the other process running."""
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(_LEFT_FORK_S)
        os._exit(0)


@_odd()
def uses_multiprocessing() -> None:
    """Use a process and a pool of multiprocessing."""
    process = _context.Process(target=time.sleep, args=(0.1,))
    process.start()
    process.join()
    with _context.Pool(2) as pool:
        assert (process.exitcode, pool.map(abs, range(-3, 0))) == (0, [3, 2, 1])


@_odd()
def runs_program() -> None:
    """Run a program to its end."""
    assert subprocess.run(["echo", "7"], capture_output=True, check=True).stdout == b"7\n"


@_odd()
def leaves_program() -> None:
    """Leave a program running that ignores SIGTERM."""
    subprocess.Popen(["sh", "-c", f"trap '' TERM; exec sleep {_LEFT_PROGRAM_S}"], start_new_session=True)


@_hangs()
def program_hangs() -> None:
    """Wait for a program beyond the time limit."""
    subprocess.run(HANGING_PROGRAM.split(), check=True)


# --- hangs
@_hangs()
def waits() -> None:
    """Wait beyond the time limit."""
    time.sleep(_FOREVER_S)


@_hangs()
def computes() -> None:
    """Compute beyond the time limit."""
    while True:
        sum(range(200))


@_hangs()
def matches() -> None:
    """Spend the time beyond the limit in one call of C that keeps the interpreter's lock."""
    re.fullmatch(r"(a+)+b", "a" * 50)


@_hangs()
async def blocks_loop() -> None:
    """Block the loop beyond the time limit."""
    time.sleep(_FOREVER_S)


# --- surroundings
@_odd()
def leaks() -> None:
    """Change the context, and leave it so."""
    _leak()


@_odd()
async def leaks_in_coroutine() -> None:
    """Change the context of the loop, and leave it so while other jobs run."""
    _leak()
    await asyncio.sleep(0.2)


def _leak() -> None:
    _MARK.set("leaked")
    timezone.activate("Asia/Tokyo")
    translation.activate("fr")
    time.sleep(0.1)


@_odd()
def closes_connection() -> None:
    """Close the database connection behind Django's back."""
    connection.ensure_connection()
    connection.connection.close()


@_odd()
def leaves_transaction() -> None:
    """Leave a transaction open."""
    transaction.atomic().__enter__()


# --- ends of the process
@_ends_worker()
def exits() -> None:
    """End the process."""
    os._exit(3)


@_odd()
def raises_exit() -> None:
    """Raise SystemExit."""
    sys.exit(3)


@_odd()
async def raises_exit_in_coroutine() -> None:
    """Raise SystemExit on the loop."""
    sys.exit(3)


@_ends_worker()
def kills_itself() -> None:
    """End the process by SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)


@_ends_worker()
def crashes() -> None:
    """Read memory that is not there."""
    ctypes.string_at(0)


# --- memory
@_odd()
def exhausts_memory() -> None:
    """Take memory until there is none: where the process is the job's alone, to a limit of the process."""
    if os.environ["POOLWISE_POOL"] != "prefork":
        bytearray(2**60)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + 64 * _MIB, limits[1]))
    try:
        _ = [bytearray(_MIB) for _ in range(1000)]
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@_odd(memory_limit_bytes=32 * _MIB)
def grows() -> None:
    """Use more memory than declared."""
    _ = bytearray(b"x") * (64 * _MIB)
    time.sleep(1.0)


@_ends_worker()
def out_of_memory() -> None:
    """Have the kernel end the process for its memory, in a memory cgroup of the drill's."""
    Path(os.environ["POOLWISE_DRILL_CGROUP"], "cgroup.procs").write_text(str(os.getpid()))
    _ = [bytearray(b"x") * _MIB for _ in range(500)]
