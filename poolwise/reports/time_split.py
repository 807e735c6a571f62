"""The parts of a job's run: those that are measured, and the rest, unattributed."""

from datetime import timedelta

from poolwise.models import STALLING_S, Job
from poolwise.reports import timeline
from poolwise.support import percent

#: How far the parts may exceed the run, as their clocks are read one after the other.
_TOLERANCE_S = 0.005
_TOLERANCE_SHARE = 0.02
#: The share of a stall that a job must have caused to be shown; the machine may have prolonged the stall.
_CAUSED_SHARE = 0.1
#: How many of the worker's newest jobs that caused a stall are searched for the one that stalled a job.
_STALLING_JOBS = 1_000
#: A smaller share of the run in which the job was ready to compute is not mentioned beside its CPU share.
NOTABLE_SHARE = 0.1
_READY = {"run_queue": "waiting for a core", "gil_wait": "waiting for the GIL"}
PARTS = ("cpu", "run_queue", "gil_wait", "blocked", "unattributed")


def time_split(job: Job) -> dict[str, float]:
    """Return the seconds of `run_s` by part; their sum is `run_s`. Nothing for a job that has not run.

    A part that was not measured, or that contradicts the sum, counts as `unattributed`.
    """
    if job.run_s is None:
        return {}
    run_s = job.run_s
    measured = {
        "cpu": job.cpu_s,
        "run_queue": job.run_queue_s,
        "gil_wait": job.gil_wait_s,
        "blocked": job.blocked_s,
    }
    parts = {name: seconds or 0.0 for name, seconds in measured.items()}
    excess_s = sum(parts.values()) - run_s
    if excess_s > max(_TOLERANCE_S, _TOLERANCE_SHARE * run_s):
        parts = {"cpu": min(parts["cpu"], run_s), "run_queue": 0.0, "gil_wait": 0.0, "blocked": 0.0}
        excess_s = sum(parts.values()) - run_s
    if excess_s > 0:  # within the tolerance of the clocks: subtract it from the largest part
        parts[max(parts, key=lambda name: parts[name])] -= excess_s
    return {**parts, "unattributed": max(0.0, -excess_s)}


def ready_waits(job: Job) -> list[str]:
    """Return what kept the job from computing although it was ready to, in words: "90 % waiting for the GIL".

    Without them a computing job with few CPU seconds reads as if it waited for something outside.
    """
    parts, run_s = time_split(job), job.run_s or 0.0
    return [
        f"{percent(parts[name] / run_s)} {words}"
        for name, words in _READY.items()
        if run_s and parts[name] >= NOTABLE_SHARE * run_s
    ]


def on_cpu(job: Job) -> str:
    """Return the CPU share in words, with `ready_waits`: "10 % on CPU, 90 % waiting for the GIL"; "" if it is unknown."""
    share = timeline.cpu_share(job)
    return "" if share is None else ", ".join([f"{percent(share)} on CPU", *ready_waits(job)])


def stalled_by(job: Job) -> Job | None:
    """Return the job that stalled the event loop of this one the longest, None if unknown or of less than `STALLING_S`."""
    if not job.stall_s or job.started_at is None or job.finished_at is None:
        return None
    slack = timedelta(seconds=_TOLERANCE_S)
    begun = Job.objects.filter(
        worker=job.worker, started_at__lte=job.finished_at + slack, caused_stall_s__gte=STALLING_S
    ).order_by("-started_at")
    concurrent = Job.objects.filter(
        pk__in=begun.values("pk")[:_STALLING_JOBS],
        pid=job.pid,
        finished_at__gte=job.started_at - slack,
        caused_stall_s__gte=job.stall_s * _CAUSED_SHARE,
        # The stall that it caused is part of this job's stall, within the tolerance.
        caused_stall_s__lte=job.stall_s + _TOLERANCE_S,
    )
    return concurrent.exclude(pk=job.pk).order_by("-caused_stall_s").first()
