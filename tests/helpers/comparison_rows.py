"""Comparisons that have run, written straight into the database."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from poolwise.models import Batch, Comparison, Job, JobState

#: The seconds of five rounds on a slow pool and on a fast one.
SLOW, FAST = [1.0, 1.01, 0.99, 1.02, 1.0], [0.1, 0.101, 0.099, 0.102, 0.1]
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ENVIRONMENT = {"cores": 2, "cpu_quota": None, "code": "abc123", "prefetch": 1}


def probe(pool: str, slots: int, *, cpu_s: float = 0.2, **changes: Any) -> dict[str, Any]:
    """Return the coordinator's probe of one batch; `changes` replace fields of the worker."""
    worker = {
        "name": f"{pool}@box", "pool": pool, "pid": 7, "host": "box", "slots": slots, "memory_bytes": 60_000_000,
        "cpu_s": 1.0, "peak_memory_bytes": 61_000_000, "db_connections": 0, "is_patched": True,
        "versions": {"python": "3.13.5", "celery": "5.7.0"},
    } | changes  # fmt: skip
    later = {**worker, "cpu_s": 1.0 + cpu_s, "peak_memory_bytes": worker["peak_memory_bytes"] + 1_000_000}
    return {
        "release": {"at": 0.0, "machine_cpu_s": 10.0, "workers": [worker]},
        "busy": {"at": 10.0, "machine_cpu_s": 11.0},
        "end": {"at": 12.0, "machine_cpu_s": 11.5, "workers": [later]},
        "others": {"slot_s": 0.0, "cpu_s": 0.0},
    }


def compared(
    pools: Mapping[str, Sequence[float]],
    *,
    copies: int = 4,
    slots: int = 4,
    environment: Any = ENVIRONMENT,
    **fields: Any,
) -> Comparison:
    """Return a finished comparison; `pools` has the seconds of each round, whose jobs all ran side by side."""
    rounds = max(len(spans) for spans in pools.values())
    comparison = Comparison.objects.create(
        definition="io.wait", params={"duration_s": 0.1}, copies=copies, rounds=rounds, environment=environment,
        state=Comparison.State.FINISHED, finished_at=NOON, **fields,
    )  # fmt: skip
    for number in range(rounds):
        for pool, spans in pools.items():
            batch(comparison, pool, number + 1, spans[number], slots=slots)
    return comparison


def batch(
    comparison: Comparison,
    pool: str,
    round_: int,
    span_s: float,
    *,
    slots: int = 4,
    jobs: dict[str, Any] | None = None,
    **fields: Any,
) -> Batch:
    """Add a batch whose jobs ran side by side for `span_s` seconds each; `jobs` replaces their columns."""
    position = comparison.batches.count() + 1
    start = NOON + timedelta(seconds=100 * position)
    row = Batch.objects.create(
        **{
            "comparison": comparison, "pool": pool, "round": round_, "position": position, "slots": slots,
            "released_at": start, "finished_at": start + timedelta(seconds=span_s), "probe": probe(pool, slots),
        } | fields
    )  # fmt: skip
    columns: dict[str, Any] = {
        "definition": "io.wait", "kind": "io", "pool": pool, "state": JobState.SUCCEEDED, "published_at": start,
        "received_at": start, "started_at": start, "finished_at": start + timedelta(seconds=span_s),
        "broker_wait_s": 0.001, "worker_wait_s": 0.001, "run_s": span_s, "cpu_s": span_s / 100, "run_queue_s": 0.0,
        "gil_wait_s": 0.0, "worker": f"{pool}@box", "batch": row,
    } | (jobs or {})  # fmt: skip
    Job.objects.bulk_create(Job(**columns) for _ in range(comparison.copies))
    return row
