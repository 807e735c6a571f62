"""The same submission twice: by its key, or by a definition that wants one job at a time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection

from poolwise import lab
from poolwise.definitions import Definition
from poolwise.lifecycle import cancellation, deduplication, recorder, submission
from poolwise.lifecycle.stream import Ending, Outcome, Place, Started
from poolwise.lifecycle.submission import run_again, submit
from poolwise.models import Job, JobState
from poolwise.support.errors import BadDefinition, InvalidParameters, QueueFull
from poolwise.support.timing import Timings, wall_now

WAIT = {"duration_s": 0.0}


@pytest.fixture(autouse=True)
def _nothing_goes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "publish_from_web", lambda jobs, **_: len(jobs))


def tidy(folder: str) -> None:
    """Tidy a folder."""


def move(source: str, target: str) -> None:
    """Move a folder."""


@pytest.fixture
def unique(define: Callable[..., Definition]) -> Definition:
    return define(tidy, unique=True, name="test.tidy")


def record(job: Job, *entries: Any) -> None:
    recorder.record(entries)
    job.refresh_from_db()


def started(job: Job) -> Started:
    return Started(str(job.pk), job.attempt, Place("w@h", 1), Timings(wall_now(), wall_now(), wall_now()))


def ended(job: Job, ending: Ending = Ending.SUCCEEDED) -> Outcome:
    return Outcome(str(job.pk), job.attempt, Place("w@h", 1), Timings(finished_at=wall_now()), ending, "1")


# --- idempotency keys -----------------------------------------------------------------------------------
@pytest.mark.django_db
def test_the_same_key_returns_the_same_jobs(user: Any) -> None:
    first = submit("io.wait", WAIT, pool="threads", copies=3, user=user, idempotency_key="k 1")
    again = submit("io.wait", WAIT, pool="threads", copies=3, user=user, idempotency_key="k 1")
    assert [job.pk for job in again] == [job.pk for job in first]
    assert ([job.was_there for job in first], [job.was_there for job in again]) == ([False] * 3, [True] * 3)
    assert Job.objects.count() == 3


@pytest.mark.django_db
def test_the_same_key_returns_a_job_that_has_ended_too(user: Any) -> None:
    [job] = submit("io.wait", WAIT, pool="threads", user=user, idempotency_key="k")
    record(job, started(job), ended(job))
    [again] = submit("io.wait", WAIT, pool="threads", user=user, idempotency_key="k")
    assert (again.pk, again.state) == (job.pk, JobState.SUCCEEDED)


@pytest.mark.django_db
def test_users_do_not_share_keys(user: Any) -> None:
    other = get_user_model().objects.create_user("eve")
    jobs = [
        submit("io.wait", WAIT, pool="threads", user=owner, idempotency_key="k")[0]
        for owner in (user, other, None)
    ]
    assert len({job.pk for job in jobs}) == 3


@pytest.mark.django_db
@pytest.mark.parametrize(
    "changes", [{"params": {"duration_s": 1.0}}, {"copies": 2}, {"definition": "cpu.primes", "params": {}}]
)
def test_a_key_of_another_submission_is_refused(user: Any, changes: dict[str, Any]) -> None:
    asked = {"definition": "io.wait", "params": WAIT, "copies": 1}
    keyed = {"pool": "threads", "user": user, "idempotency_key": "k"}
    submit(**asked, **keyed)
    with pytest.raises(InvalidParameters, match="belongs to another submission"):
        submit(**(asked | changes), **keyed)
    assert Job.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["x" * 251, "two\nlines", "\x00", "\u2028"])
def test_a_key_that_is_none_is_refused(user: Any, key: str) -> None:
    with pytest.raises(InvalidParameters, match="idempotency_key: Use 1 to 250 printable"):
        submit("io.wait", WAIT, pool="threads", user=user, idempotency_key=key)


@pytest.mark.django_db
def test_a_full_queue_still_answers_for_what_it_took(user: Any, settings: Any) -> None:
    [job] = submit("io.wait", WAIT, pool="threads", user=user, idempotency_key="k")
    settings.JOB_MAX_QUEUED = 1
    assert submit("io.wait", WAIT, pool="threads", user=user, idempotency_key="k")[0].pk == job.pk
    with pytest.raises(QueueFull):
        submit("io.wait", WAIT, pool="threads", user=user, idempotency_key="other")


@pytest.mark.django_db(transaction=True)
def test_fifty_at_once_with_one_key_store_one_job(user: Any) -> None:
    def once(_: int) -> str:
        try:
            return str(submit("io.wait", WAIT, pool="threads", user=user, idempotency_key="k")[0].pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as threads:
        job_ids = set(threads.map(once, range(50)))
    assert job_ids == {str(Job.objects.get().pk)}


# --- unique definitions ---------------------------------------------------------------------------------
@pytest.mark.django_db
def test_one_job_of_a_unique_definition_with_the_same_parameters_at_a_time(unique: Definition) -> None:
    [job] = submit("test.tidy", {"folder": "a"}, pool="threads")
    [same] = submit("test.tidy", {"folder": "a"}, pool="prefork")
    [other] = submit("test.tidy", {"folder": "b"}, pool="threads")
    assert (same.pk, same.was_there) == (job.pk, True)
    assert other.pk != job.pk
    record(job, started(job))
    assert run_again(job, user=None).pk == job.pk
    record(job, ended(job))
    assert submit("test.tidy", {"folder": "a"}, pool="threads")[0].pk != job.pk


@pytest.mark.django_db
def test_a_unique_job_keeps_its_place_over_its_attempts(unique: Definition) -> None:
    [job] = submit("test.tidy", {"folder": "a"}, pool="threads")
    record(job, started(job), ended(job, Ending.LOST))
    assert (job.state, job.attempt) == (JobState.QUEUED, 2)
    assert submit("test.tidy", {"folder": "a"}, pool="threads")[0].pk == job.pk


@pytest.mark.django_db
@pytest.mark.parametrize("does_end", [True, False])
def test_a_twin_that_is_there_at_the_insert_and_perhaps_gone_at_the_next_query_is_no_error(
    unique: Definition, monkeypatch: pytest.MonkeyPatch, does_end: bool
) -> None:
    [twin] = submit("test.tidy", {"folder": "a"}, pool="threads")
    earlier_calls, stock_earlier = [], deduplication.earlier

    def earlier(jobs: list[Job]) -> list[Job]:
        earlier_calls.append(jobs)
        if len(earlier_calls) == 1:
            return []  # a moment before the twin was stored
        if does_end:
            record(twin, started(twin), ended(twin))
        return stock_earlier(jobs)

    monkeypatch.setattr(deduplication, "earlier", earlier)
    [job] = submit("test.tidy", {"folder": "a"}, pool="threads")
    assert (job.pk == twin.pk, job.was_there) == (not does_end, not does_end)
    assert Job.objects.live().get() == job


@pytest.mark.django_db
def test_what_the_database_refuses_each_time_is_an_error(
    unique: Definition, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit("test.tidy", {"folder": "a"}, pool="threads")
    monkeypatch.setattr(deduplication, "earlier", lambda jobs: [])
    with pytest.raises(IntegrityError):
        submit("test.tidy", {"folder": "a"}, pool="threads")


@pytest.mark.django_db
def test_a_cancelled_unique_job_makes_room(unique: Definition, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancellation, "_mark", lambda job: False)
    monkeypatch.setattr(cancellation, "_revoke", lambda job, is_away: None)
    [job] = submit("test.tidy", {"folder": "a"}, pool="threads")
    submission.cancel(job, user=None)
    assert submit("test.tidy", {"folder": "a"}, pool="threads")[0].pk != job.pk


@pytest.mark.django_db
def test_copies_of_a_unique_job_are_refused_except_in_a_comparison(unique: Definition) -> None:
    with pytest.raises(InvalidParameters, match=r"copies: test\.tidy is unique"):
        submit("test.tidy", {"folder": "a"}, pool="threads", copies=2)
    comparison = lab.plan("test.tidy", {"folder": "a"}, pools=["threads"], copies=2)
    batch = comparison.batches.first()
    assert len(submit("test.tidy", {"folder": "a"}, pool="threads", copies=2, batch=batch)) == 2


@pytest.mark.django_db
def test_a_key_beside_uniqueness_returns_what_runs(unique: Definition, user: Any) -> None:
    [job] = submit("test.tidy", {"folder": "a"}, pool="threads", user=user)
    [earlier] = submit("test.tidy", {"folder": "a"}, pool="threads", user=user, idempotency_key="k")
    assert earlier.pk == job.pk


@pytest.mark.django_db(transaction=True)
def test_twenty_at_once_of_a_unique_definition_store_one_job(unique: Definition) -> None:
    def once(_: int) -> str:
        try:
            return str(submit("test.tidy", {"folder": "a"}, pool="threads")[0].pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as threads:
        assert len(set(threads.map(once, range(20)))) == 1


def test_uniqueness_is_yes_or_no(define: Callable[..., Definition]) -> None:
    with pytest.raises(BadDefinition, match="unique: use True or False"):
        define(tidy, unique="yes", name="test.tidy")


def test_the_order_of_parameters_does_not_matter(define: Callable[..., Definition]) -> None:
    one, other = (define(move, unique=True, name=name) for name in ("test.one", "test.other"))
    key, params = deduplication.unique_keys, {"source": "x", "target": "y"}
    assert key(one, params) == key(one, dict(reversed(params.items()))) != key(other, params)
