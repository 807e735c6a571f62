"""Time limits hold on every pool, whatever the job does, and cost its neighbours nothing but a new start."""

from collections.abc import Callable
from pathlib import Path

import pytest

from poolwise.lifecycle.heartbeats import pools_up
from poolwise.lifecycle.submission import submit
from poolwise.models import Job, JobState
from tests.helpers.pace import limit_s
from tests.helpers.platform import Platform
from tests.worker.stuck.conftest import POOLS

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True), pytest.mark.timeout(170)]
LIMIT_S = 1.0
LATE_S = 5.0
#: What the pool's own means can end; the rest ends with the worker.
YIELDING = {
    "stuck_prefork": (
        *("stuck.computes", "stuck.sleeps", "stuck.awaits", "stuck.fails_as_it_is_stopped"),
        *("stuck.computes_in_coroutine", "stuck.sleeps_in_coroutine"),
    ),
    "stuck_threads": ("stuck.computes", "stuck.awaits"),
    "stuck_gevent": ("stuck.sleeps", "stuck.awaits"),
    "stuck_asyncio": ("stuck.computes", "stuck.awaits"),
}
CALLS_OF_C = {"stuck_prefork": (), "stuck_gevent": ()} | dict.fromkeys(
    ("stuck_threads", "stuck_asyncio"), ("stuck.sleeps", "stuck.hashes")
)
HOLDING = {
    "stuck_prefork": ("stuck.hashes", "stuck.matches"),
    "stuck_threads": ("stuck.matches",),
    "stuck_gevent": ("stuck.computes",),
    "stuck_asyncio": ("stuck.computes_in_coroutine",),
}


#: In the log of a supervisor.
AT_ONCE = "the worker ended because a job could not be stopped; starting again"


def submit_all(names: dict[str, tuple[str, ...]]) -> list[Job]:
    return [job for pool in POOLS for name in names[pool] for job in submit(name, {}, pool=pool)]


def end_in_time(platform: Platform, jobs: list[Job]) -> None:
    platform.wait_for(*jobs, timeout_s=40)
    for job in jobs:
        what = f"{job.definition} on {job.pool}: {job.error_type} {job.error}"
        assert (job.state, job.error_type, job.attempt) == (JobState.FAILED, "TimeLimitExceeded", 1), what
        assert (job.finished_at - job.started_at).total_seconds() <= LIMIT_S + limit_s(LATE_S), what


def workers_of(pool: str) -> set[str]:
    return {worker.name for worker in pools_up().get(pool, [])}


def test_what_yields_is_ended_by_its_own_pool_and_the_worker_goes_on(stuck: Platform) -> None:
    before = {pool: workers_of(pool) for pool in POOLS}
    end_in_time(stuck, submit_all(YIELDING))
    assert {pool: workers_of(pool) for pool in POOLS} == before


def test_a_thread_within_a_call_of_c_is_given_up_and_its_worker_ends_after_the_others(
    stuck: Platform, tmp_path: Path, eventually: Callable
) -> None:
    pools = ("stuck_threads", "stuck_asyncio")
    before = {pool: workers_of(pool) for pool in pools}
    neighbours = [
        job
        for pool in pools
        for job in submit("stuck.bystander", {"witness": f"{tmp_path}/{pool}", "seconds": 6}, pool=pool)
    ]
    end_in_time(stuck, submit_all(CALLS_OF_C))
    stuck.wait_for(*neighbours, timeout_s=30)
    assert [(job.state, job.attempt) for job in neighbours] == [(JobState.SUCCEEDED, 1)] * 2
    assert [Path(tmp_path, pool).read_text() for pool in pools] == ["began\nended\n"] * 2
    for pool in pools:
        eventually(lambda pool=pool: workers_of(pool) and not workers_of(pool) & before[pool], timeout_s=30)
        assert AT_ONCE in stuck.log_of(pool)
    assert [job.state for job in run_again_on(stuck, pools)] == [JobState.SUCCEEDED] * 2


def run_again_on(platform: Platform, pools: tuple[str, ...]) -> list[Job]:
    jobs = [job for pool in pools for job in submit("endings.succeed", {}, pool=pool)]
    platform.wait_for(*jobs)
    return jobs


def test_what_lets_nothing_else_run_is_ended_with_its_worker_and_the_others_run_again(
    stuck: Platform, tmp_path: Path, eventually: Callable
) -> None:
    # Begun first, so that it is under way when the others let it go on no more; long enough not to be over before.
    neighbours = {
        pool: submit("stuck.bystander", {"witness": f"{tmp_path}/{pool}", "seconds": 12}, pool=pool)[0]
        for pool in POOLS
    }
    eventually(lambda: Job.objects.running().count() == len(POOLS))
    end_in_time(stuck, submit_all(HOLDING))
    stuck.wait_for(*neighbours.values(), timeout_s=60)
    for pool, job in neighbours.items():
        assert (job.state, job.attempt, job.history) == (JobState.SUCCEEDED, 1, []), f"{pool}: {job.error}"
        written = Path(tmp_path, pool).read_text().split()
        assert written[-1] == "ended"
        assert written.count("ended") == 1
        assert written.count("began") == (1 if pool == "stuck_prefork" else 2)
        assert pool == "stuck_prefork" or AT_ONCE in stuck.log_of(pool)


def test_what_was_just_claimed_when_a_neighbour_took_the_worker_away_keeps_its_attempt(
    stuck: Platform,
) -> None:
    # At any moment some of them wait for the answer to their claim or report.
    before = submit("endings.succeed", {}, pool="stuck_gevent", copies=100)
    [hangs] = submit("stuck.computes", {}, pool="stuck_gevent")
    after = submit("endings.succeed", {}, pool="stuck_gevent", copies=100)
    end_in_time(stuck, [hangs])
    stuck.wait_for(*before, *after, timeout_s=60)
    assert {(job.state, job.attempt) for job in (*before, *after)} == {(JobState.SUCCEEDED, 1)}
