"""What a coordinator does for comparisons: release their blocks, judge what has ended, and keep up with open loops."""

import time

from jobs.comparisons import run
from jobs.comparisons.feeding import Pace, pace
from jobs.duty import Duty, Pacing
from jobs.evidence import Judge

_ADVANCE_EVERY_S = 0.25
_LOOK_EVERY_S = 1.0
#: While a block is measured: what records takes the same cores.
_GATHER_MEASURED_S = 0.4


def lab_duties() -> list[Duty]:
    """Return the duties of comparisons."""
    steps = _Steps()
    return [
        # What ends makes room for the next block.
        Duty("release", _ADVANCE_EVERY_S, steps.advance, stop=steps.judge.stop, after_recording=True),
        Duty("watch", _LOOK_EVERY_S, steps.watch),
    ]


class _Steps:
    """Remembers what the questions to the ledger were answered, since most of them are asked for nothing."""

    def __init__(self) -> None:
        self.judge = Judge()
        self._is_comparing = False
        self._pace: Pace | None = None
        self._paced_mono = 0.0

    def advance(self) -> Pacing:
        """Take the next step, if a comparison waits or runs. Raise the database's errors."""
        # Four times a second, mostly for nothing: all that hangs on it asks once, and cheaply.
        self._is_comparing = run.is_wanted()
        if not self._is_comparing:
            self._pace = None
            return Pacing()
        released = run.advance(self.judge)
        # Another coordinator may have released a block.
        if released or self._arrival_s is not None or time.monotonic() - self._paced_mono > _LOOK_EVERY_S:
            self._pace, self._paced_mono = pace(), time.monotonic()
        return Pacing(self._arrival_s, self._gather_s())

    def watch(self) -> None:
        """Look at the block that runs."""
        if self._is_comparing:
            run.watch()

    @property
    def _arrival_s(self) -> float | None:
        return self._pace.arrival_s if self._pace else None

    def _gather_s(self) -> float | None:
        """Return how long to let reports come together: not at all where jobs are to follow those that have ended."""
        if self._pace is None:
            return None
        return _GATHER_MEASURED_S if self._pace == Pace() else 0.0
