"""Heartbeats: each worker sends one every 2 s, stamped by Redis' clock; pages and the coordinator read them.

They are signed: what anybody else wrote there is dropped, as if it were not there.
"""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from django.conf import settings
from pydantic import Field, TypeAdapter

from poolwise.support import (
    REDIS_ERRORS,
    BrokerUnavailable,
    Client,
    drop,
    key,
    script,
    signing,
    web_client,
    with_types,
)

_SEND = """
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], now[1] + now[2] / 1000000, ARGV[1])
if ARGV[3] then redis.call('HSET', KEYS[3], ARGV[1], ARGV[3]) end
return 1
"""
_REMOVE_AFTER_S = 3600.0
#: A job's id and the number of the attempt.
type AttemptId = tuple[str, int]
COORDINATOR = "coordinator"

# Far above any real value, and within what pages show and the database stores.
_Name = Annotated[str, Field(max_length=500)]
_Slots = Annotated[int, Field(ge=0, le=100_000)]
_Count = Annotated[int, Field(ge=0, le=10**15)]
_Seconds = Annotated[float, Field(ge=-1e11, le=1e11, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a worker or a coordinator reports of itself."""

    name: _Name
    pool: _Name
    pid: _Count
    host: _Name
    machine: _Name = ""  # the same in all containers of one machine; see poolwise/lifecycle/environment.py
    slots: _Slots = 0
    in_use: _Slots = 0
    memory_bytes: _Count = 0
    loop_lag_s: _Seconds = 0.0
    started_at: _Seconds = 0.0
    versions: Mapping[_Name, _Name] = field(default_factory=dict)
    cpu_s: _Seconds = 0.0  # of the worker and its children, since its start
    peak_memory_bytes: _Count = 0  # the highest value of all heartbeats
    db_connections: _Count | None = None  # open now; None if unknown
    is_patched: bool | None = None  # of gevent workers: whether the standard library is patched
    stall_max_s: _Seconds = 0.0  # of hub or loop, since the worker started
    refused: _Count = 0  # forged or malformed messages that it dropped, since its start
    is_connected: bool = (
        True  # of a worker: whether it has a connection to the broker, or lost it a moment ago
    )
    has_ended: bool = False  # sent on a worker's behalf by whoever saw its process end


#: Another release may send more or fewer fields: the first are ignored, and most have a default.
_HEARTBEAT = TypeAdapter(Heartbeat)
_RESERVED: TypeAdapter[tuple[str, frozenset[AttemptId]]] = TypeAdapter(tuple[str, frozenset[AttemptId]])


@dataclass(frozen=True, slots=True)
class WorkerHeartbeat:
    """A heartbeat with its age."""

    heartbeat: Heartbeat
    seen_s_ago: float
    stamp: float = 0.0  # by Redis' clock; every heartbeat has another one

    def __getattr__(self, name: str) -> Any:
        return getattr(self.heartbeat, name)

    @property
    def is_alive(self) -> bool:
        """Return whether the last heartbeat is recent enough, and nobody saw the process end."""
        return not self.heartbeat.has_ended and self.seen_s_ago < float(settings.JOB_WORKER_DEAD_AFTER_S)


def _keys() -> list[str]:
    return [key("heartbeats"), key("heartbeats", "at"), key("heartbeats", "reserved")]


def send(client: Client, heartbeat: Heartbeat, reserved: Iterable[AttemptId] | None = None) -> None:
    """Send a heartbeat and, of a worker, the attempts that it has reserved. Raise redis-py's errors."""
    args = [heartbeat.name, signing.signed(signing.HEARTBEAT, json.dumps(asdict(heartbeat)))]
    if reserved is not None:
        args.append(signing.signed(signing.HEARTBEAT, json.dumps([heartbeat.name, list(reserved)])))
    _typed(client, lambda: script(client, _SEND)(keys=_keys(), args=args, client=client))
    if heartbeat.is_connected and settings.JOB_HEARTBEAT_FILE:
        _touch(Path(settings.JOB_HEARTBEAT_FILE))


def _touch(file: Path) -> None:
    try:
        file.touch()
    except OSError as error:  # a full disk must not stop the heartbeats
        logging.getLogger(__name__).warning("JOB_HEARTBEAT_FILE cannot be written: %s", error)


def renew(client: Client, name: str) -> None:
    """Renew the last heartbeat, if there is one, of a worker that runs and cannot send one itself."""
    heartbeats, at, _ = _keys()
    seconds, micros = client.time()
    if _typed(client, lambda: client.hexists(heartbeats, name)):
        _typed(client, lambda: client.zadd(at, {name: seconds + micros / 1e6}, xx=True))


def mark_ended(client: Client, name: str, pid: int) -> bool:
    """Mark the last heartbeat, if there is one, of a worker whose process has ended without withdrawing it.

    Return whether it was marked now. Raise redis-py's errors.
    """
    text = _typed(client, lambda: client.hget(_keys()[0], name))
    last = None if text is None else _parsed(_HEARTBEAT, name, text)
    # Another process may have taken the name since.
    if last is None or (last.name, last.pid, last.has_ended) != (name, pid, False):
        return False
    send(client, replace(last, has_ended=True, is_connected=False))
    return True


def withdraw(client: Client, name: str) -> None:
    """Remove a worker that stops on purpose."""
    heartbeats, at, reserved = _keys()
    _typed(
        client,
        lambda: (
            client.pipeline(transaction=False)
            .hdel(heartbeats, name)
            .zrem(at, name)
            .hdel(reserved, name)
            .execute()
        ),
    )


def _typed[T](client: Client, call: Callable[[], T]) -> T:
    """Return what a call returns, once the three keys have their types: workers soon write them again."""
    return with_types(client, dict(zip(_keys(), ("hash", "zset", "hash"), strict=True)), call)


def _parsed[T](adapter: TypeAdapter[T], name: str, text: str) -> T | None:
    """Return what this worker signed; None, as if it had sent nothing, if it did not or the types are wrong."""
    try:
        return adapter.validate_json(signing.verified(signing.HEARTBEAT, text), strict=True)
    except ValueError as error:
        drop("heartbeat", error, name)
        return None


def read_all(client: Client) -> list[WorkerHeartbeat]:
    """Return every heartbeat in Redis, old ones too. Raise redis-py's errors."""
    heartbeats, at, _ = _keys()
    (seconds, micros), seen, raw = _typed(
        client,
        lambda: (
            client.pipeline(transaction=False)
            .time()
            .zrange(at, 0, -1, withscores=True)
            .hgetall(heartbeats)
            .execute()
        ),
    )
    now = seconds + micros / 1e6
    parsed = [(_parsed(_HEARTBEAT, name, raw[name]), name, stamp) for name, stamp in seen if name in raw]
    # A stamp in the future is from before Redis' clock was set back: a living worker soon sends another.
    return [
        WorkerHeartbeat(heartbeat, abs(now - stamp), stamp)
        for heartbeat, name, stamp in parsed
        if heartbeat is not None and heartbeat.name == name
    ]


def reserved_attempts(client: Client) -> dict[str, frozenset[AttemptId]]:
    """Return by worker the attempts that it ran or had received at its last heartbeat.

    Workers that do not report them are absent. Raise redis-py's errors.
    """
    raw = _typed(client, lambda: client.hgetall(_keys()[2]))
    parsed = {name: _parsed(_RESERVED, name, text) for name, text in raw.items()}
    return {name: given[1] for name, given in parsed.items() if given is not None and given[0] == name}


def remove_dead(client: Client, age_s_by_worker: Mapping[str, float]) -> None:
    """Remove the heartbeats that are older than an hour; `age_s_by_worker` has the age of each in seconds."""
    for name, seconds in age_s_by_worker.items():
        if seconds > _REMOVE_AFTER_S:
            withdraw(client, name)


def workers() -> list[WorkerHeartbeat]:
    """Return the living workers of all pools. Raise BrokerUnavailable within 0.3 s if Redis is unavailable."""
    return [heartbeat for heartbeat in _alive() if heartbeat.pool != COORDINATOR]


def coordinator_is_up(host: str | None = None) -> bool:
    """Return whether a coordinator runs, on that host if one is named. Raise BrokerUnavailable."""
    return any(heartbeat.pool == COORDINATOR and host in (None, heartbeat.host) for heartbeat in _alive())


def _alive() -> list[WorkerHeartbeat]:
    try:
        return [heartbeat for heartbeat in read_all(web_client()) if heartbeat.is_alive]
    except REDIS_ERRORS as error:
        raise BrokerUnavailable() from error


def pools_up() -> dict[str, list[WorkerHeartbeat]]:
    """Return the living workers by pool name; pools without any are absent. Raise BrokerUnavailable."""
    by_pool: dict[str, list[WorkerHeartbeat]] = {}
    for worker in workers():
        by_pool.setdefault(worker.pool, []).append(worker)
    return by_pool
