"""The figures of a comparison as a table for a terminal."""

from collections.abc import Mapping, Sequence

from poolwise.lab import SweepPoint, VariantFigures
from poolwise.models import Comparison
from poolwise.support import percent, rate, seconds

_HEADINGS = (
    "pool", "slots", "jobs", "median run", "p95 run", "wait p50", "jobs/s", "speed-up", "on CPU", "failed",
)  # fmt: skip


def comparison_table(
    comparison: Comparison, pools: Sequence[VariantFigures], *, at_most_slots: bool = False
) -> str:
    """Return a title and a table with a row per pool; the speed-up is against the slowest pool."""
    rows = [_HEADINGS, *(_row(pool) for pool in pools)]
    return "\n".join([_title(comparison) + ", at the maximum slots" * at_most_slots, *aligned(rows)])


def _title(comparison: Comparison) -> str:
    params = ", ".join(f"{name}={value!r}" for name, value in comparison.shown_params.items())
    return f"{comparison.definition}({params}), {comparison.size}"


def sweep_table(sweep: Mapping[str, Sequence[SweepPoint]]) -> str:
    """Return a table with a row per pool and number of slots; the knee is marked."""
    rows = [
        (
            pool,
            str(point.slots),
            "–" if point.jobs_per_s is None else rate(point.jobs_per_s),
            seconds(point.p95_s),
            "← knee" if point.is_knee else "",
        )
        for pool, points in sweep.items()
        for point in points
    ]
    head = ("pool", "slots", "jobs/s", "p95 to finished", "")
    return "\n".join(line.rstrip() for line in aligned([head, *rows]))


def _row(pool: VariantFigures) -> tuple[str, ...]:
    waits = (pool.broker_wait_s.p50, pool.worker_wait_s.p50)
    wait_s = None if None in waits else sum(wait or 0.0 for wait in waits)
    is_plain = pool.name == pool.model or pool.pool != pool.name
    return (
        pool.name if is_plain else f"{pool.name} ({pool.model})",
        str(pool.slots),
        str(pool.jobs),
        seconds(pool.run_s.p50),
        seconds(pool.run_s.p95),
        seconds(wait_s),
        "–" if pool.jobs_per_s is None else rate(pool.jobs_per_s),
        "–" if pool.speed_up is None else f"{pool.speed_up:.1f}×",
        percent(pool.cpu_share),
        str(pool.failed),
    )


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines under headings and a rule: the first column left-aligned, the others right-aligned."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    return [lines[0], "─" * len(lines[0]), *lines[1:]]
