"""A sweep: the figures of each pool at 1, 2, 4 … slots."""

from collections.abc import Sequence

from poolwise.lab import statistics
from poolwise.lab.report.facts import Facts, MeasuredBatch, VariantRuns
from poolwise.lab.report.model import SweepPoint
from poolwise.lab.report.pools import jobs_per_s
from poolwise.models import Batch
from poolwise.support import count, quantile, rate


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


def knee_sentence(facts: Facts) -> str:
    """Return the result of the sweep of one pool, without a full stop; "" without a sweep."""
    swept = sweep(facts) or {}
    pool, points = next(iter(swept.items()), ("", []))
    measured = [point for point in points if point.jobs_per_s]
    if len(swept) != 1 or not measured:
        return ""
    size = f"{count(facts.comparison.rounds, 'round')} of {facts.comparison.copies}"
    return f"{_knee_text(pool, measured)} ({size})"


def _knee_text(pool: str, points: Sequence[SweepPoint]) -> str:
    best = max(points, key=lambda point: point.jobs_per_s or 0.0)
    most = f"at most {rate(best.jobs_per_s or 0.0)} jobs/s, at {best.slots}"
    knee = next((point for point in points if point.is_knee), None)
    if knee is None:
        return f"{pool} has no knee from {points[0].slots} to {count(points[-1].slots, 'slot')}: {most}"
    at = f"{count(knee.slots, 'slot')}: {rate(knee.jobs_per_s or 0.0)} jobs/s"
    return f"The knee of {pool} is at {at}, {'the most' if knee is best else most}"
