"""What people and programs ask for: submit a job, run it again, cancel it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Min
from django.utils import timezone

from jobs import cancelling, definitions, evidence, heartbeats
from jobs.cancelling import CancelOutcome
from jobs.errors import BrokerUnavailable, InvalidParameters, QueueFull, Unavailable
from jobs.models import Block, Job
from jobs.pools import get_pool
from jobs.publishing import grace, publish_from_web

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

__all__ = ["CancelOutcome", "QueueState", "cancel", "prepare", "queue_state", "run_again", "submit"]
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class QueueState:
    """A pool's queue as the ledger has it; `workers` is None while Redis is away."""

    pool: str
    queued: int
    oldest_s: float
    workers: int | None


def submit(
    definition: str,
    params: Mapping[str, Any],
    *,
    pool: str,
    copies: int = 1,
    user: "User | None" = None,
    request_id: str = "",
    block: Block | None = None,
    parent: Job | None = None,
    run_after: "datetime | None" = None,
) -> list[Job]:
    """Store `copies` jobs and publish them once the surrounding transaction commits; return them.

    The pool `auto` is the one that pins, evidence or the definition's kind choose; `Job.chosen_by` says which.
    Raise UnknownDefinition, UnknownPool, Unavailable, InvalidParameters or QueueFull; then nothing is stored.
    """
    chosen = (
        evidence.choose(definitions.get(definition)) if pool == evidence.AUTO else evidence.Choice(pool, "")
    )
    pool = chosen.pool
    jobs = prepare(
        definition,
        params,
        pool=pool,
        copies=copies,
        chosen_by=chosen.why,
        user=user,
        request_id=request_id,
        block=block,
        parent=parent,
    )
    if block is None:
        _check_bound(pool, copies)
    if run_after is not None:
        for job in jobs:
            job.due_at = run_after
    with transaction.atomic():
        Job.objects.bulk_create(jobs, batch_size=500)
        if run_after is None and block is None:
            transaction.on_commit(lambda: publish_from_web(jobs))
    log.info("jobs submitted", definition=definition, pool=pool, copies=copies, request_id=request_id)
    return jobs


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


def run_again(
    job: Job,
    *,
    user: "User | None",
    params: Mapping[str, Any] | None = None,
    pool: str | None = None,
    request_id: str = "",
) -> Job:
    """Submit a job like an earlier one, perhaps changed; the new one names it as its parent. Raise as `submit`."""
    params = job.params if params is None else params
    return submit(
        job.definition, params, pool=pool or job.pool, user=user, parent=job, request_id=request_id
    )[0]


def cancel(job: Job, *, user: "User | None") -> CancelOutcome:
    """Cancel a job that has not begun, or ask the worker of one that has to stop it."""
    outcome = cancelling.cancel(job)
    job.refresh_from_db()
    log.info("cancel", job=str(job.pk), outcome=outcome.value, user=getattr(user, "pk", None))
    return outcome


def _check_bound(pool: str, copies: int) -> None:
    bound = settings.JOB_MAX_QUEUED
    # Counting stops at the bound, so that a full queue costs no more than a short one.
    queued = Job.objects.queued().filter(pool=pool).order_by()[: bound + 1].count()
    if queued + copies > bound:
        raise QueueFull(
            f"The queue of {pool} holds {queued} jobs, its bound is {bound} (JOB_MAX_QUEUED): try later."
        )


def queue_state(pool: str) -> QueueState:
    """Return how long a pool's queue is, how old its oldest job, and how many workers serve it."""
    queued = Job.objects.queued().filter(pool=pool)
    oldest = queued.aggregate(at=Min("created_at"))["at"]
    try:
        workers: int | None = len(heartbeats.pools_up().get(pool, []))
    except BrokerUnavailable:
        workers = None
    age_s = max(0.0, (timezone.now() - oldest).total_seconds()) if oldest else 0.0
    return QueueState(pool, queued.order_by()[:100_000].count(), age_s, workers)
