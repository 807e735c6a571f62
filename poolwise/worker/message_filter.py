"""Where messages and commands enter a worker: without a valid signature none becomes a job or changes anything."""

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import signals
from celery.worker import state as worker_state

from poolwise.lifecycle import commands, execution, messages
from poolwise.pools import POOL_ENV, base
from poolwise.support import RefusedMessage, drop
from poolwise.transport import PoolConsumer, copied, refuse, remote_control
from poolwise.worker.conversation import Conversation
from poolwise.worker.request import JobRequest

#: The commands of Celery's remote control that Poolwise and Flower's views need. Anybody who reaches the broker can send
#: commands. So those that change something must be signed, and those that end a worker, change limits or load code, or
#: let another worker say what is revoked (`hello`), are removed.
REMOTE_COMMANDS = frozenset((
    *commands.SIGNED,
    "ping", "clock", "heartbeat", "stats", "active", "reserved", "scheduled", "revoked", "registered",
    "active_queues", "query_task", "enable_events", "disable_events",
))  # fmt: skip


#: Prefork fetches one message beyond its slots: those are few, and one would wait after each job for the next message.
_SPARE = 1
#: The place of a job that ends sooner is reported with its end.
_PLACE_AFTER_S = 0.2


class JobConsumer(PoolConsumer):
    """A consumer that drops messages without a valid signature, and hands the others to the pool."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        handlers = remote_control.control.Panel.data  # with ours in place of Celery's
        for name in handlers.keys() - REMOTE_COMMANDS:
            del handlers[name]
        for name in commands.SIGNED:
            if not isinstance(handlers[name], _SignedOnly):
                handlers[name] = _SignedOnly(name, handlers[name])
        #: The conversation with Redis; None before the first connection to the broker.
        self.conversation: Conversation | None = None
        super().__init__(*args, **kwargs)
        if self.pool.uses_semaphore:
            self.initial_prefetch_count += _SPARE

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """Return a handler of received messages: it verifies the signature and hands the job to the pool.

        Celery's own would read a message twice more and make a request with all that any task may need.
        """
        if self.conversation is None:
            self.conversation = self._converse()
        pool = os.environ.get(POOL_ENV, "")

        def on_task_received(message: Any) -> None:
            try:
                verified = messages.verified(message)
            except RefusedMessage as error:
                self._drop(message, str(error))
            else:
                delivery = execution.Delivery.of(verified, pool=pool, worker=str(self.hostname))
                self._receive(JobRequest(message, delivery, verified.limits, self))

        return on_task_received

    def _receive(self, request: Any) -> None:
        if request.id in worker_state.revoked and request.revoked():
            return
        if signals.task_received.receivers:
            signals.task_received.send(sender=self, request=request)
        request.send_event(
            "task-received", name=request.name, args=request.argsrepr, kwargs="{}", root_id=request.id,
            parent_id=None, retries=0, eta=None, expires=None,
        )  # fmt: skip
        worker_state.task_reserved(request)
        for callback in self.on_task_message:
            callback(request)
        self.on_task_request(request)

    def _converse(self) -> Conversation:
        running = base.running_pool()
        if running is None:
            return Conversation(self._post_to_hub)
        conversation = Conversation(running.post_from_thread)
        running.is_settled = lambda: conversation.is_settled
        return conversation

    def report_places(self) -> None:
        """Report where jobs run that have run for a while. Any thread may call it."""
        before = time.time() - _PLACE_AFTER_S
        for request in copied(worker_state.active_requests):
            if isinstance(request, JobRequest) and request.time_start < before:
                request.report_place()

    def _post_to_hub(self, call: Callable[[], None]) -> None:
        if self.is_running:
            self.hub.call_soon(call)
        else:  # no loop makes it any more; the jobs that still end must be acknowledged
            call()

    def settlers(self, message: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Return how to acknowledge and to reject a message, from any thread."""
        return (
            partial(self._settle_soon, message.ack_log_error),
            partial(self._settle_soon, message.reject_log_error),
        )

    def _settle_soon(self, settle: Callable[..., Any], *args: Any) -> None:
        self.call_soon_ack(settle, *args)
        # As Celery's own handler does after a lost connection, when it has reduced the prefetch count.
        if (
            not self._maximum_prefetch_restored
            and self.restart_count > 0
            and self._new_prefetch_count <= self.max_prefetch_count
        ):
            self._restore_prefetch_count_after_connection_restart(None)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Drop a message that kombu cannot unpack."""
        self._drop(message, f"it cannot be unpacked ({type(exc).__name__})")

    def _drop(self, message: Any, reason: str) -> None:
        headers = message.headers if isinstance(message.headers, dict) else {}
        refuse(reason, headers.get("id"))
        message.reject_log_error(_NoLogger, self.connection_errors)


class _SignedOnly:
    """A command that this worker obeys only if this installation sent it."""

    _filter = commands.CommandFilter()

    def __init__(self, name: str, handle: Callable[..., Any]) -> None:
        self._name, self._handle = name, handle

    def __call__(self, state: Any, **given: Any) -> Any:
        try:
            arguments = self._filter.verified(self._name, given, state.hostname)
        except RefusedMessage as error:
            drop("command", error, self._name)
            return {"error": f"refused: {error}"}
        return self._handle(state, **arguments)


class _NoLogger:
    """Logs nothing: if the broker became unavailable, the message is delivered and refused again."""

    @staticmethod
    def critical(*_: Any, **__: Any) -> None:
        """Do nothing: the refusal is logged already."""
