"""Starts the watchdog of a worker, and starts it again if it ends before the worker."""

import json
import os
import sys

import structlog
from django.conf import settings

from poolwise.support import original, start_native_thread
from poolwise.worker.attempt_table import CHECK_EVERY_S, SETTINGS_VARIABLE, AttemptTable

log = structlog.get_logger(__name__)
#: The pause before a watchdog that ended is started again.
_PAUSE_S = 2.0
#: What a watchdog needs to report and to renew heartbeats. Reading all settings would take three times as long.
_NEEDED_SETTINGS = ("REDIS_URL", "JOB_KEY_PREFIX", "SECRET_KEY", "SECRET_KEY_FALLBACKS")


class WatchdogProcess:
    """The watchdog process of this worker."""

    def __init__(self) -> None:
        self._stopped = False
        #: The process id of the watchdog; 0 if there is none.
        self.pid = 0

    def start(self, worker: str) -> AttemptTable:
        """Start the watchdog of the worker with this name; return the table that it checks."""
        table = AttemptTable.inherit()
        start_native_thread(lambda: self._keep_running(table.descriptor, worker), "watchdog")
        return table

    def stop(self) -> None:
        """Do not start the watchdog again; it ends with its worker."""
        self._stopped = True

    def _keep_running(self, descriptor: int, worker: str) -> None:
        # The unpatched functions: gevent's need the hub, which may be blocked.
        sleep, wait = original("time", "sleep"), original("os", "waitpid")
        # With our PID as an argument: the worker may be gone before the watchdog can ask for its parent.
        arguments = (str(descriptor), str(os.getpid()), worker)
        command = [sys.executable, "-m", "poolwise.worker.watchdog", *arguments]
        while not self._stopped:
            try:
                self.pid = original("os", "posix_spawn")(sys.executable, command, _environment())
                while not self._stopped and _is_alive(self.pid, wait):
                    sleep(CHECK_EVERY_S)
            except Exception:  # no memory or no process available
                log.exception("cannot start the watchdog")
            if not self._stopped:
                log.error("the watchdog ended; starting it again", pid=self.pid)
                sleep(_PAUSE_S)


def _environment() -> dict[str, str]:
    values = {name: getattr(settings, name) for name in _NEEDED_SETTINGS}
    return {**os.environ, SETTINGS_VARIABLE: json.dumps(values)}


def _is_alive(pid: int, wait: object) -> bool:
    try:
        return bool(wait(pid, os.WNOHANG)[0] == 0)  # type: ignore[operator]
    except ChildProcessError:  # another thread has waited for it
        return False
