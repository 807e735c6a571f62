"""Cancelling: a queued job never starts; the worker of a running one is asked to stop it, where its pool can.

First a mark in Redis keeps every worker from claiming the job, and the same script returns whether the attempt is
claimed already. A worker that meets the mark reports the job as cancelled, in case its row does not have it yet. The
database is the truth: the coordinator writes the marks again that Redis missed or lost.
"""

from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from typing import Any

import structlog
from django.utils import timezone

from poolwise import definitions
from poolwise.lifecycle import limit_support
from poolwise.lifecycle.broker import revoke, web_connection
from poolwise.lifecycle.stream import CANCEL_TTL_S, begin_no_more, mark_cancelled
from poolwise.models import Job, JobQuerySet, JobState
from poolwise.pools import prefork
from poolwise.support import REDIS_ERRORS, Client, UnknownDefinition, UnknownPool, web_client

log = structlog.get_logger(__name__)
#: A job may be retried, or returned to its queue, while it is being cancelled.
_TRIES = 3
_MARKED_AGAIN = 50_000
_BATCH = 1_000
#: After this time a queued job whose worker was asked to stop it is cancelled.
_OVERDUE = timedelta(seconds=5)


class CancelOutcome(StrEnum):
    """The outcome of a request to cancel."""

    CANCELLED = "cancelled"  # it had not started and never will
    ASKED = "asked"  # it runs; its worker was asked to stop it
    UNSTOPPABLE = "unstoppable"  # it runs; its worker was asked, and cannot stop such a job from outside
    ENDED = "ended"  # it had ended before

    def sentence(self, jobs: str) -> str:
        """Return the outcome as a sentence about `jobs`, such as «the job» or «3 jobs»."""
        return _OUTCOMES[self].format(jobs)


_OUTCOMES = {
    CancelOutcome.CANCELLED: "Cancelled before starting: {}.",
    CancelOutcome.ASKED: "The worker was asked to stop {}; cancelled as soon as it does.",
    CancelOutcome.UNSTOPPABLE: "The worker was asked to stop {}, but cannot where the code does not yield: it ends "
    "by itself, at the time limit, or with the worker.",
    CancelOutcome.ENDED: "Nothing to cancel: {} had ended already.",
}


def cancel(job: Job) -> CancelOutcome:
    """Cancel a queued job, or ask the worker of a running one to stop it."""
    for tries in range(_TRIES):
        try:
            job.refresh_from_db(fields=["state", "attempt", "worker"])
        except Job.DoesNotExist:  # only what has ended is deleted
            return CancelOutcome.ENDED
        if job.has_ended:
            by_our_mark = (
                tries > 0 and job.state == JobState.CANCELLED
            )  # a worker met the mark and reported the job
            return CancelOutcome.CANCELLED if by_our_mark else CancelOutcome.ENDED
        is_claimed = _mark(job)
        if not is_claimed and _cancel_queued(job, is_mark_due=is_claimed is None):
            _revoke(job, is_away=is_claimed is None)
            return CancelOutcome.CANCELLED
        if _ask(job, is_claimed=bool(is_claimed)):
            _revoke(job, is_away=is_claimed is None)
            return can_be_stopped(job)
    return (
        CancelOutcome.ASKED
    )  # it changes too fast to be asked; the mark keeps further attempts from starting


def _mark(job: Job) -> bool | None:
    """Let no worker claim the job; return whether this attempt is claimed, None while Redis is unavailable."""
    try:
        return begin_no_more(web_client(), str(job.pk), job.attempt)
    except REDIS_ERRORS as error:
        log.warning("could not notify the workers of a cancelled job", job=str(job.pk), error=str(error))
        return None


def _cancel_queued(job: Job, *, is_mark_due: bool) -> bool:
    now = timezone.now()
    changed = Job.objects.filter(pk=job.pk, attempt=job.attempt, state=JobState.QUEUED).update(
        state=JobState.CANCELLED,
        cancel_requested_at=now,
        finished_at=now,
        recorded_at=now,
        # A cancelled job is not published any more: `due_at` is now that of its mark.
        due_at=now if is_mark_due else None,
        error_type="Cancelled",
        error="Cancelled before it began.",
    )
    return bool(changed)


def _ask(job: Job, *, is_claimed: bool) -> bool:
    # A claimed job may still be queued in the database: the report of its start is on its way.
    states = (JobState.QUEUED, JobState.RUNNING) if is_claimed else (JobState.RUNNING,)
    rows = Job.objects.filter(pk=job.pk, attempt=job.attempt, state__in=states)
    return bool(rows.update(cancel_requested_at=timezone.now()))


def can_be_stopped(job: Job) -> CancelOutcome:
    """Return ASKED, or UNSTOPPABLE if the pool cannot stop such a job from outside."""
    try:
        can = limit_support.can_cancel(definitions.get(job.definition), job.pool)
    except (UnknownDefinition, UnknownPool):
        return CancelOutcome.ASKED
    return CancelOutcome.ASKED if can else CancelOutcome.UNSTOPPABLE


def _revoke(job: Job, *, is_away: bool = False) -> None:
    """Notify the workers if the broker answers; without it, the mark and the database still refuse the job."""
    if is_away:  # a person waits for the answer, and has waited for Redis once
        return
    try:
        revoke(str(job.pk), terminate=True, signal=prefork.REVOKE_SIGNAL)
    except (*REDIS_ERRORS, *web_connection().recoverable_connection_errors) as error:
        log.warning("could not notify the workers of a cancelled job", job=str(job.pk), error=str(error))


# The coordinator's part.


def settle(client: Client) -> int:
    """Write missing marks, and cancel jobs that were asked to stop and are queued again. Raise redis-py's errors."""
    ids = list(_unmarked().values_list("pk", flat=True)[:_BATCH])
    mark_cancelled(client, [str(pk) for pk in ids])
    Job.objects.filter(pk__in=ids, state=JobState.CANCELLED).update_in_order(due_at=None)
    for job in _overdue()[:_BATCH]:
        cancel(job)
    return len(ids)


# These run every few seconds. Each has a partial index with hardly any row, in this order.


def _unmarked() -> JobQuerySet:
    return Job.objects.filter(state=JobState.CANCELLED, due_at__isnull=False).order_by("due_at")


def _overdue() -> JobQuerySet:
    asked_before = timezone.now() - _OVERDUE
    return Job.objects.queued().filter(cancel_requested_at__lt=asked_before).order_by("cancel_requested_at")


def mark_again(client: Client) -> int:
    """Write the marks of jobs cancelled before they started: Redis may have lost them. Raise redis-py's errors."""
    since = timezone.now() - timedelta(seconds=CANCEL_TTL_S)
    rows = Job.objects.filter(state=JobState.CANCELLED, started_at=None, created_at__gt=since)
    ids = [str(pk) for pk in rows.order_by("-created_at").values_list("pk", flat=True)[:_MARKED_AGAIN]]
    for start in range(0, len(ids), _BATCH):
        mark_cancelled(client, ids[start : start + _BATCH])
    return len(ids)


def stop_unwanted(client: Client, job_ids: Iterable[Any]) -> None:
    """Stop jobs that a worker started after they had ended. Raise redis-py's errors."""
    for job in Job.objects.ended().filter(pk__in=list(job_ids)):
        log.warning("a worker started a job that had ended; stopping it", job=str(job.pk), state=job.state)
        mark_cancelled(client, [str(job.pk)])
        _revoke(job)
