"""The figures of each pool within a window of time; reads are limited, so that it stays fast with millions of jobs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

from django.utils import timezone

from poolwise.models import PoolSample
from poolwise.pools import PoolSpec, all_pools
from poolwise.reports import by_bucket
from poolwise.reports.by_definition import DefinitionFigures, by_definition
from poolwise.reports.changes import ConfigurationChange, changes
from poolwise.reports.ended_jobs import Ended, EndedJob, ended, newest_rows, rows_before, rows_of_pool
from poolwise.support import Summary, quantile, summary, supported_quantile


@dataclass(frozen=True, slots=True)
class Window:
    """A period up to now, with its titles and the length of its charts' buckets."""

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
class TimeSplit:
    """The mean time of `n` jobs in seconds: waiting, on CPU, off CPU."""

    n: int = 0
    wait_s: float = 0.0
    cpu_s: float = 0.0
    off_cpu_s: float = 0.0

    @property
    def wait_share(self) -> float | None:
        """Return the part of the time from published to finished that a job only waited."""
        total = self.wait_s + self.cpu_s + self.off_cpu_s
        return self.wait_s / total if total else None


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
    time: TimeSplit = TimeSplit()

    @property
    def failure_rate(self) -> float | None:
        """Return the failed part of what was done, or None of nothing."""
        return self.failed / self.done if self.done else None

    @property
    def is_partial(self) -> bool:
        """Return whether the percentiles are of the newest jobs only."""
        return self.run.n < self.done and self.run.n >= rows_of_pool()


@dataclass(frozen=True, slots=True)
class PoolPoint:
    """One pool within one bucket of time; percentiles in seconds, None with too few jobs."""

    at: datetime
    pool: str
    queued: float | None = None
    queued_max: int | None = None
    run_p50_s: float | None = None
    run_p95_s: float | None = None
    wait_p50_s: float | None = None
    wait_p95_s: float | None = None
    per_minute: float | None = None


@dataclass(frozen=True, slots=True)
class Dashboard:
    """All pools within a window."""

    window: Window
    since: datetime
    made_at: datetime
    pools: tuple[PoolFigures, ...]
    points: tuple[PoolPoint, ...]
    changes: tuple[ConfigurationChange, ...] = ()
    definitions: tuple[DefinitionFigures, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Return whether no job ended or was cancelled in the window and nothing waited."""
        return not any(pool.done or pool.cancelled for pool in self.pools) and not any(
            point.queued for point in self.points
        )


#: The key of a point: its bucket, counted from 1970, and its pool.
_Key = tuple[int, str]
_Values = dict[str, float | int | None]


def dashboard(window: Window, *, now: datetime | None = None) -> Dashboard:
    """Return the figures and the points of every pool that the settings declare."""
    now = now or timezone.now()
    # Whole buckets: a partial one at the left edge would look like a drop.
    first = int((now - timedelta(seconds=window.length_s)).timestamp()) // window.bucket_s
    since, last = (
        datetime.fromtimestamp(first * window.bucket_s, UTC),
        int(now.timestamp()) // window.bucket_s,
    )
    figures: list[PoolFigures] = []
    newest: dict[str, Sequence[EndedJob]] = {}
    values: dict[_Key, _Values] = {}
    for spec in all_pools().values():
        rows, counts = (
            newest_rows(spec.name, window.bucket_s, since),
            ended(spec.name, window.bucket_s, range(first, last + 1)),
        )
        newest[spec.name] = rows
        figures.append(_figures(spec, rows, counts))
        older = []
        if len(rows) == rows_of_pool():
            older = rows_before(spec.name, window.bucket_s, range(first, rows[-1].bucket))
        _add(values, _percentiles(spec.name, [*rows, *older]))
        _add(values, _rates(spec.name, counts, window, first, now))
    _add(values, _backlogs(window, range(first, last + 1)))
    return Dashboard(
        window,
        since,
        now,
        tuple(figures),
        tuple(_points(window, values)),
        tuple(changes(since, window.bucket_s)),
        by_definition(newest),
    )


def _add(values: dict[_Key, _Values], more: Mapping[_Key, _Values]) -> None:
    for key, more_values in more.items():
        values.setdefault(key, {}).update(more_values)


def _figures(spec: PoolSpec, rows: Sequence[EndedJob], counts: Sequence[Ended]) -> PoolFigures:
    failed = sum(count.failed for count in counts)
    return PoolFigures(
        name=spec.name,
        model=spec.model,
        done=sum(count.succeeded for count in counts) + failed,
        failed=failed,
        cancelled=sum(count.cancelled for count in counts),
        wait=summary(row.wait_s for row in rows),
        run=summary(row.run_s for row in rows),
        time=_time_split(rows),
    )


def _time_split(rows: Sequence[EndedJob]) -> TimeSplit:
    known = [
        (row.wait_s, row.cpu_s, max(0.0, row.run_s - row.cpu_s))
        for row in rows
        if row.wait_s is not None and row.cpu_s is not None and row.run_s is not None
    ]
    if not known:
        return TimeSplit()
    wait_s, cpu_s, off_cpu_s = (sum(column) / len(known) for column in zip(*known, strict=True))
    return TimeSplit(len(known), wait_s, cpu_s, off_cpu_s)


def _percentiles(pool: str, rows: Sequence[EndedJob]) -> dict[_Key, _Values]:
    by_bucket = groupby(sorted(rows, key=lambda row: row.bucket), key=lambda row: row.bucket)
    return {(bucket, pool): _percentiles_of(list(group)) for bucket, group in by_bucket}


def _percentiles_of(rows: Sequence[EndedJob]) -> _Values:
    waits, runs = [row.wait_s for row in rows], [row.run_s for row in rows]
    return {
        "run_p50_s": quantile(runs, 0.5),
        "run_p95_s": supported_quantile(runs, 0.95),
        "wait_p50_s": quantile(waits, 0.5),
        "wait_p95_s": supported_quantile(waits, 0.95),
    }


def _rates(
    pool: str, counts: Sequence[Ended], window: Window, first: int, now: datetime
) -> dict[_Key, _Values]:
    """Return the jobs per minute of each bucket, 0 if none ended; the current bucket counts once half over."""
    done = {count.bucket: count.succeeded + count.failed for count in counts}
    last, into_it_s = divmod(int(now.timestamp()), window.bucket_s)
    rates: dict[_Key, _Values] = {}
    if any(done.values()):
        rates = {
            (bucket, pool): {"per_minute": done.get(bucket, 0) * 60 / window.bucket_s}
            for bucket in range(first, last)
        }
    if last in done and into_it_s > window.bucket_s / 2:
        rates[last, pool] = {"per_minute": done[last] * 60 / into_it_s}
    return rates


def _backlogs(window: Window, buckets: range) -> dict[_Key, _Values]:
    values: dict[_Key, _Values] = {}
    for pool in all_pools():
        within = "pool = %s AND at >= since AND at < until"
        found = by_bucket.aggregates(
            PoolSample, window.bucket_s, buckets, "AVG(queued), MAX(queued)", within, pool
        )
        for bucket, (mean, most) in found.items():
            if most is not None:
                values[bucket, pool] = {"queued": float(mean), "queued_max": most}
    return values


def _points(window: Window, values: Mapping[_Key, _Values]) -> Iterator[PoolPoint]:
    for (bucket, pool), of_point in sorted(values.items()):
        yield PoolPoint(datetime.fromtimestamp(bucket * window.bucket_s, UTC), pool, **of_point)  # type: ignore[arg-type]
