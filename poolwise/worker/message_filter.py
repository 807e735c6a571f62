"""Where messages enter a worker: a message without a valid signature never becomes a job."""

from collections.abc import Callable
from typing import Any

from celery.worker.control import Panel

from poolwise.lifecycle import messages
from poolwise.support import RefusedMessage
from poolwise.transport import PoolConsumer, refuse

#: The commands of Celery's remote control that Poolwise and Flower's views need. Anybody who reaches the broker can send
#: commands, which are not signed; so those that end a worker, change limits or load code are removed.
REMOTE_COMMANDS = frozenset((
    "revoke", "pool_grow", "pool_shrink",
    "ping", "hello", "clock", "heartbeat", "stats", "active", "reserved", "scheduled", "revoked", "registered",
    "active_queues", "query_task", "enable_events", "disable_events",
))  # fmt: skip


class JobConsumer(PoolConsumer):
    """A consumer that drops messages without a valid signature, before Celery reads any of them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        for name in Panel.data.keys() - REMOTE_COMMANDS:
            del Panel.data[name]
        super().__init__(*args, **kwargs)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """Return a handler of received messages: it verifies the signature, then calls Celery's own handler."""
        handle = super().create_task_handler(*args, **kwargs)

        def on_task_received(message: Any) -> None:
            try:
                message.headers = messages.verified_headers(message)
            except RefusedMessage as error:
                self._drop(message, str(error))
            else:
                handle(message)

        return on_task_received

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Drop a message that kombu cannot unpack."""
        self._drop(message, f"it cannot be unpacked ({type(exc).__name__})")

    def _drop(self, message: Any, reason: str) -> None:
        headers = message.headers if isinstance(message.headers, dict) else {}
        refuse(reason, headers.get("id"))
        message.reject_log_error(_NoLogger, self.connection_errors)


class _NoLogger:
    """Logs nothing: if the broker became unavailable, the message is delivered and refused again."""

    @staticmethod
    def critical(*_: Any, **__: Any) -> None:
        """Do nothing: the refusal is logged already."""
