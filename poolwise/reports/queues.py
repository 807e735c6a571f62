"""The queues and running jobs of the pools now, by the database."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Q, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from poolwise.models import Job, JobState, waiting


@dataclass(frozen=True, slots=True)
class Queue:
    """The jobs of one pool now; `scheduled` jobs are queued for later and wait for no slot."""

    queued: int = 0
    running: int = 0
    oldest_at: datetime | None = None
    scheduled: int = 0

    def oldest_s(self, now: datetime) -> float | None:
        """Return how long the oldest job has waited for a slot, in seconds."""
        return None if self.oldest_at is None else max(0.0, (now - self.oldest_at).total_seconds())


def queues() -> dict[str, Queue]:
    """Return the queue of each pool that has live jobs, by pool name."""
    now = timezone.now()
    # An expression: SQLite with statistics would group by the index of pools and read every job.
    live = Job.objects.live().order_by().values(name=Coalesce("pool", Value("")))
    rows: Any = live.annotate(running=Count("pk", filter=Q(state=JobState.RUNNING)), **waiting(now))
    return {row.pop("name"): Queue(**row) for row in rows}
