"""One submission by pool: how many of its jobs ended, how long they waited and ran, and whether they were on a core."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Count, Max, Min, Q

from poolwise.models import LIVE, Job, JobQuerySet, JobState
from poolwise.pools import all_pools
from poolwise.reports.job_list import JobFilter, list_jobs
from poolwise.reports.paging import COUNT_LIMIT
from poolwise.reports.time_split import NOTABLE_SHARE, time_split
from poolwise.reports.timeline import cpu_share, wait_s
from poolwise.support import quantile

_MEASURED = (
    "broker_wait_s", "worker_wait_s", "run_s", "cpu_s", "run_queue_s", "gil_wait_s", "blocked_s"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Medians:
    """Medians over the newest `n` jobs that have run; durations in seconds, shares of the run."""

    n: int = 0
    wait_s: float | None = None
    run_s: float | None = None
    cpu_share: float | None = None
    gil_share: float | None = None


@dataclass(frozen=True, slots=True)
class PoolOfSubmission:
    """The jobs of a submission on one pool; `total_s` is first published to last finished, None until all have ended."""

    name: str
    jobs: int
    live: int
    failed: int
    cancelled: int
    total_s: float | None
    medians: Medians

    @property
    def ended(self) -> int:
        """Return how many jobs have ended."""
        return self.jobs - self.live


@dataclass(frozen=True, slots=True)
class Submission:
    """The jobs that one request stored; `definition` is empty where they have several or belong to a comparison."""

    pools: list[PoolOfSubmission] = field(default_factory=list)
    definition: str = ""
    is_of_comparison: bool = False

    @property
    def jobs(self) -> int:
        """Return how many jobs it has."""
        return sum(pool.jobs for pool in self.pools)

    @property
    def ended(self) -> int:
        """Return how many of them have ended."""
        return sum(pool.ended for pool in self.pools)

    @property
    def failed(self) -> int:
        """Return how many of them failed."""
        return sum(pool.failed for pool in self.pools)


def submission(user: User, chosen: JobFilter) -> Submission:
    """Return the submission that the filter names, of the jobs that the user may see; other filters do not apply."""
    jobs = _jobs(user, chosen)
    totals: Any = jobs.order_by().values("pool").annotate(
        jobs=Count("pk"),
        live=Count("pk", filter=Q(state__in=LIVE)),
        failed=Count("pk", filter=Q(state=JobState.FAILED)),
        cancelled=Count("pk", filter=Q(state=JobState.CANCELLED)),
        published_at=Min("published_at"),
        finished_at=Max("finished_at"),
        attempts=Max("attempt"),
        in_batches=Count("batch"),
        first_name=Min("definition"),
        last_name=Max("definition"),
    )  # fmt: skip
    rows = list(totals[:COUNT_LIMIT])
    medians = _medians_by_pool(jobs)
    earlier = _first_published(jobs) if any(row["attempts"] > 1 for row in rows) else {}
    names = {name for row in rows for name in (row["first_name"], row["last_name"])}
    in_batches = any(row["in_batches"] for row in rows)
    pools = [_pool(row, medians.get(row["pool"], Medians()), earlier.get(row["pool"])) for row in rows]
    place = {name: index for index, name in enumerate(all_pools())}
    pools.sort(key=lambda pool: (place.get(pool.name, len(place)), pool.name))
    return Submission(pools, names.pop() if len(names) == 1 and not in_batches else "", in_batches)


def newest_of(user: User, chosen: JobFilter) -> tuple[Job | None, bool]:
    """Return the newest job of the submission, and whether others differ from it in definition or parameters."""
    jobs = _jobs(user, chosen)
    job = jobs.first()
    return job, job is not None and jobs.exclude(definition=job.definition, params=job.params).exists()


def _jobs(user: User, chosen: JobFilter) -> JobQuerySet:
    if not chosen.submission:
        return Job.objects.none()
    return list_jobs(user, JobFilter(submission=chosen.submission, owner=chosen.owner)).jobs


def _pool(row: Mapping[str, Any], medians: Medians, earlier: datetime | None) -> PoolOfSubmission:
    published_at, finished_at = row["published_at"], row["finished_at"]
    if earlier is not None:
        published_at = min(earlier, published_at or earlier)
    total_s = None
    if not row["live"] and published_at is not None and finished_at is not None:
        total_s = max(0.0, (finished_at - published_at).total_seconds())
    counts = {name: row[name] for name in ("jobs", "live", "failed", "cancelled")}
    return PoolOfSubmission(row["pool"], **counts, total_s=total_s, medians=medians)


def _medians_by_pool(jobs: JobQuerySet) -> dict[str, Medians]:
    # Ended ones are picked here: by their state, SQLite would use the index of states and read every job.
    newest = jobs.prefetch_related(None).only("pool", "state", *_MEASURED)[:COUNT_LIMIT]
    ran = (job for job in newest if job.has_ended and job.run_s is not None)
    rows = sorted(ran, key=lambda job: job.pool)
    return {pool: _medians(list(group)) for pool, group in groupby(rows, key=lambda job: job.pool)}


def _medians(jobs: list[Job]) -> Medians:
    gil_share = quantile(map(_gil_share, jobs), 0.5)
    return Medians(
        n=len(jobs),
        wait_s=quantile(map(wait_s, jobs), 0.5),
        run_s=quantile((job.run_s for job in jobs), 0.5),
        cpu_share=quantile(map(cpu_share, jobs), 0.5),
        gil_share=gil_share if gil_share and gil_share >= NOTABLE_SHARE else None,
    )


def _gil_share(job: Job) -> float | None:
    return time_split(job)["gil_wait"] / job.run_s if job.run_s else None


def _first_published(jobs: JobQuerySet) -> dict[str, datetime]:
    """Return by pool when a first attempt was published, of the retried jobs: their column is of the newest attempt."""
    retried = jobs.filter(attempt__gt=1).values_list("pool", "history")[:COUNT_LIMIT]
    earliest: dict[str, datetime] = {}
    for pool, history in retried:
        for stamp in _stamps(history):
            earliest[pool] = min(stamp, earliest.get(pool, stamp))
    return earliest


def _stamps(history: Iterable[Mapping[str, Any]]) -> Iterator[datetime]:
    for attempt in history:
        if isinstance(stamp := attempt.get("published_at"), int | float):
            yield datetime.fromtimestamp(stamp, UTC)
