"""The poller of a connection's channels, which also sends their acknowledgements in time."""

import socket
from contextlib import suppress
from time import monotonic
from typing import Any

from poolwise.transport.acks import QoS, sweep_interval_s
from poolwise.transport.upstream import stock

ACK_DELAY_S = 0.05
#: An acknowledgement frees credit and wakes the poller; other changes of credit are polled at this interval.
NO_CREDIT_POLL_S = 0.25


class Poller(stock.MultiChannelPoller):
    """kombu's poller; without an event loop, acknowledgements of other greenlets wake it."""

    def __init__(self) -> None:
        super().__init__()
        self.hub: Any = None
        self._is_polling = self._is_woken = False
        self._wake_sockets: tuple[socket.socket, socket.socket] | None = None
        self._acks_since: float | None = None

    def on_ack(self, qos: QoS) -> None:
        """Schedule a waiting acknowledgement to be sent within 50 ms."""
        if self.hub is not None:
            if not qos.is_timer_set:
                qos.is_timer_set = True
                self.hub.call_later(ACK_DELAY_S, qos.flush_or_wait)
            return
        is_first = self._acks_since is None
        if is_first:
            self._acks_since = monotonic()
        if is_first or not qos.channel._in_poll:  # there is new credit and no fetch under way uses it
            self._wake()

    def _wake(self) -> None:
        if self._is_polling and self._wake_sockets and not self._is_woken:
            self._is_woken = True
            with suppress(OSError):
                self._wake_sockets[1].send(b"\0")

    def _open_wake_sockets(self) -> None:
        is_consuming = any(c.active_queues and c.qos.prefetch_count for c in self._channels)
        if self._wake_sockets is None and is_consuming:
            self._wake_sockets = socket.socketpair()
            for end in self._wake_sockets:
                end.setblocking(False)
            self.poller.register(self._wake_sockets[0].fileno(), self.eventflags)

    def get(self, callback: Any, timeout: float | None = None) -> Any:
        """Wait for one event, without an event loop; send acknowledgements and restore orphans meanwhile."""
        self._open_wake_sockets()
        self.maybe_restore_messages()
        self._is_polling = True
        try:
            return super().get(callback, timeout=self._next_timeout(timeout))
        finally:
            self._is_polling = False

    def _next_timeout(self, timeout: float | None) -> float | None:
        limits = [] if timeout is None else [timeout]
        if self._has_acks() and self._acks_since is not None:
            left = self._acks_since + ACK_DELAY_S - monotonic()
            limits.append(max(0.0, left))
            if left <= 0:
                self._flush_acks()
        else:
            self._acks_since = None
        for channel in self._channels:
            if channel.active_queues:
                limits.append(sweep_interval_s(channel.visibility_timeout))
                limits += [] if channel.qos.can_consume() else [NO_CREDIT_POLL_S]
        return min(limits, default=None)

    def _has_acks(self) -> bool:
        return any(getattr(channel._qos, "has_acks", False) for channel in self._channels)

    def _flush_acks(self) -> None:
        self._acks_since = None
        for channel in list(self._channels):
            if isinstance(channel._qos, QoS):
                channel._qos.flush_or_wait()

    def handle_event(self, fileno: int, event: int) -> Any:
        """Handle one event; a wake-up only ends the wait."""
        if self._wake_sockets and fileno == self._wake_sockets[0].fileno():
            self._is_woken = False
            with suppress(OSError):
                self._wake_sockets[0].recv(4096)
            return None
        return super().handle_event(fileno, event)

    def on_readable(self, fileno: int) -> Any:
        """Read a reply even without credit: the channel puts back what it must not deliver."""
        channel, kind = self._fd_to_chan.get(fileno, (None, None))
        if kind == "BRPOP" and channel._in_poll:
            return channel.handlers[kind]()
        return super().on_readable(fileno)

    def _update_brpop_polling(self) -> None:
        """Do not pause: an unread reply would contain messages that no lease covers."""

    def close(self) -> None:
        """Close the poller and its wake-up sockets."""
        super().close()
        sockets, self._wake_sockets = self._wake_sockets, None
        for end in sockets or ():
            end.close()
