"""Compare the published jobs of one pool with its queue, a slice at each step."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone

from poolwise.coordinator.recovery.messages import published_on
from poolwise.coordinator.recovery.missing_since import MissingSince
from poolwise.coordinator.retention import beyond
from poolwise.lifecycle import broker_queues, heartbeats

#: Messages, and rows, that one step reads: some milliseconds of a core.
STEP = 2_000
#: Missing messages that one step returns; the coordinator publishes as many in a second.
GONE_A_STEP = 2_000


@dataclass(slots=True)
class _Reading:
    """One comparison: first the queue, then the rows that were stored before it began."""

    queue: broker_queues.Reading
    began_at: datetime = field(default_factory=timezone.now)
    all_count: bool = False  # whether all that is missing is gone
    is_queue_read: bool = False
    missing: set[heartbeats.AttemptId] = field(default_factory=set)
    _last: tuple[datetime, Any] | None = None

    def step(self) -> bool:
        """Read on; return whether all is read. Raise BrokerUnavailable."""
        self.is_queue_read = self.is_queue_read or self.queue.read(STEP)
        return self.is_queue_read and (not self.queue.is_listed or self._read_rows())

    def _read_rows(self) -> bool:
        jobs = published_on(self.queue.pool).filter(created_at__lt=self.began_at).order_by("created_at", "pk")
        rows = list(
            beyond(jobs, "gt", "created_at", self._last).values_list("created_at", "pk", "attempt")[:STEP]
        )
        attempts = {(str(pk), attempt) for _, pk, attempt in rows}
        self.missing |= attempts - self.queue.found
        self._last = rows[-1][:2] if rows else None
        return len(rows) < STEP


@dataclass(slots=True)
class QueueCheck:
    """What is missing in the queue of one pool, and since when."""

    pool: str
    missing_since: MissingSince[heartbeats.AttemptId] = field(default_factory=MissingSince)
    _reading: _Reading | None = None
    _gone: deque[heartbeats.AttemptId] = field(default_factory=deque)

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is missing or being read."""
        return not (self._reading or self._gone or self.missing_since.since_mono)

    def begin(self, *, all_count: bool) -> None:
        """Begin to read, unless it is being read; where all that is missing counts as gone, begin again."""
        if self._reading is None or all_count:
            self._reading = _Reading(broker_queues.Reading(self.pool), all_count=all_count)

    def step(
        self,
        living: frozenset[heartbeats.AttemptId],
        orphaned: Iterable[heartbeats.AttemptId],
        unseen_s: float,
    ) -> set[heartbeats.AttemptId]:
        """Read on; return attempts that are gone: missing for `unseen_s`, or orphaned. Raise BrokerUnavailable."""
        # Whatever a heartbeat contains has been somewhere since it was seen to be missing.
        self.missing_since.discard(living)
        if self._reading and self._reading.step():
            missing, all_count = self._reading.missing - living, self._reading.all_count
            self._reading = None
            gone = self.missing_since.longer_than(unseen_s, missing)
            gone |= missing if all_count else missing.intersection(orphaned)
            self.missing_since.discard(gone)
            self._gone.extend(gone)
        return {self._gone.popleft() for _ in range(min(GONE_A_STEP, len(self._gone)))}
