"""Retention: delete old rows in batches, one short transaction each, so that recording is not delayed.

Only ended jobs are deleted, with their log lines and results. Jobs of a comparison are kept until it has its report or
is cancelled.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django_celery_results.models import TaskResult

from poolwise.models import AuditEntry, Comparison, Job, JobLog, JobQuerySet, JobState
from poolwise.support import as_uuid

BATCH = 500
#: Pause between two batches, in which others can write.
_PAUSE_S = 0.02
#: How often the coordinator prunes; sooner if the last turn did not finish.
EVERY_S, AGAIN_S = 300.0, 2.0
_TURN_S = 0.3

#: A time and a primary key: where a walk along an index continues.
_Key = tuple[datetime, Any]
#: The field of `Pruned` that counts a step, and how many rows the step deleted.
_Step = tuple[str, int]


@dataclass(slots=True)
class Pruned:
    """How many rows were deleted, or would be; `is_complete` if nothing is left to prune."""

    jobs: int = 0
    results: int = 0
    audit_entries: int = 0
    is_complete: bool = True
    longest_s: float = 0.0  # of one step: a batch's transaction

    def add(self, step: _Step, seconds: float) -> None:
        """Count the rows of a step, and its duration."""
        name, deleted = step
        setattr(self, name, getattr(self, name) + deleted)
        self.longest_s = max(self.longest_s, seconds)


@dataclass(slots=True)
class Turns:
    """The coordinator's duty: prune for a limited time every few minutes, or soon again while there is more.

    A turn continues where the last one stopped and takes at least one step, however slow the database is.
    """

    _due_mono: float = field(default=0.0)
    _steps: Iterator[_Step] | None = field(default=None)

    def take(self) -> Pruned | None:
        """Prune for `_TURN_S` if it is time; return what was deleted."""
        if time.monotonic() < self._due_mono:
            return None
        steps, self._steps = self._steps or _all_steps(), None  # after an error the next turn starts again
        pruned = _walk(steps, budget_s=_TURN_S)
        self._steps = None if pruned.is_complete else steps
        self._due_mono = time.monotonic() + (EVERY_S if pruned.is_complete else AGAIN_S)
        return pruned


def prune() -> Pruned:
    """Delete everything that is older, or more, than the settings keep."""
    return _walk(_all_steps())


def would_prune() -> Pruned:
    """Return what `prune` would delete now; nothing is deleted."""
    now = timezone.now()
    chosen = set(_too_old(now).values_list("pk", flat=True))
    chosen |= set(_too_many().values_list("pk", flat=True))
    return Pruned(len(chosen), sum(map(len, _orphans(now))), _old_audit_entries(now).count())


def _walk(steps: Iterator[_Step], *, budget_s: float | None = None) -> Pruned:
    """Take at least one step, and more until the budget is spent; without a budget, all."""
    pruned = Pruned(is_complete=False)
    began = step_began = time.monotonic()
    for step in steps:
        pruned.add(step, time.monotonic() - step_began)
        if budget_s is not None and time.monotonic() - began >= budget_s:
            return pruned
        time.sleep(_PAUSE_S)
        step_began = time.monotonic()
    pruned.is_complete = True
    return pruned


def _all_steps() -> Iterator[_Step]:
    """Delete one batch per step: by age first, which needs no count of the jobs."""
    now = timezone.now()
    yield from _delete_jobs(_too_old(now))
    yield from _delete_jobs(_too_many())
    for ids in _orphans(now):
        TaskResult.objects.filter(pk__in=ids).delete()
        yield "results", len(ids)
    while ids := list(_old_audit_entries(now).values_list("pk", flat=True)[:BATCH]):
        AuditEntry.objects.filter(pk__in=ids).delete()
        yield "audit_entries", len(ids)


def _prunable() -> JobQuerySet:
    """Return the ended jobs, oldest first, without those that a comparison or the mark of a cancelled job still needs."""
    has_report = Q(batch__comparison__report__isnull=False)
    has_report |= Q(batch__comparison__state=Comparison.State.CANCELLED)
    marked = Job.objects.ended().exclude(state=JobState.CANCELLED, due_at__isnull=False)
    return marked.filter(Q(batch=None) | has_report).order_by("created_at", "id")


def _too_old(now: datetime) -> JobQuerySet:
    oldest = now - timedelta(days=settings.JOB_KEEP_DAYS)
    # The first condition alone lets the database walk the index of creation times.
    return _prunable().filter(created_at__lt=oldest, finished_at__lt=oldest)


def _too_many() -> JobQuerySet:
    """Return the jobs beyond `JOB_KEEP_MAX`."""
    keep = settings.JOB_KEEP_MAX
    if not keep:
        return _prunable()
    newest = Job.objects.order_by("-created_at", "-id").values_list("created_at", "pk")
    oldest_kept = newest[keep - 1 : keep].first()
    return Job.objects.none() if oldest_kept is None else beyond(_prunable(), "lt", "created_at", oldest_kept)


def beyond[Rows: QuerySet[Any]](rows: Rows, way: str, name: str, key: _Key | None) -> Rows:
    """Return the rows before (`lt`) or after (`gt`) a key, by the time field of that name and the primary key."""
    if key is None:
        return rows
    at, pk = key
    sides = Q(**{f"{name}__{way}": at}) | Q(**{name: at, f"pk__{way}": pk})
    # The last condition alone lets the database start in the middle of the index.
    return rows.filter(sides, **{f"{name}__{way}e": at})


def _delete_jobs(jobs: JobQuerySet) -> Iterator[_Step]:
    key: _Key | None = None
    while rows := list(beyond(jobs, "gt", "created_at", key).values_list("created_at", "pk")[:BATCH]):
        key = rows[-1]
        _delete([pk for _, pk in rows])
        yield "jobs", len(rows)


def _delete(ids: list[UUID]) -> None:
    with transaction.atomic():
        # Who runs one of them again holds it until the new job is stored: its `parent` is visible below.
        list(Job.objects.filter(pk__in=ids).select_for_update().order_by("pk").values_list("pk"))
        JobLog.objects.filter(job__in=ids).delete()
        TaskResult.objects.filter(task_id__in=[str(pk) for pk in ids]).delete()
        Job.objects.filter(parent__in=ids).update_in_order(parent=None)
        # Ended jobs stay ended; the condition costs nothing and guards it.
        Job.objects.ended().filter(pk__in=ids)._raw_delete(using=Job.objects.db)


def _orphans(now: datetime) -> Iterator[list[int]]:
    """Yield batches of old results without a job, walking the index of dates once."""
    before = now - timedelta(days=settings.JOB_KEEP_DAYS)
    results: QuerySet[Any] = TaskResult.objects.filter(date_done__lt=before).order_by("date_done", "pk")
    results, key = results.values_list("date_done", "pk", "task_id"), None
    while rows := list(beyond(results, "gt", "date_done", key)[:BATCH]):
        key = rows[-1][:2]
        ids = {pk: as_uuid(task_id) for _, pk, task_id in rows}
        wanted = [job_id for job_id in ids.values() if job_id]
        known = set(Job.objects.filter(pk__in=wanted).values_list("pk", flat=True))
        yield [pk for pk, job_id in ids.items() if job_id not in known]


def _old_audit_entries(now: datetime) -> QuerySet[AuditEntry]:
    oldest = now - timedelta(days=settings.AUDIT_KEEP_DAYS)
    return AuditEntry.objects.filter(at__lt=oldest).order_by("at", "id")
