"""Browsers and jobs for the tests of the pages."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from poolwise.lifecycle import heartbeats, submission
from poolwise.models import Job
from poolwise.support.redis import connect


@pytest.fixture
def bob(client: Client, user: Any) -> Client:
    """A browser in which an ordinary user is logged in."""
    client.force_login(user)
    return client


@pytest.fixture
def make(user: Any) -> Callable[..., Job]:
    """Store a job of the user."""

    def make_job(**fields: Any) -> Job:
        defaults = {
            "definition": "io.wait",
            "kind": "io",
            "params": {"duration_s": 0.25},
            "pool": "gevent",
            "user": user,
        }
        return Job.objects.create(**(defaults | fields))

    return make_job


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """The jobs that would go to the broker; nothing goes there."""
    jobs: list[Job] = []
    monkeypatch.setattr(submission, "publish_from_web", lambda given, **_: jobs.extend(given))
    return jobs


@pytest.fixture
def no_redis(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that does not answer."""

    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(heartbeats, "web_client", lambda: connect(timeout_s=0.1))
