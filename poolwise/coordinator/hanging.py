"""Pause a definition whose jobs hang so that one worker after the other is ended for their sake."""

from collections.abc import Iterable
from datetime import timedelta

import structlog
from django.conf import settings
from django.utils import timezone

from poolwise import control
from poolwise.lifecycle import stream
from poolwise.models import Job, Pause
from poolwise.support import PoolwiseError

log = structlog.get_logger(__name__)
WITHIN_MIN = 5


def pause_hanging(ended: Iterable[Job]) -> None:
    """Pause each definition among jobs just recorded that has ended `JOB_PAUSE_AFTER_HANGS` workers in 5 minutes."""
    most = settings.JOB_PAUSE_AFTER_HANGS
    for name in sorted(
        {job.definition for job in ended if job.error.endswith(stream.WORKER_ENDED)} if most else ()
    ):
        if (workers := _ended_workers(name)) >= most:
            _pause(name, workers)


def _ended_workers(definition: str) -> int:
    since = timezone.now() - timedelta(minutes=WITHIN_MIN)
    # Several jobs may have hung in one worker.
    jobs = Job.objects.filter(
        definition=definition,
        error_type="TimeLimitExceeded",
        error__endswith=stream.WORKER_ENDED,
        finished_at__gte=since,
    )
    return jobs.order_by().values("worker").distinct().count()


def _pause(definition: str, workers: int) -> None:
    reason = (
        f"Its jobs hang: {workers} workers were ended in {WITHIN_MIN} min for jobs past their time limit. "
        "Resume it once that is mended."
    )
    try:
        paused = control.pause(Pause.Kind.DEFINITION, definition, user=None, reason=reason, by="coordinator")
    except PoolwiseError as error:  # it is not declared here
        log.error("cannot pause a definition whose jobs hang", definition=definition, error=str(error))
        return
    if paused.has_changed:
        log.error("paused a definition whose jobs hang", definition=definition, reason=reason)
