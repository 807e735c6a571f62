import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
import redis
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from kombu.exceptions import LimitExceeded

from poolwise.lifecycle import broker, duplicate_deliveries, pauses, publishing
from poolwise.lifecycle.publishing import publish, publish_due, publish_from_web
from poolwise.lifecycle.submission import submit
from poolwise.models import Job, JobState
from poolwise.support.redis import key
from tests.helpers.core import coordinate, messages
from tests.helpers.pace import limit_s

pytestmark = pytest.mark.django_db


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    began = time.monotonic()
    return call(), time.monotonic() - began


def waiting(pool: str, **fields: Any) -> Job:
    """A queued job whose message is due."""
    fields = {"definition": "io.wait", "params": {"duration_s": 0.1}, "due_at": timezone.now(), **fields}
    return Job.objects.create(kind="io", pool=pool, **fields)


# --- Redis is unavailable -------------------------------------------------------------------------------
def test_a_submission_while_redis_is_down_returns_soon_and_loses_nothing(
    own_redis: Any,
    unserved_pool: str,
    django_capture_on_commit_callbacks: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        [job] = submit("io.wait", {}, pool=unserved_pool)
    _, took_s = timed(callbacks[0])
    job.refresh_from_db()
    assert took_s < limit_s(1.0)
    assert (job.state, job.is_published) == (JobState.QUEUED, False)

    own_redis.start()
    Job.objects.update(due_at=timezone.now())
    coordinate(lambda: messages(own_redis.client(), unserved_pool), monkeypatch)
    job.refresh_from_db()
    assert job.is_published
    assert len(messages(own_redis.client(), unserved_pool)) == 1


def test_a_database_that_fails_once_the_jobs_are_stored_fails_no_request_and_the_coordinator_publishes(
    own_redis: Any,
    unserved_pool: str,
    django_capture_on_commit_callbacks: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own_redis.start()

    def is_locked(*_: Any, **__: Any) -> None:
        raise OperationalError("database is locked")

    with monkeypatch.context() as patch, django_capture_on_commit_callbacks(execute=True):
        patch.setattr(pauses, "paused_now", is_locked)
        [unsent] = submit("io.wait", {}, pool=unserved_pool)
    assert messages(own_redis.client(), unserved_pool) == []
    assert Job.objects.unpublished(now=timezone.now() + timedelta(hours=1)).get() == unsent
    unsent.delete()
    with monkeypatch.context() as patch, django_capture_on_commit_callbacks(execute=True):
        patch.setattr(publishing, "_mark_published", is_locked)
        [job] = submit("io.wait", {}, pool=unserved_pool)
    assert len(messages(own_redis.client(), unserved_pool)) == 1
    job.refresh_from_db()
    assert (job.state, job.is_published) == (JobState.QUEUED, False)
    Job.objects.update(due_at=timezone.now())
    assert publish_due() == 1
    sent = messages(own_redis.client(), unserved_pool)
    assert len({message["headers"]["id"] for message in sent}) == 1  # one claims it, the other is dropped
    job.refresh_from_db()
    assert job.is_published


def test_a_frozen_redis_costs_a_request_no_more_than_its_budget(own_redis: Any, unserved_pool: str) -> None:
    own_redis.start()
    first, second = waiting(unserved_pool), waiting(unserved_pool)
    assert publish_from_web([first]) == 1
    own_redis.freeze()
    count, took_s = timed(lambda: publish_from_web([second]))
    own_redis.thaw()
    second.refresh_from_db()
    assert count == 0
    assert took_s < limit_s(1.2)
    assert not second.is_published


def test_a_frozen_redis_that_was_never_connected_to_costs_no_more_either(
    own_redis: Any, unserved_pool: str
) -> None:
    own_redis.start()
    own_redis.freeze()
    count, took_s = timed(lambda: publish_from_web([waiting(unserved_pool)]))
    own_redis.thaw()
    assert count == 0
    assert took_s < limit_s(1.2)


def test_after_a_fault_requests_do_not_try_for_a_while_and_the_coordinator_does(
    own_redis: Any, unserved_pool: str
) -> None:
    job = waiting(unserved_pool)
    assert publish_from_web([job]) == 0
    own_redis.start()
    count, took_s = timed(lambda: publish_from_web([job]))
    assert count == 0
    assert took_s < limit_s(0.05)
    assert publish_due() == 1
    assert len(messages(own_redis.client(), unserved_pool)) == 1


def test_the_breaker_closes_again(
    own_redis: Any, unserved_pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "_BREAKER_OPEN_S", 0.05)
    assert publish_from_web([waiting(unserved_pool)]) == 0
    own_redis.start()
    time.sleep(0.1)
    assert publish_from_web([waiting(unserved_pool)]) == 1


def test_redis_may_go_and_come_back_between_two_requests(
    own_redis: Any, unserved_pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "_BREAKER_OPEN_S", 0.0)
    own_redis.start()
    assert publish_from_web([waiting(unserved_pool)]) == 1
    own_redis.kill()
    assert publish_from_web([waiting(unserved_pool)]) == 0
    own_redis.start()
    assert publish_from_web([waiting(unserved_pool)]) == 1
    assert len(messages(own_redis.client(), unserved_pool)) == 1


def test_of_a_batch_whose_write_fails_nothing_counts_as_published(
    own_redis: Any, unserved_pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "_BATCH", 2)
    monkeypatch.setattr(publishing, "_breaker", publishing._Breaker())
    own_redis.start()
    jobs = [waiting(unserved_pool) for _ in range(5)]
    send, sent = publishing._Sender.send_or_postpone, []

    def send_and_break(sender: Any, job: Job) -> bool:
        sent.append(job)
        if len(sent) == 4:
            own_redis.kill()
        return send(sender, job)

    monkeypatch.setattr(publishing._Sender, "send_or_postpone", send_and_break)
    assert publish(jobs, budget_s=5.0) == 2
    assert [job.due_at is None for job in jobs] == [True, True, False, False, False]
    assert publishing._breaker.is_open
    own_redis.start()
    monkeypatch.setattr(publishing._Sender, "send_or_postpone", send)
    assert publish_due() == 3


def test_what_a_batch_shares_is_declared_once_and_a_pool_that_is_gone_postpones_its_own_jobs(
    own_redis: Any, unserved_pool: str
) -> None:
    own_redis.start()
    jobs = [waiting(pool) for pool in (unserved_pool, "gone", unserved_pool, "gone")]
    assert publish(jobs, budget_s=5.0) == 2
    assert len(messages(own_redis.client(), unserved_pool)) == 2
    assert [job.is_published for job in jobs] == [True, False, True, False]


def test_a_pool_of_connections_in_use_by_others_is_a_fault_of_the_broker_too(
    unserved_pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy:
        def acquire(self, **_: Any) -> None:
            raise LimitExceeded(1)

        def force_close_all(self, **_: Any) -> None:
            pass

    monkeypatch.setattr(publishing.pools, "producers", {broker.connection(0.5): Busy()})
    monkeypatch.setattr(publishing, "_breaker", publishing._Breaker())
    assert publish([waiting(unserved_pool)], budget_s=0.5) == 0
    assert publishing._breaker.is_open


# --- what may have been published already ---------------------------------------------------------------
def is_duplicate_expected(own_keys: Any, job: Job) -> bool:
    return bool(own_keys.exists(key("duplicate", job.pk, job.attempt)))


def test_a_coordinator_expects_duplicates_only_of_what_another_process_may_have_published(
    own_keys: Any, unserved_pool: str
) -> None:
    now = timezone.now()
    inserted_at = now - timedelta(minutes=1)
    fresh = waiting(unserved_pool, created_at=inserted_at, due_at=inserted_at + publishing.grace())
    later = waiting(unserved_pool, created_at=inserted_at, due_at=now)
    given_back_unbegun = waiting(unserved_pool, created_at=inserted_at, due_at=inserted_at)
    retried = waiting(
        unserved_pool, created_at=inserted_at, due_at=inserted_at + timedelta(seconds=1), attempt=2
    )
    assert publish_due() == 4
    assert is_duplicate_expected(own_keys, fresh)
    assert not any(is_duplicate_expected(own_keys, job) for job in (later, given_back_unbegun, retried))


def test_a_write_that_failed_may_have_arrived(
    own_keys: Any, unserved_pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = waiting(unserved_pool, created_at=timezone.now() - timedelta(minutes=1))
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "publish", lambda due, budget_s, paused: 0)
        assert publish_due() == 0
    assert not is_duplicate_expected(own_keys, job)
    assert publish_due() == 1
    assert is_duplicate_expected(own_keys, job)


def test_messages_that_went_out_before_the_database_failed_may_come_twice(
    own_keys: Any, unserved_pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = waiting(unserved_pool, created_at=timezone.now() - timedelta(minutes=1))
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "_mark_published", mock.Mock(side_effect=OperationalError("gone")))
        with pytest.raises(OperationalError):
            publish_due()
    assert publish_due() == 0  # leased
    Job.objects.update(due_at=timezone.now())
    assert publish_due() == 1
    assert len(messages(own_keys, unserved_pool)) == 2
    assert is_duplicate_expected(own_keys, job)


def test_nothing_is_published_twice_while_redis_cannot_be_written(
    own_keys: Any, unserved_pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    waiting(unserved_pool, created_at=now - publishing.grace(), due_at=now)
    with monkeypatch.context() as patch:
        patch.setattr(
            duplicate_deliveries, "expect_duplicates", mock.Mock(side_effect=redis.TimeoutError("frozen"))
        )
        assert publish_due() == 0
    assert not messages(own_keys, unserved_pool)
    assert publish_due() == 1


# --- what is due ----------------------------------------------------------------------------------------
def test_what_is_due_is_published_oldest_first_and_once(own_keys: Any, unserved_pool: str) -> None:
    now = timezone.now()
    jobs = [waiting(unserved_pool, due_at=now - timedelta(seconds=age)) for age in (1, 3, 2)]
    assert publish_due() == 3
    assert publish_due() == 0
    sent = [message["headers"]["id"] for message in messages(own_keys, unserved_pool)]
    assert sent == [str(jobs[at].pk) for at in (1, 2, 0)]


def test_what_is_not_due_published_running_or_ended_is_left_alone(own_keys: Any, unserved_pool: str) -> None:
    now = timezone.now()
    waiting(unserved_pool, due_at=now + timedelta(minutes=1))
    waiting(unserved_pool, due_at=None)
    waiting(unserved_pool, state=JobState.RUNNING)
    waiting(unserved_pool, state=JobState.CANCELLED)
    assert publish_due() == 0
    assert not messages(own_keys, unserved_pool)


def test_a_batch_is_bounded(own_keys: Any, unserved_pool: str) -> None:
    for _ in range(3):
        waiting(unserved_pool)
    assert (publish_due(limit=2), publish_due(limit=2)) == (2, 1)


def test_a_spent_budget_leaves_the_rest_due(own_keys: Any, unserved_pool: str) -> None:
    jobs = [waiting(unserved_pool) for _ in range(3)]
    assert publish(jobs, budget_s=0.0) < 3
    assert Job.objects.unpublished(now=timezone.now()).exists()


def test_a_later_attempt_says_its_number(own_keys: Any, unserved_pool: str) -> None:
    waiting(unserved_pool, attempt=4)
    publish_due()
    assert messages(own_keys, unserved_pool)[0]["headers"]["poolwise"]["attempt"] == 4


def test_a_row_that_went_on_meanwhile_is_not_touched(own_keys: Any, unserved_pool: str) -> None:
    job = waiting(unserved_pool)
    retry_at = timezone.now() + timedelta(seconds=30)
    Job.objects.filter(pk=job.pk).update(attempt=2, due_at=retry_at)
    publish([job], budget_s=1)
    assert Job.objects.get().due_at == retry_at


def test_a_job_of_a_definition_that_is_gone_is_published_for_the_worker_to_say_so(
    own_keys: Any, unserved_pool: str
) -> None:
    waiting(unserved_pool, definition="shop.sold")
    assert publish_due() == 1
    assert messages(own_keys, unserved_pool)[0]["args"][0] == "shop.sold"


def test_a_job_of_a_pool_that_is_gone_waits_and_is_not_in_the_way(own_keys: Any, unserved_pool: str) -> None:
    stuck = waiting("sold", due_at=timezone.now() - timedelta(hours=1))
    waiting(unserved_pool)
    assert publish_due() == 1
    stuck.refresh_from_db()
    assert stuck.state == JobState.QUEUED
    assert stuck.due_at > timezone.now()
    assert publish_due() == 0


def test_a_message_goes_to_the_queue_that_its_pool_declares(
    own_keys: Any, unserved_pool: str, settings: Any
) -> None:
    settings.JOB_POOLS = {"renamed": {**settings.JOB_POOLS[unserved_pool]}}
    waiting("renamed")
    assert publish_due() == 1
    assert len(messages(own_keys, unserved_pool)) == 1


def test_the_tests_do_not_publish_to_a_redis_of_somebody_else(own_redis: Any, settings: Any) -> None:
    assert broker.web_connection().as_uri().endswith(f"@127.0.0.1:{own_redis.port}/0")
    assert os.environ["REDIS_URL"] != settings.REDIS_URL


# --- two coordinators -----------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_two_coordinators_never_publish_the_same_message(
    no_coordinator: None, unserved_pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [waiting(unserved_pool) for _ in range(60)]
    sent: list[Any] = []

    def send(due: list[Job], *, budget_s: float, paused: Any) -> int:
        sent.extend(job.pk for job in due)
        time.sleep(0.02)  # meanwhile the other one checks
        return len(due)

    def coordinate(_: int) -> int:
        try:
            published = 0
            while Job.objects.unpublished(now=timezone.now()).exists():
                published += publish_due(limit=10)
            return published
        finally:
            connection.close()

    monkeypatch.setattr(publishing, "publish", send)
    with ThreadPoolExecutor(2) as threads:
        assert sum(threads.map(coordinate, range(2))) == 60
    assert sorted(sent) == sorted(job.pk for job in jobs)


def test_what_a_coordinator_could_not_publish_is_due_again_at_once(
    unserved_pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(unserved_pool)
    monkeypatch.setattr(publishing, "publish", lambda due, budget_s, paused: 0)
    assert publish_due() == 0
    assert Job.objects.unpublished(now=timezone.now()).count() == 1


def test_a_coordinator_asks_the_database_once_a_turn_what_is_paused(
    own_keys: Any, unserved_pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[pauses.Paused] = []
    original = pauses.paused_now
    monkeypatch.setattr(pauses, "paused_now", lambda: asked.append(original()) or asked[-1])
    waiting(unserved_pool)
    assert publish_due() == 1
    assert asked == [pauses.Paused()]  # which is false: nothing is paused


def test_what_a_coordinator_took_and_never_published_is_due_later(unserved_pool: str) -> None:
    waiting(unserved_pool)
    now = timezone.now()
    assert len(publishing._take_due(pauses.paused_now(), 10, now)) == 1  # and there it dies
    assert not Job.objects.unpublished(now=now + timedelta(seconds=9)).exists()
    assert Job.objects.unpublished(now=now + timedelta(seconds=11)).exists()


@pytest.mark.services  # so that it runs on PostgreSQL as well, where it matters
@pytest.mark.django_db(transaction=True)
def test_many_rows_are_updated_in_the_order_in_which_the_recorder_locks_them(
    no_coordinator: None, unserved_pool: str
) -> None:
    # The heap holds the later key first: without an order PostgreSQL would lock it first.
    later, sooner = (waiting(unserved_pool, id=UUID(int=number)) for number in (2, 1))
    has_first, may_go_on = threading.Event(), threading.Event()

    def record() -> None:
        try:
            with transaction.atomic():
                Job.objects.select_for_update().get(pk=sooner.pk)
                has_first.set()
                may_go_on.wait(10)
                Job.objects.select_for_update().get(pk=later.pk)
        finally:
            connection.close()

    def publish() -> int:
        has_first.wait(10)
        try:
            return Job.objects.queued().filter(pk__in=[later.pk, sooner.pk]).update_in_order(due_at=None)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        recorded, published = pool.submit(record), pool.submit(publish)
        has_first.wait(10)
        time.sleep(0.5)  # the update waits for the first row by now
        may_go_on.set()
        recorded.result(30)
        assert published.result(30) == 2
