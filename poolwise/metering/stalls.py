"""Stalls of a hub or loop: which job kept its thread, how long, and which jobs waited meanwhile."""

import time
from collections.abc import Callable, Iterable

from poolwise.metering import run_queue
from poolwise.metering.cpu_clocks import Meter
from poolwise.metering.gil import PROBE

#: A shorter stint on the thread is ordinary work.
MIN_S = 0.01


class Stalls:
    """The stints of greenlets or tasks on one thread: one longer than MIN_S stalls all other jobs.

    Call its methods on that thread only.
    """

    def __init__(self, meters: Callable[[], Iterable[Meter]]) -> None:
        # `meters` returns the meters of the jobs that run now.
        self._meters = meters
        self.worst_s = 0.0
        self._since = self._ended = time.monotonic()
        self._since_cpu_s = 0.0
        self._excuse_s = 0.0

    def begin(self, cpu_s: float) -> None:
        """Note that a stint begins; `cpu_s` is the CPU time of the thread."""
        self._since, self._since_cpu_s = time.monotonic(), cpu_s

    def over(self, meter: Meter | None, cpu_s: float) -> None:
        """Note that the stint of the job with that meter ends and the next begins."""
        now = time.monotonic()
        if now - self._since >= MIN_S:
            self._note(now, now - self._since, cpu_s - self._since_cpu_s, meter)
        self._since, self._since_cpu_s = now, cpu_s

    def tick(self, late_s: float) -> None:
        """Note how late the loop woke from its sleep: a stall that no job caused, unless one was noted for that time."""
        now = time.monotonic()
        if late_s >= MIN_S and self._ended < now - late_s:
            self._strike(now, late_s, None)
        self._excuse_s = _excuse_s()

    def _note(self, now: float, length_s: float, cpu_s: float, meter: Meter | None) -> None:
        # Waiting for a core or for the GIL is not the job's fault; computing is.
        excuse_s = _excuse_s()
        caused_s = max(cpu_s, length_s - (excuse_s - self._excuse_s))
        self._excuse_s = excuse_s
        if meter is not None and caused_s >= MIN_S:
            meter.caused_stall_s = max(meter.caused_stall_s, caused_s)
        self._strike(now, length_s, meter)

    def _strike(self, now: float, length_s: float, culprit: Meter | None) -> None:
        self._ended = now
        self.worst_s = max(self.worst_s, length_s)
        for meter in self._meters():
            if meter is not culprit:
                meter.stall_s = max(meter.stall_s, length_s)


def _excuse_s() -> float:
    return run_queue.waited_s() + PROBE.reading[1]
