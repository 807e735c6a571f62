"""For how long each worker has given no sign of life.

Redis' clock stamps the signs, and may be set while jobs run: forward, and all seem silent; back, and nobody does.
So a sign counts from when it was seen to be another one, by this process's monotonic clock.
"""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from poolwise.lifecycle import heartbeats


@dataclass(slots=True)
class HeartbeatAges:
    """The last sign of each worker, and when it came by the monotonic clock."""

    _seen: dict[str, tuple[float, float]] = field(default_factory=dict)  # the stamp, and when
    _checked_mono: float = -math.inf

    def note(self, received: Iterable[heartbeats.WorkerHeartbeat]) -> dict[str, float]:
        """Note what Redis holds now; return by worker for how many seconds it has been silent."""
        now = time.monotonic()
        unseen_s, self._checked_mono = now - self._checked_mono, now
        self._seen = {heartbeat.name: self._last(heartbeat, now, unseen_s) for heartbeat in received}
        return {name: now - seen_mono for name, (_, seen_mono) in self._seen.items()}

    def reset(self) -> None:
        """Begin anew, as after an outage: the next time, all there is to go by is Redis' clock."""
        self._seen, self._checked_mono = {}, -math.inf

    def _last(
        self, heartbeat: heartbeats.WorkerHeartbeat, now: float, unseen_s: float
    ) -> tuple[float, float]:
        stamp, seen_mono = self._seen.get(heartbeat.name, (math.nan, 0.0))
        if stamp == heartbeat.stamp:
            return stamp, seen_mono
        # It was not there the last time, so that it is no older than that, however old Redis' clock makes it.
        return heartbeat.stamp, now - min(heartbeat.seen_s_ago, unseen_s)
