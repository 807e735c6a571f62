"""When the jobs of a batch come: all at once, as others end (closed loop), or at a fixed rate (open loop).

Jobs are stored when they are due, so that the ledger alone says how far a batch is: whoever coordinates goes on.
"""

import math
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import Count, Q
from django.utils import timezone

from poolwise.lifecycle import back_pressure, pauses, publishing, submission
from poolwise.models import LIVE, Batch, Comparison, Job

#: What a calibration batch runs, whatever the comparison's own job is.
NO_OP = "endings.succeed"
_PUBLISH_BUDGET_S = 10.0
#: A slot of a pool that is to be warm runs so many jobs.
_WARMUP_JOBS_A_SLOT = 2
_ON_TIME_S = 2.0
_ON_TIME_A_JOB_S = 0.01


class Counted(NamedTuple):
    """How far a batch is."""

    made: int
    live: int


def definition_of(batch: Batch) -> str:
    """Return the name of what the jobs of a batch run."""
    return NO_OP if batch.role == Batch.Role.CALIBRATION else batch.comparison.definition


def delay_reason(batch: Batch) -> str:
    """Return what keeps the jobs of a batch from beginning on purpose: a switch, or a full queue; empty if nothing."""
    if why := pauses.paused_now().reason(batch.pool, definition_of(batch)):
        return why
    if batch.released_at is None and not back_pressure.room(batch.pool):
        return f"The queue of {batch.pool} is full (JOB_MAX_QUEUED): the batch waits until there is room."
    return ""


def copies_of(comparison: Comparison, batch: Batch) -> int:
    """Return how many jobs a batch has; a warm-up needs no more than touch each slot."""
    if batch.role == Batch.Role.WARMUP and batch.slots:
        return min(comparison.copies, _WARMUP_JOBS_A_SLOT * batch.slots)
    return comparison.copies


def count(batch: Batch) -> Counted:
    """Return how many jobs of a batch there are, and how many of them have not ended."""
    found = (
        Job.objects.filter(batch=batch)
        .order_by()
        .aggregate(made=Count("id"), live=Count("id", filter=Q(state__in=LIVE)))
    )
    return Counted(**found)


def is_over(comparison: Comparison, batch: Batch, counted: Counted) -> bool:
    """Return whether every job of a released batch has come and ended; of a void one, those that came."""
    return not counted.live and (bool(batch.void_reason) or counted.made >= copies_of(comparison, batch))


def _has_arrival_rate(comparison: Comparison, batch: Batch) -> bool:
    return comparison.arrival_rate_per_s is not None and batch.role == Batch.Role.MEASURED


def missing(comparison: Comparison, batch: Batch, counted: Counted, *, now: datetime) -> int:
    """Return how many jobs are due now and not there yet."""
    left = copies_of(comparison, batch) - counted.made
    if batch.void_reason or batch.released_at is None:
        return 0
    if batch.role != Batch.Role.MEASURED:
        return left
    if comparison.arrival_rate_per_s is not None:
        elapsed_s = max(0.0, (now - batch.released_at).total_seconds())
        arrived = 1 + math.floor(elapsed_s * comparison.arrival_rate_per_s)
        return max(0, min(left, arrived - counted.made))
    if comparison.in_flight is not None:
        return max(0, min(left, comparison.in_flight - counted.live))
    return left


class FeedTiming(NamedTuple):
    """How soon a batch that is measured wants the coordinator again."""

    #: Seconds until a job of an open loop is due; None where no open loop runs or all have come.
    arrival_s: float | None = None
    #: A closed loop runs: each job that ends makes room for another.
    by_endings: bool = False


def feed_timing() -> FeedTiming | None:
    """Return how soon the jobs of the batch that is measured are due; None where none is."""
    batch = (
        Batch.objects.filter(
            comparison__state=Comparison.State.RUNNING,
            role=Batch.Role.MEASURED,
            released_at__isnull=False,
            finished_at=None,
            void_reason="",
        )
        .order_by()
        .select_related("comparison")
        .first()
    )
    if batch is None or batch.released_at is None:
        return None
    rate_per_s = batch.comparison.arrival_rate_per_s
    if rate_per_s is None:
        return FeedTiming(by_endings=batch.comparison.in_flight is not None)
    made = Job.objects.filter(batch=batch).count()
    if made >= batch.comparison.copies:
        return FeedTiming()
    due = batch.released_at + timedelta(seconds=made / rate_per_s)
    return FeedTiming(arrival_s=max(0.0, (due - timezone.now()).total_seconds()))


def store(comparison: Comparison, batch: Batch) -> list[Job]:
    """Store the jobs that are due; call it in the transaction that holds the comparison's row. Raise as `submit`."""
    copies = missing(comparison, batch, count(batch), now=timezone.now())
    if copies < 1:
        return []
    is_no_op = batch.role == Batch.Role.CALIBRATION
    return Job.objects.bulk_create(
        submission.prepare(
            definition_of(batch),
            {} if is_no_op else {**comparison.params, **(batch.params or {})},
            pool=batch.pool,
            copies=copies,
            user=comparison.user,
            request_id=f"comparison-{comparison.pk.hex[:12]}",
            batch=batch,
        ),
        batch_size=500,
    )


def send(jobs: list[Job]) -> None:
    """Publish what was stored; what the broker does not take is published later."""
    if jobs:
        publishing.publish(jobs, budget_s=_PUBLISH_BUDGET_S)


def feed(comparison: Comparison, batch: Batch, counted: Counted) -> int:
    """Store and publish the jobs of a released batch that are due by now; return how many. Raise as `submit`."""
    if missing(comparison, batch, counted, now=timezone.now()) < 1:
        return 0
    with transaction.atomic():
        # The row is locked from here on: whoever cancels now finds the jobs, and no other coordinator adds any.
        running = Comparison.objects.filter(pk=comparison.pk, state=Comparison.State.RUNNING)
        if not running.update(state=Comparison.State.RUNNING):
            return 0
        jobs = store(comparison, batch)
    send(jobs)
    return len(jobs)


def lateness_s(comparison: Comparison, batch: Batch) -> float:
    """Return by how many seconds the latest job came after it was due: its coordinator or the broker was away."""
    jobs = list(
        Job.objects.filter(batch=batch)
        .order_by("created_at")
        .values_list("created_at", "published_at", "finished_at", "attempt")
    )
    due = _due_times(comparison, batch, [finished for _, _, finished, _ in jobs])
    late = [created - at for (created, *_), at in zip(jobs, due, strict=False)]
    late += [published - created for created, published, _, attempt in jobs if published and attempt == 1]
    return max((delay.total_seconds() for delay in late), default=0.0)


def _due_times(comparison: Comparison, batch: Batch, ends: list[datetime | None]) -> list[datetime]:
    if batch.released_at is None:
        return []
    if _has_arrival_rate(comparison, batch):
        rate = comparison.arrival_rate_per_s or 1.0
        return [batch.released_at + timedelta(seconds=number / rate) for number in range(len(ends))]
    if comparison.in_flight is not None and batch.role == Batch.Role.MEASURED:
        return [batch.released_at] * comparison.in_flight + sorted(end for end in ends if end is not None)
    return [batch.released_at] * len(ends)


def is_late(late_s: float, copies: int) -> bool:
    """Return whether the jobs came too late for their batch to count."""
    return late_s > _ON_TIME_S + _ON_TIME_A_JOB_S * copies
