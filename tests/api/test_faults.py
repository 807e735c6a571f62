"""Errors of the API that no endpoint answers: a program gets JSON of the same shape all the same."""

import json
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client

from poolwise.api import api
from poolwise.control import tokens
from poolwise.models import Job

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
@pytest.mark.parametrize(
    "where", ["poolwise.lifecycle.submission.Job.objects.bulk_create", "poolwise.control.tokens.user_of"]
)
def test_a_database_that_does_not_answer_is_a_503_that_says_when_to_try_again(
    call: Caller, monkeypatch: pytest.MonkeyPatch, where: str, error: Exception
) -> None:
    failing(monkeypatch, where, error)
    response = call("POST", "jobs", WAIT)
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert problem_of(response)["retry_after_s"] == 5
    assert "The database does not answer" in response.json()["detail"]
    assert not Job.objects.exists()


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
