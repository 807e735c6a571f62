"""Purge: cancel what is queued on a pool, batch by batch, and take its messages off the broker."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from django.utils import timezone

from poolwise.control.actions import required
from poolwise.lifecycle import broker_queues, publishing, stream
from poolwise.models import Job, JobState, audit
from poolwise.pools import get_pool, prefork
from poolwise.support import REDIS_ERRORS, UnknownPool, storable, web_client

if TYPE_CHECKING:
    from django.contrib.auth.models import User

log = structlog.get_logger(__name__)
_BATCH = 500
_MESSAGES = 200


@dataclass(frozen=True, slots=True)
class Purged:
    """How many jobs were cancelled; `messages` is None where the broker could not be cleared."""

    pool: str
    cancelled: int
    messages: int | None


def purge(pool: str, *, user: "User | None", reason: str, **details: Any) -> Purged:
    """Cancel every job that is queued on a pool now. Raise UnknownPool where neither settings nor ledger know it."""
    reason = required(reason)
    try:
        queue = get_pool(pool).queue
    except UnknownPool:
        if not Job.objects.queued().filter(pool=storable(pool)).exists():
            raise
        queue = ""  # the jobs of a pool that is no longer declared, of whose messages nobody knows
    ids: set[str] = set()
    newest = timezone.now()  # what comes while this runs is not meant
    while batch := _next(pool, newest):
        ids.update(_cancel(batch))
    messages = _withdraw(queue, ids) if queue and ids else 0
    audit.record(
        "purge", f"pool {pool}", user=user, reason=reason, cancelled=len(ids), messages=messages, **details
    )
    return Purged(pool, len(ids), messages)


def _next(pool: str, newest: Any) -> list[Any]:
    queued = Job.objects.queued().filter(pool=pool, created_at__lte=newest)
    return list(queued.order_by("created_at").values_list("pk", flat=True)[:_BATCH])


def _cancel(batch: list[Any]) -> list[str]:
    now = timezone.now()
    # Whether this or a worker's start came first is decided row by row; the mark tells who purged which.
    mark = {"state": JobState.CANCELLED, "cancel_requested_at": now, "finished_at": now, "recorded_at": now}
    error = {"error_type": "Cancelled", "error": "Cancelled before it began: its pool's queue was purged."}
    # Due is their mark, until Redis has it: should it not answer, or this process end, the coordinator writes it.
    Job.objects.queued().filter(pk__in=batch).update_in_order(due_at=now, **mark, **error)
    purged = Job.objects.filter(pk__in=batch, state=JobState.CANCELLED, finished_at=now)
    attempts = [(str(pk), attempt) for pk, attempt in purged.values_list("pk", "attempt")]
    _notify_workers(attempts)
    return [job_id for job_id, _ in attempts]


def _notify_workers(attempts: list[tuple[str, int]]) -> None:
    """Let workers drop what they hold, and stop what they began a moment ago, unknown to the ledger yet."""
    try:
        ids = [job_id for job_id, _ in attempts]
        stream.mark_cancelled(web_client(), ids)
        Job.objects.filter(pk__in=ids, state=JobState.CANCELLED).update_in_order(due_at=None)
        for job_id in stream.begun(web_client(), attempts):
            publishing.revoke(job_id, terminate=True, signal=prefork.REVOKE_SIGNAL)
    except (*REDIS_ERRORS, *publishing.web_connection().recoverable_connection_errors) as error:
        log.warning("workers could not be told of purged jobs", jobs=len(attempts), error=str(error))


def _withdraw(queue: str, ids: Collection[str]) -> int | None:
    """Take the messages of these jobs off the queue; others, perhaps of this moment, stay."""
    connection = publishing.web_connection()
    try:
        with connection.channel() as channel:
            client = getattr(channel, "client", None)
            # Other brokers cannot look into a queue: there the workers drop the messages of cancelled jobs.
            return None if client is None else _withdraw_from_list(client, queue, ids)
    except (*REDIS_ERRORS, *connection.recoverable_connection_errors) as error:
        log.warning("messages of purged jobs stay; workers drop them", queue=queue, error=str(error))
        return None


def _withdraw_from_list(client: Any, queue: str, ids: Collection[str]) -> int:
    kept = removed = 0
    while raws := client.lrange(queue, kept, kept + _MESSAGES - 1):
        gone = [
            raw for raw in raws if (found := broker_queues.attempt_of(raw)) is not None and found[0] in ids
        ]
        for raw in gone:  # near the list's head, so each is found at once
            removed += client.lrem(queue, 1, raw)
        kept += len(raws) - len(gone)
    return removed
