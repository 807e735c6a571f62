"""Purge: cancel everything queued on a pool, in batches, and remove its messages from the broker."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from django.utils import timezone

from poolwise.control.actions import required
from poolwise.lifecycle import broker, broker_queues, stream
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
    """How many jobs were cancelled and messages removed; `messages` is None if the broker does not allow it."""

    pool: str
    cancelled: int
    messages: int | None


def purge(pool: str, *, user: "User | None", reason: str, **details: Any) -> Purged:
    """Cancel every job that is queued on a pool now. Raise UnknownPool if it is not declared and has no queued jobs."""
    reason = required(reason)
    try:
        queue = get_pool(pool).queue
    except UnknownPool:
        if not Job.objects.queued().filter(pool=storable(pool)).exists():
            raise
        queue = ""  # of a pool that is no longer declared, nobody knows the queue
    ids: set[str] = set()
    newest = timezone.now()  # jobs submitted meanwhile are not meant
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
    # Each row is decided on its own, against a worker's start; `finished_at` marks the rows of this purge.
    mark = {"state": JobState.CANCELLED, "cancel_requested_at": now, "finished_at": now, "recorded_at": now}
    error = {"error_type": "Cancelled", "error": "Cancelled before it began: its pool's queue was purged."}
    # `due_at` is that of the mark in Redis: if this process fails to write it, the coordinator does.
    Job.objects.queued().filter(pk__in=batch).update_in_order(due_at=now, **mark, **error)
    purged = Job.objects.filter(pk__in=batch, state=JobState.CANCELLED, finished_at=now)
    attempts = [(str(pk), attempt) for pk, attempt in purged.values_list("pk", "attempt")]
    _notify_workers(attempts)
    return [job_id for job_id, _ in attempts]


def _notify_workers(attempts: list[tuple[str, int]]) -> None:
    """Let workers drop reserved jobs, and stop those they started a moment ago, whose start is not recorded yet."""
    try:
        ids = [job_id for job_id, _ in attempts]
        stream.mark_cancelled(web_client(), ids)
        Job.objects.filter(pk__in=ids, state=JobState.CANCELLED).update_in_order(due_at=None)
        for job_id in stream.begun(web_client(), attempts):
            broker.revoke(job_id, terminate=True, signal=prefork.REVOKE_SIGNAL)
    except (*REDIS_ERRORS, *broker.web_connection().recoverable_connection_errors) as error:
        log.warning("could not notify the workers of purged jobs", jobs=len(attempts), error=str(error))


def _withdraw(queue: str, ids: Collection[str]) -> int | None:
    """Remove the messages of these jobs from the queue; newer ones stay."""
    connection = broker.web_connection()
    try:
        with connection.channel() as channel:
            client = getattr(channel, "client", None)
            # Other brokers cannot remove single messages: there the workers drop those of cancelled jobs.
            return None if client is None else _withdraw_from_list(client, queue, ids)
    except (*REDIS_ERRORS, *connection.recoverable_connection_errors) as error:
        log.warning(
            "cannot remove the messages of purged jobs; workers drop them", queue=queue, error=str(error)
        )
        return None


def _withdraw_from_list(client: Any, queue: str, ids: Collection[str]) -> int:
    kept = removed = 0
    while raws := client.lrange(queue, kept, kept + _MESSAGES - 1):
        gone = [
            raw
            for raw in raws
            if (attempt := broker_queues.attempt_of(raw)) is not None and attempt[0] in ids
        ]
        for raw in gone:  # near the head of the list, so that each removal is fast
            removed += client.lrem(queue, 1, raw)
        kept += len(raws) - len(gone)
    return removed
