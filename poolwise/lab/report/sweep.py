"""A sweep: the figures of each pool at 1, 2, 4 … slots."""

from collections.abc import Sequence

from poolwise.lab import statistics
from poolwise.lab.report.facts import Facts, MeasuredBatch, VariantRuns
from poolwise.lab.report.model import SweepPoint
from poolwise.lab.report.pools import jobs_per_s
from poolwise.models import Batch
from poolwise.support import quantile


def sweep(facts: Facts) -> dict[str, list[SweepPoint]] | None:
    """Return the points of each pool by slots, the knee marked; None without a sweep."""
    if not facts.comparison.is_sweep:
        return None
    return {name: _points(pool) for name, pool in facts.pools.items()}


def _points(pool: VariantRuns) -> list[SweepPoint]:
    by_slots: dict[int, list[MeasuredBatch]] = {}
    for batch in pool.batches:
        if batch.has_role(Batch.Role.MEASURED):
            by_slots.setdefault(batch.row.wanted_slots or batch.slots, []).append(batch)
    points = [_point(slots, by_slots[slots]) for slots in sorted(by_slots)]
    knee = statistics.knee([(float(point.slots), point.jobs_per_s or 0.0) for point in points])
    return [point.model_copy(update={"is_knee": index == knee}) for index, point in enumerate(points)]


def _point(slots: int, batches: Sequence[MeasuredBatch]) -> SweepPoint:
    return SweepPoint(
        slots=slots,
        jobs_per_s=jobs_per_s(batches),
        p95_s=quantile([run.sojourn_s for batch in batches for run in batch.runs], 0.95),
        memory_bytes=max((batch.probe.peak_memory_bytes or 0 for batch in batches), default=0) or None,
        db_connections=max((batch.probe.db_connections or 0 for batch in batches), default=0),
    )
