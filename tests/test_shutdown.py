"""SIGTERM: running jobs get their grace, the rest goes back to its queue, and the worker ends in any case."""

from collections.abc import Callable

import pytest
from django.conf import settings

from jobs.models import Job, State
from jobs.submission import submit
from tests.platform import Platform

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("pool", tuple(settings.JOB_POOLS))
def test_at_sigterm_a_short_job_ends_and_a_long_one_goes_back_and_runs_again_as_the_same_attempt(
    platform: Platform, pool: str, eventually: Callable
) -> None:
    platform.stop(pool)
    platform.start(pool, SHUTDOWN_GRACE_S="2")
    platform.ensure(pool)
    [short] = submit("io.wait", {"duration_s": 1.5}, pool=pool)
    [long] = submit("io.wait", {"duration_s": 6}, pool=pool)
    eventually(lambda: Job.objects.running().count() == 2)
    platform.stop(pool, timeout_s=20)
    platform.wait_for(short)
    eventually(lambda: Job.objects.queued().filter(pk=long.pk, worker="").exists())
    platform.ensure(pool)
    platform.wait_for(long, timeout_s=60)
    assert (short.state, short.attempt) == (State.SUCCEEDED, 1)
    assert (long.state, long.attempt, long.history) == (State.SUCCEEDED, 1, [])
