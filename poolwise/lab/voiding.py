"""What makes a batch void, so that it does not count, and the batch that repeats it."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from django.db.models import F, Q

from poolwise.lab import feed, probes
from poolwise.lifecycle import cancellation, heartbeats, stream
from poolwise.models import AuditEntry, Batch, Job, JobState, Pause
from poolwise.support import count

log = structlog.get_logger(__name__)
#: The comparison ends after this many void batches of one variant.
MAX_VOID_BATCHES = 3
_LOST = "WorkerLost"
#: Beyond any position: batches move there first, because positions are unique.
_ASIDE = 1_000_000


def fault_of_jobs(batch: Batch) -> str:
    """Return that jobs of the batch were cancelled or lost their process; empty if none were."""
    jobs = Job.objects.filter(batch=batch).order_by()
    if cancelled := jobs.filter(Q(state=JobState.CANCELLED) | Q(cancel_requested_at__isnull=False)).count():
        return f"{cancelled} of its jobs were cancelled."
    lost = jobs.filter(attempt=1, error_type=_LOST).count()
    lost += sum(
        any(attempt.get("ending") == stream.Ending.LOST for attempt in history) or error_type == _LOST
        for history, error_type in jobs.filter(attempt__gt=1).values_list("history", "error_type")
    )
    return f"The worker process of {count(lost, 'job')} died." if lost else ""


def fault_of_workers(
    probe: Mapping[str, Any], workers: Sequence[heartbeats.WorkerHeartbeat], run_id: str | None
) -> str:
    """Return how the workers or Redis changed since the release; empty if they did not."""
    release = probe.get("release", {})
    before = {worker["name"] for worker in release.get("workers", ())}
    now = {worker.name for worker in workers}
    if gone := sorted(before - now):
        return f"The worker {gone[0]} left."
    if new := sorted(now - before):
        return f"The worker {new[0]} joined."
    if run_id and release.get("redis_run_id") not in (None, run_id):
        return "Redis was restarted."
    return ""


def fault_of_pauses(batch: Batch) -> str:
    """Return what was paused since the release, however briefly; empty if nothing: pauses make jobs wait longer."""
    targets = {
        f"{Pause.Kind.POOL} {batch.pool}": f"The pool {batch.pool}",
        f"{Pause.Kind.DEFINITION} {(name := feed.definition_of(batch))}": f"The definition {name}",
    }
    entry = AuditEntry.objects.filter(
        action__in=("pause", "drain"), target__in=targets, at__gte=batch.released_at
    ).first()
    return f"{targets[entry.target]} was paused or drained while it ran." if entry else ""


def fault_of_timing(late_s: float, copies: int) -> str:
    """Return how late jobs were published; empty if they were on time."""
    if not feed.is_late(late_s, copies):
        return ""
    return f"Its jobs were published up to {late_s:.1f} s late: coordinator or broker unavailable."


def find(batch: Batch, up: Mapping[str, Sequence[heartbeats.WorkerHeartbeat]] | None) -> str:
    """Return what disturbed a released batch; empty if nothing did. `up` is None while Redis is unavailable."""
    fault = fault_of_pauses(batch) or fault_of_jobs(batch)
    if not fault and up is not None:
        fault = fault_of_workers(batch.probe, up.get(batch.pool, []), probes.redis_run_id())
    return fault


def void(batch: Batch, reason: str) -> None:
    """Mark a batch as void and cancel its live jobs; it ends with its last job."""
    batch.void_reason = reason[:300]
    if Batch.objects.filter(pk=batch.pk, finished_at=None, void_reason="").update(
        void_reason=batch.void_reason
    ):
        log.warning("batch void", comparison=str(batch.comparison_id), pool=batch.pool, reason=reason)
    for job in Job.objects.live().filter(batch=batch, cancel_requested_at=None):
        cancellation.cancel(job)


def repeat(batch: Batch) -> bool:
    """Add the batch again, right after itself; return False where its variant had too many void ones."""
    same = Batch.objects.filter(comparison=batch.comparison, pool=batch.pool, label=batch.label)
    voids = same.exclude(void_reason="")
    if voids.count() >= MAX_VOID_BATCHES:
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
        copies=batch.copies,
        params=batch.params,
        label=batch.label,
        wanted_slots=batch.wanted_slots,
        position=batch.position + 1,
    )
    return True


def reason_of_end(batch: Batch) -> str:
    """Return why a comparison with too many void batches ends."""
    return f"{MAX_VOID_BATCHES} batches of {batch.variant} were invalid; last reason: {batch.void_reason}"
