"""The process beside a worker that keeps its time limits when the worker itself cannot.

`python -m jobs.watchdog DESCRIPTOR PID`: its parent is the worker with that PID, the descriptor that of
`jobs.watched.Table`. Pools that run jobs in processes of their own need none. It imports little until it may have to
act, sheds that once all has been calm for a while, and ends with its worker.
"""

import json
import os
import signal
import sys
import time
from contextlib import suppress
from typing import Any

from jobs.watched import LOOK_EVERY_S, NO_LIMIT, SETTINGS_VARIABLE, Attempt, Table

#: How long after its limit a job has for ending by the worker's own hand (interrupted, then given up).
MARGIN_S = 3.5
#: How long the reports may take; the worker is ended in any case, and the coordinator rescues what it held.
_REPORT_WITHIN_S = 8.0
_FREEZE_S = 0.05
#: From so long before a limit what it takes to act is in memory: on a busy machine that takes seconds.
_READY_BEFORE_S = 10.0
_VOUCH_EVERY_S = 1.0
#: What it takes to act is five times what it takes to watch; not needed for so long, it is let go.
_CALM_S = 10.0
#: A job that comes near its limit is seldom the last: loading takes seconds on a busy machine, and would be late.
_CALMS_AFTER_A_LIMIT = 6


class Watchdog:
    """Looks for attempts past their limit, until the worker has ended."""

    def __init__(self, table: Table, worker_pid: int, calm_s: float = _CALM_S) -> None:
        self._table, self._pid, self._calm_s = table, worker_pid, calm_s
        self._vouch_at_mono = 0.0
        self._needed_until_mono = 0.0  # of what it takes to act; 0 while that is not loaded

    def run(self) -> None:
        """Watch; return once the worker is gone."""
        while os.getppid() == self._pid:
            self._table.looked()
            now = time.monotonic()
            late_s = now - self._table.next_deadline_mono()
            if late_s > -_READY_BEFORE_S:
                self._be_ready(_CALMS_AFTER_A_LIMIT * self._calm_s)
            if late_s > MARGIN_S and self._end_worker():
                return
            if self._table.is_silent:
                self._vouch()
            if 0 < self._needed_until_mono < now:
                _begin_anew()
            time.sleep(LOOK_EVERY_S)

    def _be_ready(self, seconds: float) -> None:
        """Have in memory for so long what it takes to act."""
        _load()
        self._needed_until_mono = max(self._needed_until_mono, time.monotonic() + seconds)

    def _vouch(self) -> None:
        """Say that the worker lives, while a job with a limit keeps all its threads from saying so."""
        now = time.monotonic()
        names = {
            worker_of(attempt)
            for attempt in self._table.attempts()
            if now < attempt.deadline_mono + MARGIN_S < NO_LIMIT
        }
        if names:
            self._be_ready(self._calm_s)
        if names and now >= self._vouch_at_mono and _runs(self._pid):
            self._vouch_at_mono = now + _VOUCH_EVERY_S
            _vouch_for(names.pop())

    def _end_worker(self) -> bool:
        os.kill(
            self._pid, signal.SIGSTOP
        )  # so that nothing is reported, or begun, between reading and killing
        time.sleep(_FREEZE_S)
        attempts, now = self._table.attempts(), time.monotonic()
        if not any(attempt.deadline_mono + MARGIN_S < now for attempt in attempts):
            os.kill(self._pid, signal.SIGCONT)
            return False
        try:
            _report_all(attempts)
        finally:
            os.kill(self._pid, signal.SIGKILL)
        return True


def _begin_anew() -> None:
    """Become a fresh process with the same number: what was imported cannot be given back otherwise."""
    with suppress(OSError):  # no memory for it now: try again with the next look
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - our own interpreter and arguments


def _load() -> None:
    import psutil  # noqa: F401
    from django.conf import settings

    if not settings.configured and (text := os.environ.get(SETTINGS_VARIABLE)):
        settings.configure(**json.loads(text))
    import jobs.heartbeats
    import jobs.stream
    from jobs.redis_client import key

    key(jobs.heartbeats.COORDINATOR, jobs.stream.GROUP)  # reads the settings


def _runs(pid: int) -> bool:
    """Tell whether a process is not stopped: of a stopped one, the jobs are to run elsewhere."""
    import psutil

    return psutil.Process(pid).status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)


def _vouch_for(worker: str) -> None:
    from jobs.heartbeats import vouch
    from jobs.redis_client import REDIS_ERRORS, connect

    try:
        vouch(connect(timeout_s=1.0, max_connections=1), worker)
    except REDIS_ERRORS as error:
        print(f"watchdog: Redis is away: {error}", file=sys.stderr)  # noqa: T201


def worker_of(attempt: Attempt) -> str:
    """Return the name of the worker that runs the attempt; empty if the row is unreadable."""
    from jobs.stream import decode

    try:
        return str(decode(attempt.text).place.worker)
    except ValueError:
        return ""


def _report_all(attempts: list[Attempt]) -> None:
    """Report the overdue attempts as failed and the others as given back."""
    from jobs.redis_client import REDIS_ERRORS, connect

    client = connect(timeout_s=2.0, max_connections=1)
    until_mono = time.monotonic() + _REPORT_WITHIN_S
    waiting = list(attempts)
    while waiting and time.monotonic() < until_mono:
        try:
            while waiting:
                _report(client, waiting[0])
                waiting.pop(0)
        except REDIS_ERRORS as error:
            print(f"watchdog: Redis is away: {error}", file=sys.stderr)  # noqa: T201
            time.sleep(0.5)


def _report(client: Any, attempt: Attempt) -> None:
    from jobs.stream import report

    if (outcome := outcome_of(attempt)) is not None:
        print(f"watchdog: {outcome.job_id}: {outcome.error}", file=sys.stderr)  # noqa: T201
        report(client, outcome)


def outcome_of(attempt: Attempt) -> Any:
    """Return how the attempt ends: past its limit as failed, else as given back; None if the row is unreadable."""
    from dataclasses import replace

    from jobs.stream import Ending, Outcome, decode
    from jobs.timing import elapsed_wall_s, wall_now

    try:
        started = decode(attempt.text)
    except ValueError:
        return None  # the coordinator rescues it
    now = wall_now()
    run_s = elapsed_wall_s(started.timings.started_at or now, now)
    timings = replace(started.timings, finished_at=now, run_s=run_s)
    place = (started.job_id, started.attempt, started.place, timings)
    if attempt.deadline_mono < time.monotonic():
        text = "The time limit was exceeded by a job that does not yield; its worker was ended."
        return Outcome(*place, Ending.FAILED, error_type="TimeLimitExceeded", error=text)
    return Outcome(
        *place,
        Ending.RELEASED,
        error="Its worker was ended, for another job past its time limit did not yield.",
    )


def main() -> None:
    """Watch the parent process."""
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
    ):  # meant for the worker, whose end is awaited
        signal.signal(number, signal.SIG_IGN)
    Watchdog(Table(int(sys.argv[1])), int(sys.argv[2])).run()


if __name__ == "__main__":
    main()
