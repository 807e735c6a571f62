"""The only writer of outcomes: fold the entries of the stream into jobs, exactly once.

An entry counts only for the current attempt of its job, and the first ending of an attempt wins. So an entry that is
recorded twice, or belongs to an older attempt, changes nothing.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from celery import states as celery_states
from django.db import transaction
from django.utils import timezone
from django_celery_results.models import TaskResult

from poolwise.lifecycle.stream import Ending, Entry, Outcome, Place, Started
from poolwise.metering import Waits
from poolwise.models import Job, JobLog, JobState
from poolwise.support import Timings, as_uuid, shown, storable, to_datetime

_ATTEMPT_DEFAULTS: dict[str, Any] = {
    name: getattr(Job._meta.get_field(name), "get_default")()  # noqa: B009 - relations have none
    for name in (
        "published_at", "received_at", "started_at", "finished_at", "broker_wait_s", "worker_wait_s", "run_s",
        "cpu_s", "off_cpu_s", "run_queue_s", "gil_wait_s", "blocked_s", "stall_s", "caused_stall_s",
        "result_bytes", "worker", "pid", "thread", "greenlet_or_task", "offloaded", "error_type", "error",
    )
}  # fmt: skip
_WRITTEN = (
    *("state", "attempt", "history", "due_at", "run_after", "recorded_at", "record_lag_s"), *_ATTEMPT_DEFAULTS
)  # fmt: skip
_STATES = {
    Ending.SUCCEEDED: JobState.SUCCEEDED,
    Ending.FAILED: JobState.FAILED,
    Ending.LOST: JobState.FAILED,
    Ending.CANCELLED: JobState.CANCELLED,
}
_CELERY_STATES = {
    JobState.SUCCEEDED: celery_states.SUCCESS,
    JobState.FAILED: celery_states.FAILURE,
    JobState.CANCELLED: celery_states.REVOKED,
    JobState.QUEUED: celery_states.RETRY,
}


@dataclass(slots=True)
class Recorded:
    """The result of recording a batch."""

    applied: int = 0
    stale: int = 0  # of an older attempt, or after the first ending
    unknown: int = 0  # of a job that is not in the database
    ended: list[Job] = field(default_factory=list)
    unwanted: list[UUID] = field(default_factory=list)  # started after they had ended

    def counts(self) -> Counter[str]:
        """Return the counts by name, for logs."""
        return Counter(applied=self.applied, stale=self.stale, unknown=self.unknown, ended=len(self.ended))


def record(entries: Iterable[Entry]) -> Recorded:
    """Fold entries into the database, in stream order and one transaction. Raise the database's errors."""
    entries = [_storable(entry) for entry in entries]
    recorded = Recorded()
    now = timezone.now()
    with transaction.atomic():
        jobs = _lock({entry.job_id for entry in entries})
        changed: dict[UUID, Job] = {}
        outcomes: dict[UUID, tuple[Job, Outcome, str]] = {}
        logs: list[JobLog] = []
        for entry in entries:
            job = jobs.get(as_uuid(entry.job_id))
            if job is None:
                recorded.unknown += 1
            elif not fold(job, entry, now=now):
                recorded.stale += 1
                if isinstance(entry, Started) and _is_unwanted(job, entry):
                    recorded.unwanted.append(job.pk)
            else:
                recorded.applied += 1
                changed[job.pk] = job
                if isinstance(entry, Outcome) and entry.ending is not Ending.PAUSED:
                    # The state now: a later entry of this batch may start the next attempt.
                    outcomes[job.pk] = (job, entry, _CELERY_STATES[JobState(job.state)])
                    logs += _log_of(entry)
        _write(changed.values())
        _write_results(outcomes.values())
        JobLog.objects.bulk_create(logs, ignore_conflicts=True)
    recorded.ended = [job for job, _, _ in outcomes.values() if job.has_ended]
    return recorded


def fold(job: Job, entry: Entry, *, now: datetime) -> bool:
    """Apply one entry to a job in memory; return whether it changed anything. Uses no database."""
    if entry.attempt != job.attempt or job.has_ended:
        return False
    if isinstance(entry, Started):
        return _fold_started(job, entry)
    if entry.ending is Ending.RELEASED:
        return _fold_released(job, entry, now=now)
    if entry.ending is Ending.PAUSED:
        return _fold_paused(job)
    if entry.ending is Ending.CANCELLED and entry.timings.started_at is None and job.state != JobState.QUEUED:
        return False  # of another message than the one that runs
    _set_place(job, entry.place)
    _set_timings(job, entry.timings)
    _set_waits(job, entry.waits)
    job.recorded_at = now
    job.record_lag_s = max(0.0, (now - job.finished_at).total_seconds()) if job.finished_at else 0.0
    job.offloaded = entry.offloaded
    job.result_bytes = len(entry.result.encode()) if entry.result is not None else 0
    job.error_type, job.error = entry.error_type[:200], entry.error
    job.due_at = None
    if _runs_again(job, entry):
        _next_attempt(job, entry, now=now)
    else:
        job.state = _STATES[entry.ending]
        if entry.ending is Ending.LOST and job.cancel_requested_at is None:
            job.error = f"{job.error} {_why_no_more(job)}"
    return True


def _why_no_more(job: Job) -> str:
    if all(past.get("ending") == Ending.LOST for past in job.history):
        return f"All {job.attempt} attempts ended so: the job is taken for poison and not tried again."
    return f"It was the last attempt of {job.max_attempts}: the job is not tried again."


def _fold_started(job: Job, entry: Started) -> bool:
    if job.state != JobState.QUEUED and not _took_over(job, entry):
        return False
    job.state = JobState.RUNNING
    job.due_at = None
    _set_place(job, entry.place)
    _set_timings(job, entry.timings)
    return True


def _took_over(job: Job, entry: Started) -> bool:
    # Two workers start the same attempt only if the first released it; its report of that may arrive late.
    at = to_datetime(entry.timings.started_at)
    is_later = job.started_at is not None and at is not None and at > job.started_at
    return job.state == JobState.RUNNING and job.worker != entry.place.worker[:200] and is_later


def _is_unwanted(job: Job, entry: Started) -> bool:
    """Return whether a start is not that of the run which ended the job: that one may be reported late or twice."""
    if not job.has_ended or job.worker != entry.place.worker[:200]:
        return job.has_ended
    at = to_datetime(entry.timings.started_at)
    return at is None or job.finished_at is None or at > job.finished_at


def _fold_released(job: Job, entry: Outcome, *, now: datetime) -> bool:
    # Only the worker that runs the job can release it: a late report of an earlier worker is ignored.
    if job.state != JobState.RUNNING or job.worker != entry.place.worker[:200]:
        return False
    for name, default in _ATTEMPT_DEFAULTS.items():
        setattr(job, name, default)
    if job.cancel_requested_at is not None:  # it must not start again
        job.state, job.finished_at, job.recorded_at = JobState.CANCELLED, now, now
        job.error_type, job.error = "Cancelled", "Cancelled while it ran; its worker was shut down."
        return True
    job.state = JobState.QUEUED
    # Its message returns to its queue; `coordinator.recovery` checks that it arrived.
    job.due_at = None
    return True


def _fold_paused(job: Job) -> bool:
    if job.state != JobState.QUEUED:
        return False
    # Its message is gone. The job is published again once it is resumed, in the order of submission.
    job.due_at = job.created_at
    return True


def _runs_again(job: Job, outcome: Outcome) -> bool:
    is_retried = outcome.ending is Ending.FAILED and outcome.retry_in_s is not None
    return (
        (is_retried or outcome.ending is Ending.LOST)
        and job.attempt < job.max_attempts
        and job.cancel_requested_at is None
    )


def _next_attempt(job: Job, outcome: Outcome, *, now: datetime) -> None:
    job.history = [*job.history, summary_of(job, outcome)]
    for name, default in _ATTEMPT_DEFAULTS.items():
        setattr(job, name, default)
    job.recorded_at = job.record_lag_s = None
    job.state = JobState.QUEUED
    job.attempt += 1
    job.due_at = now + timedelta(seconds=outcome.retry_in_s or 0.0)
    if outcome.retry_in_s:  # up to a day, in which it waits for no slot
        job.run_after = job.due_at


def summary_of(job: Job, outcome: Outcome) -> dict[str, object]:
    """Return the entry of `Job.history` for an attempt that did not end the job."""
    return {
        "attempt": outcome.attempt,
        "ending": outcome.ending.value,
        "error_type": outcome.error_type,
        "error": outcome.error[:2_000],
        "worker": outcome.place.worker,
        "pid": outcome.place.pid,
        **outcome.timings.as_dict(),
        **asdict(outcome.waits),
        "record_lag_s": job.record_lag_s,
    }


def _storable(entry: Entry) -> Entry:
    place = Place(
        storable(entry.place.worker),
        entry.place.pid,
        *map(storable, (entry.place.thread, entry.place.greenlet_or_task)),
    )
    if isinstance(entry, Started):
        return replace(entry, place=place)
    return replace(
        entry,
        place=place,
        error_type=storable(entry.error_type),
        error=storable(entry.error),
        traceback=storable(entry.traceback),
        log=tuple((at, level, storable(text)) for at, level, text in entry.log),
    )


def _set_place(job: Job, place: Place) -> None:
    job.worker, job.pid = place.worker[:200], place.pid or None
    job.thread, job.greenlet_or_task = place.thread[:100], place.greenlet_or_task[:100]


def _set_timings(job: Job, timings: Timings) -> None:
    job.published_at = to_datetime(timings.published_at)
    job.received_at = to_datetime(timings.received_at)
    job.started_at = to_datetime(timings.started_at)
    job.finished_at = to_datetime(timings.finished_at)
    job.broker_wait_s, job.worker_wait_s = timings.broker_wait_s, timings.worker_wait_s
    job.run_s, job.cpu_s, job.off_cpu_s = timings.run_s, timings.cpu_s, timings.off_cpu_s


def _set_waits(job: Job, waits: Waits) -> None:
    for name, seconds in asdict(waits).items():
        setattr(job, name, seconds)


def _lock(job_ids: Iterable[str]) -> dict[UUID | None, Job]:
    ids = [job_id for job_id in map(as_uuid, job_ids) if job_id]
    # In one order, so that two coordinators cannot deadlock.
    rows = Job.objects.select_for_update().filter(pk__in=ids).order_by("pk")
    return {job.pk: job for job in rows}


def _write(jobs: Iterable[Job]) -> None:
    # The rows exist and are locked, so this upsert only updates, with one statement per batch.
    Job.objects.bulk_create(
        sorted(jobs, key=lambda job: job.pk),
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=_WRITTEN,
        batch_size=500,
    )


def _write_results(outcomes: Iterable[tuple[Job, Outcome, str]]) -> None:
    rows = [_result_of(job, outcome, status) for job, outcome, status in outcomes]
    TaskResult.objects.bulk_create(
        sorted(rows, key=lambda row: row.task_id),
        update_conflicts=True,
        unique_fields=["task_id"],
        update_fields=[
            "status",
            "result",
            "traceback",
            "worker",
            "date_started",
            "date_done",
            "task_name",
            "meta",
        ],
        batch_size=500,
    )


def _result_of(job: Job, outcome: Outcome, status: str) -> TaskResult:
    failed = outcome.ending is not Ending.SUCCEEDED
    result = (
        json.dumps({"exc_type": outcome.error_type, "exc_message": [outcome.error]})
        if failed
        else outcome.result
    )
    return TaskResult(
        task_id=str(job.pk),
        task_name=job.definition,
        task_args="[]",
        task_kwargs=json.dumps({name: shown(value) for name, value in job.params.items()}),
        status=status,
        worker=outcome.place.worker[:100],
        content_type="application/json",
        content_encoding="utf-8",
        result=result,
        date_started=to_datetime(outcome.timings.started_at),
        traceback=outcome.traceback or None,
        meta=json.dumps({"attempt": outcome.attempt, "children": []}),
    )


def _log_of(outcome: Outcome) -> Sequence[JobLog]:
    if not outcome.log and not outcome.log_dropped:
        return ()
    lines = [list(line) for line in outcome.log]
    return (
        JobLog(
            job_id=UUID(outcome.job_id), attempt=outcome.attempt, lines=lines, dropped=outcome.log_dropped
        ),
    )
