"""One job's page and its actions."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_results.models import TaskResult

from poolwise.models import Job, JobLog, JobState
from tests.helpers.posted import HTMX, WAIT, form, text_of

pytestmark = pytest.mark.django_db

TIMES = {
    "broker_wait_s": 0.01,
    "worker_wait_s": 0.2,
    "run_s": 0.5,
    "cpu_s": 0.1,
    "off_cpu_s": 0.4,
    "record_lag_s": 0.03,
}
PLACE = {
    "worker": "gevent@host",
    "pid": 4711,
    "thread": "MainThread",
    "greenlet_or_task": "Greenlet-3",
    "offloaded": True,
}
SHOWN = (
    "Broker wait / 10 ms / Worker wait / 200 ms / On CPU / 100 ms / Off CPU / 400 ms / Record lag / 30 ms / "
    "gevent@host / 4711 / MainThread / Greenlet-3 / offloaded / req-9 / 2 of 3 / größe / disk is slow / "
    "4 more lines / Attempt 1 / Lost / 20 % on CPU"
)


def test_a_jobs_page_shows_where_its_time_went_and_where_it_ran(
    bob: Client, make: Callable[..., Job]
) -> None:
    job = make(
        state="succeeded",
        **TIMES,
        **PLACE,
        request_id="req-9",
        attempt=2,
        max_attempts=3,
        history=[{"attempt": 1, "ending": "lost", "error_type": "Lost", "error": "gone", "run_s": 0.3}],
    )
    TaskResult.objects.create(task_id=str(job.pk), result=json.dumps({"größe": 1}), status="SUCCESS")
    JobLog.objects.create(job=job, attempt=2, lines=[[0.5, "warning", "disk is slow"]], dropped=4)
    page = " ".join(text_of(bob.get(job.get_absolute_url())).split())
    for words in SHOWN.split(" / "):
        assert words in page, words
    assert "style=" not in page
    assert "hx-trigger" not in page


def test_a_failed_job_shows_its_error_and_traceback(bob: Client, make: Callable[..., Job]) -> None:
    job = make(state="failed", error_type="ValueError", error="it is broken")
    TaskResult.objects.create(
        task_id=str(job.pk), traceback="Traceback:\n  File x", result="{}", status="FAILURE"
    )
    page = text_of(bob.get(job.get_absolute_url()))
    assert all(words in page for words in ("ValueError", "it is broken", "File x"))


def test_earlier_attempts_are_listed(bob: Client, make: Callable[..., Job]) -> None:
    earlier = {"attempt": 1, "ending": "lost", "error_type": "WorkerLost", "error": "it went away"}
    earlier |= {"worker": "gevent@here", "run_s": 1.5, "cpu_s": None}
    job = make(state="succeeded", attempt=2, max_attempts=3, history=[earlier])
    page = text_of(bob.get(job.get_absolute_url()))
    for words in ("Earlier attempts", "WorkerLost", "it went away"):
        assert words in page


@pytest.mark.parametrize("state", JobState.values)
def test_a_job_has_a_page_in_every_state_before_anything_was_measured(
    bob: Client, make: Callable[..., Job], state: str
) -> None:
    assert ">Time<" in text_of(bob.get(make(state=state).get_absolute_url()))


def test_a_long_result_is_cut_on_the_page_and_whole_in_the_download(
    bob: Client, make: Callable[..., Job]
) -> None:
    job = make(state="succeeded")
    TaskResult.objects.create(task_id=str(job.pk), result=json.dumps("x" * 50_000), status="SUCCESS")
    page = text_of(bob.get(job.get_absolute_url()))
    assert "Cut off here" in page
    assert len(page) < 40_000
    download = bob.get(reverse("poolwise:result", args=[job.pk]))
    assert download.json() == "x" * 50_000
    assert "attachment" in download["Content-Disposition"]


def test_a_job_without_a_result_has_no_download(bob: Client, make: Callable[..., Job]) -> None:
    assert bob.get(reverse("poolwise:result", args=[make().pk])).status_code == 404


def test_a_live_job_refreshes_until_it_has_ended(bob: Client, make: Callable[..., Job]) -> None:
    job = make(state="running", started_at=timezone.now())
    page = text_of(bob.get(job.get_absolute_url()))
    assert "every 1000ms" in page
    assert "Running so far" in page
    Job.objects.filter(pk=job.pk).update(state="succeeded", **TIMES)
    part = text_of(bob.get(job.get_absolute_url(), {"seen": "x"}, headers=HTMX))
    assert "hx-trigger" not in part
    assert 'data-title="io.wait · succeeded' in part
    assert 'hx-swap-oob="true"' in part
    assert ">Cancel<" not in part


def test_a_job_of_a_removed_definition_or_pool_still_has_its_page(
    bob: Client, make: Callable[..., Job]
) -> None:
    page = text_of(bob.get(make(definition="gone.away", pool="removed").get_absolute_url()))
    assert "no longer in the catalogue" in page
    assert "The pool removed is no longer declared" in page
    assert "Run again" not in page


def test_run_again_submits_the_same_and_goes_there(
    bob: Client, make: Callable[..., Job], sent: list[Job]
) -> None:
    job = make(state="failed")
    response = bob.post(reverse("poolwise:run-again", args=[job.pk]))
    again = Job.objects.get(parent=job)
    assert response["Location"] == again.get_absolute_url()
    assert (again.params, again.pool, again.state) == (job.params, job.pool, "queued")


def test_run_again_says_what_no_longer_fits(bob: Client, make: Callable[..., Job]) -> None:
    job = make(state="failed", params={"duration_s": 6000})
    response = bob.post(reverse("poolwise:run-again", args=[job.pk]), follow=True)
    assert "duration_s" in text_of(response)
    assert Job.objects.count() == 1


def test_run_again_with_changes_fills_the_form_and_keeps_the_parent(
    bob: Client, make: Callable[..., Job], sent: list[Job]
) -> None:
    job = make(state="failed", params={"duration_s": 7.5}, pool="threads")
    address = f"{WAIT}?from={job.pk}"
    page = text_of(bob.get(address))
    assert 'value="7.5"' in page
    assert re.findall(r'value="(\w+)"[^>]* checked', page) == ["threads"]
    bob.post(address, form(pools=["asyncio"]))
    again = Job.objects.get(parent=job)
    assert (again.params, again.pool) == ({"duration_s": 0.2}, "asyncio")


def test_another_persons_parameters_never_fill_a_form(
    bob: Client, make: Callable[..., Job], administrator: Any
) -> None:
    job = make(params={"duration_s": 123.5}, user=administrator)
    assert "123.5" not in text_of(bob.get(f"{WAIT}?from={job.pk}"))


@pytest.mark.parametrize(
    ("state", "words", "after"),
    [
        ("queued", "Cancelled before starting: the job", "cancelled"),
        ("running", "was asked to stop", "running"),
        ("failed", "had ended already", "failed"),
    ],
)
def test_cancel_says_what_came_of_it(
    bob: Client, make: Callable[..., Job], redis_client: redis.Redis, state: str, words: str, after: str
) -> None:
    job = make(state=state)
    assert words in text_of(bob.post(reverse("poolwise:cancel", args=[job.pk]), follow=True))
    job.refresh_from_db()
    assert job.state == after


def test_a_computing_job_that_waits_for_the_gil_or_a_core_does_not_read_as_if_it_waited_for_io(
    bob: Client, user: Any
) -> None:
    now = timezone.now()
    ended: dict[str, Any] = {
        "user": user, "definition": "cpu.primes", "pool": "threads", "state": "succeeded", "started_at": now,
        "finished_at": now, "run_s": 1.0, "cpu_s": 0.1, "blocked_s": 0.0,
    }  # fmt: skip
    computing = Job.objects.create(**ended, run_queue_s=0.02, gil_wait_s=0.88)
    assert "Run 1.00 s: 10 % on CPU, 88 % waiting for the GIL." in text_of(
        bob.get(computing.get_absolute_url())
    )
    listed = text_of(bob.get(reverse("poolwise:jobs")))
    assert "88 % waiting for the GIL" in listed
    assert "waiting for a core" not in listed
    queued = Job.objects.create(**ended, run_queue_s=0.55, gil_wait_s=0.0)
    assert "10 % on CPU, 55 % waiting for a core." in text_of(bob.get(queued.get_absolute_url()))
    waiting = Job.objects.create(**ended | {"blocked_s": 0.88}, run_queue_s=0.01, gil_wait_s=0.01)
    assert "Run 1.00 s: 10 % on CPU." in text_of(bob.get(waiting.get_absolute_url()))


def test_the_page_says_what_the_run_was_made_of_and_names_the_job_that_stalled_it(
    bob: Client, user: Any, administrator: Any
) -> None:
    now = timezone.now()
    beside: dict[str, Any] = {
        "definition": "hazard.blocked_loop", "kind": "hazard", "pool": "gevent", "worker": "gevent@h", "pid": 7,
        "state": "succeeded", "started_at": now, "finished_at": now + timedelta(seconds=1), "run_s": 1.0, "cpu_s": 0.25,
        "run_queue_s": 0.0, "gil_wait_s": 0.0,
    }  # fmt: skip
    stalled = Job.objects.create(
        **beside, user=user, stall_s=0.8, blocked_s=0.7, greenlet_or_task="Greenlet-1"
    )
    blocker = Job.objects.create(**beside, user=administrator, caused_stall_s=0.8)
    page = text_of(bob.get(stalled.get_absolute_url()))
    assert "250 ms on CPU" in page
    assert "700 ms blocked" in page
    assert "50 ms unattributed" in page
    assert "stalled for up to 800 ms during the run, blocked by another user’s job" in page
    assert str(blocker.pk) not in page
    Job.objects.filter(pk=blocker.pk).update(user=user)
    assert blocker.get_absolute_url() in text_of(bob.get(stalled.get_absolute_url()))
    assert "blocked the other jobs of its worker for up to 800 ms" in text_of(
        bob.get(blocker.get_absolute_url())
    )
