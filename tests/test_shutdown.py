"""SIGTERM: running jobs get their grace, the rest goes back to its queue, and the worker ends in any case."""

import signal
from collections.abc import Callable
from threading import Event, Thread

import pytest
from django.conf import settings
from django.db import connection
from django_celery_results.models import TaskResult

from jobs.heartbeats import pools_up
from jobs.models import Job, State
from jobs.submission import submit
from tests.platform import Platform

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("pool", tuple(settings.JOB_POOLS))
def test_at_sigterm_a_short_job_ends_and_a_long_one_goes_back_and_runs_again_as_the_same_attempt(
    platform: Platform, pool: str, eventually: Callable
) -> None:
    platform.stop(pool)
    platform.start(pool, SHUTDOWN_GRACE_S="2")
    platform.ensure(pool)
    [short] = submit("io.wait", {"duration_s": 1.5}, pool=pool)
    [long] = submit("io.wait", {"duration_s": 6}, pool=pool)
    eventually(lambda: Job.objects.running().count() == 2)
    platform.stop(pool, timeout_s=20)
    platform.wait_for(short)
    eventually(lambda: Job.objects.queued().filter(pk=long.pk, worker="").exists())
    platform.ensure(pool)
    platform.wait_for(long, timeout_s=60)
    assert (short.state, short.attempt) == (State.SUCCEEDED, 1)
    assert (long.state, long.attempt, long.history) == (State.SUCCEEDED, 1, [])


def test_a_rolling_restart_under_load_loses_nothing_and_runs_nothing_twice(
    platform: Platform, eventually: Callable
) -> None:
    sent: list[Job] = []
    ended = Event()

    def keep_submitting() -> None:
        try:
            while not ended.wait(0.1):
                sent.extend(submit("io.wait", {"duration_s": 0.4}, pool="threads", copies=4))
        finally:
            connection.close()

    submitting = Thread(target=keep_submitting)
    submitting.start()
    try:
        for _ in range(2):
            done = len(sent)
            eventually(lambda done=done: len(sent) > done + 20)
            before = {worker.name for worker in pools_up()["threads"]}
            old = platform.processes.pop("threads")
            platform.start("threads")
            eventually(lambda before=before: {w.name for w in pools_up()["threads"]} - before, timeout_s=60)
            old.send_signal(signal.SIGTERM)
            assert old.wait(40) == 0
    finally:
        ended.set()
        submitting.join()
    platform.wait_for(*sent, timeout_s=60)
    assert {(job.state, job.attempt) for job in sent} == {(State.SUCCEEDED, 1)}
    ids = [str(job.pk) for job in sent]
    assert TaskResult.objects.filter(task_id__in=ids, status="SUCCESS").count() == len(sent)
    assert len({job.worker for job in sent}) >= 3
