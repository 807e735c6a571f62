"""The actions of a watchdog: renew its worker's heartbeat, report its running attempts, mark it as ended.

`poolwise.worker.watchdog` imports this only when a job comes near its limit or the worker is gone: it triples the
watchdog's memory.
"""

import json
import os
import sys
import time
from typing import Any

import psutil
from django.conf import settings

from poolwise.lifecycle import heartbeats, stream
from poolwise.support import REDIS_ERRORS, connect
from poolwise.worker import death
from poolwise.worker.attempt_table import SETTINGS_VARIABLE, WatchedAttempt

report_death = death.report

#: How long the reports may take; the worker is killed in any case, and the coordinator recovers the rest.
_REPORT_WITHIN_S = 8.0


def configure_settings() -> None:
    """Use the settings that the worker passed on; without them, read all settings."""
    if not settings.configured and (text := os.environ.get(SETTINGS_VARIABLE)):
        settings.configure(**json.loads(text))
    bool(settings.REDIS_URL)  # reading one loads them all


def runs(pid: int) -> bool:
    """Return whether a process runs: the jobs of a stopped one shall run elsewhere."""
    return psutil.Process(pid).status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)


def renew_heartbeat_of(worker: str) -> None:
    """Renew the heartbeat of a worker that runs and cannot send one."""
    try:
        heartbeats.renew(connect(timeout_s=1.0), worker)
    except REDIS_ERRORS as error:
        print(f"watchdog: Redis is unavailable: {error}", file=sys.stderr)  # noqa: T201


def worker_of(attempt: WatchedAttempt) -> str:
    """Return the name of the worker that runs the attempt; empty if the row is unreadable."""
    try:
        return str(stream.decode(attempt.text).place.worker)
    except ValueError:
        return ""


def report_all(attempts: list[WatchedAttempt]) -> None:
    """Report the overdue attempts as failed and the others as released."""
    client = connect(timeout_s=2.0)
    until_mono = time.monotonic() + _REPORT_WITHIN_S
    waiting = list(attempts)
    while waiting and time.monotonic() < until_mono:
        try:
            while waiting:
                _report(client, waiting[0])
                waiting.pop(0)
        except REDIS_ERRORS as error:
            print(f"watchdog: Redis is unavailable: {error}", file=sys.stderr)  # noqa: T201
            time.sleep(0.5)


def _report(client: Any, attempt: WatchedAttempt) -> None:
    if (outcome := outcome_of(attempt)) is not None:
        print(f"watchdog: {outcome.job_id}: {outcome.error}", file=sys.stderr)  # noqa: T201
        stream.report(client, outcome)


def outcome_of(attempt: WatchedAttempt) -> stream.Outcome | None:
    """Return the outcome of an attempt: failed if past its limit, else released; None if the row is unreadable."""
    if attempt.deadline_mono < time.monotonic():
        text = f"The time limit was exceeded by a job that does not yield; {stream.WORKER_ENDED}"
        return death.outcome(attempt, stream.Ending.FAILED, text, error_type="TimeLimitExceeded")
    text = "Its worker was ended because another job past its time limit did not yield."
    return death.outcome(attempt, stream.Ending.RELEASED, text)
