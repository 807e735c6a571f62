"""The threads pool, with time limits and revocation (Celery's own threads pool ignores both)."""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from contextvars import Context
from queue import SimpleQueue
from typing import Any

from poolwise.pools.base import JobPool
from poolwise.pools.coroutines import CoroutineBody, run_in_this_thread
from poolwise.pools.request import PoolRequest

logger = logging.getLogger("celery.pool")


class Alarm:
    """A scheduled call."""

    __slots__ = ("_alarms", "call")

    def __init__(self, alarms: "Alarms", call: Callable[[], None]) -> None:
        self._alarms, self.call = alarms, call

    def cancel(self) -> None:
        """Prevent the call."""
        self.call = _nothing
        self._alarms.forget()


class Alarms:
    """A thread that makes scheduled calls."""

    #: Cancelled alarms stay in the heap until they outnumber both this and the others.
    SLACK = 256

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Alarm]] = []
        self._order = itertools.count()
        self._cancelled = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Alarm:
        """Make the call after `delay_s` seconds."""
        alarm = Alarm(self, call)
        with self._changed:
            heapq.heappush(self._heap, (time.monotonic() + delay_s, next(self._order), alarm))
            if self._heap[0][2] is alarm:
                self._changed.notify()
            if self._thread is None:
                thread = threading.Thread(target=self._ring, name="time-limits", daemon=True)
                _start(thread)
                self._thread = thread  # only now: starting a thread may fail
        return alarm

    def forget(self) -> None:
        """Count a cancelled (or completed) alarm, and drop them from the heap now and then."""
        with self._changed:
            self._cancelled += 1
            if self._cancelled > max(self.SLACK, len(self._heap) // 2):
                self._heap = [entry for entry in self._heap if entry[2].call is not _nothing]
                heapq.heapify(self._heap)
                self._cancelled = 0

    def _ring(self) -> None:
        while True:
            with self._changed:
                while not self._heap:
                    self._changed.wait()
                wait_s = self._heap[0][0] - time.monotonic()
                if wait_s > 0:
                    self._changed.wait(wait_s)
                    continue
                alarm = heapq.heappop(self._heap)[2]
            try:
                alarm.call()
            except Exception:  # this thread also enforces the limits of all other jobs
                logger.critical("could not enforce a time limit", exc_info=True)


class TaskPool(JobPool):
    """One OS thread per slot, started when it is needed."""

    def on_start(self) -> None:
        """Set up the alarms of the limits; threads start with the first jobs."""
        super().on_start()
        self._alarms = Alarms()
        self._ready: SimpleQueue[PoolRequest | None] = SimpleQueue()
        self._names = itertools.count(1)
        self._threads = 0

    def launch(self, job: PoolRequest) -> None:
        """Hand the job to a thread that is idle, or soon will be, or new."""
        self._ready.put(job)
        with self._lock:
            is_new = self._threads < len(self.jobs)
            self._threads += is_new
        if is_new:
            _start(threading.Thread(target=self._work, name=f"slot-{next(self._names)}", daemon=True))

    def _work(self) -> None:
        abandoned = False
        while not abandoned and self._needed():
            job = self._ready.get()
            if job is not None:
                Context().run(job.run)
                abandoned = job.abandoned
            del job  # an idle thread must not keep a job's objects alive

    def _needed(self) -> bool:
        with self._lock:
            needed = self._threads <= self.limit
            self._threads -= not needed
        return needed

    def finished(self, job: PoolRequest) -> None:
        """Free the job's slot; the thread of an abandoned job no longer counts."""
        if job.abandoned:
            with self._lock:
                self._threads -= job.number in self.jobs
        super().finished(job)

    def shrink(self, n: int = 1) -> None:
        """Remove slots as their jobs end. Raise ValueError if none would be left."""
        super().shrink(n)
        for _ in range(n):
            self._ready.put(None)

    def reach_out(self, job: PoolRequest) -> None:
        """Interrupt from the calling thread."""
        job.deliver()

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Alarm:
        """Make the call after a delay, unless it is cancelled."""
        return self._alarms.call_later(delay_s, call)

    def detach(self, call: Callable[[], None]) -> None:
        """Make the call in a separate thread."""
        _start(threading.Thread(target=call, name="abandoned", daemon=True))

    def run_coroutine(self, job: PoolRequest, coro: Any) -> Any:
        """Run the coroutine on this thread's own loop."""
        body = CoroutineBody(coro)
        try:
            return job.call(body.interrupt, lambda: run_in_this_thread(body))
        finally:
            body.close()

    def run_sync(self, job: PoolRequest, call: Callable[[], Any]) -> Any:
        """Call the body here."""
        return job.call_in_thread(call)

    def sleep(self, job: PoolRequest, seconds: float) -> None:
        """Block this thread."""
        job.sleep_in_thread(seconds)

    def cpu_s(self, job: PoolRequest) -> float:
        """Return this thread's CPU seconds and those of the threads and programs that the job started."""
        return time.thread_time() + job.meter.elsewhere_s()

    def greenlet_or_task(self, job: PoolRequest) -> str:
        """Return an empty name: the thread has one already."""
        return ""

    def loop_info(self) -> dict[str, Any]:
        """Return how many threads there are."""
        return {"threads": self._threads}


def _start(thread: threading.Thread) -> None:
    # Not for the job in whose context it starts.
    Context().run(thread.start)


def _nothing() -> None:
    pass
