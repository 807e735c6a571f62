"""What each pool did within a window of time: bounded reads, so that it stays quick at millions of jobs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from django.db.models import Avg, Case, Count, Max, QuerySet, When
from django.utils import timezone

from jobs.models import ENDED, Job, PoolSample, State
from jobs.pools import PoolSpec, all_pools
from jobs.reports.epoch import bucket_of
from jobs.statistics import Summary, quantile, summary

#: At most so many jobs are read for percentiles, the newest of each pool; counts are of all.
MAX_ROWS = 50_000
#: Of a bucket of time that lies before those rows, so many jobs stand for all.
ROWS_OF_OLD_BUCKET = 100
_DONE = (State.SUCCEEDED, State.FAILED)


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time up to now, in words and seconds, and the length of the buckets of its charts."""

    key: str
    title: str
    phrase: str
    length_s: int
    bucket_s: int


WINDOWS = {
    window.key: window
    for window in (
        Window("1h", "1 hour", "the last hour", 3_600, 60),
        Window("24h", "24 hours", "the last 24 hours", 86_400, 900),
        Window("7d", "7 days", "the last 7 days", 604_800, 10_800),
    )
}


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """One pool within a window; `wait` and `run` in seconds, of the newest `n` jobs that ended."""

    name: str
    model: str
    done: int
    failed: int
    cancelled: int
    wait: Summary
    run: Summary

    @property
    def failure_rate(self) -> float | None:
        """Return the failed part of what was done, or None of nothing."""
        return self.failed / self.done if self.done else None

    @property
    def is_partial(self) -> bool:
        """Return whether the percentiles are of the newest jobs only."""
        return self.run.n < self.done and self.run.n >= _rows_of_pool()


@dataclass(frozen=True, slots=True)
class Point:
    """One pool within one bucket of time: its backlog beside its service time."""

    at: datetime
    pool: str
    queued: float | None = None
    queued_max: int | None = None
    run_p50_s: float | None = None


@dataclass(frozen=True, slots=True)
class Dashboard:
    """All pools within a window."""

    window: Window
    since: datetime
    made_at: datetime
    pools: tuple[PoolFigures, ...]
    points: tuple[Point, ...]

    @property
    def is_empty(self) -> bool:
        """Return whether no job ended or was cancelled in the window and nothing waited."""
        return not any(pool.done or pool.cancelled for pool in self.pools) and not any(
            point.queued for point in self.points
        )


class _Row(NamedTuple):
    bucket: int
    broker_wait_s: float | None
    worker_wait_s: float | None
    run_s: float | None

    @property
    def wait_s(self) -> float | None:
        if self.broker_wait_s is None or self.worker_wait_s is None:
            return None
        return self.broker_wait_s + self.worker_wait_s


def _rows_of_pool() -> int:
    return MAX_ROWS // max(1, len(all_pools()))


def dashboard(window: Window, *, now: datetime | None = None) -> Dashboard:
    """Return the figures and the points of every pool that the settings declare."""
    now = now or timezone.now()
    # Whole buckets: half a bucket at the left edge would look like a drop.
    first = int((now - timedelta(seconds=window.length_s)).timestamp()) // window.bucket_s
    since = datetime.fromtimestamp(first * window.bucket_s, UTC)
    figures: list[PoolFigures] = []
    runs: dict[tuple[str, int], float | None] = {}
    for spec in all_pools().values():
        rows = _newest_rows(spec.name, window, since)
        figures.append(_figures(spec, rows, since))
        if len(rows) == _rows_of_pool():
            rows += _rows_before(spec.name, window, range(first, rows[-1].bucket))
        runs |= _medians(spec.name, rows)
    return Dashboard(
        window, since, now, tuple(figures), tuple(_points(window, runs, _backlogs(window, since)))
    )


def _done(pool: str) -> QuerySet[Job]:
    return Job.objects.filter(pool=pool, state__in=_DONE).order_by("-finished_at")


def _read(jobs: QuerySet[Job], window: Window, limit: int) -> list[_Row]:
    columns = jobs.annotate(bucket=bucket_of("finished_at", window.bucket_s)).values_list(*_Row._fields)
    return [_Row(*row) for row in columns[:limit]]


def _newest_rows(pool: str, window: Window, since: datetime) -> list[_Row]:
    return _read(_done(pool).filter(finished_at__gte=since), window, _rows_of_pool())


def _rows_before(pool: str, window: Window, buckets: Iterable[int]) -> list[_Row]:
    rows: list[_Row] = []
    for bucket in buckets:
        start = datetime.fromtimestamp(bucket * window.bucket_s, UTC)
        end = start + timedelta(seconds=window.bucket_s)
        within = _done(pool).filter(finished_at__gte=start, finished_at__lt=end)
        rows += _read(within, window, ROWS_OF_OLD_BUCKET)
    return rows


def _figures(spec: PoolSpec, rows: list[_Row], since: datetime) -> PoolFigures:
    # Summed, not grouped: then the index (pool, finished_at, state) answers alone. To group by state,
    # SQLite with statistics walks the index of states instead, and reads every job for it.
    ended = Job.objects.filter(pool=spec.name, finished_at__gte=since)
    states = ended.aggregate(**{state.value: Count(Case(When(state=state, then=1))) for state in ENDED})
    return PoolFigures(
        name=spec.name,
        model=spec.model,
        done=sum(states[state] for state in _DONE),
        failed=states[State.FAILED],
        cancelled=states[State.CANCELLED],
        wait=summary(row.wait_s for row in rows),
        run=summary(row.run_s for row in rows),
    )


def _medians(pool: str, rows: list[_Row]) -> dict[tuple[str, int], float | None]:
    by_bucket = groupby(sorted(rows, key=lambda row: row.bucket), key=lambda row: row.bucket)
    return {(pool, bucket): quantile((row.run_s for row in group), 0.5) for bucket, group in by_bucket}


def _backlogs(window: Window, since: datetime) -> dict[tuple[str, int], tuple[float, int]]:
    samples = PoolSample.objects.filter(at__gte=since, pool__in=list(all_pools())).order_by()
    grouped = samples.annotate(bucket=bucket_of("at", window.bucket_s)).values("pool", "bucket")
    rows = grouped.annotate(mean=Avg("queued"), most=Max("queued"))
    return {(row["pool"], row["bucket"]): (float(row["mean"]), row["most"]) for row in rows}


def _points(
    window: Window,
    runs: dict[tuple[str, int], float | None],
    backlogs: dict[tuple[str, int], tuple[float, int]],
) -> Iterator[Point]:
    for pool, bucket in sorted(runs.keys() | backlogs.keys(), key=lambda found: (found[1], found[0])):
        mean, most = backlogs.get((pool, bucket), (None, None))
        at = datetime.fromtimestamp(bucket * window.bucket_s, UTC)
        yield Point(at, pool, mean, most, runs.get((pool, bucket)))
