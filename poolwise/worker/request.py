"""A received message in a worker's main process: claimed, run in the pool, reported, acknowledged.

It is one of Celery's requests, so that `inspect`, `revoke` and the shutdown see it, without what a job does not need.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import ref

import structlog
from billiard.exceptions import WorkerLostError
from celery.exceptions import TaskRevokedError
from celery.worker import request as celery_request
from celery.worker import state as worker_state

from poolwise import definitions
from poolwise.lifecycle import execution, messages, stream
from poolwise.pools import base, prefork
from poolwise.support import PoolwiseError, Timings, elapsed_wall_s, native_lock, wall_now
from poolwise.worker import attempt
from poolwise.worker.conversation import Conversation
from poolwise.worker.memory_watch import MemoryWatch
from poolwise.worker.report_thread import post

log = structlog.get_logger(__name__)
#: How long a stopped job has to send its own report, with all its timings; then the main process sends one.
_OWN_REPORT_S = 3.0

_memory = MemoryWatch()
_lock = native_lock()
_Request: Any = celery_request.Request  # the stubs know only a part of it


class JobRequest(_Request):
    """A received message, and what becomes of it; reports the endings that only the worker's main process sees."""

    # Celery's own `__init__` sets these from headers that `messages` has checked to have these values.
    _utc, _decoded, _eta, _expires, _parent_id, _ignore_result = True, True, None, None, None, True
    _content_type = _content_encoding = None
    _type, _kwargsrepr = messages.TASK, "{}"
    _kwargs: dict[str, Any] = {}
    stamped_headers, stamps = (), {}  # type: ignore[var-annotated]
    is_over_memory = False
    claim: stream.ClaimRequest | None = None
    _is_reported = True  # nothing to wait for
    _place: stream.Place | None = None
    _has_told_place = False

    def __init__(self, message: Any, delivery: execution.Delivery, limits: Any, consumer: Any) -> None:
        self._message, self.delivery, self._consumer = message, delivery, consumer
        self.conversation: Conversation = consumer.conversation
        self.id, self.name = delivery.job_id, delivery.definition
        self._root_id, self._hostname = delivery.job_id, delivery.worker
        self._app, self._eventer = consumer.app, consumer.event_dispatcher
        self._connection_errors = consumer.connection_errors
        self._task = consumer.app.tasks[messages.TASK]
        self._args = (delivery.definition, delivery.params)
        self._argsrepr = f"({delivery.definition!r},)"
        self._on_ack, self._on_reject = consumer.settlers(message)
        self.time_limits = limits
        self._deferred: list[Callable[[], Any]] = []

    # --- what Celery reads of a request, made only if it does

    @property
    def attempt(self) -> int:
        """Return the attempt number of the message."""
        return self.delivery.attempt

    @property
    def _request_dict(self) -> dict[str, Any]:
        properties = self._message.properties or {}
        return {
            "id": self.id, "task": self._type, "args": self._args, "kwargs": {}, "root_id": self.id, "shadow": self.name,
            "hostname": self._hostname, "timelimit": self.time_limits, "argsrepr": self._argsrepr, "kwargsrepr": "{}",
            "delivery_info": self._delivery_info, "properties": properties, "ignore_result": True,
            "reply_to": properties.get("reply_to"), "correlation_id": properties.get("correlation_id"),
        }  # fmt: skip

    @property
    def _delivery_info(self) -> dict[str, Any]:
        info = self._message.delivery_info or {}
        names = ("exchange", "routing_key", "priority", "redelivered")
        return {name: info.get(name) for name in names}

    @property
    def _body(self) -> Any:
        return self._message.body

    @property
    def _payload(self) -> tuple[Any, ...]:
        return (self._args, {}, {})

    def send_event(self, type: str, **fields: Any) -> None:
        """Send an event of Celery, if task events are on."""
        eventer = self._eventer
        # Without `-E` its only group is that of the worker's own heartbeats.
        if eventer and eventer.enabled and (not eventer.groups or "task" in eventer.groups):
            eventer.send(type, uuid=self.id, **fields)

    # --- from the queue to a slot

    def execute_using_pool(self, pool: Any, **_: Any) -> Any:
        """Hand the job to the pool, which claims it once a slot is free. Raise TaskRevokedError."""
        if self.revoked():
            raise TaskRevokedError(self.id)
        if base.running_pool() is None:  # prefork: Celery holds a slot for it from here on
            self._claim(None)
            return
        job = pool.apply_async(self._run, admit=self._claim, unbegun=self._release, **self._options())
        self._apply_result = ref(job)

    def _options(self) -> dict[str, Any]:
        hard_s, soft_s = self.time_limits or (None, None)
        return {
            "accept_callback": self.on_accepted, "timeout_callback": self.on_timeout, "callback": self.on_success,
            "error_callback": self.on_failure, "soft_timeout": soft_s, "timeout": hard_s, "correlation_id": self.id,
        }  # fmt: skip

    def _claim(self, job: Any) -> None:
        self.claim = claim = execution.claim_of(
            self.delivery, "" if job is None else job.pool.greenlet_or_task(job)
        )
        if job is not None and job.pool.table is not None:
            # From before the claim until after the report: if the worker is killed in between, it is given back.
            job.note = job.pool.table.note(claim.text)
        self.conversation.claim(claim, partial(self._answered, job))

    def _answered(self, job: Any, answer: stream.Claim) -> None:
        if answer is not stream.Claim.CLAIMED:
            execution.note_refused(self.delivery, answer)
            self._free(job)
            self._settle()
        elif self.conversation.is_closing:
            self._release()
            self._free(job)
        elif job is not None:
            job.pool.launch(job)
        elif not self._is_started():
            self._free(None)

    def _is_started(self) -> bool:
        """Hand the job to a child of prefork; return whether it was, or else has been dropped."""
        if self.revoked():
            return False
        result = self._consumer.pool.apply_async(
            attempt.run_in_child, args=(self.delivery,), **self._options()
        )
        if result is None:  # the pool is closed
            self._release()
            return False
        self._apply_result = ref(result)
        return True

    def _free(self, job: Any) -> None:
        if job is None:
            self._consumer.controller._quick_release()
        else:
            job.drop()

    def _release(self) -> None:
        """Report that the claimed job did not begin: its message stays unacknowledged and runs elsewhere."""
        if not self._already_revoked:
            self._report(self._outcome(stream.Ending.RELEASED, "", "The worker was shut down."))

    # --- in the slot

    def report_place(self) -> None:
        """Report, once, where the job runs, which its claim could not know."""
        place = self._place
        if place is None and base.running_pool() is None:
            place = stream.Place(self.delivery.worker, self.worker_pid)
        if place is not None and self.claim is not None and not self._has_told_place:
            self._has_told_place = True
            timings = replace(self.claim.entry.timings, started_at=self.time_start)
            self.conversation.report(stream.Started(self.id, self.attempt, place, timings), lambda: None)

    def _run(self) -> stream.Outcome:
        self._place = execution.place_of(self.delivery)
        outcome, stop = attempt.run(self.delivery)
        self._report(outcome)
        if stop is not None:
            raise stop
        return outcome

    # --- from its end to the acknowledgement, which follows the report: until then heartbeats contain the attempt

    def _report(self, outcome: stream.Outcome) -> None:
        self._is_reported = False
        self.conversation.report(outcome, self._on_reported)

    def _on_reported(self) -> None:
        with _lock:
            self._is_reported = True
        job = self._apply_result and self._apply_result()
        if (note := getattr(job, "note", None)) is not None:
            note.remove()
        while self._deferred:
            self._deferred.pop(0)()

    def _after_report(self, call: Callable[[], Any]) -> None:
        with _lock:
            if not self._is_reported:
                self._deferred.append(call)
                return
        call()

    def on_success(self, outcome: stream.Outcome, **_: Any) -> None:
        """Acknowledge the message of a job that has ended by itself, once its report has arrived."""
        if base.running_pool() is None:  # prefork's child has only returned it
            self._report(outcome)
        self._after_report(partial(self._end, outcome))

    def _end(self, outcome: stream.Outcome) -> None:
        self._settle(successful=outcome.ending is stream.Ending.SUCCEEDED)
        if outcome.ending is stream.Ending.SUCCEEDED:
            self.send_event("task-succeeded", result=None, runtime=outcome.timings.run_s)
        else:
            error = f"{outcome.error_type}: {outcome.error}"
            self.send_event("task-failed", exception=error, traceback=outcome.traceback)

    def _settle(self, *, successful: bool = False) -> None:
        worker_state.task_ready(self, successful=successful)
        self.acknowledge()

    # --- endings that only this process sees

    def _outcome(self, ending: stream.Ending, error_type: str, error: str) -> stream.Outcome:
        delivery, now = self.delivery, wall_now()
        started_at = self.time_start
        if started_at is None and self.claim is not None:
            started_at = self.claim.entry.timings.started_at
        timings = Timings(
            published_at=delivery.published_at,
            received_at=delivery.received_at,
            started_at=started_at,
            finished_at=now,
            broker_wait_s=elapsed_wall_s(delivery.published_at, delivery.received_at),
            worker_wait_s=elapsed_wall_s(delivery.received_at, started_at or now),
            run_s=elapsed_wall_s(started_at or now, now),
        )
        place = stream.Place(
            delivery.worker, self.worker_pid if isinstance(self.worker_pid, int) else os.getpid()
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
        if soft:
            super().on_timeout(soft, timeout)
        else:
            self._after_report(partial(super().on_timeout, soft, timeout))

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """Report a child process that ended while it ran its job."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        stopped = self._already_cancelled or self._already_revoked or worker_state.should_terminate
        stopped = stopped or self.is_over_memory
        if isinstance(error, (WorkerLostError, SystemExit)) and not stopped:
            text = f"The process that ran the job ended: {error}"
            post(self._outcome(stream.Ending.LOST, "WorkerLost", text))
        elif not stopped and base.running_pool() is None:  # a time limit that came just after the body
            post(self._outcome(stream.Ending.FAILED, type(error).__name__, str(error)))
        self._after_report(partial(super().on_failure, exc_info, send_failed_event, return_ok))

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
        if base.running_pool() is None and pid != os.getpid():
            _memory.watch(self, pid, _memory_limit_bytes(self.name))

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
        self._already_revoked = True
        self._after_report(partial(super()._announce_revoked, reason, terminated, signum, expired))

    def _announce_cancelled(self, emit_retry: bool = True) -> None:
        # A cold shutdown; the message goes back to its queue and the same attempt may run elsewhere.
        post(self._outcome(stream.Ending.RELEASED, "", "The worker was shut down."))
        super()._announce_cancelled(emit_retry=False)


def _memory_limit_bytes(definition: str) -> int | None:
    try:
        return definitions.resolve(definition).memory_limit_bytes
    except (PoolwiseError, LookupError, TypeError):
        return None  # the job fails by itself
