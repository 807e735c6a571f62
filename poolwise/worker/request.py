"""A received message in a worker's main process, which reports the endings that only this process sees."""

import os
import time
from typing import Any

from billiard.exceptions import WorkerLostError
from celery.worker import request as celery_request
from celery.worker import state as worker_state

from poolwise import definitions
from poolwise.lifecycle import messages, stream
from poolwise.pools import base, prefork
from poolwise.support import PoolwiseError, Timings, elapsed_wall_s, wall_now
from poolwise.worker.memory_watch import MemoryWatch
from poolwise.worker.report_thread import post

#: How long a stopped job has to send its own report, with all its timings; then the main process sends one.
_OWN_REPORT_S = 3.0

_memory = MemoryWatch()
_Request: Any = celery_request.Request  # the stubs know only a part of it


class JobRequest(_Request):
    """A received message; reports the endings that only the worker's main process sees."""

    is_over_memory = False

    def __init__(self, message: Any, **options: Any) -> None:
        super().__init__(message, **options)
        self._request_dict["received"] = (wall_now(), time.monotonic())

    @property
    def attempt(self) -> int:
        """Return the attempt number of the message; 1 if it has none."""
        attempt = (self._request_dict.get(messages.HEADER) or {}).get("attempt", 1)
        return attempt if isinstance(attempt, int) else 1

    def _outcome(self, ending: stream.Ending, error_type: str, error: str) -> stream.Outcome:
        headers = self._request_dict.get(messages.HEADER) or {}
        published_at = headers.get("published_at")
        received_at, _ = self._request_dict["received"]
        started_at = self.time_start
        now = wall_now()
        timings = Timings(
            published_at=published_at,
            received_at=received_at,
            started_at=started_at,
            finished_at=now,
            broker_wait_s=elapsed_wall_s(published_at, received_at),
            worker_wait_s=elapsed_wall_s(received_at, started_at or now),
            run_s=elapsed_wall_s(started_at or now, now),
        )
        place = stream.Place(
            str(self.hostname), self.worker_pid if isinstance(self.worker_pid, int) else os.getpid()
        )
        return stream.Outcome(
            self.id, self.attempt, place, timings, ending, error_type=error_type, error=error
        )

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Report a hard time limit: the process that ran the job cannot."""
        if not soft and not worker_state.should_terminate:
            text, after_s = f"The time limit of {timeout} s was exceeded", _OWN_REPORT_S
            if base.running_pool():  # it was given up: one that was stopped has sent its own report
                text, after_s = f"{text} by a job that could not be stopped; {stream.WORKER_ENDED}", 0.0
            else:
                text = f"{text}."
            post(self._outcome(stream.Ending.FAILED, "TimeLimitExceeded", text), after_s=after_s)
            if base.running_pool() is None:
                prefork.end_programs_of(self.worker_pid)
        super().on_timeout(soft, timeout)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """Report a child process that ended while it ran its job."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        stopped = self._already_cancelled or self._already_revoked or worker_state.should_terminate
        stopped = stopped or self.is_over_memory
        if isinstance(error, (WorkerLostError, SystemExit)) and not stopped:
            post(
                self._outcome(
                    stream.Ending.LOST, "WorkerLost", f"The process that ran the job ended: {error}"
                )
            )
        super().on_failure(exc_info, send_failed_event, return_ok)

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """Stop the running job. A job that shares its process is announced as revoked once it has stopped."""
        if not self.time_start or base.running_pool() is None:
            if self.time_start:
                prefork.end_programs_of(self.worker_pid)
            super().terminate(pool, signal)
            if self.time_start:
                prefork.kill_if_unresponsive(self.worker_pid)
            return
        pool.terminate_job(self.worker_pid, signal)

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """Note that the job starts, and watch its memory if it has a limit."""
        super().on_accepted(pid, time_accepted)
        if pid != os.getpid() and base.running_pool() is None:
            _memory.watch(self, pid, _memory_limit_bytes(self.args))

    def end_over_memory(self, used_bytes: int, limit_bytes: int) -> None:
        """Report an exceeded memory limit, once, and kill the job's process. Raise OSError if no file can be opened."""
        text = f"The job took {used_bytes / 2**20:.0f} MiB; its limit is {limit_bytes / 2**20:.0f} MiB."
        if not self.is_over_memory:
            post(self._outcome(stream.Ending.FAILED, "MemoryLimitExceeded", text))
        self.is_over_memory = True
        prefork.kill_if_unresponsive(self.worker_pid, after_s=0.0)

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        if not terminated or base.running_pool() is None:  # else the job has sent its own report
            outcome = self._outcome(stream.Ending.CANCELLED, "Cancelled", "Cancelled before it ended.")
            post(outcome, after_s=_OWN_REPORT_S if terminated else 0.0)
        super()._announce_revoked(reason, terminated, signum, expired)

    def _announce_cancelled(self, emit_retry: bool = True) -> None:
        # A cold shutdown; the message goes back to its queue and the same attempt may run elsewhere.
        post(self._outcome(stream.Ending.RELEASED, "", "The worker was shut down."))
        super()._announce_cancelled(emit_retry=False)


def _memory_limit_bytes(args: Any) -> int | None:
    try:
        return definitions.resolve(args[0]).memory_limit_bytes
    except (PoolwiseError, LookupError, TypeError):
        return None  # the job fails by itself
