"""kombu's Redis transport with atomic batch fetches and batched acknowledgements."""

from contextlib import suppress
from typing import Any

from poolwise.transport.acks import QoS, sweep_interval_s
from poolwise.transport.fetching import FetchingChannel
from poolwise.transport.poller import Poller
from poolwise.transport.upstream import stock, transports


class Channel(FetchingChannel):
    """A channel whose consumers fetch by a script, and that gives everything back when it closes."""

    visibility_timeout = 30
    priority_steps = [0]

    def basic_consume(self, queue: str, no_ack: bool = False, *args: Any, **kwargs: Any) -> Any:
        """Consume from a queue; with `no_ack` its messages are not stored in `unacked`."""
        (self.no_ack_queues.add if no_ack else self.no_ack_queues.discard)(queue)
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    def _basic_cancel(self, consumer_tag: str) -> Any:
        result = super()._basic_cancel(consumer_tag)
        if self._in_poll and self.ack_emulation and not self.active_queues:
            self.end_wait()
        return result

    def close(self) -> None:
        """Give back outstanding messages, send the waiting acknowledgements, then close."""
        self._closing = True
        if self._in_poll and self.ack_emulation:
            self.end_wait()
        if isinstance(self._qos, QoS) and not self._qos.is_lost and self.connection is not None:
            with suppress(*self.connection_errors):
                self._qos.flush()
        super().close()


class Transport(stock.Transport):
    """kombu's Redis transport with atomic batch fetches and batched acknowledgements."""

    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle = Poller()

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Join the worker's event loop."""
        options = connection.client.transport_options
        timeout_s = options.get("visibility_timeout", Channel.visibility_timeout)
        options.setdefault("unacked_restore_interval", sweep_interval_s(timeout_s))
        self.cycle.hub = loop
        super().register_with_event_loop(connection, loop)


class SentinelChannel(Channel, stock.SentinelChannel):
    """The channel over Redis Sentinel."""


class SentinelTransport(Transport, stock.SentinelTransport):
    """The transport over Redis Sentinel."""

    Channel = SentinelChannel


def install() -> None:
    """Register these transports for `redis://`, `rediss://`, `redis+socket://` and `sentinel://`."""
    names = {"redis": "Transport", "rediss": "Transport", "sentinel": "SentinelTransport"}
    for scheme, name in names.items():
        transports.TRANSPORT_ALIASES[scheme] = f"{__name__}:{name}"
        transports._transport_cache.pop(scheme, None)
