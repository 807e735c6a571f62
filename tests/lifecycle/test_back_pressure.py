"""What may wait: bounds of pools and users, races at them, and when to try again."""

import threading
import time
from datetime import timedelta
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from poolwise.lifecycle import back_pressure, submission
from poolwise.lifecycle.submission import submit
from poolwise.management.commands import submit as submitting
from poolwise.models import Job, JobState
from poolwise.support.errors import QueueFull, UserLimitReached
from tests.helpers.posted import WAIT, form, text_of


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, redis_client: redis.Redis) -> None:
    monkeypatch.setattr(submission, "publish_from_web", lambda jobs, **_: len(jobs))


def ended(count: int, pool: str = "gevent") -> None:
    now = timezone.now()
    Job.objects.bulk_create(
        [
            Job(definition="io.wait", kind="io", pool=pool, state=JobState.SUCCEEDED, finished_at=now)
            for _ in range(count)
        ]
    )


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("done", "surplus", "expected_s"), [(0, 1, 60), (600, 1, 1), (60, 5, 5), (60, 1000, 60), (120, 25, 13)]
)
def test_when_to_try_again_follows_recent_throughput_within_1_and_60_s(
    done: int, surplus: int, expected_s: int
) -> None:
    ended(done)
    Job.objects.create(
        definition="io.wait", kind="io", pool="gevent", state="failed",
        finished_at=timezone.now() - timedelta(minutes=5),
    )  # fmt: skip
    assert back_pressure.retry_after_s("gevent", surplus) == expected_s


@pytest.mark.django_db
def test_a_users_limit_counts_all_pools_and_no_comparison_and_no_command(
    sent: None, user: Any, settings: Any
) -> None:
    settings.JOB_MAX_QUEUED_PER_USER = 3
    submit("io.wait", {}, pool="gevent", copies=2, user=user)
    submit("io.wait", {}, pool="threads", user=user)
    with pytest.raises(UserLimitReached, match="3 of your jobs are queued; the limit is 3") as caught:
        submit("io.wait", {}, pool="asyncio", user=user)
    assert (caught.value.status, caught.value.queue.pool) == (429, "asyncio")
    submit("io.wait", {}, pool="asyncio")


@pytest.mark.django_db
def test_the_page_answers_429_with_the_queues_state_and_keeps_the_form(
    client: Client, sent: None, user: Any, settings: Any, own_keys: Any
) -> None:
    client.force_login(user)
    settings.JOB_MAX_QUEUED_PER_USER = 1
    submit("io.wait", {}, pool="gevent", user=user)
    ended(60)
    for headers in ({}, {"HX-Request": "true"}):
        response = client.post(WAIT, form(copies="3"), headers=headers)
        assert (response.status_code, response["Retry-After"]) == (429, "3")
        page = " ".join(text_of(response).split())
        assert "The queue of <strong>gevent</strong>: 1 queued" in page
        assert "0 workers. Try again in about 3 s." in page
        assert 'value="3"' in page
    job = Job.objects.queued().get()
    again = client.post(reverse("poolwise:run-again", args=[job.pk]))
    assert again.status_code == 429
    assert "Nothing was submitted" in text_of(again)


@pytest.mark.django_db(transaction=True)
def test_submissions_that_race_at_the_limit_do_not_pass_it_together(
    settings: Any, monkeypatch: pytest.MonkeyPatch, redis_client: redis.Redis
) -> None:
    monkeypatch.setattr(submission, "publish_from_web", lambda jobs, **_: len(jobs))
    settings.JOB_MAX_QUEUED = 100
    together, refused = threading.Barrier(6), []

    def one() -> None:
        together.wait(20)
        try:
            submit("io.wait", {}, pool="gevent", copies=30)
        except QueueFull as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (Job.objects.count(), len(refused)) == (90, 3)
    Job.objects.all().delete()


@pytest.mark.django_db
def test_bulk_submission_waits_for_room_and_goes_on(
    sent: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.JOB_MAX_QUEUED = 3

    def make_room(_: float) -> None:
        Job.objects.update(state=JobState.SUCCEEDED)

    monkeypatch.setattr(submitting, "time", SimpleNamespace(sleep=make_room, monotonic=time.monotonic))
    out, err = StringIO(), StringIO()
    call_command("submit", "io.wait", "--pool", "gevent", "--copies", "8", stdout=out, stderr=err)
    assert Job.objects.count() == 8
    assert "8 jobs of io.wait submitted to gevent." in out.getvalue()
    assert "5 jobs wait to be submitted: The queue of gevent has 3 jobs" in err.getvalue()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["io.wiat"], "Did you mean io.wait"),
        (["io.wait", "--copies", "0"], "at least 1"),
        (["io.wait", "--pool", "x"], "no pool"),
        (["io.wait", "--user", "x"], "no user"),
        (["io.wait", "--param", "duration_s"], "NAME=VALUE"),
    ],
)
def test_bulk_submission_refuses_bad_input(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("submit", *arguments)


@pytest.mark.django_db
def test_bulk_submission_gives_up_after_its_time(sent: None, settings: Any) -> None:
    settings.JOB_MAX_QUEUED = 0
    with pytest.raises(CommandError, match="2 jobs were not submitted"):
        call_command("submit", "io.wait", "--copies", "2", "--timeout", "0", stderr=StringIO())
