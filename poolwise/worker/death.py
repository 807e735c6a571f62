"""Report the death of a worker: which of its jobs ended it, if that is known, and that what it held shall run again."""

import re
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from poolwise.lifecycle import heartbeats, stream
from poolwise.support import REDIS_ERRORS, connect, elapsed_wall_s, wall_now
from poolwise.worker.attempt_table import AttemptTable, WatchedAttempt

_REASON = re.compile(r"Fatal Python error: (.+)")
_CURRENT = re.compile(r"Current thread 0x([0-9a-f]+)[^\n]*\n(?:  [^\n]*\n?)*")


def report(table: AttemptTable, worker: str, pid: int) -> bool:
    """Report the death of a worker, unless it shut down; return whether one of its jobs ended it.

    Without Redis the coordinator notices its silence.
    """
    outcomes = outcomes_of(table.fault(), table.attempts())
    try:
        client = connect(timeout_s=5.0)
        _report(client, outcomes)
        heartbeats.mark_ended(client, worker, pid)
    except REDIS_ERRORS as error:
        print(f"Redis is unavailable, so the worker's silence has to tell: {error}", file=sys.stderr)  # noqa: T201
    return bool(outcomes)


def _report(client: Any, outcomes: Iterable[stream.Outcome]) -> None:
    for outcome in outcomes:
        print(f"{outcome.job_id}: {outcome.error}\n{outcome.traceback}", file=sys.stderr)  # noqa: T201
        stream.report(client, outcome)
        if outcome.ending is stream.Ending.LOST:  # the broker may still deliver its message
            stream.expect_duplicates(client, [(outcome.job_id, outcome.attempt)])


def outcomes_of(fault: str, attempts: Iterable[WatchedAttempt]) -> list[stream.Outcome]:
    """Return the outcomes of a worker's attempts: that which ended it is lost, the others are released.

    None if it is unknown which one ended it: the worker was killed from outside, or by a thread that a job had started.
    """
    reason, current = _REASON.search(fault), _CURRENT.search(fault)
    if reason is None or current is None:
        return []
    attempts = list(attempts)
    on_thread = [attempt for attempt in attempts if attempt.thread == int(current[1], 16)]
    if not on_thread:
        return []
    blamed = max(on_thread, key=lambda attempt: attempt.turn)
    error, stack = f"{stream.ENDED_WORKER}: {reason[1].strip()}.", f"{reason[0]}\n\n{current[0]}"
    outcomes = (
        outcome(attempt, stream.Ending.LOST, error, error_type="WorkerLost", traceback=stack)
        if attempt is blamed
        else outcome(attempt, stream.Ending.RELEASED, "Its worker was ended by another job.")
        for attempt in attempts
    )
    return [each for each in outcomes if each is not None]


def outcome(
    attempt: WatchedAttempt, ending: stream.Ending, error: str, *, error_type: str = "", traceback: str = ""
) -> stream.Outcome | None:
    """Return the outcome of an attempt that ends now; None if its row is unreadable, so that it is recovered later."""
    try:
        started = stream.decode(attempt.text)
    except ValueError:
        return None
    now = wall_now()
    run_s = elapsed_wall_s(started.timings.started_at or now, now)
    timings = replace(started.timings, finished_at=now, run_s=run_s)
    place = (started.job_id, started.attempt, started.place, timings)
    return stream.Outcome(*place, ending, error_type=error_type, error=error, traceback=traceback)
