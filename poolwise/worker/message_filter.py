"""Where messages enter a worker: what is not sealed by this installation never becomes a job."""

from collections.abc import Callable
from typing import Any

from celery.worker.control import Panel

from poolwise.lifecycle import messages
from poolwise.support import RefusedMessage
from poolwise.transport import PoolConsumer, refuse

#: Celery's remote control, as far as Poolwise and Flower's views need it. Whoever reaches the broker may send a command,
#: and nothing seals it; so what ends a worker, changes its limits or loads code is not there.
REMOTE_COMMANDS = frozenset((
    "revoke", "pool_grow", "pool_shrink",
    "ping", "hello", "clock", "heartbeat", "stats", "active", "reserved", "scheduled", "revoked", "registered",
    "active_queues", "query_task", "enable_events", "disable_events",
))  # fmt: skip


class JobConsumer(PoolConsumer):
    """A consumer that drops what nobody of this installation sealed, before Celery reads any of it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        for name in Panel.data.keys() - REMOTE_COMMANDS:
            del Panel.data[name]
        super().__init__(*args, **kwargs)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """Return what takes a received message: it opens the seal, then Celery's own handler goes on."""
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
        """Drop what kombu could not even unpack."""
        self._drop(message, f"it cannot be unpacked ({type(exc).__name__})")

    def _drop(self, message: Any, reason: str) -> None:
        headers = message.headers if isinstance(message.headers, dict) else {}
        refuse(reason, headers.get("id"))
        message.reject_log_error(_NoLogger, self.connection_errors)


class _NoLogger:
    """The broker went away meanwhile: the message comes again, and is refused again."""

    @staticmethod
    def critical(*_: Any, **__: Any) -> None:
        """Say nothing: the refusal is logged already."""
