"""The pages of an operator, as people see them: wide and narrow, light and dark."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from django.utils import timezone
from playwright.sync_api import Page

from poolwise.models import AuditEntry, Job, Pause
from tests.project.browser.conftest import schemes

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
#: Where to save pictures for people to see; nowhere if it is not set.
PICTURES = os.environ.get("PICTURES")


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def test_a_pool_is_paused_purged_and_resumed_by_clicks(
    page: Page, make: Callable[..., Job], redis_client: redis.Redis
) -> None:
    for _ in range(3):
        make()
    page.goto("/admin/poolwise/pool/gevent/change/")
    page.get_by_role("link", name="Pause…").click()
    page.get_by_label("Reason").fill("a leak")
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("Its queued jobs wait: 0 running, 3 queued").first.wait_for()
    page.get_by_role("link", name="Purge…").click()
    page.get_by_label("Reason").fill("submitted twice")
    page.get_by_role("button", name="Purge 3 jobs").click()
    page.get_by_text("3 queued jobs of gevent cancelled.").wait_for()
    page.get_by_role("link", name="Resume…").first.click()
    page.get_by_label("Reason").fill("fixed")
    page.get_by_role("button", name="Resume").click()
    page.get_by_text("The pool gevent is resumed.").wait_for()
    entries = AuditEntry.objects.order_by("id").values_list("action", "username")
    assert list(entries) == [("pause", "ada"), ("purge", "ada"), ("resume", "ada")]


def test_the_pages_of_actions_fit_their_screen(
    page: Page, administrator: Any, make: Callable[..., Job], redis_client: Any
) -> None:
    job = make()
    Pause.objects.create(
        kind="pool", name="gevent", state="draining", reason="a leak in the client", user=administrator
    )
    Pause.objects.create(
        kind="definition", name="io.http_get", state="paused", reason="the partner's server is down"
    )
    for number, action in enumerate(("pause", "drain", "purge", "cancel")):
        AuditEntry.objects.create(
            at=timezone.now(), user=administrator, username="ada", action=action, target="pool gevent",
            reason="because it would not do otherwise", details={"cancelled": number, "by": "admin"},
        )  # fmt: skip
    for name, address in {
        "pool": "/admin/poolwise/pool/gevent/change/",
        "pools": "/admin/poolwise/pool/",
        "purge": "/admin/poolwise/pause/pool/gevent/purge/",
        "choose": "/admin/poolwise/pause/pause-definition/",
        "pauses": "/admin/poolwise/pause/",
        "audit": "/admin/poolwise/auditentry/",
        "token": "/admin/poolwise/apitoken/add/",
        "site-pools": "/pools/",
        "definition": "/definitions/io.http_get/",
        "job": job.get_absolute_url(),
    }.items():
        page.goto(address)
        for scheme in schemes(page):
            picture(page, f"{name}-{scheme}")
