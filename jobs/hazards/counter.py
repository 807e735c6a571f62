"""A counter that several threads increment at once."""

import asyncio
import queue
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field

from jobs.data import Seed, seeded
from jobs.hazards import lessons, stored_counter
from jobs.hazards.together import pause, together, where
from poolwise import job

_QUEUE_TIMEOUT_S = 60.0

Guard = Annotated[
    Literal["none", "lock", "queue", "save", "f"],
    Field(
        description="none, lock and queue count in memory; save reads a row and saves it; f adds with F() in the database."
    ),
]
Updates = Annotated[int, Field(ge=1, le=10_000, description="Increments in total.")]
Workers = Annotated[int, Field(ge=1, le=16, description="Threads that increment it at the same time.")]
Window = Annotated[
    int,
    Field(ge=0, le=1_000, description="Average microseconds between reading and writing; 0: no pause."),
]


type Step = Callable[[float], None]


@dataclass(slots=True)
class Tally:
    """A counter in memory."""

    value: int = 0


@job(kind="hazard", name="hazard.shared_counter", title="Shared counter", lesson=lessons.SHARED_COUNTER)
def shared_counter(
    guard: Guard = "none",
    updates: Updates = 1000,
    workers: Workers = 4,
    window_us: Window = 200,
    seed: Seed = 1,
) -> dict[str, Any]:
    """Increment one counter from several threads, without and with a guard, and count the updates that were lost.

    Lesson: reading, adding and writing are three steps, and a write of another thread between them is lost. The GIL
    does not prevent it. A lock around the three, one owner behind a queue, or adding in the database (F()) does.
    """
    begin_mono = time.perf_counter()
    if guard in ("save", "f"):
        counted = stored_counter.count(guard, pauses_of(updates, workers, window_us, seed))
    else:
        counted = _count_in_memory(guard, pauses_of(updates, workers, window_us, seed))
    return _result(guard, where(), updates, counted, begin_mono)


@shared_counter.asyncio
async def _shared_counter(
    guard: Guard, updates: Updates, workers: Workers, window_us: Window, seed: Seed
) -> dict[str, Any]:
    begin_mono, pauses = time.perf_counter(), pauses_of(updates, workers, window_us, seed)
    if guard in ("save", "f"):
        counted = await asyncio.to_thread(stored_counter.count, guard, pauses)
        return _result(guard, "threads", updates, counted, begin_mono)
    return _result(guard, "event loop", updates, await _count_on_loop(guard, pauses), begin_mono)


def pauses_of(updates: int, workers: int, window_us: int, seed: int) -> list[list[float]]:
    """Return for each worker the seconds of each of its updates between reading and writing."""
    random = seeded(seed)
    pauses = [2e-6 * window_us * random.random() for _ in range(updates)]
    return [pauses[number::workers] for number in range(workers)]


def _result(guard: str, ran_on: str, updates: int, counted: int, begin_mono: float) -> dict[str, Any]:
    return {
        "guard": guard,
        "where": ran_on,
        "updates": updates,
        "counted": counted,
        "lost": updates - counted,
        "duration_s": round(time.perf_counter() - begin_mono, 6),
    }


def _count_in_memory(guard: str, pauses: list[list[float]]) -> int:
    tally, lock, inbox = Tally(), threading.Lock(), queue.SimpleQueue[float]()

    def increment(pause_s: float) -> None:
        seen = tally.value
        pause(pause_s)
        tally.value = seen + 1

    def increment_locked(pause_s: float) -> None:
        with lock:
            increment(pause_s)

    def own() -> None:
        for _ in range(sum(map(len, pauses))):
            increment(inbox.get(timeout=_QUEUE_TIMEOUT_S))

    steps: dict[str, Step] = {"none": increment, "lock": increment_locked, "queue": inbox.put}
    workers = [partial(_repeat, steps[guard], mine) for mine in pauses]
    together([*workers, own] if guard == "queue" else workers)
    return tally.value


def _repeat(step: Step, pauses: list[float]) -> None:
    for pause_s in pauses:
        step(pause_s)
        pause(pause_s)


async def _count_on_loop(guard: str, pauses: list[list[float]]) -> int:
    tally, lock, inbox = Tally(), asyncio.Lock(), asyncio.Queue[float]()

    async def increment(pause_s: float) -> None:
        seen = tally.value
        await _pause_on_loop(pause_s)
        tally.value = seen + 1

    async def increment_locked(pause_s: float) -> None:
        async with lock:
            await increment(pause_s)

    async def own() -> None:
        for _ in range(sum(map(len, pauses))):
            await increment(await inbox.get())

    step = {"none": increment, "lock": increment_locked, "queue": inbox.put}[guard]
    async with asyncio.TaskGroup() as group:
        for mine in pauses:
            group.create_task(_repeat_on_loop(step, mine))
        if guard == "queue":
            group.create_task(own())
    return tally.value


async def _repeat_on_loop(step: Callable[[float], Awaitable[None]], pauses: list[float]) -> None:
    for pause_s in pauses:
        await step(pause_s)
        await _pause_on_loop(pause_s)


async def _pause_on_loop(pause_s: float) -> None:
    if pause_s:
        await asyncio.sleep(pause_s)
