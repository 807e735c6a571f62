"""The same submission twice where a parameter is secret, and so is encrypted differently each time."""

import hashlib
import json
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from django.test import Client

from poolwise.definitions import Definition, Secret
from poolwise.lifecycle import submission
from poolwise.lifecycle.submission import run_again, submit
from poolwise.models import Job
from poolwise.support.errors import InvalidParameters

pytestmark = pytest.mark.django_db
TOKEN = {"token": "hunter2"}


@pytest.fixture(autouse=True)
def _nothing_goes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "publish_from_web", lambda jobs, **_: len(jobs))


def sync(token: Annotated[str | None, Secret()] = None, shop: str = "") -> None:
    """Fetch a shop's orders."""


@pytest.fixture
def shared(define: Callable[..., Definition]) -> Definition:
    return define(sync, name="test.sync")


@pytest.fixture
def unique(define: Callable[..., Definition]) -> Definition:
    return define(sync, name="test.sync", unique=True)


def change_key(settings: Any) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [settings.SECRET_KEY]


def test_the_same_key_with_the_same_secret_returns_the_same_jobs(shared: Definition, user: Any) -> None:
    first = submit("test.sync", TOKEN, pool="threads", copies=2, user=user, idempotency_key="k")
    again = submit("test.sync", TOKEN, pool="threads", copies=2, user=user, idempotency_key="k")
    assert [job.pk for job in again] == [job.pk for job in first]
    with pytest.raises(InvalidParameters, match="belongs to another submission"):
        submit("test.sync", {"token": "other"}, pool="threads", copies=2, user=user, idempotency_key="k")


def test_an_idempotency_key_outlives_a_change_of_the_secret_key(
    shared: Definition, user: Any, settings: Any
) -> None:
    [job] = submit("test.sync", TOKEN, pool="threads", user=user, idempotency_key="k")
    change_key(settings)
    assert submit("test.sync", TOKEN, pool="threads", user=user, idempotency_key="k")[0].pk == job.pk
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(InvalidParameters, match="belongs to another submission"):
        submit("test.sync", TOKEN, pool="threads", user=user, idempotency_key="k")


def test_one_job_of_a_unique_definition_with_the_same_secret_at_a_time(unique: Definition) -> None:
    [job] = submit("test.sync", TOKEN, pool="threads")
    [same] = submit("test.sync", TOKEN, pool="threads")
    assert (same.pk, same.was_there) == (job.pk, True)
    assert run_again(job, user=None).pk == job.pk
    others = ({"token": "other"}, TOKEN | {"shop": "b"}, {"token": None}, {})
    assert [submit("test.sync", other, pool="threads")[0].was_there for other in others] == [
        False, False, False, True,
    ]  # fmt: skip


def test_a_unique_job_is_found_after_a_change_of_the_secret_key(unique: Definition, settings: Any) -> None:
    [job] = submit("test.sync", TOKEN, pool="threads")
    change_key(settings)
    assert submit("test.sync", TOKEN, pool="threads")[0].pk == job.pk
    [other] = submit("test.sync", {"token": "other"}, pool="threads")
    assert submit("test.sync", {"token": "other"}, pool="threads")[0].pk == other.pk != job.pk


def test_what_is_stored_for_uniqueness_does_not_let_a_secret_be_tried_out(unique: Definition) -> None:
    [job] = submit("test.sync", TOKEN, pool="threads")
    fields = json.dumps(["test.sync", TOKEN | {"shop": ""}], sort_keys=True, separators=(",", ":"))
    assert job.unique_key not in (None, hashlib.sha256(fields.encode()).hexdigest())


def test_a_form_with_a_secret_sent_twice_submits_once(shared: Definition, user: Any) -> None:
    browser = Client()
    browser.force_login(user)
    sent = {"param-token": "hunter2", "param-shop": "a", "pools": ["threads"], "copies": "1", "token": "t1"}
    addresses = [browser.post("/definitions/test.sync/", sent)["Location"] for _ in range(2)]
    assert addresses == [Job.objects.get().get_absolute_url()] * 2
    browser.post("/definitions/test.sync/", sent | {"param-token": "mended"})
    assert Job.objects.count() == 2, "another secret is another submission"
    assert "hunter2" not in repr(list(Job.objects.values()))
