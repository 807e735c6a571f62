"""The HTTP API: who may call it, what it answers, and how each refusal reads."""

import json
from io import StringIO
from typing import Annotated, Any
from unittest import mock
from uuid import uuid4

import pytest
import redis
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.test import Client
from django_celery_results.models import TaskResult
from ninja import NinjaAPI

from poolwise.api import api
from poolwise.control import tokens
from poolwise.definitions import Secret
from poolwise.lifecycle import heartbeats, submission
from poolwise.lifecycle.heartbeats import Heartbeat
from poolwise.lifecycle.pauses import read_copy
from poolwise.models import ApiToken, AuditEntry, Comparison, Job, JobState, Pause
from poolwise.support.redis import web_client
from tests.helpers.report_sample import report

pytestmark = pytest.mark.django_db
WAIT = {"definition": "io.wait", "params": {"duration_s": 0.1}, "pool": "gevent"}


class Caller:
    """A program that calls the API with a token."""

    def __init__(self, user: Any) -> None:
        _, text = tokens.create(user, "test")
        self.client, self.headers = Client(enforce_csrf_checks=True), {"Authorization": f"Bearer {text}"}

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(f"/api{path}", query, headers=self.headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        text = json.dumps({} if body is None else body)
        return self.client.post(
            f"/api{path}", text, content_type="application/json", headers=self.headers | headers
        )


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch, redis_client: redis.Redis) -> list[Job]:
    jobs: list[Job] = []
    monkeypatch.setattr(submission, "publish_from_web", lambda given, **_: jobs.extend(given))
    return jobs


@pytest.fixture
def bob(user: Any) -> Caller:
    return Caller(user)


@pytest.fixture
def ada(administrator: Any) -> Caller:
    return Caller(administrator)


def grant(user: Any, *codenames: str) -> None:
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))


def test_definitions_come_with_the_schema_of_their_parameters(bob: Caller) -> None:
    listed = {definition["name"]: definition for definition in bob.get("/definitions").json()}
    assert listed["io.wait"] == bob.get("/definitions/io.wait").json()
    assert listed["io.wait"]["parameters"]["properties"]["duration_s"]["maximum"] == 600


def with_secret(shop: str = "mine", token: Annotated[str | None, Secret()] = "hunter22") -> int:
    """Do nothing."""
    return 0


def test_the_schema_marks_a_secret_and_keeps_its_default_to_itself(bob: Caller, define: Any) -> None:
    definition = define(with_secret)
    answer = bob.get(f"/definitions/{definition.name}")
    properties = answer.json()["parameters"]["properties"]
    assert properties["shop"]["default"] == "mine"
    assert (properties["token"]["format"], properties["token"]["writeOnly"]) == ("password", True)
    assert b"hunter22" not in answer.content
    assert b"hunter22" not in bob.get("/definitions").content


def test_a_job_is_submitted_listed_read_cancelled_and_run_again(bob: Caller, user: Any) -> None:
    response = bob.post("/jobs", WAIT | {"copies": 2}, **{"X-Request-ID": "api-1"})
    assert response.status_code == 201, response.content
    [job, _] = response.json()["jobs"]
    assert (job["state"], job["user"], job["params"]) == ("queued", "bob", {"duration_s": 0.1})
    assert len(bob.get("/jobs", submission="api-1", state="queued").json()["jobs"]) == 2
    assert bob.get(f"/jobs/{job['id']}").json()["payload_bytes"] > 0
    assert bob.get(f"/jobs/{job['id']}/result").status_code == 404
    assert bob.post(f"/jobs/{job['id']}/cancel").json()["outcome"] == "cancelled"
    assert bob.post(f"/jobs/{job['id']}/cancel").json()["outcome"] == "ended"
    again = bob.post(f"/jobs/{job['id']}/again", {"params": {"duration_s": 2}, "pool": "threads"})
    assert again.status_code == 201
    assert (again.json()["parent_id"], again.json()["pool"]) == (job["id"], "threads")


def wanted(*durations_s: Any) -> dict[str, Any]:
    """Return the body that submits waits of different lengths."""
    return {"jobs": [WAIT | {"params": {"duration_s": each}} for each in durations_s]}


def test_different_jobs_are_submitted_by_one_request_and_once_under_their_key(
    bob: Caller, sent: list[Job], django_capture_on_commit_callbacks: Any
) -> None:
    key = {"Idempotency-Key": "k", "X-Request-ID": "api-2"}
    with django_capture_on_commit_callbacks(execute=True):
        first = bob.post("/jobs/many", wanted(0.3, 0.1), **key)
        again = bob.post("/jobs/many", wanted(0.3, 0.1), **key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert [job["params"] for job in first.json()["jobs"]] == [{"duration_s": 0.3}, {"duration_s": 0.1}]
    assert [job["id"] for job in first.json()["jobs"]] == [job["id"] for job in again.json()["jobs"]]
    assert [str(job.pk) for job in sent] == [job["id"] for job in first.json()["jobs"]]
    assert len(bob.get("/jobs", submission="api-2").json()["jobs"]) == 2
    other = bob.post("/jobs/many", wanted(0.1), **key)
    assert (other.status_code, list(other.json()["fields"])) == (422, ["Idempotency-Key"])


def test_the_answer_to_a_submission_is_what_the_list_shows_later(bob: Caller, define: Any) -> None:
    define(with_secret, name="test.secret")
    body = {"definition": "test.secret", "params": {"token": "hunter23"}, "pool": "threads"}
    one = bob.post("/jobs", body).json()["jobs"]
    many = bob.post("/jobs/many", {"jobs": [body, WAIT]}).json()["jobs"]
    listed = {job["id"]: job for job in bob.get("/jobs").json()["jobs"]}
    assert len(listed) == 3
    for job in (*one, *many):
        assert job == listed[job["id"]]
        assert "hunter23" not in str(job)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (wanted(0.1, "soon", -1), ["jobs.1.params.duration_s", "jobs.2.params.duration_s"]),
        ({"jobs": [WAIT, {"definition": "io.wiat"}]}, ["jobs.1.definition"]),
        ({"jobs": [WAIT, WAIT | {"pool": "gevnet"}]}, ["jobs.1.pool"]),
        ({"jobs": [WAIT, WAIT | {"copies": 2}]}, ["jobs.1.copies"]),
        ({"jobs": [WAIT, {"params": {}}]}, ["jobs.1.definition"]),
        ({"jobs": []}, ["jobs"]),
        ({}, ["jobs"]),
        (wanted(*[0.1] * 4), ["jobs"]),
    ],
    ids=str,
)
def test_a_fault_of_one_of_many_jobs_is_named_by_its_place_and_stores_nothing(
    bob: Caller, settings: Any, body: Any, fields: list[str]
) -> None:
    settings.JOB_MAX_COPIES = 3
    answer = bob.post("/jobs/many", body)
    assert (answer.status_code, list(answer.json()["fields"])) == (422, fields)
    assert not Job.objects.exists()


def test_many_jobs_come_under_the_limits_and_the_role_as_one_does(
    bob: Caller, user: Any, settings: Any
) -> None:
    settings.JOB_MAX_QUEUED_PER_USER = 1
    answer = bob.post("/jobs/many", wanted(0.1, 0.2))
    assert (answer.status_code, answer.json()["queue"]["queued"]) == (429, 0)
    assert answer["Retry-After"]
    user.groups.clear()
    assert bob.post("/jobs/many", wanted(0.1)).status_code == 403
    assert not Job.objects.exists()


def test_pages_of_jobs_follow_each_other_by_cursor(bob: Caller, user: Any) -> None:
    Job.objects.bulk_create(
        [Job(definition="io.wait", kind="io", pool="gevent", user=user) for _ in range(120)]
    )
    first = bob.get("/jobs").json()
    second = bob.get("/jobs", before=first["older"]).json()
    third = bob.get("/jobs", before=second["older"]).json()
    assert [len(page["jobs"]) for page in (first, second, third)] == [50, 50, 20]
    assert len({job["id"] for page in (first, second, third) for job in page["jobs"]}) == 120
    assert third["older"] is None
    assert bob.get("/jobs", after=second["newer"]).json()["jobs"] == first["jobs"]


def test_a_result_is_json(bob: Caller, user: Any) -> None:
    job = Job.objects.create(
        definition="io.wait", kind="io", pool="gevent", user=user, state=JobState.SUCCEEDED
    )
    TaskResult.objects.create(task_id=str(job.pk), result='{"slept_s": 1.5}')
    assert bob.get(f"/jobs/{job.pk}/result").json() == {"result": {"slept_s": 1.5}}


@pytest.mark.parametrize("path", ["", "/result", "/cancel", "/again"])
def test_anothers_job_is_not_found(bob: Caller, administrator: Any, path: str) -> None:
    job = Job.objects.create(definition="io.wait", kind="io", pool="gevent", user=administrator)
    call = bob.post if path in ("/cancel", "/again") else bob.get
    assert call(f"/jobs/{job.pk}{path}").status_code == 404
    assert Job.objects.get().state == JobState.QUEUED


def test_who_sees_all_jobs_may_still_not_cancel_anothers(bob: Caller, user: Any, administrator: Any) -> None:
    grant(user, "view_job")
    job = Job.objects.create(definition="io.wait", kind="io", pool="gevent", user=administrator)
    assert bob.get(f"/jobs/{job.pk}").status_code == 200
    assert bob.post(f"/jobs/{job.pk}/cancel").status_code == 403
    assert len(bob.get("/jobs", owner="all").json()["jobs"]) == 1


def test_cancelling_anothers_job_is_in_the_audit_log(ada: Caller, user: Any) -> None:
    job = Job.objects.create(definition="io.wait", kind="io", pool="gevent", user=user)
    assert ada.post(f"/jobs/{job.pk}/cancel", {"reason": "runaway"}).status_code == 200
    entry = AuditEntry.objects.get(action="cancel")
    assert (entry.username, entry.target, entry.reason) == ("ada", f"job {job.pk}", "runaway")
    assert entry.details == {"outcome": "cancelled", "owner": "bob"}


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        (WAIT | {"definition": "io.wiat"}, "definition", "Did you mean io.wait"),
        (WAIT | {"pool": "nowhere"}, "pool", "There is no pool"),
        (WAIT | {"params": {"duration_s": -1}}, "params.duration_s", ""),
        (WAIT | {"params": {"duration": 1}}, "params.duration", ""),
        (WAIT | {"copies": 0}, "copies", ""),
        (WAIT | {"copies": 10**9}, "copies", "Choose 1 to 1000"),
        (WAIT | {"copies": "1_000"}, "copies", "valid integer"),
        (WAIT | {"copies": "5"}, "copies", "valid integer"),
        (WAIT | {"copies": True}, "copies", "valid integer"),
        (WAIT | {"params": {"duration_s": "1_0"}}, "params.duration_s", "valid number"),
        (WAIT | {"params": {"duration_s": True}}, "params.duration_s", "valid number"),
        (WAIT | {"copy": 2}, "copy", ""),
        ({"params": {}}, "definition", ""),
        (WAIT | {"params": []}, "params", ""),
    ],
)
def test_a_bad_submission_names_the_field_and_stores_nothing(
    bob: Caller, body: Any, field: str, words: str
) -> None:
    response = bob.post("/jobs", body)
    assert response.status_code == 422, response.content
    assert words in response.json()["fields"][field]
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        *(({name: "1_0"}, name) for name in ("rounds", "copies", "in_flight", "slots", "seed")),
        ({"arrival_rate_per_s": "1_0"}, "arrival_rate_per_s"),
        ({"is_sweep": "yes"}, "is_sweep"),
        ({"params": {"duration_s": "1_0"}}, "duration_s"),
    ],
)
def test_a_number_of_a_comparison_is_a_json_number(bob: Caller, changes: Any, field: str) -> None:
    plan = {"definition": "io.wait", "params": {"duration_s": 0.1}, "pools": ["gevent"], "preset": "quick"}
    response = bob.post("/comparisons", plan | changes)
    assert (response.status_code, list(response.json()["fields"])) == (422, [field])
    assert not Comparison.objects.exists()


def test_a_job_is_not_run_again_with_a_text_for_a_number(bob: Caller, user: Any) -> None:
    job = Job.objects.create(definition="io.wait", params={"duration_s": 1}, pool="gevent", user=user)
    response = bob.post(f"/jobs/{job.pk}/again", {"params": {"duration_s": "1_0"}})
    assert (response.status_code, list(response.json()["fields"])) == (422, ["params.duration_s"])
    assert Job.objects.count() == 1


@pytest.mark.parametrize(
    ("query", "field"), [({"state": "lost"}, "state"), ({"pool": "x"}, "pool"), ({"q": "a" * 201}, "q")]
)
def test_a_bad_filter_names_the_field(bob: Caller, query: Any, field: str) -> None:
    response = bob.get("/jobs", **query)
    assert (response.status_code, list(response.json()["fields"])) == (422, [field])


def test_what_is_no_json_and_what_is_too_large_are_refused(bob: Caller, settings: Any) -> None:
    send = {"content_type": "application/json", "headers": bob.headers}
    assert bob.client.post("/api/jobs", "{", **send).status_code == 400
    settings.API_MAX_BODY_BYTES = 100
    response = bob.client.post("/api/jobs", "x" * 101, **send)
    assert response.status_code == 413
    assert "API_MAX_BODY_BYTES" in response.json()["detail"]


def test_a_pool_says_how_many_of_its_workers_lost_their_broker(
    bob: Caller, redis_client: redis.Redis
) -> None:
    for name, is_connected in (("a", True), ("b", False)):
        heartbeats.send(redis_client, Heartbeat(name, "gevent", 1, "here", is_connected=is_connected))
    pool = bob.get("/pools/gevent").json()
    assert (pool["state"], pool["workers"], pool["unconnected"]) == ("up", 2, 1)


def test_a_full_queue_answers_503_and_a_users_limit_429_with_the_queues_state(
    bob: Caller, user: Any, administrator: Any, settings: Any
) -> None:
    settings.JOB_MAX_QUEUED_PER_USER = 2
    assert bob.post("/jobs", WAIT | {"copies": 2}).status_code == 201
    response = bob.post("/jobs", WAIT)
    assert (response.status_code, response["Retry-After"]) == (429, "60")
    assert response.json()["queue"] | {"oldest_s": 0} == {
        "pool": "gevent",
        "queued": 2,
        "oldest_s": 0,
        "workers": 0,
    }
    assert Caller(administrator).post("/jobs", WAIT).status_code == 201  # may exceed it
    settings.JOB_MAX_QUEUED = 3
    response = bob.post("/jobs", WAIT)
    assert (response.status_code, response.json()["retry_after_s"]) == (503, 60)
    assert Job.objects.count() == 3


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/pools/gevent/pause", {"reason": "x"}),
        ("/pools/gevent/resume", {"reason": "x"}),
        ("/pools/gevent/drain", {"reason": "x"}),
        ("/pools/gevent/purge", {"reason": "x", "confirm": True}),
        ("/definitions/io.wait/pause", {"reason": "x"}),
        ("/definitions/io.wait/resume", {"reason": "x"}),
    ],
)
def test_an_operators_action_needs_the_permission(bob: Caller, ada: Caller, path: str, body: Any) -> None:
    assert bob.post(path, body).status_code == 403
    assert not AuditEntry.objects.exclude(action="create token").exists()
    assert ada.post(path, body).status_code == 200
    assert ada.post(path.replace("gevent", "no").replace("io.wait", "no.no"), body).status_code == 404


def test_a_pool_is_paused_and_resumed_and_both_are_written_down(bob: Caller, user: Any) -> None:
    grant(user, "operate_pool")
    assert bob.post("/pools/gevent/pause", {"reason": " "}).status_code == 422
    answer = bob.post("/pools/gevent/pause", {"reason": "a leak"}).json()
    assert (answer["state"], answer["has_changed"], answer["is_in_redis"]) == ("paused", True, True)
    assert read_copy(web_client()).pools == {"gevent": "paused"}
    assert bob.get("/pools/gevent").json()["pause_state"] == "paused"
    assert bob.post("/pools/gevent/drain", {"reason": "a leak"}).json()["state"] == "draining"
    assert bob.post("/pools/gevent/resume", {"reason": "mended"}).json()["has_changed"] is True
    assert bob.post("/pools/gevent/resume", {"reason": "mended"}).json()["has_changed"] is False
    entries = AuditEntry.objects.exclude(action="create token").order_by("id")
    assert list(entries.values_list("action", "username", "reason")) == [
        ("pause", "bob", "a leak"),
        ("drain", "bob", "a leak"),
        ("resume", "bob", "mended"),
    ]
    assert not Pause.objects.exists()


def test_a_purge_wants_to_be_confirmed(ada: Caller, user: Any) -> None:
    Job.objects.create(definition="io.wait", kind="io", pool="gevent", user=user)
    assert ada.post("/pools/gevent/purge", {"reason": "x"}).status_code == 422
    assert ada.post("/pools/gevent/purge", {"reason": "x", "confirm": False}).status_code == 422
    assert ada.post("/pools/gevent/purge", {"reason": "x", "confirm": True}).json()["cancelled"] == 1


def test_pools_and_queues_are_shown(bob: Caller, user: Any) -> None:
    Job.objects.create(definition="io.wait", kind="io", pool="gevent", user=user)
    assert {pool["name"] for pool in bob.get("/pools").json()} == {"prefork", "threads", "gevent", "asyncio"}
    assert bob.get("/pools/gevent/queue").json()["queued"] == 1
    assert bob.get("/pools/nowhere").status_code == 404


def test_a_comparison_is_planned_listed_read_and_cancelled(bob: Caller, ada: Caller, user: Any) -> None:
    body = {"definition": "io.wait", "params": {"duration_s": 0.1}, "pools": ["gevent", "threads"]}
    planned = bob.post("/comparisons", body | {"preset": "quick"})
    assert planned.status_code == 201, planned.content
    assert planned.json()["budget_s"] == 30
    path = f"/comparisons/{planned.json()['id']}"
    assert bob.get("/comparisons").json()["comparisons"][0]["id"] == planned.json()["id"]
    detail = bob.get(path).json()
    assert (detail["state"], detail["answer"], set(detail["progress"])) == (
        "planned",
        None,
        {"gevent", "threads"},
    )
    Comparison.objects.update(report=report().model_dump(mode="json"))
    answer = bob.get(path).json()["answer"]
    assert answer.startswith("Run io.wait on gevent (50 slots).")
    assert bob.get("/comparisons").json()["comparisons"][0]["answer"] == answer
    assert ada.post(f"{path}/cancel", {"reason": "in the way"}).json()["state"] == "cancelled"
    assert AuditEntry.objects.filter(action="cancel", reason="in the way").exists()
    assert bob.post("/comparisons", body | {"pools": ["nowhere"]}).status_code == 422
    assert bob.post("/comparisons", body).json()["fields"].keys() == {"rounds", "copies"}
    Comparison.objects.update(user=None)
    assert bob.get(path).status_code == 404


def test_a_stranger_a_wrong_token_and_a_revoked_one_are_refused(
    bob: Caller, client: Client, user: Any
) -> None:
    assert client.get("/api/jobs").status_code == 401
    wrong = client.get("/api/jobs", headers={"Authorization": "Bearer pw_wrong"})
    assert (wrong.status_code, wrong["WWW-Authenticate"]) == (401, "Bearer")
    assert bob.get("/jobs").status_code == 200
    assert ApiToken.objects.get().last_used_at
    tokens.revoke(ApiToken.objects.get())
    assert bob.get("/jobs").status_code == 401


def test_a_user_who_may_not_log_in_may_not_call(bob: Caller, user: Any) -> None:
    user.is_active = False
    user.save()
    assert bob.get("/jobs").status_code == 401


def test_a_session_calls_too_and_is_guarded_against_forgery(user: Any) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    assert browser.get("/api/jobs").status_code == 200
    refused = browser.post("/api/jobs", WAIT, content_type="application/json")
    assert refused.status_code == 403
    browser.get("/definitions/io.wait/")
    token = {"X-CSRFToken": browser.cookies["csrftoken"].value}
    assert browser.post("/api/jobs", WAIT, content_type="application/json", headers=token).status_code == 201


def test_a_token_is_stored_as_a_hash_and_made_listed_and_revoked_by_command(user: Any) -> None:
    out = StringIO()
    call_command("api_token", "bob", "--name", "nightly", stdout=out, stderr=StringIO())
    text = out.getvalue().strip()
    token = ApiToken.objects.get()
    assert text.startswith("pw_")
    assert text not in str(vars(token))
    assert tokens.user_of(text) == user
    call_command("api_token", "bob", "--list", stdout=out)
    assert f"{token.pk}  nightly  valid" in out.getvalue()
    call_command("api_token", "bob", "--revoke", str(token.pk), stdout=out)
    assert tokens.user_of(text) is None
    with pytest.raises(CommandError, match="no token 99"):
        call_command("api_token", "bob", "--revoke", "99")
    with pytest.raises(CommandError, match="no user"):
        call_command("api_token", "nobody")


def test_the_schema_needs_no_login_and_names_every_endpoint(client: Client) -> None:
    schema = client.get("/api/openapi.json").json()
    assert {"/api/jobs", "/api/pools/{name}/purge", "/api/comparisons/{comparison_id}"} <= set(
        schema["paths"]
    )
    assert client.get("/api/docs").status_code == 404


def test_the_schema_is_made_once_for_all_who_ask(client: Client) -> None:
    assert api.get_openapi_schema() is api.get_openapi_schema()
    assert (
        api.get_openapi_schema(path_prefix="/elsewhere/")["paths"].keys()
        != api.get_openapi_schema()["paths"].keys()
    )
    client.get("/api/openapi.json")
    with mock.patch.object(NinjaAPI, "get_openapi_schema", side_effect=AssertionError("made anew")):
        assert client.get("/api/openapi.json").status_code == 200


def test_an_unknown_id_and_an_unknown_endpoint_are_not_found(bob: Caller) -> None:
    for path in ("/nothing", "/jobs/no-uuid", "/jobs/"):
        response = bob.get(path)
        assert (response.status_code, response["Content-Type"]) == (404, "application/json; charset=utf-8")
        assert "There is no endpoint /api/" in response.json()["detail"]
    assert bob.get(f"/jobs/{uuid4()}").json()["detail"]
    assert bob.get(f"/comparisons/{uuid4()}").status_code == 404
