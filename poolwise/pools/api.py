"""What a job asks of the pool that runs it; every pool answers, and so does a plain process."""

import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from poolwise.metering import METER
from poolwise.pools import base
from poolwise.pools.coroutines import CoroutineBody, run_in_this_thread
from poolwise.pools.interrupts import BodyCancelled, Interrupted, Why
from poolwise.pools.request import CURRENT, PoolRequest

__all__ = [
    "BodyCancelled",
    "Interrupted",
    "Why",
    "cpu_s",
    "current_job",
    "greenlet_or_task",
    "loop_lag_s",
    "offload",
    "on_loop",
    "run_coroutine",
    "run_sync",
    "sleep",
    "slots_in_use",
    "watched",
]  # fmt: skip


def current_job() -> PoolRequest | None:
    """Return the job that the caller works for; None in prefork, in solo and outside workers."""
    return CURRENT.get()


def run_coroutine(coro: Coroutine[Any, Any, Any]) -> Any:
    """Return what the coroutine returns: the body of a job, awaited where its pool can wait best.

    Raise SoftTimeLimitExceeded or Interrupted where the pool interrupted it, BodyCancelled where it did that
    itself.
    """
    job = CURRENT.get()
    if job is not None:
        return job.pool.run_coroutine(job, coro)
    body = CoroutineBody(coro)
    try:
        return run_in_this_thread(body)
    finally:
        body.close()


def run_sync(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Return `function(*args, **kwargs)`: the body of a job, called in a thread where it would stop a loop.

    Raise SoftTimeLimitExceeded or Interrupted where the pool interrupted it.
    """
    job = CURRENT.get()
    if job is None:
        return function(*args, **kwargs)
    return job.pool.run_sync(job, partial(function, *args, **kwargs))


def offload(function: Callable[..., Any], /, *args: Any) -> Any:
    """Return `function(*args)`: the platform's own blocking call. It stops no loop, nothing interrupts it."""
    job = CURRENT.get()
    if job is None:
        return function(*args)
    return job.pool.offload(job, partial(function, *args))


def sleep(seconds: float) -> None:
    """Block the caller's job alone; inside a body, an interrupt ends the sleep at once."""
    job = CURRENT.get()
    if job is None:
        time.sleep(seconds)
    else:
        job.pool.sleep(job, seconds)


def on_loop() -> bool:
    """Tell whether the caller is a job on the loop of the asyncio pool, so that a coroutine suits it best."""
    job = CURRENT.get()
    return job is not None and job.pool.on_loop()


def cpu_s() -> float:
    """Return the CPU seconds of the current job so far, counted from an arbitrary start: take differences."""
    job = CURRENT.get()
    if job is not None:
        return job.pool.cpu_s(job)
    meter = METER.get()
    return time.thread_time() + (0.0 if meter is None else meter.threads_s())


@contextmanager
def watched(text: Callable[[], str]) -> Iterator[None]:
    """Let the watchdog know of the current attempt, whose encoded start `text` returns, while the block runs."""
    job, pool = CURRENT.get(), base.running_pool()
    if job is None or pool is None or pool.table is None:
        yield
        return
    job.remove_from_table = pool.table.note(text(), job.deadline_mono)
    try:
        yield
    finally:
        job.remove_from_table()


def greenlet_or_task() -> str:
    """Name the greenlet or the asyncio task of the current job; empty where a thread carries it."""
    job = CURRENT.get()
    return "" if job is None else job.pool.greenlet_or_task(job)


def loop_lag_s() -> tuple[float, float]:
    """Return how late this worker's loop or hub is, in seconds, now and at most since the last call."""
    pool = base.running_pool()
    return (0.0, 0.0) if pool is None else pool.loop_lag_s()


def jobs_received() -> int:
    """Return how many jobs this worker has received since it started."""
    from celery.worker import state

    return sum(list(state.total_count.values()))


def slots_in_use() -> int:
    """Return how many jobs run in this worker now."""
    pool = base.running_pool()
    if pool is not None:
        return pool.active
    from celery.worker import state

    return len(state.active_requests)
