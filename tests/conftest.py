"""Fixtures that several test modules share."""

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django_celery_results.models import TaskResult
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis

from dev.own_redis import OwnRedis
from poolwise.definitions import Definition, job, registry
from poolwise.models import Comparison, Job, PoolConfiguration, PoolSample
from poolwise.support.startup import uncollected
from tests.helpers.core import forget_connections, point_at
from tests.helpers.platform import Platform

# The tests check properties, not speed, and other tests may load the machine.
hypothesis.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis.load_profile("tests")


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collect the tests without the garbage collector, which takes a quarter of the time in each process."""
    with uncollected():
        return (yield)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that start processes: they take longest, and one left over would keep a core idle.

    Those that share a platform come first: together they take longest, see `tests/helpers/spread.py`.
    """
    markers = ("services", "browser", "slow")
    slow = {item.path for item in items if any(item.get_closest_marker(name) for name in markers)}
    _shared.update(item.path for item in items if "platform" in item.fixturenames)
    items.sort(
        key=lambda item: (item.path not in _shared, item.path.parent.name != "stuck", item.path not in slow)
    )


#: The files whose tests share the session's platform.
_shared: set[Path] = set()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End the session's platform once the next file does not use it: idle, it takes an eighth of a core."""
    if nextitem is not None and nextitem.path not in _shared and item.path in _shared:
        _session.close()


@pytest.fixture
def redis_client(suite_redis: None) -> Iterator[redis.Redis]:
    """A client of the tests' own Redis, emptied before the test."""
    client = redis.Redis.from_url(settings.REDIS_URL, decode_responses=True)
    client.flushdb()
    yield client
    client.close()


@pytest.fixture(autouse=True)
def _quick_hashes(settings: Any) -> None:
    """Hash passwords quickly: a secure hash takes half a second of a core, for every user of every test."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def user(db: None) -> Any:
    """A user in the role submitter, who sees their own jobs."""
    bob = get_user_model().objects.create_user("bob", password="bob-bob-bob")
    bob.groups.add(Group.objects.get(name="submitter"))
    return bob


@pytest.fixture
def administrator(db: None) -> Any:
    """A superuser."""
    return get_user_model().objects.create_superuser("ada", password="ada-ada-ada")


@pytest.fixture(scope="session")
def platform_processes(suite_redis: None) -> Iterator[Platform]:
    """The worker processes of all pools and a coordinator, shared by the session; they start when first used."""
    with _session:
        yield _session


_session = Platform()


@pytest.fixture
def platform(transactional_db: None, platform_processes: Platform) -> Iterator[Platform]:
    """The running platform with an empty database and nothing queued."""
    platform_processes.ensure("coordinator", *settings.JOB_POOLS)
    yield platform_processes
    try:
        platform_processes.end_replaced()
    finally:
        platform_processes.drain()


@pytest.fixture
def no_coordinator(platform_processes: Platform) -> None:
    """Stop the session's coordinator if it runs: it would postpone jobs of pools that it does not know."""
    platform_processes.stop_if_running("coordinator")


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Wait for a condition: `eventually(lambda: job.has_ended, timeout_s=5)` returns its first true value."""
    from tests.helpers.pace import eventually

    return eventually


@pytest.fixture(autouse=True)
def _no_rows_left(request: pytest.FixtureRequest) -> None:
    """Delete, within the transaction of a test, rows that processes of earlier tests wrote late."""
    marker = request.node.get_closest_marker("django_db")
    is_transactional = "transactional_db" in request.fixturenames or (
        marker and marker.kwargs.get("transaction")
    )
    if is_transactional or not (marker or "db" in request.fixturenames):
        return
    request.getfixturevalue("db")
    for model in (PoolSample, PoolConfiguration, Job, Comparison, TaskResult):
        model.objects.all().delete()


@pytest.fixture
def own_keys(suite_redis: None, settings: Any) -> Iterator[redis.Redis]:
    """A client of the tests' Redis; this process uses a key prefix of its own, which the shared platform ignores."""
    settings.JOB_KEY_PREFIX = f"test-{uuid4().hex[:8]}:"
    client = redis.Redis.from_url(settings.REDIS_URL, decode_responses=True)
    yield client
    if keys := client.keys(f"{settings.JOB_KEY_PREFIX}*"):
        client.delete(*keys)
    client.close()


@pytest.fixture
def unserved_pool(suite_redis: None, settings: Any) -> Iterator[str]:
    """The name of a pool that no worker serves; its queue has the same name."""
    name = f"unserved_{uuid4().hex[:8]}"
    settings.JOB_POOLS = {**settings.JOB_POOLS, name: {"model": "threads", "queue": name, "concurrency": 3}}
    yield name
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:  # settings.REDIS_URL may have changed
        client.delete(name, f"_kombu.binding.{name}")


@pytest.fixture
def own_redis(
    suite_redis: None, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OwnRedis]:
    """The test's own Redis, which this process uses for everything; it does not run yet."""
    server = OwnRedis(tmp_path)
    point_at(server.url, settings, monkeypatch)
    yield server
    server.kill()
    forget_connections()


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Definition]:
    """Register a function of a module as a definition until the test ends."""
    monkeypatch.setattr(registry, "_by_name", dict(registry._by_name))
    monkeypatch.setattr(registry, "_name_by_path", dict(registry._name_by_path))
    return lambda body, **options: job(**options)(body).definition
