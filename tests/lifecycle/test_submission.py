import base64
import json
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from poolwise.lifecycle import stream
from poolwise.lifecycle.back_pressure import queue_state
from poolwise.lifecycle.commands import CommandFilter
from poolwise.lifecycle.publishing import grace
from poolwise.lifecycle.submission import CancelOutcome, cancel, prepare, run_again, submit
from poolwise.models import Job, JobState
from poolwise.support.errors import (
    InvalidParameters,
    PoolwiseError,
    QueueFull,
    Unavailable,
    UnknownDefinition,
    UnknownPool,
)
from poolwise.support.redis import key
from tests.helpers.core import messages
from tests.helpers.pace import limit_s

pytestmark = pytest.mark.django_db


def needs(count: int, names: list[str] | None = None) -> None:
    """Take a required parameter."""


@pytest.fixture
def on_commit(django_capture_on_commit_callbacks: Any) -> Any:
    """Run what a commit would run."""
    return lambda: django_capture_on_commit_callbacks(execute=True)


# --- refusals: a clear message, and nothing stored ------------------------------------------------------
def refused(error: type[PoolwiseError], definition: str, params: Any, **options: Any) -> PoolwiseError:
    with pytest.raises(error) as caught:
        submit(definition, params, **options)
    assert not Job.objects.exists()
    return caught.value


def test_an_unknown_definition_is_refused_with_the_names_that_are_close(unserved_pool: str) -> None:
    assert "io.wait" in str(refused(UnknownDefinition, "io.wiat", {}, pool=unserved_pool))


def test_an_unknown_pool_is_refused_with_the_names_that_exist(unserved_pool: str) -> None:
    text = str(refused(UnknownPool, "io.wait", {}, pool="gevnet"))
    assert "'gevnet'" in text
    assert unserved_pool in text


def test_a_definition_that_cannot_run_here_is_refused_with_its_reason(
    define: Any, unserved_pool: str
) -> None:
    define(needs, name="t.needs", unavailable=lambda: "the moon is full")
    assert "the moon is full" in str(refused(Unavailable, "t.needs", {"count": 1}, pool=unserved_pool))


@pytest.mark.parametrize(
    "params",
    [
        {"duration_s": "soon"}, {"duration_s": -0.1}, {"duration_s": 601}, {"duration_s": None},
        {"duration_s": float("nan")}, {"duration_s": float("inf")}, {"duration_s": [1]}, {"duration_s": {}},
    ],
    ids=str,
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused_by_its_name(params: Any, unserved_pool: str) -> None:
    error = refused(InvalidParameters, "io.wait", params, pool=unserved_pool)
    assert list(error.errors) == ["duration_s"]
    assert all(error.errors.values())


@pytest.mark.parametrize(
    ("definition", "params", "field"),
    [
        ("io.wait", {"seconds": 1}, "seconds"),
        ("t.needs", {}, "count"),
        ("t.needs", {"count": 1, "names": ["a", 2]}, "names"),
        ("io.wait", [1], "params"),
        ("io.wait", None, "params"),
        ("endings.succeed", {"value": "x" * 1001}, "value"),
        ("endings.succeed", {"value": "\x00"}, "value"),
        ("endings.succeed", {"value": "\ud800"}, "value"),
        ("t.needs", {"count": 1, "names": ["x" * 70_000]}, "names"),
    ],
)
def test_unknown_missing_oversized_and_unstorable_parameters_are_refused_by_their_names(
    define: Any, unserved_pool: str, definition: str, params: Any, field: str
) -> None:
    define(needs, name="t.needs")
    error = refused(InvalidParameters, definition, params, pool=unserved_pool)
    assert any(name.split(".")[0] == field for name in error.errors), error.errors


@pytest.mark.parametrize("copies", [0, -1, 11])
def test_copies_are_bounded(settings: Any, unserved_pool: str, copies: int) -> None:
    settings.JOB_MAX_COPIES = 10
    error = refused(InvalidParameters, "io.wait", {}, pool=unserved_pool, copies=copies)
    assert error.errors == {"copies": "Choose 1 to 10 copies."}


def test_a_queue_takes_jobs_up_to_its_limit_and_not_one_more(settings: Any, unserved_pool: str) -> None:
    settings.JOB_MAX_QUEUED = 3
    submit("io.wait", {}, pool=unserved_pool, copies=3)
    with pytest.raises(QueueFull, match="limit is 3 \\(JOB_MAX_QUEUED\\)"):
        submit("io.wait", {}, pool=unserved_pool)
    assert Job.objects.count() == 3


def test_copies_that_would_pass_the_limit_are_refused_together(settings: Any, unserved_pool: str) -> None:
    settings.JOB_MAX_QUEUED = 3
    refused(QueueFull, "io.wait", {}, pool=unserved_pool, copies=4)


def test_the_limit_counts_what_waits_in_this_pool_alone(settings: Any, unserved_pool: str) -> None:
    settings.JOB_MAX_QUEUED = 1
    Job.objects.create(definition="io.wait", kind="io", pool="gevent")
    for state in (JobState.RUNNING, JobState.SUCCEEDED, JobState.CANCELLED):
        Job.objects.create(definition="io.wait", kind="io", pool=unserved_pool, state=state)
    assert submit("io.wait", {}, pool=unserved_pool)


# --- what is stored and published -----------------------------------------------------------------------
def test_a_job_stores_its_validated_parameters_and_its_definitions_settings(
    define: Any, unserved_pool: str, user: Any
) -> None:
    define(needs, name="t.needs", kind="cpu", max_attempts=7)
    [job] = submit("t.needs", {"count": 3}, pool=unserved_pool, user=user, request_id="r-1")
    job.refresh_from_db()
    assert (job.state, job.attempt, job.max_attempts, job.kind) == (JobState.QUEUED, 1, 7, "cpu")
    assert (job.params, job.user, job.request_id) == ({"count": 3, "names": None}, user, "r-1")
    assert job.payload_bytes == len(b'{"count": 3, "names": null}')


def test_the_message_carries_all_that_the_worker_needs(
    own_keys: Any, unserved_pool: str, on_commit: Any
) -> None:
    before = time.time()
    with on_commit():
        [job] = submit("io.wait", {"duration_s": 1}, pool=unserved_pool, request_id="r-1")
    [message] = messages(own_keys, unserved_pool)
    headers = message["headers"]
    assert (headers["id"], headers["task"], headers["shadow"]) == (str(job.pk), "poolwise.run", "io.wait")
    assert message["args"] == ["io.wait", {"duration_s": 1.0}]
    assert (headers["poolwise"]["attempt"], headers["poolwise"]["request_id"]) == (1, "r-1")
    assert before <= headers["poolwise"]["published_at"] <= time.time()


def test_the_limits_of_the_definition_travel_with_the_message(
    own_keys: Any, define: Any, unserved_pool: str, on_commit: Any
) -> None:
    define(needs, name="t.needs", soft_time_limit_s=2.5, time_limit_s=4)
    with on_commit():
        submit("t.needs", {"count": 1}, pool=unserved_pool)
    assert messages(own_keys, unserved_pool)[0]["headers"]["timelimit"] == [4, 2.5]


def test_copies_are_published_in_order_and_marked_so(
    own_keys: Any, unserved_pool: str, on_commit: Any
) -> None:
    with on_commit():
        jobs = submit("io.wait", {}, pool=unserved_pool, copies=5)
    assert [m["headers"]["id"] for m in messages(own_keys, unserved_pool)] == [str(job.pk) for job in jobs]
    assert not Job.objects.filter(due_at__isnull=False).exists()
    assert all(job.is_published for job in jobs)


def test_nothing_is_published_before_the_commit(
    own_keys: Any, unserved_pool: str, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        [job] = submit("io.wait", {}, pool=unserved_pool)
    assert len(callbacks) == 1
    assert not messages(own_keys, unserved_pool)
    assert timezone.now() < job.due_at <= timezone.now() + grace()


def test_a_transaction_rolled_back_publishes_nothing(
    own_keys: Any, unserved_pool: str, on_commit: Any
) -> None:
    with on_commit() as callbacks, transaction.atomic():
        submit("io.wait", {}, pool=unserved_pool)
        transaction.set_rollback(True)
    assert not callbacks
    assert not messages(own_keys, unserved_pool)
    assert not Job.objects.exists()


def test_a_job_for_later_is_left_to_the_coordinator(
    own_keys: Any, unserved_pool: str, on_commit: Any
) -> None:
    later = timezone.now() + timedelta(hours=1)
    with on_commit():
        [job] = submit("io.wait", {}, pool=unserved_pool, run_after=later)
    assert not messages(own_keys, unserved_pool)
    assert job.due_at == later
    assert not Job.objects.unpublished(now=timezone.now()).exists()
    assert Job.objects.unpublished(now=later).get() == job


def test_preparing_stores_nothing(unserved_pool: str) -> None:
    assert len(prepare("io.wait", {}, pool=unserved_pool, copies=3)) == 3
    assert not Job.objects.exists()


# --- again ----------------------------------------------------------------------------------------------
@pytest.fixture
def ended(unserved_pool: str) -> Job:
    """A job that has ended on another pool."""
    params = {"duration_s": 0.5}
    return Job.objects.create(
        definition="io.wait", kind="io", pool="gevent", params=params, state=JobState.FAILED
    )


def test_a_job_runs_again_as_it_was_and_names_its_parent(ended: Job, user: Any) -> None:
    again = run_again(ended, user=user, request_id="r-2")
    again.refresh_from_db()
    assert (again.definition, again.params, again.pool) == (ended.definition, ended.params, ended.pool)
    assert (again.parent, again.user, again.request_id, again.state) == (ended, user, "r-2", JobState.QUEUED)
    ended.refresh_from_db()
    assert ended.state == JobState.FAILED


def test_a_job_runs_again_with_changes(ended: Job, unserved_pool: str) -> None:
    again = run_again(ended, user=None, params={"duration_s": 2}, pool=unserved_pool)
    assert (again.params, again.pool) == ({"duration_s": 2.0}, unserved_pool)


def test_changes_that_do_not_fit_are_refused_and_empty_ones_are_the_defaults(ended: Job) -> None:
    with pytest.raises(InvalidParameters):
        run_again(ended, user=None, params={"duration_s": -1})
    assert Job.objects.count() == 1
    assert run_again(ended, user=None, params={}).params == {"duration_s": 0.1}


def test_a_job_whose_definition_is_gone_cannot_run_again(ended: Job) -> None:
    ended.definition = "shop.sold"
    with pytest.raises(UnknownDefinition):
        run_again(ended, user=None)


# --- cancel ---------------------------------------------------------------------------------------------
def test_a_queued_job_is_cancelled_at_once_and_its_message_will_not_be_claimed(
    own_keys: Any, unserved_pool: str
) -> None:
    [job] = submit("io.wait", {}, pool=unserved_pool)
    assert cancel(job, user=None) is CancelOutcome.CANCELLED
    assert (job.state, job.due_at, job.error_type) == (JobState.CANCELLED, None, "Cancelled")
    assert job.finished_at
    assert job.recorded_at
    assert own_keys.ttl(key("cancelled", job.pk)) > stream.CANCEL_TTL_S - 60


def test_a_running_job_is_asked_to_stop_and_goes_on_until_its_worker_says_so(
    own_keys: Any, unserved_pool: str
) -> None:
    [job] = submit("cpu.primes", {}, pool=unserved_pool)
    Job.objects.update(state=JobState.RUNNING)
    assert cancel(job, user=None) is CancelOutcome.ASKED
    assert job.state == JobState.RUNNING
    assert job.cancel_requested_at


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])
def test_a_job_that_has_ended_stays_as_it_ended(own_keys: Any, unserved_pool: str, state: str) -> None:
    [job] = submit("io.wait", {}, pool=unserved_pool)
    Job.objects.update(state=state)
    assert cancel(job, user=None) is CancelOutcome.ENDED
    assert (job.state, job.cancel_requested_at) == (state, None)
    assert not own_keys.exists(key("cancelled", job.pk))


def test_a_job_is_cancelled_in_the_database_though_redis_is_away(own_redis: Any, unserved_pool: str) -> None:
    [job] = submit("io.wait", {}, pool=unserved_pool)
    began = time.monotonic()
    assert cancel(job, user=None) is CancelOutcome.CANCELLED
    assert time.monotonic() - began < limit_s(1.5)


def test_the_workers_are_notified_of_a_cancelled_job_also_after_a_restart_of_redis(
    own_redis: Any, unserved_pool: str
) -> None:
    for state in (JobState.QUEUED, JobState.RUNNING):  # a queued one may have started; it is not recorded yet
        own_redis.start()
        [job] = submit("io.wait", {}, pool=unserved_pool)
        Job.objects.filter(pk=job.pk).update(state=state)
        with own_redis.client().pubsub() as listener:
            listener.psubscribe("*pidbox*")
            cancel(job, user=None)
            message = [listener.get_message(timeout=1) for _ in range(2)][1]
        arguments = json.loads(base64.b64decode(json.loads(message["data"])["body"]))["arguments"]
        wanted = {"task_id": str(job.pk), "terminate": True, "signal": "SIGHUP"}
        assert CommandFilter().verified("revoke", arguments, "any") == wanted
        own_redis.kill()


def test_a_frozen_redis_does_not_delay_a_cancellation(own_redis: Any, unserved_pool: str) -> None:
    own_redis.start()
    first, second = (submit("io.wait", {}, pool=unserved_pool)[0] for _ in range(2))
    cancel(first, user=None)
    own_redis.freeze()
    began = time.monotonic()
    assert cancel(second, user=None) is CancelOutcome.CANCELLED
    own_redis.thaw()
    assert time.monotonic() - began < limit_s(1.5)


# --- the queue ------------------------------------------------------------------------------------------
def test_a_queue_without_a_worker_says_so_with_its_length_and_age(own_keys: Any, unserved_pool: str) -> None:
    submit("io.wait", {}, pool=unserved_pool, copies=2)
    Job.objects.update(created_at=timezone.now() - timedelta(seconds=60))
    state = queue_state(unserved_pool)
    assert (state.pool, state.queued, state.workers) == (unserved_pool, 2, 0)
    assert 60 <= state.oldest_s < 70


def test_an_empty_queue_has_no_age(own_keys: Any, unserved_pool: str) -> None:
    assert (queue_state(unserved_pool).queued, queue_state(unserved_pool).oldest_s) == (0, 0.0)


def test_while_redis_is_away_nobody_knows_of_workers(own_redis: Any, unserved_pool: str) -> None:
    submit("io.wait", {}, pool=unserved_pool)
    state = queue_state(unserved_pool)
    assert (state.queued, state.workers) == (1, None)
