"""How long threads of this process wait for the GIL: a probe thread wakes periodically and measures its delay."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from math import isnan
from typing import Any

from poolwise.metering import run_queue
from poolwise.support import native_lock, original, start_native_thread

PERIOD_S = 0.01
#: After this many seconds without a job the probe stops sampling, so that an idle worker stays idle.
LINGER_S = 2.0
IDLE_PERIOD_S = 0.05
#: The weight of the newest wake in the moving average.
_NEWEST = 1 / 32
#: After a wake that waited longer than this, the probe looks who holds the GIL: it sleeps for RELEASE_S once more.
_BUSY_S = 0.0005
_RELEASE_S = 0.0001
#: At most so many watched threads are looked at in one wake, each in turn.
_WATCHED_AT_ONCE = 8

type Reading = tuple[int, float]


class Watch:
    """A thread that runs jobs: how often another thread had the GIL while this one was not running.

    A thread that computes makes the probe wait as well, so the probe's delay alone does not show who had the GIL.
    """

    __slots__ = ("_clock", "_queue", "reading", "users")

    def __init__(self) -> None:
        """Watch the calling thread. Raise OSError if no file descriptor is free."""
        self._clock = time.pthread_getcpuclockid(_native_ident())
        self._queue = run_queue.RunQueue()
        #: Number of looks and the sum of their shares; replaced as a whole, so that any thread may read it.
        self.reading: Reading = (0, 0.0)
        self.users = 0

    def active_s(self) -> float:
        """Return the seconds that the thread has computed or waited for a core; NaN once it has ended."""
        try:
            return time.clock_gettime(self._clock) + self._queue.waited_s()
        except OSError:
            return float("nan")

    def add(self, share: float) -> None:
        """Add a look: the share of it in which another thread had the GIL and this one was not running."""
        looks, shares = self.reading
        self.reading = looks + 1, shares + share


class GilProbe:
    """A native thread that sleeps PERIOD_S: its delay at waking, less its wait for a core, is its wait for the GIL."""

    def __init__(self) -> None:
        #: Number of wakes and their total wait in seconds; replaced as a whole, so that any thread may read it.
        self.reading: Reading = (0, 0.0)
        self.recent_s = sys.getswitchinterval()
        self._floor_s = 1.0
        self._wanted_until = 0.0
        self._lock = native_lock()
        self._started = False
        self._watches: list[Watch] = []

    def start(self) -> None:
        """Start the thread, once."""
        with self._lock:
            is_first, self._started = not self._started, True
        if is_first and run_queue.IS_LINUX:
            start_native_thread(self._run, "gil-probe")

    def want(self) -> None:
        """Sample for the next LINGER_S: a job begins or ends."""
        self._wanted_until = time.monotonic() + LINGER_S

    def watch(self) -> Watch | None:
        """Watch the calling thread until `release`; None if this process or machine measures no waits."""
        if not self._started or not run_queue.IS_LINUX:
            return None
        watch: Watch | None = getattr(_of_thread, "watch", None)
        if watch is None:
            with suppress(OSError):
                watch = _of_thread.watch = Watch()
        if watch is not None:
            with self._lock:
                watch.users += 1
                if watch.users == 1:
                    self._watches.append(watch)
        return watch

    def release(self, watch: Watch | None) -> None:
        """End one `watch`."""
        if watch is not None:
            with self._lock:
                watch.users -= 1
                if watch.users == 0 and watch in self._watches:
                    self._watches.remove(watch)

    def _run(self) -> None:
        sleep = original("time", "sleep")
        while True:
            if time.monotonic() < self._wanted_until:
                self._sample(sleep)
            else:
                sleep(IDLE_PERIOD_S)

    def _sample(self, sleep: Callable[[float], None]) -> None:
        queued_s, due = run_queue.waited_s(), time.monotonic() + PERIOD_S
        sleep(PERIOD_S)
        late_s = time.monotonic() - due - (run_queue.waited_s() - queued_s)
        if isnan(late_s):
            return
        # The delay of the timer alone on this machine.
        self._floor_s = max(0.0, min(self._floor_s, late_s))
        wait_s = max(0.0, late_s - self._floor_s)
        wakes, waited_s = self.reading
        self.reading = (wakes + 1, waited_s + wait_s)
        self.recent_s += (wait_s - self.recent_s) * _NEWEST
        if self._watches:
            self._look(sleep, is_busy=wait_s > _BUSY_S)

    def _look(self, sleep: Callable[[float], None], *, is_busy: bool) -> None:
        """Note for some watched threads whether another one has the GIL while they do not run."""
        with self._lock:
            now, later = self._watches[:_WATCHED_AT_ONCE], self._watches[_WATCHED_AT_ONCE:]
            self._watches = later + now
        if not is_busy:
            for watch in now:
                watch.add(0.0)
            return
        began, queued_s, active_s = (
            time.monotonic(),
            run_queue.waited_s(),
            [watch.active_s() for watch in now],
        )
        sleep(_RELEASE_S)
        busy_s = time.monotonic() - began - _RELEASE_S - self._floor_s - (run_queue.waited_s() - queued_s)
        for watch, before_s in zip(now, active_s, strict=True):
            idle_s = busy_s - (watch.active_s() - before_s)
            if not isnan(idle_s):
                watch.add(max(0.0, idle_s / busy_s) if busy_s > _BUSY_S else 0.0)


_native_ident = original("_thread", "get_ident")
# Per OS thread, under gevent too: the greenlets of a thread share its watch.
_of_thread: Any = original("_thread", "_local")()
PROBE = GilProbe()
