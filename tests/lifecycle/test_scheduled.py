"""Jobs for later: shown with their time, counted apart from the queue, and bounded apart."""

import csv
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
import redis
from django.test import Client
from django.utils import timezone

from poolwise import reports
from poolwise.control import tokens
from poolwise.coordinator.pool_samples import sample
from poolwise.lifecycle import back_pressure, submission
from poolwise.lifecycle.submission import submit
from poolwise.models import Job, JobState, PoolSample
from poolwise.support.errors import QueueFull, UserLimitReached

pytestmark = pytest.mark.django_db
TOMORROW = timedelta(days=1)


@pytest.fixture(autouse=True)
def _unsent(monkeypatch: pytest.MonkeyPatch, redis_client: redis.Redis) -> None:
    monkeypatch.setattr(submission, "publish_from_web", lambda jobs, **_: len(jobs))


def later(after: timedelta = TOMORROW, **options: Any) -> list[Job]:
    return submit("io.wait", {}, pool="gevent", run_after=timezone.now() + after, **options)


def had_time(ago: timedelta) -> datetime:
    """Store a job that was scheduled a day before its time, which was that long ago; return the time."""
    at = timezone.now() - ago
    Job.objects.create(definition="io.wait", kind="io", pool="gevent", created_at=at - TOMORROW, run_after=at)
    return at


def test_a_scheduled_job_is_no_backlog_until_its_time_and_ages_from_it() -> None:
    later(copies=2)
    assert reports.queues() == {"gevent": reports.Queue(scheduled=2)}
    at = had_time(timedelta(seconds=30))
    assert reports.queues() == {"gevent": reports.Queue(queued=1, oldest_at=at, scheduled=2)}
    state = back_pressure.queue_state("gevent")
    assert (state.queued, state.scheduled) == (1, 2)
    assert 30 <= state.oldest_s < 60


def test_the_oldest_job_is_the_one_that_waits_longest_scheduled_or_not() -> None:
    had_time(timedelta(seconds=30))
    submit("io.wait", {}, pool="gevent")
    Job.objects.filter(run_after=None).update(created_at=timezone.now() - timedelta(seconds=90))
    assert 90 <= back_pressure.queue_state("gevent").oldest_s < 120


def test_a_sample_of_a_pool_leaves_out_what_is_scheduled(own_keys: redis.Redis) -> None:
    later(copies=3)
    sample(own_keys)
    row = PoolSample.objects.get(pool="gevent")
    assert (row.queued, row.oldest_s) == (0, 0.0)


def test_a_time_that_has_passed_makes_no_scheduled_job() -> None:
    [job] = later(timedelta(hours=-1))
    assert (job.run_after, job.is_scheduled) == (None, False)
    assert Job.objects.unpublished(now=timezone.now()).exists()


def test_scheduled_jobs_leave_the_queue_to_what_runs_now(settings: Any) -> None:
    settings.JOB_MAX_QUEUED = 3
    later(copies=3)
    assert back_pressure.room("gevent") == 3
    submit("io.wait", {}, pool="gevent", copies=3)
    with pytest.raises(QueueFull, match="The queue of gevent has 3 jobs"):
        submit("io.wait", {}, pool="gevent")


def test_scheduled_jobs_are_limited_too_and_the_answer_says_when_the_next_is_due(settings: Any) -> None:
    settings.JOB_MAX_QUEUED = 3
    later(timedelta(seconds=20))
    later(copies=2)
    with pytest.raises(QueueFull, match="gevent has 3 scheduled jobs; the limit is 3") as caught:
        later()
    assert 15 <= caught.value.retry_after_s <= 20
    assert (caught.value.queue.queued, caught.value.queue.scheduled) == (0, 3)
    Job.objects.filter(run_after__lt=timezone.now() + timedelta(minutes=1)).update(run_after=timezone.now())
    later()


def test_a_users_scheduled_jobs_have_their_own_limit(settings: Any, user: Any) -> None:
    settings.JOB_MAX_QUEUED_PER_USER = 2
    later(copies=2, user=user)
    submit("io.wait", {}, pool="gevent", copies=2, user=user)
    with pytest.raises(UserLimitReached, match="2 of your jobs are scheduled; the limit is 2"):
        later(user=user)


def test_a_scheduled_jobs_page_says_when_it_is_due(client: Client, user: Any) -> None:
    client.force_login(user)
    [job] = later(user=user)
    page = " ".join(client.get(job.get_absolute_url()).content.decode().split())
    assert f'Scheduled for <time datetime="{timezone.localtime(job.run_after).isoformat()}"' in page
    assert "The job is scheduled for" in page
    assert 'data-time="since"' not in page
    assert ">scheduled<" in client.get("/jobs/").content.decode()


def test_the_pools_page_counts_scheduled_jobs_beside_the_queue(client: Client, administrator: Any) -> None:
    client.force_login(administrator)
    later(copies=2)
    page = client.get("/pools/").content.decode()
    assert "2 scheduled" in page
    assert "2 queued" not in page
    assert "0 + 2 scheduled" in client.get("/admin/poolwise/pool/").content.decode()
    assert "Scheduled for" in client.get(Job.objects.all()[0].get_absolute_url()).content.decode()


def test_the_api_shows_the_due_time_of_a_scheduled_job(client: Client, user: Any) -> None:
    headers = {"Authorization": f"Bearer {tokens.create(user, 'test')[1]}"}
    at = datetime(2100, 1, 2, 3, 4, tzinfo=UTC)
    [job] = submit("io.wait", {}, pool="gevent", user=user, run_after=at)
    [soon] = submit("io.wait", {}, pool="gevent", user=user)
    assert client.get(f"/api/jobs/{job.pk}", headers=headers).json()["due_at"] == "2100-01-02T03:04:00Z"
    assert client.get(f"/api/jobs/{soon.pk}", headers=headers).json()["due_at"] is None
    for path in ("/api/pools/gevent", "/api/pools/gevent/queue"):
        answer = client.get(path, headers=headers).json()
        assert (answer["queued"], answer["scheduled"]) == (1, 1)


def test_an_export_has_the_due_time(client: Client, administrator: Any) -> None:
    client.force_login(administrator)
    [job] = later()
    chosen = {"action": "export_csv", "_selected_action": [str(job.pk)]}
    answer = client.post("/admin/poolwise/job/", chosen)
    [row] = csv.DictReader(StringIO(b"".join(answer.streaming_content).decode()))  # type: ignore[attr-defined]
    assert job.run_after is not None
    assert (row["state"], row["due_at"]) == (JobState.QUEUED, job.run_after.isoformat())
