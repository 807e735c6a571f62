"""What waits and runs at this moment, by the ledger."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Min, Q

from jobs.models import Job, State


@dataclass(frozen=True, slots=True)
class Queue:
    """What the ledger says of a pool at this moment."""

    queued: int = 0
    running: int = 0
    oldest_at: datetime | None = None


def queues() -> dict[str, Queue]:
    """Return the queue of each pool that has live jobs, by pool name."""
    live = Job.objects.live().order_by().values("pool")
    rows: Any = live.annotate(
        queued=Count("pk", filter=Q(state=State.QUEUED)),
        running=Count("pk", filter=Q(state=State.RUNNING)),
        oldest_at=Min("created_at", filter=Q(state=State.QUEUED)),
    )
    return {row.pop("pool"): Queue(**row) for row in rows}
