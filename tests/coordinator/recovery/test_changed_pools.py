"""A pool whose declaration changes while its jobs wait."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.utils import timezone

from poolwise.coordinator.recovery import Recovery
from poolwise.coordinator.recovery.sweep import _SWEEPS_A_READ
from poolwise.lifecycle import publishing
from poolwise.models import Job, JobState
from tests.coordinator.recovery.conftest import Clock
from tests.coordinator.recovery.test_messages import sweeps
from tests.helpers.core import messages

pytestmark = pytest.mark.django_db


def test_the_jobs_of_a_pool_with_a_new_queue_are_published_there(
    recovery: Recovery, published: Any, clock: Clock, unserved_pool: str, broker: redis.Redis, settings: Any
) -> None:
    jobs = [published() for _ in range(3)]
    renamed = f"{unserved_pool}.2"
    settings.JOB_POOLS = {
        **settings.JOB_POOLS,
        unserved_pool: {"model": "asyncio", "queue": renamed, "concurrency": 7},
    }
    try:
        assert sweeps(recovery, clock) == len(jobs)
        publishing.publish_due()
        assert {message["headers"]["id"] for message in messages(broker, renamed)} == {
            str(job.pk) for job in jobs
        }
        assert sweeps(recovery, clock) == 0
    finally:
        broker.delete(renamed, f"_kombu.binding.{renamed}")


def ids_in(broker: redis.Redis, queue: str) -> set[str]:
    return {message["headers"]["id"] for message in messages(broker, queue)}


def test_a_job_lost_on_a_removed_pool_waits_and_runs_again_once_the_pool_is_declared_otherwise(
    recovery: Recovery, running: Any, clock: Clock, unserved_pool: str, broker: redis.Redis, settings: Any
) -> None:
    declared = settings.JOB_POOLS
    job = running(pool=unserved_pool)
    settings.JOB_POOLS = {name: pool for name, pool in declared.items() if name != unserved_pool}
    assert sweeps(recovery, clock) == 1  # nothing knows the worker
    assert publishing.publish_due() == 0
    job.refresh_from_db()
    assert (job.state, job.attempt, job.due_at > timezone.now()) == (JobState.QUEUED, 2, True)
    assert publishing.publish_due() == 0  # it is postponed, so that others get their turn
    settings.JOB_POOLS = declared | {unserved_pool: {"model": "gevent", "queue": "other", "concurrency": 2}}
    Job.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    try:
        assert publishing.publish_due() == 1
        assert ids_in(broker, "other") == {str(job.pk)}
    finally:
        broker.delete("other", "_kombu.binding.other")


def test_pools_that_swap_their_queues_get_each_job_where_its_pool_reads_now(
    recovery: Recovery,
    published: Callable[..., Job],
    clock: Clock,
    unserved_pool: str,
    broker: redis.Redis,
    settings: Any,
) -> None:
    other = f"{unserved_pool}_b"
    pools = settings.JOB_POOLS

    def declare(queue: str, other_queue: str) -> None:
        own = {"model": "threads", "concurrency": 1}
        settings.JOB_POOLS = pools | {
            unserved_pool: own | {"queue": queue},
            other: own | {"queue": other_queue},
        }

    declare(unserved_pool, other)
    first, second = published(), published(pool=other)
    declare(other, unserved_pool)
    try:
        # Both queues are as long as they should be: only what is in them shows it.
        assert sweeps(recovery, clock, _SWEEPS_A_READ + 6) == 2
        assert publishing.publish_due() == 2
        both = {str(first.pk), str(second.pk)}  # a claim refuses the later one of each
        assert ids_in(broker, other) == ids_in(broker, unserved_pool) == both
        assert sweeps(recovery, clock) == 0
    finally:
        broker.delete(other, f"_kombu.binding.{other}")
