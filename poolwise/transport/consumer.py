"""Celery's consumer, adapted to Redis: after a lost connection the worker goes on, and no running job runs twice.

Unacknowledged messages are in one shared hash by delivery tag, so the next connection can settle what a lost one
brought.
"""

import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from celery.concurrency.base import BasePool
from celery.exceptions import CPendingDeprecationWarning
from celery.utils.log import get_logger
from celery.worker import loops, state

from poolwise.transport.acks import MAX_FETCH, QoS
from poolwise.transport.redis_transport import Transport
from poolwise.transport.upstream import bootsteps, consumer

logger = get_logger(__name__)

#: Without an event loop the worker checks this often for a shutdown, an ETA or a new prefetch count.
CYCLE_S = 0.5
RECONNECT_WITHIN_S = 3.0
_STOCK_CONTROL = "celery.worker.consumer.control:Control"


class PoolConsumer(consumer.Consumer):
    """A consumer that survives a lost Redis connection; on other brokers it behaves like Celery's."""

    class Blueprint(consumer.Consumer.Blueprint):
        """Celery's steps, with our remote control and the lease."""

        default_steps = [
            *(step for step in consumer.Consumer.Blueprint.default_steps if step != _STOCK_CONTROL),
            "poolwise.transport.remote_control:PoolControl",
            "poolwise.transport.lease:RenewUnacked",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._acks: deque[tuple[Any, tuple[Any, ...]]] = deque()
        self._will_run_acks = False
        self._late: deque[tuple[str, bool]] = deque()
        self._reserved_at_loss: deque[str] = deque()
        self._kept: list[Any] = []
        self._unconnected_since_mono: float | None = time.monotonic()
        super().__init__(*args, **kwargs)
        if not self.hub:
            self.loop = self._blocking_loop

    def _open_qos(self) -> list[QoS]:
        """Return the QoS of each open channel of our transport. Any thread may call it."""
        transport = getattr(self.connection, "_transport", None)
        channels = copied(transport.channels or ()) if isinstance(transport, Transport) else []
        return [channel._qos for channel in channels if isinstance(channel._qos, QoS)]

    # --- losing a connection
    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Record the reserved messages, so that closing the broken connection re-queues no running job."""
        lost = self._open_qos()
        for qos in lost:
            qos.is_lost = True
            qos.channel.do_restore = False
            acked = set(qos.take_unsettled())
            self._late.extend((tag, False) for tag in acked)
            self._reserved_at_loss.extend(tag for tag in qos._delivered if tag not in acked | qos._dirty)
        if lost and not self._flush_drops_waiting():
            self._kept = copied(state.reserved_requests)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CPendingDeprecationWarning)
            super().on_connection_error_after_connected(exc)

    def ensure_connected(self, conn: Any) -> Any:
        """Return the connection once it is made, within `RECONNECT_WITHIN_S` after the broker is back."""
        # Celery's own pauses grow to half a minute: jobs would wait that long after an outage.
        pauses = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": RECONNECT_WITHIN_S}
        conn.ensure_connection = partial(conn.ensure_connection, **pauses)
        return super().ensure_connected(conn)

    def _flush_drops_waiting(self) -> bool:
        """Return whether a flush of the pool drops the jobs that it has not begun."""
        return "flush" in vars(self.pool) or type(self.pool).flush is not BasePool.flush

    def on_close(self) -> None:
        """Forget the requests of the lost connection, except those that the pool will run anyway."""
        super().on_close()
        if self._unconnected_since_mono is None:
            self._unconnected_since_mono = time.monotonic()
        kept, self._kept = self._kept, []
        for request in kept:
            state.requests[request.id] = request
            state.reserved_requests.add(request)

    # --- acknowledgements
    def call_soon_ack(self, p: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Settle a message in the event loop; at once if no event loop runs."""
        self._acks.append((p, args))
        if not (self.hub and self.blueprint.state == bootsteps.RUN):
            self._run_acks()
        elif not self._will_run_acks:
            # Else the loop has yet to come to those before, and will do this one too.
            self._will_run_acks = True
            self.hub.call_soon(self._run_acks)
        return p

    def _run_acks(self) -> None:
        self._will_run_acks = False  # first: what is added from here on asks again
        with suppress(IndexError):
            while True:
                settle, args = self._acks.popleft()
                try:
                    self._settle(settle, args)
                except Exception:
                    logger.exception("could not settle a message; it returns after the visibility timeout")

    def _settle(self, settle: Any, args: tuple[Any, ...]) -> None:
        message = settle.__self__
        qos = getattr(message.channel, "_qos", None)
        if not isinstance(qos, QoS) or not (qos.is_lost or message.channel.closed):
            settle(*args)
            return
        is_requeue = settle.__name__ == "reject_log_error" and len(args) > 2 and bool(args[2])
        self._late.append((message.delivery_tag, is_requeue))
        self._settle_late()

    def _settle_late(self) -> None:
        """Settle through the present connection what an earlier one brought."""
        open_qos = [qos for qos in self._open_qos() if not qos.is_lost]
        while open_qos and self._late:
            tag, is_requeue = self._late.popleft()
            try:
                if is_requeue:
                    open_qos[0].restore_by_tag(tag, leftmost=True)
                else:
                    open_qos[0].channel.unacked.settle([tag])
            except self.connection_errors as error:
                self._late.appendleft((tag, is_requeue))
                logger.warning("acknowledgements wait for the next connection: %r", error)
                return

    def _give_back(self) -> None:
        """Put back what the lost connection brought and no job here has begun."""
        begun = {request.message.delivery_tag for request in self._own_requests()}
        for qos in self._open_qos()[:1]:
            while self._reserved_at_loss:
                tag = self._reserved_at_loss[-1]
                if tag not in begun:
                    qos.restore_by_tag(tag)
                self._reserved_at_loss.pop()

    def _own_requests(self) -> list[Any]:
        requests = copied(state.active_requests) + copied(state.reserved_requests)
        return [request for request in requests if not request.acknowledged]

    def reserved_tags(self) -> set[str]:
        """Return the delivery tags of the messages that this worker has reserved. Any thread may call it."""
        tags = {request.message.delivery_tag for request in self._own_requests()}
        for qos in self._open_qos():
            tags.update(set(copied(qos._delivered)) - set(copied(qos._dirty)))
        return tags

    def reserved_attempts(self) -> list[tuple[str, int]]:
        """Return the job id and attempt number of each message of this worker, begun or not. Any thread may call it."""
        return [(str(request.id), int(getattr(request, "attempt", 1))) for request in self._own_requests()]

    # --- starting and stopping
    def on_ready(self) -> None:
        """Settle what waited for the connection, then accept jobs."""
        self._run_acks()
        self._settle_late()
        self._give_back()
        self._unconnected_since_mono = None
        for qos in self._open_qos():  # half of what waits here while all slots are busy
            waiting = min(MAX_FETCH, qos.prefetch_count - self.pool.num_processes)
            qos.least_room = max(1, waiting // 2)
        super().on_ready()

    @property
    def unconnected_s(self) -> float:
        """Return for how long this consumer has had no broker; 0 while connected. Any thread may call it."""
        since_mono = self._unconnected_since_mono
        return 0.0 if since_mono is None else time.monotonic() - since_mono

    @property
    def is_running(self) -> bool:
        """Return whether this consumer works and is not about to end. Any thread may call it."""
        # To end it, Celery sets an exit status, which may be 0.
        statuses: tuple[int | bool | None, ...] = (state.should_stop, state.should_terminate)
        is_ending = any(status is not None and status is not False for status in statuses)
        return self.blueprint.state == bootsteps.RUN and not is_ending

    def _blocking_loop(self, obj: Any, connection: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(connection.transport, Transport):
            drain = connection.drain_events
            connection.drain_events = lambda timeout=CYCLE_S: drain(timeout=min(timeout, CYCLE_S))
        loops.synloop(obj, connection, *args, **kwargs)

    def stop(self) -> None:
        """Stop accepting jobs; from now on send every acknowledgement at once."""
        for qos in self._open_qos():
            qos.is_immediate = True
        super().stop()
        self._run_acks()
        for qos in self._open_qos():
            qos.flush_or_wait()

    def shutdown(self) -> None:
        """Settle what is left and close the connection."""
        self._run_acks()
        super().shutdown()


def copied(items: Iterable[Any]) -> list[Any]:
    """Return the items of a collection that another thread may change meanwhile."""
    while True:
        try:
            return list(items)
        except RuntimeError:  # it changed size
            continue
