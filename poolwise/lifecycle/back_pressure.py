"""Back pressure: how many jobs may wait, for a pool and for one user, and when it is worth another try."""

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

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: Recent throughput is that of so many seconds.
_RECENT_S = 60.0
_MIN_RETRY_S, _MAX_RETRY_S = 1, 60
#: Copies up to this part of a bound need no lock while less than half of it is used.
_FEW = 200
#: The one PostgreSQL advisory lock of submissions near a bound; one for all pools, so that none waits in a circle.
_LOCK_ID = 0x706F6F6C
_COUNTED = 100_000


@dataclass(frozen=True, slots=True)
class QueueState:
    """A pool's queue as the ledger has it, and beside it what is scheduled; `workers` is None while Redis is away."""

    pool: str
    queued: int
    oldest_s: float
    workers: int | None
    scheduled: int


def queue_state(pool: str) -> QueueState:
    """Return how long a pool's queue is, how old its oldest job, how many workers serve it, and what is scheduled."""
    now = timezone.now()
    found = Job.objects.queued().filter(pool=pool).aggregate(**waiting(now))
    oldest_at = found.pop("oldest_at")
    try:
        workers: int | None = len(heartbeats.pools_up().get(pool, []))
    except BrokerUnavailable:
        workers = None
    age_s = max(0.0, (now - oldest_at).total_seconds()) if oldest_at else 0.0
    return QueueState(pool, oldest_s=age_s, workers=workers, **found)


def check(pool: str, copies: int, user: "User | None", *, for_later: bool = False) -> None:
    """Refuse copies beyond a bound; call it in the transaction that inserts them. Raise QueueFull, UserLimitReached.

    Copies for later are held against what else is for later, by the same bounds: they take no place in the queue yet.
    """
    now = timezone.now()
    waiting = Job.objects.scheduled(now=now) if for_later else Job.objects.due(now=now)
    is_limited = user is not None and not user.has_perm("jobs.exceed_user_limit")
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
    """Return how many jobs the pool's queue still takes."""
    limit = settings.JOB_MAX_QUEUED
    return max(0, limit - _count(Job.objects.due(now=timezone.now()).filter(pool=pool), limit))


def retry_after_s(pool: str, surplus: int) -> int:
    """Return after how many seconds, 1 to 60, so many jobs have probably left the pool's queue."""
    since = timezone.now() - timedelta(seconds=_RECENT_S)
    ended = Job.objects.filter(pool=pool, finished_at__gte=since).order_by()[:_COUNTED].count()
    return _within(surplus * _RECENT_S / ended) if ended else _MAX_RETRY_S


def _next_due_s(jobs: JobQuerySet, surplus: int) -> int:
    """Return after how many seconds, 1 to 60, so many of these scheduled jobs are due."""
    times = jobs.order_by("run_after").values_list("run_after", flat=True)[surplus - 1 : surplus]
    return next((_within((at - timezone.now()).total_seconds()) for at in times if at), _MAX_RETRY_S)


def _within(seconds: float) -> int:
    return min(_MAX_RETRY_S, max(_MIN_RETRY_S, math.ceil(seconds)))


def _is_near(jobs: JobQuerySet, limit: int, copies: int) -> bool:
    return copies > limit // _FEW or _count(jobs, limit // 2) + copies > limit // 2


def _lock() -> None:
    """Let submissions near a bound follow each other until they commit. SQLite's writers do so anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK_ID])


def _count(jobs: JobQuerySet, limit: int) -> int:
    # Counting stops at the bound, so that a full queue costs no more than a short one.
    return jobs.order_by()[: limit + 1].count()


def _pool_is_full(pool: str, count: int, limit: int, for_later: bool) -> tuple[type[QueueFull], str]:
    queue = f"{pool} holds {count} scheduled jobs" if for_later else f"The queue of {pool} holds {count} jobs"
    return QueueFull, f"{queue}, its bound is {limit} (JOB_MAX_QUEUED): try later."


def _user_has_enough(pool: str, count: int, limit: int, for_later: bool) -> tuple[type[QueueFull], str]:
    are = f"{count} of your jobs are {'scheduled' if for_later else 'queued'}"
    return UserLimitReached, f"{are}, and {limit} may be (JOB_MAX_QUEUED_PER_USER): try later."
