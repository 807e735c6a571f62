"""The services that the tests talk to, started before Django's settings are read.

A pytest plugin (`-p tests.helpers.services`): a private Redis once a test asks for it, and a private PostgreSQL when
TEST_DATABASE=postgres. A service that is missing skips its tests at home and fails them where CI=true.
"""

import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev import redis_server
from dev.own_postgres import OwnPostgres, PostgresError
from dev.ports import LOOPBACK

CI = os.environ.get("CI") == "true"
TEST_DATABASE = os.environ.get("TEST_DATABASE", "sqlite")
DIRECTORY = Path(tempfile.mkdtemp(prefix="poolwise-tests-"))
_PRODUCTION = str(Path(__file__).parent / "production")
_stack = contextlib.ExitStack()
#: Reserves the port of the tests' Redis until it starts.
_port = _stack.enter_context(socket.socket())
_port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
_port.bind((LOOPBACK, 0))
_redis = redis_server.Address(_port.getsockname()[1])


def absent(service: str, remedy: str) -> None:
    """Skip the test at home, or fail it in CI, because a service is missing."""
    message = f"{service} is not installed here: {remedy}"
    if CI:
        pytest.fail(message, pytrace=False)
    pytest.skip(message, allow_module_level=True)


def start_postgres(directory: Path) -> str:
    """Start a private PostgreSQL for the length of the test session; return its DATABASE_URL."""
    try:
        server = OwnPostgres(directory)
        server.create()
        _stack.callback(server.stop)
        server.start()
    except PostgresError as error:
        raise pytest.UsageError(f"TEST_DATABASE=postgres: {error}") from error
    return server.url


def _prepare() -> None:
    """Set the environment that settings.py reads, independent of the caller's own platform."""
    # A shell ignores SIGINT in background processes, and every process that a test starts would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("JOB_POOLS", "BROKER_URL", "DATABASE_URL", "POOLWISE_POOL", "LOG_FORMAT", "JOB_KEY_PREFIX"):
        os.environ.pop(name, None)
    # What the tests start loads what production has, and keeps what it compiles: a quarter of a worker's start.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [_PRODUCTION, os.environ.get("PYTHONPATH")]))
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["DEBUG"] = "true"
    os.environ["JOB_WORKER_DEAD_AFTER_S"] = (
        "8"  # with less, workers on a loaded machine would be considered dead
    )
    os.environ["JOB_HEARTBEAT_S"] = "1"
    os.environ["JOB_FILES_DIR"] = str(DIRECTORY / "files")
    os.environ["STATIC_ROOT"] = str(DIRECTORY / "static")
    (DIRECTORY / "static").mkdir()  # WhiteNoise warns if the folder is missing
    os.environ["REDIS_URL"] = _redis.url
    if TEST_DATABASE == "postgres":
        os.environ["DATABASE_URL"] = start_postgres(DIRECTORY)
    else:
        os.environ["DATABASE_URL"] = f"sqlite:///{DIRECTORY / 'database.sqlite3'}"


@pytest.fixture(scope="session")
def suite_redis() -> Iterator[None]:
    """The tests' own Redis, at REDIS_URL: it starts with the first test that needs it."""
    with redis_server.running(DIRECTORY / "redis", durable=False, address=_redis):
        yield


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests that need a Redis, so that `-m "not redis"` runs without one."""
    if "suite_redis" in getattr(item, "fixturenames", ()):
        item.add_marker("redis")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the services and remove their data."""
    _stack.close()
    shutil.rmtree(DIRECTORY, ignore_errors=True)


def pytest_report_header(config: pytest.Config) -> str:
    """Return the database and the Redis that the tests run on."""
    return f"database: {TEST_DATABASE}; redis: {redis_server.find_binary()}; python: {sys.version.split()[0]}"


_prepare()
