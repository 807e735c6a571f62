"""Pause a definition whose jobs hang or crash, so that one worker after the other ends for their sake."""

from collections.abc import Iterable
from datetime import timedelta

import structlog
from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from poolwise import control
from poolwise.lifecycle import folding, stream
from poolwise.models import Job, Pause
from poolwise.support import PoolwiseError

log = structlog.get_logger(__name__)
WITHIN_MIN = 5
_HUNG = Q(error_type="TimeLimitExceeded", error__endswith=stream.WORKER_ENDED)
_CRASHED = Q(error_type="WorkerLost", error__startswith=stream.ENDED_WORKER)


def pause_hanging(ended: Iterable[folding.JobRow]) -> None:
    """Pause each definition among jobs just recorded that has ended `JOB_PAUSE_AFTER_HANGS` workers in 5 minutes."""
    most = settings.JOB_PAUSE_AFTER_HANGS
    for name in sorted({job.definition for job in ended if _ended_worker(job)} if most else ()):
        if (workers := _ended_workers(name)) >= most:
            _pause(name, workers)


def _ended_worker(job: folding.JobRow) -> bool:
    return job.error.endswith(stream.WORKER_ENDED) or job.error.startswith(stream.ENDED_WORKER)


def _ended_workers(definition: str) -> int:
    since = timezone.now() - timedelta(minutes=WITHIN_MIN)
    # Several jobs may have hung in one worker.
    jobs = Job.objects.filter(_HUNG | _CRASHED, definition=definition, finished_at__gte=since)
    return jobs.order_by().values("worker").distinct().count()


def _pause(definition: str, workers: int) -> None:
    reason = (
        f"Its jobs hang or crash: {workers} workers ended in {WITHIN_MIN} min for their sake. "
        "Resume it once that is mended."
    )
    try:
        paused = control.pause(Pause.Kind.DEFINITION, definition, user=None, reason=reason, by="coordinator")
    except PoolwiseError as error:  # it is not declared here
        log.error("cannot pause a definition whose jobs hang", definition=definition, error=str(error))
        return
    if paused.has_changed:
        log.error("paused a definition whose jobs hang", definition=definition, reason=reason)
