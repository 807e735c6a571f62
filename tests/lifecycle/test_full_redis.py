"""A Redis without memory left still takes what frees memory."""

from typing import Any

import pytest

from dev.own_redis import OwnRedis
from poolwise.lifecycle import heartbeats, stream
from poolwise.lifecycle.heartbeats import Heartbeat
from poolwise.support.redis import worker_client


@pytest.fixture
def full(own_redis: OwnRedis) -> Any:
    """A client of a full Redis, whose stream has a group and two entries, and a heartbeat."""
    own_redis.start()
    client = worker_client()
    stream.Reader(client, "before").prepare()
    for text in ("a", "b"):
        client.xadd(stream.stream_key(), {"e": text})
    heartbeats.send(client, Heartbeat("w@box", "threads", 7, "box"))
    client.config_set("maxmemory", "1")
    return client


def test_a_coordinator_that_starts_reads_reports_and_removes_them(full: Any) -> None:
    reader = stream.Reader(full, "after")
    reader.prepare()
    entries = reader.read(count=10, block_ms=10)
    assert [text for _, text in entries] == ["a", "b"]
    reader.acknowledge([entry_id for entry_id, _ in entries])
    assert (full.xlen(stream.stream_key()), full.xpending(stream.stream_key(), stream.GROUP)["pending"]) == (
        0,
        0,
    )


def test_a_worker_that_ends_removes_its_heartbeat(full: Any) -> None:
    heartbeats.withdraw(full, "w@box")
    assert heartbeats.pools_up() == {}
