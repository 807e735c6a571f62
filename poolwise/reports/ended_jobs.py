"""Ended jobs, in limited numbers: the newest of each pool, and a part of each older bucket of time."""

from datetime import datetime
from typing import NamedTuple

from django.db.models import QuerySet, Value
from django.db.models.functions import Coalesce

from poolwise.models import ENDED, LIVE, Job, JobState
from poolwise.pools import all_pools
from poolwise.reports import by_bucket
from poolwise.reports.epoch import bucket_of

#: The most jobs that are read for percentiles, the newest of each pool; counts are of all.
MAX_ROWS = 4_000
#: How many jobs are read of each older bucket of time: enough for a 95th percentile.
ROWS_OF_OLD_BUCKET = 24
_NOT_DONE = (*LIVE, JobState.CANCELLED)
_SAMPLED = ("broker_wait_s", "worker_wait_s", "run_s", "cpu_s")
_IN_BUCKET = "pool = %s AND finished_at >= since AND finished_at < until"
# As an expression: SQLite with statistics would use the index of states and read every job. And negated: PostgreSQL
# expects few rows of an equal expression, and would read and sort the whole window.
_IS_DONE = f"{_IN_BUCKET} AND COALESCE(state, '') NOT IN ('queued', 'running', 'cancelled')"


class EndedJob(NamedTuple):
    """The columns of an ended job that the dashboard needs; durations are seconds."""

    bucket: int
    broker_wait_s: float | None
    worker_wait_s: float | None
    run_s: float | None
    cpu_s: float | None
    definition: str
    state: str
    batch_id: int | None

    @property
    def wait_s(self) -> float | None:
        """Return the time from published to started."""
        if self.broker_wait_s is None or self.worker_wait_s is None:
            return None
        return self.broker_wait_s + self.worker_wait_s


class Ended(NamedTuple):
    """How many jobs of a pool ended within one bucket of time, by state."""

    bucket: int
    succeeded: int
    failed: int
    cancelled: int


def rows_of_pool() -> int:
    """Return the most rows that are read of one pool."""
    return MAX_ROWS // max(1, len(all_pools()))


def newest_rows(pool: str, bucket_s: int, since: datetime) -> list[EndedJob]:
    """Return the newest jobs of a pool that succeeded or failed."""
    jobs = Job.objects.filter(pool=pool, finished_at__gte=since).alias(
        known_state=Coalesce("state", Value(""))
    )
    return _read(jobs.exclude(known_state__in=_NOT_DONE).order_by("-finished_at"), bucket_s, rows_of_pool())


def rows_before(pool: str, bucket_s: int, buckets: range) -> list[EndedJob]:
    """Return some jobs of each bucket, the newest; without definition and state."""
    found = by_bucket.newest(Job, bucket_s, buckets, _SAMPLED, _IS_DONE, pool, limit=ROWS_OF_OLD_BUCKET)
    return [EndedJob._make([bucket, *row, "", "", None]) for bucket, rows in found.items() for row in rows]


def _read(jobs: QuerySet[Job], bucket_s: int, limit: int) -> list[EndedJob]:
    columns = jobs.annotate(bucket=bucket_of("finished_at", bucket_s)).values_list(*EndedJob._fields)
    return [EndedJob(*row) for row in columns[:limit]]


def ended(pool: str, bucket_s: int, buckets: range) -> list[Ended]:
    """Return the number of all ended jobs of a pool, by bucket and state; buckets without any are left out."""
    counts = ", ".join(f"COUNT(*) FILTER (WHERE state = '{state.value}')" for state in ENDED)
    found = by_bucket.aggregates(Job, bucket_s, buckets, counts, _IN_BUCKET, pool)
    return [Ended(bucket, *row) for bucket, row in found.items() if any(row)]
