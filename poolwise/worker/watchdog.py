"""The process beside a worker that enforces time limits when the worker itself is blocked, and reports its death.

`python -m poolwise.worker.watchdog DESCRIPTOR PID NAME`: PID is the worker, its parent; DESCRIPTOR belongs to the
worker's `poolwise.worker.attempt_table.AttemptTable`. The table of a prefork worker stays empty, since its main process
keeps the limits. The watchdog imports little until a job comes near its limit, and ends with its worker.
"""

import os
import signal
import sys
import time
from functools import cache
from types import ModuleType

from poolwise.worker.attempt_table import CHECK_EVERY_S, NO_LIMIT, AttemptTable

#: How long after its limit the worker itself has to end a job (by interrupting it, then giving it up).
MARGIN_S = 3.5
_FREEZE_S = 0.05
#: How long before a deadline the watchdog imports what it needs to act: on a busy machine that takes seconds.
_READY_BEFORE_S = 10.0
_RENEW_EVERY_S = 1.0


class Watchdog:
    """Checks for attempts past their deadline until the worker has ended."""

    def __init__(self, table: AttemptTable, worker_pid: int, worker_name: str) -> None:
        self._table, self._pid, self._name = table, worker_pid, worker_name
        self._renew_at_mono = 0.0

    def run(self) -> None:
        """Check repeatedly; return once the worker is gone, and that is reported."""
        while os.getppid() == self._pid:
            self._table.note_check()
            late_s = time.monotonic() - self._table.next_deadline_mono()
            if late_s > -_READY_BEFORE_S:
                _actions()
            if late_s > MARGIN_S and self._end_worker():
                break
            if self._table.is_heartbeat_overdue:
                self._renew_heartbeat()
            time.sleep(CHECK_EVERY_S)
        self._report_death()

    def _report_death(self) -> None:
        """Have what the worker held run again at once, unless it shut down."""
        while os.getppid() == self._pid:  # it has just been killed
            time.sleep(_FREEZE_S)
        if self._table.sends_heartbeats:
            _actions().report_death(self._table, self._name, self._pid)

    def _renew_heartbeat(self) -> None:
        """Renew the worker's heartbeat while a job with a time limit keeps all its threads from sending one."""
        now = time.monotonic()
        attempts = [a for a in self._table.attempts() if now < a.deadline_mono + MARGIN_S < NO_LIMIT]
        if not attempts or now < self._renew_at_mono:
            return
        actions = _actions()
        worker = next(filter(None, map(actions.worker_of, attempts)), "")
        if worker and actions.runs(self._pid):
            self._renew_at_mono = now + _RENEW_EVERY_S
            actions.renew_heartbeat_of(worker)

    def _end_worker(self) -> bool:
        # Stopped first, so that it starts and reports nothing between reading and killing.
        os.kill(self._pid, signal.SIGSTOP)
        time.sleep(_FREEZE_S)
        attempts, now = self._table.attempts(), time.monotonic()
        if not any(attempt.deadline_mono + MARGIN_S < now for attempt in attempts):
            os.kill(self._pid, signal.SIGCONT)
            return False
        self._table.note_end_for_job()
        try:
            _actions().report_all(attempts)
        finally:
            os.kill(self._pid, signal.SIGKILL)
        return True


@cache
def _actions() -> ModuleType:
    """Return the module with the actions, which most watchdogs never need."""
    from poolwise.worker import watchdog_actions

    watchdog_actions.configure_settings()
    return watchdog_actions


def main() -> None:
    """Watch the parent process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # meant for the worker; the watchdog ends after it
    Watchdog(AttemptTable(int(sys.argv[1])), int(sys.argv[2]), sys.argv[3]).run()


if __name__ == "__main__":
    main()
