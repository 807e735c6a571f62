"""The contract of every pool, with real worker processes, a real Redis and the database that TEST_DATABASE names."""

from collections.abc import Callable

import pytest
from django.conf import settings
from django_celery_results.models import TaskResult

from poolwise.lifecycle.submission import CancelOutcome, cancel, run_again, submit
from poolwise.models import Job, JobLog, JobState
from tests.helpers.pace import limit_s
from tests.helpers.platform import Platform

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]
POOLS = tuple(settings.JOB_POOLS)
DURATIONS = ("broker_wait_s", "worker_wait_s", "run_s", "cpu_s", "off_cpu_s", "record_lag_s")
STAMPS = ("created_at", "published_at", "received_at", "started_at", "finished_at", "recorded_at")

every_pool = pytest.mark.parametrize("pool", POOLS)


def run(platform: Platform, definition: str, pool: str, copies: int = 1, **params: object) -> list[Job]:
    jobs = submit(definition, params, pool=pool, copies=copies)
    platform.wait_for(*jobs)
    return jobs


@every_pool
def test_a_job_succeeds_with_every_duration_and_its_place(platform: Platform, pool: str) -> None:
    [job] = run(platform, "io.wait", pool, duration_s=0.2)
    assert job.state == JobState.SUCCEEDED
    assert all(getattr(job, name) is not None for name in (*DURATIONS, *STAMPS))
    assert 0.2 <= job.run_s < limit_s(2)
    assert job.cpu_s < 0.1
    assert job.published_at <= job.received_at <= job.started_at <= job.finished_at
    assert job.worker.startswith(pool)
    assert job.pid
    assert job.thread
    assert bool(job.greenlet_or_task) == (settings.JOB_POOLS[pool]["model"] in ("gevent", "asyncio"))


@every_pool
def test_many_copies_are_each_recorded_once(platform: Platform, pool: str) -> None:
    jobs = run(platform, "io.wait", pool, copies=40, duration_s=0.01)
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}
    assert {job.attempt for job in jobs} == {1}
    assert (
        TaskResult.objects.filter(task_id__in=[str(job.pk) for job in jobs], status="SUCCESS").count() == 40
    )


@every_pool
@pytest.mark.parametrize(
    ("definition", "error_type"),
    [
        ("endings.raise_error", "RuntimeError"),
        ("endings.unserialisable", "ResultRefused"),
        ("endings.large_result", "ResultRefused"),
        ("endings.bad_exception", "UnprintableError"),
    ],
)
def test_a_failure_is_recorded_with_its_kind_and_every_duration(
    platform: Platform, pool: str, definition: str, error_type: str
) -> None:
    [job] = run(platform, definition, pool)
    assert (job.state, job.error_type) == (JobState.FAILED, error_type)
    assert job.error
    assert all(getattr(job, name) is not None for name in (*DURATIONS, *STAMPS))
    assert "Traceback" in TaskResult.objects.get(task_id=str(job.pk)).traceback


@every_pool
def test_a_flaky_job_is_tried_again_and_keeps_its_history(platform: Platform, pool: str) -> None:
    [job] = run(platform, "endings.flaky", pool)
    assert job.state == JobState.SUCCEEDED
    assert job.attempt > 1
    assert [past["attempt"] for past in job.history] == list(range(1, job.attempt))
    assert all(past["run_s"] is not None for past in job.history)


@every_pool
def test_the_lines_that_a_job_logs_are_kept_with_it(platform: Platform, pool: str) -> None:
    [job] = run(platform, "endings.log_lines", pool)
    log = JobLog.objects.get(job=job, attempt=1)
    assert len(log.lines) >= 2
    assert all(len(line) == 3 for line in log.lines)


@every_pool
def test_a_running_job_can_be_cancelled(platform: Platform, pool: str, eventually: Callable) -> None:
    # A thread inside one call of C cannot be stopped there: it ends as cancelled when the call returns.
    is_blocked = settings.JOB_POOLS[pool]["model"] == "threads"
    [job] = submit("io.wait", {"duration_s": 5 if is_blocked else 60}, pool=pool)
    eventually(lambda: Job.objects.running().filter(pk=job.pk).exists())
    assert cancel(job, user=None) is (CancelOutcome.UNSTOPPABLE if is_blocked else CancelOutcome.ASKED)
    platform.wait_for(job, timeout_s=20)
    assert job.state == JobState.CANCELLED
    assert (job.run_s > 4) is is_blocked
    assert job.cpu_s is not None


@every_pool
def test_a_job_cancelled_in_the_queue_never_runs(platform: Platform, pool: str, eventually: Callable) -> None:
    slots = settings.JOB_POOLS[pool]["concurrency"]
    # Long enough for a loaded machine to begin them all before the first one ends.
    occupying = submit("io.wait", {"duration_s": 3 if slots < 50 else 8}, pool=pool, copies=slots)
    eventually(lambda: Job.objects.running().count() == slots)
    [job] = submit("endings.log_lines", {}, pool=pool)
    assert cancel(job, user=None) is CancelOutcome.CANCELLED
    platform.wait_for(*occupying)
    job.refresh_from_db()
    assert (job.state, job.started_at) == (JobState.CANCELLED, None)
    assert not TaskResult.objects.filter(task_id=job.pk).exists()  # no worker writes one
    assert not JobLog.objects.filter(job=job).exists()


@every_pool
def test_a_job_that_ends_its_process_fails_after_its_last_attempt(platform: Platform, pool: str) -> None:
    [job] = submit("endings.exit_process", {}, pool=pool)
    platform.wait_for(job, timeout_s=90)
    assert (job.state, job.error_type, job.attempt) == (JobState.FAILED, "WorkerLost", job.max_attempts)
    assert [past["ending"] for past in job.history] == ["lost"] * (job.max_attempts - 1)


@every_pool
def test_a_job_can_run_again_and_names_its_parent(platform: Platform, pool: str) -> None:
    [first] = run(platform, "endings.succeed", pool)
    second = run_again(first, user=None)
    platform.wait_for(second)
    assert second.state == JobState.SUCCEEDED
    assert second.parent_id == first.pk


@pytest.mark.parametrize(
    "pool", [name for name in POOLS if settings.JOB_POOLS[name]["model"] in ("gevent", "asyncio")]
)
def test_a_waiting_job_is_not_charged_for_one_that_computes_beside_it(platform: Platform, pool: str) -> None:
    [waiting] = submit("io.wait", {"duration_s": 1.5}, pool=pool)
    computing = submit("cpu.primes", {}, pool=pool, copies=5)
    platform.wait_for(waiting, *computing)
    assert waiting.cpu_s < 0.05 * waiting.run_s
    assert all(job.cpu_s > 0.01 for job in computing)


def test_a_coroutine_is_awaited_on_the_loop_and_a_sync_body_is_marked_as_offloaded(
    platform: Platform,
) -> None:
    [awaited] = run(platform, "io.wait", "asyncio", duration_s=0.01)
    [offloaded] = run(platform, "cpu.primes", "asyncio", limit=1000)
    assert not awaited.offloaded
    assert offloaded.offloaded
    assert offloaded.cpu_s > 0
