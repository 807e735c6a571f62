"""A job of a unique definition is under way, and whoever submits the same may not see it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from poolwise.api import api
from poolwise.control import tokens
from poolwise.definitions import Definition
from poolwise.lifecycle import submission
from poolwise.lifecycle.submission import submit
from poolwise.models import Job, JobState
from poolwise.support.errors import UnderWay
from tests.helpers.posted import text_of

pytestmark = pytest.mark.django_db
TIDY = {"definition": "test.tidy", "params": {"folder": "a"}, "pool": "threads"}
FORM = {"param-folder": "a", "pools": ["threads"], "copies": "1", "token": "t1"}
WORDS = "A job of this definition with these parameters is under way"


@pytest.fixture(autouse=True)
def _nothing_goes_out(monkeypatch: pytest.MonkeyPatch, redis_client: redis.Redis) -> None:
    monkeypatch.setattr(submission, "publish_from_web", lambda jobs, **_: len(jobs))


def tidy(folder: str) -> None:
    """Tidy a folder."""


@pytest.fixture
def others(define: Callable[..., Definition], administrator: Any) -> Job:
    """A job of somebody else that is queued."""
    define(tidy, unique=True, name="test.tidy")
    return submit("test.tidy", {"folder": "a"}, pool="threads", user=administrator)[0]


@pytest.fixture
def bob(client: Client, user: Any) -> Client:
    client.force_login(user)
    return client


def post(user: Any, path: str, body: Any, **headers: str) -> Any:
    headers["Authorization"] = f"Bearer {tokens.create(user, 'test')[1]}"
    return Client().post(f"/api{path}", json.dumps(body), content_type="application/json", headers=headers)


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}])
def test_the_api_refuses_it_and_reveals_nothing_of_the_job(others: Job, user: Any, headers: Any) -> None:
    response = post(user, "/jobs", TIDY, **headers)
    assert response.status_code == 409
    assert response.json()["detail"].startswith(WORDS)
    assert response.json()["fields"] == {}
    assert str(others.pk) not in text_of(response)
    assert "ada" not in text_of(response)
    assert Job.objects.count() == 1


def test_who_may_see_all_jobs_is_given_it(others: Job, user: Any) -> None:
    user.user_permissions.add(Permission.objects.get(codename="view_job"))
    response = post(user, "/jobs", TIDY)
    assert (response.status_code, response.json()["jobs"][0]["id"]) == (200, str(others.pk))


def test_a_job_of_ones_own_is_given_back_also_where_it_is_run_again(others: Job, administrator: Any) -> None:
    assert post(administrator, "/jobs", TIDY).status_code == 200
    again = post(administrator, f"/jobs/{others.pk}/again", {})
    assert (again.status_code, again.json()["id"]) == (200, str(others.pk))


def test_a_job_without_a_user_is_refused_to_a_user_and_given_to_programs(others: Job, user: Any) -> None:
    Job.objects.update(user=None)
    with pytest.raises(UnderWay):
        submit("test.tidy", {"folder": "a"}, pool="threads", user=user)
    assert submit("test.tidy", {"folder": "a"}, pool="threads")[0].pk == others.pk


def test_the_form_says_so_and_keeps_what_was_typed(others: Job, bob: Client) -> None:
    response = bob.post("/definitions/test.tidy/", FORM)
    page = text_of(response)
    assert response.status_code == 200
    assert WORDS in page
    assert 'name="param-folder"' in page
    assert ">a</textarea>" in page.replace("\n", "")
    assert 'value="t1"' in page
    assert Job.objects.count() == 1
    Job.objects.update(state=JobState.SUCCEEDED)
    assert bob.post("/definitions/test.tidy/", FORM).status_code == 302
    assert Job.objects.count() == 2


def test_running_an_own_job_again_says_so_on_page_and_in_the_api(others: Job, bob: Client, user: Any) -> None:
    own = Job.objects.create(
        definition="test.tidy",
        kind="mixed",
        params={"folder": "a"},
        pool="threads",
        user=user,
        state="failed",
    )
    page = bob.post(reverse("poolwise:run-again", args=[own.pk]), follow=True)
    assert page.redirect_chain == [(own.get_absolute_url(), 302)]
    assert WORDS in text_of(page)
    assert post(user, f"/jobs/{own.pk}/again", {}).status_code == 409


def test_all_pools_of_a_form_share_the_one_job(others: Job, bob: Client) -> None:
    sent = FORM | {"param-folder": "b", "pools": ["threads", "prefork"]}
    response = bob.post("/definitions/test.tidy/", sent)
    job = Job.objects.exclude(pk=others.pk).get()
    assert response["Location"] == job.get_absolute_url()
    assert "The job test.tidy was submitted" in text_of(bob.get(response["Location"]))


@pytest.mark.parametrize("path", ["/api/jobs", "/api/jobs/{job_id}/again"])
def test_the_schema_names_the_refusal(path: str) -> None:
    assert {200, 201, 409} <= api.get_openapi_schema()["paths"][path]["post"]["responses"].keys()
