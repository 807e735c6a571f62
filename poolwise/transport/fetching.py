"""Fetch by a script: one round trip waits for a message, pops a batch and stores it in `unacked`.

Stock kombu pops a message and writes it to `unacked` afterwards, so that a kill in between loses it. Here a script does
both. A consumer waits with `BLMOVE queue queue RIGHT RIGHT`, which blocks until there is a message and leaves it in
place; the script follows in the same write, so that no message is popped without being stored.
"""

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty
from time import monotonic
from typing import Any, NamedTuple

import redis
from kombu.log import get_logger
from kombu.utils.json import loads

from poolwise.support import compact_json, drop, remove_foreign
from poolwise.transport.acks import QoS
from poolwise.transport.clients import ClientChannel
from poolwise.transport.refused_messages import refuse
from poolwise.transport.unacked import FETCH, FETCH_SHA

logger = get_logger(__name__)

#: With several keys a wait covers only one of them, so it is short.
SHARED_WAIT_S = 0.1
ERROR_PAUSE_S = 1.0

Command = tuple[Any, ...]


class Key(NamedTuple):
    """The list of one queue and priority."""

    queue: str
    name: str


class Fetched(NamedTuple):
    """One message as the fetch script returned it; `is_stored` if it is in `unacked`."""

    key: Key
    is_stored: bool
    raw: bytes


class FetchingChannel(ClientChannel):
    """A channel that fetches by script."""

    QoS = QoS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.fetched_tags: set[str] = set()
        self.no_ack_queues: set[str] = set()
        self._keys: list[Key] = []
        self._room = self._replies = self._waits = 0
        self._is_more_likely = False
        self._pause_until = 0.0
        self.wait_id: tuple[Any, int | None] = (None, None)
        super().__init__(*args, **kwargs)

    # --- sending
    def _brpop_start(self, timeout: float | None = None) -> None:
        """Send a fetch, after a wait unless there are acknowledgements to send or more messages are likely."""
        if not self.ack_emulation:
            super()._brpop_start(timeout)
            return
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues or monotonic() < self._pause_until or not self.qos.is_worth_a_fetch:
            return
        self._keys = [
            Key(queue, self.global_keyprefix + self._q_for_pri(queue, priority))
            for priority in self.priority_steps
            for queue in queues
        ]
        acks = self.qos.start_sending_acks()
        fetch = self._fetch_command(len(queues), acks)
        if acks or self._is_more_likely:
            self._send([fetch])
        else:
            self._send([self._wait_command(timeout or self.brpop_timeout or 0), fetch])

    def _wait_command(self, timeout: float) -> Command:
        self._waits += 1
        key = self._keys[self._waits % len(self._keys)].name
        return ("BLMOVE", key, key, "RIGHT", "RIGHT", timeout if len(self._keys) == 1 else SHARED_WAIT_S)

    def _fetch_command(self, queues: int, acks: Sequence[str]) -> Command:
        self._room = self.qos.room
        group = queues if self.queue_order_strategy == "round_robin" else 1
        flags = "".join("0" if key.queue in self.no_ack_queues else "1" for key in self._keys)
        names = [self.unacked.hash_key, self.unacked.index_key, *(key.name for key in self._keys)]
        return ("EVALSHA", FETCH_SHA, len(names), *names, self._room, group, flags, *acks)

    def _send(self, commands: Sequence[Command]) -> None:
        connection = self.client.connection
        try:
            if self.wait_id[0] is not connection._sock:
                self.wait_id = (connection._sock, self._prepare(connection))
            connection.send_packed_command(connection.pack_commands(commands))
        except BaseException:
            self.qos.acks_failed()
            raise
        self._in_poll, self._brpop_sent_at, self._replies = connection, monotonic(), len(commands)

    def _prepare(self, connection: Any) -> int | None:
        """Load the script; return the client id of the connection, by which its wait can be ended, or None."""
        commands = [("SCRIPT", "LOAD", FETCH), ("CLIENT", "ID")]
        connection.send_packed_command(connection.pack_commands(commands))
        _, client_id = self._read_reply(connection), self._read_reply(connection)
        return client_id if isinstance(client_id, int) else None

    # --- reading
    def _brpop_read(self, **options: Any) -> bool:
        """Read the replies of a fetch and deliver its messages. Raise Empty if there are none."""
        if not self.ack_emulation:
            return bool(super()._brpop_read(**options))
        connection = self.client.connection
        try:
            replies = [self._read_reply(connection) for _ in range(self._replies)]
        except BaseException:
            self.qos.acks_failed()
            connection.disconnect()
            raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        self._deliver_batch(self._parsed(replies))
        return True

    def _read_reply(self, connection: Any) -> Any:
        try:
            return connection.read_response()
        except self.ResponseError as error:
            return error

    def _parsed(self, replies: list[Any]) -> list[Fetched]:
        first, last = replies[0], replies[-1]
        if isinstance(last, Exception):
            self.qos.acks_failed()
            self._on_refusal(last)
            raise Empty()
        self.qos.acks_arrived()
        self._is_more_likely = len(last) >= self._room
        if not last:
            if isinstance(first, Exception):  # a refused wait returns at once: pause, or the loop would spin
                self._on_refusal(first)
            raise Empty()
        return [Fetched(self._keys[key], bool(is_stored), raw) for key, is_stored, raw in last]

    def _on_refusal(self, error: Exception) -> None:
        self._is_more_likely = False
        if isinstance(error, redis.exceptions.NoScriptError):
            self.wait_id = (None, None)  # prepare again: that loads the script
            return
        if "WRONGTYPE" in str(error):
            lists = dict.fromkeys((key.name for key in self._keys), "list")
            remove_foreign(self.unacked.client, {**self.unacked.types, **lists})
        logger.error("Redis refuses to deliver messages, trying again in %s s: %s", ERROR_PAUSE_S, error)
        self._pause_until = monotonic() + ERROR_PAUSE_S
        if isinstance(error, redis.exceptions.ReadOnlyError):
            self.client.connection.disconnect()  # it is a replica now: connect again, to the new primary

    # --- delivering
    def _deliver_batch(self, batch: list[Fetched]) -> None:
        left = deque(batch)
        try:
            while left and self._may_deliver(left[0]):
                self._deliver_one(left.popleft())
        finally:
            self.fetched_tags.clear()
            while left:
                self._put_back(left.pop())

    def _may_deliver(self, fetched: Fetched) -> bool:
        if self._closing or fetched.key.queue not in self.connection._callbacks:
            return False
        return not fetched.is_stored or bool(self.qos.can_consume())

    def _deliver_one(self, fetched: Fetched) -> None:
        queue = fetched.key.queue
        self._queue_cycle.rotate(queue)
        try:
            message = compact_json.loads(fetched.raw)
            tag = message["properties"]["delivery_tag"]
            self._check(message, tag)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            refuse(
                f"an entry of the queue {queue} is not a message ({type(error).__name__})", fetched.raw[:200]
            )
            self._forget(fetched)
            return
        if fetched.is_stored:
            self.fetched_tags.add(tag)
        self.connection._deliver(message, queue)

    def _receive_one(self, c: Any) -> Any:
        try:
            return super()._receive_one(c)
        except RecursionError as error:
            drop("broadcast message", error)
            raise Empty() from error

    def _deliver_fanout_message(self, message: Any, exchange: str) -> bool:
        try:
            self._check(message, message["properties"]["delivery_tag"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            drop("broadcast message", repr(error), exchange)
            return False
        return bool(super()._deliver_fanout_message(message, exchange))

    def _check(self, message: Any, tag: Any) -> None:
        """Raise ValueError, KeyError or TypeError if kombu would fail after it had taken the message."""
        if not isinstance(tag, str) or not isinstance(message["body"], str):
            raise TypeError("delivery_tag and body must be strings")
        if not isinstance(message["headers"], dict) or not isinstance(
            message["properties"]["delivery_info"], dict
        ):
            raise TypeError("headers and delivery_info must be objects")
        if "compression" in message["headers"]:
            raise ValueError("compressed messages are refused: a small one can expand to gigabytes")
        self.decode_body(message["body"], message["properties"].get("body_encoding"))

    def _forget(self, fetched: Fetched) -> None:
        if fetched.is_stored:  # so the script has parsed its tag
            self.unacked.settle([str(loads(fetched.raw.decode())["properties"]["delivery_tag"])])

    def _put_back(self, fetched: Fetched) -> None:
        if fetched.is_stored:
            tag = loads(fetched.raw.decode())["properties"]["delivery_tag"]
            self.unacked.restore(tag, [fetched.key.name], fetched.raw, push="RPUSH")
        else:
            self.unacked.client.rpush(fetched.key.name, fetched.raw)

    def end_wait(self) -> None:
        """Read the outstanding reply: its messages must not stay in `unacked` unnoticed."""
        try:
            if self._replies > 1 and self.wait_id[1] is not None:
                with suppress(self.ResponseError):
                    self.unacked.client.client_unblock(self.wait_id[1])
            self._brpop_read()
        except Empty:
            pass
        except self.connection_errors as error:
            logger.debug("the last fetch got no reply: %r", error)
