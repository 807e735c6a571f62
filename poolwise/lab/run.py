"""Run comparisons: one at a time, batch by batch, never two pools at once.

Each step depends only on the database and the workers' heartbeats, so any coordinator can take the next one.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import structlog
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from poolwise.lab import feed, fresh, probes, rounds, sizing, slots, voiding, yardstick
from poolwise.lab.report import pairs
from poolwise.lab.report.runs import makespan_s, read_runs
from poolwise.lifecycle import cancellation, environment, heartbeats
from poolwise.models import Batch, Comparison, Job, JobState, audit
from poolwise.pools import get_pool
from poolwise.support import BrokerUnavailable, PoolwiseError, storable

if TYPE_CHECKING:
    from django.contrib.auth.models import User

log = structlog.get_logger(__name__)
LIVE = (Comparison.State.PLANNED, Comparison.State.RUNNING)

type Workers = Mapping[str, list[heartbeats.WorkerHeartbeat]]
#: Builds the report of a comparison; returns False until it is done, and is called again.
type Freeze = Callable[[Comparison], bool | None]


def is_wanted() -> bool:
    """Return, from one cheap query, whether a comparison waits or runs, or a pool has slots to give back."""
    wanted = Q(state__in=LIVE) | Q(changed_slots__isnull=False)
    return Comparison.objects.filter(wanted).order_by().exists()


def advance(freeze: Freeze | None = None) -> int:
    """Take the next step of the comparison whose turn it is; return how many batches were released.

    Only one comparison runs at a time, the oldest first, so that none disturbs another. When its last batch has ended,
    `freeze` is called at each step until it does not return False; then the comparison is finished.
    """
    comparison = current()
    # The comparison that ended last must give the slots back before the next starts.
    if (comparison is None or comparison.state == Comparison.State.PLANNED) and not slots.restore_ended():
        return 0
    if comparison is None:
        return 0
    try:
        return _advance(comparison, freeze)
    except BrokerUnavailable:
        return 0
    except PoolwiseError as error:  # its definition or pool has gone since it was planned
        log.error("comparison cannot continue; cancelled", comparison=str(comparison.pk), error=str(error))
        stop(comparison, reason=str(error))
        return 0


def current() -> Comparison | None:
    """Return the comparison that runs, or else the oldest that is planned."""
    live = Comparison.objects.filter(state__in=LIVE)
    return live.order_by("-state", "created_at", "id").first()  # «running» before «planned»


def open_batch(comparison: Comparison) -> Batch | None:
    """Return the first batch that has not ended."""
    return comparison.batches.filter(finished_at=None).order_by("position").first()


def unserved(comparison: Comparison, up: Workers) -> list[str]:
    """Return the pools without a worker; a planned comparison waits for all, as a worker's start disturbs batches."""
    if comparison.state != Comparison.State.PLANNED:
        return []
    pools = comparison.batches.order_by("position").values_list("pool", flat=True)
    return [pool for pool in dict.fromkeys(pools) if pool not in up]


def to_renew(comparison: Comparison) -> list[str]:
    """Return the pools whose workers must be started again now, by the command that has started them."""
    if not comparison.renew_rounds or probes.open_probes(comparison):
        return []
    try:
        batch, up = open_batch(comparison), heartbeats.pools_up()
    except BrokerUnavailable:
        return []
    return [] if batch is None else fresh.awaited(comparison, batch, up)


def _advance(comparison: Comparison, freeze: Freeze | None) -> int:
    batch = open_batch(comparison)
    if batch is not None and batch.released_at is not None:
        counted = feed.count(batch)
        if feed.feed(comparison, batch, counted) or not feed.is_over(comparison, batch, counted):
            return 0
        _finish(comparison, batch)
        comparison.refresh_from_db()
        if comparison.state not in LIVE:
            return 0
        batch = open_batch(comparison)
    open_probes = probes.open_probes(comparison)
    up = heartbeats.pools_up() if open_probes or batch is not None else {}
    open_probes = probes.close(open_probes, up) if open_probes else []
    if batch is None:
        if rounds.add_round(comparison):
            return _advance(comparison, freeze) if open_batch(comparison) else 0
        return 0 if open_probes else _close(comparison, freeze)
    if any(ended.pool == batch.pool for ended in open_probes):
        return 0  # its heartbeats must be read before the pool runs another batch
    if fresh.awaited(comparison, batch, up):
        return 0
    return int(release(comparison, batch, up))


def release(comparison: Comparison, batch: Batch, up: Workers) -> bool:
    """Release a batch whose pool is ready: claim it and store its first jobs in one transaction, then publish them."""
    get_pool(batch.pool)
    if feed.delay_reason(batch):
        return False
    workers = up.get(batch.pool, [])
    if not workers or unserved(comparison, up) or not slots.reach(comparison, batch, workers):
        return False
    if not comparison.environment:
        comparison.environment = environment.capture()
    # The yardstick first: what it uses of the CPU does not count as used during the batch.
    yardstick_s = yardstick.measure(workers)
    probe = {**batch.probe, "yardstick_s": yardstick_s, "release": probes.moment(workers)}
    now, live_slots = timezone.now(), sum(worker.slots for worker in workers)
    with transaction.atomic():
        # The row is locked from here on: a cancellation sees the new jobs.
        live = Comparison.objects.filter(pk=comparison.pk, state__in=LIVE).update(
            state=Comparison.State.RUNNING, environment=comparison.environment
        )
        if not live or not Batch.objects.filter(pk=batch.pk, released_at=None).update(
            released_at=now, slots=live_slots, probe=probe
        ):
            return False  # it was cancelled, or another coordinator released it
        batch.released_at, batch.slots, batch.probe = now, live_slots, probe
        jobs = feed.store(comparison, batch)
    feed.send(jobs)
    log.info(
        "batch released", comparison=str(comparison.pk), pool=batch.pool, round=batch.round, role=batch.role
    )
    return True


def _finish(comparison: Comparison, batch: Batch) -> None:
    """End a batch; repeat it if it is void, or end the comparison after too many void ones."""
    now = timezone.now()
    batch.probe |= {
        "busy": probes.at_busy_end(),
        **_disturbances(comparison, batch),
        **_measured(comparison, batch),
    }
    if not batch.void_reason:
        late = voiding.fault_of_timing(batch.probe["late_s"], feed.copies_of(comparison, batch))
        batch.void_reason = voiding.find(batch, _up_or_none()) or late
    with transaction.atomic():
        ended = Batch.objects.filter(pk=batch.pk, finished_at=None).update(
            finished_at=now, probe=batch.probe, void_reason=batch.void_reason
        )
        goes_on = not ended or not batch.void_reason or voiding.repeat(batch)
    if ended and batch.void_reason:
        log.warning("void batch ended", pool=batch.pool, reason=batch.void_reason, is_repeated=goes_on)
    if not goes_on:
        stop(comparison, reason=voiding.reason_of_end(batch))


def _disturbances(comparison: Comparison, batch: Batch) -> dict[str, Any]:
    now = timezone.now()
    others = probes.others(batch, batch.released_at or now, now)
    return {"late_s": round(feed.lateness_s(comparison, batch), 4), "others": others}


def _measured(comparison: Comparison, batch: Batch) -> dict[str, Any]:
    """Return what the next round is decided by."""
    if comparison.budget_s is None or batch.role != Batch.Role.MEASURED:
        return {}
    jobs = read_runs([batch])
    value_s = pairs.value_s(batch, jobs, comparison.arrival_rate_per_s)
    failed = sum(run.state != JobState.SUCCEEDED for run in jobs)
    took_s = makespan_s(jobs) or 0.0
    return {
        rounds.VALUE_S: value_s,
        rounds.FAILED_SHARE: failed / max(1, len(jobs)),
        rounds.AT_ONCE: sizing.mean_at_once(jobs, took_s),
    }


def _up_or_none() -> Workers | None:
    try:
        return heartbeats.pools_up()
    except BrokerUnavailable:
        return None


def watch() -> None:
    """Check the running batch: void it if something disturbed it, else update its largest figures."""
    comparison = current()
    batch = open_batch(comparison) if comparison is not None else None
    if comparison is None or batch is None or batch.released_at is None:
        return
    up = _up_or_none()
    if reason := batch.void_reason or voiding.find(batch, up):
        voiding.void(batch, reason)
    elif up is not None:
        watched = probes.watched(batch.probe, up.get(batch.pool, []))
        if watched != batch.probe.get("watched"):
            batch.probe["watched"] = watched
            Batch.objects.filter(pk=batch.pk, finished_at=None).update(probe=batch.probe)


def _close(comparison: Comparison, freeze: Freeze | None) -> int:
    if not slots.restore(comparison):
        return 0
    if freeze is not None and freeze(comparison) is False:
        return 0
    Comparison.objects.filter(pk=comparison.pk).exclude(state=Comparison.State.CANCELLED).update(
        state=Comparison.State.FINISHED, finished_at=timezone.now()
    )
    return advance(freeze)


def stop(comparison: Comparison, *, user: "User | None" = None, reason: str = "") -> None:
    """Cancel a comparison: release no more batches, cancel its live jobs; the next step gives slots back."""
    now = timezone.now()
    ended = Comparison.objects.filter(pk=comparison.pk, state__in=LIVE).update(
        state=Comparison.State.CANCELLED, finished_at=now, end_reason=storable(reason)[:300]
    )
    if ended:
        if user is not None and comparison.user_id != user.pk:
            audit.record("cancel", f"comparison {comparison.pk}", user=user, reason=reason)
        comparison.batches.filter(released_at__isnull=False, finished_at=None).update(
            finished_at=now, void_reason="The comparison was cancelled."
        )
    for job in Job.objects.live().filter(batch__comparison=comparison):
        cancellation.cancel(job)
