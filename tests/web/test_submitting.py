"""From a form to stored jobs, and how each fault reads."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import redis
from django.test import Client
from django.utils.html import escape

from poolwise.lifecycle import submission
from poolwise.models import Job
from poolwise.support.errors import BrokerUnavailable, QueueFull
from tests.helpers.posted import WAIT, form, text_of

pytestmark = pytest.mark.django_db


def test_a_form_shows_the_parameters_and_ticks_the_default_pool(bob: Client) -> None:
    page = text_of(bob.get(WAIT))
    assert 'name="param-duration_s"' in page
    assert re.findall(r'value="(\w+)"[^>]* checked', page) == ["gevent"]
    assert "Seconds to wait. From 0 to 600." in page


def test_one_job_is_submitted_and_its_page_opens(
    bob: Client,
    sent: list[Job],
    user: Any,
    redis_client: redis.Redis,
    django_capture_on_commit_callbacks: Any,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        response = bob.post(WAIT, form(), headers={"X-Request-ID": "abc-1"})
    job = Job.objects.get()
    assert response["Location"] == job.get_absolute_url()
    assert (job.params, job.pool, job.user, job.request_id) == ({"duration_s": 0.2}, "gevent", user, "abc-1")
    assert sent == [job]
    page = text_of(bob.get(response["Location"]))
    assert "was submitted" in page
    assert "No worker serves the pool gevent" in page


def test_many_jobs_are_submitted_and_the_list_shows_them_alone(
    bob: Client, sent: list[Job], make: Callable[..., Job]
) -> None:
    other = make()
    data = form(pools=["gevent", "threads"], copies="3")
    response = bob.post(WAIT, data, headers={"X-Request-ID": "abc-2"})
    assert response["Location"] == "/jobs/?submission=abc-2"
    assert Job.objects.filter(request_id="abc-2", pool="threads").count() == 3
    page = text_of(bob.get(response["Location"]))
    assert page.count('id="job-') == 6
    assert str(other.pk) not in page
    assert "0 of 6 jobs ended" in page


def test_a_form_sent_twice_submits_once(bob: Client, sent: list[Job]) -> None:
    [token] = re.findall(r'name="token" value="([^"]+)"', text_of(bob.get(WAIT)))
    first = bob.post(WAIT, form(token=token))
    second = bob.post(WAIT, form(token=token))
    assert first["Location"] == second["Location"] == Job.objects.get().get_absolute_url()
    assert "Already submitted" in text_of(bob.get(second["Location"]))
    bob.post(WAIT, form(token=token, copies="2"))
    assert Job.objects.count() == 3


def test_each_form_has_a_token_of_its_own(bob: Client) -> None:
    tokens = [re.findall(r'name="token" value="([^"]+)"', text_of(bob.get(WAIT)))[0] for _ in range(2)]
    assert tokens[0] != tokens[1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"param-duration_s": "601"}, "less than or equal to 600"),
        ({"param-duration_s": "soon"}, "Enter a number"),
        ({"pools": []}, "Choose at least one pool"),
        ({"pools": ["nowhere"]}, "nowhere is not one of the available choices"),
        ({"copies": "1001"}, "less than or equal to 1000"),
    ],
)
def test_bad_input_is_named_at_its_field_and_nothing_is_stored(
    bob: Client, changes: dict[str, Any], words: str
) -> None:
    response = bob.post(WAIT, form(**changes))
    page = text_of(response)
    assert response.status_code == 200
    assert "Nothing was submitted" in page
    assert words in page
    assert 'aria-invalid="true"' in page
    assert not Job.objects.exists()


def test_an_unknown_definition_is_not_found(bob: Client, settings: Any) -> None:
    settings.DEBUG = False
    response = bob.get("/definitions/io.wiat/")
    assert response.status_code == 404
    assert "Did you mean io.wait" in text_of(response)


def test_a_full_queue_refuses_all_pools_at_once(bob: Client, settings: Any, make: Callable[..., Job]) -> None:
    settings.JOB_MAX_QUEUED = 3
    make(pool="threads")
    response = bob.post(WAIT, form(pools=["gevent", "threads"], copies="3"))
    assert (response.status_code, response["Retry-After"]) == (503, "60")
    assert "The queue of threads has 1 job;" in text_of(response)
    assert Job.objects.count() == 1


@pytest.mark.parametrize("error", [BrokerUnavailable(), QueueFull()])
def test_what_is_wrong_for_now_asks_to_try_later(
    bob: Client, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(submission, "submit", refuse)
    response = bob.post(WAIT, form())
    assert (response.status_code, response["Retry-After"]) == (503, "10")
    assert escape(str(error)) in text_of(response)


def test_a_job_submitted_while_redis_is_away_is_stored_and_says_so(
    bob: Client, sent: list[Job], no_redis: None
) -> None:
    response = bob.post(WAIT, form(), follow=True)
    assert response.status_code == 200
    assert "Submitted jobs are stored, and published when Redis is back" in text_of(response)
    assert "The job is stored and will be published when Redis is back" in text_of(response)
