"""How many jobs of a comparison have ended, and what it waits for."""

from typing import Any, TypedDict

from django.db.models import Count, Q

from poolwise.lab.feed import copies_of, delay_reason
from poolwise.lab.run import LIVE, open_batch, unserved
from poolwise.lifecycle import heartbeats
from poolwise.models import ENDED, Comparison, Job, JobState
from poolwise.reports import REDIS_AWAY, no_coordinator, no_worker
from poolwise.support import BrokerUnavailable


class PoolProgress(TypedDict):
    """Jobs of one variant; `note` is what its batch waits for, or empty."""

    planned: int
    begun: int
    ended: int
    note: str


def progress(comparison: Comparison) -> dict[str, PoolProgress]:
    """Return, per variant, how many jobs are planned, started and ended; a repeated batch counts once."""
    batches = list(comparison.batches.order_by("position"))
    valid = [batch for batch in batches if not batch.void_reason]
    if comparison.state == Comparison.State.CANCELLED:
        valid = batches
    counts = (
        Job.objects.filter(batch__in=valid)
        .order_by()
        .values("batch__pool", "batch__label")
        .annotate(
            begun=Count("id", filter=~Q(state=JobState.QUEUED)), ended=Count("id", filter=Q(state__in=ENDED))
        )
    )
    by_variant: dict[str, Any] = {row["batch__label"] or row["batch__pool"]: row for row in counts}
    waiting, note = waits_for(comparison)
    by_name: dict[str, PoolProgress] = {}
    for batch in batches:
        row = by_variant.get(batch.variant, {})
        so_far = by_name.setdefault(
            batch.variant,
            PoolProgress(
                planned=0,
                begun=row.get("begun", 0),
                ended=row.get("ended", 0),
                note=note if batch.pool == waiting else "",
            ),
        )
        if batch in valid or batch.finished_at is None:
            so_far["planned"] += copies_of(comparison, batch)
    return by_name


def waits_for(comparison: Comparison) -> tuple[str, str]:
    """Return the pool of the next batch, and what the batch waits for; empty if it runs."""
    batch = open_batch(comparison) if comparison.state in LIVE else None
    if batch is None:
        return "", ""
    if reason := delay_reason(batch):
        return batch.pool, reason
    if batch.void_reason:
        return batch.pool, f"The batch is invalid and will be repeated. {batch.void_reason}"
    others = Comparison.objects.filter(state=Comparison.State.RUNNING).exclude(pk=comparison.pk)
    if comparison.state == Comparison.State.PLANNED and others.exists():
        return batch.pool, "Waiting for another comparison to finish."
    try:
        up, coordinated = heartbeats.pools_up(), heartbeats.coordinator_is_up()
    except BrokerUnavailable:
        return batch.pool, REDIS_AWAY.problem
    if not coordinated:
        return batch.pool, no_coordinator().problem
    for pool in unserved(comparison, up) or [batch.pool]:
        if pool not in up:
            return pool, str(no_worker(pool))
    slots = sum(worker.slots for worker in up[batch.pool])
    if batch.released_at is None and batch.wanted_slots not in (None, slots):
        return batch.pool, f"Setting the slots of {batch.pool} to {batch.wanted_slots}."
    return batch.pool, ""
