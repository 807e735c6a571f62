"""Whatever stands in Redis, each reader returns what this installation wrote and drops the rest."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from poolwise.lifecycle import heartbeats, pauses, stream
from poolwise.lifecycle.heartbeats import Heartbeat
from poolwise.lifecycle.stream import Claim, Place, Started
from poolwise.models import Pause
from poolwise.support import signing
from poolwise.support.redis import connect, key
from poolwise.support.timing import Timings
from tests.helpers.core import claim

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
DEEP = b"[" * 14_000
#: The fields of heartbeats and reports, with values of any type.
FIELDS = st.dictionaries(
    st.sampled_from(["name", "pool", "pid", "host", "slots", "versions", "id", "n", "p", "t", "e", "l", "q", "w"]), JSON
)  # fmt: skip
BYTES = st.binary(max_size=60) | st.just(DEEP) | (JSON | FIELDS).map(lambda value: json.dumps(value).encode())
each = hypothesis(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
STARTED = Started("0" * 32, 1, Place("w@h", 7), Timings(1.0, 2.0, 3.0))
HEARTBEAT = Heartbeat("w1@h", "threads", 42, "h")


@pytest.fixture
def client(own_keys: redis.Redis) -> Iterator[Any]:
    """The platform's own client; the test's prefix is removed afterwards."""
    ours = connect(timeout_s=5.0)
    yield ours
    ours.connection_pool.disconnect()


@pytest.fixture
def stranger(own_keys: redis.Redis, settings: Any) -> Iterator[redis.Redis]:
    """A client that writes bytes."""
    with redis.Redis.from_url(settings.REDIS_URL) as raw:
        yield raw


def _written(purpose: str, value: bytes, is_signed: bool) -> bytes:
    try:
        return signing.signed(purpose, value.decode()).encode() if is_signed else value
    except UnicodeError:
        return value


@pytest.mark.slow
@each
@given(name=BYTES, value=BYTES, is_signed=st.booleans(), stamp=st.floats(allow_nan=False))
def test_heartbeats(
    client: Any, stranger: redis.Redis, name: bytes, value: bytes, is_signed: bool, stamp: float
) -> None:
    for each_key in ((), ("reserved",)):
        stranger.hset(key("heartbeats", *each_key), name, _written(signing.HEARTBEAT, value, is_signed))
    stranger.zadd(key("heartbeats", "at"), {name: stamp})
    heartbeats.send(client, HEARTBEAT, [("a", 1)])
    ours = [read for read in heartbeats.read_all(client) if read.name == HEARTBEAT.name]
    assert [read.heartbeat for read in ours] == [HEARTBEAT]
    assert heartbeats.reserved_attempts(client)[HEARTBEAT.name] == {("a", 1)}


def test_names_that_look_alike_leave_the_others_their_values(client: Any, stranger: redis.Redis) -> None:
    """As bytes that are no UTF-8 did, while each became the same sign: hiredis gave their values to other names."""
    heartbeats.send(client, HEARTBEAT, [("a", 1)])
    for name in (b"\x80", b"\x81", b"\x82\x83", b"\x84\x85"):
        stranger.hset(key("heartbeats"), name, b"foreign")
        stranger.hset(key("heartbeats", "reserved"), name, b"foreign")
    assert [read.heartbeat for read in heartbeats.read_all(client)] == [HEARTBEAT]
    assert heartbeats.reserved_attempts(client) == {HEARTBEAT.name: {("a", 1)}}


@pytest.mark.slow
@each
@given(field=BYTES, value=BYTES, is_signed=st.booleans())
def test_reports(client: Any, stranger: redis.Redis, field: bytes, value: bytes, is_signed: bool) -> None:
    reader = stream.Reader(client, "reader")
    reader.prepare()
    stranger.xadd(stream.stream_key(), {field: value, "e": _written(signing.REPORT, value, is_signed)})
    stranger.xadd(stream.stream_key(), {field: value})
    claim(client, STARTED, "token")
    read = reader.read(count=10, block_ms=0)
    decoded: list[Any] = []
    for _, text in read:
        try:
            decoded.append(stream.decode(text))
        except ValueError:
            decoded.append(None)
    assert decoded[-1] == STARTED
    assert stream.backlog_s(client) >= 0
    reader.acknowledge([entry_id for entry_id, _ in read])
    stranger.delete(stream._claim_key(STARTED.job_id, 1))


@pytest.mark.slow
@each
@given(field=BYTES, value=BYTES)
def test_pauses(client: Any, stranger: redis.Redis, field: bytes, value: bytes) -> None:
    pauses.write_copy(client, pauses.Paused({"threads": Pause.State.PAUSED}))
    for name in (field, b"pool:" + field, b"definition:" + field):
        stranger.hset(stream.pauses_key(), name, value)
    read = pauses.read_copy(client)
    assert read is not None
    assert "threads" in read.pools or field == b"threads"
    assert set(read.pools.values()) | set(read.definitions.values()) <= set(Pause.State.values)


@pytest.mark.slow
@each
@given(value=BYTES)
def test_marks_and_claims(client: Any, stranger: redis.Redis, value: bytes) -> None:
    stranger.set(stream._cancel_key(STARTED.job_id), value)
    assert claim(client, STARTED, "token") is Claim.CLAIMED
    stranger.set(stream._claim_key(STARTED.job_id, 1), value)
    stranger.set(stream._duplicate_key(STARTED.job_id, 1), value)
    assert claim(client, STARTED, "another") is Claim.TAKEN
    stream.begin_no_more(client, STARTED.job_id, 1)
    stranger.delete(stream._claim_key(STARTED.job_id, 1))
    assert claim(client, STARTED, "another") is Claim.CANCELLED


TYPES = {
    "string": lambda client, name: client.set(name, b"\xff"),
    "list": lambda client, name: client.lpush(name, b"\xff"),
    "hash": lambda client, name: client.hset(name, b"\xff", b"\xff"),
    "set": lambda client, name: client.sadd(name, b"\xff"),
    "zset": lambda client, name: client.zadd(name, {b"\xff": 1.0}),
    "stream": lambda client, name: client.xadd(name, {b"\xff": b"\xff"}),
}


@pytest.mark.parametrize("kind", TYPES)
def test_keys_of_another_type_are_made_again(client: Any, stranger: redis.Redis, kind: str) -> None:
    names = [key("heartbeats", *part) for part in ((), ("at",), ("reserved",))]
    names += [stream.stream_key(), stream._claim_key(STARTED.job_id, 1), stream._cancel_key(STARTED.job_id)]
    for name in names:
        TYPES[kind](stranger, name)
    claimed = claim(client, STARTED, "token")
    assert claimed is (Claim.TAKEN if kind == "string" else Claim.CLAIMED)
    assert heartbeats.read_all(client) == []
    assert heartbeats.reserved_attempts(client) == {}
    heartbeats.send(client, HEARTBEAT)
    assert [read.name for read in heartbeats.read_all(client)] == [HEARTBEAT.name]
    reader = stream.Reader(client, "reader")
    reader.prepare()
    assert reader.read(count=10, block_ms=0) or kind == "string"
    assert stream.backlog_s(client) >= 0


def test_marks_follow_a_change_of_the_key(client: Any, settings: Any) -> None:
    stream.mark_cancelled(client, [STARTED.job_id])
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a new one", [settings.SECRET_KEY]
    assert claim(client, STARTED, "token") is Claim.CANCELLED
    settings.SECRET_KEY_FALLBACKS = []
    assert claim(client, STARTED, "token") is Claim.CLAIMED


def test_a_stream_whose_last_id_is_taken_is_made_again_once_it_is_empty(client: Any) -> None:
    reader, other = stream.Reader(client, "reader"), stream.Reader(client, "other")
    reader.prepare()
    claim(client, STARTED, "token")
    client.xadd(stream.stream_key(), {"e": "x"}, id=f"{2**64 - 1}-{2**64 - 1}")
    with pytest.raises(redis.ResponseError):
        client.xadd(stream.stream_key(), {"e": "x"})
    [report] = reader.read(count=1, block_ms=0)
    [forged] = other.read(count=10, block_ms=0)
    other.acknowledge([forged[0]])
    assert other.read(count=10, block_ms=0) == []
    assert client.xlen(stream.stream_key()) == 1, "a report that is not recorded yet was lost"
    reader.acknowledge([report[0]])
    assert other.read(count=10, block_ms=0) == []
    client.xadd(stream.stream_key(), {"e": "x"})
    assert len(reader.read(count=10, block_ms=0)) == 1
