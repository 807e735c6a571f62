"""A job that computes on the event loop which other jobs need."""

import asyncio
import statistics
import subprocess
import sys
import threading
import time
from typing import Annotated, Any, Literal

from pydantic import Field

from jobs.hazards import lessons
from jobs.hazards.together import spin, where
from poolwise import job

_TICK_S = 0.01
_SLICE_S = 0.005
#: Not 0: gevent's sleep(0) switches to greenlets that are ready, but runs no timers.
_PAUSE_S = 0.001
_SPIN = (
    "import sys, time\nend = time.perf_counter() + float(sys.argv[1])\nwhile time.perf_counter() < end: pass"
)

Work = Annotated[
    Literal["compute", "pauses", "process"],
    Field(description="Compute without a pause, with a pause every 5 ms, or in a separate process."),
]
Compute = Annotated[float, Field(ge=0.01, le=10, description="Seconds of computing.")]


@job(
    kind="hazard",
    name="hazard.blocked_loop",
    title="Blocked loop",
    pool="gevent",
    lesson=lessons.BLOCKED_LOOP,
)
def blocked_loop(work: Work = "compute", compute_s: Compute = 0.5) -> dict[str, Any]:
    """Compute beside a sibling that wants to wake every 10 ms in the same worker, and measure how late it wakes.

    Lesson: on gevent and asyncio a job that computes blocks every other job of its worker for as long as it
    computes, because jobs switch only at a wait. Threads release the GIL every 5 ms instead. Pause now and then, or
    compute in a process. (On prefork the sibling is a thread beside the job: the process runs no other job.)
    """
    delays_s: list[float] = []
    ready, done = threading.Event(), threading.Event()
    sibling = threading.Thread(target=_wake, args=(delays_s, ready, done), daemon=True)
    sibling.start()
    ready.wait()
    begin_mono = time.perf_counter()
    try:
        _compute(work, compute_s)
    finally:
        duration_s = time.perf_counter() - begin_mono
        done.set()
    sibling.join(5)
    return _result(work, where(), compute_s, duration_s, delays_s)


def _wake(delays_s: list[float], ready: threading.Event, done: threading.Event) -> None:
    while not done.is_set():
        due_mono = time.perf_counter() + _TICK_S
        ready.set()
        time.sleep(_TICK_S)
        delays_s.append(time.perf_counter() - due_mono)


def _compute(work: str, compute_s: float) -> None:
    if work == "process":
        subprocess.run(_command(compute_s), check=True)  # noqa: S603 - this interpreter, with a constant program
    elif work == "pauses":
        for _ in range(round(compute_s / _SLICE_S)):
            spin(_SLICE_S)
            time.sleep(_PAUSE_S)
    else:
        spin(compute_s)


@blocked_loop.asyncio
async def _blocked_loop(work: Work, compute_s: Compute) -> dict[str, Any]:
    delays_s: list[float] = []
    sibling = asyncio.create_task(_wake_on_loop(delays_s))
    await asyncio.sleep(0)
    begin_mono = time.perf_counter()
    try:
        await _compute_on_loop(work, compute_s)
        duration_s = time.perf_counter() - begin_mono
        await asyncio.sleep(_TICK_S)  # lets the blocked sibling wake
    finally:
        sibling.cancel()
    return _result(work, "event loop", compute_s, duration_s, delays_s)


async def _wake_on_loop(delays_s: list[float]) -> None:
    while True:
        due_mono = time.perf_counter() + _TICK_S
        await asyncio.sleep(_TICK_S)
        delays_s.append(time.perf_counter() - due_mono)


async def _compute_on_loop(work: str, compute_s: float) -> None:
    if work == "process":
        child = await asyncio.create_subprocess_exec(*_command(compute_s))
        try:
            await child.wait()
        finally:
            if child.returncode is None:
                child.kill()
    elif work == "pauses":
        for _ in range(round(compute_s / _SLICE_S)):
            spin(_SLICE_S)
            await asyncio.sleep(_PAUSE_S)
    else:
        spin(compute_s)


def _command(compute_s: float) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", _SPIN, str(compute_s)]


def _result(
    work: str, ran_on: str, compute_s: float, duration_s: float, delays_s: list[float]
) -> dict[str, Any]:
    return {
        "work": work,
        "where": ran_on,
        "compute_s": compute_s,
        "duration_s": round(duration_s, 6),
        "sibling_wakes": len(delays_s),
        "sibling_late_median_s": round(max(0.0, statistics.median(delays_s)), 6),
        "sibling_late_max_s": round(max(0.0, *delays_s), 6),
    }
