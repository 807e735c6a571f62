"""An address leads to another primary now, while the former one stays reachable as a replica."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import redis
from kombu import Connection

from dev import redis_server
from poolwise.coordinator import loop
from poolwise.lifecycle import stream
from poolwise.lifecycle.heartbeats import Heartbeat, send
from poolwise.lifecycle.stream import Ending, Outcome, Place
from poolwise.models import Job
from poolwise.support.failover import connection_class, leaving
from poolwise.support.redis import connect, worker_client
from poolwise.support.redis_urls import for_broker
from poolwise.support.timing import Timings
from tests.helpers.core import after, coordinate, forget_connections, point_at
from tests.helpers.pace import eventually

pytestmark = pytest.mark.slow

#: The error of a replica before version 7 for a script that writes.
REFUSED_BEFORE_7 = (
    "return redis.error_reply('ERR Error running script: @user_script:1: -READONLY You can\\'t write')"
)


class Pair:
    """Two servers behind Unix sockets, and an address that leads to one of them: a symbolic link."""

    def __init__(self, folder: Path) -> None:
        self.link = folder / "redis.sock"
        self.url = f"unix://{self.link}"
        self.sockets = [folder / "first.sock", folder / "second.sock"]
        self.first, self.second = (self._client(path) for path in self.sockets)
        self.link.symlink_to(self.sockets[0])

    @staticmethod
    def _client(path: Path) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(path), decode_responses=True)

    def serve(self, stack: ExitStack) -> None:
        for path in self.sockets:
            options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(path.parent)]
            command = [str(redis_server.find_binary()), *options]
            stack.callback(
                stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL)).terminate
            )
        eventually(lambda: all(path.exists() for path in self.sockets))

    def fail_over(self) -> None:
        """Point the link to the second server and make the first a replica (of a server that never answers)."""
        other = self.link.with_name("other.sock")
        other.symlink_to(self.sockets[1])
        os.replace(other, self.link)
        self.first.replicaof("127.0.0.1", 1)


@pytest.fixture
def pair(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """Two servers; this process uses the link for everything."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        pair = Pair(Path(folder))
        pair.serve(stack)
        point_at(pair.url, settings, monkeypatch)
        monkeypatch.setenv("CELERY_BROKER_URL", for_broker(pair.url))
        settings.BROKER_URL = for_broker(pair.url)
        yield pair
        forget_connections()


def heartbeat(client: Any) -> None:
    send(client, Heartbeat("w1@host", "threads", 42, "host"))


def in_a_transaction(client: Any) -> None:
    client.pipeline().set("a", 1).set("b", 2).execute()


def in_a_row(client: Any) -> None:
    client.pipeline(transaction=False).set("a", 1).set("b", 2).execute()


@pytest.mark.parametrize("write", [heartbeat, in_a_transaction, in_a_row, lambda client: client.set("a", 1)])
def test_after_the_refusal_of_a_replica_the_next_write_reaches_the_primary(
    pair: Pair, write: Callable[[Any], None]
) -> None:
    client = connect(timeout_s=5.0)
    write(client)
    pair.fail_over()
    with pytest.raises(redis.exceptions.ReadOnlyError):
        write(client)
    write(client)
    assert pair.second.dbsize() > 0


def test_the_other_errors_of_a_replica_close_the_connection_too(pair: Pair) -> None:
    client = connect(timeout_s=5.0)
    with pytest.raises(redis.exceptions.ReadOnlyError):
        client.eval(REFUSED_BEFORE_7, 0)
    assert client.connection_pool._available_connections[0]._sock is None
    pair.first.config_set("replica-serve-stale-data", "no")
    assert client.get("a") is None
    pair.fail_over()
    with pytest.raises(redis.exceptions.MasterDownError):
        client.get("a")
    client.set("a", 1)
    assert pair.second.get("a") == "1"


def test_other_errors_keep_the_connection(pair: Pair) -> None:
    client = connect(timeout_s=5.0)
    number = client.client_id()
    with pytest.raises(redis.ResponseError):
        client.eval("return redis.error_reply('ERR no')", 0)
    assert client.client_id() == number


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("redis://a/0", redis.Connection),
        ("rediss://a/0", redis.SSLConnection),
        ("unix:///a", redis.UnixDomainSocketConnection),
    ],
)
def test_every_scheme_of_address_has_such_connections(address: str, kind: type, settings: Any) -> None:
    settings.REDIS_URL = address
    connection = connect(timeout_s=1.0).connection_pool.make_connection()
    assert isinstance(connection, kind)
    assert redis.exceptions.ReadOnlyError in connection.retry._supported_errors
    assert connection.retry.get_retries() == 0
    assert issubclass(connection_class(address), kind)


@pytest.mark.parametrize("kind", [redis.Connection, redis.SSLConnection, redis.UnixDomainSocketConnection])
def test_the_connection_class_extends_the_given_one(kind: type) -> None:
    assert issubclass(leaving(kind), kind)
    assert leaving(kind).__name__ == kind.__name__


def test_acknowledgements_reach_the_new_primary_too(pair: Pair) -> None:
    with Connection(for_broker(pair.url)) as broker:
        channel = broker.default_channel
        channel.unacked.settle(["a"])
        pair.fail_over()
        with pytest.raises((*channel.connection_errors, channel.ResponseError)):
            channel.unacked.settle(["a"])
        channel.unacked.settle(["a"])
        with channel.conn_or_acquire() as client:
            client.lpush("queue", "b")
        assert pair.second.llen("queue") == 1
        assert channel.supports_batch_publish


@pytest.mark.django_db
def test_a_coordinator_continues_at_the_new_primary(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_PAUSE_AFTER_FAULT_S", 0.05)
    job = Job.objects.create(definition="io.wait", kind="io", pool="threads", max_attempts=3)
    outcome = Outcome(str(job.pk), 1, Place("w1@host", 42), Timings(1, 2, 3, 4, 1, 1, 1, 1), Ending.SUCCEEDED)
    heartbeat(worker_client())
    pair.fail_over()
    reporting = after(0.2, lambda: stream.report(pair.second, outcome))
    coordinate(lambda: Job.objects.ended().exists(), monkeypatch)
    reporting.join()
