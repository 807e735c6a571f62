"""A sweep: what each pool came to at 1, 2, 4 … slots."""

from collections.abc import Mapping, Sequence
from typing import Any

from jobs import verdicts
from jobs.evidence.facts import Facts, Measured, Pool
from jobs.formats import count, rate
from jobs.statistics import quantile


def sweep(facts: Facts) -> dict[str, list[dict[str, Any]]] | None:
    """Return each pool's points in the order of their slots, the knee marked; None when it is no sweep."""
    if not facts.comparison.is_sweep:
        return None
    return {name: _points(pool) for name, pool in facts.pools.items()}


def _points(pool: Pool) -> list[dict[str, Any]]:
    by_slots: dict[int, list[Measured]] = {}
    for found in pool.measured:
        by_slots.setdefault(found.block.wanted_slots or found.slots, []).append(found)
    points = [_point(slots, by_slots[slots]) for slots in sorted(by_slots)]
    rates = [(float(point["slots"]), float(point["jobs_per_s"] or 0.0)) for point in points]
    knee = verdicts.knee(rates)
    return [{**point, "is_knee": index == knee} for index, point in enumerate(points)]


def _point(slots: int, blocks: Sequence[Measured]) -> dict[str, Any]:
    spans = [(len(found.runs), found.figures["makespan_s"]) for found in blocks]
    return {
        "slots": slots,
        "jobs_per_s": quantile([jobs / span_s for jobs, span_s in spans if span_s], 0.5),
        "p95_s": quantile([sojourn_s(run) for found in blocks for run in found.runs], 0.95),
        "memory_bytes": max((found.probe.peak_memory_bytes or 0 for found in blocks), default=0) or None,
        "db_connections": max((found.probe.db_connections or 0 for found in blocks), default=0),
    }


def knee_sentence(facts: Facts) -> str:
    """Return what the sweep of one pool says of its slots, without a full stop; "" where nothing was swept."""
    swept = sweep(facts) or {}
    pool, points = next(iter(swept.items()), ("", []))
    told = [point for point in points if point["jobs_per_s"]]
    if len(swept) != 1 or not told:
        return ""
    size = f"{count(facts.comparison.rounds, 'round')} of {facts.comparison.copies}"
    return f"{_told(pool, told)} ({size})"


def _told(pool: str, points: Sequence[Mapping[str, Any]]) -> str:
    best = max(points, key=lambda point: float(point["jobs_per_s"]))
    most = f"at most {rate(best['jobs_per_s'])} jobs/s, at {best['slots']}"
    knee = next((point for point in points if point["is_knee"]), None)
    if knee is None:
        return f"{pool} has no knee from {points[0]['slots']} to {count(points[-1]['slots'], 'slot')}: {most}"
    at = f"{count(knee['slots'], 'slot')}: {rate(knee['jobs_per_s'])} jobs/s"
    return f"The knee of {pool} is at {at}, {'the most' if knee is best else most}"


def sojourn_s(run: Any) -> float | None:
    """Return the seconds from published to finished."""
    parts = (run.broker_wait_s, run.worker_wait_s, run.run_s)
    return None if None in parts else float(sum(parts))
