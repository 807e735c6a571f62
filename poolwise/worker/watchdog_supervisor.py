"""Starts the watchdog of a worker, and starts it again should it end before the worker."""

import json
import os
import sys

import structlog
from django.conf import settings

from poolwise.support import original, start_native_thread
from poolwise.worker.attempt_table import CHECK_EVERY_S, SETTINGS_VARIABLE, AttemptTable

log = structlog.get_logger(__name__)
#: A watchdog that ends at once is not started again and again without a pause.
_PAUSE_S = 2.0
#: To report and to vouch; reading all settings takes three times as long as loading the rest, just when it must act.
_NEEDED_SETTINGS = ("REDIS_URL", "JOB_KEY_PREFIX", "SECRET_KEY", "SECRET_KEY_FALLBACKS")


class WatchdogProcess:
    """The watchdog process of this worker."""

    def __init__(self) -> None:
        self._stopped = False
        self._pid = 0

    def start(self) -> AttemptTable:
        """Start the watchdog and return the table that it watches."""
        table, descriptor = AttemptTable.create()
        start_native_thread(lambda: self._keep(descriptor), "watchdog")
        return table

    def stop(self) -> None:
        """Let the watchdog not be started again; it ends with its worker."""
        self._stopped = True

    def _keep(self, descriptor: int) -> None:
        # As gevent found them: its own would want the hub, which is just what may be stuck.
        sleep, wait = original("time", "sleep"), original("os", "waitpid")
        # It is told whose it is: the worker may be gone before it can ask who its parent is.
        command = [sys.executable, "-m", "poolwise.worker.watchdog", str(descriptor), str(os.getpid())]
        while not self._stopped:
            try:
                self._pid = original("os", "posix_spawn")(sys.executable, command, _environment())
                while not self._stopped and _is_alive(self._pid, wait):
                    sleep(CHECK_EVERY_S)
            except Exception:  # no memory or no process to be had just now
                log.exception("the watchdog could not be started")
            if not self._stopped:
                log.error("the watchdog ended and is started again", pid=self._pid)
                sleep(_PAUSE_S)


def _environment() -> dict[str, str]:
    values = {name: getattr(settings, name) for name in _NEEDED_SETTINGS}
    return {**os.environ, SETTINGS_VARIABLE: json.dumps(values)}


def _is_alive(pid: int, wait: object) -> bool:
    try:
        return bool(wait(pid, os.WNOHANG)[0] == 0)  # type: ignore[operator]
    except ChildProcessError:  # somebody else has waited for it
        return False
