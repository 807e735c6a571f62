"""A job's time as pieces of a horizontal bar."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from poolwise.models import Job, JobState

WIDTH = 1000.0
_MIN_WIDTH = 4.0

_PIECES = (
    ("broker", "Broker wait", "broker_wait_s", "published to received by a worker"),
    ("worker", "Worker wait", "worker_wait_s", "received to started: waiting for a slot"),
    ("cpu", "On CPU", "cpu_s", "the job's own time on a core"),
    ("off", "Off CPU", "off_cpu_s", "waiting inside the run"),
    ("now", "Running so far", "so_far_s", "started to now"),
    ("lag", "Record lag", "record_lag_s", "finished to visible in the database"),
)


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of the bar; x and width in units of which the whole bar has WIDTH."""

    key: str
    label: str
    help: str
    seconds: float
    share: float
    x: float
    width: float


def pieces(
    timings: Mapping[str, Any], *, scale_s: float | None = None, without: Iterable[str] = ()
) -> list[Piece]:
    """Return the known durations side by side; `scale_s` seconds fill the bar, by default all together."""
    known = [piece for piece in _PIECES if timings.get(piece[2]) is not None and piece[0] not in without]
    seconds = [max(0.0, float(timings[field])) for _, _, field, _ in known]
    total_s = scale_s or sum(seconds)
    if not total_s:
        return []
    widths = [_width(value, total_s) for value in seconds]
    shrink = min(1.0, WIDTH / (sum(widths) or 1.0))
    placed, x = [], 0.0
    for (key, label, _, text), value, width in zip(known, seconds, widths, strict=True):
        share = value / (sum(seconds) or 1.0)
        placed.append(Piece(key, label, text, value, share, round(x, 2), round(width * shrink, 2)))
        x += width * shrink
    return placed


def _width(seconds: float, total_s: float) -> float:
    """Return a width that is visible also for tiny pieces."""
    return max(_MIN_WIDTH, seconds / total_s * WIDTH) if seconds else 0.0


def total_s(job: Job) -> float:
    """Return the time from published to finished, as far as known."""
    return sum(value or 0.0 for value in (job.broker_wait_s, job.worker_wait_s, job.run_s))


def wait_s(job: Job) -> float | None:
    """Return the time from published to started, None before the job has started."""
    return None if job.worker_wait_s is None else (job.broker_wait_s or 0.0) + job.worker_wait_s


def timings_of(job: Job) -> dict[str, Any]:
    """Return a job's durations by name."""
    return {field: getattr(job, field, None) for _, _, field, _ in _PIECES}


def timings_now(job: Job, now: datetime) -> dict[str, Any]:
    """Return a job's durations by name, with the time so far of a running one."""
    if job.state != JobState.RUNNING or job.started_at is None:
        return timings_of(job)
    return timings_of(job) | {"so_far_s": max(0.0, (now - job.started_at).total_seconds())}


def cpu_share(job: Job) -> float | None:
    """Return the share of the run on CPU, 0 to 1; more with several threads."""
    return job.cpu_s / job.run_s if job.run_s and job.cpu_s is not None else None
