"""What one entry of the stream changes in its job.

An entry counts only for the current attempt of its job, and the first ending of an attempt wins. So an entry that is
recorded twice, or belongs to an older attempt, changes nothing.
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from poolwise.lifecycle.stream import Ending, Entry, Outcome, Place, Started
from poolwise.metering import Waits
from poolwise.models import ENDED, Job, JobState
from poolwise.support import Timings, to_datetime

ATTEMPT_DEFAULTS: dict[str, Any] = {
    name: getattr(Job._meta.get_field(name), "get_default")()  # noqa: B009 - relations have none
    for name in (
        "published_at", "received_at", "started_at", "finished_at", "broker_wait_s", "worker_wait_s", "run_s",
        "cpu_s", "off_cpu_s", "run_queue_s", "gil_wait_s", "blocked_s", "stall_s", "caused_stall_s",
        "result_bytes", "worker", "pid", "thread", "greenlet_or_task", "offloaded", "error_type", "error",
    )
}  # fmt: skip
_STATES = {
    Ending.SUCCEEDED: JobState.SUCCEEDED,
    Ending.FAILED: JobState.FAILED,
    Ending.LOST: JobState.FAILED,
    Ending.CANCELLED: JobState.CANCELLED,
}


@dataclass(slots=True)
class JobRow:
    """The columns of a job that entries change or depend on; a model instance costs several times as much."""

    id: UUID
    definition: str
    params: str  # JSON
    state: str
    attempt: int
    max_attempts: int
    history: list[Any]
    created_at: datetime
    due_at: datetime | None
    run_after: datetime | None
    cancel_requested_at: datetime | None
    recorded_at: datetime | None
    record_lag_s: float | None
    published_at: datetime | None
    received_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    broker_wait_s: float | None
    worker_wait_s: float | None
    run_s: float | None
    cpu_s: float | None
    off_cpu_s: float | None
    run_queue_s: float | None
    gil_wait_s: float | None
    blocked_s: float | None
    stall_s: float | None
    caused_stall_s: float | None
    result_bytes: int | None
    worker: str
    pid: int | None
    thread: str
    greenlet_or_task: str
    offloaded: bool
    error_type: str
    error: str

    @property
    def has_ended(self) -> bool:
        """Return whether nothing more will happen to the job."""
        return self.state in ENDED


def fold(job: JobRow | Job, entry: Entry, *, now: datetime) -> bool:
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


def _why_no_more(job: JobRow | Job) -> str:
    if all(past.get("ending") == Ending.LOST for past in job.history):
        return f"All {job.attempt} attempts ended so: the job is taken for poison and not tried again."
    return f"It was the last attempt of {job.max_attempts}: the job is not tried again."


def _fold_started(job: JobRow | Job, entry: Started) -> bool:
    if job.state != JobState.QUEUED and not _took_over(job, entry) and not _tells_place(job, entry):
        return False
    job.state = JobState.RUNNING
    job.due_at = None
    _set_place(job, entry.place)
    _set_timings(job, entry.timings)
    return True


def _took_over(job: JobRow | Job, entry: Started) -> bool:
    # Two workers start the same attempt only if the first released it; its report of that may arrive late.
    at = to_datetime(entry.timings.started_at)
    is_later = job.started_at is not None and at is not None and at > job.started_at
    return job.state == JobState.RUNNING and job.worker != entry.place.worker[:200] and is_later


def _tells_place(job: JobRow | Job, entry: Started) -> bool:
    # A worker claims a job before it knows which of its processes and threads will run it.
    is_its_own = job.state == JobState.RUNNING and job.worker == entry.place.worker[:200]
    return is_its_own and not job.pid and bool(entry.place.pid)


def is_unwanted(job: JobRow | Job, entry: Started) -> bool:
    """Return whether a start is not that of the run which ended the job: that one may be reported late or twice."""
    if not job.has_ended or job.worker != entry.place.worker[:200]:
        return job.has_ended
    at = to_datetime(entry.timings.started_at)
    return at is None or job.finished_at is None or at > job.finished_at


def _fold_released(job: JobRow | Job, entry: Outcome, *, now: datetime) -> bool:
    # Only the worker that runs the job can release it: a late report of an earlier worker is ignored.
    if job.state != JobState.RUNNING or job.worker != entry.place.worker[:200]:
        return False
    for name, default in ATTEMPT_DEFAULTS.items():
        setattr(job, name, default)
    if job.cancel_requested_at is not None:  # it must not start again
        job.state, job.finished_at, job.recorded_at = JobState.CANCELLED, now, now
        job.error_type, job.error = "Cancelled", "Cancelled while it ran; its worker was shut down."
        return True
    job.state = JobState.QUEUED
    # Its message returns to its queue; `coordinator.recovery` checks that it arrived.
    job.due_at = None
    return True


def _fold_paused(job: JobRow | Job) -> bool:
    if job.state != JobState.QUEUED:
        return False
    # Its message is gone. The job is published again once it is resumed, in the order of submission.
    job.due_at = job.created_at
    return True


def _runs_again(job: JobRow | Job, outcome: Outcome) -> bool:
    is_retried = outcome.ending is Ending.FAILED and outcome.retry_in_s is not None
    return (
        (is_retried or outcome.ending is Ending.LOST)
        and job.attempt < job.max_attempts
        and job.cancel_requested_at is None
    )


def _next_attempt(job: JobRow | Job, outcome: Outcome, *, now: datetime) -> None:
    job.history = [*job.history, summary_of(job, outcome)]
    for name, default in ATTEMPT_DEFAULTS.items():
        setattr(job, name, default)
    job.recorded_at = job.record_lag_s = None
    job.state = JobState.QUEUED
    job.attempt += 1
    job.due_at = now + timedelta(seconds=outcome.retry_in_s or 0.0)
    if outcome.retry_in_s:  # up to a day, in which it waits for no slot
        job.run_after = job.due_at


def summary_of(job: JobRow | Job, outcome: Outcome) -> dict[str, object]:
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


def _set_place(job: JobRow | Job, place: Place) -> None:
    job.worker, job.pid = place.worker[:200], place.pid or None
    job.thread, job.greenlet_or_task = place.thread[:100], place.greenlet_or_task[:100]


def _set_timings(job: JobRow | Job, timings: Timings) -> None:
    job.published_at = to_datetime(timings.published_at)
    job.received_at = to_datetime(timings.received_at)
    job.started_at = to_datetime(timings.started_at)
    job.finished_at = to_datetime(timings.finished_at)
    job.broker_wait_s, job.worker_wait_s = timings.broker_wait_s, timings.worker_wait_s
    job.run_s, job.cpu_s, job.off_cpu_s = timings.run_s, timings.cpu_s, timings.off_cpu_s


def _set_waits(job: JobRow | Job, waits: Waits) -> None:
    for name in Waits.__slots__:
        setattr(job, name, getattr(waits, name))
