"""How long reports are gathered before they are recorded together: by how many have come of late."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from poolwise.support import duty

#: A started and an ended of one short job are one write. Each batch costs some milliseconds, however small it is.
_LEAST_S, _MOST_S = 0.01, 0.1
#: Up to so many reports a second, two for each job, somebody may wait for each result; from the second rate on, they are
#: gathered for the longest time.
_FEW_HZ, _MANY_HZ = 60.0, 160.0


@dataclass(slots=True)
class Pace:
    """The time to gather: what one of the duties asks for, else by the load."""

    duties: Sequence[duty.Duty]
    _rate_hz: float = 0.0
    _noted_mono: float = 0.0

    def note(self, recorded: int) -> None:
        """Note how many reports were recorded since the last call."""
        now = time.monotonic()
        rate_hz = recorded / max(1e-3, now - self._noted_mono)
        self._rate_hz, self._noted_mono = (self._rate_hz + rate_hz) / 2, now

    def gather_s(self) -> float:
        """Return how long to gather the next reports, in seconds."""
        wanted = (each.pacing.gather_s for each in self.duties)
        load = (self._rate_hz - _FEW_HZ) / (_MANY_HZ - _FEW_HZ)
        by_load_s = _LEAST_S + (_MOST_S - _LEAST_S) * min(1.0, max(0.0, load))
        return next((seconds for seconds in wanted if seconds is not None), by_load_s)
