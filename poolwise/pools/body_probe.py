"""The probe around one body: snapshots of its thread before and after, and the stalls that delayed it or that it caused."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto
from functools import wraps
from typing import Any, NamedTuple

from poolwise.metering import (
    METER,
    PROBE,
    UNATTRIBUTED,
    Reading,
    Span,
    Stalls,
    Waits,
    Watch,
    is_all_of,
    run_queue,
    split,
)
from poolwise.pools import base
from poolwise.pools.request import CURRENT

logger = logging.getLogger(__name__)

#: A worker's own threads compute less than that meanwhile.
_MISSING_S, _MISSING_SHARE = 0.05, 0.2


class BodyThread(Enum):
    """Who uses the thread of a body."""

    OWN = auto()  # this job alone
    SHARED = auto()  # all jobs of the pool
    OTHER = auto()  # the body runs in a thread that this probe does not measure


class Snapshot(NamedTuple):
    """The clocks and counters of a thread and its process."""

    at: float
    thread_cpu_s: float
    process_cpu_s: float
    run_queue_s: float
    switches: int
    reading: Reading  # of the GIL probe
    looks: Reading  # of the probe at this thread
    launched: int  # jobs of this process

    @classmethod
    def take(cls, watch: Watch | None) -> "Snapshot":
        """Read those of the calling thread, which `watch` watches; takes about 5 µs."""
        pool = base.running_pool()
        return cls(
            time.monotonic(), time.thread_time(), time.process_time(), run_queue.waited_s(), run_queue.switches(),
            PROBE.reading, (0, 0.0) if watch is None else watch.reading, 0 if pool is None else pool.launched,
        )  # fmt: skip

    def until(self, later: "Snapshot") -> Span:
        """Return the differences from this snapshot to a later one."""
        return Span(
            later.at - self.at, later.thread_cpu_s - self.thread_cpu_s,
            later.process_cpu_s - self.process_cpu_s, later.run_queue_s - self.run_queue_s,
            later.switches - self.switches, later.reading[0] - self.reading[0],
            later.reading[1] - self.reading[1], PROBE.recent_s,
            later.looks[0] - self.looks[0], later.looks[1] - self.looks[1],
        )  # fmt: skip


class BodyProbe:
    """Created before a body runs, in the job's greenlet, task or thread; `end` splits its off-CPU time."""

    def __init__(self) -> None:
        self._job = CURRENT.get()
        self._thread = BodyThread.OWN
        self._is_alone = _is_only_job()
        self._inside: tuple[Snapshot, Snapshot] | None = None
        self._waits: Waits | None = None
        PROBE.want()
        if (stalls := _stalls()) is not None and self._job is not None:
            # The platform's steps until here are not a part of the body.
            stalls.over(None, time.thread_time())
            self._job.meter.stall_s = self._job.meter.caused_stall_s = 0.0
        self._elsewhere_s = _elsewhere_s()
        self._watch = PROBE.watch()
        self._before = Snapshot.take(self._watch)

    def around(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """Return the body of a plain function, probed in the thread that will run it."""
        pool = base.running_pool()
        if pool is None or self._job is None or not pool.on_loop():
            self._thread = BodyThread.SHARED if _stalls() is not None else BodyThread.OWN
            return body

        self._thread = BodyThread.OTHER

        @wraps(body)
        def probed(*args: Any, **kwargs: Any) -> Any:
            watch = PROBE.watch()
            before = Snapshot.take(watch)
            try:
                return body(*args, **kwargs)
            finally:
                self._inside = before, Snapshot.take(watch)
                PROBE.release(watch)

        return probed

    def awaited(self) -> None:
        """Note that the body is a coroutine."""
        if _stalls() is not None and self._job is not None:
            pool = base.running_pool()
            self._thread = BodyThread.SHARED if pool is not None and pool.on_loop() else BodyThread.OTHER

    def end(self, cpu_s: float | None) -> Waits:
        """Return the parts of the off-CPU time of a body that used `cpu_s`; later calls return the same."""
        if self._waits is None:
            self._waits = self._end(Snapshot.take(self._watch), cpu_s or 0.0)
            PROBE.release(self._watch)
        return self._waits

    def _end(self, after: Snapshot, cpu_s: float) -> Waits:
        PROBE.want()
        self._note_missing(self._before.until(after), after, cpu_s)
        waits = self._split(after, cpu_s) if run_queue.IS_LINUX else UNATTRIBUTED
        if (stalls := _stalls()) is None or self._job is None:
            return waits
        meter = self._job.meter
        if self._thread is BodyThread.SHARED:  # end the body's last stint here
            stalls.over(meter, after.thread_cpu_s)
        return replace(waits, stall_s=meter.stall_s, caused_stall_s=meter.caused_stall_s)

    def _note_missing(self, span: Span, after: Snapshot, cpu_s: float) -> None:
        """Log, and so show on the job's page, CPU time of threads that Python does not start: those of native libraries."""
        if not self._ran_alone(after) or self._job is None:
            return
        missing_s = span.process_cpu_s - (cpu_s - self._job.meter.of_programs_s())
        if missing_s > max(_MISSING_S, _MISSING_SHARE * span.wall_s):
            logger.warning(
                "While this job ran alone, other threads of its worker computed for %.2f s. If they worked for it, as the "
                "threads of a native library do, its CPU time lacks them.", missing_s,
            )  # fmt: skip

    def _ran_alone(self, after: Snapshot) -> bool:
        return self._is_alone and _is_only_job() and self._before.launched == after.launched

    def _split(self, after: Snapshot, cpu_s: float) -> Waits:
        if self._inside is not None:
            return self._split_own(self._inside[0].until(self._inside[1]), cpu_s)
        span = self._before.until(after)
        if self._thread is BodyThread.OWN:
            return self._split_own(span, cpu_s)
        if self._thread is BodyThread.OTHER or not is_all_of(self._elsewhere_s, _elsewhere_s(), span.wall_s):
            return UNATTRIBUTED
        return split(span, cpu_s, is_alone=self._ran_alone(after))

    def _split_own(self, span: Span, cpu_s: float) -> Waits:
        # If other threads work for the job, it may wait in one of them, which this thread does not show.
        if not is_all_of(span.thread_cpu_s, cpu_s, span.wall_s):
            return UNATTRIBUTED
        return split(span, cpu_s, is_alone=True)


def _is_only_job() -> bool:
    pool = base.running_pool()
    return pool is not None and pool.active == 1


def _elsewhere_s() -> float:
    meter = METER.get()
    return 0.0 if meter is None else meter.elsewhere_s()


def _stalls() -> Stalls | None:
    pool = base.running_pool()
    return None if pool is None else pool.stalls


def longest_stall_s() -> float:
    """Return the longest stall of this process's hub or loop since it began, in seconds."""
    stalls = _stalls()
    return 0.0 if stalls is None else stalls.worst_s
