"""How a worker ends: by a signal within its grace, or by itself where a job that is stuck leaves it no other way."""

import os
import signal

import structlog
from django.conf import settings

from poolwise.support import original, start_native_thread

log = structlog.get_logger(__name__)
#: How long a cold shutdown may take, for one that waits for a Redis that does not answer.
_COLD_SHUTDOWN_S = 10.0

_draining = False


def drain(reason: str) -> None:
    """Take no more jobs and end once the others have ended: what is stuck here needs a fresh process."""
    global _draining
    if not _draining:
        _draining = True
        log.error("the worker takes no more jobs, and ends when the others have", reason=reason)
        os.kill(os.getpid(), signal.SIGTERM)


def shutdown_grace_s() -> float:
    """Return how long running jobs get from SIGTERM: longer where the worker drains itself."""
    return float(settings.DRAIN_GRACE_S if _draining else settings.SHUTDOWN_GRACE_S)


def limit_shutdown(grace_s: float) -> None:
    """Give running jobs `grace_s` to end, then hand them back (cold shutdown), then end the process in any case."""
    start_native_thread(lambda: _end_by_force(grace_s), "shutdown")


def _end_by_force(grace_s: float) -> None:
    sleep = original("time", "sleep")
    sleep(grace_s)
    log.warning("jobs still run; they go back to their queue", grace_s=grace_s)
    os.kill(os.getpid(), signal.SIGQUIT)
    sleep(_COLD_SHUTDOWN_S)
    log.error("the worker does not end by itself and is ended; what it held runs again")
    os._exit(1)
