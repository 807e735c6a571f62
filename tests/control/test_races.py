"""Operators who pause, resume, drain and purge while others submit and workers run."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import connection

from poolwise.control import drain, pause, purge, resume
from poolwise.lifecycle import pauses
from poolwise.lifecycle.submission import submit
from poolwise.models import AuditEntry, Job, JobState, Pause
from poolwise.support.redis import web_client
from poolwise.support.timing import wall_now
from tests.helpers.pace import eventually
from tests.helpers.platform import Platform

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]
POOL, DEFINITION = "threads", "io.wait"
#: How often each operator pauses; the others submit and purge until then.
TIMES = 2
#: For how long each pause lasts, and after which time nothing begins: a coordinator copies the state each second.
PAUSED_S, OBEYED_WITHIN_S = 2.5, 2.0


@pytest.fixture(autouse=True)
def _resumed_afterwards(platform: Platform) -> Iterator[None]:
    yield
    Pause.objects.all().delete()
    pauses.copy_database(web_client())


class Race:
    """What the threads do until the operators are done, and what they saw."""

    def __init__(self) -> None:
        self._is_over = threading.Event()
        self.submitted: list[Job] = []
        #: From when to when a pause was confirmed, as POSIX seconds.
        self.pauses: list[tuple[float, float]] = []
        self.cancelled = 0

    def run(self, operators: list[Callable[[], object]], others: list[Callable[[], object]]) -> None:
        """Let each operator do its step several times; the others repeat theirs meanwhile."""
        with ThreadPoolExecutor(len(operators) + len(others)) as threads:
            repeated = [threads.submit(self._repeat, step) for step in others]
            try:
                for done in [threads.submit(self._repeat, step, TIMES) for step in operators]:
                    done.result(120)
            finally:
                self._is_over.set()
            for done in repeated:
                done.result(60)

    def _repeat(self, step: Callable[[], object], times: int | None = None) -> None:
        try:
            while times != 0 and not self._is_over.is_set():
                step()
                times = None if times is None else times - 1
        finally:
            connection.close()

    def submit(self) -> None:
        self.submitted += submit(DEFINITION, {"duration_s": 0.01}, pool=POOL, copies=5)
        time.sleep(0.05)

    def purge(self) -> None:
        time.sleep(0.7)
        self.cancelled += purge(POOL, user=None, reason="a test").cancelled

    def pause(self, act: Callable[..., Any], kind: str, name: str) -> None:
        of = {"kind": kind} if act is pause else {}
        result = act(**of, name=name, user=None, reason="a test")
        confirmed_at = wall_now()
        time.sleep(PAUSED_S)
        if result.is_in_redis:  # else, on a loaded machine, the workers follow later
            self.pauses.append((confirmed_at, wall_now()))
        resume(kind, name, user=None, reason="a test")
        time.sleep(0.2)


def started_at() -> list[float]:
    started = Job.objects.filter(started_at__isnull=False).values_list("started_at", flat=True)
    return [at.timestamp() for at in started if at]


def test_pauses_hold_purges_count_truly_and_each_job_ends_once(platform: Platform) -> None:
    race = Race()
    kinds = cycle([pause, drain])
    race.run(
        [
            lambda: race.pause(next(kinds), "pool", POOL),
            lambda: race.pause(pause, "definition", DEFINITION),
        ],
        [race.submit, race.submit, race.submit, race.purge],
    )
    platform.wait_for(*race.submitted, timeout_s=60)
    ended = [job.state for job in race.submitted]
    assert len(ended) == Job.objects.count()
    assert {*ended} <= {JobState.SUCCEEDED, JobState.CANCELLED}
    assert ended.count(JobState.CANCELLED) == race.cancelled > 0
    purges = AuditEntry.objects.filter(action="purge").values_list("details__cancelled", flat=True)
    assert sum(purges) == race.cancelled
    assert not Job.objects.exclude(attempt=1).exists()
    assert race.pauses
    assert not [
        (at, begin, end)
        for at in started_at()
        for begin, end in race.pauses
        if begin + OBEYED_WITHIN_S < at < end
    ]
    with redis.Redis.from_url(settings.BROKER_URL) as client:  # messages of cancelled jobs are dropped
        eventually(lambda: client.llen(settings.JOB_POOLS[POOL]["queue"]) == 0)
