"""Ended jobs, in limited numbers: the newest of each pool, and a part of each older bucket of time."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db.models import Count, Q, QuerySet

from poolwise.models import ENDED, Job, JobState
from poolwise.pools import all_pools
from poolwise.reports.epoch import bucket_of

#: The most jobs that are read for percentiles, the newest of each pool; counts are of all.
MAX_ROWS = 50_000
#: How many jobs are read of each older bucket of time.
ROWS_OF_OLD_BUCKET = 100
DONE = (JobState.SUCCEEDED, JobState.FAILED)


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
    return _read(_done(pool).filter(finished_at__gte=since), bucket_s, rows_of_pool())


def rows_before(pool: str, bucket_s: int, buckets: Iterable[int]) -> list[EndedJob]:
    """Return some jobs of each bucket."""
    rows: list[EndedJob] = []
    for bucket in buckets:
        start = datetime.fromtimestamp(bucket * bucket_s, UTC)
        end = start + timedelta(seconds=bucket_s)
        within = _done(pool).filter(finished_at__gte=start, finished_at__lt=end)
        rows += _read(within, bucket_s, ROWS_OF_OLD_BUCKET)
    return rows


def _done(pool: str) -> QuerySet[Job]:
    return Job.objects.filter(pool=pool, state__in=DONE).order_by("-finished_at")


def _read(jobs: QuerySet[Job], bucket_s: int, limit: int) -> list[EndedJob]:
    columns = jobs.annotate(bucket=bucket_of("finished_at", bucket_s)).values_list(*EndedJob._fields)
    return [EndedJob(*row) for row in columns[:limit]]


def ended(pool: str, bucket_s: int, since: datetime) -> list[Ended]:
    """Return the number of all ended jobs of a pool, by bucket and state."""
    # Not grouped by state: SQLite with statistics would use the index of states and read every job.
    # This way the index (pool, finished_at, state) is enough.
    rows = Job.objects.filter(pool=pool, finished_at__gte=since).order_by()
    counts = {state.value: Count("pool", filter=Q(state=state)) for state in ENDED}
    buckets = rows.values(bucket=bucket_of("finished_at", bucket_s)).annotate(**counts)
    return [Ended(*row) for row in buckets.values_list(*Ended._fields)]
