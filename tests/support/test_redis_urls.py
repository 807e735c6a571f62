import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import redis
from kombu import Connection

from dev import redis_server
from poolwise.support.redis_urls import for_broker, for_redis
from tests.helpers.pace import eventually

PAIRS = [
    ("unix:///run/redis.sock", "redis+socket:///run/redis.sock"),
    ("unix:///run/redis.sock?db=3", "redis+socket:///run/redis.sock?virtual_host=3"),
    (
        "unix://ann:pa%40ss@/run/redis.sock?db=3&client_name=a",
        "redis+socket://ann:pa%40ss@/run/redis.sock?virtual_host=3&client_name=a",
    ),
]


@pytest.mark.parametrize(("ours", "celerys"), PAIRS)
def test_a_unix_socket_is_spelled_for_each(ours: str, celerys: str) -> None:
    assert (for_broker(ours), for_redis(ours)) == (celerys, ours)
    assert (for_broker(celerys), for_redis(celerys)) == (celerys, ours)


@pytest.mark.parametrize(
    "address",
    ["redis://:pw@a:6379/0", "rediss://a/1?ssl_cert_reqs=none", "amqp://a//", "", "redis://a;redis://b"],
)
def test_any_other_address_is_unchanged(address: str) -> None:
    assert (for_broker(address), for_redis(address)) == (address, address)


@pytest.mark.parametrize(
    ("address", "spelled"),
    [
        ("rediss://a/0", "rediss://a/0?ssl_cert_reqs=required"),
        ("rediss://a;rediss://b", "rediss://a?ssl_cert_reqs=required;rediss://b?ssl_cert_reqs=required"),
        ("rediss://a/0?ssl_cert_reqs=CERT_OPTIONAL", "rediss://a/0?ssl_cert_reqs=optional"),
        ("rediss://a?ssl_check_hostname=false", "rediss://a?ssl_check_hostname=false&ssl_cert_reqs=required"),
    ],
)
def test_tls_verifies_certificates_unless_asked_not_to(address: str, spelled: str) -> None:
    assert (for_redis(address), for_broker(address)) == (spelled, spelled)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder for a socket, whose path may have at most about 100 characters."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


def test_redis_py_and_celery_reach_the_same_database_behind_a_socket(short_path: Path) -> None:
    path = short_path / "redis.sock"
    arguments = ["--port", "0", "--unixsocket", str(path), "--requirepass", "pa@ss"]
    arguments += ["--save", "", "--dir", str(short_path)]
    address = f"unix://:pa%40ss@{path}?db=3"
    with subprocess.Popen([str(redis_server.find_binary()), *arguments], stdout=subprocess.DEVNULL) as server:
        try:
            client = redis.Redis.from_url(for_redis(for_broker(address)))
            assert eventually(lambda: answers(client))
            with Connection(for_broker(address)) as broker, broker.SimpleQueue("threads") as queue:
                queue.put({"id": 1})
                assert client.llen("threads") == 1
                assert queue.get(timeout=10).payload == {"id": 1}
            assert client.connection_pool.connection_kwargs["db"] == 3
        finally:
            server.terminate()


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
