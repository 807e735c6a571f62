"""Texts that PostgreSQL cannot hold: NUL, and half a surrogate pair, which is no UTF-8 for SQLite either."""

import json
from typing import Any

import pytest
import redis
from django.core.management import CommandError, call_command
from django.test import Client

from poolwise import control
from poolwise.control import tokens
from poolwise.lifecycle import submission
from poolwise.models import AuditEntry, Comparison, Job, JobState, Pause

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]
JOBS, AUDIT = "/admin/poolwise/job/", "/admin/poolwise/auditentry/"
RESULTS = "/admin/django_celery_results/taskresult/"


@pytest.fixture(autouse=True)
def _nothing_goes_out(monkeypatch: pytest.MonkeyPatch, redis_client: redis.Redis) -> None:
    monkeypatch.setattr(submission, "publish_from_web", lambda jobs, **_: len(jobs))


@pytest.fixture
def admin(client: Client, administrator: Any) -> Client:
    client.force_login(administrator)
    return client


@pytest.fixture
def post(administrator: Any) -> Any:
    """Post JSON to the API as the administrator."""
    headers = {"Authorization": f"Bearer {tokens.create(administrator, 'test')[1]}"}

    def call(path: str, body: Any) -> Any:
        text = json.dumps(body)
        return Client().post(f"/api{path}", text, content_type="application/json", headers=headers)

    return call


@pytest.mark.parametrize("path", ["pools/threads/pause", "pools/threads/drain", "definitions/io.wait/pause"])
def test_a_reason_is_stored_as_the_database_can_store_it(post: Any, path: str) -> None:
    assert post(f"/{path}", {"reason": "a\0b"}).status_code == 200
    assert Pause.objects.get().reason == "a\N{REPLACEMENT CHARACTER}b"
    assert AuditEntry.objects.latest("id").reason == "a\N{REPLACEMENT CHARACTER}b"


def test_a_comparison_is_cancelled_for_such_a_reason(post: Any, user: Any) -> None:
    comparison = Comparison.objects.create(definition="io.wait", copies=1, user=user, seed=1)
    assert post(f"/comparisons/{comparison.pk}/cancel", {"reason": "a\0b"}).status_code == 200
    comparison.refresh_from_db()
    assert comparison.end_reason == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize("address", ["pools/a%00b/resume", "pools/a%00b/purge", "definitions/a%00b/resume"])
def test_no_action_of_the_api_finds_such_a_name(post: Any, address: str) -> None:
    assert post(f"/{address}", {"reason": "x", "confirm": True}).status_code in (404, 422)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "pool/a%00b/change/",
            "pool/a%00b/history/",
            "pause/pool/a%00b/pause/",
            "pause/definition/%00/resume/",
        ),
        *(
            "pinneddefinition/a%00b/change/",
            "pinneddefinition/a%00b/delete/",
            "pinneddefinition/%00/history/",
        ),
    ],
)
def test_no_page_of_the_admin_finds_such_a_name(admin: Client, address: str) -> None:
    assert admin.get(f"/admin/poolwise/{address}").status_code == 404
    assert admin.post(f"/admin/poolwise/{address}", {"reason": "x", "post": "yes"}).status_code == 404


@pytest.mark.parametrize(
    "address",
    [f"{JOBS}?{name}=%00" for name in ("state", "pool", "kind", "definition", "age", "q")]
    + [f"{AUDIT}?{name}=a%00b" for name in ("action", "within_days", "q")]
    + [f"{RESULTS}?{name}=%00" for name in ("status", "q")],
)
def test_a_filter_ignores_what_no_row_can_hold(admin: Client, address: str) -> None:
    Job.objects.create(definition="io.wait", kind="io", pool="gevent", state=JobState.FAILED)
    assert admin.get(address).status_code == 200
    if "?q" not in address and address.startswith(JOBS):
        assert len(admin.get(address).context["cl"].result_list) == 1


def test_a_filter_still_finds_the_jobs_of_a_pool_that_is_no_more(admin: Client) -> None:
    for pool in ("gone", "gevent"):
        Job.objects.create(definition="io.wait", kind="io", pool=pool)
    [job] = admin.get(f"{JOBS}?pool=gone").context["cl"].result_list
    assert job.pool == "gone"


@pytest.mark.parametrize(
    "address",
    [
        *(
            f"{JOBS}?worker=%00",
            f"{JOBS}?error__contains=%00",
            f"{AUDIT}?target=%00",
            f"{RESULTS}?task_name=%00",
        ),
        *(
            "/admin/poolwise/pool/?model=%00",
            "/admin/poolwise/pause/?name=%00",
            "/admin/poolwise/comparison/?state=%00",
        ),
        *("/admin/poolwise/apitoken/?name=%00", "/admin/poolwise/pinneddefinition/?pool__in=gevent,%00"),
    ],
)
def test_a_lookup_in_an_address_is_refused_as_others_that_cannot_be_made(admin: Client, address: str) -> None:
    assert admin.get(address)["Location"].endswith("?e=1")


@pytest.mark.parametrize("action", ["resume", "purge"])
def test_a_command_that_names_what_is_no_text_says_so(action: str) -> None:
    with pytest.raises(CommandError, match="There is no pool"):
        call_command(action, "a\udcffb", "--reason", "x", *(["--yes"] if action == "purge" else []))


def test_a_reason_of_a_command_may_be_no_text() -> None:
    control.pause(Pause.Kind.POOL, "threads", user=None, reason="a\udcffb")
    assert Pause.objects.get().reason == "a\N{REPLACEMENT CHARACTER}b"
