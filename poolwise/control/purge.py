"""Purge: cancel everything queued on a pool, in batches, and remove its messages from the broker."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from django.utils import timezone

from poolwise.control.actions import required
from poolwise.lifecycle import broker, broker_queues, stream
from poolwise.models import Job, JobState, audit
from poolwise.pools import get_pool
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
    # Jobs submitted from now on are not meant.
    queued = Job.objects.queued().filter(pool=pool).order_by("created_at", "pk").values_list("pk", "attempt")
    ids: set[str] = set()
    for batch in batched(list(queued), _BATCH, strict=False):
        ids.update(_cancel(batch))
    messages = _withdraw(queue, ids) if queue and ids else 0
    audit.record(
        "purge", f"pool {pool}", user=user, reason=reason, cancelled=len(ids), messages=messages, **details
    )
    return Purged(pool, len(ids), messages)


def _cancel(batch: Sequence[tuple[UUID, int]]) -> list[str]:
    """Cancel those that no worker has begun; return their ids."""
    unclaimed = _mark(batch)
    now = timezone.now()
    # Each row is decided on its own, against a worker's start; `finished_at` marks the rows of this purge.
    mark = {"state": JobState.CANCELLED, "cancel_requested_at": now, "finished_at": now, "recorded_at": now}
    error = {"error_type": "Cancelled", "error": "Cancelled before it began: its pool's queue was purged."}
    # `due_at` is that of the mark in Redis: the coordinator writes it.
    due_at = now if unclaimed is None else None
    ids = [pk for pk, _ in (batch if unclaimed is None else unclaimed)]
    Job.objects.queued().filter(pk__in=ids).update_in_order(due_at=due_at, **mark, **error)
    purged = Job.objects.filter(pk__in=ids, state=JobState.CANCELLED, finished_at=now)
    return [str(pk) for pk in purged.values_list("pk", flat=True)]


def _mark(batch: Sequence[tuple[UUID, int]]) -> list[tuple[UUID, int]] | None:
    """Let no worker begin these jobs; return those that none has begun, None while Redis is unavailable.

    A job that runs may be queued in the database: the report of its start is on its way. It finishes, like all that run.
    """
    try:
        return stream.mark_unclaimed(web_client(), batch)
    except REDIS_ERRORS as error:
        log.warning("could not notify the workers of purged jobs", jobs=len(batch), error=str(error))
        return None


def _withdraw(queue: str, ids: Collection[str]) -> int | None:
    """Remove the messages of these jobs from the queue; newer ones stay."""
    # Of its own: another thread may close the shared one just now.
    connection = broker.web_connection().clone()
    try:
        with connection, connection.channel() as channel:
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
