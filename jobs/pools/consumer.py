"""Celery's consumer, mended for Redis: a dropped connection ends neither the worker nor a running job's only run.

Redis acknowledgements go by delivery tag in one shared hash, so what came by a lost connection is settled by the next one.
"""

import warnings
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from celery.bootsteps import RUN
from celery.exceptions import CPendingDeprecationWarning
from celery.utils.log import get_logger
from celery.worker import loops, state
from celery.worker.consumer import Consumer
from celery.worker.consumer.control import Control
from celery.worker.pidbox import gPidbox

from jobs.pools.transport import QoS, Transport

logger = get_logger(__name__)

#: Without an event loop the worker looks this often for a shutdown, an ETA or a new prefetch count.
CYCLE_S = 0.5
PIDBOX_RETRY_S = 1.0
_CONTROL_STEP = "celery.worker.consumer.control:Control"


class GreenPidbox(gPidbox):
    """The remote control of a gevent worker that comes back after a loss of its connection."""

    def loop(self, c: Any) -> None:
        """Serve control commands until the worker stops."""
        shutdown = self._node_shutdown = loops_event()
        stopped = self._node_stopped = loops_event()
        try:
            while not shutdown.is_set() and c.connection:
                try:
                    self._serve(c, shutdown)
                except c.connection_errors as error:
                    logger.warning("remote control lost its connection, connecting again: %r", error)
                    shutdown.wait(PIDBOX_RETRY_S)
        finally:
            stopped.set()

    def _serve(self, c: Any, shutdown: Any) -> None:
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


def loops_event() -> Any:
    """Return an event, of greenlets where gevent patched threading."""
    import threading

    return threading.Event()


class PoolControl(Control):
    """Celery's remote control step, with the mended mailbox under gevent."""

    name = "Control"

    def __init__(self, c: Any, **kwargs: Any) -> None:
        super().__init__(c, **kwargs)
        if self.is_green:
            self.box = GreenPidbox(c)
            self.start, self.stop, self.shutdown = self.box.start, self.box.stop, self.box.shutdown


class PoolConsumer(Consumer):
    """A consumer that lives through a lost Redis connection; on other brokers it is Celery's own."""

    class Blueprint(Consumer.Blueprint):
        """Celery's steps, with the mended remote control and the lease."""

        default_steps = [
            *(step for step in Consumer.Blueprint.default_steps if step != _CONTROL_STEP),
            "jobs.pools.consumer:PoolControl",
            "jobs.pools.lease:Lease",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._acks: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._late: deque[tuple[str, str]] = deque()
        self._give_back: deque[str] = deque()
        super().__init__(*args, **kwargs)
        if not self.hub:
            self.loop = self._blocking_loop

    @property
    def _is_ours(self) -> bool:
        return self.connection is not None and isinstance(self.connection.transport, Transport)

    def _open_qos(self) -> list[QoS]:
        connection = self.connection
        channels = list(connection.transport.channels or ()) if connection is not None and self._is_ours else []
        return [channel._qos for channel in channels if isinstance(channel._qos, QoS)]

    # --- losing a connection
    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Note what is held, so that closing the broken connection re-queues no running job."""
        kept = self._requests_in_pool() if self._is_ours else []
        if self._is_ours:
            self._note_held({request.message.delivery_tag for request in kept})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CPendingDeprecationWarning)
            super().on_connection_error_after_connected(exc)
        self._waiting = [request for request in kept if request not in state.active_requests]

    def _requests_in_pool(self) -> list[Any]:
        """Return the requests that the pool runs, or will run: only prefork's flush drops those that wait."""
        drops_waiting = getattr(self.pool, "_pool", None) is not None and hasattr(self.pool._pool, "outbound_buffer")
        requests = set(state.active_requests)
        return list(requests if drops_waiting else requests | set(state.reserved_requests))

    def _note_held(self, running: set[str]) -> None:
        for qos in self._open_qos():
            acked = qos.take_unsettled()
            self._late.extend((tag, "ack") for tag in acked)
            settled = running | set(acked) | set(qos._dirty)
            self._give_back.extend(tag for tag in qos._delivered if tag not in settled)
            qos.channel.do_restore = False

    def on_close(self) -> None:
        """Forget the requests of the lost connection, but for those that the pool still runs."""
        super().on_close()
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            state.requests[request.id] = request
            state.reserved_requests.add(request)

    _waiting: list[Any] = []

    # --- acknowledgements
    def call_soon_ack(self, p: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Settle a message in the event loop; at once where there is none, or no longer."""
        self._acks.append((p, args))
        if self.hub and self.blueprint.state == RUN:
            return self.hub.call_soon(self._run_acks)
        self._run_acks()
        return p

    def _run_acks(self) -> None:
        with suppress(IndexError):
            while True:
                settle, args = self._acks.popleft()
                try:
                    self._settle_one(settle, args)
                except Exception:
                    logger.exception("a message could not be settled; it comes back after the visibility timeout")

    def _settle_one(self, settle: Any, args: tuple[Any, ...]) -> None:
        message = settle.__self__
        channel = message.channel
        is_lost = channel is None or getattr(channel, "closed", False) or channel.connection is None
        if not is_lost or not isinstance(getattr(channel, "_qos", None), QoS):
            settle(*args)
            return
        is_requeue = settle.__name__ == "reject_log_error" and len(args) > 2 and bool(args[2])
        self._late.append((message.delivery_tag, "requeue" if is_requeue else "ack"))
        self._settle_late()

    def _settle_late(self) -> None:
        """Settle by the present connection what came by an earlier one."""
        consumer = self.task_consumer
        channel = consumer.channel if consumer is not None else None
        if channel is None or channel.closed or not self._is_ours:
            return
        try:
            while self._late:
                tag, how = self._late[0]
                if how == "requeue":
                    channel.qos.restore_by_tag(tag, leftmost=True)
                else:
                    channel.unacked.settle([tag])
                self._late.popleft()
            while self._give_back:
                channel.qos.restore_by_tag(self._give_back[-1])
                self._give_back.pop()
        except self.connection_errors as error:
            logger.warning("acknowledgements wait for the next connection: %r", error)

    def held_tags(self) -> set[str]:
        """Return the delivery tags that this worker answers for. Any thread may call it."""
        tags: set[str] = set()
        for qos in self._open_qos():
            tags.update(copied(qos._delivered))
            tags.difference_update(copied(qos._dirty))
        for request in copied(state.active_requests) + copied(state.reserved_requests):
            if not request.acknowledged:
                tags.add(request.message.delivery_tag)
        return tags

    # --- starting and stopping
    def on_ready(self) -> None:
        """Settle what waited for the connection, then take jobs."""
        self._settle_late()
        super().on_ready()

    def _blocking_loop(self, obj: Any, connection: Any, *args: Any, **kwargs: Any) -> None:
        if self._is_ours:
            drain = connection.drain_events
            connection.drain_events = lambda timeout=CYCLE_S: drain(timeout=min(timeout, CYCLE_S))
        loops.synloop(obj, connection, *args, **kwargs)

    def stop(self) -> None:
        """Stop taking jobs; from here on every acknowledgement is sent at once."""
        for qos in self._open_qos():
            qos.is_immediate = True
        super().stop()
        self._run_acks()
        for qos in self._open_qos():
            with suppress(*self.connection_errors):
                qos.flush()

    def shutdown(self) -> None:
        """Settle what is left and close the connection."""
        self._run_acks()
        super().shutdown()


def copied(items: Iterable[Any]) -> list[Any]:
    """Return the items of a collection that another thread may be changing."""
    while True:
        try:
            return list(items)
        except RuntimeError:  # it changed size meanwhile
            continue
