"""The coordinator's duties for comparisons: release batches, build reports, publish the jobs of open loops."""

import time

from poolwise.lab import run
from poolwise.lab.feed import FeedTiming, feed_timing
from poolwise.lab.report import ReportBuilder
from poolwise.support import duty

_ADVANCE_EVERY_S = 0.25
_CHECK_EVERY_S = 1.0
#: While a batch is measured, reports are recorded less often: recording takes CPU from the jobs.
_GATHER_MEASURED_S = 0.4


def lab_duties() -> list[duty.Duty]:
    """Return the duties of comparisons."""
    steps = _Steps()
    return [
        # Jobs that have ended make room for the next batch.
        duty.Duty(
            "release", _ADVANCE_EVERY_S, steps.advance, stop=steps.report_builder.stop, after_recording=True
        ),
        duty.Duty("watch", _CHECK_EVERY_S, steps.watch),
    ]


class _Steps:
    """Keeps what the last queries returned, since the duties run often and mostly find nothing to do."""

    def __init__(self) -> None:
        self.report_builder = ReportBuilder()
        self._is_comparing = False
        self._feed_timing: FeedTiming | None = None
        self._timing_mono = 0.0

    def advance(self) -> duty.Pacing:
        """Take the next step, if a comparison waits or runs. Raise the database's errors."""
        # It runs four times a second and mostly finds nothing to do, so the check is one cheap query.
        self._is_comparing = run.is_wanted()
        if not self._is_comparing:
            self._feed_timing = None
            return duty.Pacing()
        released = run.advance(self.report_builder)
        # Another coordinator may have released a batch.
        if released or self._arrival_s is not None or time.monotonic() - self._timing_mono > _CHECK_EVERY_S:
            self._feed_timing, self._timing_mono = feed_timing(), time.monotonic()
        return duty.Pacing(self._arrival_s, self._gather_s())

    def watch(self) -> None:
        """Check the running batch."""
        if self._is_comparing:
            run.watch()

    @property
    def _arrival_s(self) -> float | None:
        return self._feed_timing.arrival_s if self._feed_timing else None

    def _gather_s(self) -> float | None:
        """Return how long to collect reports before recording them: 0 where the end of a job releases the next."""
        if self._feed_timing is None:
            return None
        return _GATHER_MEASURED_S if self._feed_timing == FeedTiming() else 0.0
