"""SIGTERM: running jobs get their grace, the rest goes back to its queue, and the worker ends in any case."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import pytest
from django.conf import settings
from django.db import connection
from django_celery_results.models import TaskResult

from poolwise.lifecycle.heartbeats import pools_up
from poolwise.lifecycle.submission import submit
from poolwise.models import Job, JobState
from tests.helpers.pace import becomes
from tests.helpers.platform import GRACE_S, Platform

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]


def test_at_sigterm_short_jobs_end_and_long_ones_go_back_and_run_again_as_the_same_attempt(
    platform: Platform, eventually: Callable
) -> None:
    pools = tuple(settings.JOB_POOLS)
    # All run at the same time before the first short one has ended, and no long one ends before its worker does.
    short = {pool: submit("io.wait", {"duration_s": GRACE_S / 2}, pool=pool)[0] for pool in pools}
    long = {pool: submit("io.wait", {"duration_s": 2.5 * GRACE_S}, pool=pool)[0] for pool in pools}
    eventually(lambda: Job.objects.running().count() == 2 * len(pools))
    with ThreadPoolExecutor(len(pools)) as threads:  # at once, so that no long job has its time
        list(threads.map(lambda pool: platform.stop(pool, timeout_s=25), pools))
    platform.wait_for(*short.values())
    ids = [job.pk for job in long.values()]
    becomes(
        lambda: set(Job.objects.filter(pk__in=ids).values_list("pool", "state", "worker")),
        {(pool, JobState.QUEUED.value, "") for pool in pools},
    )
    platform.ensure(*pools)
    platform.wait_for(*long.values(), timeout_s=90)
    for pool in pools:
        assert (pool, short[pool].state, short[pool].attempt) == (pool, JobState.SUCCEEDED, 1)
        assert (pool, long[pool].state, long[pool].attempt) == (pool, JobState.SUCCEEDED, 1)
        assert long[pool].history == []


def names_up(pool: str) -> set[str]:
    return {worker.name for worker in pools_up().get(pool, [])}


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
            before = names_up("threads")
            old = platform.replace("threads")
            eventually(lambda before=before: names_up("threads") - before, timeout_s=60)
            assert platform.end(old) == 0
    finally:
        ended.set()
        submitting.join()
    platform.wait_for(*sent, timeout_s=60)
    odd = [job for job in sent if (job.state, job.attempt) != (JobState.SUCCEEDED, 1)]
    assert not odd, [(job.state, job.attempt, job.history) for job in odd]
    ids = [str(job.pk) for job in sent]
    assert TaskResult.objects.filter(task_id__in=ids, status="SUCCESS").count() == len(sent)
    assert len({job.worker for job in sent}) >= 3
