"""Where messages and commands enter a worker: without a valid signature none becomes a job or changes anything."""

from collections.abc import Callable
from typing import Any

from poolwise.lifecycle import commands, messages
from poolwise.support import RefusedMessage, drop
from poolwise.transport import PoolConsumer, refuse, remote_control

#: The commands of Celery's remote control that Poolwise and Flower's views need. Anybody who reaches the broker can send
#: commands. So those that change something must be signed, and those that end a worker, change limits or load code, or
#: let another worker say what is revoked (`hello`), are removed.
REMOTE_COMMANDS = frozenset((
    *commands.SIGNED,
    "ping", "clock", "heartbeat", "stats", "active", "reserved", "scheduled", "revoked", "registered",
    "active_queues", "query_task", "enable_events", "disable_events",
))  # fmt: skip


class JobConsumer(PoolConsumer):
    """A consumer that drops messages without a valid signature, before Celery reads any of them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        handlers = remote_control.control.Panel.data  # with ours in place of Celery's
        for name in handlers.keys() - REMOTE_COMMANDS:
            del handlers[name]
        for name in commands.SIGNED:
            if not isinstance(handlers[name], _SignedOnly):
                handlers[name] = _SignedOnly(name, handlers[name])
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
