"""Probes of what limits and cancelling do in a worker: small bodies of each sort, interrupted beside its jobs.

A body waits, computes, or is inside a C call; it is a function or a coroutine. Where it would keep the thread
that all jobs share, it does so for 20 ms at most.
"""

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable
from contextvars import Context
from itertools import chain, product
from typing import Any

from poolwise.pools.base import running_pool
from poolwise.pools.interrupts import Why
from poolwise.pools.limits import (
    ACTIVITIES,
    CALLS_C,
    CANCEL,
    COROUTINE,
    FUNCTION,
    HARD,
    INTERRUPTS,
    SOFT,
    STYLES,
    WAITS,
    Support,
)
from poolwise.pools.request import PoolRequest, RequestState
from poolwise.pools.threads import TaskPool

#: How long a body lasts that is not interrupted: waiting, computing on a thread of its own, or on a shared one.
WAIT_S, COMPUTE_S, SHARED_S = 0.25, 0.3, 0.02
_AFTER_S = 0.005
#: How often a body is tried that its limit ended before it had begun, as a busy machine has it.
_TRIES = 5
#: Of a hash, about 10 ms in one call.
ROUNDS = 20_000
#: A body ends within a second; one that has not ended by then is on a machine that stands still.
_WITHIN_S = 10.0
_WATCHDOG_S = 5.0
_WHY = {SOFT: Why.SOFT, HARD: Why.HARD, CANCEL: Why.REVOKED}


def key(interrupt: str, style: str, doing: str) -> str:
    """Return the name of a probe in the answer."""
    return f"{interrupt} {style} {doing}"


class Body:
    """A body of one kind; notes whether it was interrupted before it was done."""

    def __init__(self, doing: str, compute_s: float, rounds: int = ROUNDS) -> None:
        self._doing, self._compute_s, self._rounds = doing, compute_s, rounds
        self.has_begun = False
        self._steps: list[object] = []  # of the call of C: that it began, and what it returned
        self.on_begin: Callable[[], object] = bool
        self.was_cut_short = False

    def function(self) -> None:
        """Do it as a plain function."""
        with _Look(self):
            if self._doing == WAITS:
                time.sleep(WAIT_S)
            else:
                self._work()

    async def coroutine(self) -> None:
        """Do it as a coroutine."""
        # What ends a coroutine's wait by an exception ends it early, however late that comes.
        with _Look(self, ends_early=self._doing == WAITS):
            if self._doing == WAITS:
                await asyncio.sleep(WAIT_S)
            else:
                self._work()
                await asyncio.sleep(0)

    @property
    def clock(self) -> Callable[[], float]:
        """Return the clock of what the body does."""
        # Of work its own, not the wall's: a busy machine makes a body late, not interrupted.
        return time.monotonic if self._doing == WAITS else time.thread_time

    def is_unfinished(self, spent_s: float) -> bool:
        """Return whether what it does was begun and not done, when it has spent so much of its clock's time."""
        if self._doing == CALLS_C:
            return len(self._steps) == 1
        return spent_s < 0.9 * (WAIT_S if self._doing == WAITS else self._compute_s)

    def _work(self) -> None:
        if self._doing == CALLS_C:
            # All within one call of C: an exception of Python's comes before the first step or after the last.
            hashes = map(hashlib.pbkdf2_hmac, ("sha256",), (b"a",), (b"b",), (self._rounds,))
            self._steps.extend(chain(("begun",), hashes))
            return
        end = time.thread_time() + self._compute_s
        while time.thread_time() < end:
            pass


class _Look:
    def __init__(self, body: Body, *, ends_early: bool = False) -> None:
        self._body, self._ends_early = body, ends_early

    def __enter__(self) -> None:
        self._start = self._body.clock()
        self._body.has_begun = True
        self._body.on_begin()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        is_early = self._ends_early or self._body.is_unfinished(self._body.clock() - self._start)
        self._body.was_cut_short = kind is not None and is_early


def probe_this_worker() -> dict[str, str]:
    """Return what each interrupt does to each sort of body in the worker that runs this job; takes a few seconds."""
    pool = running_pool()
    if pool is None:
        from tests.worker.stuck import limit_probes_prefork

        return limit_probes_prefork.probe_all()
    return probe_all(pool, time.sleep)


def probe_all(pool: Any, pause: Callable[[float], None]) -> dict[str, str]:
    """Return what each interrupt does to each sort of body on a pool of ours.

    Raise TimeoutError when a body never came to begin, or to end: half of an answer would be taken for all of it.
    """
    _await_watchdog(pool, pause)
    restarts = pool.table is not None and pool.table.is_watched
    support = {}
    for doing, style, interrupt in product(ACTIVITIES, STYLES, INTERRUPTS):
        if _try(pool, interrupt, style, doing, pause):
            support[key(interrupt, style, doing)] = Support.ENFORCED
        else:
            ends = interrupt == HARD and restarts
            support[key(interrupt, style, doing)] = Support.RESTARTS if ends else Support.AT_NEXT_YIELD
    return support


def _await_watchdog(pool: Any, pause: Callable[[float], None]) -> None:
    until_mono = time.monotonic() + _WATCHDOG_S
    while pool.table is not None and not pool.table.is_watched and time.monotonic() < until_mono:
        pause(0.05)


def _try(pool: Any, interrupt: str, style: str, doing: str, pause: Callable[[float], None]) -> bool:
    for _ in range(_TRIES):
        body = _try_once(pool, interrupt, style, doing, pause)
        if body.has_begun:
            return body.was_cut_short
    raise TimeoutError(f"no probe of {key(interrupt, style, doing)} came to begin")


def _try_once(pool: Any, interrupt: str, style: str, doing: str, pause: Callable[[float], None]) -> Body:
    """Return the body that was interrupted, or that ended before it began. Raise TimeoutError if it does not end."""
    is_own = style == FUNCTION and not getattr(pool, "is_green", False)
    body = Body(doing, COMPUTE_S if is_own else SHARED_S)
    soft_s, hard_s = (_AFTER_S if interrupt == limit else None for limit in (SOFT, HARD))
    job = PoolRequest(pool, 0, lambda: _run(pool, job, body, style), soft_s=soft_s, hard_s=hard_s)
    launch_beside(pool, job)
    until_mono = time.monotonic() + _WITHIN_S
    while not body.has_begun and job.state is not RequestState.ENDED and time.monotonic() < until_mono:
        pause(0.001)
    if interrupt == CANCEL:
        pause(_AFTER_S)
        pool.post(job.interrupt, _WHY[CANCEL])
    while job.state is not RequestState.ENDED:
        if time.monotonic() > until_mono:
            raise TimeoutError(f"the probe of {key(interrupt, style, doing)} did not end")
        pause(0.002)
    return body


def launch_beside(pool: Any, job: PoolRequest) -> None:
    """Run the job in no slot of the pool."""
    if isinstance(pool, TaskPool):
        threading.Thread(target=Context().run, args=(job.run,), name="probe", daemon=True).start()
    else:
        pool.post(pool.launch, job)


def _run(pool: Any, job: PoolRequest, body: Body, style: str) -> None:
    if style == COROUTINE:
        pool.run_coroutine(job, body.coroutine())
    else:
        pool.run_sync(job, body.function)
