"""Split the off-CPU time of a job into parts, as far as two snapshots of a thread allow."""

import sys
from dataclasses import dataclass
from math import inf, isnan
from typing import NamedTuple

#: Differences between clocks and threads below these are noise.
_TOLERANCE_S = 0.002
_TOLERANCE_SHARE = 0.02
#: Other threads that computed less than this cannot have held the GIL.
_IDLE_S = 0.0005


@dataclass(slots=True, unsafe_hash=True)
class Waits:
    """The parts of a run that are not CPU time, in seconds; None where a part cannot be measured."""

    run_queue_s: float | None = None
    gil_wait_s: float | None = None
    blocked_s: float | None = None
    stall_s: float | None = None
    caused_stall_s: float | None = None


#: Of an attempt whose probe did not see its end.
UNATTRIBUTED = Waits()


class Span(NamedTuple):
    """What a thread and its process did between two snapshots; durations in seconds."""

    wall_s: float
    thread_cpu_s: float
    process_cpu_s: float
    run_queue_s: float
    switches: int
    wakes: int  # of the GIL probe
    waited_s: float  # the total of those wakes
    recent_s: float  # moving average of the wait of a wake
    looks: int = 0  # of the probe at this thread
    held_looks: float = 0.0  # those in which another thread had the GIL and this one was not running

    @property
    def others_cpu_s(self) -> float:
        """Return the CPU seconds of the process's other threads."""
        return max(0.0, self.process_cpu_s - self.thread_cpu_s)

    @property
    def per_wake_s(self) -> float:
        """Return the mean wait for the GIL of a thread that wakes."""
        return self.waited_s / self.wakes if self.wakes else 0.0

    @property
    def per_wake_at_most_s(self) -> float:
        """Return the longest plausible mean wait of the thread's own wakes: as if one more, recent wake were added."""
        wait_s = (self.waited_s + self.recent_s) / (self.wakes + 1)
        # Under contention, a few wakes do not predict the next: it may wait a whole interval.
        interval_s = sys.getswitchinterval()
        return max(wait_s, interval_s) if wait_s > interval_s / 5 else wait_s

    def gil_at_most_s(self) -> float:
        """Return an upper bound of the wait for the GIL: after each switch the thread may have waited for it."""
        if self.others_cpu_s < _IDLE_S:  # no other thread ran that could have held it
            return self.others_cpu_s
        return self.switches * self.per_wake_at_most_s

    @property
    def held_by_others_s(self) -> float:
        """Return how long other threads had the GIL while this one was not running; unlimited if nobody looked."""
        return self.held_looks / self.looks * self.wall_s if self.looks else inf

    def gil_at_least_s(self, cpu_s: float) -> float:
        """Return a lower bound of the wait for the GIL: one wait at each switch forced while computing for `cpu_s`.

        The probe also waits for this thread, and others may compute without the GIL, hence `held_by_others_s`.
        """
        forced = int(cpu_s / sys.getswitchinterval())
        at_most_s = min(self.others_cpu_s, self.held_by_others_s, self.gil_at_most_s())
        return min(forced * self.per_wake_s, at_most_s)


def split(span: Span, cpu_s: float, *, is_alone: bool) -> Waits:
    """Return the parts of a run that used `cpu_s` on the thread; other jobs share the thread unless `is_alone`.

    While a shared thread is idle, the job waits for something outside: that time is certainly blocked. The thread
    does not show how long the job waited for its turn.
    """
    if isnan(span.run_queue_s):  # without it, the waits of the thread cannot be split
        return UNATTRIBUTED
    asleep_s = max(0.0, span.wall_s - span.thread_cpu_s - span.run_queue_s)
    blocked_s = max(0.0, asleep_s - span.gil_at_most_s())
    if not is_alone:
        return Waits(blocked_s=blocked_s)
    gil_wait_s = min(span.gil_at_least_s(cpu_s), asleep_s - blocked_s)
    return Waits(span.run_queue_s, gil_wait_s, blocked_s)


def computing_share(
    run_s: float | None,
    cpu_s: float | None,
    run_queue_s: float | None = None,
    gil_wait_s: float | None = None,
) -> float | None:
    """Return the share of a run in which a job computed or was ready to: on a core, queued for one or for the GIL.

    It is the job's kind, whatever else the machine does: near 1 it computes, near 0 it waits. More than 1 with several
    threads; None if the run or its CPU time is unknown.
    """
    if not run_s or cpu_s is None:
        return None
    return (cpu_s + (run_queue_s or 0.0) + (gil_wait_s or 0.0)) / run_s


def is_all_of(thread_cpu_s: float, cpu_s: float, wall_s: float) -> bool:
    """Return whether the thread accounts for all of the job's CPU time, so that no other thread worked for it."""
    return cpu_s - thread_cpu_s <= max(_TOLERANCE_S, _TOLERANCE_SHARE * wall_s)
