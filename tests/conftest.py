"""Fixtures that several test modules share."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib.auth import get_user_model

from tests.platform import Platform


@pytest.fixture
def redis_client() -> Iterator[redis.Redis]:
    """A client of the tests' own Redis, emptied before the test."""
    client = redis.Redis.from_url(settings.REDIS_URL, decode_responses=True)
    client.flushdb()
    yield client
    client.close()


@pytest.fixture
def user(db: None) -> Any:
    """A user who may log in and no more."""
    return get_user_model().objects.create_user("bob", password="bob-bob-bob")


@pytest.fixture
def administrator(db: None) -> Any:
    """A superuser."""
    return get_user_model().objects.create_superuser("ada", password="ada-ada-ada")


@pytest.fixture(scope="session")
def platform_processes() -> Iterator[Platform]:
    """The worker processes of all pools and a coordinator, shared by the session; they start when first asked for."""
    with Platform() as platform:
        yield platform


@pytest.fixture
def platform(transactional_db: None, platform_processes: Platform) -> Iterator[Platform]:
    """The running platform with an empty ledger and nothing queued."""
    platform_processes.ensure("coordinator", *settings.JOB_POOLS)
    yield platform_processes
    platform_processes.drain()


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Wait for a condition: `eventually(lambda: job.has_ended, timeout_s=5)` returns its first true value."""
    from tests.platform import eventually

    return eventually
