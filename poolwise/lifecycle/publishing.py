"""Messages: from a committed row to the broker, within a budget of time, or left to the coordinator."""

import functools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import batched
from typing import Any

import structlog
from celery import current_app
from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db import connection as database
from django.utils import timezone
from kombu import pools
from kombu.exceptions import BatchPublishError, LimitExceeded  # type: ignore[attr-defined]
from kombu.exceptions import OperationalError as BrokerError

from poolwise import definitions
from poolwise.lifecycle import duplicate_deliveries, pauses
from poolwise.lifecycle.messages import TASK, signed_options
from poolwise.models import Job
from poolwise.pools import get_pool
from poolwise.support import BrokerUnavailable, PoolwiseError, UnknownPool, wall_now

log = structlog.get_logger(__name__)
#: After a failure no web request tries the broker for so long; the coordinator goes on trying.
_BREAKER_OPEN_S = 5.0
#: How long a job waits whose pool the settings no longer declare, so that it is not in the way of others.
_POSTPONED_S = 30.0
_BACKGROUND_TIMEOUT_S = 5.0
#: Messages that go to the broker in one write, where its transport can; of so many the outcome is then uncertain.
_BATCH = 50
#: How long a coordinator has what it is about to publish to itself; past it, another one tries.
_TAKEN_FOR = timedelta(seconds=10)


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


@functools.cache
def _connection(timeout_s: float) -> Any:
    options = {
        **current_app.conf.broker_transport_options,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "connect_timeout": timeout_s,
        "read_timeout": timeout_s,
        "write_timeout": timeout_s,
        "max_retries": 0,
    }
    connection: Any = current_app.connection_for_write(transport_options=options, connect_timeout=timeout_s)
    return connection


def web_connection() -> Any:
    """Return the connection of web requests to the broker: every wait on it ends within the budget."""
    return _connection(settings.JOB_PUBLISH_BUDGET_S)


@contextmanager
def background_connection() -> Iterator[Any]:
    """Yield a connection to the broker for what is in no hurry. Raise BrokerUnavailable within some seconds."""
    connection = _connection(_BACKGROUND_TIMEOUT_S)
    try:
        yield connection
    except (*connection.recoverable_connection_errors, BrokerError, OSError) as error:
        connection.close()  # the next one begins anew
        raise BrokerUnavailable(f"The broker does not answer: {error}") from error


def publish(jobs: Sequence[Job], *, budget_s: float, paused: pauses.Paused | None = None) -> int:
    """Publish the jobs' messages, in order, until the budget is spent; return how many went out.

    What did not go out keeps its `due_at`, and the coordinator publishes it; what is held it publishes once it is
    resumed. Never raises for a broker's fault.
    """
    paused = pauses.paused_now() if paused is None else paused
    jobs = [job for job in jobs if not paused.includes(job.pool, job.definition)]
    if not jobs:
        return 0
    until_mono = time.monotonic() + budget_s
    sent: list[Job] = []
    try:
        # Without blocking: after a fault kombu's emptied pool would wait out its time-out before it connects anew.
        with (
            pools.producers[_connection(budget_s)].acquire(block=False) as producer,
            producer.batch() as batch,
        ):
            sender = _Sender(producer)
            # Elsewhere each message goes out at once, and is known to have.
            size = _BATCH if producer.supports_batch_publish else 1
            for together in batched(jobs, size, strict=False):
                if time.monotonic() > until_mono:
                    break
                going = [job for job in together if sender.send_or_postpone(job)]
                batch.flush()
                sent += going
    except (
        *_connection(budget_s).recoverable_connection_errors,
        BatchPublishError,  # whether it arrived cannot be told: the coordinator publishes it, perhaps again
        BrokerError,
        LimitExceeded,
        OSError,
    ) as error:
        log.warning("the broker does not answer; the coordinator will publish", error=str(error))
        _breaker.trip()
        pools.producers[_connection(budget_s)].force_close_all(close_pool=False)
    _mark_published(sent)
    return len(sent)


def publish_from_web(jobs: Sequence[Job]) -> int:
    """Publish within the budget of a web request; while the broker is known to be away, not at all.

    The jobs are stored: what the ledger fails at now is no reason to tell the user that they are not.
    """
    if _breaker.is_open:
        return 0
    try:
        return publish(jobs, budget_s=settings.JOB_PUBLISH_BUDGET_S)
    except (OperationalError, InterfaceError) as error:
        log.warning(
            "the ledger does not answer; the coordinator will publish, perhaps again", error=str(error)
        )
        return 0


def revoke(job_id: str, *, terminate: bool, signal: str) -> None:
    """Ask every worker to drop a job, or to stop it too. Raise the broker's errors within twice the budget."""
    ask_workers("revoke", {"task_id": job_id, "terminate": terminate, "signal": signal})


def ask_workers(command: str, arguments: dict[str, Any], *, only: Sequence[str] | None = None) -> None:
    """Send a command of Celery's remote control. Raise the broker's errors within twice the budget of a request."""
    connection = web_connection()
    producers = pools.producers[connection]
    control: Any = current_app.control  # the stubs do not know its mailbox
    mailbox = control.mailbox(connection)
    mailbox.producer_pool = producers  # else the app's own connections, which wait for a broker that hangs
    names = None if only is None else list(only)
    try:
        mailbox._broadcast(command, arguments, destination=names)
    except connection.recoverable_connection_errors:
        # The connection may be of before the broker's restart; a new one tells whether it is back.
        producers.force_close_all(close_pool=False)
        connection.close()
        mailbox._broadcast(command, arguments, destination=names)


def publish_due(*, limit: int = 500, budget_s: float = _BACKGROUND_TIMEOUT_S) -> int:
    """Publish what is due and not known to be at the broker; return how many messages went out."""
    now = timezone.now()
    if not Job.objects.unpublished(now=now).exists():
        return 0  # nearly always: no transaction for that
    paused = pauses.paused_now()
    due = _take_due(paused, limit, now)
    sent = (
        _publish_taken(due, budget_s, paused)
        if due and duplicate_deliveries.prepare_for_duplicates(due)
        else 0
    )
    if sent < len(due):
        ids = [job.pk for job in due]
        Job.objects.queued().filter(pk__in=ids, due_at=now + _TAKEN_FOR).update_in_order(due_at=now)
    return sent


def _take_due(paused: pauses.Paused, limit: int, now: datetime) -> list[Job]:
    """Return due jobs that no other coordinator publishes meanwhile, their `due_at` put off; none that are held."""
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
    """Tell whether the process that inserted the job may have published it and did not come to say so."""
    waited = (job.due_at or timezone.now()) - job.created_at
    return job.attempt == 1 and timedelta(0) < waited <= grace()


def _publish_taken(due: Sequence[Job], budget_s: float, paused: pauses.Paused) -> int:
    # until it is known: a write may fail, or the ledger once the messages have gone out
    duplicate_deliveries.suspect_duplicates(due)
    sent = publish(due, budget_s=budget_s, paused=paused)
    duplicate_deliveries.clear_duplicates(job for job in due if job.is_published)
    return sent


def grace() -> timedelta:
    """Return for how long the process that inserts a job may publish it before the coordinator does."""
    return timedelta(seconds=settings.JOB_PUBLISH_BUDGET_S * 2 + 1.0)


def _mark_published(jobs: Sequence[Job]) -> None:
    for job in jobs:
        job.due_at = None
    attempts: dict[int, list[Any]] = {}
    for job in jobs:
        attempts.setdefault(job.attempt, []).append(job.pk)
    for attempt, ids in attempts.items():
        for start in range(0, len(ids), 500):
            # Only while the row is still at the attempt that was published: a fast worker may have ended it.
            rows = Job.objects.queued().filter(pk__in=ids[start : start + 500], attempt=attempt)
            rows.update_in_order(due_at=None)


class _Sender:
    """Sends messages by one producer; what many of them need is looked up, and declared, once."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._queues: dict[str, str] = {}

    def send_or_postpone(self, job: Job) -> bool:
        """Send a job's message; return False where its pool is no longer declared, and the job waits for that."""
        try:
            self._send(job)
        except UnknownPool as error:
            # Each of them, every half minute: the coordinator warns of all together, once.
            log.debug("a job waits for its pool to be declared again", job=str(job.pk), error=str(error))
            job.due_at = timezone.now() + timedelta(seconds=_POSTPONED_S)
            Job.objects.queued().filter(pk=job.pk).update(due_at=job.due_at)
            return False
        return True

    def _send(self, job: Job) -> None:
        is_first = job.pool not in self._queues
        if is_first:
            self._queues[job.pool] = get_pool(job.pool).queue
        options = signed_options(
            str(job.pk),
            job.attempt,
            job.definition,
            job.params,
            published_at=wall_now(),
            request_id=job.request_id,
            **_limits(job),
        )
        if not is_first:
            options["declare"] = ()  # else Celery declares the queue with each message
        # By its name: who publishes loads nothing of the worker.
        current_app.send_task(
            TASK,
            queue=self._queues[job.pool],
            producer=self._producer,
            retry=False,
            ignore_result=True,
            **options,
        )


def _limits(job: Job) -> dict[str, float | None]:
    try:
        definition = definitions.resolve(job.definition)
    except PoolwiseError:
        return {}  # the worker reports it as failed, which the ledger then shows
    return {"soft_time_limit_s": definition.soft_time_limit_s, "time_limit_s": definition.time_limit_s}
