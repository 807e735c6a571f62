"""The reserved messages: kombu's `unacked` hash and its index of time stamps.

Every time stamp is of Redis's clock, so that hosts with different clocks agree on what is overdue.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from poolwise.support import drop, with_types

#: Settles acknowledged tags, then moves up to `room` messages from the queues into `unacked`. Queues form
#: groups of `group` (one per priority): the queues of a group take turns, and the next group waits until it is empty.
#: A message that the script cannot parse, or of a queue consumed without acknowledgement, is only popped.
FETCH = """
local function parse(raw)
    local properties = cjson.decode(raw).properties
    local info = properties.delivery_info
    local route = cjson.encode(info.exchange) .. ',' .. cjson.encode(info.routing_key)
    assert(type(properties.delivery_tag) == 'string')
    return properties.delivery_tag, '[' .. raw .. ',' .. route .. ']'
end
if #ARGV > 3 then
    redis.call('HDEL', KEYS[1], unpack(ARGV, 4))
    redis.call('ZREM', KEYS[2], unpack(ARGV, 4))
end
local now = redis.call('TIME')
local stamp = now[1] + now[2] / 1000000
local room, group, last = tonumber(ARGV[1]), tonumber(ARGV[2]), #KEYS - 2
local fetched = {}
for first = 1, last, group do
    local may_have_more = true
    while may_have_more and room > 0 do
        may_have_more = false
        for queue = first, math.min(first + group - 1, last) do
            local raw = room > 0 and redis.call('RPOP', KEYS[queue + 2])
            if raw then
                may_have_more, room = true, room - 1
                local ok, tag, entry = false, nil, nil
                if ARGV[3]:sub(queue, queue) == '1' then ok, tag, entry = pcall(parse, raw) end
                if ok then
                    redis.call('HSET', KEYS[1], tag, entry)
                    redis.call('ZADD', KEYS[2], stamp, tag)
                end
                fetched[#fetched + 1] = {queue - 1, ok and 1 or 0, raw}
            end
        end
    end
end
return fetched
"""
FETCH_SHA = hashlib.sha1(FETCH.encode(), usedforsecurity=False).hexdigest()

# A full Redis permits a script if it permits the first write; hence the ZREM of nothing in two of them.

#: Puts one message back into its queues, once, even if several workers try; a tag with a renewed lease stays.
_RESTORE = """
local stamp = redis.call('ZSCORE', KEYS[2], ARGV[1])
if ARGV[2] ~= '' and stamp and tonumber(stamp) > tonumber(ARGV[2]) then return 0 end
if #KEYS == 2 then
    if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then redis.call('ZREM', KEYS[2], ARGV[1]) end
    return 0
end
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
for queue = 3, #KEYS do redis.call(ARGV[3], KEYS[queue], ARGV[4]) end
return 1
"""
#: Returns the overdue tags. If nobody searched for half a timeout, Redis or every worker was away and no lease was
#: renewed: then workers have half a timeout to renew them before any message is an orphan.
_OVERDUE = """
redis.call('ZREM', KEYS[1], '')
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
local timeout = tonumber(ARGV[1])
local since = tonumber(redis.call('HGET', KEYS[2], 'since') or 0) or 0
local last = tonumber(redis.call('HGET', KEYS[2], 'last') or 0) or 0
if now < last or now - last > timeout / 2 then since = now end
redis.call('HSET', KEYS[2], 'since', since, 'last', now)
local cutoff = string.format('%.6f', now - timeout)
if now - since < timeout / 2 then return {cutoff} end
local tags = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', cutoff, 'LIMIT', 0, ARGV[2])
table.insert(tags, 1, cutoff)
return tags
"""
_RENEW = """
redis.call('ZREM', KEYS[1], '')
local now = redis.call('TIME')
local stamp = now[1] + now[2] / 1000000
for _, tag in ipairs(ARGV) do redis.call('ZADD', KEYS[1], 'XX', stamp, tag) end
return 1
"""
_CHUNK = 1000  # limits the arguments of Lua's unpack and the run time of the script


@dataclass(frozen=True, slots=True)
class Unacked:
    """kombu's two keys of unacknowledged messages; the client adds no key prefix."""

    client: redis.Redis
    hash_key: str
    index_key: str
    _scripts: dict[str, Any] = field(default_factory=dict)

    def _script(self, source: str) -> Any:
        if source not in self._scripts:
            self._scripts[source] = self.client.register_script(source)
        return self._scripts[source]

    @property
    def types(self) -> dict[str, str]:
        """Return the types of the keys."""
        return {self.hash_key: "hash", self.index_key: "zset", self._swept_key: "hash"}

    @property
    def _swept_key(self) -> str:
        return f"{self.index_key}_swept"

    def settle(self, tags: Sequence[str | bytes]) -> None:
        """Forget acknowledged messages. Raise redis.ConnectionError."""
        for start in range(0, len(tags), _CHUNK):
            chunk = tags[start : start + _CHUNK]
            # the hash first: if the connection breaks in between, the sweep removes the rest from the index
            with self.client.pipeline(transaction=False) as pipe:
                pipe.hdel(self.hash_key, *chunk)
                pipe.zrem(self.index_key, *chunk)
                pipe.execute()

    def stored(self, tag: str) -> bytes | None:
        """Return the stored message, exchange and routing key as JSON, or None if it is not reserved."""
        return self.client.hget(self.hash_key, tag)  # type: ignore[return-value]

    def restore(
        self, tag: str, queues: Sequence[str], payload: str | bytes, *, push: str, cutoff: str = ""
    ) -> bool:
        """Put a reserved message back: LPUSH as the last, RPUSH as the next; with a cut-off only if overdue."""
        keys = [self.hash_key, self.index_key, *queues]
        return bool(self._script(_RESTORE)(keys=keys, args=[tag, cutoff, push, payload]))

    def overdue(self, after_s: float, limit: int) -> tuple[str, list[str]]:
        """Return the cut-off (a Redis time) and the tags that nobody renewed for `after_s` seconds."""
        keys = [self.index_key, self._swept_key]
        cutoff, *tags = with_types(
            self.client, self.types, lambda: self._script(_OVERDUE)(keys=keys, args=[after_s, limit])
        )
        foreign = [tag for tag in tags if not tag.isascii()]
        for tag in foreign:
            drop("delivery tag", "not ASCII", tag)
        self.settle(foreign)
        return cutoff.decode(), [tag.decode() for tag in tags if tag.isascii()]

    def renew(self, tags: Iterable[str]) -> None:
        """Renew the time stamps of reserved messages, so that no other worker takes them."""
        renewed = list(tags)
        for start in range(0, len(renewed), _CHUNK):
            self._script(_RENEW)(keys=[self.index_key], args=renewed[start : start + _CHUNK])
