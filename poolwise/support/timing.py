"""Clocks and the named durations of an attempt. Wall clock between processes, monotonic clock inside one."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime


def wall_now() -> float:
    """Return the wall clock as a POSIX timestamp in seconds."""
    return time.time()


def elapsed_wall_s(earlier: float | None, later: float | None) -> float | None:
    """Return the seconds between two wall-clock stamps, clamped at 0 since clocks differ between hosts."""
    if earlier is None or later is None:
        return None
    return max(0.0, later - earlier)


def to_datetime(stamp: float | None) -> datetime | None:
    """Return a POSIX timestamp in seconds as an aware UTC datetime."""
    return None if stamp is None else datetime.fromtimestamp(stamp, UTC)


@dataclass(slots=True, unsafe_hash=True)
class Timings:
    """The timings of one attempt: POSIX time stamps and durations, in seconds."""

    published_at: float | None = None
    received_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    broker_wait_s: float | None = None
    worker_wait_s: float | None = None
    run_s: float | None = None
    cpu_s: float | None = None

    @property
    def off_cpu_s(self) -> float | None:
        """Return the part of the run that was not on a core; at least 0."""
        if self.run_s is None or self.cpu_s is None:
            return None
        return max(0.0, self.run_s - self.cpu_s)

    def as_dict(self) -> dict[str, float | None]:
        """Return the fields and `off_cpu_s` by name."""
        return {**asdict(self), "off_cpu_s": self.off_cpu_s}


@dataclass(slots=True)
class Stopwatch:
    """Measure one attempt on the worker: create it on arrival in a slot, `start` before the body, `stop` after it."""

    cpu_clock: Callable[[], float]
    published_at: float | None = None
    received_at: float | None = None
    received_mono: float | None = None
    _timings: Timings = field(default_factory=Timings)
    _started_mono: float = 0.0
    _started_cpu_s: float = 0.0

    def start(self) -> Timings:
        """Begin the run and return the timings so far. A second call moves the beginning."""
        self._started_mono = time.monotonic()
        waited_s = None if self.received_mono is None else max(0.0, self._started_mono - self.received_mono)
        self._timings = Timings(
            published_at=self.published_at,
            received_at=self.received_at,
            started_at=wall_now(),
            broker_wait_s=elapsed_wall_s(self.published_at, self.received_at),
            worker_wait_s=waited_s,
        )
        self._started_cpu_s = self.cpu_clock()
        return self._timings

    def stop(self) -> Timings:
        """End the run and return all timings."""
        cpu_s = max(0.0, self.cpu_clock() - self._started_cpu_s)
        run_s = max(0.0, time.monotonic() - self._started_mono)
        # Start plus monotonic duration: a wall clock that steps back cannot put the end before the start.
        begun = self._timings
        finished_at = (begun.started_at or wall_now()) + run_s
        # Not by `replace`, which takes six times as long.
        return Timings(
            begun.published_at, begun.received_at, begun.started_at, finished_at,
            begun.broker_wait_s, begun.worker_wait_s, run_s, cpu_s,
        )  # fmt: skip
