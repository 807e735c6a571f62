"""CPU seconds per job where many jobs share one thread, and the lag of a loop."""

import contextvars
import time
from collections.abc import Callable
from typing import Any, Protocol

import greenlet
import psutil

from poolwise.support import native_lock, original

_clock = time.thread_time
_native_ident = original("_thread", "get_ident")

#: The meter of the current job; child tasks and offloaded calls inherit it.
METER: contextvars.ContextVar["Meter | None"] = contextvars.ContextVar("poolwise_meter", default=None)


class Meter:
    """CPU seconds of one job, by where it used them; one thread writes each field, or the lock guards it."""

    __slots__ = (
        "_calls", "_lock", "_threads_s", "caused_stall_s", "greenlet_s", "on_turn", "programs", "programs_s", "since",
        "stall_s", "steps_s",
    )  # fmt: skip

    def __init__(self) -> None:
        self.greenlet_s = 0.0
        self.steps_s = 0.0
        self.since: float | None = None
        #: Called whenever the job gets the thread that all jobs share.
        self.on_turn: Callable[[], object] | None = None
        self._threads_s = 0.0
        #: The longest stall of the loop that delayed this job, and the longest that it caused.
        self.stall_s = self.caused_stall_s = 0.0
        #: The ids of child processes that the job started and that nobody has waited for.
        self.programs: set[int] = set()
        #: The CPU seconds of the others. Without a lock, as Python may free a process, and so wait for it, at any time.
        self.programs_s: list[float] = []
        # The clocks of the threads that work for the job now, and what they showed at the start.
        self._calls: dict[int, tuple[int | None, float]] = {}
        self._lock = native_lock()

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return `function(*args, **kwargs)`, called in a thread on behalf of the job."""
        thread = _native_ident()
        if thread in self._calls:  # it is a part of a call that counts already
            return function(*args, **kwargs)
        token = METER.set(self)  # a thread that this one starts works for the job, too
        self._calls[thread] = _thread_clock(thread), (start := _clock())
        try:
            return function(*args, **kwargs)
        finally:
            with self._lock:
                del self._calls[thread]
                self._threads_s += _clock() - start
            METER.reset(token)

    def elsewhere_s(self) -> float:
        """Return the CPU seconds so far of the job's calls in other threads and of the programs that it started."""
        programs_s = self.of_programs_s()
        with self._lock:
            return programs_s + self._threads_s + sum(map(_used_s, self._calls.items()))

    def of_programs_s(self) -> float:
        """Return the CPU seconds so far of the programs that the job started."""
        return sum(self.programs_s) + self.running_programs_s()

    def running_programs_s(self) -> float:
        """Return the CPU seconds so far of the programs that nobody has waited for."""
        return sum(map(_program_s, tuple(self.programs)))

    def loop_s(self) -> float:
        """Return the CPU seconds of the job's steps on its loop so far, and `elsewhere_s`."""
        step_s = 0.0
        if self.since is not None and _native_ident() not in self._calls:
            step_s = _clock() - self.since
        return self.steps_s + step_s + self.elsewhere_s()


def _thread_clock(thread: int) -> int | None:
    # macOS has no clock that shows another thread's time.
    return time.pthread_getcpuclockid(thread) if hasattr(time, "pthread_getcpuclockid") else None


def _used_s(call: tuple[int, tuple[int | None, float]]) -> float:
    thread, (clock, start_s) = call
    if thread == _native_ident():
        return _clock() - start_s
    try:
        return 0.0 if clock is None else time.clock_gettime(clock) - start_s
    except OSError:  # the thread was ended
        return 0.0


def _program_s(pid: int) -> float:
    try:
        return float(sum(psutil.Process(pid).cpu_times()[:4]))
    except psutil.Error:
        return 0.0


class Stints(Protocol):
    """Observes how long each greenlet or task keeps the thread."""

    def begin(self, cpu_s: float) -> None:
        """Note that a stint begins."""

    def over(self, meter: Meter | None, cpu_s: float) -> None:
        """Note that the stint of that meter's job is over."""


class GreenletClock:
    """Charges the thread's CPU time to the job of the greenlet that used it, at every switch."""

    def __init__(self, meter_of: Callable[[Any], Meter | None], stints: Stints, idle: object) -> None:
        # `meter_of` returns the meter of a greenlet that runs for the first time; `idle` is the greenlet that waits
        # for events.
        self._meter_of = meter_of
        self._stints, self._idle = stints, idle
        self._meter: Meter | None = None
        self._last = _clock()
        self._previous_hook: Any = None

    def install(self) -> None:
        """Begin to count on this thread; a trace function that was set before is still called."""
        self._last = _clock()
        self._previous_hook = greenlet.settrace(self._on_switch)

    def charge(self) -> float:
        """Charge what was used since the last switch; return the thread's CPU time."""
        now = _clock()
        if self._meter is not None:
            self._meter.greenlet_s += now - self._last
        self._last = now
        return now

    def adopt(self, meter: Meter | None) -> None:
        """Charge the current greenlet's time to `meter` from now on."""
        self.charge()
        self._meter = meter

    def _on_switch(self, event: str, args: Any) -> None:
        now = self.charge()
        if args[0] is self._idle:
            self._stints.begin(now)
        else:
            self._stints.over(self._meter, now)
        meter = METER.get()
        self._meter = meter = self._meter_of(args[1]) if meter is None else meter
        if meter is not None and meter.on_turn is not None:
            meter.on_turn()
        if self._previous_hook is not None:
            self._previous_hook(event, args)


class LagProbe:
    """Measures how late a loop wakes from a sleep of PERIOD_S."""

    PERIOD_S = 0.05

    def __init__(self) -> None:
        self._due = time.monotonic() + self.PERIOD_S
        self._last_s = 0.0
        self._worst_s = 0.0

    def woke(self) -> float:
        """Note the end of a sleep and the start of the next; return how late it ended, in seconds."""
        now = time.monotonic()
        self._last_s = max(0.0, now - self._due)
        self._worst_s = max(self._worst_s, self._last_s)
        self._due = now + self.PERIOD_S
        return self._last_s

    def read(self) -> tuple[float, float]:
        """Return the lag in seconds now, and the largest since the last call. Any thread may call it."""
        # A loop that is blocked now has not noted it yet.
        now_s = max(self._last_s, time.monotonic() - self._due)
        worst_s, self._worst_s = max(self._worst_s, now_s), 0.0
        return now_s, worst_s
