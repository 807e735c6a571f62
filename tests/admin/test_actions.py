"""The admin's pages of acts, the audit log and the tokens: who may use them and what they say."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import redis
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

from poolwise.control import tokens
from poolwise.models import ApiToken, AuditEntry, Job, JobState, Pause, PinnedDefinition

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _redis(redis_client: redis.Redis) -> None:
    """Redis is there, and empty."""


@pytest.fixture
def ada(client: Client, administrator: Any) -> Client:
    client.force_login(administrator)
    return client


@pytest.fixture
def queued(user: Any) -> Callable[[int], None]:
    def make(count: int) -> None:
        Job.objects.bulk_create(
            [Job(definition="io.wait", kind="io", pool="gevent", user=user) for _ in range(count)]
        )

    return make


def action(kind: str, name: str, what: str) -> str:
    return reverse("admin:poolwise_pause_action", args=[kind, name, what])


def text_of(response: Any) -> str:
    return " ".join(response.content.decode().split())


def test_a_pool_is_paused_and_every_page_says_so_until_it_is_resumed(ada: Client, user: Any) -> None:
    job = Job.objects.create(definition="io.wait", kind="io", pool="gevent", user=user)
    page = text_of(ada.get("/admin/poolwise/pool/gevent/change/"))
    assert "Pause…" in page
    assert "Resume…" not in page
    answer = ada.post(action("pool", "gevent", "pause"), {"reason": "a leak"}, follow=True)
    assert "The pool gevent is paused: within 2 s no worker starts a job of it" in text_of(answer)
    for address in ("/admin/poolwise/pool/gevent/change/", "/admin/", "/admin/poolwise/pool/"):
        assert "The pool gevent is paused" in text_of(ada.get(address)), address
    assert "The pool gevent is paused: its jobs stay queued" in text_of(ada.get(job.get_absolute_url()))
    assert "Paused" in text_of(ada.get("/pools/"))
    assert "Paused" in text_of(ada.get("/definitions/io.wait/"))
    ada.post(action("pool", "gevent", "resume"), {"reason": "mended"})
    assert "is paused" not in text_of(ada.get("/admin/poolwise/pool/gevent/change/"))


def test_a_definition_is_paused_from_its_page_or_chosen_in_the_admin(ada: Client) -> None:
    assert action("definition", "io.wait", "pause") in text_of(ada.get("/definitions/io.wait/"))
    data = {"definition": "io.wait", "reason": "the partner asks"}
    ada.post(reverse("admin:poolwise_pause_choose"), data)
    assert Pause.objects.get().reason == "the partner asks"
    page = text_of(ada.get("/definitions/io.wait/"))
    assert "This definition is paused." in page
    assert action("definition", "io.wait", "resume") in page
    assert "io.wait" in text_of(ada.get("/admin/poolwise/pause/"))


@pytest.mark.parametrize("what", ["pause", "drain", "purge", "resume"])
def test_an_action_asks_for_the_reason_and_does_nothing_without(
    ada: Client, queued: Callable[[int], None], what: str
) -> None:
    queued(2)
    assert ada.get(action("pool", "gevent", what)).status_code == 200
    answer = ada.post(action("pool", "gevent", what), {"reason": "  "})
    assert "Give a reason for the audit log." in text_of(answer)
    assert not AuditEntry.objects.exists()
    assert not Pause.objects.exists()
    assert Job.objects.queued().count() == 2


def test_a_purge_shows_the_count_first_and_then_cancels(ada: Client, queued: Callable[[int], None]) -> None:
    queued(1_203)
    assert "1,203 queued jobs of gevent will be cancelled" in text_of(
        ada.get(action("pool", "gevent", "purge"))
    )
    answer = ada.post(action("pool", "gevent", "purge"), {"reason": "twice"}, follow=True)
    assert "1,203 queued jobs of gevent cancelled." in text_of(answer)
    assert set(Job.objects.values_list("state", flat=True)) == {JobState.CANCELLED}
    assert AuditEntry.objects.get().details["cancelled"] == 1_203


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (("pool", "nowhere", "pause"), 404),
        (("definition", "no.no", "pause"), 404),
        (("definition", "io.wait", "purge"), 404),
        (("pool", "gevent", "explode"), 404),
        (("planet", "earth", "pause"), 404),
    ],
)
def test_an_action_on_what_is_not_there_is_not_found(ada: Client, path: Any, status: int) -> None:
    assert ada.post(action(*path), {"reason": "x"}).status_code == status
    assert not Pause.objects.exists()


def test_actions_are_for_who_has_the_permission(client: Client, user: Any) -> None:
    user.is_staff = True
    user.save()
    client.force_login(user)
    for what in ("pause", "purge"):
        assert client.post(action("pool", "gevent", what), {"reason": "x"}).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="operate_pool"))
    assert client.post(action("pool", "gevent", "pause"), {"reason": "x"}).status_code == 302
    assert client.post(action("pool", "gevent", "purge"), {"reason": "x"}).status_code == 403


def test_nobody_changes_or_deletes_audit_entries(ada: Client) -> None:
    entry = AuditEntry.objects.create(
        action="pause", target="pool gevent", username="ada", reason="<b>why</b>"
    )
    AuditEntry.objects.create(action="purge", target="pool threads", username="ada")
    listed = text_of(ada.get("/admin/poolwise/auditentry/?action=pause"))
    assert "&lt;b&gt;why&lt;/b&gt;" in listed
    assert "pool threads" not in listed
    assert ada.get("/admin/poolwise/auditentry/add/").status_code == 403
    assert ada.post(f"/admin/poolwise/auditentry/{entry.pk}/delete/", {"post": "yes"}).status_code == 403
    ada.post(f"/admin/poolwise/auditentry/{entry.pk}/change/", {"reason": "other"})
    ada.post(
        "/admin/poolwise/auditentry/",
        {"action": "delete_selected", "_selected_action": [entry.pk], "post": "yes"},
    )
    entry.refresh_from_db()
    assert entry.reason == "<b>why</b>"


def test_pins_are_written_down(ada: Client) -> None:
    data = {"definition": "io.wait", "pool": "threads", "reason": "its library blocks"}
    ada.post("/admin/poolwise/pinneddefinition/add/", data)
    ada.post("/admin/poolwise/pinneddefinition/io.wait/delete/", {"post": "yes"})
    assert not PinnedDefinition.objects.exists()
    entries = AuditEntry.objects.order_by("id")
    assert [(e.action, e.target, e.reason, e.details) for e in entries] == [
        ("pin", "definition io.wait", "its library blocks", {"pool": "threads"}),
        ("unpin", "definition io.wait", "its library blocks", {"pool": "threads"}),
    ]


def test_a_token_is_shown_once_and_revoked(ada: Client, user: Any) -> None:
    answer = text_of(
        ada.post("/admin/poolwise/apitoken/add/", {"user": user.pk, "name": "nightly"}, follow=True)
    )
    [text] = re.findall(r"pw_[\w-]{43}", answer)
    assert tokens.user_of(text) == user
    assert "pw_" not in text_of(ada.get("/admin/poolwise/apitoken/"))
    token = ApiToken.objects.get()
    ada.post("/admin/poolwise/apitoken/", {"action": "revoke", "_selected_action": [token.pk]})
    assert tokens.user_of(text) is None
    assert set(AuditEntry.objects.values_list("action", "username")) == {
        ("create token", "ada"),
        ("revoke token", "ada"),
    }


@pytest.mark.parametrize(("role", "may_revoke"), [("administrator", True), (None, False)])
def test_the_role_administrator_revokes_tokens_and_who_may_only_see_them_does_not(
    client: Client, user: Any, role: str | None, may_revoke: bool
) -> None:
    person = get_user_model().objects.create_user("eve", is_staff=True)
    if role:
        person.groups.add(Group.objects.get(name=role))
    person.user_permissions.add(Permission.objects.get(codename="view_apitoken"))
    client.force_login(person)
    token, text = tokens.create(user, "nightly")
    assert ('value="revoke"' in text_of(client.get("/admin/poolwise/apitoken/"))) == may_revoke
    client.post("/admin/poolwise/apitoken/", {"action": "revoke", "_selected_action": [token.pk]})
    assert (tokens.user_of(text) is None) == may_revoke
