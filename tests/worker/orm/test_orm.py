"""A backlog of jobs that use the ORM in every way, which each pool's worker meets at its start."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection

from poolwise.lifecycle.submission import submit
from poolwise.models import Job, JobState
from tests.helpers.own_jobs import declare_own, own_platform
from tests.helpers.pace import eventually
from tests.helpers.platform import Platform
from tests.worker.orm.jobs import ADDED, KINDS, LOCKED

ROUNDS = 4
MODELS = ("prefork", "threads", "gevent", "asyncio")
SLOTS = {"prefork": 2, "threads": 32, "gevent": 200, "asyncio": 200}
#: Jobs per model; ORM_JOBS sets another number for all.
JOBS = {"prefork": 20, "threads": 60, "gevent": 100, "asyncio": 100}
if "ORM_JOBS" in os.environ:
    JOBS = dict.fromkeys(JOBS, int(os.environ["ORM_JOBS"]))
POOLS: dict[str, dict[str, Any]] = {
    f"orm_{model}": {"model": model, "queue": f"orm-{model}", "concurrency": SLOTS[model]} for model in MODELS
}
PLACES = 10
ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "tests.worker.orm.settings",
    "JOB_POOLS": json.dumps(POOLS),
    "JOB_DATABASE_CONNECTIONS": str(PLACES),
}
pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True), pytest.mark.timeout(170)]


@pytest.fixture(scope="module")
def orm_processes(platform_processes: Platform) -> Iterator[Platform]:
    """A coordinator with the jobs that use the ORM, and the workers that tests start."""
    with own_platform(platform_processes, ENVIRONMENT) as platform:
        yield platform


@pytest.fixture
def orm(
    transactional_db: None, orm_processes: Platform, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platform]:
    """The platform of these jobs; this process can submit them."""
    declare_own(settings, monkeypatch, POOLS, "tests.worker.orm.jobs")
    orm_processes.ensure("coordinator")
    yield orm_processes
    orm_processes.drain()


def connections_used() -> int:
    """Return how many connections the database server has; 0 for SQLite."""
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from pg_stat_activity where datname = current_database()")
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("pool", POOLS)
def test_each_job_of_a_backlog_runs_once(orm: Platform, pool: str) -> None:
    Group.objects.bulk_create(Group(name=name) for name in LOCKED)
    jobs: list[Job] = []
    copies = JOBS[POOLS[pool]["model"]] // ROUNDS // len(KINDS)
    for _ in range(ROUNDS):
        for kind in KINDS:
            jobs += submit(f"orm.{kind}", {}, pool=pool, copies=copies)
    used: list[int] = []

    def have_ended() -> bool:
        used.append(connections_used())
        return not Job.objects.live().exists()

    orm.start(pool)
    try:
        eventually(have_ended, 120)
    finally:
        orm.stop(pool)
    for job in jobs:
        job.refresh_from_db()
    assert {(job.state, job.attempt) for job in jobs} == {(JobState.SUCCEEDED, 1)}
    assert Group.objects.filter(name__startswith=ADDED).count() == len(jobs)
    assert "Redis is unavailable" not in orm.log_of(pool)
    # One of this process, a few of the coordinator, and some that the server is just closing.
    assert max(used) <= PLACES + 12
