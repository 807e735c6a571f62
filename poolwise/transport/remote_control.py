"""Remote control: the commands `revoke` and `pool_grow`, and the mailbox of a gevent worker, in place of Celery's."""

import threading
from contextlib import suppress
from typing import Any

import redis
from celery.platforms import signals
from celery.utils.functional import maybe_list
from celery.utils.log import get_logger
from celery.worker import control as _control
from celery.worker import state as worker_state

from poolwise.support import drop
from poolwise.transport.upstream import control as control_step
from poolwise.transport.upstream import pidbox

logger = get_logger(__name__)

RETRY_S = 1.0
control: Any = _control  # the stubs know only a part of it
_stock_pool_grow = control.pool_grow


@control.control_command(variadic="task_id", signature="[id1 [id2 [... [idN]]]]")  # type: ignore[untyped-decorator]
def revoke(state: Any, task_id: Any, terminate: bool = False, signal: Any = None, **_: Any) -> Any:
    """Let this worker drop the tasks when it comes to them and, on demand, stop those that it runs.

    Since 5.7 every worker that receives Celery's own `revoke` reads and writes the task's result from its event loop,
    even if another worker runs it. Here only the recorder writes results.
    """
    ids = set(maybe_list(task_id) or [])
    worker_state.revoked.update(ids)
    if not terminate:
        return control.ok(f"tasks {ids} flagged as revoked")
    stopped = list(control._find_requests_by_id(ids))
    for request in stopped:
        request.terminate(state.consumer.pool, signal=signals.signum(signal or control.TERM_SIGNAME))
    return control.ok(f"terminate: {', '.join(request.id for request in stopped) or 'tasks unknown'}")


@control.control_command(args=[("n", int)], signature="[N=1]")  # type: ignore[untyped-decorator]
def pool_grow(state: Any, n: int = 1, **options: Any) -> Any:
    """Grow this worker's pool by `n` slots, and start the processes of prefork at once.

    Celery starts them when it next maintains the pool, up to 5 s later, but reports the new size at once. A comparison at
    equal slots would measure a pool that is not complete yet.
    """
    reply = _stock_pool_grow(state, n, **options)
    state.consumer.pool.maintain_pool()
    return reply


def is_command(body: Any, headers: Any) -> bool:
    """Return whether kombu can handle a received command; anybody may have sent it."""
    if not isinstance(body, dict) or not isinstance(headers, dict):
        return False
    reply_to = body.get("reply_to")
    return (
        isinstance(body.get("method"), str)
        and isinstance(body.get("arguments") or {}, dict)
        and isinstance(body.get("destination") or [], list)
        and not body.get("pattern")  # a regular expression can compute for hours
        and (not reply_to or (isinstance(reply_to, dict) and {"exchange", "routing_key"} <= reply_to.keys()))
    )


class _Checked:
    """A mixin for mailboxes: it drops what is no command of this worker, before kombu reads it."""

    node: Any

    def on_message(self, body: Any, message: Any) -> None:
        """Handle a received command."""
        if not is_command(body, message.headers) or body["method"] not in self.node.handlers:
            drop("command", "it is none that this worker knows", str(body)[:200])
            return
        clock = message.headers.get("clock")
        message.headers["clock"] = clock if type(clock) is int and 0 < clock < 2**62 else 0
        super().on_message(body, message)  # type: ignore[misc]


class Pidbox(_Checked, pidbox.Pidbox):
    """The mailbox of a worker."""


class GreenPidbox(_Checked, pidbox.gPidbox):
    """The mailbox of a gevent worker: unlike Celery's own it connects again after it lost its connection."""

    def loop(self, c: Any) -> None:
        """Serve control commands until the worker stops, or loses the connection of its jobs."""
        shutdown = self._node_shutdown = threading.Event()
        stopped = self._node_stopped = threading.Event()
        try:
            while not shutdown.is_set() and c.connection:
                try:
                    self._serve(c, shutdown)
                except (
                    *c.connection_errors,
                    redis.ResponseError,
                ) as error:  # the latter: Redis refuses writes
                    logger.warning("remote control lost its connection, connecting again: %r", error)
                    shutdown.wait(RETRY_S)
        finally:
            stopped.set()

    def _serve(self, c: Any, shutdown: threading.Event) -> None:
        resets = self._resets
        with c.app.connection_for_read() as connection:
            connection.connect()
            self._do_reset(c, connection)
            while not shutdown.is_set() and c.connection:
                if resets < self._resets:
                    resets = self._resets
                    self._do_reset(c, connection)
                with suppress(TimeoutError):
                    connection.drain_events(timeout=1.0)


class PoolControl(control_step.Control):
    """Celery's remote control step, with these mailboxes."""

    def __init__(self, c: Any, **kwargs: Any) -> None:
        super().__init__(c, **kwargs)
        self.box = GreenPidbox(c) if self.is_green else Pidbox(c)
        self.start, self.stop, self.shutdown = self.box.start, self.box.stop, self.box.shutdown
