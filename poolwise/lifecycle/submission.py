"""What people and programs ask for: submit a job, run it again, cancel it."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django_celery_results.models import TaskResult

from poolwise import definitions
from poolwise.lifecycle import back_pressure, cancellation, deduplication
from poolwise.lifecycle.cancellation import CancelOutcome
from poolwise.lifecycle.pool_choice import chosen
from poolwise.lifecycle.publishing import grace, publish_from_web
from poolwise.models import Batch, Job, JobState, audit
from poolwise.pools import get_pool
from poolwise.support import InvalidParameters, Unavailable, UnknownJob, as_uuid

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

__all__ = ["CancelOutcome", "cancel", "get_job", "get_result", "prepare", "run_again", "submit"]
log = structlog.get_logger(__name__)
#: What refuses an insert may be gone before it is looked for.
_TRIES = 3


def publish_after_commit(jobs: Sequence[Job]) -> None:
    """Publish stored jobs once the surrounding transaction has committed."""
    transaction.on_commit(lambda: publish_from_web(jobs))


#: What happens to jobs that were stored; `poolwise.testing` puts something else in its place.
deliver = publish_after_commit


def submit(
    definition: str,
    params: Mapping[str, Any],
    *,
    pool: str,
    copies: int = 1,
    user: "User | None" = None,
    request_id: str = "",
    batch: Batch | None = None,
    parent: Job | None = None,
    run_after: "datetime | None" = None,
    idempotency_key: str = "",
) -> list[Job]:
    """Store `copies` jobs and publish them once the surrounding transaction commits; return them.

    The pool `auto` is the one that pins, reports or the definition's kind choose; `Job.chosen_by` says which.
    Where the user submitted the same under the same idempotency key, or a job of a unique definition has not ended,
    nothing is stored: what was there is returned, marked by `was_there`.
    Raise UnknownDefinition, UnknownPool, Unavailable, InvalidParameters, UnderWay, QueueFull or UserLimitReached; then
    nothing is stored.
    """
    choice = chosen(definition, pool)
    pool = choice.pool
    jobs = prepare(
        definition,
        params,
        pool=pool,
        copies=copies,
        chosen_by=choice.why,
        user=user,
        request_id=request_id,
        batch=batch,
        parent=parent,
    )
    if idempotency_key:
        deduplication.mark(jobs, key=idempotency_key)
    if run_after is not None:
        _schedule(jobs, run_after)
    if found := _earlier_or_stored(jobs, batch, user):
        return found
    if run_after is None and batch is None:
        deliver(jobs)
    log.info("jobs submitted", definition=definition, pool=pool, copies=copies, request_id=request_id)
    return jobs


def _earlier_or_stored(jobs: Sequence[Job], batch: Batch | None, user: "User | None") -> list[Job]:
    """Return the stored jobs that these stand for; else store these and return nothing. Raise as `submit` does."""
    for tries_left in reversed(range(_TRIES)):
        if found := deduplication.earlier(jobs):
            return found
        try:
            with transaction.atomic():
                if batch is None:
                    back_pressure.check(
                        jobs[0].pool, len(jobs), user, for_later=jobs[0].run_after is not None
                    )
                Job.objects.bulk_create(jobs, batch_size=500)
            break
        except IntegrityError:  # somebody was faster, and may have ended by the next look
            if not tries_left:
                raise
    return []


def _schedule(jobs: Sequence[Job], run_after: "datetime") -> None:
    """Put the jobs off; they are scheduled where that time is still to come."""
    is_to_come = run_after > timezone.now()
    for job in jobs:
        job.due_at = run_after
        job.run_after = run_after if is_to_come else None


def prepare(
    definition: str, params: Mapping[str, Any], *, pool: str, copies: int, **fields: Any
) -> list[Job]:
    """Return unsaved jobs for validated parameters. Raise as `submit` does."""
    found = definitions.get(definition)
    get_pool(pool)
    if reason := found.unavailable():
        raise Unavailable(f"{definition} cannot run here: {reason}")
    if not 1 <= copies <= settings.JOB_MAX_COPIES:
        raise InvalidParameters({"copies": f"Choose 1 to {settings.JOB_MAX_COPIES} copies."})
    valid = found.validate(params)
    if found.unique and fields.get("batch") is None:  # a comparison runs its copies all the same
        if copies > 1:
            raise InvalidParameters(
                {"copies": f"{definition} is unique: one job with the same parameters at a time."}
            )
        fields["unique_key"] = deduplication.unique_keys(found, valid)[0]
    size = len(json.dumps(valid).encode())
    now = timezone.now()
    return [
        Job(
            definition=found.name,
            kind=found.kind,
            params=valid,
            pool=pool,
            max_attempts=found.max_attempts,
            payload_bytes=size,
            created_at=now,
            due_at=now + grace(),
            **fields,
        )
        for _ in range(copies)
    ]


def get_job(job_id: str | UUID) -> Job:
    """Return the job with this id. Raise UnknownJob."""
    pk = as_uuid(str(job_id))
    job = None if pk is None else Job.objects.filter(pk=pk).first()
    if job is None:
        raise UnknownJob(f"There is no job {str(job_id)[:100]!r}.")
    return job


def get_result(job: Job) -> Any:
    """Return what a job that succeeded has returned, as JSON values; None for any other."""
    if job.state != JobState.SUCCEEDED:
        return None
    text = TaskResult.objects.filter(task_id=str(job.pk)).values_list("result", flat=True).first()
    return None if text is None else json.loads(text)


def run_again(
    job: Job,
    *,
    user: "User | None",
    params: Mapping[str, Any] | None = None,
    pool: str | None = None,
    request_id: str = "",
    idempotency_key: str = "",
) -> Job:
    """Submit a job like an earlier one, perhaps changed; the new one names it as its parent. Raise as `submit`."""
    return submit(
        job.definition,
        job.params if params is None else params,
        pool=pool or job.pool,
        user=user,
        parent=job,
        request_id=request_id,
        idempotency_key=idempotency_key,
    )[0]


def cancel(job: Job, *, user: "User | None", reason: str = "") -> CancelOutcome:
    """Cancel a job that has not begun, or ask the worker of one that has to stop it; another's goes into the audit log."""
    outcome = cancellation.cancel(job)
    is_others = user is not None and job.user_id != user.pk
    if is_others and job.batch_id is None and outcome is not CancelOutcome.ENDED:
        owner = job.user.get_username() if job.user else ""
        audit.record("cancel", f"job {job.pk}", user=user, reason=reason, outcome=outcome.value, owner=owner)
    job.refresh_from_db()
    log.info("cancel", job=str(job.pk), outcome=outcome.value, user=getattr(user, "pk", None))
    return outcome
