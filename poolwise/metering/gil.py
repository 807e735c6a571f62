"""How long threads of this process wait for the GIL: a probe thread wakes periodically and measures its delay."""

import sys
import time
from collections.abc import Callable
from math import isnan

from poolwise.metering import run_queue
from poolwise.support import native_lock, original, start_native_thread

PERIOD_S = 0.01
#: After this many seconds without a job the probe stops sampling, so that an idle worker stays idle.
LINGER_S = 2.0
IDLE_PERIOD_S = 0.05
#: The weight of the newest wake in the moving average.
_NEWEST = 1 / 32

type Reading = tuple[int, float]


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

    def start(self) -> None:
        """Start the thread, once."""
        with self._lock:
            is_first, self._started = not self._started, True
        if is_first and run_queue.IS_LINUX:
            start_native_thread(self._run, "gil-probe")

    def want(self) -> None:
        """Sample for the next LINGER_S: a job begins or ends."""
        self._wanted_until = time.monotonic() + LINGER_S

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


PROBE = GilProbe()
