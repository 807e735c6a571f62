"""A sweep: what each pool came to at 1, 2, 4 … slots."""

from collections.abc import Sequence

from poolwise.lab import statistics
from poolwise.lab.report.facts import Facts, MeasuredBatch, VariantRuns
from poolwise.lab.report.model import SweepPoint
from poolwise.lab.report.pools import jobs_per_s
from poolwise.models import Batch
from poolwise.support import count, quantile, rate


def sweep(facts: Facts) -> dict[str, list[SweepPoint]] | None:
    """Return each pool's points in the order of their slots, the knee marked; None when it is no sweep."""
    if not facts.comparison.is_sweep:
        return None
    return {name: _points(pool) for name, pool in facts.pools.items()}


def _points(pool: VariantRuns) -> list[SweepPoint]:
    by_slots: dict[int, list[MeasuredBatch]] = {}
    for one in pool.batches:
        if one.has_role(Batch.Role.MEASURED):
            by_slots.setdefault(one.batch.wanted_slots or one.slots, []).append(one)
    points = [_point(slots, by_slots[slots]) for slots in sorted(by_slots)]
    knee = statistics.knee([(float(point.slots), point.jobs_per_s or 0.0) for point in points])
    return [point.model_copy(update={"is_knee": index == knee}) for index, point in enumerate(points)]


def _point(slots: int, batches: Sequence[MeasuredBatch]) -> SweepPoint:
    return SweepPoint(
        slots=slots,
        jobs_per_s=jobs_per_s(batches),
        p95_s=quantile([run.sojourn_s for one in batches for run in one.runs], 0.95),
        memory_bytes=max((one.probe.peak_memory_bytes or 0 for one in batches), default=0) or None,
        db_connections=max((one.probe.db_connections or 0 for one in batches), default=0),
    )


def knee_sentence(facts: Facts) -> str:
    """Return what the sweep of one pool says of its slots, without a full stop; "" where nothing was swept."""
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
