"""What makes a block count for nothing, and the block that takes its place."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from django.db.models import F, Q

from jobs.comparisons import feeding, probes
from jobs.heartbeats import WorkerBeat
from jobs.models import AuditEntry, Block, Job, State, Switch
from jobs.stream import Ending
from jobs.submission import cancel

log = structlog.get_logger(__name__)
#: After so many void blocks of one pool the comparison ends.
MAX_VOIDS_A_POOL = 3
_LOST = "WorkerLost"
#: Beyond any position, to move blocks out of the way of the unique constraint.
_ASIDE = 1_000_000


def fault_of_jobs(block: Block) -> str:
    """Return what happened to jobs of the block that must not; empty if nothing did."""
    jobs = Job.objects.filter(block=block).order_by()
    if cancelled := jobs.filter(Q(state=State.CANCELLED) | Q(cancel_requested_at__isnull=False)).count():
        return f"{cancelled} of its jobs were cancelled."
    lost = jobs.filter(attempt=1, error_type=_LOST).count()
    lost += sum(
        any(attempt.get("ending") == Ending.LOST for attempt in history) or error_type == _LOST
        for history, error_type in jobs.filter(attempt__gt=1).values_list("history", "error_type")
    )
    return f"{lost} of its jobs lost the process that ran them." if lost else ""


def fault_of_workers(probe: Mapping[str, Any], workers: Sequence[WorkerBeat], run_id: str | None) -> str:
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


def fault_of_switches(block: Block) -> str:
    """Return what was held since the release, if only for a moment; empty if nothing. Its jobs' waits are not the pool's."""
    targets = {
        f"{Switch.Kind.POOL} {block.pool}": f"The pool {block.pool}",
        f"{Switch.Kind.DEFINITION} {(name := feeding.definition_of(block))}": f"The definition {name}",
    }
    act = AuditEntry.objects.filter(
        action__in=("pause", "drain"), target__in=targets, at__gte=block.released_at
    ).first()
    return f"{targets[act.target]} was paused or drained while it ran." if act else ""


def fault_of_timing(late_s: float, copies: int) -> str:
    """Return whether jobs came too late; empty if they did not."""
    if not feeding.is_late(late_s, copies):
        return ""
    return f"Its jobs were published up to {late_s:.1f} s late: the coordinator or the broker was away."


def find(block: Block, up: Mapping[str, Sequence[WorkerBeat]] | None) -> str:
    """Return what disturbed a released block; empty if nothing did. `up` is None while Redis is away."""
    fault = fault_of_switches(block) or fault_of_jobs(block)
    if not fault and up is not None:
        fault = fault_of_workers(block.probe, up.get(block.pool, []), probes.redis_run_id())
    return fault


def void(block: Block, reason: str) -> None:
    """Let a block count for nothing and cancel what lives of it; it ends when its last job has."""
    block.void_reason = reason[:300]
    if Block.objects.filter(pk=block.pk, finished_at=None, void_reason="").update(
        void_reason=block.void_reason
    ):
        log.warning("a block is void", comparison=str(block.comparison_id), pool=block.pool, reason=reason)
    for job in Job.objects.live().filter(block=block, cancel_requested_at=None):
        cancel(job, user=None)


def repeat(block: Block) -> bool:
    """Add the block once more, right behind itself; return False where its pool had too many void ones."""
    same = Block.objects.filter(comparison=block.comparison, pool=block.pool, label=block.label)
    voids = same.exclude(void_reason="")
    if voids.count() >= MAX_VOIDS_A_POOL:
        return False
    later = Block.objects.filter(comparison=block.comparison, position__gt=block.position)
    later.update(position=F("position") + _ASIDE)
    Block.objects.filter(comparison=block.comparison, position__gt=_ASIDE).update(
        position=F("position") - (_ASIDE - 1)
    )
    Block.objects.create(
        comparison=block.comparison,
        pool=block.pool,
        round=block.round,
        role=block.role,
        params=block.params,
        label=block.label,
        wanted_slots=block.wanted_slots,
        position=block.position + 1,
    )
    return True


def reason_of_end(block: Block) -> str:
    """Return why a comparison ends whose pool had too many void blocks."""
    return f"{MAX_VOIDS_A_POOL} blocks of {block.arm} were void. The last: {block.void_reason}"
