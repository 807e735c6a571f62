"""Many jobs at once: `submit_many`, and how few statements and messages' writes a submission takes."""

import json
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from celery import signals
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import poolwise
from poolwise import submit_many, testing
from poolwise.definitions import Definition
from poolwise.lifecycle import back_pressure, precheck, publishing, submission
from poolwise.lifecycle.submission import submit
from poolwise.models import Job, JobState, Pause
from poolwise.support.errors import InvalidParameters, QueueFull, Unavailable, UnderWay, UserLimitReached
from tests.helpers.core import messages

pytestmark = pytest.mark.django_db
#: Of these databases a transaction begins and ends with statements of its own.
_TRANSACTION = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")


def tidy(folder: str) -> None:
    """Tidy a folder."""


def anything(value: int | bool | str) -> None:
    """Take a value."""


@pytest.fixture
def unique(define: Callable[..., Definition]) -> Definition:
    return define(tidy, unique=True, name="test.tidy")


def waits(*durations_s: float, pool: str = "threads") -> Any:
    return [{"definition": "io.wait", "params": {"duration_s": each}, "pool": pool} for each in durations_s]


# --- submit_many: what it stores ------------------------------------------------------------------------
def test_jobs_with_different_parameters_are_stored_and_published_in_their_order(
    own_keys: Any, unserved_pool: str, user: Any, django_capture_on_commit_callbacks: Any
) -> None:
    wanted = [*waits(0.3, 0.1, pool=unserved_pool), {"definition": "endings.succeed", "pool": unserved_pool}]
    with django_capture_on_commit_callbacks(execute=True):
        jobs = submit_many(wanted, user=user, request_id="r-1")
    assert [(job.definition, job.params) for job in jobs[:2]] == [
        ("io.wait", {"duration_s": 0.3}),
        ("io.wait", {"duration_s": 0.1}),
    ]
    sent = messages(own_keys, unserved_pool)
    assert [message["headers"]["id"] for message in sent] == [str(job.pk) for job in jobs]
    assert [message["args"][1] for message in sent] == [job.params for job in jobs]
    for job in jobs:
        stored = Job.objects.get(pk=job.pk)
        assert (stored.params, stored.user, stored.request_id) == (job.params, user, "r-1")
        assert (stored.payload_bytes, stored.due_at) == (len(json.dumps(job.params)), None)


def test_each_job_without_a_pool_goes_where_auto_sends_it() -> None:
    with testing.manual():
        first, second = submit_many([{"definition": "io.wait"}, {"definition": "cpu.primes"}])
    assert (first.pool, second.pool) == ("gevent", "prefork")
    assert first.chosen_by
    assert second.chosen_by != first.chosen_by


def test_jobs_of_many_run_inline_in_a_projects_tests() -> None:
    with testing.inline():
        jobs = submit_many(waits(0, 0.001))
    assert [job.state for job in jobs] == [JobState.SUCCEEDED] * 2


def test_every_column_is_stored_as_the_orm_stores_it(define: Any, user: Any) -> None:
    define(anything, name="test.anything")
    parent = Job.objects.create(definition="io.wait", kind="io", pool="threads")
    with testing.manual():
        [job] = submit("io.wait", {}, pool="threads", user=user, parent=parent, run_after=timezone.now())
        copies = submit("endings.succeed", {"value": "é \" 'x' %s"}, pool="threads", copies=2)
        many = submit_many([{"definition": "test.anything", "params": {"value": v}} for v in (1, True, "é%")])
    for made in (job, *copies, *many):
        stored = Job.objects.get(pk=made.pk)
        assert not made._state.adding
        for field in Job._meta.concrete_fields:
            assert getattr(stored, field.attname) == getattr(made, field.attname), field.name
    assert [Job.objects.get(pk=job.pk).params["value"] for job in many] == [1, True, "é%"]
    assert Job.objects.get(pk=many[1].pk).params["value"] is True
    assert len({job.pk for job in copies}) == 2


# --- submit_many: all or nothing ------------------------------------------------------------------------
def test_every_faulty_job_is_named_by_its_place_and_nothing_is_stored(own_keys: Any) -> None:
    wanted: Any = [
        *waits(0.1, -1),
        {"definition": "io.wiat"},
        {"definition": "io.wait", "pool": "gevnet"},
        {"definition": "io.wait", "copies": 2},
        {},
        {"definition": "io.wait", "params": [1]},
    ]
    with pytest.raises(InvalidParameters) as caught:
        submit_many(wanted)
    assert list(caught.value.errors) == [
        "jobs.1.params.duration_s", "jobs.2.definition", "jobs.3.pool", "jobs.4.copies", "jobs.5.definition",
        "jobs.6.params",
    ]  # fmt: skip
    assert not Job.objects.exists()


@pytest.mark.parametrize("count", [0, 4])
def test_the_number_of_jobs_is_bounded(settings: Any, count: int) -> None:
    settings.JOB_MAX_COPIES = 3
    with pytest.raises(InvalidParameters, match="jobs: Give 1 to 3 jobs"):
        submit_many(waits(*[0.1] * count))


def test_a_definition_that_cannot_run_here_refuses_all(define: Any) -> None:
    define(tidy, name="test.tidy", unavailable=lambda: "the moon is full")
    with pytest.raises(Unavailable, match=r"jobs\.1: .*the moon is full"):
        submit_many([*waits(0.1), {"definition": "test.tidy", "params": {"folder": "a"}}])
    assert not Job.objects.exists()


def test_the_limit_of_each_pool_and_of_the_user_counts_them_together(
    settings: Any, user: Any, own_keys: Any
) -> None:
    settings.JOB_MAX_QUEUED, settings.JOB_MAX_QUEUED_PER_USER = 2, 3
    with testing.manual():
        with pytest.raises(QueueFull, match="The queue of gevent has 0 jobs; the limit is 2"):
            submit_many([*waits(0.1), *waits(0.1, 0.2, 0.3, pool="gevent")])
        with pytest.raises(UserLimitReached, match="0 of your jobs are queued; the limit is 3"):
            submit_many([*waits(0.1, 0.2), *waits(0.1, 0.2, pool="gevent")], user=user)
        assert not Job.objects.exists()
        submit_many([*waits(0.1, 0.2), *waits(0.1, pool="gevent")], user=user)
    assert Job.objects.count() == 3


def test_the_same_key_returns_the_same_jobs_and_another_submission_under_it_is_refused(user: Any) -> None:
    with testing.manual():
        first = submit_many(waits(0.1, 0.2), user=user, idempotency_key="k")
        again = submit_many(waits(0.1, 0.2), user=user, idempotency_key="k")
        assert [job.pk for job in again] == [job.pk for job in first]
        assert all(job.was_there for job in again)
        for others in (waits(0.2, 0.1), waits(0.1, 0.2, 0.3)):
            with pytest.raises(InvalidParameters, match="belongs to another submission"):
                submit_many(others, user=user, idempotency_key="k")
    assert Job.objects.count() == 2


def test_equal_jobs_of_a_unique_definition_refuse_all(unique: Definition) -> None:
    one, other = ({"definition": "test.tidy", "params": {"folder": name}} for name in "ab")
    with testing.manual():
        with pytest.raises(InvalidParameters) as caught:
            submit_many([one, other, one])  # type: ignore[list-item]
        assert list(caught.value.errors) == ["jobs.2.params"]
        assert not Job.objects.exists()
        submit_many([one])  # type: ignore[list-item]
        with pytest.raises(UnderWay, match=r"jobs\.1: "):
            submit_many([other, one])  # type: ignore[list-item]
        Job.objects.update(state=JobState.SUCCEEDED)
        submit_many([other, one])  # type: ignore[list-item]
    assert Job.objects.count() == 3


def test_a_submission_that_another_one_overtakes_returns_the_others_jobs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nothing_known = precheck.Precheck(submission.Paused(), is_near=False, is_known=False)
    with testing.manual():
        first = submit_many(waits(0.1, 0.2), idempotency_key="k")
        monkeypatch.setattr(submission, "precheck", lambda *_, **__: nothing_known)  # as a race would find it
        again = submit_many(waits(0.1, 0.2), idempotency_key="k")
    assert [job.pk for job in again] == [job.pk for job in first]


# --- few statements, few writes -------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_one_job_takes_three_statements_and_no_transaction_of_its_own(
    own_keys: Any, unserved_pool: str, user: Any
) -> None:
    user.has_perm("poolwise.submit_job")  # else that is counted, too
    with CaptureQueriesContext(connection) as captured:
        [job] = submit("io.wait", {}, pool=unserved_pool, user=user, idempotency_key="k")
        assert job.user is user  # no statement reads it again
    kinds = [query["sql"].removeprefix("1 times: ").split()[0] for query in captured.captured_queries]
    assert kinds == ["SELECT", "INSERT", "UPDATE"]
    assert job.is_published
    assert not connection.in_atomic_block
    job.delete()


@pytest.mark.django_db(transaction=True)
def test_a_thousand_jobs_take_as_few_statements_as_ten(
    own_keys: Any, unserved_pool: str, settings: Any
) -> None:
    settings.JOB_PUBLISH_BUDGET_S = 20.0
    taken = {}
    for count in (10, 1000):
        with CaptureQueriesContext(connection) as captured:
            submit_many(waits(*range(count // 2), pool=unserved_pool) * 2)
        executed = [query["sql"] for query in captured.captured_queries]
        taken[count] = [text for text in executed if not text.startswith(_TRANSACTION)]
    assert len(messages(own_keys, unserved_pool)) == 1010
    # Rows and marks go out in chunks of 500.
    assert len(taken[10]) <= 6
    assert len(taken[1000]) <= len(taken[10]) + 4
    assert not Job.objects.filter(due_at__isnull=False).exists()
    Job.objects.all().delete()


def test_copies_go_to_redis_in_a_few_writes(
    own_keys: Any, unserved_pool: str, django_capture_on_commit_callbacks: Any, settings: Any
) -> None:
    settings.JOB_PUBLISH_BUDGET_S = 20.0
    sizes: list[int] = []

    def execute(pipe: Any, *_: Any, **__: Any) -> None:
        sizes.append(sum(command[0][0] == "LPUSH" for command in pipe.command_stack))
        pipe.reset()

    with (
        mock.patch("redis.client.Pipeline.execute", execute),
        django_capture_on_commit_callbacks(execute=True),
    ):
        submit("io.wait", {}, pool=unserved_pool, copies=600)
    assert [size for size in sizes if size] == [250, 250, 100]


# --- what a message is ----------------------------------------------------------------------------------
def test_the_message_is_what_celery_itself_would_send(
    own_keys: Any, unserved_pool: str, django_capture_on_commit_callbacks: Any
) -> None:
    def listener(**_: Any) -> None:
        pass

    signals.before_task_publish.connect(listener)  # now it goes Celery's way
    try:
        with django_capture_on_commit_callbacks(execute=True):
            submit("io.wait", {}, pool=unserved_pool)
    finally:
        signals.before_task_publish.disconnect(listener)
    with django_capture_on_commit_callbacks(execute=True):
        submit("io.wait", {}, pool=unserved_pool)
    by_celery, ours = messages(own_keys, unserved_pool)
    for message in (by_celery, ours):
        for name in ("id", "root_id", "poolwise"):
            assert message["headers"].pop(name)
        for name in ("correlation_id", "delivery_tag", "reply_to", "argsrepr", "kwargsrepr"):
            message["properties"].pop(name, None)  # Celery repeats the last two there; nobody reads them
    assert ours == by_celery


def test_listeners_of_the_project_hear_of_each_message(
    own_keys: Any, unserved_pool: str, django_capture_on_commit_callbacks: Any
) -> None:
    heard: list[str] = []

    def listener(headers: Any, **_: Any) -> None:
        heard.append(headers["id"])

    signals.before_task_publish.connect(listener)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            jobs = submit("io.wait", {}, pool=unserved_pool, copies=2)
    finally:
        signals.before_task_publish.disconnect(listener)
    assert heard == [str(job.pk) for job in jobs]


# --- what the one statement finds -----------------------------------------------------------------------
@pytest.mark.parametrize("for_later", [False, True])
def test_the_limits_count_what_the_querysets_find(user: Any, for_later: bool) -> None:
    now = timezone.now()
    hour = timezone.timedelta(hours=1)
    for run_after in (None, None, now - hour, now + hour):
        for pool, state in (("threads", "queued"), ("gevent", "queued"), ("threads", "running")):
            Job.objects.create(
                definition="io.wait", kind="io", pool=pool, state=state, run_after=run_after, user=user
            )
    jobs = Job.objects.scheduled(now=now) if for_later else Job.objects.due(now=now)
    for limit, rows in (
        (back_pressure.Limit("threads", 100, 1), jobs.filter(pool="threads")),
        (back_pressure.Limit("threads", 100, 1, user.pk), jobs.filter(user=user, batch=None)),
    ):
        query, values = limit.rows(now, most=100, for_later=for_later)
        with connection.cursor() as cursor:
            cursor.execute(query, values)
            assert len(cursor.fetchall()) == rows.count() > 0


@pytest.mark.django_db(transaction=True)
def test_a_paused_pool_gets_no_message_and_its_jobs_wait(own_keys: Any, unserved_pool: str) -> None:
    Pause.objects.create(kind=Pause.Kind.POOL, name=unserved_pool, state=Pause.State.PAUSED)
    with mock.patch("poolwise.lifecycle.pauses.paused_now") as again:
        [job] = submit("io.wait", {}, pool=unserved_pool)
    assert not again.called  # the first statement has read it
    assert messages(own_keys, unserved_pool) == []
    assert not Job.objects.get(pk=job.pk).is_published
    Pause.objects.all().delete()
    Job.objects.all().delete()


def test_pauses_are_read_again_where_the_transaction_lasts(
    own_keys: Any, unserved_pool: str, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        [job] = submit("io.wait", {}, pool=unserved_pool)
        Pause.objects.create(kind=Pause.Kind.POOL, name=unserved_pool, state=Pause.State.PAUSED)
    assert messages(own_keys, unserved_pool) == []
    assert not job.is_published


def test_many_jobs_whose_publishing_fails_are_left_to_the_coordinator(
    own_redis: Any, unserved_pool: str, django_capture_on_commit_callbacks: Any, settings: Any
) -> None:
    settings.JOB_PUBLISH_BUDGET_S = 0.2
    with django_capture_on_commit_callbacks(execute=True):
        jobs = submit_many(waits(*range(5), pool=unserved_pool))
    assert Job.objects.unpublished(now=timezone.now() + publishing.grace()).count() == 5
    own_redis.start()
    Job.objects.update(due_at=timezone.now())
    assert publishing.publish_due() == 5
    assert {m["headers"]["id"] for m in messages(own_redis.client(), unserved_pool)} == {
        str(job.pk) for job in jobs
    }


def test_a_database_that_fails_at_the_first_statement_stores_nothing() -> None:
    with (
        mock.patch.object(submission, "precheck", side_effect=OperationalError("gone")),
        pytest.raises(OperationalError),
    ):
        poolwise.submit_many(waits(0.1))
    assert not Job.objects.exists()
