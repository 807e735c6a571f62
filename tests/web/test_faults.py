"""Requests that end in a fault of the server."""

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client

from poolwise.models import Comparison, Job
from tests.helpers.posted import WAIT, form, text_of

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("error", [OperationalError("database or disk is full"), InterfaceError("closed")])
def test_a_database_that_does_not_answer_is_a_503_that_says_to_try_again(
    user: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    browser = Client(raise_request_exception=False)
    browser.force_login(user)

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("poolwise.lifecycle.submission.insert", fail)
    response = browser.post(WAIT, form())
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert "check that before you repeat it" in text_of(response)
    assert not Job.objects.exists()


@pytest.fixture
def browser(user: Any) -> Client:
    browser = Client(raise_request_exception=False)
    browser.force_login(user)
    return browser


def losing_the_reply(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Have the database fail once, when all is stored."""
    lost = iter([OperationalError("server closed the connection unexpectedly")])

    def fail(*_: Any, **__: Any) -> None:
        if error := next(lost, None):
            raise error

    monkeypatch.setattr(name, fail)


def test_a_page_that_only_shows_says_to_try_again(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    losing_the_reply(monkeypatch, "poolwise.models.JobQuerySet.visible_to")
    response = browser.get(f"/jobs/{uuid4()}/")
    assert response.status_code == 503
    assert "Try again in a moment." in text_of(response)


#: What the views of forms call when all is stored.
ANNOUNCE = "django.contrib.messages.success"
DESIGN = {"param-duration_s": "0.1", "pools": ["threads"], "preset": "own", "rounds": "2", "copies": "5"}


@pytest.mark.parametrize(
    ("path", "data", "model"),
    [(WAIT, form(), Job), ("/comparisons/new/?definition=io.wait", DESIGN, Comparison)],
)
def test_a_form_whose_reply_was_lost_is_sent_again_and_stored_once(
    browser: Client, monkeypatch: pytest.MonkeyPatch, path: str, data: Any, model: Any
) -> None:
    page = browser.get(path).content.decode()
    [token] = re.findall(r'name="token" value="([^"]+)"', page)
    losing_the_reply(monkeypatch, ANNOUNCE)
    first = browser.post(path, data | {"token": token})
    assert first.status_code == 503
    assert "The form may have been stored. Reload this page" in text_of(first)
    assert model.objects.count() == 1
    again = browser.post(path, data | {"token": token})
    assert (again.status_code, model.objects.count()) == (302, 1)
    changed = browser.post(path, data | {"token": token, "param-duration_s": "0.3"})
    assert (changed.status_code, model.objects.count()) == (302, 2)


def test_a_job_is_run_again_once_by_one_page(
    browser: Client, user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job.objects.create(definition="io.wait", params={"duration_s": 1}, pool="gevent", user=user)
    page = browser.get(f"/jobs/{job.pk}/").content.decode()
    [token] = re.findall(r'name="token" value="([^"]+)"', page)
    losing_the_reply(monkeypatch, ANNOUNCE)
    first = browser.post(f"/jobs/{job.pk}/again/", {"token": token})
    assert (first.status_code, Job.objects.count()) == (503, 2)
    assert "Reload this page" in text_of(first)
    assert browser.post(f"/jobs/{job.pk}/again/", {"token": token}).status_code == 302
    assert Job.objects.count() == 2


@pytest.mark.parametrize("path", ["/", "/accounts/login/", "/no/such/page/"])
def test_the_error_page_needs_no_collected_files(
    browser: Client, settings: Any, tmp_path: Path, path: str
) -> None:
    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}
    }
    response = browser.get(path)
    assert response.status_code == 500
    assert "<h1>Server error</h1>" in response.content.decode()
    assert "static" not in response.content.decode()


def test_any_other_fault_is_a_500(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Client(raise_request_exception=False)
    browser.force_login(user)
    monkeypatch.setattr("poolwise.lifecycle.submission.submit", lambda *_, **__: 1 / 0)
    response = browser.post(WAIT, form())
    assert response.status_code == 500
    assert "Server error" in text_of(response)
