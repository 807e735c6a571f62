"""The age of each worker's last heartbeat.

Redis' clock stamps the heartbeats, and may be set while jobs run: set forward, all workers seem dead; set back, none.
So the age counts from when this process first saw the heartbeat, by its own monotonic clock.
"""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from poolwise.lifecycle import heartbeats


@dataclass(slots=True)
class HeartbeatAges:
    """The last heartbeat of each worker, and when it arrived by the monotonic clock."""

    _seen: dict[str, tuple[float, float]] = field(
        default_factory=dict
    )  # the stamp, and when it was first seen
    _checked_mono: float = -math.inf

    def note(self, received: Iterable[heartbeats.WorkerHeartbeat]) -> dict[str, float]:
        """Note the heartbeats in Redis; return the age of the last one by worker, in seconds."""
        now = time.monotonic()
        unseen_s, self._checked_mono = now - self._checked_mono, now
        self._seen = {heartbeat.name: self._last(heartbeat, now, unseen_s) for heartbeat in received}
        return {name: now - seen_mono for name, (_, seen_mono) in self._seen.items()}

    def reset(self) -> None:
        """Start again, as after an outage: the next ages are by Redis' clock."""
        self._seen, self._checked_mono = {}, -math.inf

    def _last(
        self, heartbeat: heartbeats.WorkerHeartbeat, now: float, unseen_s: float
    ) -> tuple[float, float]:
        stamp, seen_mono = self._seen.get(heartbeat.name, (math.nan, 0.0))
        if stamp == heartbeat.stamp:
            return stamp, seen_mono
        # It was not there at the last check, so it is no older than that, whatever Redis' clock shows.
        return heartbeat.stamp, now - min(heartbeat.seen_s_ago, unseen_s)
