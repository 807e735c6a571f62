"""Rows that retention, or an administrator, deletes while others refer to them."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import redis
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from poolwise import lab
from poolwise.coordinator import retention
from poolwise.coordinator.recording import is_temporary
from poolwise.lifecycle import cancellation, recorder, submission
from poolwise.lifecycle.cancellation import CancelOutcome
from poolwise.lifecycle.stream import Ending, Outcome, Place, Started
from poolwise.models import Batch, Comparison, Job, JobLog, JobState
from poolwise.support import Timings, UnknownJob
from tests.coordinator.test_retention import make

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]


@pytest.fixture(autouse=True)
def _nothing_goes_out(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.JOB_KEEP_MAX = 0
    monkeypatch.setattr(submission, "deliver", lambda jobs, **_: None)
    monkeypatch.setattr(cancellation, "_mark", lambda job: False)
    monkeypatch.setattr(cancellation, "_revoke", lambda job, is_away=False: None)


@pytest.fixture
def elsewhere() -> Iterator[Callable[..., Any]]:
    """Make a call in another thread, with its own connection: `elsewhere(call)` returns a future."""

    def closing(call: Callable[..., Any], *args: Any) -> Any:
        try:
            return call(*args)
        finally:
            connection.close()

    with ThreadPoolExecutor() as threads:
        yield lambda call, *args: threads.submit(closing, call, *args)


def test_a_job_that_retention_deleted_a_moment_ago_runs_again_without_its_parent() -> None:
    [job] = make(1)
    retention.prune()
    again = submission.run_again(job, user=None)
    again.refresh_from_db()
    assert (again.parent, again.definition) == (None, job.definition)


def _once_held(monkeypatch: pytest.MonkeyPatch, call: Callable[[], object]) -> None:
    """Make the call when the parent of a new job is held and the job is not stored yet."""
    hold = submission._hold_parent

    def held(jobs: Any) -> None:
        hold(jobs)
        call()

    monkeypatch.setattr(submission, "_hold_parent", held)


def test_retention_waits_for_a_job_that_is_run_again_and_leaves_the_new_one_without_a_parent(
    elsewhere: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    [job] = make(1)
    pruning: list[Any] = []
    _once_held(monkeypatch, lambda: pruning.append(elsewhere(retention.prune)))
    again = submission.run_again(job, user=None)
    assert pruning[0].result(30).jobs == 1
    again.refresh_from_db()
    assert (again.parent, Job.objects.count()) == (None, 1)


def test_all_run_again_and_cancel_while_retention_deletes_and_nothing_fails(
    elsewhere: Callable[..., Any],
) -> None:
    jobs = make(40)
    finished = threading.Event()

    def prune() -> None:
        while not finished.is_set():
            retention.prune()

    def run_again() -> list[Job]:
        return [submission.run_again(job, user=None) for job in jobs]

    def cancel() -> set[CancelOutcome]:
        return {cancellation.cancel(Job(pk=job.pk)) for job in jobs}

    pruning, cancelling, *running = map(elsewhere, (prune, cancel, run_again, run_again))
    try:
        again = [job for each in running for job in each.result(60)]
        assert cancelling.result(60) == {CancelOutcome.ENDED}
    finally:
        finished.set()
    pruning.result(60)
    assert {job.pk for job in again} == set(Job.objects.values_list("pk", flat=True))


def test_reports_that_are_recorded_while_retention_deletes_leave_no_row_without_its_job(
    elsewhere: Callable[..., Any],
) -> None:
    jobs = make(60, state=JobState.QUEUED)
    place, log = Place("threads-1@here", 7), ((0.0, "info", "x"),)

    def report() -> int:
        entries: list[Any] = []
        for job in jobs:
            entries.append(Started(str(job.pk), 1, place, Timings()))
            entries.append(Outcome(str(job.pk), 1, place, Timings(), Ending.SUCCEEDED, result="1", log=log))
        return sum(recorder.record(entries[at : at + 20]).applied for at in range(0, len(entries), 20))

    recording, again = elsewhere(report), elsewhere(report)
    while not (recording.done() and again.done()):
        retention.prune()
    assert recording.result() + again.result() == 2 * len(jobs)
    retention.prune()
    assert not Job.objects.exists()
    assert not JobLog.objects.exists()


def test_a_job_that_has_gone_has_ended_and_an_explicit_cancel_says_so() -> None:
    [job] = make(1)
    retention.prune()
    assert cancellation.cancel(job) is CancelOutcome.ENDED
    with pytest.raises(UnknownJob, match="has ended and was deleted"):
        submission.cancel(job, user=None)


def test_a_comparison_is_cancelled_to_the_end_though_some_of_its_jobs_go_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    comparison = Comparison.objects.create(definition="io.wait", copies=3, state=Comparison.State.RUNNING)
    batch = Batch.objects.create(comparison=comparison, pool="gevent", round=1, position=1)
    first, *_ = make(3, state=JobState.QUEUED, batch=batch)

    def gone(job: Job) -> bool:
        Job.objects.filter(pk=first.pk).delete()
        return False

    monkeypatch.setattr(cancellation, "_mark", gone)
    lab.stop(comparison)
    assert set(Job.objects.values_list("state", flat=True)) == {JobState.CANCELLED}


def test_a_cancelled_job_is_kept_until_its_mark_is_written() -> None:
    [job] = make(1, state=JobState.CANCELLED, due_at=timezone.now() - timedelta(days=35))
    assert retention.prune().jobs == 0
    Job.objects.filter(pk=job.pk).update(due_at=None)
    assert retention.prune().jobs == 1


@pytest.mark.parametrize("path", ["/jobs/{}/again/", "/api/jobs/{}/again"])
def test_a_request_of_a_user_who_is_deleted_meanwhile_is_a_409(
    user: Any, monkeypatch: pytest.MonkeyPatch, suite_redis: redis.Redis, path: str
) -> None:
    [job] = make(1, user=user)
    browser = Client(raise_request_exception=False)
    browser.force_login(user)
    _once_held(monkeypatch, lambda: get_user_model().objects.filter(pk=user.pk).delete())
    response = browser.post(path.format(job.pk), content_type="application/json")
    assert response.status_code == 409
    assert "deleted or changed meanwhile" in response.content.decode()


def test_a_row_that_has_gone_is_no_outage_of_the_database() -> None:
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        make(1, parent_id=uuid4())
    assert not is_temporary(caught.value)
