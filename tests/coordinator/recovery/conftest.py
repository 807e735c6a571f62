"""Jobs, workers and a broker in every state that something can go missing from."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.utils import timezone

from poolwise.coordinator.recovery import Recovery, heartbeat_ages, missing_since, sweep
from poolwise.lifecycle import publishing
from poolwise.lifecycle.heartbeats import AttemptId, Heartbeat, mark_ended, send
from poolwise.models import Job, JobState
from poolwise.support.redis import key


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        """Return the time that it stands at."""
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The monotonic clock of recovery."""
    clock = Clock()
    for module in (missing_since, heartbeat_ages):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def recovery(
    db: None, own_keys: Any, clock: Clock, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Recovery:
    """Recovery for workers that send heartbeats each second and are dead after five; each sweep counts."""
    monkeypatch.setattr(sweep, "_COUNTS_APART", 0)
    settings.JOB_HEARTBEAT_S, settings.JOB_WORKER_DEAD_AFTER_S = 1.0, 5.0
    return Recovery(own_keys)


@pytest.fixture
def make() -> Callable[..., Job]:
    """Store a job."""

    def make(**fields: Any) -> Job:
        defaults = {"definition": "io.wait", "kind": "io", "pool": "threads", "max_attempts": 3}
        return Job.objects.create(**{**defaults, "params": {"duration_s": 0.0}, **fields})

    return make


@pytest.fixture
def running(make: Callable[..., Job]) -> Callable[..., Job]:
    """Store a job that a worker runs."""

    def running(worker: str = "w1@host", **fields: Any) -> Job:
        begun = {"started_at": timezone.now() - timedelta(seconds=60), "pid": 42, "broker_wait_s": 0.5}
        return make(**{"state": JobState.RUNNING, "worker": worker, **begun, **fields})

    return running


@pytest.fixture
def published(make: Callable[..., Job], unserved_pool: str) -> Callable[..., Job]:
    """Store and publish a job on a pool that no worker serves."""

    def published(**fields: Any) -> Job:
        job = make(**{"pool": unserved_pool, "due_at": timezone.now(), **fields})
        assert publishing.publish([job], budget_s=5.0) == 1
        return job

    return published


@pytest.fixture
def heartbeat(own_keys: Any) -> Callable[..., None]:
    """Send a worker's heartbeat, dated `ago_s` seconds ago; `reserved` are its attempts."""

    def heartbeat(
        name: str = "w1@host",
        *,
        ago_s: float = 0.0,
        reserved: list[AttemptId] | None = None,
        pool: str = "threads",
    ) -> None:
        send(own_keys, Heartbeat(name, pool, 42, "host"), reserved)
        own_keys.zincrby(key("heartbeats", "at"), -ago_s, name)

    return heartbeat


@pytest.fixture
def end(own_keys: Any) -> Callable[..., None]:
    """Mark a worker whose heartbeat stands as ended."""

    def end(name: str = "w1@host") -> None:
        assert mark_ended(own_keys, name, 42)

    return end


@pytest.fixture
def broker() -> Iterator[redis.Redis]:
    """A client of the broker."""
    with redis.Redis.from_url(django_settings.BROKER_URL, decode_responses=True) as client:
        yield client
