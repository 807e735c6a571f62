"""For how long each worker has given no sign of life.

Redis' clock stamps the signs, and may be set while jobs run: forward, and all seem silent; back, and nobody does.
So a sign counts from when it was seen to be another one, by this process's monotonic clock.
"""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from jobs.heartbeats import WorkerBeat


@dataclass(slots=True)
class Silence:
    """The last sign of each worker, and when it came by the monotonic clock."""

    _heard: dict[str, tuple[float, float]] = field(default_factory=dict)  # the stamp, and when
    _noted_mono: float = -math.inf

    def note(self, beats: Iterable[WorkerBeat]) -> dict[str, float]:
        """Note what Redis holds now; return by worker for how many seconds it has been silent."""
        now = time.monotonic()
        unseen_s, self._noted_mono = now - self._noted_mono, now
        self._heard = {beat.name: self._last(beat, now, unseen_s) for beat in beats}
        return {name: now - heard_mono for name, (_, heard_mono) in self._heard.items()}

    def forget(self) -> None:
        """Begin anew, as after an outage: the next time, all there is to go by is Redis' clock."""
        self._heard, self._noted_mono = {}, -math.inf

    def _last(self, beat: WorkerBeat, now: float, unseen_s: float) -> tuple[float, float]:
        stamp, heard_mono = self._heard.get(beat.name, (math.nan, 0.0))
        if stamp == beat.stamp:
            return stamp, heard_mono
        # It was not there the last time, so that it is no older than that, however old Redis' clock makes it.
        return beat.stamp, now - min(beat.seen_s_ago, unseen_s)
