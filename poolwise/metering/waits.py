"""Where the off-CPU time of a job went: what two snapshots of a thread allow to say, and no more."""

import sys
from dataclasses import dataclass
from math import isnan
from typing import NamedTuple

#: What clocks and threads differ by without meaning anything.
_TOLERANCE_S = 0.002
_TOLERANCE_SHARE = 0.02
_NOBODY_S = 0.0005


@dataclass(frozen=True, slots=True)
class Waits:
    """The named parts of a run that are not CPU time, in seconds; None where it cannot be told."""

    run_queue_s: float | None = None
    gil_wait_s: float | None = None
    blocked_s: float | None = None
    stall_s: float | None = None
    caused_stall_s: float | None = None


#: Of an attempt that no probe saw the end of.
UNKNOWN = Waits()


class Span(NamedTuple):
    """What a thread and its process did between two snapshots."""

    wall_s: float
    thread_cpu_s: float
    process_cpu_s: float
    run_queue_s: float
    switches: int
    wakes: int  # of the GIL probe
    waited_s: float  # by those wakes, in all
    recent_s: float  # what a wake waited lately

    @property
    def others_cpu_s(self) -> float:
        """Return the CPU seconds of the process's other threads."""
        return max(0.0, self.process_cpu_s - self.thread_cpu_s)

    @property
    def per_wake_s(self) -> float:
        """Return how long a thread that wakes waits for the GIL, on average."""
        return self.waited_s / self.wakes if self.wakes else 0.0

    @property
    def per_wake_at_most_s(self) -> float:
        """Return what a wake of the thread itself may have waited: one more than was seen, like the last ones."""
        wait_s = (self.waited_s + self.recent_s) / (self.wakes + 1)
        # Where the lock is wanted by others, a few wakes say little of the next: it may take a whole interval.
        interval_s = sys.getswitchinterval()
        return max(wait_s, interval_s) if wait_s > interval_s / 5 else wait_s

    def gil_at_most_s(self) -> float:
        """Return how long the thread can have waited for the GIL, each of its waits having ended in one for it."""
        if self.others_cpu_s < _NOBODY_S:  # nobody else ran who could have held it
            return self.others_cpu_s
        return self.switches * self.per_wake_at_most_s

    def gil_at_least_s(self, cpu_s: float) -> float:
        """Return the GIL wait that computing for `cpu_s` brings: one wait at each switch that it is forced to."""
        forced = int(cpu_s / sys.getswitchinterval())
        return min(forced * self.per_wake_s, self.others_cpu_s, self.gil_at_most_s())


def split(span: Span, cpu_s: float, *, is_alone: bool) -> Waits:
    """Return the parts of a job that used `cpu_s`; the thread is its own, or shared with others if not `is_alone`.

    While a shared thread has nothing to do, the job waits for something outside: that much is blocked for
    certain. How long it waited for its turn cannot be told from the thread.
    """
    if isnan(span.run_queue_s):  # without it nothing tells what the thread waited for
        return UNKNOWN
    asleep_s = max(0.0, span.wall_s - span.thread_cpu_s - span.run_queue_s)
    blocked_s = max(0.0, asleep_s - span.gil_at_most_s())
    if not is_alone:
        return Waits(blocked_s=blocked_s)
    gil_wait_s = min(span.gil_at_least_s(cpu_s), asleep_s - blocked_s)
    return Waits(span.run_queue_s, gil_wait_s, blocked_s)


def is_all_of(thread_cpu_s: float, cpu_s: float, wall_s: float) -> bool:
    """Tell whether the job's CPU time is the thread's, so that no other thread worked for it."""
    return cpu_s - thread_cpu_s <= max(_TOLERANCE_S, _TOLERANCE_SHARE * wall_s)
