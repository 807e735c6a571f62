"""Requests that end in a fault of the server."""

from typing import Any

import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client

from poolwise.models import Job
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

    monkeypatch.setattr("poolwise.lifecycle.submission.Job.objects.bulk_create", fail)
    response = browser.post(WAIT, form())
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert "Nothing was stored. Try again" in text_of(response)
    assert not Job.objects.exists()


def test_any_other_fault_is_a_500(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Client(raise_request_exception=False)
    browser.force_login(user)
    monkeypatch.setattr("poolwise.lifecycle.submission.submit", lambda *_, **__: 1 / 0)
    response = browser.post(WAIT, form())
    assert response.status_code == 500
    assert "Server error" in text_of(response)
