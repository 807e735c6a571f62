"""kombu's Redis transport with atomic batch fetches and batched acknowledgements."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import redis

from poolwise.support import drop, with_types
from poolwise.transport.acks import QoS, sweep_interval_s
from poolwise.transport.fetching import FetchingChannel
from poolwise.transport.poller import Poller
from poolwise.transport.upstream import stock, transports

_BINDING_PARTS = 3


class Channel(FetchingChannel):
    """A channel whose consumers fetch by a script, and that gives everything back when it closes."""

    visibility_timeout = 30
    priority_steps = [0]

    def basic_consume(self, queue: str, no_ack: bool = False, *args: Any, **kwargs: Any) -> Any:
        """Consume from a queue; with `no_ack` its messages are not stored in `unacked`."""
        (self.no_ack_queues.add if no_ack else self.no_ack_queues.discard)(queue)
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    # Anybody may have put another type in the place of these keys; ours is then gone, and is made again.
    def _size(self, queue: str) -> int:
        lists = [self.global_keyprefix + self._q_for_pri(queue, each) for each in self.priority_steps]
        # Not by kombu's transaction: a full Redis refuses each, and a worker measures its queue when it starts.
        return int(
            self._typed(dict.fromkeys(lists, "list"), lambda: sum(map(self.unacked.client.llen, lists)))
        )

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        bind = super()._queue_bind
        try:
            self._typed(self._binding_types(exchange), bind, exchange, routing_key, pattern, queue)
        except redis.OutOfMemoryError:
            # Broadcasts need no binding, and that of a pool's queue is there if the pool has ever had a worker.
            if self.typeof(exchange).type != "fanout" and not self._is_bound(exchange, queue):
                raise

    def _is_bound(self, exchange: str, queue: str) -> bool:
        return any(bound == queue for _, _, bound in self.get_table(exchange))

    def _refresh_bindings(self, queues: list[str]) -> None:
        exchanges = {exchange for queue in queues for exchange, *_ in self.state.queue_bindings(queue)}
        self._typed(self._binding_types(*exchanges), super()._refresh_bindings, queues)

    def maybe_refresh_binding_expiry(self) -> None:
        """Keep the bindings of consumed queues; a fault that another write has caused does not end the worker."""
        try:
            super().maybe_refresh_binding_expiry()
        except self.ResponseError as error:
            drop("binding", error)

    def _binding_types(self, *exchanges: str) -> dict[str, str]:
        patterns = (self.keyprefix_queue, self.keyprefix_binding_permanent)
        sets = [self.global_keyprefix + pattern % each for pattern in patterns for each in exchanges]
        return {**dict.fromkeys(sets, "set"), self._script_binding_deadlines: "zset"}

    def _typed(self, types: dict[str, str], call: Callable[..., Any], *args: Any) -> Any:
        return with_types(self.unacked.client, types, lambda: call(*args))

    def get_table(self, exchange: str) -> list[tuple[str, ...]]:
        """Return the bindings of an exchange: routing key, pattern and queue of each."""
        members = self.client.smembers(self.keyprefix_queue % exchange)
        rows = [tuple(member.decode(errors="replace").split(self.sep)) for member in members]
        for row in rows:
            if len(row) != _BINDING_PARTS:
                drop("binding", f"of the exchange {exchange}", row)
        return [row for row in rows if len(row) == _BINDING_PARTS]

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
        others = set(loop.on_tick)
        super().register_with_event_loop(connection, loop)
        # kombu's own call registers each socket again in each turn of the loop, which takes longer than the turn.
        loop.on_tick.difference_update(loop.on_tick - others)
        loop.on_tick.add(partial(self._before_poll, loop))

    def _before_poll(self, loop: Any) -> None:
        self.cycle.on_poll_start()
        for descriptor in self.cycle.fds:
            registered = loop.readers.get(descriptor)
            # One of an earlier connection may have had this number.
            if registered is None or registered[0] != self.on_readable:
                loop.add_reader(descriptor, self.on_readable, descriptor)


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
