"""kombu's Redis transport with batches: messages move into `unacked` atomically, acknowledgements travel together.

Stock kombu pops a message and writes it to `unacked` afterwards, so a kill in between loses it. Here a script does both.
A consumer waits by `BLMOVE queue queue RIGHT RIGHT`, which blocks until a message is there and leaves it in place; the
script follows in the same write, so that waiting and fetching are one round trip and nothing is ever popped unsaved.
"""

import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty
from time import monotonic
from typing import Any, NamedTuple

import redis
from kombu.log import get_logger
from kombu.transport import redis as stock
from kombu.transport import virtual
from kombu.utils.json import loads

from jobs.pools.unacked import FETCH_SHA, Unacked

logger = get_logger(__name__)

MAX_FETCH = 64
MAX_ACKS = 32
ACK_DELAY_S = 0.05
#: With several keys the wait is on one of them at a time, so it is short.
SHARED_WAIT_S = 0.1
NO_CREDIT_POLL_S = 0.25
ERROR_PAUSE_S = 1.0
SWEEP_LIMIT = 1000


class Fetched(NamedTuple):
    """One message as the fetch script returned it; `is_held` says that `unacked` has it."""

    queue: str
    is_held: bool
    raw: bytes


class _Pushes:
    """Stands for a pipeline and notes where kombu would push a restored message."""

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


class QoS(stock.QoS):
    """Acknowledge in batches: with the next fetch, when many wait, or after 50 ms."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_immediate = False
        self.is_timer_set = False
        self._acks: deque[str] = deque()
        self._acks_sent: list[str] = []
        self._next_sweep_at = 0.0

    @property
    def room(self) -> int:
        """Return how many messages one fetch may bring."""
        is_limited_elsewhere = "can_consume" in self.__dict__  # worker_disable_prefetch replaces the method
        if not self.prefetch_count or is_limited_elsewhere:
            return 1
        held = len(self._delivered) - len(self._dirty)
        return max(1, min(MAX_FETCH, self.prefetch_count - held))

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a delivered message; one that the fetch script stored already costs no round trip."""
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

    @property
    def has_acks(self) -> bool:
        return bool(self._acks)

    def start_sending_acks(self) -> list[str]:
        """Return the waiting tags; they count as unsent until `acks_arrived`."""
        while self._acks:
            with suppress(IndexError):
                self._acks_sent.append(self._acks.popleft())
        return self._acks_sent

    def acks_arrived(self) -> None:
        """Forget the tags handed out by `start_sending_acks`."""
        self._acks_sent = []

    def acks_failed(self) -> None:
        """Put the tags handed out by `start_sending_acks` in line again; acknowledging twice does no harm."""
        unsent, self._acks_sent = self._acks_sent, []
        self._acks.extendleft(reversed(unsent))

    def take_unsettled(self) -> list[str]:
        """Return all tags that Redis may not have forgotten yet, and leave none here."""
        self.acks_failed()
        tags = list(self.start_sending_acks())
        self.acks_arrived()
        return tags

    def flush(self) -> None:
        """Send the waiting acknowledgements. Raise redis.ConnectionError and keep them."""
        tags = []
        while self._acks:
            with suppress(IndexError):
                tags.append(self._acks.popleft())
        try:
            self.channel.unacked.settle(tags)
        except BaseException:
            self._acks.extendleft(reversed(tags))
            raise

    def on_timer(self) -> None:
        """Send what waits since 50 ms; while Redis is away it goes on waiting."""
        self.is_timer_set = False
        if self.channel.closed or self.channel.connection is None:
            return
        try:
            self.flush()
        except self.channel.connection_errors as error:
            logger.debug("acknowledgements wait: %r", error)
            self.channel.connection.cycle.on_ack(self)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False, cutoff: str = "") -> None:
        """Put a held message back into its queue, marked as redelivered; do nothing when it is settled."""
        held = self.channel.unacked.held(tag)
        pushes = _Pushes()
        if held:
            message, exchange, routing_key = loads(held.decode())
            self.channel._do_restore_message(message, exchange, routing_key, pushes, leftmost)
            if not pushes.queues:
                return  # no queue takes it now: better kept than lost
        queues = [self.channel.global_keyprefix + queue for queue in pushes.queues]
        self.channel.unacked.restore(tag, queues, pushes.payload, push=pushes.push, cutoff=cutoff)

    def restore_unacked(self, client: Any = None) -> None:
        """Put everything still held back, the oldest next in line."""
        self.flush()
        self._flush()
        for tag in reversed(self._delivered):
            self.restore_by_tag(tag)
        self._delivered.clear()

    def restore_visible(self, start: int = 0, num: int | None = None, interval: int | None = None) -> None:
        """Put back what no worker renewed for the visibility timeout; look at most each sixth of it."""
        now = monotonic()
        if now < self._next_sweep_at:
            return
        self._next_sweep_at = now + sweep_interval_s(self.visibility_timeout)
        cutoff, tags = self.channel.unacked.overdue(self.visibility_timeout, num or SWEEP_LIMIT)
        for tag in reversed(tags):
            self.restore_by_tag(tag, cutoff=cutoff)


def sweep_interval_s(visibility_timeout_s: float) -> float:
    """Return the seconds between two looks for overdue messages."""
    return max(0.1, min(5.0, float(visibility_timeout_s) / 6))


class Channel(stock.Channel):
    """A channel that fetches by script and keeps its Redis client."""

    QoS = QoS
    visibility_timeout = 30
    priority_steps = [0]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.fetched_tags: set[str] = set()
        self._no_ack_queues: set[str] = set()
        self._kept: dict[str, tuple[Any, Any]] = {}
        self._fetching: list[str] = []
        self._room = 0
        self._replies = 0
        self._is_more_likely = False
        self._pause_until = 0.0
        self._waits = 0
        self._wait_id: tuple[Any, int | None] = (None, None)
        super().__init__(*args, **kwargs)

    # --- one client per channel: building one costs as much as a command
    def _keep(self, name: str, pool: Any, build: Callable[[], Any]) -> Any:
        kept_pool, kept = self._kept.get(name, (None, None))
        if kept_pool is not pool:
            kept = build()
            self._kept[name] = (pool, kept)
        return kept

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)
        return self._keep("client", self.pool, super()._create_client)

    @property
    def unacked(self) -> Unacked:
        """Return the keys of unacknowledged messages."""
        return self._keep("unacked", self.pool, self._make_unacked)  # type: ignore[no-any-return]

    def _make_unacked(self) -> Unacked:
        prefix = self.global_keyprefix
        client = redis.Redis(connection_pool=self.pool)
        return Unacked(client, prefix + self.unacked_key, prefix + self.unacked_index_key)

    # --- fetching
    def basic_consume(self, queue: str, no_ack: bool = False, *args: Any, **kwargs: Any) -> Any:
        """Consume from a queue; without acknowledgement nothing of it is kept in `unacked`."""
        (self._no_ack_queues.add if no_ack else self._no_ack_queues.discard)(queue)
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    def _brpop_start(self, timeout: float | None = None) -> None:
        if not self.ack_emulation:
            super()._brpop_start(timeout)
            return
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues or monotonic() < self._pause_until:
            return
        self._fetching = [queue for _ in self.priority_steps for queue in queues]
        keys = [self.global_keyprefix + self._q_for_pri(q, p) for p in self.priority_steps for q in queues]
        acks = self.qos.start_sending_acks()
        may_wait = not acks and not self._is_more_likely
        commands = self._wait_command(keys, timeout or self.brpop_timeout or 0) if may_wait else []
        commands.append(self._fetch_command(keys, len(queues), acks))
        self._send(commands)

    def _wait_command(self, keys: Sequence[str], timeout: float) -> list[tuple[Any, ...]]:
        self._waits += 1
        key = keys[self._waits % len(keys)]
        timeout = timeout if len(keys) == 1 else SHARED_WAIT_S
        return [("BLMOVE", key, key, "RIGHT", "RIGHT", timeout)]

    def _fetch_command(self, keys: Sequence[str], queues: int, acks: Sequence[str]) -> tuple[Any, ...]:
        self._room = self.qos.room
        group = queues if self.queue_order_strategy == "round_robin" else 1
        flags = "".join("0" if queue in self._no_ack_queues else "1" for queue in self._fetching)
        unacked = self.unacked
        keys = [unacked.hash_key, unacked.index_key, *keys]
        return ("EVALSHA", FETCH_SHA, len(keys), *keys, self._room, group, flags, *acks)

    def _send(self, commands: list[tuple[Any, ...]]) -> None:
        connection = self.client.connection
        if self._wait_id[0] is not connection._sock:
            self._wait_id = (connection._sock, self._ask_client_id(connection))
        self._in_poll, self._brpop_sent_at = connection, monotonic()
        self._replies = len(commands)
        try:
            connection.send_packed_command(connection.pack_commands(commands))
        except BaseException:
            self._in_poll = None
            self.qos.acks_failed()
            raise

    def _ask_client_id(self, connection: Any) -> int | None:
        connection.send_command("CLIENT", "ID")
        with suppress(self.ResponseError):  # some hosted servers refuse CLIENT
            return int(connection.read_response())
        return None

    def _brpop_read(self, **options: Any) -> bool:
        if not self.ack_emulation:
            return bool(super()._brpop_read(**options))
        try:
            replies = [self._read_reply() for _ in range(self._replies)]
        except BaseException:
            self.qos.acks_failed()
            self.client.connection.disconnect()
            raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        return self._on_replies(replies)

    def _read_reply(self) -> Any:
        try:
            return self.client.connection.read_response()
        except self.ResponseError as error:
            return error

    def _on_replies(self, replies: list[Any]) -> bool:
        if isinstance(replies[-1], Exception):
            self.qos.acks_failed()
            self._on_refusal(replies[-1])
            raise Empty()
        self.qos.acks_arrived()
        if isinstance(replies[0], Exception) and not replies[-1]:  # the wait was refused: do not ask again at once
            self._on_refusal(replies[0])
        batch = [Fetched(self._fetching[key], bool(held), raw) for key, held, raw in replies[-1]]
        self._is_more_likely = len(batch) >= self._room
        if not batch:
            raise Empty()
        self._hand_out(batch)
        return True

    def _on_refusal(self, error: Exception) -> None:
        self._is_more_likely = False
        if isinstance(error, redis.exceptions.NoScriptError):
            self.unacked.load_fetch()
            return
        logger.error("Redis refuses to hand out messages, next try in %s s: %s", ERROR_PAUSE_S, error)
        self._pause_until = monotonic() + ERROR_PAUSE_S
        if isinstance(error, redis.exceptions.ReadOnlyError):
            self.client.connection.disconnect()  # a replica now: connect anew, to the new primary

    def _hand_out(self, batch: list[Fetched]) -> None:
        left = deque(batch)
        try:
            while left and self._may_deliver(left[0]):
                self._deliver_one(left.popleft())
        finally:
            self.fetched_tags.clear()
            for fetched in reversed(left):
                self._put_back(fetched)

    def _may_deliver(self, fetched: Fetched) -> bool:
        if self._closing or fetched.queue not in self.connection._callbacks:
            return False
        return not fetched.is_held or bool(self.qos.can_consume())

    def _deliver_one(self, fetched: Fetched) -> None:
        self._queue_cycle.rotate(fetched.queue)
        try:
            message = loads(fetched.raw.decode())
            tag = message["properties"]["delivery_tag"]
        except (ValueError, KeyError, TypeError, RecursionError):
            logger.critical("dropped a message of %s that is no message: %.200r", fetched.queue, fetched.raw)
            return
        if fetched.is_held:
            self.fetched_tags.add(tag)
        self.connection._deliver(message, fetched.queue)

    def _put_back(self, fetched: Fetched) -> None:
        priority = 0
        if len(self.priority_steps) > 1:
            priority = self._get_message_priority(loads(fetched.raw.decode()), reverse=False)
        key = self.global_keyprefix + self._q_for_pri(fetched.queue, priority)
        if fetched.is_held:
            tag = loads(fetched.raw.decode())["properties"]["delivery_tag"]
            self.unacked.restore(tag, [key], fetched.raw, push="RPUSH")
        else:
            self.unacked.client.rpush(key, fetched.raw)

    # --- ending
    def _basic_cancel(self, consumer_tag: str) -> Any:
        result = super()._basic_cancel(consumer_tag)
        if self._in_poll and not self.active_queues:
            self._end_wait()
        return result

    def _end_wait(self) -> None:
        """Read the reply that is still under way: what it brings must not stay in `unacked` unseen."""
        try:
            if self._replies > 1 and self._wait_id[1] is not None:
                with suppress(self.ResponseError):
                    self.unacked.client.client_unblock(self._wait_id[1])
            self._brpop_read()
        except Empty:
            pass
        except self.connection_errors as error:
            logger.debug("the last fetch got no reply: %r", error)

    def close(self) -> None:
        """Close; first give back what is under way and send the waiting acknowledgements."""
        self._closing = True
        if self._in_poll and self.ack_emulation:
            self._end_wait()
        if isinstance(self._qos, QoS) and self._qos.has_acks and self.connection is not None:
            with suppress(*self.connection_errors):
                self._qos.flush()
        super().close()


class Poller(stock.MultiChannelPoller):
    """The poller of all channels; without an event loop it wakes up for acknowledgements of other greenlets."""

    def __init__(self) -> None:
        super().__init__()
        self.hub: Any = None
        self._is_polling = self._is_woken = False
        self._ears: tuple[socket.socket, socket.socket] | None = None
        self._acks_since: float | None = None

    def on_ack(self, qos: QoS) -> None:
        """See to it that a waiting acknowledgement is sent within 50 ms."""
        if self.hub is not None:
            if not qos.is_timer_set:
                qos.is_timer_set = True
                self.hub.call_later(ACK_DELAY_S, qos.on_timer)
            return
        is_first = self._acks_since is None
        if is_first:
            self._acks_since = monotonic()
        if is_first or not qos.channel._in_poll:  # credit came back and nothing is under way that would use it
            self._wake()

    def _wake(self) -> None:
        if self._is_polling and self._ears and not self._is_woken:
            self._is_woken = True
            with suppress(OSError):
                self._ears[1].send(b"\0")

    def _listen(self) -> None:
        if self._ears is None:
            self._ears = socket.socketpair()
            for ear in self._ears:
                ear.setblocking(False)
            self.poller.register(self._ears[0].fileno(), self.eventflags)

    def get(self, callback: Any, timeout: float | None = None) -> Any:
        """Wait for one event, as kombu does without an event loop; look after acknowledgements and orphans too."""
        self._listen()
        self.maybe_restore_messages()
        self._is_polling = True
        try:
            return super().get(callback, timeout=self._bounded(timeout))
        finally:
            self._is_polling = False

    def _bounded(self, timeout: float | None) -> float | None:
        bounds = [] if timeout is None else [timeout]
        if not any(getattr(channel._qos, "has_acks", False) for channel in self._channels):
            self._acks_since = None
        if self._acks_since is not None:
            left = self._acks_since + ACK_DELAY_S - monotonic()
            if left <= 0:
                self._flush_acks()
            else:
                bounds.append(left)
        if any(channel.active_queues and not channel.qos.can_consume() for channel in self._channels):
            bounds.append(NO_CREDIT_POLL_S)
        return min(bounds, default=None)

    def _flush_acks(self) -> None:
        self._acks_since = None
        for channel in list(self._channels):
            if channel._qos is not None and getattr(channel._qos, "has_acks", False):
                channel._qos.flush()

    def handle_event(self, fileno: int, event: int) -> Any:
        """Handle one event; a wake-up only ends the wait."""
        if self._ears and fileno == self._ears[0].fileno():
            self._is_woken = False
            with suppress(OSError):
                self._ears[0].recv(4096)
            return None
        return super().handle_event(fileno, event)

    def on_readable(self, fileno: int) -> Any:
        """Read a reply even without credit: the channel puts back what it may not deliver."""
        channel, kind = self._fd_to_chan.get(fileno, (None, None))
        if kind == "BRPOP" and channel._in_poll:
            return channel.handlers[kind]()
        return super().on_readable(fileno)

    def _update_brpop_polling(self) -> None:
        """Pause nothing: an unread reply would hold messages that no lease covers."""

    def close(self) -> None:
        """Close, with the ears."""
        super().close()
        ears, self._ears = self._ears, None
        for ear in ears or ():
            ear.close()


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
    """The same over Redis Sentinel."""


class SentinelTransport(Transport, stock.SentinelTransport):
    """The same over Redis Sentinel."""

    Channel = SentinelChannel


def install() -> None:
    """Make kombu's `redis://`, `rediss://`, `redis+socket://` and `sentinel://` URLs stand for these transports."""
    from kombu import transport

    names = {"redis": "Transport", "rediss": "Transport", "sentinel": "SentinelTransport"}
    for scheme, name in names.items():
        transport.TRANSPORT_ALIASES[scheme] = f"{__name__}:{name}"
        transport._transport_cache.pop(scheme, None)
