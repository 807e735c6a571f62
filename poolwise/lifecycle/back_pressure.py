"""Back pressure: the queue limits of a pool and of a user, and after what time to try again."""

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection
from django.utils import timezone

from poolwise.lifecycle import heartbeats
from poolwise.models import Job, JobQuerySet, waiting
from poolwise.support import BrokerUnavailable, QueueFull, UserLimitReached
from poolwise.support import count as counted

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: Throughput is measured over this time.
_RECENT_S = 60.0
_MIN_RETRY_S, _MAX_RETRY_S = 1, 60
#: Up to one part in this many of a limit, copies need no lock while less than half of the limit is used.
_FEW = 200
#: The PostgreSQL advisory lock of submissions near a limit; one for all pools, so that there is no deadlock.
_LOCK_ID = 0x706F6F6C
_COUNTED = 100_000


@dataclass(frozen=True, slots=True)
class QueueState:
    """A pool's queued and scheduled jobs in the database; `workers` is None while Redis is unavailable."""

    pool: str
    queued: int
    oldest_s: float
    workers: int | None
    scheduled: int


def queue_state(pool: str) -> QueueState:
    """Return the length of a pool's queue, the age of its oldest job, and its numbers of workers and scheduled jobs."""
    now = timezone.now()
    counts = Job.objects.queued().filter(pool=pool).aggregate(**waiting(now))
    oldest_at = counts.pop("oldest_at")
    try:
        workers: int | None = len(heartbeats.pools_up().get(pool, []))
    except BrokerUnavailable:
        workers = None
    age_s = max(0.0, (now - oldest_at).total_seconds()) if oldest_at else 0.0
    return QueueState(pool, oldest_s=age_s, workers=workers, **counts)


def check(pool: str, copies: int, user: "User | None", *, for_later: bool = False) -> None:
    """Refuse copies beyond a limit; call it in the transaction that inserts them. Raise QueueFull, UserLimitReached.

    Scheduled copies count with other scheduled jobs, under the same limits: they take no place in the queue yet.
    """
    now = timezone.now()
    waiting = Job.objects.scheduled(now=now) if for_later else Job.objects.due(now=now)
    is_limited = user is not None and not user.has_perm("poolwise.exceed_user_limit")
    queues = [(waiting.filter(pool=pool), settings.JOB_MAX_QUEUED)]
    queues += (
        [(waiting.filter(user=user, batch=None), settings.JOB_MAX_QUEUED_PER_USER)] if is_limited else []
    )
    if any(_is_near(jobs, limit, copies) for jobs, limit in queues):
        _lock()
    for (jobs, limit), refused in zip(queues, (_pool_is_full, _user_has_enough), strict=False):
        count = _count(jobs, limit)
        if (surplus := count + copies - limit) > 0:
            after_s = _next_due_s(jobs, surplus) if for_later else retry_after_s(pool, surplus)
            kind, text = refused(pool, count, limit, for_later)
            raise kind(text, retry_after_s=after_s, queue=queue_state(pool))


def room(pool: str) -> int:
    """Return how many more jobs the pool's queue takes."""
    limit = settings.JOB_MAX_QUEUED
    return max(0, limit - _count(Job.objects.due(now=timezone.now()).filter(pool=pool), limit))


def retry_after_s(pool: str, surplus: int) -> int:
    """Return after how many seconds, 1 to 60, `surplus` jobs will probably have left the pool's queue."""
    since = timezone.now() - timedelta(seconds=_RECENT_S)
    ended = Job.objects.filter(pool=pool, finished_at__gte=since).order_by()[:_COUNTED].count()
    return _within(surplus * _RECENT_S / ended) if ended else _MAX_RETRY_S


def _next_due_s(jobs: JobQuerySet, surplus: int) -> int:
    """Return after how many seconds, 1 to 60, `surplus` of these scheduled jobs are due."""
    times = jobs.order_by("run_after").values_list("run_after", flat=True)[surplus - 1 : surplus]
    return next((_within((at - timezone.now()).total_seconds()) for at in times if at), _MAX_RETRY_S)


def _within(seconds: float) -> int:
    return min(_MAX_RETRY_S, max(_MIN_RETRY_S, math.ceil(seconds)))


def _is_near(jobs: JobQuerySet, limit: int, copies: int) -> bool:
    return copies > limit // _FEW or _count(jobs, limit // 2) + copies > limit // 2


def _lock() -> None:
    """Serialise submissions near a limit until they commit. SQLite's writers do so anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK_ID])


def _count(jobs: JobQuerySet, limit: int) -> int:
    # Counting stops at the limit, so that a full queue costs no more than a short one.
    return jobs.order_by()[: limit + 1].count()


def _pool_is_full(pool: str, count: int, limit: int, for_later: bool) -> tuple[type[QueueFull], str]:
    scheduled, queued = counted(count, "scheduled job"), counted(count, "job")
    queue = f"{pool} has {scheduled}" if for_later else f"The queue of {pool} has {queued}"
    return QueueFull, f"{queue}; the limit is {limit} (JOB_MAX_QUEUED). Try again later."


def _user_has_enough(pool: str, count: int, limit: int, for_later: bool) -> tuple[type[QueueFull], str]:
    are = f"{count} of your jobs are {'scheduled' if for_later else 'queued'}"
    return UserLimitReached, f"{are}; the limit is {limit} (JOB_MAX_QUEUED_PER_USER). Try again later."
