"""Queued jobs against the messages that stand for them."""

from collections.abc import Iterable

import structlog
from django.db.models import Count
from django.utils import timezone

from jobs.heartbeats import Attempt
from jobs.models import Job, JobQuerySet
from jobs.pools import all_pools
from jobs.rescue import queues

log = structlog.get_logger(__name__)
_BATCH = 500


def _published(pool: str) -> JobQuerySet:
    return Job.objects.queued().filter(pool=pool, due_at=None)


def published() -> dict[str, int]:
    """Return by pool how many queued jobs have a message that was published; pools without any are absent."""
    counts = (
        Job.objects.queued().filter(due_at=None).order_by().values_list("pool").annotate(count=Count("id"))
    )
    declared = all_pools()
    return {pool: count for pool, count in counts if pool in declared}


def unaccounted(pool: str, living: frozenset[Attempt]) -> set[Attempt]:
    """Return the published attempts of a pool that neither the broker nor a living worker has."""
    # The ledger first: what is published after this moment is not looked for.
    rows = {(str(pk), attempt) for pk, attempt in _published(pool).values_list("pk", "attempt")}
    if not rows - living:
        return set()
    waiting = queues.waiting(pool)
    return set() if waiting is None else rows - living - waiting


def publish_again(gone: Iterable[Attempt]) -> int:
    """Let the coordinator publish these attempts; return how many were still queued."""
    now, count = timezone.now(), 0
    by_attempt: dict[int, list[str]] = {}
    for job_id, attempt in gone:
        by_attempt.setdefault(attempt, []).append(job_id)
    for attempt, ids in by_attempt.items():
        for start in range(0, len(ids), _BATCH):
            batch = Job.objects.queued().filter(pk__in=ids[start : start + _BATCH], due_at=None)
            count += batch.filter(attempt=attempt).update(due_at=now)
    if count:
        log.warning("messages are missing and are published again", jobs=count)
    return count
