"""What jobs start ends with them when they are stopped, and with their worker at the latest."""

import os
import signal
from collections.abc import Callable
from uuid import uuid4

import psutil
import pytest

from poolwise.lifecycle.heartbeats import pools_up
from poolwise.lifecycle.submission import cancel, submit
from poolwise.models import Job, JobState
from tests.helpers.platform import Platform
from tests.worker.stuck.conftest import POOLS

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True), pytest.mark.timeout(170)]
PREFORK, THREADS, GEVENT, ASYNCIO = POOLS
#: Ways to start a program; those of `stuck.runs_program`, and a coroutine.
COROUTINE = "coroutine"
WAYS = {
    PREFORK: ("wait", "system", COROUTINE),
    THREADS: ("run", "wait", "system", "spawn", COROUTINE),
    GEVENT: ("run", "wait", "system", "beside"),
    ASYNCIO: ("run", "wait", "system", "forkserver", COROUTINE),
}


def marked(marker: str) -> list[psutil.Process]:
    """Return the running programs with the marker in their command."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        command, status = process.info["cmdline"] or (), process.info["status"]
        if status != psutil.STATUS_ZOMBIE and any(marker in part for part in command):
            found.append(process)
    return found


def begin(definition: str, pool: str, marker: str, **params: object) -> Job:
    return submit(definition, {"marker": marker, **params}, pool=pool)[0]


def test_a_cancel_ends_the_programs_that_the_job_has_started(stuck: Platform, eventually: Callable) -> None:
    markers = {(pool, way): f"marked-{uuid4().hex}" for pool, ways in WAYS.items() for way in ways}
    jobs = {
        (pool, way): begin("stuck.awaits_program", pool, marker)
        if way == COROUTINE
        else begin("stuck.runs_program", pool, marker, way=way)
        for (pool, way), marker in markers.items()
    }
    eventually(lambda: all(map(marked, markers.values())), timeout_s=30)
    inner = [
        child for marker in markers.values() for p in marked(marker) for child in p.children(recursive=True)
    ]
    for job in jobs.values():
        cancel(job, user=None)
    stuck.wait_for(*jobs.values(), timeout_s=15)
    assert {key: job.state for key, job in jobs.items()} == dict.fromkeys(jobs, JobState.CANCELLED)
    eventually(lambda: not any(map(marked, markers.values())), timeout_s=5)
    assert psutil.wait_procs(inner, timeout=5)[1] == []


def test_a_time_limit_ends_the_programs_that_the_job_has_started_and_no_worker(
    stuck: Platform, eventually: Callable
) -> None:
    before = {pool: {worker.name for worker in pools_up()[pool]} for pool in POOLS}
    markers = {(pool, way): f"marked-{uuid4().hex}" for pool in POOLS for way in ("run", "system")}
    jobs = [
        begin("stuck.runs_program_too_long", pool, marker, way=way) for (pool, way), marker in markers.items()
    ]
    stuck.wait_for(*jobs, timeout_s=20)
    assert {(job.state, job.error_type) for job in jobs} == {(JobState.FAILED, "TimeLimitExceeded")}
    eventually(lambda: not any(map(marked, markers.values())), timeout_s=5)
    assert {pool: {worker.name for worker in pools_up()[pool]} for pool in POOLS} == before


def test_what_a_job_leaves_running_is_named_in_its_log_and_ends_with_its_worker(
    stuck: Platform, eventually: Callable
) -> None:
    markers = {pool: f"marked-{uuid4().hex}" for pool in POOLS}
    jobs = {pool: begin("stuck.leaves_program", pool, marker) for pool, marker in markers.items()}
    stuck.wait_for(*jobs.values())
    assert {job.state for job in jobs.values()} == {JobState.SUCCEEDED}
    for pool, job in jobs.items():
        text = "\n".join(text for log in job.logs.all() for _, _, text in log.lines)
        pids = [process.pid for process in marked(markers[pool])]
        assert len(pids) == 2
        assert sum(f"pid {pid} " in text for pid in pids) == 1, text  # nobody knows whose an orphan is
        assert "running" in text
    for pool in (PREFORK, THREADS):
        [worker] = pools_up()[pool]
        os.kill(worker.pid, signal.SIGKILL)
    for pool in (GEVENT, ASYNCIO):
        stuck.stop(pool)
    eventually(lambda: not any(map(marked, markers.values())), timeout_s=10)
