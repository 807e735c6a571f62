"""Who may see and do what."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from poolwise.models import AuditEntry, Job
from tests.helpers.posted import HTMX, WAIT, text_of

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/", WAIT, "/jobs/", "/pools/", f"/jobs/{UUID(int=7)}/"])
def test_a_page_sends_a_stranger_to_the_login(client: Client, db: None, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 302
    assert response["Location"] == f"/accounts/login/?next={path}"


def test_a_live_part_sends_the_whole_page_to_the_login(client: Client, db: None) -> None:
    assert client.get("/jobs/", headers=HTMX)["HX-Redirect"] == "/accounts/login/"


def test_healthz_needs_no_login(client: Client) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"ok": True})


@pytest.mark.parametrize("page", ["job", "result", "run-again", "cancel"])
def test_anothers_job_is_not_found(
    bob: Client, make: Callable[..., Job], administrator: Any, page: str
) -> None:
    job = make(user=administrator)
    address = reverse(f"poolwise:{page}", args=[job.pk])
    response = bob.post(address) if page in ("run-again", "cancel") else bob.get(address)
    assert response.status_code == 404
    assert Job.objects.get().state == "queued"


def test_who_may_view_all_jobs_sees_anothers_but_cannot_cancel_it(
    bob: Client, make: Callable[..., Job], user: Any, administrator: Any
) -> None:
    user.user_permissions.add(Permission.objects.get(codename="view_job"))
    job = make(user=administrator)
    assert bob.get(job.get_absolute_url()).status_code == 200
    assert bob.post(reverse("poolwise:cancel", args=[job.pk])).status_code == 403
    assert str(job.pk) not in text_of(bob.get("/jobs/"))
    assert str(job.pk) in text_of(bob.get("/jobs/?owner=all"))


def test_everybodys_jobs_are_for_nobody_without_the_permission(
    bob: Client, make: Callable[..., Job], administrator: Any
) -> None:
    job = make(user=administrator)
    assert str(job.pk) not in text_of(bob.get("/jobs/?owner=all"))


def test_an_action_is_post_only_and_guarded_against_forgery(make: Callable[..., Job], user: Any) -> None:
    job = make()
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    for page in ("run-again", "cancel"):
        address = reverse(f"poolwise:{page}", args=[job.pk])
        assert browser.get(address).status_code == 405
        response = browser.post(address)
        assert response.status_code == 403
        assert "The form has expired" in text_of(response)


def test_cancelling_anothers_job_on_its_page_asks_why_and_is_written_down(
    client: Client, make: Callable[..., Job], administrator: Any
) -> None:
    client.force_login(administrator)
    job = make()
    assert "Reason, for the audit log" in text_of(client.get(job.get_absolute_url()))
    client.post(reverse("poolwise:cancel", args=[job.pk]), {"reason": "runs away"})
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.target, entry.reason) == ("cancel", f"job {job.pk}", "runs away")
    own = make(user=administrator)
    assert "for the audit log" not in text_of(client.get(own.get_absolute_url()))
    client.post(reverse("poolwise:cancel", args=[own.pk]))
    assert AuditEntry.objects.count() == 1
