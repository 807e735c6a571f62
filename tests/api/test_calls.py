"""What a call to the API may leave out, and what it must not add."""

from typing import Any

import pytest
import redis
from django.test import Client

from poolwise.api import api
from poolwise.control import tokens
from poolwise.lifecycle import submission
from poolwise.models import Comparison, Job, JobState

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _unsent(monkeypatch: pytest.MonkeyPatch, redis_client: redis.Redis) -> None:
    monkeypatch.setattr(submission, "publish_from_web", lambda jobs, **_: len(jobs))


@pytest.fixture
def ada(administrator: Any) -> Client:
    """A program that calls with an administrator's token."""
    return Client(headers={"Authorization": f"Bearer {tokens.create(administrator, 'test')[1]}"})


def post(ada: Client, path: str) -> Any:
    """Post without a body; the test client's own default is an empty form."""
    return ada.generic("POST", f"/api{path}")


def make() -> Job:
    return Job.objects.create(definition="io.wait", kind="io", pool="gevent")


def test_a_job_is_run_again_and_cancelled_without_a_body(ada: Client) -> None:
    job = make()
    again = post(ada, f"/jobs/{job.pk}/again")
    assert (again.status_code, again.json()["parent_id"]) == (201, str(job.pk))
    cancelled = post(ada, f"/jobs/{job.pk}/cancel")
    assert (cancelled.status_code, cancelled.json()["outcome"]) == (200, "cancelled")


def test_a_comparison_is_cancelled_without_a_body(ada: Client) -> None:
    comparison = Comparison.objects.create(definition="io.wait", copies=1)
    answer = post(ada, f"/comparisons/{comparison.pk}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        *((f"/pools/gevent/{action}", "reason") for action in ("pause", "drain", "resume", "purge")),
        *((f"/definitions/io.wait/{action}", "reason") for action in ("pause", "resume")),
        ("/jobs", "definition"), ("/comparisons", "pools"),
    ],
)  # fmt: skip
def test_a_call_without_its_body_names_the_missing_value(ada: Client, path: str, field: str) -> None:
    answer = post(ada, path)
    assert answer.status_code == 422
    assert field in answer.json()["fields"]
    assert "payload" not in answer.json()["fields"]


def test_the_schema_says_where_a_body_may_be_left_out() -> None:
    paths = api.get_openapi_schema()["paths"]
    bodies = {path: item["post"]["requestBody"]["required"] for path, item in paths.items() if "post" in item}
    left_out = {path for path, is_required in bodies.items() if not is_required}
    assert left_out == {
        "/api/jobs/{job_id}/cancel", "/api/jobs/{job_id}/again", "/api/comparisons/{comparison_id}/cancel"
    }  # fmt: skip


@pytest.mark.parametrize("path", ["cancel", "again"])
def test_a_body_that_is_there_still_counts(ada: Client, path: str) -> None:
    job = make()
    answer = ada.post(f"/api/jobs/{job.pk}/{path}", {"reasn": "x"}, content_type="application/json")
    assert (answer.status_code, list(answer.json()["fields"])) == (422, ["reasn"])
    assert Job.objects.get().state == JobState.QUEUED


@pytest.mark.parametrize(
    "path", ["/jobs", "/comparisons", "/definitions", "/definitions/io.wait", "/pools", "/pools/gevent/queue"]
)
def test_an_unknown_parameter_of_a_query_is_refused_by_its_name(ada: Client, path: str) -> None:
    answer = ada.get(f"/api{path}", {"foo": "1"})
    assert (answer.status_code, list(answer.json()["fields"])) == (422, ["foo"])
    assert ada.get(f"/api{path}").status_code == 200


def test_a_mistyped_filter_is_answered_with_those_there_are(ada: Client) -> None:
    make()
    fields = ada.get("/api/jobs", {"sate": "failed", "pool": "gevent"}).json()["fields"]
    assert fields.keys() == {"sate"}
    assert "state, pool, definition" in fields["sate"]


def test_every_filter_and_cursor_of_the_schema_is_taken(ada: Client) -> None:
    for path in ("/api/jobs", "/api/comparisons"):
        parameters = api.get_openapi_schema()["paths"][path]["get"]["parameters"]
        assert ada.get(path, {parameter["name"]: "" for parameter in parameters}).status_code == 200


def test_what_belongs_into_a_body_is_not_lost_in_the_query(ada: Client) -> None:
    job = make()
    answer = post(ada, f"/jobs/{job.pk}/cancel?reason=x")
    assert (answer.status_code, list(answer.json()["fields"])) == (422, ["reason"])
    assert Job.objects.get().state == JobState.QUEUED


@pytest.mark.parametrize("key", ["order-17", "x" * 201, "no\x7fkey"])
def test_a_key_that_cannot_be_used_is_named_as_the_header_that_it_is(ada: Client, key: str) -> None:
    body: dict[str, Any] = {"definition": "io.wait", "params": {"duration_s": 1}, "pool": "gevent"}
    send = {"content_type": "application/json", "headers": {"Idempotency-Key": key}}
    ada.post("/api/jobs", body, **send)
    answer = ada.post("/api/jobs", body | {"copies": 2}, **send)
    assert (answer.status_code, list(answer.json()["fields"])) == (422, ["Idempotency-Key"])


def test_the_schema_names_the_key_as_its_header() -> None:
    [header] = api.get_openapi_schema()["paths"]["/api/jobs"]["post"]["parameters"]
    assert (header["name"], header["in"]) == ("Idempotency-Key", "header")
