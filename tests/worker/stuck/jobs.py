"""Jobs that get stuck, each for a limited time, so that a limit that fails ends the test, not the machine."""

import asyncio
import hashlib
import multiprocessing
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

from django.db import connection

from poolwise.definitions import Secret, job
from tests.worker.stuck.limit_probes import probe_this_worker

LIMIT_S = 1.0

#: What no idle worker needs.
UNWANTED = (
    *(
        "numpy",
        "scipy",
        "PIL",
        "altair",
        "ninja",
        "prompt_toolkit",
        "celery.bin.celery",
    ),
    *("poolwise.web", "poolwise.api", "poolwise.lab", "poolwise.admin", "project.urls", "rich", "environs"),
)


@job(name="stuck.loaded", kind="cpu")
def loaded() -> list[str]:
    """Return what this worker has loaded and no worker needs."""
    return [name for name in UNWANTED if sys.modules.get(name)]


@job(name="stuck.computes", kind="cpu", time_limit_s=LIMIT_S)
def computes(seconds: float = 20.0) -> None:
    """Compute in Python."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(200))


@job(name="stuck.computes_in_coroutine", kind="cpu", time_limit_s=LIMIT_S)
async def computes_in_coroutine(seconds: float = 20.0) -> None:
    """Compute in a coroutine, without an await."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(200))


@job(name="stuck.sleeps", kind="io", time_limit_s=LIMIT_S)
def sleeps(seconds: float = 20.0) -> None:
    """Block the thread."""
    time.sleep(seconds)


@job(name="stuck.sleeps_in_coroutine", kind="io", time_limit_s=LIMIT_S)
async def sleeps_in_coroutine(seconds: float = 20.0) -> None:
    """Block the thread in a task of a coroutine."""

    async def part() -> None:
        time.sleep(seconds)

    await asyncio.gather(part())


@job(name="stuck.fails_as_it_is_stopped", kind="io", time_limit_s=LIMIT_S)
def fails_as_it_is_stopped(seconds: float = 20.0) -> None:
    """Fail in the clean-up."""
    try:
        time.sleep(seconds)
    finally:
        raise ValueError("the clean-up failed")


@job(name="stuck.awaits", kind="io", time_limit_s=LIMIT_S)
async def awaits(seconds: float = 20.0) -> None:
    """Wait for what does not come."""
    await asyncio.sleep(seconds)


@job(name="stuck.hashes", kind="cpu", time_limit_s=LIMIT_S)
def hashes(iterations: int = 30_000_000) -> str:
    """Spend about 15 s in one C call, without the interpreter's lock."""
    return hashlib.pbkdf2_hmac("sha256", b"x", b"y", iterations).hex()


@job(name="stuck.matches", kind="cpu", time_limit_s=LIMIT_S, max_attempts=1)
def matches(length: int = 30) -> bool:
    """Spend about 30 s in one C call that keeps the interpreter's lock: a pattern that tries every way."""
    return re.fullmatch(r"(a+)+b", "a" * length) is not None


@job(name="stuck.probe_limits", kind="mixed", time_limit_s=60)
def probe_limits() -> dict[str, str]:
    """Return what limits and cancelling do in the worker that runs this."""
    return probe_this_worker()


@job(name="stuck.bystander", kind="io")
def bystander(witness: str, seconds: float = 3.0) -> None:
    """Wait beside the others; leave a line at the start and one at the end."""
    _note(witness, "began")
    time.sleep(seconds)
    _note(witness, "ended")


@job(name="stuck.unlimited", kind="mixed", time_limit_s=None)
def unlimited(seconds: float = 5.0, *, computing: bool = True) -> str:
    """Compute, or block, without any limit."""
    if not computing:
        time.sleep(seconds)
        return "slept"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(200))
    return "computed"


@job(name="stuck.unlimited_coroutine", kind="mixed", time_limit_s=None)
async def unlimited_coroutine(seconds: float = 5.0, *, computing: bool = True) -> str:
    """Compute, or wait, in a coroutine without any limit."""
    if not computing:
        await asyncio.sleep(seconds)
        return "slept"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(200))
    return "computed"


@job(name="stuck.hoards", kind="mixed", time_limit_s=30, memory_limit_bytes=64 * 1024 * 1024)
def hoards(mebibytes: int = 400, seconds: float = 20.0) -> int:
    """Take memory bit by bit and keep it."""
    kept = []
    for _ in range(mebibytes):
        kept.append(b"x" * 1024 * 1024)
        time.sleep(0.002)
    time.sleep(seconds if mebibytes > 64 else 0)
    return len(kept)


def _note(witness: str, what: str) -> None:
    with Path(witness).open("a") as file:
        file.write(f"{what}\n")


@job(name="stuck.hashes_unlimited", kind="cpu", time_limit_s=None)
def hashes_unlimited(iterations: int = 30_000_000) -> str:
    """Spend about 15 s in one C call."""
    return hashlib.pbkdf2_hmac("sha256", b"x", b"y", iterations).hex()


@job(name="stuck.computes_unlimited", kind="cpu", time_limit_s=None)
def computes_unlimited(seconds: float = 4.0) -> None:
    """Compute in Python, without a limit."""
    _compute(seconds)


@job(name="stuck.coroutine_unlimited", kind="cpu", time_limit_s=None)
async def coroutine_unlimited(seconds: float = 4.0) -> None:
    """Compute in a coroutine, without a limit."""
    _compute(seconds)


def _compute(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(200))


@job(name="stuck.prints", kind="io")
def prints(token: Annotated[str, Secret()]) -> None:
    """Keep no secret."""
    print("it is", token, flush=True)
    print(f"printed to stderr: {token}", file=sys.stderr)


def _program(marker: str) -> list[str]:
    # A program that has started another.
    return ["sh", "-c", "sleep 90; true", marker]


@job(name="stuck.runs_program", kind="io", time_limit_s=60)
def runs_program(marker: str, way: str = "run") -> None:
    """Run a program and wait for it."""
    _run_program(marker, way)


@job(name="stuck.runs_program_too_long", kind="io", time_limit_s=LIMIT_S)
def runs_program_too_long(marker: str, way: str = "run") -> None:
    """Run a program and wait for it past the limit."""
    _run_program(marker, way)


def _run_program(marker: str, way: str) -> None:
    if way == "run":
        subprocess.run(_program(marker), check=False)
    elif way == "system":
        os.system(f"sleep 90; true {marker}")
    elif way == "wait":
        subprocess.Popen(_program(marker), start_new_session=True).wait()
    elif way == "leave":
        LEFT.append(subprocess.Popen(_program(marker)))
    elif way == "beside":
        subprocess.Popen(_program(marker))
        for _ in range(900):
            time.sleep(0.1)
    else:
        child = multiprocessing.get_context(way).Process(target=subprocess.run, args=(_program(marker),))
        child.start()
        child.join()


@job(name="stuck.awaits_program", kind="io", time_limit_s=60)
async def awaits_program(marker: str) -> None:
    """Run a program and wait for it, in a coroutine."""
    program = await asyncio.create_subprocess_exec(*_program(marker))
    await program.wait()


@job(name="stuck.leaves_program", kind="io", max_attempts=1)
def leaves_program(marker: str) -> None:
    """Leave two programs running that ignore SIGTERM, one of them in a session of its own and without a parent."""
    code = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(90)"
    )
    left = subprocess.Popen([sys.executable, "-S", "-c", code, marker], stdout=subprocess.PIPE)
    assert left.stdout is not None
    left.stdout.readline()
    LEFT.append(left)
    command = shlex.join([sys.executable, "-S", "-c", code, marker])
    subprocess.run(["setsid", "sh", "-c", f"{command} &"], check=True)


#: Kept, so that Python does not warn.
LEFT: list[subprocess.Popen[bytes]] = []


@job(name="stuck.forks", kind="mixed", time_limit_s=20)
def forks(seconds: float = 1.0) -> str:
    """Wait for a forked process that asks the database and leaves the job, and for one that ends by itself."""
    _ask_database()
    if (pid := os.fork()) == 0:
        _ask_database()
        time.sleep(seconds)
        return "forked"
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(seconds,))
    process.start()
    process.join()
    _ask_database()
    return "worker" if os.waitpid(pid, 0)[1] == 0 else "failed"


def _ask_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("select 1")
