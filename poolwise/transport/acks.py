"""Acknowledge messages in batches, and restore those that nobody acknowledged."""

from collections import deque
from contextlib import suppress
from time import monotonic
from typing import Any

from kombu.log import get_logger
from kombu.utils.json import loads

from poolwise.support import drop
from poolwise.transport.upstream import stock, virtual

logger = get_logger(__name__)

MAX_FETCH = 64
MAX_ACKS = 32
SWEEP_LIMIT = 200  # limits the pause of the event loop


def sweep_interval_s(visibility_timeout_s: float) -> float:
    """Return the seconds between two searches for overdue messages."""
    return max(0.1, min(5.0, float(visibility_timeout_s) / 6))


class _Pushes:
    """Takes the place of a pipeline and records where kombu would push a restored message."""

    def __init__(self) -> None:
        self.queues: list[str] = []
        self.payload = ""
        self.push = ""

    def lpush(self, queue: str, payload: str) -> None:
        self._note("LPUSH", queue, payload)

    def rpush(self, queue: str, payload: str) -> None:
        self._note("RPUSH", queue, payload)

    def _note(self, push: str, queue: str, payload: str) -> None:
        self.queues.append(queue)
        self.payload, self.push = payload, push


def _reserved(stored: bytes) -> tuple[Any, str, str]:
    """Return a reserved message, its exchange and its routing key. Raise an error if it is not one."""
    message, exchange, routing_key = loads(stored.decode())
    if not isinstance(exchange, str) or not isinstance(routing_key, str):
        raise TypeError("exchange and routing key must be strings")
    if not isinstance(message["headers"], dict) or not isinstance(
        message["properties"]["delivery_info"], dict
    ):
        raise TypeError("headers and delivery_info must be objects")
    return message, exchange, routing_key


class QoS(stock.QoS):
    """Acknowledges in batches: with the next fetch, at MAX_ACKS, or after 50 ms."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_immediate = False  # the worker is stopping: acknowledge at once
        self.is_lost = False  # the connection is lost: acknowledge through the next one
        self.is_timer_set = False
        #: A fetch waits until it may bring so many messages: each has its cost.
        self.least_room = 1
        self._acks: deque[str] = deque()
        self._acks_sent: list[str] = []
        self._next_sweep_at = 0.0

    @property
    def room(self) -> int:
        """Return how many messages one fetch may bring."""
        if not self.prefetch_count or self._is_limited_elsewhere:
            return 1
        stored = len(self._delivered) - len(self._dirty)
        return max(1, min(MAX_FETCH, self.prefetch_count - stored))

    @property
    def _is_limited_elsewhere(self) -> bool:
        return "can_consume" in self.__dict__  # worker_disable_prefetch replaces the method

    @property
    def is_worth_a_fetch(self) -> bool:
        """Return whether a fetch may bring `least_room` messages."""
        return self._is_limited_elsewhere or self.room >= self.least_room

    @property
    def has_acks(self) -> bool:
        """Return whether acknowledgements wait."""
        return bool(self._acks)

    def append(self, message: Any, delivery_tag: str) -> None:
        """Record a delivered message; one that the fetch script has stored needs no round trip."""
        if delivery_tag in self.channel.fetched_tags:
            self.channel.fetched_tags.discard(delivery_tag)
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge soon; at once when the worker is stopping."""
        self._acks.append(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)
        if self.is_immediate or len(self._acks) >= MAX_ACKS:
            self.flush()
        else:
            self.channel.connection.cycle.on_ack(self)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Drop the message, or put it at the end of its queue."""
        if not requeue:
            self.ack(delivery_tag)
            return
        self.restore_by_tag(delivery_tag, leftmost=True)
        virtual.QoS.ack(self, delivery_tag)

    # --- sending
    def _taken(self) -> list[str]:
        tags = []
        with suppress(IndexError):
            while True:
                tags.append(self._acks.popleft())
        return tags

    def start_sending_acks(self) -> list[str]:
        """Return the waiting tags; they are unsent until `acks_arrived`."""
        self._acks_sent += self._taken()
        return self._acks_sent

    def acks_arrived(self) -> None:
        """Forget the tags returned by `start_sending_acks`."""
        self._acks_sent = []

    def acks_failed(self) -> None:
        """Queue the tags returned by `start_sending_acks` again; acknowledging twice does no harm."""
        unsent, self._acks_sent = self._acks_sent, []
        self._acks.extendleft(reversed(unsent))

    def take_unsettled(self) -> list[str]:
        """Return all tags that Redis may still store, and keep none here."""
        self.acks_failed()
        return self._taken()

    def flush(self) -> None:
        """Send the waiting acknowledgements. Raise redis.RedisError and keep them."""
        tags = self._taken()
        try:
            self.channel.unacked.settle(tags)
        except BaseException:
            self._acks.extendleft(reversed(tags))
            raise

    def flush_or_wait(self) -> None:
        """Send the waiting acknowledgements; keep them while Redis is unreachable or refuses."""
        channel = self.channel
        self.is_timer_set = False
        if channel.closed or channel.connection is None or not self._acks:
            return
        try:
            self.flush()
        except (*channel.connection_errors, channel.ResponseError) as error:
            logger.warning("%s acknowledgements wait: %r", len(self._acks), error)
            channel.connection.cycle.on_ack(self)

    # --- restoring
    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False, cutoff: str = "") -> None:
        """Put a reserved message back into its queue, marked as redelivered; do nothing if it is settled."""
        unacked = self.channel.unacked
        stored = unacked.stored(tag)
        pushes = _Pushes()
        if stored:
            try:
                message, exchange, routing_key = _reserved(stored)
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                drop("reserved message", repr(error), stored[:200])
                unacked.settle([tag])
                return
            self.channel._do_restore_message(message, exchange, routing_key, pushes, leftmost)
            if not pushes.queues:
                return  # it has no queue now: keep it rather than lose it
        queues = [self.channel.global_keyprefix + queue for queue in pushes.queues]
        unacked.restore(tag, queues, pushes.payload, push=pushes.push, cutoff=cutoff)

    def restore_unacked(self, client: Any = None) -> None:
        """Put every reserved message back, so that the oldest is next."""
        self.flush()
        self._flush()
        for tag in reversed(self._delivered):
            self.restore_by_tag(tag)
        self._delivered.clear()

    def restore_visible(self, start: int = 0, num: int | None = None, interval: int | None = None) -> None:
        """Put back what no worker renewed for the visibility timeout; search at most six times in it."""
        now = monotonic()
        if now < self._next_sweep_at:
            return
        self._next_sweep_at = now + sweep_interval_s(self.visibility_timeout)
        try:
            cutoff, tags = self.channel.unacked.overdue(self.visibility_timeout, num or SWEEP_LIMIT)
            for tag in reversed(tags):
                self.restore_by_tag(tag, cutoff=cutoff)
        except (
            self.channel.ResponseError
        ) as error:  # Redis is full, or its disk is: the next sweep finds them
            logger.warning("orphaned messages wait: %s", error)
