"""A Redis that keeps its connections and answers nothing: the web goes on, and says so."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from dev.own_redis import OwnRedis
from poolwise.models import Job
from tests.helpers.posted import WAIT, form, text_of

pytestmark = pytest.mark.django_db

#: What the slowest of a hundred requests may take.
LIMIT_S = 2.0


def slowest_s(requests: int, send: Callable[[], Any]) -> float:
    took = []
    for _ in range(requests):
        began = time.monotonic()
        assert send().status_code < 400
        took.append(time.monotonic() - began)
    return max(took)


@pytest.mark.parametrize("state", ["frozen", "gone"])
def test_pages_and_submissions_do_not_wait_for_redis(
    own_redis: OwnRedis, bob: Client, state: str, django_capture_on_commit_callbacks: Any
) -> None:
    own_redis.start()
    bob.get("/jobs/")  # its connections are open when it stops answering
    (own_redis.freeze if state == "frozen" else own_redis.kill)()

    def submit() -> Any:
        with django_capture_on_commit_callbacks(execute=True):
            return bob.post(WAIT, form())

    try:
        assert slowest_s(5, submit) < LIMIT_S
        job = Job.objects.latest("created_at")
        for page in ("/jobs/", "/", WAIT, "/comparisons/", job.get_absolute_url()):
            assert slowest_s(3, lambda page=page: bob.get(page)) < LIMIT_S  # type: ignore[misc]
        assert Job.objects.filter(due_at__isnull=False).count() == 5
        assert "Redis does not answer" in text_of(bob.get(job.get_absolute_url()))
    finally:
        if state == "frozen":
            own_redis.thaw()
