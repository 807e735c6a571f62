"""Back pressure: the queue limits of a pool and of a user, and after what time to try again."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

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


@dataclass(frozen=True, slots=True)
class Limit:
    """How many jobs may wait in a pool's queue, or of a user in all queues, and how many more a submission adds."""

    pool: str
    most: int
    added: int
    #: None: the limit is the pool's.
    user_id: int | None = None

    @property
    def is_large(self) -> bool:
        """Return whether so many jobs are added that they must be counted exactly."""
        return self.added > self.most // _FEW

    def is_near(self, count: int) -> bool:
        """Return whether that many jobs, and the added ones, come near the limit."""
        return self.is_large or count + self.added > self.most // 2

    def rows(self, now: datetime, *, most: int, for_later: bool) -> tuple[str, list[Any]]:
        """Return a query of the jobs that count, up to one above `most`, and its parameters.

        By hand: the ORM takes longer to write it than the database to answer. The same as `due` and `scheduled` of jobs.
        """
        at = connection.ops.adapt_datetimefield_value(now)
        when = "run_after > %s" if for_later else "(run_after IS NULL OR run_after <= %s)"
        whose = "pool = %s" if self.user_id is None else "user_id = %s AND batch_id IS NULL"
        table = Job._meta.db_table
        # Counting stops at the limit, so that a full queue costs no more than a short one.
        query = f"SELECT 1 FROM {table} WHERE state = 'queued' AND {when} AND {whose} LIMIT {most + 1:d}"  # noqa: S608
        return query, [at, self.pool if self.user_id is None else self.user_id]


def limits_of(jobs: Sequence[Job], user: "User | None") -> list[Limit]:
    """Return the limits of the pools and of the user that these new jobs come under."""
    pools = Counter(job.pool for job in jobs)
    limits = [Limit(pool, settings.JOB_MAX_QUEUED, added) for pool, added in pools.items()]
    if user is not None and not user.has_perm("poolwise.exceed_user_limit"):
        limits.append(Limit(jobs[0].pool, settings.JOB_MAX_QUEUED_PER_USER, len(jobs), user.pk))
    return limits


def check(limits: Sequence[Limit], *, for_later: bool) -> None:
    """Refuse jobs beyond a limit; call it in the transaction that inserts them. Raise QueueFull, UserLimitReached.

    Scheduled jobs count with other scheduled jobs, under the same limits: they take no place in the queue yet.
    Until that transaction commits no other submission near a limit is checked.
    """
    _lock()
    now = timezone.now()
    for limit in limits:
        query, values = limit.rows(now, for_later=for_later, most=limit.most)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT COUNT(*) FROM ({query}) AS counted", values)  # noqa: S608
            count = cursor.fetchone()[0]
        if (surplus := count + limit.added - limit.most) > 0:
            raise _refusal(limit, count, surplus, for_later)


def _refusal(limit: Limit, count: int, surplus: int, for_later: bool) -> QueueFull:
    kind, text = (_pool_is_full if limit.user_id is None else _user_has_enough)(limit, count, for_later)
    after_s = _next_due_s(limit, surplus) if for_later else retry_after_s(limit.pool, surplus)
    return kind(text, retry_after_s=after_s, queue=queue_state(limit.pool))


def room(pool: str) -> int:
    """Return how many more jobs the pool's queue takes."""
    limit = settings.JOB_MAX_QUEUED
    return max(0, limit - _count(Job.objects.due(now=timezone.now()).filter(pool=pool), limit))


def retry_after_s(pool: str, surplus: int) -> int:
    """Return after how many seconds, 1 to 60, `surplus` jobs will probably have left the pool's queue."""
    since = timezone.now() - timedelta(seconds=_RECENT_S)
    ended = Job.objects.filter(pool=pool, finished_at__gte=since).order_by()[:_COUNTED].count()
    return _within(surplus * _RECENT_S / ended) if ended else _MAX_RETRY_S


def _next_due_s(limit: Limit, surplus: int) -> int:
    """Return after how many seconds, 1 to 60, `surplus` of the scheduled jobs under this limit are due."""
    jobs = Job.objects.scheduled(now=timezone.now())
    is_of_pool = limit.user_id is None
    jobs = jobs.filter(pool=limit.pool) if is_of_pool else jobs.filter(user=limit.user_id, batch=None)
    times = jobs.order_by("run_after").values_list("run_after", flat=True)[surplus - 1 : surplus]
    return next((_within((at - timezone.now()).total_seconds()) for at in times if at), _MAX_RETRY_S)


def _within(seconds: float) -> int:
    return min(_MAX_RETRY_S, max(_MIN_RETRY_S, math.ceil(seconds)))


def _lock() -> None:
    """Serialise submissions near a limit until they commit. SQLite's writers do so anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK_ID])


def _count(jobs: JobQuerySet, limit: int) -> int:
    # Counting stops at the limit, so that a full queue costs no more than a short one.
    return jobs.order_by()[: limit + 1].count()


def _pool_is_full(limit: Limit, count: int, for_later: bool) -> tuple[type[QueueFull], str]:
    scheduled, queued = counted(count, "scheduled job"), counted(count, "job")
    queue = f"{limit.pool} has {scheduled}" if for_later else f"The queue of {limit.pool} has {queued}"
    return QueueFull, f"{queue}; the limit is {limit.most} (JOB_MAX_QUEUED). Try again later."


def _user_has_enough(limit: Limit, count: int, for_later: bool) -> tuple[type[QueueFull], str]:
    are = f"{count} of your jobs are {'scheduled' if for_later else 'queued'}"
    return UserLimitReached, f"{are}; the limit is {limit.most} (JOB_MAX_QUEUED_PER_USER). Try again later."
