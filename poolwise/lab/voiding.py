"""What makes a batch count for nothing, and the batch that takes its place."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from django.db.models import F, Q

from poolwise.lab import feed, probes
from poolwise.lifecycle import heartbeats, stream, submission
from poolwise.models import AuditEntry, Batch, Job, JobState, Pause

log = structlog.get_logger(__name__)
#: After so many void batches of one pool the comparison ends.
MAX_VOIDS_A_POOL = 3
_LOST = "WorkerLost"
#: Beyond any position, to move batches out of the way of the unique constraint.
_ASIDE = 1_000_000


def fault_of_jobs(batch: Batch) -> str:
    """Return what happened to jobs of the batch that must not; empty if nothing did."""
    jobs = Job.objects.filter(batch=batch).order_by()
    if cancelled := jobs.filter(Q(state=JobState.CANCELLED) | Q(cancel_requested_at__isnull=False)).count():
        return f"{cancelled} of its jobs were cancelled."
    lost = jobs.filter(attempt=1, error_type=_LOST).count()
    lost += sum(
        any(attempt.get("ending") == stream.Ending.LOST for attempt in history) or error_type == _LOST
        for history, error_type in jobs.filter(attempt__gt=1).values_list("history", "error_type")
    )
    return f"{lost} of its jobs lost the process that ran them." if lost else ""


def fault_of_workers(
    probe: Mapping[str, Any], workers: Sequence[heartbeats.WorkerHeartbeat], run_id: str | None
) -> str:
    """Return how the pool's workers or Redis differ from those of the release; empty if they do not."""
    release = probe.get("release", {})
    before = {worker["name"] for worker in release.get("workers", ())}
    now = {worker.name for worker in workers}
    if gone := sorted(before - now):
        return f"The worker {gone[0]} went away."
    if new := sorted(now - before):
        return f"The worker {new[0]} joined."
    if run_id and release.get("redis_run_id") not in (None, run_id):
        return "Redis was restarted."
    return ""


def fault_of_pauses(batch: Batch) -> str:
    """Return what was held since the release, if only for a moment; empty if nothing. Its jobs' waits are not the pool's."""
    targets = {
        f"{Pause.Kind.POOL} {batch.pool}": f"The pool {batch.pool}",
        f"{Pause.Kind.DEFINITION} {(name := feed.definition_of(batch))}": f"The definition {name}",
    }
    entry = AuditEntry.objects.filter(
        action__in=("pause", "drain"), target__in=targets, at__gte=batch.released_at
    ).first()
    return f"{targets[entry.target]} was paused or drained while it ran." if entry else ""


def fault_of_timing(late_s: float, copies: int) -> str:
    """Return whether jobs came too late; empty if they did not."""
    if not feed.is_late(late_s, copies):
        return ""
    return f"Its jobs were published up to {late_s:.1f} s late: the coordinator or the broker was away."


def find(batch: Batch, up: Mapping[str, Sequence[heartbeats.WorkerHeartbeat]] | None) -> str:
    """Return what disturbed a released batch; empty if nothing did. `up` is None while Redis is away."""
    fault = fault_of_pauses(batch) or fault_of_jobs(batch)
    if not fault and up is not None:
        fault = fault_of_workers(batch.probe, up.get(batch.pool, []), probes.redis_run_id())
    return fault


def void(batch: Batch, reason: str) -> None:
    """Let a batch count for nothing and cancel what lives of it; it ends when its last job has."""
    batch.void_reason = reason[:300]
    if Batch.objects.filter(pk=batch.pk, finished_at=None, void_reason="").update(
        void_reason=batch.void_reason
    ):
        log.warning("a batch is void", comparison=str(batch.comparison_id), pool=batch.pool, reason=reason)
    for job in Job.objects.live().filter(batch=batch, cancel_requested_at=None):
        submission.cancel(job, user=None)


def repeat(batch: Batch) -> bool:
    """Add the batch once more, right behind itself; return False where its pool had too many void ones."""
    same = Batch.objects.filter(comparison=batch.comparison, pool=batch.pool, label=batch.label)
    voids = same.exclude(void_reason="")
    if voids.count() >= MAX_VOIDS_A_POOL:
        return False
    later = Batch.objects.filter(comparison=batch.comparison, position__gt=batch.position)
    later.update(position=F("position") + _ASIDE)
    Batch.objects.filter(comparison=batch.comparison, position__gt=_ASIDE).update(
        position=F("position") - (_ASIDE - 1)
    )
    Batch.objects.create(
        comparison=batch.comparison,
        pool=batch.pool,
        round=batch.round,
        role=batch.role,
        params=batch.params,
        label=batch.label,
        wanted_slots=batch.wanted_slots,
        position=batch.position + 1,
    )
    return True


def reason_of_end(batch: Batch) -> str:
    """Return why a comparison ends whose pool had too many void batches."""
    return f"{MAX_VOIDS_A_POOL} batches of {batch.variant} were void. The last: {batch.void_reason}"
