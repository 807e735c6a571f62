"""Pause, resume, drain and purge against real workers of every pool."""

import time
from collections.abc import Iterator

import psutil
import pytest
import redis
from django.conf import settings
from django.core.management import CommandError, call_command

from poolwise.control import drain, pause, purge, resume
from poolwise.lifecycle import pauses, precheck
from poolwise.lifecycle.heartbeats import pools_up
from poolwise.lifecycle.pauses import Paused
from poolwise.lifecycle.submission import submit
from poolwise.models import AuditEntry, Job, JobState, Pause
from poolwise.support.redis import web_client
from tests.helpers.pace import eventually, limit_s
from tests.helpers.platform import Platform

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]
every_pool = pytest.mark.parametrize("pool", tuple(settings.JOB_POOLS))
PAUSED_WITHIN_S = 2.0


@pytest.fixture(autouse=True)
def _resumed_afterwards(platform: Platform) -> Iterator[None]:
    yield
    Pause.objects.all().delete()
    pauses.write_copy(web_client(), pauses.paused_now())


def slots(pool: str) -> int:
    return int(settings.JOB_POOLS[pool]["concurrency"])


def at_the_broker(pool: str) -> int:
    with redis.Redis.from_url(settings.BROKER_URL) as client:
        return client.llen(settings.JOB_POOLS[pool]["queue"])


def begun(pool: str) -> int:
    return Job.objects.filter(pool=pool, started_at__isnull=False).count()


def states(*jobs: Job) -> set[str]:
    return set(Job.objects.filter(pk__in=[job.pk for job in jobs]).values_list("state", flat=True))


def submit_past_the_pause(monkeypatch: pytest.MonkeyPatch, pool: str, copies: int) -> list[Job]:
    """Publish as a process would that does not know of the pause yet."""
    with monkeypatch.context() as patch:
        patch.setattr(precheck, "paused_of", lambda _: Paused())
        patch.setattr(settings, "JOB_PUBLISH_BUDGET_S", 30.0)  # a loaded machine publishes all of them, too
        return submit("endings.succeed", {}, pool=pool, copies=copies)


def cpu_s(pool: str) -> float:
    eventually(lambda: len(pools_up()[pool]) == 1)  # one that was killed still seems to live for some seconds
    [worker] = pools_up()[pool]
    process = psutil.Process(worker.pid)
    times = [one.cpu_times() for one in (process, *process.children())]
    return sum(one.user + one.system for one in times)


@every_pool
def test_a_paused_pool_begins_nothing_after_2_s_keeps_what_comes_and_loses_nothing(
    platform: Platform, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = submit("io.wait", {"duration_s": 0.05}, pool=pool, copies=slots(pool) + 150)
    pause("pool", pool, user=None, reason="a test")
    time.sleep(limit_s(PAUSED_WITHIN_S))
    before = begun(pool)
    late = [*submit("io.wait", {}, pool=pool), *submit_past_the_pause(monkeypatch, pool, 3)]
    left, spent_s = at_the_broker(pool), cpu_s(pool)
    assert left >= 3
    time.sleep(limit_s(PAUSED_WITHIN_S))
    assert begun(pool) == before
    assert at_the_broker(pool) == left  # the worker takes no message
    assert cpu_s(pool) - spent_s < PAUSED_WITHIN_S / 2  # nor does it spin
    assert states(*late) == {JobState.QUEUED}
    resume("pool", pool, user=None, reason="a test")
    platform.wait_for(*early, *late, timeout_s=60)
    assert states(*early, *late) == {JobState.SUCCEEDED}
    assert not Job.objects.exclude(attempt=1).exists()


@every_pool
def test_a_paused_definition_begins_nothing_while_others_go_on(platform: Platform, pool: str) -> None:
    paused = submit("io.wait", {"duration_s": 0.2}, pool=pool, copies=slots(pool) + 50)
    pause("definition", "io.wait", user=None, reason="a test")
    others = submit("endings.succeed", {}, pool=pool, copies=5)
    platform.wait_for(*others)
    time.sleep(limit_s(PAUSED_WITHIN_S))
    before = begun(pool)
    paused += submit("io.wait", {"duration_s": 0.2}, pool=pool)
    time.sleep(1.0)
    assert begun(pool) == before
    eventually(lambda: at_the_broker(pool) == 0)  # what was there is in the database only
    assert not Job.objects.queued().filter(due_at=None).exists()
    resume("definition", "io.wait", user=None, reason="a test")
    platform.wait_for(*paused, timeout_s=60)
    assert states(*paused, *others) == {JobState.SUCCEEDED}


def test_a_worker_that_starts_later_obeys_and_so_it_does_once_redis_lost_its_data(platform: Platform) -> None:
    pause("pool", "threads", user=None, reason="a test")
    platform.stop("threads")
    platform.ensure("threads")
    jobs = submit("endings.succeed", {}, pool="threads", copies=3)
    time.sleep(limit_s(PAUSED_WITHIN_S))
    web_client().flushall()
    jobs += submit("endings.succeed", {}, pool="threads", copies=3)
    time.sleep(limit_s(PAUSED_WITHIN_S))
    assert states(*jobs) == {JobState.QUEUED}
    assert pauses.read_copy(web_client()).pools == {"threads": "paused"}
    resume("pool", "threads", user=None, reason="a test")
    platform.wait_for(*jobs)
    assert states(*jobs) == {JobState.SUCCEEDED}


def test_draining_lets_what_runs_end_and_begins_nothing_else(platform: Platform) -> None:
    [running] = submit("io.wait", {"duration_s": 4}, pool="gevent")
    eventually(lambda: Job.objects.running().count() == 1)
    with pytest.raises(CommandError, match="1 job still running after"):
        call_command("drain", "gevent", "--reason", "maintenance", "--wait", "0.5")
    [waiting] = submit("endings.succeed", {}, pool="gevent")
    call_command("drain", "gevent", "--reason", "maintenance", "--wait", "20")
    assert states(running) == {JobState.SUCCEEDED}
    assert states(waiting) == {JobState.QUEUED}
    assert drain("gevent", user=None, reason="again").has_changed is False


def test_a_purge_cancels_what_is_queued_and_takes_its_messages_alone(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause("pool", "asyncio", user=None, reason="a test")
    time.sleep(limit_s(PAUSED_WITHIN_S))
    published = submit_past_the_pause(monkeypatch, "asyncio", 700)
    unpublished = submit("io.wait", {}, pool="asyncio", copies=5)
    with redis.Redis.from_url(settings.BROKER_URL) as client:
        client.lpush(settings.JOB_POOLS["asyncio"]["queue"], b"not ours")
    sent = Job.objects.queued().filter(due_at=None).count()
    purged = purge("asyncio", user=None, reason="too many")
    assert (purged.cancelled, purged.messages) == (705, sent)
    assert sent == 700  # more than one read of the queue
    assert states(*published, *unpublished) == {JobState.CANCELLED}
    assert at_the_broker("asyncio") == 1
    assert AuditEntry.objects.get(action="purge").details == {"cancelled": 705, "messages": sent}
    resume("pool", "asyncio", user=None, reason="a test")
    [after] = submit("endings.succeed", {}, pool="asyncio")
    platform.wait_for(after)
    assert states(after) == {JobState.SUCCEEDED}
