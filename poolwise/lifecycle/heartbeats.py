"""Signs of life: each worker writes one, by Redis' own clock; pages and the coordinator read them."""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from django.conf import settings

from poolwise.support import REDIS_ERRORS, BrokerUnavailable, Client, key, script, web_client

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


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a worker, or the coordinator, says of itself."""

    name: str
    pool: str
    pid: int
    host: str
    machine: str = ""  # the same for all containers of one; see poolwise/lifecycle/environment.py
    slots: int = 0
    in_use: int = 0
    memory_bytes: int = 0
    loop_lag_s: float = 0.0
    started_at: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
    cpu_s: float = 0.0  # of the worker and its children, since it began
    peak_memory_bytes: int = 0  # the most that a beat has found since then
    db_connections: int | None = None  # open now; None where it cannot be told
    is_patched: bool | None = None  # of gevent workers: whether the standard library waits for the hub
    stall_max_s: float = 0.0  # of hub or loop, since the worker began
    refused: int = 0  # messages that it took for forged or malformed and dropped, since it began
    is_connected: bool = True  # of a worker: whether it has its broker, or lost it only just now


@dataclass(frozen=True, slots=True)
class WorkerHeartbeat:
    """A beat as its reader sees it."""

    heartbeat: Heartbeat
    seen_s_ago: float
    stamp: float = 0.0  # by Redis' clock; another one with each sign

    def __getattr__(self, name: str) -> Any:
        return getattr(self.heartbeat, name)

    @property
    def is_alive(self) -> bool:
        """Return whether the last sign of life is recent enough."""
        return self.seen_s_ago < float(settings.JOB_WORKER_DEAD_AFTER_S)


def _keys() -> list[str]:
    return [key("heartbeats"), key("heartbeats", "at"), key("heartbeats", "reserved")]


def send(client: Client, heartbeat: Heartbeat, reserved: Iterable[AttemptId] | None = None) -> None:
    """Write a sign of life and, of a worker, the attempts that it holds. Raise redis-py's errors."""
    args = [heartbeat.name, json.dumps(asdict(heartbeat))]
    if reserved is not None:
        args.append(json.dumps(list(reserved)))
    script(client, _SEND)(keys=_keys(), args=args, client=client)
    if settings.JOB_HEARTBEAT_FILE and heartbeat.is_connected:
        _touch(Path(settings.JOB_HEARTBEAT_FILE))


def _touch(file: Path) -> None:
    try:
        file.touch()
    except OSError as error:  # a full disk must not silence a worker that lives
        logging.getLogger(__name__).warning("JOB_HEARTBEAT_FILE cannot be written: %s", error)


def renew(client: Client, name: str) -> None:
    """Renew a worker's last sign of life, if there is one, for a worker that lives and cannot give one itself."""
    heartbeats, at, _ = _keys()
    seconds, micros = client.time()
    if client.hexists(heartbeats, name):
        client.zadd(at, {name: seconds + micros / 1e6}, xx=True)


def withdraw(client: Client, name: str) -> None:
    """Take a worker off the list, as it stops on purpose."""
    heartbeats, at, reserved = _keys()
    client.pipeline().hdel(heartbeats, name).zrem(at, name).hdel(reserved, name).execute()


def _parse(text: str) -> Heartbeat | None:
    known = {f.name for f in fields(Heartbeat)}  # a newer or older release may say more or less
    try:
        return Heartbeat(**{name: value for name, value in json.loads(text).items() if name in known})
    except (ValueError, TypeError, AttributeError):
        return None  # too much less: the worker is as good as silent


def read_all(client: Client) -> list[WorkerHeartbeat]:
    """Return every sign of life that Redis holds, the silent ones too. Raise redis-py's errors."""
    heartbeats, at, _ = _keys()
    (seconds, micros), seen, raw = (
        client.pipeline(transaction=False)
        .time()
        .zrange(at, 0, -1, withscores=True)
        .hgetall(heartbeats)
        .execute()
    )
    now = seconds + micros / 1e6
    parsed = [(_parse(raw[name]), stamp) for name, stamp in seen if name in raw]
    # A stamp of the future is from before Redis' clock was set back: whoever lives has soon given another.
    return [
        WorkerHeartbeat(heartbeat, abs(now - stamp), stamp)
        for heartbeat, stamp in parsed
        if heartbeat is not None
    ]


def reserved_attempts(client: Client) -> dict[str, frozenset[AttemptId]]:
    """Return by worker which attempts it held at its last sign of life, begun or only received.

    A worker that cannot tell is absent. Raise redis-py's errors.
    """
    return {name: _attempts(text) for name, text in client.hgetall(_keys()[2]).items()}


def _attempts(text: str) -> frozenset[AttemptId]:
    try:
        return frozenset((str(job_id), int(attempt)) for job_id, attempt in json.loads(text))
    except (ValueError, TypeError):
        return frozenset()


def remove_dead(client: Client, age_s_by_worker: Mapping[str, float]) -> None:
    """Drop the beats of workers that have been silent for an hour; `age_s_by_worker` says for how many seconds each has."""
    for name, seconds in age_s_by_worker.items():
        if seconds > _REMOVE_AFTER_S:
            withdraw(client, name)


def workers() -> list[WorkerHeartbeat]:
    """Return the living workers of all pools. Raise BrokerUnavailable within 0.3 s if Redis is away."""
    try:
        heartbeats = read_all(web_client())
    except REDIS_ERRORS as error:
        raise BrokerUnavailable() from error
    return [b for b in heartbeats if b.is_alive and b.pool != COORDINATOR]


def coordinator_is_up(host: str | None = None) -> bool:
    """Return whether a coordinator lives, on that host if one is named. Raise BrokerUnavailable if Redis is away."""
    try:
        heartbeats = read_all(web_client())
    except REDIS_ERRORS as error:
        raise BrokerUnavailable() from error
    coordinators = (b for b in heartbeats if b.is_alive and b.pool == COORDINATOR)
    return any(host in (None, b.host) for b in coordinators)


def pools_up() -> dict[str, list[WorkerHeartbeat]]:
    """Return the living workers by pool name; pools without any are absent. Raise BrokerUnavailable."""
    by_pool: dict[str, list[WorkerHeartbeat]] = {}
    for worker in workers():
        by_pool.setdefault(worker.pool, []).append(worker)
    return by_pool
