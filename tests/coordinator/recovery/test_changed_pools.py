"""A pool whose declaration changes while its jobs wait."""

from typing import Any

import pytest
import redis

from poolwise.coordinator.recovery import Recovery
from poolwise.lifecycle import publishing
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
