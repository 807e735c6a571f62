"""Cancelling, honestly: what had not begun never will; what runs is asked to stop, or cannot be stopped where it is.

The mark in Redis comes first and its script says whether the attempt has begun: after it nobody can begin it. Who meets
the mark reports the job as cancelled, should the ledger not have heard. The ledger wins: what Redis did not hear, or has
forgotten, the coordinator tells it again.
"""

from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from typing import Any

import structlog
from django.utils import timezone

from poolwise import definitions
from poolwise.lifecycle import limit_support
from poolwise.lifecycle.publishing import revoke, web_connection
from poolwise.lifecycle.stream import CANCEL_TTL_S, begin_no_more, mark_cancelled
from poolwise.models import Job, JobQuerySet, JobState
from poolwise.pools import prefork
from poolwise.support import REDIS_ERRORS, Client, UnknownDefinition, UnknownPool, web_client

log = structlog.get_logger(__name__)
#: A job may be retried, or given back, while it is being cancelled.
_TRIES = 3
_MARKED_AGAIN = 50_000
_BATCH = 1_000
#: A queued job that was asked to stop waits for nobody after so long.
_OVERDUE = timedelta(seconds=5)


class CancelOutcome(StrEnum):
    """What a request to cancel came to."""

    CANCELLED = "cancelled"  # it had not begun and never will
    ASKED = "asked"  # it runs; its worker was asked to stop it
    UNSTOPPABLE = "unstoppable"  # it runs; its worker was asked, and cannot stop a job like this from outside
    ENDED = "ended"  # it had ended before

    def sentence(self, jobs: str) -> str:
        """Return the outcome as a sentence about `jobs`, such as «the job» or «3 jobs»."""
        return _OUTCOMES[self].format(jobs)


_OUTCOMES = {
    CancelOutcome.CANCELLED: "Cancelled before starting: {}.",
    CancelOutcome.ASKED: "The worker was asked to stop {}; cancelled as soon as it does.",
    CancelOutcome.UNSTOPPABLE: "The worker was asked to stop {}, but cannot where the code does not yield: the end comes "
    "by itself, at the time limit, or with the worker.",
    CancelOutcome.ENDED: "Nothing to cancel: {} had ended already.",
}


def cancel(job: Job) -> CancelOutcome:
    """Cancel a job that has not begun, or ask the worker of one that has to stop it."""
    for tries in range(_TRIES):
        job.refresh_from_db(fields=["state", "attempt", "worker"])
        if job.has_ended:
            by_our_mark = tries > 0 and job.state == JobState.CANCELLED  # a worker met it and reported
            return CancelOutcome.CANCELLED if by_our_mark else CancelOutcome.ENDED
        begun = _mark(job)
        if not begun and _cancel_queued(job, is_mark_due=begun is None):
            _revoke(job, is_away=begun is None)
            return CancelOutcome.CANCELLED
        if _ask(job, begun=bool(begun)):
            _revoke(job, is_away=begun is None)
            return can_be_stopped(job)
    return (
        CancelOutcome.ASKED
    )  # it changes faster than it can be asked; the mark lets no further attempt begin


def _mark(job: Job) -> bool | None:
    """Let no worker begin the job; return whether one has begun this attempt, None while Redis is away."""
    try:
        return begin_no_more(web_client(), str(job.pk), job.attempt)
    except REDIS_ERRORS as error:
        log.warning("workers could not be told of a cancelled job", job=str(job.pk), error=str(error))
        return None


def _cancel_queued(job: Job, *, is_mark_due: bool) -> bool:
    now = timezone.now()
    changed = Job.objects.filter(pk=job.pk, attempt=job.attempt, state=JobState.QUEUED).update(
        state=JobState.CANCELLED,
        cancel_requested_at=now,
        finished_at=now,
        recorded_at=now,
        # Nothing of a cancelled job is published any more: what is due from then on is its mark.
        due_at=now if is_mark_due else None,
        error_type="Cancelled",
        error="Cancelled before it began.",
    )
    return bool(changed)


def _ask(job: Job, *, begun: bool) -> bool:
    # Begun, it may still be queued in the ledger, which the report of its start reaches in a moment.
    states = (JobState.QUEUED, JobState.RUNNING) if begun else (JobState.RUNNING,)
    asked = Job.objects.filter(pk=job.pk, attempt=job.attempt, state__in=states)
    return bool(asked.update(cancel_requested_at=timezone.now()))


def can_be_stopped(job: Job) -> CancelOutcome:
    """Return ASKED, or UNSTOPPABLE where the pool cannot stop a job like this from outside."""
    try:
        can = limit_support.can_cancel(definitions.get(job.definition), job.pool)
    except (UnknownDefinition, UnknownPool):
        return CancelOutcome.ASKED
    return CancelOutcome.ASKED if can else CancelOutcome.UNSTOPPABLE


def _revoke(job: Job, *, is_away: bool = False) -> None:
    """Reach the workers if the broker answers; if not, the mark and the ledger still refuse the job."""
    if is_away:  # a person waits for the answer, and has waited for Redis once
        return
    try:
        revoke(str(job.pk), terminate=True, signal=prefork.REVOKE_SIGNAL)
    except (*REDIS_ERRORS, *web_connection().recoverable_connection_errors) as error:
        log.warning("workers could not be told of a cancelled job", job=str(job.pk), error=str(error))


# The coordinator's part.


def settle(client: Client) -> int:
    """Write the marks that are owed and end what was asked to stop and waits again. Raise redis-py's errors."""
    ids = list(_unmarked().values_list("pk", flat=True)[:_BATCH])
    mark_cancelled(client, [str(pk) for pk in ids])
    Job.objects.filter(pk__in=ids, state=JobState.CANCELLED).update_in_order(due_at=None)
    for job in _overdue()[:_BATCH]:
        cancel(job)
    return len(ids)


# Each has a partial index that holds hardly any row and has the order, too: they are asked every few seconds.


def _unmarked() -> JobQuerySet:
    return Job.objects.filter(state=JobState.CANCELLED, due_at__isnull=False).order_by("due_at")


def _overdue() -> JobQuerySet:
    asked_before = timezone.now() - _OVERDUE
    return Job.objects.queued().filter(cancel_requested_at__lt=asked_before).order_by("cancel_requested_at")


def mark_again(client: Client) -> int:
    """Write the marks of what was cancelled before it began: Redis may have lost them. Raise redis-py's errors."""
    since = timezone.now() - timedelta(seconds=CANCEL_TTL_S)
    found = Job.objects.filter(state=JobState.CANCELLED, started_at=None, created_at__gt=since)
    ids = [str(pk) for pk in found.order_by("-created_at").values_list("pk", flat=True)[:_MARKED_AGAIN]]
    for start in range(0, len(ids), _BATCH):
        mark_cancelled(client, ids[start : start + _BATCH])
    return len(ids)


def stop_unwanted(client: Client, job_ids: Iterable[Any]) -> None:
    """Stop what a worker began though it had ended. Raise redis-py's errors."""
    for job in Job.objects.ended().filter(pk__in=list(job_ids)):
        log.warning("a job that had ended was begun and is stopped", job=str(job.pk), state=job.state)
        mark_cancelled(client, [str(job.pk)])
        _revoke(job)
