"""When the jobs of a batch are published: all at once, as others end (closed loop), or at a fixed rate (open loop).

Jobs are stored when they are due, so the database alone shows how far a batch is and any coordinator can continue it.
"""

import math
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q
from django.utils import timezone

from poolwise.lab import sizing
from poolwise.lifecycle import back_pressure, pauses, publishing, submission
from poolwise.models import LIVE, Batch, Comparison, Job

#: The job of a calibration batch.
NO_OP = "endings.succeed"
_PUBLISH_BUDGET_S = 10.0
_WARMUP_JOBS_PER_SLOT = 2
_CALIBRATION_JOBS = 100
#: How late a job may be published before its batch is void.
_ON_TIME_S = 2.0
_ON_TIME_PER_JOB_S = 0.01


class Counted(NamedTuple):
    """How many jobs of a batch are stored, and how many of them have not ended."""

    made: int
    live: int


def definition_of(batch: Batch) -> str:
    """Return the name of the definition that the jobs of a batch run."""
    return NO_OP if batch.role == Batch.Role.CALIBRATION else batch.comparison.definition


def delay_reason(batch: Batch) -> str:
    """Return why the jobs of a batch must not start: paused, or a full queue; empty if nothing delays them."""
    if why := pauses.paused_now().reason(batch.pool, definition_of(batch)):
        return why
    if batch.released_at is None and not back_pressure.room(batch.pool):
        return f"The queue of {batch.pool} is full (JOB_MAX_QUEUED); the batch waits until jobs end."
    return ""


def copies_of(comparison: Comparison, batch: Batch) -> int:
    """Return how many jobs a batch has; a warm-up has two for each slot at most, a pilot about as many."""
    if batch.copies:
        return batch.copies
    if batch.role == Batch.Role.PILOT:
        return min(settings.JOB_MAX_COPIES, _WARMUP_JOBS_PER_SLOT * (batch.slots or 1))
    if batch.role == Batch.Role.CALIBRATION and comparison.budget_s is not None:
        return min(settings.JOB_MAX_COPIES, _CALIBRATION_JOBS)
    if batch.role == Batch.Role.WARMUP and batch.slots:
        return min(comparison.copies, _WARMUP_JOBS_PER_SLOT * batch.slots)
    return comparison.copies


def count(batch: Batch) -> Counted:
    """Return how many jobs of a batch are stored, and how many of them have not ended."""
    jobs = Job.objects.filter(batch=batch).order_by()
    return Counted(**jobs.aggregate(made=Count("id"), live=Count("id", filter=Q(state__in=LIVE))))


def is_over(comparison: Comparison, batch: Batch, counted: Counted) -> bool:
    """Return whether every job of a released batch is stored and has ended; of a void one, those already stored."""
    if batch.role == Batch.Role.PILOT and not batch.void_reason:
        return not counted.live and bool(counted.made) and not _pilot_wave(batch, counted, timezone.now())
    return not counted.live and (bool(batch.void_reason) or counted.made >= copies_of(comparison, batch))


def _has_arrival_rate(comparison: Comparison, batch: Batch) -> bool:
    return comparison.arrival_rate_per_s is not None and batch.role == Batch.Role.MEASURED


def missing(comparison: Comparison, batch: Batch, counted: Counted, *, now: datetime) -> int:
    """Return how many jobs are due now and not stored yet."""
    if batch.void_reason or batch.released_at is None:
        return 0
    if batch.role == Batch.Role.PILOT:
        return _pilot_wave(batch, counted, now)
    left = copies_of(comparison, batch) - counted.made
    if batch.role != Batch.Role.MEASURED:
        return left
    if comparison.arrival_rate_per_s is not None:
        elapsed_s = max(0.0, (now - batch.released_at).total_seconds())
        arrived = 1 + math.floor(elapsed_s * comparison.arrival_rate_per_s)
        return max(0, min(left, arrived - counted.made))
    if comparison.in_flight is not None:
        return max(0, min(left, comparison.in_flight - counted.live))
    return left


def _pilot_wave(batch: Batch, counted: Counted, now: datetime) -> int:
    if counted.live or batch.released_at is None:
        return 0
    wave = sizing.next_wave(counted.made, batch.slots or 1, (now - batch.released_at).total_seconds())
    return min(wave, settings.JOB_MAX_COPIES - counted.made)


class FeedTiming(NamedTuple):
    """How soon the coordinator must publish the next job of the batch that is measured."""

    #: Seconds until a job of an open loop is due; None where no open loop runs or all are stored.
    arrival_s: float | None = None
    #: A closed loop runs: each job that ends makes room for another.
    by_endings: bool = False


def feed_timing() -> FeedTiming | None:
    """Return how soon the jobs of the batch that is measured are due; None where none is."""
    batch = (
        Batch.objects.filter(
            comparison__state=Comparison.State.RUNNING,
            role__in=(Batch.Role.MEASURED, Batch.Role.PILOT),
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
    if batch.role == Batch.Role.PILOT:
        return FeedTiming(by_endings=True)
    if rate_per_s is None:
        return FeedTiming(by_endings=batch.comparison.in_flight is not None)
    made = Job.objects.filter(batch=batch).count()
    if made >= copies_of(batch.comparison, batch):
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
    """Publish the stored jobs; those that the broker does not take are published later."""
    if jobs:
        publishing.publish(jobs, budget_s=_PUBLISH_BUDGET_S)


def feed(comparison: Comparison, batch: Batch, counted: Counted) -> int:
    """Store and publish the jobs of a released batch that are due by now; return how many. Raise as `submit`."""
    if missing(comparison, batch, counted, now=timezone.now()) < 1:
        return 0
    with transaction.atomic():
        # The row is locked from here on: a cancellation sees the new jobs, and no other coordinator adds any.
        running = Comparison.objects.filter(pk=comparison.pk, state=Comparison.State.RUNNING)
        if not running.update(state=Comparison.State.RUNNING):
            return 0
        jobs = store(comparison, batch)
    send(jobs)
    return len(jobs)


def lateness_s(comparison: Comparison, batch: Batch) -> float:
    """Return by how many seconds the latest job was published after it was due."""
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
    if batch.released_at is None or batch.role == Batch.Role.PILOT:  # the waves of a pilot have no due times
        return []
    if _has_arrival_rate(comparison, batch):
        rate = comparison.arrival_rate_per_s or 1.0
        return [batch.released_at + timedelta(seconds=number / rate) for number in range(len(ends))]
    if comparison.in_flight is not None and batch.role == Batch.Role.MEASURED:
        return [batch.released_at] * comparison.in_flight + sorted(end for end in ends if end is not None)
    return [batch.released_at] * len(ends)


def is_late(late_s: float, copies: int) -> bool:
    """Return whether the jobs were published too late for their batch to count."""
    return late_s > _ON_TIME_S + _ON_TIME_PER_JOB_S * copies
