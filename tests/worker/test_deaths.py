"""Real workers that are killed, or that a job ends: what they held runs again soon, and only that job is blamed."""

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from poolwise.lifecycle.heartbeats import pools_up, read_all
from poolwise.lifecycle.submission import submit
from poolwise.models import Job, JobState
from poolwise.support import is_running
from poolwise.support.redis import worker_client
from tests.helpers.core import waiting
from tests.helpers.own_jobs import declare_own, own_platform
from tests.helpers.pace import eventually, within
from tests.helpers.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.services]

MODELS = ("prefork", "threads", "gevent", "asyncio")
SLOTS, RECEIVED = 2, 4
POOLS = {
    f"mortal_{model}": {"model": model, "queue": f"mortal-{model}", "concurrency": SLOTS} for model in MODELS
}
ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "tests.worker.deadly.settings",
    "JOB_POOLS": json.dumps(POOLS),
    "WORKER_PREFETCH_MULTIPLIER": str(RECEIVED // SLOTS),
}
#: From the death of a process until what it held has been published again: 2 s, which `make drill` measures. Beside
#: other tests it takes longer, but never the 8 s of a worker that is silent.
AGAIN_WITHIN_S = 5.0


@pytest.fixture(scope="module")
def mortal_processes(platform_processes: Platform) -> Iterator[Platform]:
    """A coordinator, and workers once a test asks for them."""
    with own_platform(platform_processes, ENVIRONMENT) as platform:
        yield platform


@pytest.fixture
def mortal(
    transactional_db: None, mortal_processes: Platform, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platform]:
    """The platform of workers that receive more jobs than they run; this process can submit the deadly ones."""
    declare_own(settings, monkeypatch, POOLS, "tests.worker.deadly.jobs")
    mortal_processes.ensure("coordinator")
    yield mortal_processes
    mortal_processes.drain()


def busy(pool: str, copies: int = RECEIVED) -> tuple[list[Job], list[Job], int]:
    """Have a pool's one worker receive all jobs; return those that it runs, the others, and its process id."""
    jobs = submit("endings.slow", {"duration_s": 3}, pool=pool, copies=copies)
    here = Job.objects.running().filter(pool=pool)
    eventually(lambda: here.count() == min(SLOTS, copies) and not waiting(pool))
    for job in jobs:
        job.refresh_from_db()
    [worker] = pools_up()[pool]
    running = [job for job in jobs if job.state == JobState.RUNNING]
    assert {job.worker for job in running} == {worker.name}
    return running, [job for job in jobs if job not in running], worker.pid


def is_again(pool: str, running: list[Job], received: list[Job], dead: str) -> bool:
    """Return whether each job waits at the broker, as the next attempt where it ran, or has begun on another worker."""
    there = waiting(pool) or set()
    begun = Job.objects.filter(pool=pool).exclude(state=JobState.QUEUED).exclude(worker=dead)
    again = there | {(str(pk), attempt) for pk, attempt in begun.values_list("pk", "attempt")}
    return again >= {(str(job.pk), 2) for job in running} | {(str(job.pk), 1) for job in received}


def kill(pool: str) -> tuple[list[Job], list[Job]]:
    """Kill a pool's busy worker, and wait until what it held is published again; return what it ran, and the rest."""
    running, received, pid = busy(pool)
    with within(AGAIN_WITHIN_S):
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: is_again(pool, running, received, running[0].worker))
    assert not {job.pid for job in running} & {each.pid for each in psutil.process_iter() if is_running(each)}
    return running, received


def assert_ran_again(running: list[Job], received: list[Job]) -> None:
    assert {(job.state, job.attempt) for job in running} == {(JobState.SUCCEEDED, 2)}
    assert {past["ending"] for job in running for past in job.history} == {"lost"}
    assert {(job.state, job.attempt, len(job.history)) for job in received} == {(JobState.SUCCEEDED, 1, 0)}


def test_what_a_killed_worker_held_runs_again_at_once_and_once(mortal: Platform) -> None:
    mortal.ensure(*POOLS)
    held = [kill(pool) for pool in POOLS]
    for running, received in held:  # on workers that their supervisors have started
        mortal.wait_for(*running, *received, timeout_s=60)
        assert_ran_again(running, received)


def test_a_watchdog_reports_the_death_of_a_worker_that_nobody_supervises(mortal: Platform) -> None:
    mortal.stop_if_running("mortal_prefork")
    mortal.start("mortal_prefork", is_supervised=False)
    mortal.ensure("mortal_prefork")
    running, received = kill("mortal_prefork")
    mortal.ensure("mortal_prefork")
    mortal.wait_for(*running, *received, timeout_s=60)
    assert_ran_again(running, received)


def test_the_job_of_a_killed_prefork_child_runs_again_at_once(mortal: Platform) -> None:
    mortal.ensure("mortal_prefork")
    [job], _, pid = busy("mortal_prefork", copies=1)
    eventually(lambda: job.refresh_from_db() or job.pid)
    assert job.pid != pid
    with within(AGAIN_WITHIN_S):
        os.kill(job.pid, signal.SIGKILL)
        eventually(lambda: Job.objects.filter(pk=job.pk, attempt=2, state=JobState.RUNNING).exists())
    mortal.wait_for(job)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
    [past] = job.history
    assert (past["ending"], past["error_type"]) == ("lost", "WorkerLost")


def test_a_job_that_ends_its_worker_is_blamed_and_its_neighbour_is_not(mortal: Platform) -> None:
    ways = {
        "prefork": ("deadly.end", "segfault", "signal 11 (SIGSEGV)"),
        "threads": ("deadly.end", "segfault", "The job ended its worker: Segmentation fault."),
        "gevent": ("deadly.end", "kill", "The job ended its worker: os.kill by SIGKILL."),
        "asyncio": ("deadly.end_in_coroutine", "abort", "The job ended its worker: Aborted."),
    }
    mortal.ensure(*POOLS)
    neighbours, deadly = {}, {}
    for model, (definition, way, _) in ways.items():
        [neighbours[model]], _, _ = busy(f"mortal_{model}", copies=1)
        [deadly[model]] = submit(definition, {"way": way}, pool=f"mortal_{model}")
    mortal.wait_for(*neighbours.values(), *deadly.values(), timeout_s=90)
    for model, job in deadly.items():
        assert (job.state, job.attempt, job.error_type) == (JobState.FAILED, job.max_attempts, "WorkerLost")
        assert ways[model][2] in job.error
        assert "taken for poison" in job.error
    ends = {model: (job.state, job.attempt, job.history) for model, job in neighbours.items()}
    assert ends == dict.fromkeys(ways, (JobState.SUCCEEDED, 1, []))


def test_a_worker_that_shuts_down_leaves_no_mark(mortal: Platform) -> None:
    mortal.ensure("mortal_prefork")
    [worker] = pools_up()["mortal_prefork"]
    assert mortal.stop("mortal_prefork") == 0
    assert worker.name not in {each.name for each in read_all(worker_client())}
