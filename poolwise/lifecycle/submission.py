"""Submit a job, run it again, cancel it: what pages, API, commands and code call."""

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
#: The row that refused an insert may be gone before it is read.
_TRIES = 3


def publish_after_commit(jobs: Sequence[Job]) -> None:
    """Publish stored jobs once the surrounding transaction has committed."""
    transaction.on_commit(lambda: publish_from_web(jobs))


#: Called with the jobs that were stored; `poolwise.testing` replaces it.
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

    For the pool `auto`, a pin, a report or the definition's kind chooses the pool; `Job.chosen_by` has the reason.
    If the user submitted the same under the same idempotency key before, or an equal job of a unique definition has
    not ended, nothing is stored: the earlier jobs are returned, with `was_there` set.
    Raise UnknownDefinition, UnknownPool, Unavailable, InvalidParameters, UnderWay, QueueFull or UserLimitReached;
    nothing is stored then.
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
    if earlier := _earlier_or_stored(jobs, batch, user):
        return earlier
    if run_after is None and batch is None:
        deliver(jobs)
    log.info("jobs submitted", definition=definition, pool=pool, copies=copies, request_id=request_id)
    return jobs


def _earlier_or_stored(jobs: Sequence[Job], batch: Batch | None, user: "User | None") -> list[Job]:
    """Return the earlier jobs equal to these; if there are none, store these and return nothing. Raise as `submit`."""
    for tries_left in reversed(range(_TRIES)):
        if earlier := deduplication.earlier(jobs):
            return earlier
        try:
            with transaction.atomic():
                _hold_parent(jobs)
                if batch is None:
                    back_pressure.check(
                        jobs[0].pool, len(jobs), user, for_later=jobs[0].run_after is not None
                    )
                Job.objects.bulk_create(jobs, batch_size=500)
            break
        except IntegrityError:  # an equal job was stored meanwhile; it may have ended by the next try
            if not tries_left:
                raise
    return []


def _hold_parent(jobs: Sequence[Job]) -> None:
    """Keep the parent from being deleted until the jobs are stored; if retention was faster, they have none."""
    if jobs[0].parent_id is None:
        return
    held = Job.objects.select_for_update(no_key=True).filter(pk=jobs[0].parent_id)
    if not list(held.values_list("pk")):
        for job in jobs:
            job.parent = None


def _schedule(jobs: Sequence[Job], run_after: "datetime") -> None:
    """Let the jobs start at that time; they are scheduled if it is in the future."""
    is_future = run_after > timezone.now()
    for job in jobs:
        job.due_at = run_after
        job.run_after = run_after if is_future else None


def prepare(
    definition: str, params: Mapping[str, Any], *, pool: str, copies: int, **fields: Any
) -> list[Job]:
    """Return unsaved jobs for validated parameters. Raise as `submit` does."""
    registered = definitions.get(definition)
    get_pool(pool)
    if reason := registered.unavailable():
        raise Unavailable(f"{definition} cannot run here: {reason}")
    if not 1 <= copies <= settings.JOB_MAX_COPIES:
        raise InvalidParameters({"copies": f"Choose 1 to {settings.JOB_MAX_COPIES} copies."})
    valid = registered.validate(params)
    if registered.unique and fields.get("batch") is None:  # a comparison runs its copies nevertheless
        if copies > 1:
            raise InvalidParameters(
                {"copies": f"{definition} is unique: one job with the same parameters at a time."}
            )
        fields["unique_key"] = deduplication.unique_keys(registered, valid)[0]
    size = len(json.dumps(valid).encode())
    now = timezone.now()
    return [
        Job(
            definition=registered.name,
            kind=registered.kind,
            params=valid,
            pool=pool,
            max_attempts=registered.max_attempts,
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
    """Return the JSON value that a succeeded job returned; None for any other job."""
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
    """Submit an earlier job again, with other parameters or on another pool if given; it becomes the parent of the new
    one. Raise as `submit`."""
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
    """Cancel a queued job, or ask its worker to stop a running one. The audit log records it for another user's job.

    Raise UnknownJob if it has ended and was deleted meanwhile.
    """
    outcome = cancellation.cancel(job)
    is_others = user is not None and job.user_id != user.pk
    if is_others and job.batch_id is None and outcome is not CancelOutcome.ENDED:
        owner = job.user.get_username() if job.user else ""
        audit.record("cancel", f"job {job.pk}", user=user, reason=reason, outcome=outcome.value, owner=owner)
    try:
        job.refresh_from_db()
    except Job.DoesNotExist as error:
        raise UnknownJob(f"The job {job.pk} has ended and was deleted.") from error
    log.info("cancel", job=str(job.pk), outcome=outcome.value, user=getattr(user, "pk", None))
    return outcome
