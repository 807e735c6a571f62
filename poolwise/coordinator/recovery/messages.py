"""Reconcile queued jobs with the messages at the broker."""

from collections import Counter
from collections.abc import Iterable
from uuid import UUID

import structlog
from django.db.models import Count
from django.utils import timezone

from poolwise.lifecycle import heartbeats
from poolwise.models import Job, JobQuerySet
from poolwise.pools import all_pools
from poolwise.support import as_uuid

log = structlog.get_logger(__name__)
_BATCH = 500


def _ids(attempts: Iterable[heartbeats.AttemptId]) -> list[UUID]:
    # Celery tasks of another kind may have ids that are no UUID.
    return [pk for job_id, _ in attempts if (pk := as_uuid(job_id)) is not None]


def _published() -> JobQuerySet:
    return Job.objects.queued().filter(due_at=None).order_by()


def published_on(pool: str) -> JobQuerySet:
    """Return the jobs of a pool whose messages must be at the broker or at a worker."""
    return _published().filter(pool=pool)


def published(living: frozenset[heartbeats.AttemptId]) -> dict[str, int]:
    """Return by pool how many published jobs wait that no living worker has reserved; pools without any are absent."""
    if not Job.objects.queued().exists():
        return {}
    # For each pool by itself, an index alone answers; so it does for the few that are not published.
    queued = {pool: Job.objects.queued().filter(pool=pool).count() for pool in all_pools()}
    rows = Job.objects.queued().filter(due_at__isnull=False).order_by()
    absent = Counter(dict(rows.values_list("pool").annotate(count=Count("*"))))
    if living:
        absent.update(_published().filter(pk__in=_ids(living)).values_list("pool", flat=True))
    return {pool: left for pool, count in queued.items() if (left := count - absent[pool]) > 0}


def pools_of(attempts: Iterable[heartbeats.AttemptId]) -> set[str]:
    """Return the pools on which published jobs of these attempts wait."""
    rows = _published().filter(pk__in=_ids(attempts))
    return set(rows.values_list("pool", flat=True).distinct())


def publish_again(gone: Iterable[heartbeats.AttemptId]) -> int:
    """Make these attempts due for publishing; return how many were still queued."""
    now, count = timezone.now(), 0
    by_attempt: dict[int, list[str]] = {}
    for job_id, attempt in gone:
        by_attempt.setdefault(attempt, []).append(job_id)
    for attempt, ids in by_attempt.items():
        for start in range(0, len(ids), _BATCH):
            batch = Job.objects.queued().filter(pk__in=ids[start : start + _BATCH], due_at=None)
            count += batch.filter(attempt=attempt).update_in_order(due_at=now)
    if count:
        log.warning("messages are missing; publishing them again", jobs=count)
    return count
