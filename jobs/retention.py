"""Retention: old rows go, in batches of one short transaction each, so that claims and records are not held up.

Only what has ended goes, with its log lines and its result. The jobs of a comparison go once its evidence is frozen,
or it was cancelled and none will come.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django_celery_results.models import TaskResult

from jobs.formats import as_uuid
from jobs.models import AuditEntry, Comparison, Job, JobLog, JobQuerySet

BATCH = 500
#: Between two batches others write.
_PAUSE_S = 0.02
#: How often the coordinator prunes; sooner where a turn did not get to the end.
EVERY_S, AGAIN_S = 300.0, 2.0
_TURN_S = 0.3


@dataclass(slots=True)
class Pruned:
    """How many rows went, or would go; `is_complete` where nothing is left to prune."""

    jobs: int = 0
    results: int = 0
    audit_entries: int = 0
    is_complete: bool = True
    longest_s: float = 0.0  # of one batch's transaction


@dataclass(slots=True)
class Turns:
    """The coordinator's duty: a bounded amount a turn, every few minutes, or soon again while there is more."""

    _due_mono: float = field(default=0.0)

    def take(self) -> Pruned | None:
        """Prune for a moment if it is time; return what went."""
        if time.monotonic() < self._due_mono:
            return None
        pruned = prune(budget_s=_TURN_S)
        self._due_mono = time.monotonic() + (EVERY_S if pruned.is_complete else AGAIN_S)
        return pruned


def prune(*, budget_s: float | None = None) -> Pruned:
    """Delete what is older, or more, than the settings keep, until the budget is spent; None: to the end."""
    until_mono = None if budget_s is None else time.monotonic() + budget_s
    pruned, now = Pruned(), timezone.now()
    too_old, too_many = _edges(now)
    for jobs in (too_old, too_many):
        if jobs is not None:
            pruned.jobs += _in_batches(partial(_delete_jobs, jobs), until_mono, pruned)
    orphans = _Orphans(now - timedelta(days=settings.JOB_KEEP_DAYS))
    pruned.results = _in_batches(orphans.delete_some, until_mono, pruned) - orphans.kept
    pruned.audit_entries = _in_batches(lambda: _delete_audit_entries(now), until_mono, pruned)
    return pruned


def would_prune() -> Pruned:
    """Return what `prune` would delete now; nothing is deleted."""
    now = timezone.now()
    too_old, too_many = _edges(now)
    chosen = set(too_old.values_list("pk", flat=True))
    chosen |= set() if too_many is None else set(too_many.values_list("pk", flat=True))
    orphans = _Orphans(now - timedelta(days=settings.JOB_KEEP_DAYS))
    return Pruned(len(chosen), orphans.count(), _old_audit_entries(now).count())


def _prunable() -> JobQuerySet:
    """Return the ended jobs, the oldest first, but for those that a comparison still needs."""
    judged = Q(block__comparison__evidence__isnull=False)
    judged |= Q(block__comparison__state=Comparison.State.CANCELLED)
    return Job.objects.ended().filter(Q(block=None) | judged).order_by("created_at", "id")


def _edges(now: datetime) -> tuple[JobQuerySet, JobQuerySet | None]:
    """Return the jobs that ended too long ago, and those beyond the number that is kept; None if there are not so many."""
    oldest = now - timedelta(days=settings.JOB_KEEP_DAYS)
    # The first condition alone lets the database walk the index of creation times.
    too_old = _prunable().filter(created_at__lt=oldest, finished_at__lt=oldest)
    newest = Job.objects.order_by("-created_at", "-id").values_list("created_at", "pk")
    edge: Any = newest[settings.JOB_KEEP_MAX : settings.JOB_KEEP_MAX + 1].first()
    if edge is None:
        return too_old, None
    at, pk = edge
    return too_old, _prunable().filter(
        Q(created_at__lt=at) | Q(created_at=at, pk__lte=pk), created_at__lte=at
    )


def _in_batches(delete_some: Callable[[], int], until_mono: float | None, pruned: Pruned) -> int:
    total = 0
    while until_mono is None or time.monotonic() < until_mono:
        began = time.monotonic()
        deleted = delete_some()
        pruned.longest_s = max(pruned.longest_s, time.monotonic() - began)
        total += deleted
        if deleted < BATCH:
            return total
        time.sleep(_PAUSE_S)
    pruned.is_complete = False
    return total


def _delete_jobs(jobs: JobQuerySet) -> int:
    ids: list[UUID] = list(jobs.values_list("pk", flat=True)[:BATCH])
    if not ids:
        return 0
    with transaction.atomic():
        JobLog.objects.filter(job__in=ids).delete()
        TaskResult.objects.filter(task_id__in=[str(pk) for pk in ids]).delete()
        Job.objects.filter(parent__in=ids).update(parent=None)
        # Ended jobs stay ended; the condition costs nothing and says so.
        Job.objects.ended().filter(pk__in=ids)._raw_delete(using=Job.objects.db)
    return len(ids)


class _Orphans:
    """Old results that no job of the ledger has, found by walking the index of dates once."""

    def __init__(self, before: datetime) -> None:
        self._results = TaskResult.objects.filter(date_done__lt=before).order_by("date_done", "pk")
        self._key: tuple[datetime, int] | None = None
        self.kept = 0

    def delete_some(self) -> int:
        """Look at one batch and delete what is orphaned; return how many were looked at."""
        rows = self._next()
        orphans = self._orphans_of(rows)
        if orphans:
            TaskResult.objects.filter(pk__in=orphans).delete()
        self.kept += len(rows) - len(orphans)
        return len(rows)

    def count(self) -> int:
        """Return how many there are."""
        total = 0
        while rows := self._next():
            total += len(self._orphans_of(rows))
        return total

    def _next(self) -> list[tuple[int, str, datetime]]:
        results = self._results
        if self._key is not None:
            at, pk = self._key
            results = results.filter(Q(date_done__gt=at) | Q(date_done=at, pk__gt=pk), date_done__gte=at)
        rows = list(results.values_list("pk", "task_id", "date_done")[:BATCH])
        if rows:
            self._key = (rows[-1][2], rows[-1][0])
        return rows

    @staticmethod
    def _orphans_of(rows: list[tuple[int, str, datetime]]) -> list[int]:
        ids = {pk: as_uuid(task_id) for pk, task_id, _ in rows}
        known = set(
            Job.objects.filter(pk__in=[one for one in ids.values() if one]).values_list("pk", flat=True)
        )
        return [pk for pk, job_id in ids.items() if job_id not in known]


def _old_audit_entries(now: datetime) -> Any:
    return AuditEntry.objects.filter(at__lt=now - timedelta(days=settings.AUDIT_KEEP_DAYS)).order_by(
        "at", "id"
    )


def _delete_audit_entries(now: datetime) -> int:
    ids = list(_old_audit_entries(now).values_list("pk", flat=True)[:BATCH])
    AuditEntry.objects.filter(pk__in=ids).delete()
    return len(ids)
