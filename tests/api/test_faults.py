"""Errors of the API that no endpoint answers: a program gets JSON of the same shape all the same."""

import json
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client

from poolwise.api import api
from poolwise.control import tokens
from poolwise.models import Comparison, Job

pytestmark = pytest.mark.django_db
WAIT = {"definition": "io.wait", "params": {"duration_s": 0.1}, "pool": "gevent"}


class Caller:
    """A program that calls the API with a token, and takes what answers come."""

    def __init__(self, user: Any) -> None:
        self.client = Client(raise_request_exception=False)
        self.headers = {"Authorization": f"Bearer {tokens.create(user, 'test')[1]}"}

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        text = json.dumps(body)
        sent = {"content_type": "application/json", "headers": self.headers | headers}
        return self.client.generic(method, f"/api/{path}", text, **sent)


@pytest.fixture
def call(user: Any) -> Caller:
    return Caller(user)


def problem_of(response: Any) -> dict[str, Any]:
    assert response["Content-Type"] == "application/json; charset=utf-8"
    assert response["Content-Length"] == str(len(response.content))
    problem: dict[str, Any] = response.json()
    assert problem["fields"] == {}
    return problem


def failing(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(name, fail)


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("DELETE", "jobs", "Allowed methods: GET and POST."),
        ("PUT", "pools/gevent", "Allowed methods: GET."),
        ("OPTIONS", "jobs", "Allowed methods: GET and POST."),
    ],
)
def test_a_method_that_an_address_does_not_take_says_which_it_does(
    call: Caller, method: str, path: str, words: str
) -> None:
    response = call(method, path)
    assert (response.status_code, problem_of(response)["detail"]) == (405, words)
    assert set(response["Allow"].split(", ")) <= {"GET", "POST"}


@pytest.mark.parametrize("error", [OperationalError("database or disk is full"), InterfaceError("closed")])
@pytest.mark.parametrize("where", ["poolwise.lifecycle.submission.insert", "poolwise.control.tokens.user_of"])
def test_a_database_that_does_not_answer_is_a_503_that_says_when_to_try_again(
    call: Caller, monkeypatch: pytest.MonkeyPatch, where: str, error: Exception
) -> None:
    failing(monkeypatch, where, error)
    response = call("POST", "jobs", WAIT)
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert problem_of(response)["retry_after_s"] == 5
    assert "The database does not answer. This request may have been" in response.json()["detail"]
    assert not Job.objects.exists()


@pytest.mark.parametrize("own", ["", "order-17"])
def test_jobs_whose_reply_was_lost_are_stored_once_under_the_key_of_the_answer(
    call: Caller, monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    body = WAIT | {"copies": 2}
    with monkeypatch.context() as patch:
        failing(patch, "poolwise.lifecycle.submission.deliver", OperationalError("server closed"))
        lost = call("POST", "jobs", body, **({"Idempotency-Key": own} if own else {}))
    key = problem_of(lost)["idempotency_key"]
    assert (lost.status_code, lost["Idempotency-Key"], Job.objects.count()) == (503, key, 2)
    assert (
        f"may have been stored. Send it again with the header Idempotency-Key: {key}" in lost.json()["detail"]
    )
    assert key == own or len(key) > 20
    again = call("POST", "jobs", body, **{"Idempotency-Key": key})
    assert (again.status_code, len(again.json()["jobs"]), Job.objects.count()) == (200, 2, 2)


def test_a_job_that_was_run_again_and_a_comparison_are_stored_once_too(
    call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = call("POST", "jobs", WAIT).json()["jobs"][0]["id"]
    plan = {"definition": "io.wait", "params": {"duration_s": 0.1}, "pools": ["gevent"], "preset": "quick"}
    with monkeypatch.context() as patch:
        failing(patch, "poolwise.lifecycle.submission.deliver", OperationalError("server closed"))
        failing(patch, "poolwise.api.comparisons.Status", OperationalError("server closed"))
        keys = [
            call("POST", path, body)["Idempotency-Key"]
            for path, body in ((f"jobs/{job}/again", {}), ("comparisons", plan))
        ]
    assert (Job.objects.count(), Comparison.objects.count()) == (2, 1)
    again = call("POST", f"jobs/{job}/again", {}, **{"Idempotency-Key": keys[0]})
    planned = call("POST", "comparisons", plan, **{"Idempotency-Key": keys[1]})
    assert (again.status_code, planned.status_code) == (200, 200)
    assert (Job.objects.count(), Comparison.objects.count()) == (2, 1)
    other = call("POST", "comparisons", plan | {"pools": ["threads"]}, **{"Idempotency-Key": keys[1]})
    assert (other.status_code, list(other.json()["fields"])) == (422, ["Idempotency-Key"])


def test_a_page_of_the_api_that_only_shows_says_to_try_again(
    call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, "poolwise.api.jobs.reports.list_jobs", OperationalError("away"))
    problem = problem_of(call("GET", "jobs"))
    assert problem["detail"] == "The database does not answer. Try again in a moment."
    assert "idempotency_key" not in problem


@pytest.mark.parametrize("debug", [False, True])
def test_a_fault_is_a_500_without_details(
    call: Caller, monkeypatch: pytest.MonkeyPatch, settings: Any, debug: bool
) -> None:
    settings.DEBUG = debug
    failing(monkeypatch, "poolwise.lifecycle.submission.submit", RuntimeError("canary"))
    response = call("POST", "jobs", WAIT, **{"X-Request-ID": "fault-1"})
    assert (response.status_code, response["X-Request-ID"]) == (500, "fault-1")
    assert "it was logged" in problem_of(response)["detail"]
    assert b"canary" not in response.content


@pytest.mark.parametrize("path", ["", "pools/a%00b", "jobs/%0A%00"])
def test_what_is_no_address_is_a_404(call: Caller, path: str) -> None:
    response = call("GET", path)
    assert (response.status_code, list(problem_of(response))) == (404, ["detail", "fields"])


def test_a_host_that_is_not_this_one_is_a_400(call: Caller) -> None:
    response = call("GET", "jobs", Host="elsewhere.example")
    assert (response.status_code, problem_of(response)["detail"]) == (
        400,
        "Bad request.",
    )


def test_pages_for_people_stay_pages(client: Client) -> None:
    assert client.delete("/jobs/")["Content-Type"].startswith("text/html")
    assert client.get("/apiary/")["Content-Type"].startswith("text/html")


@pytest.mark.slow
def test_the_schema_says_that_any_call_may_end_so() -> None:
    operations = [
        operation for path in api.get_openapi_schema()["paths"].values() for operation in path.values()
    ]
    assert all({500, 503} <= operation["responses"].keys() for operation in operations)
