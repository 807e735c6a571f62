"""The messages that wait at the broker. Only Redis lists them; other brokers give the length of a queue."""

import re
from dataclasses import dataclass, field
from typing import Any

from kombu.utils.json import loads

from poolwise.lifecycle.broker import background_connection
from poolwise.lifecycle.heartbeats import AttemptId
from poolwise.lifecycle.messages import HEADER
from poolwise.pools import get_pool
from poolwise.transport import Transport

_CHUNK = 500


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


@dataclass(slots=True)
class Reading:
    """The attempts whose messages wait in a pool's queue, read in slices."""

    pool: str
    found: set[AttemptId] = field(default_factory=set)
    is_listed: bool = True  # else the broker cannot list them
    _list: int = 0  # one for each priority
    _first: int = 0

    def read(self, limit: int) -> bool:
        """Read about so many more messages; return whether that was all. Raise BrokerUnavailable.

        A message that is in the queue all the time is found: each list is read from the end that producers push to, so
        one that moves between two slices is read twice.
        """
        queue = get_pool(self.pool).queue
        with background_connection() as connection:
            if not isinstance(connection.transport, Transport):
                self.is_listed = not _declared(connection, queue)  # none waits
                return True
            channel = connection.default_channel
            lists = [channel._q_for_pri(queue, priority) for priority in channel.priority_steps]
            until = limit
            while until > 0 and self._list < len(lists):
                slice_ = channel.client.lrange(lists[self._list], self._first, self._first + _CHUNK - 1)
                self.found.update(filter(None, map(attempt_of, slice_)))
                until -= _CHUNK
                self._first += _CHUNK
                if len(slice_) < _CHUNK:
                    self._list, self._first = self._list + 1, 0
            return self._list == len(lists)


#: A published message has both in this order, and in its body, which is base64, there is no quotation mark.
_ATTEMPT = re.compile(rb'"id": "([0-9a-f-]{36})".{0,2000}?"poolwise": \{"attempt": (\d{1,6})[,}]')


def attempt_of(raw: bytes | str) -> AttemptId | None:
    """Return the attempt of a message; None if it is not one of Poolwise."""
    # Seven times as fast as to decode it.
    if isinstance(raw, bytes) and (match := _ATTEMPT.search(raw)):
        return match[1].decode(), int(match[2])
    try:
        headers = loads(raw)["headers"]
        return str(headers["id"]), int((headers.get(HEADER) or {}).get("attempt", 1))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
