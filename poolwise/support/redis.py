"""The platform's own Redis connections, apart from the broker's."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from poolwise.support.dropped import drop
from poolwise.support.failover import connection_class

#: redis-py's stubs type every reply as a union of the sync and async ones, which is of no use.
Client = Any

#: Deletes the keys that hold another type than the one given for each; returns their numbers from 0.
_REMOVE_FOREIGN = """
local removed = {}
for i, name in ipairs(KEYS) do
    local kind = redis.call('TYPE', name).ok
    if kind ~= ARGV[i] and kind ~= 'none' then
        redis.call('DEL', name)
        removed[#removed + 1] = i - 1
    end
end
return removed
"""

#: redis-py refuses a call beyond its default of 100 connections.
_NO_LIMIT = 2**31
#: Raised while Redis is unreachable, or while it refuses: full, loading, read-only.
REDIS_ERRORS = (redis.RedisError, OSError)


def key(*parts: object) -> str:
    """Return a key of ours: the configured prefix and the parts joined by colons."""
    return f"{settings.JOB_KEY_PREFIX}{':'.join(map(str, parts))}"


def connect(*, timeout_s: float) -> Client:
    """Return a client whose calls end within about `timeout_s`; it never retries by itself.

    It opens as many connections as calls are made at a time: with fewer, a call could wait for those of other slots,
    and on a busy machine for longer than its time-out, as if Redis were away.
    """
    pool = redis.ConnectionPool.from_url(
        settings.REDIS_URL,
        max_connections=_NO_LIMIT,
        socket_timeout=timeout_s,
        socket_connect_timeout=min(timeout_s, 2.0),
        retry=Retry(NoBackoff(), 0),
        connection_class=connection_class(settings.REDIS_URL),
        decode_responses=True,
        # Anybody may have written bytes that are no UTF-8. Each gets a text of its own: where two names in a hash become
        # equal, hiredis mixes up the values of the others.
        encoding_errors="surrogateescape",
    )
    return redis.Redis(connection_pool=pool)


@functools.cache
def worker_client() -> Client:
    """Return the client of a worker or the coordinator; its time-out allows for a busy Redis."""
    return connect(timeout_s=5.0)


@functools.cache
def web_client() -> Client:
    """Return the client of a web request, which must not wait for Redis."""
    return connect(timeout_s=0.3)


def eviction_fault(client: Client) -> str | None:
    """Return why this Redis may lose messages by eviction, or None. Raise redis-py's errors."""
    try:
        config = client.config_get("maxmemory*")
    except redis.ResponseError:
        return None  # a managed Redis may forbid CONFIG; its operator configures it
    policy = config.get("maxmemory-policy", "noeviction")
    if policy == "noeviction" or int(config.get("maxmemory", 0)) == 0:
        return None
    return (
        f"Redis evicts keys when its memory is full (maxmemory-policy {policy}), whole queues among them: "
        "set maxmemory-policy noeviction."
    )


@functools.lru_cache(maxsize=64)
def script(client: Client, source: str) -> Any:
    """Return the registered Lua script; redis-py sends its digest and loads the script if Redis lacks it."""
    return client.register_script(source)


def remove_foreign(client: Client, kinds: Mapping[str, str]) -> None:
    """Delete those of these keys that have another type than ours, and so nothing of ours. Raise redis-py's errors."""
    names = list(kinds)
    for number in script(client, _REMOVE_FOREIGN)(keys=names, args=list(kinds.values()), client=client):
        drop("key", f"its type is not {kinds[names[number]]}", names[number])


def with_types[T](client: Client, kinds: Mapping[str, str], call: Callable[[], T]) -> T:
    """Return the result of a call; if one of the keys has another type, delete it and call again.

    Raise redis-py's errors.
    """
    try:
        return call()
    except redis.ResponseError as error:
        if "WRONGTYPE" not in str(error):
            raise
    remove_foreign(client, kinds)
    return call()
