"""The messages that wait at the broker. Only Redis lists them; other brokers give the length of a queue."""

from collections.abc import Iterator
from typing import Any

from kombu.utils.json import loads

from poolwise.lifecycle.broker import background_connection
from poolwise.lifecycle.heartbeats import AttemptId
from poolwise.lifecycle.messages import HEADER
from poolwise.pools import get_pool
from poolwise.transport import Transport

_CHUNK = 1000


def length(pool: str) -> int:
    """Return how many messages wait in a pool's queue. Raise BrokerUnavailable."""
    queue = get_pool(pool).queue
    with background_connection() as connection:
        if isinstance(connection.transport, Transport):
            return int(connection.default_channel._size(queue))
        return _declared(connection, queue)


def _declared(connection: Any, queue: str) -> int:
    with connection.channel() as channel:
        try:
            return int(channel.queue_declare(queue, passive=True).message_count)
        except connection.channel_errors:
            return 0  # no worker has ever declared it


def waiting(pool: str) -> set[AttemptId] | None:
    """Return the attempts whose messages wait at the broker; None if the broker cannot list them.

    Raise BrokerUnavailable.
    """
    queue = get_pool(pool).queue
    with background_connection() as connection:
        if not isinstance(connection.transport, Transport):
            return None if _declared(connection, queue) else set()
        return set(_attempts(connection.default_channel, queue))


def _attempts(channel: Any, queue: str) -> Iterator[AttemptId]:
    for priority in channel.priority_steps:
        for raw in _messages(channel, channel._q_for_pri(queue, priority)):
            if (attempt := attempt_of(raw)) is not None:
                yield attempt


def attempt_of(raw: bytes | str) -> AttemptId | None:
    """Return the attempt of a message; None if it is not one of Poolwise."""
    try:
        headers = loads(raw)["headers"]
        return str(headers["id"]), int((headers.get(HEADER) or {}).get("attempt", 1))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _messages(channel: Any, name: str) -> Iterator[bytes]:
    # From the end that producers push to: a message that moves between two reads is read twice, never skipped.
    first = 0
    while chunk := channel.client.lrange(name, first, first + _CHUNK - 1):
        yield from chunk
        first += _CHUNK
