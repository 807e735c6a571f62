"""Memory and database connections of a worker and its children, as its heartbeat shows them."""

import os
import time
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings

from poolwise.metering import process_stats
from poolwise.pools import base
from poolwise.support import original, start_native_thread

log = structlog.get_logger(__name__)
#: After a slow reading the thread waits this many times as long as the reading took.
_REST_FOR_EACH_S = 5.0


class ProcessStats:
    """The figures of a worker: read before each heartbeat, or by a thread of its own.

    The thread is for workers whose jobs share their process: reading many files there waits for the interpreter's
    lock each time, for twenty seconds with sixteen computing jobs, and no heartbeat may wait for that.
    """

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._stats = process_stats.ProcessStats(os.getpid())
        self._is_shared = base.running_pool() is not None
        self.last = process_stats.MemoryReading(memory_bytes=0, db_connections=None)
        self.peak_memory_bytes = 0

    def start(self, is_stopped: Callable[[], bool]) -> None:
        """Where jobs share the process, read the figures and start the thread. Called in the heartbeat's thread."""
        if self._is_shared:
            self._read()
            start_native_thread(lambda: self._read_repeatedly(is_stopped), "process-stats")

    def refresh(self) -> None:
        """Read the figures now, unless the thread does."""
        if not self._is_shared:
            self._read()

    def cpu_s(self) -> float:
        """Return the CPU seconds that the worker and its children have used."""
        return round(process_stats.cpu_s(self._stats.last_tree), 2)

    def _read_repeatedly(self, is_stopped: Callable[[], bool]) -> None:
        sleep, rest_s = original("time", "sleep"), settings.JOB_HEARTBEAT_S
        while not is_stopped():
            sleep(rest_s)
            began_mono = time.monotonic()
            self._read()
            rest_s = max(settings.JOB_HEARTBEAT_S, _REST_FOR_EACH_S * (time.monotonic() - began_mono))

    def _read(self) -> None:
        try:
            self.last = self._stats.read(slots_of(self._consumer), settings.DATABASES["default"])
        except Exception:  # a heartbeat with older figures is better than none
            log.exception("cannot read memory and connections")
        self.peak_memory_bytes = max(self.peak_memory_bytes, self.last.memory_bytes)


def slots_of(consumer: Any) -> int:
    """Return how many jobs the worker can run at a time."""
    # Celery's own pool of processes keeps its first `limit` when it grows or shrinks.
    return int(getattr(consumer.pool, "num_processes", None) or getattr(consumer.pool, "limit", None) or 0)
