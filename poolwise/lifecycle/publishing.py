"""From a committed row to a message at the broker: within a time budget, or later by the coordinator.

`Job.due_at` is when the coordinator publishes a queued job; it is null once its message is known to be at the broker.
"""

import functools
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import batched
from typing import Any
from uuid import UUID

import structlog
from celery import current_app
from celery.signals import after_task_publish, before_task_publish
from celery.utils.nodenames import anon_nodename
from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db import connection as database
from django.utils import timezone
from kombu import pools
from kombu.exceptions import BatchPublishError, LimitExceeded  # type: ignore[attr-defined]
from kombu.exceptions import OperationalError as BrokerError

from poolwise import definitions
from poolwise.lifecycle import broker, duplicate_deliveries, pauses
from poolwise.lifecycle.messages import TASK, signed_options
from poolwise.models import Job
from poolwise.pools import get_pool
from poolwise.support import REDIS_ERRORS, PoolwiseError, UnknownPool, wall_now

log = structlog.get_logger(__name__)
#: For how long after a failure no web request tries the broker; the coordinator keeps trying.
_BREAKER_OPEN_S = 5.0
#: For how long a job is postponed whose pool the settings no longer declare, so that others get their turn.
_POSTPONED_S = 30.0
#: Messages that go to the broker in one write, where its transport can; if it fails, all of these are uncertain.
_BATCH = 250
#: For how long the jobs that a coordinator takes are its own; after that, another one publishes them.
_TAKEN_FOR = timedelta(seconds=10)

#: What the messages of all jobs have in common, by version 2 of Celery's protocol.
_HEADERS: dict[str, Any] = {
    "lang": "py", "task": TASK, "eta": None, "expires": None, "group": None, "group_index": None, "retries": 0,
    "parent_id": None, "ignore_result": True, "replaced_task_nesting": 0, "stamped_headers": None, "stamps": {},
}  # fmt: skip
_EMBED: dict[str, Any] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
_PERSISTENT = 2


class _Breaker:
    """Remembers that the broker just failed, so that the next requests do not wait for it too."""

    def __init__(self) -> None:
        self._open_until_mono = 0.0

    @property
    def is_open(self) -> bool:
        return time.monotonic() < self._open_until_mono

    def trip(self) -> None:
        self._open_until_mono = time.monotonic() + _BREAKER_OPEN_S


_breaker = _Breaker()


def publish_from_web(jobs: Sequence[Job], *, paused: pauses.Paused | None = None) -> int:
    """Publish within the budget of a web request; not at all while the breaker is open.

    The jobs are stored, so a database that fails now is only logged: the submission has succeeded.
    """
    if _breaker.is_open:
        return 0
    try:
        return publish(jobs, budget_s=settings.JOB_PUBLISH_BUDGET_S, paused=paused)
    except (OperationalError, InterfaceError) as error:
        log.warning(
            "the database does not answer; the coordinator will publish, perhaps again", error=str(error)
        )
        return 0


def publish(jobs: Sequence[Job], *, budget_s: float, paused: pauses.Paused | None = None) -> int:
    """Publish the jobs' messages, in order, until the budget is spent; return how many were sent.

    Jobs that were not sent keep their `due_at`, and the coordinator publishes them; paused ones once they are resumed.
    Never raises the broker's errors.
    """
    paused = pauses.paused_now() if paused is None else paused
    jobs = [job for job in jobs if not paused.includes(job.pool, job.definition)]
    if not jobs:
        return 0
    connection = broker.connection(budget_s)
    sent: list[Job] = []
    try:
        _send_all(jobs, connection, time.monotonic() + budget_s, sent)
    except (
        *connection.recoverable_connection_errors,
        BatchPublishError,  # nobody knows whether it arrived: the coordinator publishes it, perhaps again
        BrokerError,
        LimitExceeded,
        *REDIS_ERRORS,
    ) as error:
        log.warning("the broker does not answer; the coordinator will publish", error=str(error))
        _breaker.trip()
        pools.producers[connection].force_close_all(close_pool=False)
    _mark_published(sent)
    return len(sent)


def _send_all(jobs: Sequence[Job], connection: Any, until_mono: float, sent: list[Job]) -> None:
    """Send the jobs' messages until that time, and add to `sent` what arrived. Raise the broker's errors."""
    # Without blocking: after a fault kombu's emptied pool would wait out its time-out before it connects again.
    with pools.producers[connection].acquire(block=False) as producer, producer.batch() as batch:
        sender = _Sender(producer)
        # Without batches each message is sent at once, and its arrival is known.
        size = _BATCH if producer.supports_batch_publish else 1
        with producer.connection._reraise_as_library_errors():
            for chunk in batched(jobs, size, strict=False):
                if time.monotonic() > until_mono:
                    break
                sending = [job for job in chunk if sender.send_or_postpone(job)]
                batch.flush()
                sent += sending


class _Sender:
    """Sends messages with one producer; each queue and each definition is resolved once."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._queues: dict[str, Any] = {}
        self._limits = functools.cache(_limits)
        self._is_lean = _is_lean()
        self._origin = anon_nodename()

    def send_or_postpone(self, job: Job) -> bool:
        """Send a job's message; where its pool is no longer declared, postpone the job and return False."""
        try:
            self._send(job)
        except UnknownPool as error:
            # At debug level: the coordinator warns once of all jobs of such a pool.
            log.debug("a job waits for its pool to be declared again", job=str(job.pk), error=str(error))
            job.due_at = timezone.now() + timedelta(seconds=_POSTPONED_S)
            Job.objects.queued().filter(pk=job.pk).update(due_at=job.due_at)
            return False
        return True

    def _send(self, job: Job) -> None:
        if job.pool not in self._queues:
            self._queues[job.pool] = self._declared(get_pool(job.pool).queue)
        queue = self._queues[job.pool]
        options = signed_options(
            str(job.pk),
            job.attempt,
            job.definition,
            job.params,
            published_at=wall_now(),
            request_id=job.request_id,
            **self._limits(job.definition),
        )
        if self._is_lean and queue.exchange.type == "direct":
            self._publish(queue, options)
            return
        # By the task's name: a web process imports nothing of the worker.
        current_app.send_task(
            TASK,
            queue=queue,
            producer=self._producer,
            retry=False,
            ignore_result=True,
            declare=(),  # else Celery declares the queue with each message
            **options,
        )

    def _declared(self, name: str) -> Any:
        queue: Any = current_app.amqp.queues[name]
        self._producer.maybe_declare(queue)
        return queue

    def _publish(self, queue: Any, options: Mapping[str, Any]) -> None:
        """Publish what Celery's `send_task` would, without what it looks up for each message."""
        job_id = options["task_id"]
        headers = {
            **_HEADERS,
            "id": job_id,  # before our own header, as `broker_queues` expects it
            **options["headers"],
            "root_id": job_id,
            "shadow": options["shadow"],
            "timelimit": [options["time_limit"], options["soft_time_limit"]],
            "argsrepr": options["argsrepr"],
            "kwargsrepr": options["kwargsrepr"],
            "origin": self._origin,
        }
        self._producer.publish(
            (options["args"], {}, _EMBED),
            exchange="",
            routing_key=queue.name,
            serializer="json",
            headers=headers,
            delivery_mode=queue.exchange.delivery_mode or _PERSISTENT,
            correlation_id=job_id,
            reply_to="",
        )


def _is_lean() -> bool:
    """Return whether nothing of the project takes part when Celery sends a task: no listener, route or other format."""
    return not (before_task_publish.receivers or after_task_publish.receivers) and _is_plain()


@functools.cache
def _is_plain() -> bool:
    conf: Any = current_app.conf
    is_persistent = conf.task_default_delivery_mode in (_PERSISTENT, "persistent")
    return is_persistent and not (conf.task_compression or conf.task_send_sent_event or conf.task_routes)


def _limits(name: str) -> dict[str, float | None]:
    try:
        definition = definitions.resolve(name)
    except PoolwiseError:
        return {}  # the worker reports the job as failed, with this error
    return {"soft_time_limit_s": definition.soft_time_limit_s, "time_limit_s": definition.time_limit_s}


def _mark_published(jobs: Sequence[Job]) -> None:
    for job in jobs:
        job.due_at = None
    attempts: dict[int, list[Any]] = {}
    for job in jobs:
        attempts.setdefault(job.attempt, []).append(job.pk)
    for attempt, ids in attempts.items():
        for chunk in batched(ids, 500, strict=False):
            _clear_due(chunk, attempt)


def _clear_due(ids: Sequence[UUID], attempt: int) -> None:
    """Clear `due_at` of jobs in one statement: to write it, the ORM takes longer than the database to execute it."""
    # Only while the row is still at the attempt that was published: a fast worker may have ended it.
    holders = ", ".join(["%s"] * len(ids))
    rows = f"id IN ({holders}) AND state = 'queued' AND attempt = %s"
    table = Job._meta.db_table
    if len(ids) > 1 and database.features.has_select_for_update:  # in the order of `update_in_order`
        rows = f"id IN (SELECT id FROM {table} WHERE {rows} ORDER BY id FOR UPDATE)"  # noqa: S608
    key = Job._meta.pk
    values = [key.get_db_prep_value(pk, database) for pk in ids]
    with database.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET due_at = NULL WHERE {rows}", [*values, attempt])  # noqa: S608


# The coordinator's part.


def publish_due(*, limit: int = 500, budget_s: float = broker.BACKGROUND_TIMEOUT_S) -> int:
    """Publish the jobs that are due; return how many messages were sent."""
    now = timezone.now()
    if not Job.objects.unpublished(now=now).exists():
        return 0  # nearly always: it needs no transaction
    paused = pauses.paused_now()
    due = _take_due(paused, limit, now)
    sent = 0
    if due and duplicate_deliveries.prepare_for_duplicates(due):
        sent = _publish_taken(due, budget_s, paused)
    if sent < len(due):
        ids = [job.pk for job in due]
        Job.objects.queued().filter(pk__in=ids, due_at=now + _TAKEN_FOR).update_in_order(due_at=now)
    return sent


def _take_due(paused: pauses.Paused, limit: int, now: datetime) -> list[Job]:
    """Return due jobs that are not paused; put off their `due_at`, so that no other coordinator publishes them too."""
    free = paused.without_paused(Job.objects.unpublished(now=now)).order_by("due_at")
    with transaction.atomic():
        rows = free.select_for_update(skip_locked=database.features.has_select_for_update_skip_locked)
        due = list(rows[:limit])
        duplicate_deliveries.suspect_duplicates(job for job in due if _is_fresh(job))
        for job in due:
            job.due_at = now + _TAKEN_FOR
        Job.objects.filter(pk__in=[job.pk for job in due]).update(due_at=now + _TAKEN_FOR)
    return due


def _is_fresh(job: Job) -> bool:
    """Return whether the process that inserted the job may have published it and ended before it noted that."""
    waited = (job.due_at or timezone.now()) - job.created_at
    return job.attempt == 1 and timedelta(0) < waited <= grace()


def _publish_taken(due: Sequence[Job], budget_s: float, paused: pauses.Paused) -> int:
    # Suspected until it is known: the write may fail, or the database once the messages were sent.
    duplicate_deliveries.suspect_duplicates(due)
    sent = publish(due, budget_s=budget_s, paused=paused)
    duplicate_deliveries.clear_duplicates(job for job in due if job.is_published)
    return sent


def grace() -> timedelta:
    """Return for how long the process that inserts a job may publish it before the coordinator does."""
    return timedelta(seconds=settings.JOB_PUBLISH_BUDGET_S * 2 + 1.0)
