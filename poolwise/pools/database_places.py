"""How many jobs of a worker have database connections at a time: a database server takes only so many.

A job takes a place when it first connects, and keeps it until its end, so that its further connections never wait for a
place that another job keeps.
"""

import logging
import math
import time
from collections import deque
from functools import partial
from typing import Any

from django.conf import settings

from poolwise.pools.request import CURRENT, PoolRequest, RequestState
from poolwise.support import native_lock

DEFAULT_PLACES = 20
#: How long a job waits before it logs that it does.
_SAY_AFTER_S = 1.0
_POLL_S = 0.1
logger = logging.getLogger(__name__)


class Places:
    """At most `limit` jobs have a place; the others wait in the order in which they came."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._holders: set[PoolRequest] = set()
        self._waiting: deque[PoolRequest] = deque()
        self._lock = native_lock()

    def take(self, job: PoolRequest) -> None:
        """Wait until the job has a place; its time limit or a cancel ends the wait."""
        job.give_back_place = partial(self._give_back, job)
        with self._lock:
            self._waiting.append(job)
        say_at_mono = time.monotonic() + _SAY_AFTER_S
        try:
            # Polling serves greenlets and native threads alike, and ends with an interrupt of either.
            while not self._has_place(job):
                if time.monotonic() > say_at_mono:
                    say_at_mono = math.inf
                    logger.info(
                        "waiting for a database connection: %s jobs of this worker have some, see "
                        "JOB_DATABASE_CONNECTIONS",
                        self._limit,
                    )
                time.sleep(_POLL_S)
        finally:
            with self._lock:
                self._waiting.remove(job)

    def _give_back(self, job: PoolRequest) -> None:
        """Free the place of a job that has ended, if it has one."""
        with self._lock:
            self._holders.discard(job)

    def _has_place(self, job: PoolRequest) -> bool:
        with self._lock:
            if (
                job in self._holders or job.state is RequestState.ENDED
            ):  # what it left behind must not keep one
                return True
            if self._waiting.index(job) >= self._limit - len(self._holders):
                return False
            self._holders.add(job)
            return True


def install() -> None:
    """Have the jobs of this process wait for a place before they connect to a database server."""
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.utils.asyncio import async_unsafe

    places = Places(getattr(settings, "JOB_DATABASE_CONNECTIONS", DEFAULT_PLACES))
    connect_now = BaseDatabaseWrapper.connect

    @async_unsafe
    def connect(self: Any) -> None:
        job = CURRENT.get()
        if job is not None and self.vendor != "sqlite":
            places.take(job)
        connect_now(self)

    BaseDatabaseWrapper.connect = connect  # type: ignore[method-assign]
