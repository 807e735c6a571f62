"""Cancelling on real workers: running jobs stop or are reported as unstoppable, and queued ones never run."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from poolwise.lifecycle.submission import CancelOutcome, cancel, submit
from poolwise.models import Job, JobState
from tests.helpers.pace import limit_s
from tests.helpers.platform import Platform
from tests.worker.stuck.conftest import POOLS

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True), pytest.mark.timeout(170)]
PREFORK, THREADS, GEVENT, ASYNCIO = POOLS
ASKED, UNSTOPPABLE = CancelOutcome.ASKED, CancelOutcome.UNSTOPPABLE


def begin(definition: str, pool: str, **params: object) -> Job:
    return submit(definition, params, pool=pool)[0]


def test_a_running_job_stops_where_it_can_be_stopped_and_is_not_called_cancelled_where_it_cannot(
    stuck: Platform, eventually: Callable
) -> None:
    stops = [
        begin("stuck.unlimited", PREFORK, seconds=25, computing=True),
        begin("stuck.unlimited", THREADS, seconds=25, computing=True),
        begin("io.wait", GEVENT, duration_s=25),
        begin("io.wait", ASYNCIO, duration_s=25),
        begin("stuck.hashes_unlimited", PREFORK),
    ]
    goes_on = [
        begin("io.wait", THREADS, duration_s=15),  # one C call
        begin("stuck.unlimited_coroutine", THREADS, seconds=3, computing=True),
    ]
    jobs = [*stops, *goes_on]
    eventually(lambda: Job.objects.running().count() == len(jobs))
    outcomes = {(job.definition, job.pool): cancel(job, user=None) for job in jobs}
    assert [outcomes[job.definition, job.pool] for job in stops] == [ASKED] * len(stops)
    assert outcomes["io.wait", THREADS] is UNSTOPPABLE
    stuck.wait_for(*stops, timeout_s=10)
    assert {job.state for job in stops} == {JobState.CANCELLED}
    blocked = goes_on[0]
    blocked.refresh_from_db()
    assert (blocked.state, blocked.cancel_requested_at is not None) == (JobState.RUNNING, True)
    stuck.wait_for(*goes_on)
    assert blocked.state == JobState.CANCELLED  # at the end of the call, and nothing of the body ran after it
    assert blocked.run_s >= 14.9
    # What never yields may end by itself: then it succeeded, whatever was asked.
    assert goes_on[1].state in (JobState.CANCELLED, JobState.SUCCEEDED)


@pytest.mark.parametrize(
    ("pool", "definition"), [(GEVENT, "stuck.computes_unlimited"), (ASYNCIO, "stuck.coroutine_unlimited")]
)
def test_a_job_that_computes_on_the_shared_thread_cannot_be_stopped_there(
    stuck: Platform, eventually: Callable, pool: str, definition: str
) -> None:
    job = begin(definition, pool, seconds=4)
    eventually(lambda: Job.objects.running().filter(pk=job.pk).exists())
    time.sleep(limit_s(0.5))  # it is claimed; until its body has begun it can be stopped all the same
    assert cancel(job, user=None) is UNSTOPPABLE
    stuck.wait_for(job)
    assert job.run_s > 3
    assert job.state in (JobState.SUCCEEDED, JobState.CANCELLED)
    assert begin_and_end(stuck, pool).state == JobState.SUCCEEDED


def begin_and_end(platform: Platform, pool: str) -> Job:
    job = begin("endings.succeed", pool)
    platform.wait_for(job)
    return job


def test_a_job_cancelled_while_no_worker_runs_does_not_run_when_they_are_back(
    stuck: Platform, tmp_path: Path
) -> None:
    for pool in POOLS:
        stuck.stop(pool)
    witnesses = {pool: str(tmp_path / pool) for pool in POOLS}
    jobs = [begin("stuck.bystander", pool, witness=witnesses[pool], seconds=0) for pool in POOLS]
    assert {cancel(job, user=None) for job in jobs} == {CancelOutcome.CANCELLED}
    stuck.ensure(*POOLS)
    assert [begin_and_end(stuck, pool).state for pool in POOLS] == [JobState.SUCCEEDED] * len(POOLS)
    assert [path for path in witnesses.values() if Path(path).exists()] == []
    assert {cancel(job, user=None) for job in jobs} == {CancelOutcome.ENDED}
