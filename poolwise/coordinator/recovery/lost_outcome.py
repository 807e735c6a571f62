"""The outcome of an attempt whose end was never reported."""

from collections.abc import Container

from poolwise.lifecycle import stream
from poolwise.models import Job
from poolwise.support import Timings, elapsed_wall_s, wall_now


def lost(job: Job, alive: Container[str]) -> stream.Outcome:
    """Return the outcome of a running job whose worker is gone or no longer has the job."""
    text = (
        f"The worker {job.worker} no longer runs the job, and no report arrived."
        if job.worker in alive
        else f"The worker {job.worker} was lost while it ran the job."
    )
    return stream.Outcome(
        str(job.pk),
        job.attempt,
        stream.Place(job.worker, job.pid or 0, job.thread, job.greenlet_or_task),
        _timings(job),
        stream.Ending.LOST,
        error_type="WorkerLost",
        error=text,
    )


def _timings(job: Job) -> Timings:
    now = wall_now()
    started_at = job.started_at.timestamp() if job.started_at else None
    return Timings(
        published_at=job.published_at.timestamp() if job.published_at else None,
        received_at=job.received_at.timestamp() if job.received_at else None,
        started_at=started_at,
        finished_at=now,
        broker_wait_s=job.broker_wait_s,
        worker_wait_s=job.worker_wait_s,
        run_s=elapsed_wall_s(started_at, now),
    )
