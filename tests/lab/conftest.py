"""Pools whose workers only send heartbeats, for tests that run the jobs' steps themselves."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.utils import timezone

from poolwise.lab import plan
from poolwise.lab.bundle import writing
from poolwise.lab.run import advance
from poolwise.lifecycle.heartbeats import Heartbeat, send, withdraw
from poolwise.models import Batch, Comparison, Job, JobState
from poolwise.support.timing import wall_now

POOLS = ("alpha", "beta", "gamma")


class Bench:
    """The workers of three pools, and the steps of a coordinator."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.workers = {
            f"{name}-1@h": Heartbeat(f"{name}-1@h", name, 10, "h", slots=2, started_at=wall_now())
            for name in POOLS
        }

    def heartbeat(self) -> None:
        """Send a heartbeat of every worker."""
        for worker in self.workers.values():
            send(self.client, worker)

    def add(self, name: str, pool: str, slots: int = 2) -> None:
        """Start a worker."""
        self.workers[name] = Heartbeat(name, pool, 11, "h", slots=slots, started_at=wall_now())

    def change(self, name: str, **fields: Any) -> None:
        """Change the heartbeats of a worker."""
        self.workers[name] = replace(self.workers[name], **fields)

    def remove(self, name: str) -> None:
        """Stop a worker."""
        del self.workers[name]
        withdraw(self.client, name)

    def tick(self) -> int:
        """Take a coordinator's next step after a round of heartbeats; return how many batches were released."""
        self.heartbeat()
        return advance()

    def end_jobs(self, state: str = JobState.SUCCEEDED, **fields: Any) -> None:
        """End every live job."""
        Job.objects.live().update(
            **{"state": state, "started_at": timezone.now(), "finished_at": timezone.now(), **fields}
        )

    def run_on(self, comparison: Comparison, limit: int = 100) -> None:
        """Take steps until the comparison ends."""
        for _ in range(limit):
            comparison.refresh_from_db()
            if comparison.state in (Comparison.State.FINISHED, Comparison.State.CANCELLED):
                return
            self.tick()
            self.end_jobs()
        raise AssertionError("the comparison does not end")


@pytest.fixture
def bench(settings: Any, own_keys: Any, db: None) -> Iterator[Bench]:
    """Three pools, each with a worker of two slots that runs nothing."""
    prefix = settings.JOB_KEY_PREFIX.strip(":")
    settings.JOB_POOLS = {
        name: {"model": "threads", "queue": f"{prefix}-{name}", "concurrency": 2} for name in POOLS
    }
    yield Bench(own_keys)
    for name in POOLS:
        own_keys.delete(f"{prefix}-{name}", f"_kombu.binding.{prefix}-{name}")


def planned(pools: tuple[str, ...] = POOLS, copies: int = 2, **options: Any) -> Comparison:
    return plan("io.wait", {"duration_s": 0.01}, pools, copies, **options)


def order_of(comparison: Comparison) -> list[tuple[int, str]]:
    return list(comparison.batches.order_by("position").values_list("round", "pool"))


def running_batch(comparison: Comparison) -> Batch:
    return comparison.batches.get(released_at__isnull=False, finished_at=None)


@pytest.fixture
def two_pools(settings: Any) -> None:
    """Declare the pools prefork and gevent, of four slots each."""
    _declare(settings, ("prefork", "gevent"))


@pytest.fixture
def four_pools(settings: Any) -> None:
    """Declare a pool of each model, of four slots."""
    _declare(settings, ("prefork", "threads", "gevent", "asyncio"))


def _declare(settings: Any, models: tuple[str, ...]) -> None:
    settings.JOB_POOLS = {name: {"model": name, "queue": name, "concurrency": 4} for name in models}


@pytest.fixture
def no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write bundles without drawing their charts."""
    monkeypatch.setattr(writing, "charts", lambda *_: {})
