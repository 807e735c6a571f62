"""Submit a job, run it again, cancel it: what pages, API, commands and code call."""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from typing import TYPE_CHECKING, Any, Required, TypedDict
from uuid import UUID, uuid4

import structlog
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from django_celery_results.models import TaskResult

from poolwise import definitions
from poolwise.lifecycle import back_pressure, cancellation, deduplication
from poolwise.lifecycle.back_pressure import Limit
from poolwise.lifecycle.cancellation import CancelOutcome
from poolwise.lifecycle.pauses import Paused
from poolwise.lifecycle.pool_choice import chosen
from poolwise.lifecycle.precheck import precheck
from poolwise.lifecycle.publishing import grace, publish_from_web
from poolwise.lifecycle.storing import insert
from poolwise.models import Batch, Job, JobState, audit
from poolwise.pools import AUTO, get_pool
from poolwise.support import (
    InvalidParameters,
    Unavailable,
    UnknownDefinition,
    UnknownJob,
    UnknownPool,
    as_uuid,
)

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

__all__ = [
    "CancelOutcome",
    "cancel",
    "get_job",
    "get_result",
    "prepare",
    "run_again",
    "submit",
    "submit_many",
]
log = structlog.get_logger(__name__)
#: The row that refused an insert may be gone before it is read.
_TRIES = 3


class NewJob(TypedDict, total=False):
    """One of the jobs that `submit_many` takes."""

    definition: Required[str]
    #: Without it, the definition's defaults.
    params: Mapping[str, Any]
    #: Without it, the pool is chosen as for `auto`.
    pool: str


def publish_after_commit(jobs: Sequence[Job], *, paused: Paused | None = None) -> None:
    """Publish stored jobs once the surrounding transaction has committed; `paused`, if it was read just now."""
    transaction.on_commit(lambda: publish_from_web(jobs, paused=paused))


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
    if run_after is not None:
        _schedule(jobs, run_after)
    at_once = run_after is None
    jobs, is_new = _stored(jobs, user=user, key=idempotency_key, batch=batch, at_once=at_once)
    if is_new:
        log.info("jobs submitted", definition=definition, pool=pool, copies=copies, request_id=request_id)
    return jobs


def submit_many(
    jobs: Sequence[NewJob], *, user: "User | None" = None, request_id: str = "", idempotency_key: str = ""
) -> list[Job]:
    """Store jobs with different parameters, all or none, and publish them as `submit` does; return them in their order.

    Each is a dict with `definition` and, if wanted, `params` and `pool` (else `auto`). Equal jobs under the same
    idempotency key are returned as by `submit`; that a job of a unique definition has not ended refuses all: UnderWay.
    Raise InvalidParameters that names what is wrong of each job, such as `jobs.3.params.duration_s` of the fourth, also
    for an unknown definition or pool and for more jobs than JOB_MAX_COPIES; else raise as `submit` does.
    """
    if not 1 <= len(jobs) <= settings.JOB_MAX_COPIES:
        raise InvalidParameters({"jobs": f"Give 1 to {settings.JOB_MAX_COPIES} jobs."})
    stored, is_new = _stored(_prepared(jobs, user, request_id), user=user, key=idempotency_key)
    if is_new:
        log.info("jobs submitted", jobs=len(stored), request_id=request_id)
    return stored


def _prepared(jobs: Sequence[NewJob], user: "User | None", request_id: str) -> list[Job]:
    """Return unsaved jobs. Raise InvalidParameters, with the faults of all, or Unavailable."""
    prepared: list[Job] = []
    faults: dict[str, str] = {}

    @functools.cache  # once for each definition and pool
    def blank(definition: str, pool: str) -> Job:
        choice = chosen(definition, pool)
        return _blank(definition, pool=choice.pool, chosen_by=choice.why, user=user, request_id=request_id)

    for place, job in enumerate(jobs):
        try:
            prepared.append(_prepared_one(job, blank))
        except InvalidParameters as error:
            faults |= {f"jobs.{place}.{name}": text for name, text in error.errors.items()}
        except Unavailable as error:
            raise Unavailable(f"jobs.{place}: {error}") from error
    if faults := faults or _repeated(prepared):
        raise InvalidParameters(faults)
    return prepared


def _prepared_one(job: NewJob, blank: Callable[[str, str], Job]) -> Job:
    if not isinstance(job, Mapping) or not isinstance(job.get("definition"), str):
        raise InvalidParameters({"definition": "Give an object with the name of a definition."})
    if unknown := job.keys() - NewJob.__annotations__.keys():
        raise InvalidParameters({str(name): "It is not known here." for name in sorted(unknown, key=str)})
    try:
        return _filled(blank(job["definition"], job.get("pool", AUTO)), job.get("params", {}))
    except InvalidParameters as error:
        named = {name if name == "params" else f"params.{name}": text for name, text in error.errors.items()}
        raise InvalidParameters(named) from error
    except UnknownDefinition as error:
        raise InvalidParameters({"definition": str(error)}) from error
    except UnknownPool as error:
        raise InvalidParameters({"pool": str(error)}) from error


def _repeated(jobs: Sequence[Job]) -> dict[str, str]:
    """Return the fault of each job of a unique definition that is there twice."""
    first: dict[str, int] = {}
    keys = [(place, job.unique_key) for place, job in enumerate(jobs) if job.unique_key]
    return {
        f"jobs.{place}.params": f"{jobs[place].definition} is unique, and jobs.{first[key]} has the same."
        for place, key in keys
        if first.setdefault(key, place) != place
    }


def _stored(
    jobs: list[Job], *, user: "User | None", key: str, batch: Batch | None = None, at_once: bool = True
) -> tuple[list[Job], bool]:
    """Store jobs and have them published; return them and True, or the earlier jobs equal to them and False."""
    if key:
        deduplication.mark(jobs, key=key)
    limits = back_pressure.limits_of(jobs, user) if batch is None else []
    for_later = jobs[0].run_after is not None
    before = precheck(jobs, limits, for_later=for_later)
    is_plain = not before.is_near and not before.is_known and jobs[0].parent_id is None
    if not (is_plain and _could_insert(jobs)):
        near = limits if before.is_near else []
        is_new = len(jobs) > 1 and not before.is_known and not is_plain
        if earlier := _earlier_or_stored(jobs, near, for_later=for_later, is_new=is_new):
            return earlier, False
    if at_once and batch is None:
        # Within a transaction that lasts, the pauses may change before the jobs are published.
        deliver(jobs, paused=None if connection.in_atomic_block else before.paused)
    return jobs, True


def _could_insert(jobs: Sequence[Job]) -> bool:
    """Insert the jobs; return False where an equal one was stored meanwhile."""
    try:
        # One row needs no transaction of its own, which takes two more round trips.
        with transaction.atomic() if len(jobs) > 1 else nullcontext():
            insert(jobs)
    except IntegrityError:
        return False
    return True


def _earlier_or_stored(
    jobs: Sequence[Job], limits: Sequence[Limit], *, for_later: bool, is_new: bool
) -> list[Job]:
    """Return the earlier jobs equal to these; if there are none, store these and return nothing. Raise as `submit`."""
    for tries_left in reversed(range(_TRIES)):
        if not is_new and (earlier := deduplication.earlier(jobs)):
            return earlier
        try:
            with transaction.atomic():
                _hold_parent(jobs)
                if limits:
                    back_pressure.check(limits, for_later=for_later)
                insert(jobs)
            break
        except IntegrityError:  # an equal job was stored meanwhile; it may have ended by the next try
            is_new = False
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
    blank = _blank(definition, pool=pool, **fields)
    if not 1 <= copies <= settings.JOB_MAX_COPIES:
        raise InvalidParameters({"copies": f"Choose 1 to {settings.JOB_MAX_COPIES} copies."})
    first = _filled(blank, params)
    if first.unique_key and copies > 1:
        raise InvalidParameters(
            {"copies": f"{definition} is unique: one job with the same parameters at a time."}
        )
    return [first, *(_copy(first) for _ in range(copies - 1))]


def _blank(definition: str, *, pool: str, **fields: Any) -> Job:
    """Return an unsaved job without parameters. Raise UnknownDefinition, UnknownPool or Unavailable."""
    registered = definitions.get(definition)
    get_pool(pool)
    if reason := registered.unavailable():
        raise Unavailable(f"{definition} cannot run here: {reason}")
    now = timezone.now()
    return Job(
        definition=registered.name,
        kind=registered.kind,
        pool=pool,
        max_attempts=registered.max_attempts,
        created_at=now,
        due_at=now + grace(),
        **fields,
    )


def _filled(blank: Job, params: Mapping[str, Any]) -> Job:
    """Return a copy of a job with validated parameters. Raise InvalidParameters."""
    registered = definitions.get(blank.definition)
    job = _copy(blank)
    job.params = registered.validate(params)
    job.payload_bytes = len(json.dumps(job.params).encode())
    if registered.unique and blank.batch_id is None:  # a comparison runs its copies nevertheless
        job.unique_key = deduplication.unique_keys(registered, job.params)[0]
    return job


def _copy(job: Job) -> Job:
    """Return a job that differs in its id alone: to make one from all its fields takes several times as long."""
    copied = Job.__new__(Job)
    copied.__dict__.update(job.__dict__, id=uuid4(), _state=copy(job._state))
    copied._state.fields_cache = dict(job._state.fields_cache)
    return copied


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
