"""Cancelling without workers: which claims are refused, what the database has, and what the coordinator repairs."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
import redis
from django.db import OperationalError, connection
from django.utils import timezone

from poolwise.lifecycle import cancellation, recorder, stream
from poolwise.lifecycle.cancellation import CancelOutcome, cancel, mark_again, settle, stop_unwanted
from poolwise.lifecycle.stream import Claim, Ending, Outcome, Place, Started
from poolwise.models import Job, JobQuerySet, JobState
from poolwise.support.redis import key
from poolwise.support.timing import Timings
from tests.helpers.core import claim

pytestmark = pytest.mark.django_db
PLACE = Place("threads-1@here", 7)


@pytest.fixture
def revoked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the jobs that workers were asked to drop."""
    ids: list[str] = []
    monkeypatch.setattr(cancellation, "revoke", lambda job_id, **_: ids.append(job_id))
    return ids


def make(**fields: Any) -> Job:
    return Job.objects.create(**{"definition": "io.wait", "kind": "io", "pool": "gevent", **fields})


def started(job: Job) -> Started:
    return Started(str(job.pk), job.attempt, PLACE, Timings())


def test_a_job_that_was_claimed_a_moment_ago_is_asked_to_stop_and_not_called_cancelled(
    own_keys: redis.Redis, revoked: list[str]
) -> None:
    job = make()
    assert claim(own_keys, started(job), "t") is Claim.CLAIMED  # and its start is not recorded yet
    assert cancel(job) is CancelOutcome.ASKED
    job.refresh_from_db()
    assert (job.state, job.cancel_requested_at is not None) == (JobState.QUEUED, True)
    recorder.record([started(job)])
    job.refresh_from_db()
    assert job.state == JobState.RUNNING
    assert revoked == [str(job.pk)]


def test_nobody_can_begin_a_job_once_it_is_cancelled(own_keys: redis.Redis, revoked: list[str]) -> None:
    job = make()
    assert cancel(job) is CancelOutcome.CANCELLED
    assert claim(own_keys, started(job), "t") is Claim.CANCELLED
    job.refresh_from_db()
    assert (job.state, job.due_at) == (JobState.CANCELLED, None)


def test_a_job_that_is_finishing_stays_finished(own_keys: redis.Redis, revoked: list[str]) -> None:
    job = make(state=JobState.RUNNING)
    claim(own_keys, started(job), "t")
    assert cancel(job) is CancelOutcome.ASKED
    recorder.record([Outcome(str(job.pk), 1, PLACE, Timings(), Ending.SUCCEEDED, result="1")])
    assert cancel(job) is CancelOutcome.ENDED
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED


def test_a_mark_that_did_not_reach_redis_is_written_by_the_coordinator(
    own_keys: redis.Redis, revoked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make()

    def away(*_: object) -> bool:
        raise redis.ConnectionError("away")

    with monkeypatch.context() as patch:
        patch.setattr(cancellation, "begin_no_more", away)
        assert cancel(job) is CancelOutcome.CANCELLED
    job.refresh_from_db()
    assert (job.state, job.due_at is not None) == (JobState.CANCELLED, True)
    assert not own_keys.exists(key("cancelled", job.pk))
    assert settle(own_keys) == 1
    assert claim(own_keys, started(job), "t") is Claim.CANCELLED
    assert settle(own_keys) == 0


def recorded(own_keys: redis.Redis) -> None:
    recorder.record([stream.decode(fields["e"]) for _, fields in own_keys.xrange(stream.stream_key())])


def test_a_cancel_that_dies_before_the_database_is_finished_by_the_worker_that_meets_its_mark(
    own_keys: redis.Redis, revoked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make(unique_key="one at a time")
    with monkeypatch.context() as patch:
        patch.setattr(cancellation, "_cancel_queued", mock.Mock(side_effect=OperationalError("gone")))
        with pytest.raises(OperationalError):
            cancel(job)
    assert claim(own_keys, started(job), "t") is Claim.CANCELLED
    recorded(own_keys)
    job.refresh_from_db()
    assert (job.state, job.error, job.worker) == (JobState.CANCELLED, "Cancelled before it began.", "")
    assert job.started_at is None
    assert job.finished_at
    make(unique_key="one at a time")


def test_a_job_that_changes_faster_than_it_can_be_asked_is_cancelled_by_its_mark(
    own_keys: redis.Redis, revoked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make(max_attempts=9)
    with monkeypatch.context() as patch:
        for step in ("_cancel_queued", "_ask"):
            patch.setattr(cancellation, step, lambda *_, **__: False)
        assert cancel(job) is CancelOutcome.ASKED
    Job.objects.update(attempt=2)
    assert claim(own_keys, replace(started(job), attempt=2), "t") is Claim.CANCELLED
    recorded(own_keys)
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED


def test_a_mark_that_a_worker_met_before_the_database_changed_has_cancelled_the_job(
    own_keys: redis.Redis, revoked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make()

    def is_faster(*_: object, **__: object) -> bool:
        claim(own_keys, started(job), "t")
        recorded(own_keys)
        return False

    monkeypatch.setattr(cancellation, "_cancel_queued", is_faster)
    assert cancel(job) is CancelOutcome.CANCELLED
    assert cancel(job) is CancelOutcome.ENDED


def test_marks_that_redis_lost_are_written_again_for_what_never_began_alone(own_keys: redis.Redis) -> None:
    waited, ran = make(state=JobState.CANCELLED), make(state=JobState.CANCELLED, started_at=timezone.now())
    old = make(state=JobState.CANCELLED, created_at=timezone.now() - timedelta(days=40))
    assert mark_again(own_keys) == 1
    assert own_keys.exists(key("cancelled", waited.pk))
    assert not own_keys.exists(key("cancelled", ran.pk), key("cancelled", old.pk))


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.SUCCEEDED])
def test_a_job_that_has_ended_and_that_a_worker_began_all_the_same_is_stopped(
    own_keys: redis.Redis, revoked: list[str], state: JobState
) -> None:
    job, other = make(state=state), make()
    recorded = recorder.record([started(job), started(other)])
    assert recorded.unwanted == [job.pk]
    stop_unwanted(own_keys, [*recorded.unwanted, other.pk])
    assert revoked == [str(job.pk)]
    assert own_keys.exists(key("cancelled", job.pk))


def test_a_job_that_was_asked_to_stop_and_is_given_back_is_cancelled(own_keys: redis.Redis) -> None:
    job = make(state=JobState.RUNNING, worker=PLACE.worker, cancel_requested_at=timezone.now())
    recorder.record([Outcome(str(job.pk), 1, PLACE, Timings(), Ending.RELEASED)])
    job.refresh_from_db()
    assert (job.state, job.due_at) == (JobState.CANCELLED, None)
    assert job.finished_at
    assert "shut down" in job.error


def test_a_queued_job_that_was_asked_to_stop_and_that_nobody_reserved_is_cancelled(
    own_keys: redis.Redis, revoked: list[str]
) -> None:
    long_ago = timezone.now() - timedelta(seconds=9)
    waits, just_asked = make(cancel_requested_at=long_ago), make(cancel_requested_at=timezone.now())
    settle(own_keys)
    for job in (waits, just_asked):
        job.refresh_from_db()
    assert (waits.state, just_asked.state) == (JobState.CANCELLED, JobState.QUEUED)


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        (cancellation._unmarked, "job_mark_due"),
        (cancellation._overdue, "job_stop_asked"),
        (lambda: Job.objects.unpublished(now=timezone.now()).order_by("due_at"), "job_due"),
    ],
)
def test_what_the_coordinator_asks_every_few_seconds_is_answered_in_order_by_an_index_of_its_own(
    asked: Callable[[], JobQuerySet], index: str
) -> None:
    for state in JobState.values:
        make(state=state)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # it reads a small table whole, whatever there is to help
            cursor.execute("SET LOCAL enable_seqscan = off")
    plan = asked().values_list("pk", flat=True)[:10].explain()
    assert index in plan
    assert "sort" not in plan.lower()
    assert "temp b-tree" not in plan.lower()


@pytest.mark.parametrize(
    ("pool", "outcome"), [("prefork", CancelOutcome.ASKED), ("threads", CancelOutcome.UNSTOPPABLE)]
)
def test_the_answer_says_whether_the_pool_can_stop_such_a_job(
    own_keys: redis.Redis, revoked: list[str], pool: str, outcome: CancelOutcome
) -> None:
    job = make(state=JobState.RUNNING, pool=pool, worker=f"{pool}-1@here")
    assert cancel(job) is outcome


def test_the_marks_outlive_a_message_that_waits_for_days(own_keys: redis.Redis, revoked: list[str]) -> None:
    job = make()
    cancel(job)
    assert own_keys.ttl(key("cancelled", job.pk)) > stream.CANCEL_TTL_S - 60 > 7 * 86_400
