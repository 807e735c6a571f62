"""Faults of the running platform, seen from the database."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from django.tasks import TaskResultStatus

from jobs.endings import raise_error, succeed
from poolwise.lifecycle.heartbeats import pools_up
from poolwise.lifecycle.stream import stream_key
from poolwise.lifecycle.submission import submit
from poolwise.models import Job, JobState
from poolwise.support.redis import worker_client
from tests.helpers.platform import Platform

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]


def test_the_jobs_of_a_killed_worker_run_again_on_the_next(
    platform: Platform, eventually: Callable[..., Any]
) -> None:
    jobs = submit("endings.slow", {"duration_s": 6}, pool="threads", copies=3)
    eventually(lambda: Job.objects.running().count() == 3)
    [worker] = pools_up()["threads"]
    os.kill(worker.pid, signal.SIGKILL)
    platform.wait_for(*jobs, timeout_s=60)
    assert {(job.state, job.attempt) for job in jobs} == {(JobState.SUCCEEDED, 2)}
    assert {past["ending"] for job in jobs for past in job.history} == {"lost"}
    assert worker.name not in {job.worker for job in jobs}


def test_a_frozen_worker_loses_its_jobs_and_its_late_report_is_dropped(
    platform: Platform, eventually: Callable[..., Any]
) -> None:
    [job] = submit("io.wait", {"duration_s": 1}, pool="gevent")
    eventually(lambda: Job.objects.running().exists())
    [worker] = pools_up()["gevent"]
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        eventually(lambda: Job.objects.filter(pk=job.pk, attempt=2).exists(), timeout_s=30)
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    platform.wait_for(job)
    assert (job.state, job.attempt, len(job.history)) == (JobState.SUCCEEDED, 2, 1)


def test_a_definition_that_only_the_message_knows_fails_with_a_clear_message(platform: Platform) -> None:
    job = Job.objects.create(definition="shop.sold", kind="io", pool="threads")
    Job.objects.update(due_at=job.created_at)
    platform.wait_for(job)
    assert (job.state, job.error_type) == (JobState.FAILED, "UnknownDefinition")
    assert "'shop.sold'" in job.error


def test_a_task_of_django_runs_on_a_worker_and_its_result_comes_back(
    platform: Platform, eventually: Callable[..., Any]
) -> None:
    good = succeed.using(queue_name="asyncio").enqueue(value="hello")
    bad = raise_error.using(queue_name="threads").enqueue(message="oh")
    for result in (good, bad):
        eventually(lambda r=result: (r.refresh(), r.is_finished)[1])
    assert (good.status, good.return_value) == (TaskResultStatus.SUCCESSFUL, "hello")
    assert (bad.status, bad.errors[0].exception_class) == (TaskResultStatus.FAILED, RuntimeError)
    assert "oh" in bad.errors[0].traceback
    assert bad.worker_ids[0].startswith("threads")


def test_one_bad_report_does_not_stop_the_platform(platform: Platform) -> None:
    worker_client().xadd(stream_key(), {"e": "nonsense"})
    [job] = submit("endings.succeed", {}, pool="threads")
    platform.wait_for(job)
    assert job.state == JobState.SUCCEEDED
