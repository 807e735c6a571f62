"""Real workers killed while they run jobs and have received more: all of it runs again soon."""

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from poolwise.lifecycle import broker_queues
from poolwise.lifecycle.heartbeats import pools_up, read_all
from poolwise.lifecycle.submission import submit
from poolwise.models import Job, JobState
from poolwise.support import is_running
from poolwise.support.redis import worker_client
from tests.helpers.pace import eventually, within
from tests.helpers.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.services]

MODELS = ("prefork", "threads", "gevent", "asyncio")
SLOTS, RECEIVED = 2, 4
POOLS = {
    f"mortal_{model}": {"model": model, "queue": f"mortal-{model}", "concurrency": SLOTS} for model in MODELS
}
ENVIRONMENT = {"JOB_POOLS": json.dumps(POOLS), "WORKER_PREFETCH_MULTIPLIER": str(RECEIVED // SLOTS)}
#: From the death of a process until what it held has been published again.
AGAIN_WITHIN_S = 2.0
#: How much longer it may take where the watchdog has to report it: it first imports what that takes.
WATCHDOG_S = 1.5


@pytest.fixture(scope="module")
def mortal_processes(platform_processes: Platform) -> Iterator[Platform]:
    """A coordinator, and workers once a test asks for them."""
    platform_processes.stop_if_running("coordinator")  # it would put off jobs of pools that it does not know
    with Platform(**ENVIRONMENT) as platform:
        yield platform


@pytest.fixture
def mortal(transactional_db: None, mortal_processes: Platform, settings: Any) -> Iterator[Platform]:
    """The platform of workers that receive more jobs than they run."""
    settings.JOB_POOLS = {**settings.JOB_POOLS, **POOLS}
    mortal_processes.ensure("coordinator")
    yield mortal_processes
    mortal_processes.drain()


def busy(pool: str, copies: int = RECEIVED) -> tuple[list[Job], list[Job], int]:
    """Have a pool's one worker receive all jobs; return those that it runs, the others, and its process id."""
    jobs = submit("endings.slow", {"duration_s": 3}, pool=pool, copies=copies)
    eventually(
        lambda: Job.objects.running().count() == min(SLOTS, copies) and not broker_queues.waiting(pool)
    )
    for job in jobs:
        job.refresh_from_db()
    [worker] = pools_up()[pool]
    running = [job for job in jobs if job.state == JobState.RUNNING]
    assert {job.worker for job in running} == {worker.name}
    return running, [job for job in jobs if job not in running], worker.pid


def is_again(pool: str, running: list[Job], received: list[Job], dead: str) -> bool:
    """Return whether each job waits at the broker, as the next attempt where it ran, or runs on another worker."""
    waiting = broker_queues.waiting(pool) or set()
    elsewhere = Job.objects.running().exclude(worker=dead).values_list("pk", "attempt")
    again = waiting | {(str(pk), attempt) for pk, attempt in elsewhere}
    return again >= {(str(job.pk), 2) for job in running} | {(str(job.pk), 1) for job in received}


#: Where nobody supervises the worker, its watchdog reports its death.
@pytest.mark.parametrize(
    ("model", "is_supervised"), [*((model, True) for model in MODELS), ("prefork", False)]
)
def test_what_a_killed_worker_held_runs_again_at_once_and_once(
    mortal: Platform, model: str, is_supervised: bool
) -> None:
    pool = f"mortal_{model}"
    if not is_supervised:
        mortal.stop_if_running(pool)
        mortal.start(pool, is_supervised=False)
    mortal.ensure(pool)
    running, received, pid = busy(pool)
    with within(AGAIN_WITHIN_S + (0 if is_supervised else WATCHDOG_S)):
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: is_again(pool, running, received, running[0].worker))
    assert not {job.pid for job in running} & {each.pid for each in psutil.process_iter() if is_running(each)}
    mortal.ensure(pool)
    mortal.wait_for(*running, *received, timeout_s=60)
    assert {(job.state, job.attempt) for job in running} == {(JobState.SUCCEEDED, 2)}
    assert {past["ending"] for job in running for past in job.history} == {"lost"}
    assert {(job.state, job.attempt, len(job.history)) for job in received} == {(JobState.SUCCEEDED, 1, 0)}


def test_the_job_of_a_killed_prefork_child_runs_again_at_once(mortal: Platform) -> None:
    mortal.ensure("mortal_prefork")
    [job], _, pid = busy("mortal_prefork", copies=1)
    assert job.pid
    assert job.pid != pid
    with within(AGAIN_WITHIN_S):
        os.kill(job.pid, signal.SIGKILL)
        eventually(lambda: Job.objects.filter(pk=job.pk, attempt=2, state=JobState.RUNNING).exists())
    mortal.wait_for(job)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
    [past] = job.history
    assert (past["ending"], past["error_type"]) == ("lost", "WorkerLost")


def test_a_worker_that_shuts_down_leaves_no_mark(mortal: Platform) -> None:
    mortal.ensure("mortal_prefork")
    [worker] = pools_up()["mortal_prefork"]
    assert mortal.stop("mortal_prefork") == 0
    assert worker.name not in {each.name for each in read_all(worker_client())}
