"""Back pressure: how many jobs may wait, for a pool and for one user, and when it is worth another try."""

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection
from django.db.models import Min
from django.utils import timezone

from jobs import heartbeats
from jobs.errors import BrokerUnavailable, QueueFull, UserBoundReached
from jobs.models import Job, JobQuerySet

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
    """A pool's queue as the ledger has it; `workers` is None while Redis is away."""

    pool: str
    queued: int
    oldest_s: float
    workers: int | None


def queue_state(pool: str) -> QueueState:
    """Return how long a pool's queue is, how old its oldest job, and how many workers serve it."""
    queued = Job.objects.queued().filter(pool=pool)
    oldest = queued.aggregate(at=Min("created_at"))["at"]
    try:
        workers: int | None = len(heartbeats.pools_up().get(pool, []))
    except BrokerUnavailable:
        workers = None
    age_s = max(0.0, (timezone.now() - oldest).total_seconds()) if oldest else 0.0
    return QueueState(pool, queued.order_by()[:_COUNTED].count(), age_s, workers)


def check(pool: str, copies: int, user: "User | None") -> None:
    """Refuse copies beyond a bound; call it in the transaction that inserts them. Raise QueueFull, UserBoundReached."""
    is_bound = user is not None and not user.has_perm("jobs.exceed_user_bound")
    queues = [(Job.objects.filter(pool=pool), settings.JOB_MAX_QUEUED)]
    queues += (
        [(Job.objects.filter(user=user, block=None), settings.JOB_MAX_QUEUED_PER_USER)] if is_bound else []
    )
    if any(_is_near(jobs, bound, copies) for jobs, bound in queues):
        _lock()
    for (jobs, bound), refusal in zip(queues, (_pool_is_full, _user_has_enough), strict=False):
        queued = _count(jobs, bound)
        if (surplus := queued + copies - bound) > 0:
            raise refusal(pool, queued, bound, surplus)


def room(pool: str) -> int:
    """Return how many jobs the pool's queue still takes."""
    bound = settings.JOB_MAX_QUEUED
    return max(0, bound - _count(Job.objects.filter(pool=pool), bound))


def retry_after_s(pool: str, surplus: int) -> int:
    """Return after how many seconds, 1 to 60, so many jobs have probably left the pool's queue."""
    since = timezone.now() - timedelta(seconds=_RECENT_S)
    ended = Job.objects.filter(pool=pool, finished_at__gte=since).order_by()[:_COUNTED].count()
    if not ended:
        return _MAX_RETRY_S
    return min(_MAX_RETRY_S, max(_MIN_RETRY_S, math.ceil(surplus * _RECENT_S / ended)))


def _is_near(jobs: JobQuerySet, bound: int, copies: int) -> bool:
    return copies > bound // _FEW or _count(jobs, bound // 2) + copies > bound // 2


def _lock() -> None:
    """Let submissions near a bound follow each other until they commit. SQLite's writers do so anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK_ID])


def _count(jobs: JobQuerySet, bound: int) -> int:
    # Counting stops at the bound, so that a full queue costs no more than a short one.
    return jobs.queued().order_by()[: bound + 1].count()


def _pool_is_full(pool: str, queued: int, bound: int, surplus: int) -> QueueFull:
    text = f"The queue of {pool} holds {queued} jobs, its bound is {bound} (JOB_MAX_QUEUED): try later."
    return QueueFull(text, retry_after_s=retry_after_s(pool, surplus), queue=queue_state(pool))


def _user_has_enough(pool: str, queued: int, bound: int, surplus: int) -> QueueFull:
    text = f"{queued} of your jobs are queued, and {bound} may be (JOB_MAX_QUEUED_PER_USER): try later."
    return UserBoundReached(text, retry_after_s=retry_after_s(pool, surplus), queue=queue_state(pool))
