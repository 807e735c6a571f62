"""What a job may call of the pool that runs it; all of it also works outside a pool of ours."""

import math
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from poolwise.metering import METER
from poolwise.pools import base, forked, prefork
from poolwise.pools.connections import with_own_connections
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
    "limited",
    "loop_lag_s",
    "offload",
    "on_loop",
    "run_coroutine",
    "run_sync",
    "sleep",
    "slots_in_use",
]  # fmt: skip


def current_job() -> PoolRequest | None:
    """Return the job that the caller is a part of; None in prefork, in solo and outside workers."""
    return CURRENT.get()


def run_coroutine(coro: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine as the body of the job, where the pool awaits it best; return its result.

    Raise SoftTimeLimitExceeded or Interrupted if the pool interrupted it, BodyCancelled if it was cancelled otherwise.
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
    """Call a function as the body of the job, in a thread if it would block a loop; return its result.

    Then drop the database connections of its thread. Raise SoftTimeLimitExceeded or Interrupted if the pool
    interrupted it.
    """
    job, call = CURRENT.get(), partial(forked.run, partial(function, *args, **kwargs))
    if job is None:
        return with_own_connections(call) if prefork.is_child() else call()
    if job.in_body or job.pool.on_loop():  # a part of the body called it; its thread does so itself
        return job.pool.run_sync(job, call)
    return with_own_connections(job.pool.run_sync, job, call)


def offload(function: Callable[..., Any], /, *args: Any) -> Any:
    """Make a blocking call of the platform, which blocks no loop and is not interrupted; return its result."""
    job = CURRENT.get()
    if job is None:
        return function(*args)
    return job.pool.offload(job, partial(function, *args))


def sleep(seconds: float) -> None:
    """Block only the caller's job; inside a body, an interrupt ends the sleep at once."""
    job = CURRENT.get()
    if job is None:
        time.sleep(seconds)
    else:
        job.pool.sleep(job, seconds)


def on_loop() -> bool:
    """Return whether the caller is a job on the loop of the asyncio pool, which a blocking call would stop."""
    job = CURRENT.get()
    return job is not None and job.pool.on_loop()


def cpu_s() -> float:
    """Return the CPU seconds of the current job so far, from an arbitrary zero: use differences."""
    job = CURRENT.get()
    if job is not None:
        return job.pool.cpu_s(job)
    meter = METER.get()
    if prefork.is_child():
        return prefork.cpu_s(meter)
    return time.thread_time() + (0.0 if meter is None else meter.elsewhere_s())


@contextmanager
def limited() -> Iterator[None]:
    """Let the watchdog know, while the block runs, which thread runs the current attempt and when its limit is over."""
    job = CURRENT.get()
    if job is None or job.note is None:
        yield
        return
    job.begin_turns()
    job.note.limit(job.deadline_mono)
    try:
        yield
    finally:
        job.note.limit(math.inf)
        job.end_turns()


def greenlet_or_task() -> str:
    """Return the name of the current job's greenlet or asyncio task; empty if it runs in a thread."""
    job = CURRENT.get()
    return "" if job is None else job.pool.greenlet_or_task(job)


def loop_lag_s() -> tuple[float, float]:
    """Return the lag of this worker's loop or hub in seconds: now, and the largest since the last call."""
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
