"""How a worker ends: by a signal, within a time limit; or on its own, if a stuck job leaves no other way."""

import os
import signal

import structlog
from django.conf import settings

from poolwise.support import kill_descendants, original, start_native_thread

log = structlog.get_logger(__name__)
#: How long a cold shutdown may take: it may wait for a Redis that does not answer.
_COLD_SHUTDOWN_S = 10.0

_draining = False


def drain(reason: str) -> None:
    """Take no more jobs and end once the running ones have ended: a stuck job needs a new process."""
    global _draining
    if not _draining:
        _draining = True
        log.error("the worker takes no more jobs and ends after the running ones", reason=reason)
        os.kill(os.getpid(), signal.SIGTERM)


def shutdown_grace_s() -> float:
    """Return how long running jobs get from SIGTERM: longer where the worker drains itself."""
    return float(settings.DRAIN_GRACE_S if _draining else settings.SHUTDOWN_GRACE_S)


def limit_shutdown(grace_s: float) -> None:
    """Give running jobs `grace_s` to end, then return them to their queue (cold shutdown), then exit in any case."""
    start_native_thread(lambda: _end_by_force(grace_s), "shutdown")


def _end_by_force(grace_s: float) -> None:
    sleep = original("time", "sleep")
    sleep(grace_s)
    log.warning("jobs are still running; returning them to their queue", grace_s=grace_s)
    os.kill(os.getpid(), signal.SIGQUIT)
    sleep(_COLD_SHUTDOWN_S)
    log.error("cold shutdown timed out; exiting, and the reserved jobs run again")
    kill_descendants()
    os._exit(1)
