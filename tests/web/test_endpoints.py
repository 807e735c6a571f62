"""Every address of the site × every role, against one table. A view without a row fails; so does a row without a view.

The answers of a row are, in this order, for: a stranger (not logged in), nobody (logged in, no role), a viewer, a
submitter, an operator, an administrator (of the role), and staff without a role. All but the first two have staff status.
The job, comparison and result asked for belong to another user.
"""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django_celery_results.models import TaskResult

from poolwise.control import tokens
from poolwise.control.roles import ROLES, make_roles
from poolwise.models import AuditEntry, Comparison, Job, Pause, PinnedDefinition, Pool

pytestmark = pytest.mark.django_db
PEOPLE = ("stranger", "nobody", "viewer", "submitter", "operator", "administrator", "staff")

SIGNED_IN = "302 200 200 200 200 200 200"  # whoever is logged in
SUBMITTERS = "302 403 403 200 200 200 403"  # who may submit
THEIRS = "302 404 200 404 200 200 404"  # what belongs to others: 404 for who may not see it
CHANGE_THEIRS = "302 404 403 404 302 302 404"  # changes what belongs to others
ABSENT = "302 404 404 404 404 404 404"  # needs a report, which this comparison has none of
NOWHERE = "404 404 404 404 404 404 404"  # there is nothing
STAFF = "302 302 200 200 200 200 200"  # the admin's own pages
STAFF_NO_POST = "302 302 405 405 405 405 405"  # the admin's own pages, read only
STAFF_NOTHING = "302 302 404 404 404 404 404"  # the admin, where nothing is
SEEN = "302 302 200 403 200 200 403"  # the admin: who may see
SEEN_ELSEWHERE = "302 302 302 403 302 302 403"  # the admin: who may see, on a page of the site
SEEN_APP = "302 302 200 404 200 200 404"  # the admin: an app of which one may see something
OPERATED = "302 302 403 403 200 200 403"  # the admin: who operates
REFUSED = "302 302 403 403 403 403 403"  # the admin: nobody, rows come and go by the platform alone
TO_LOGIN = "302 302 302 302 302 302 302"  # elsewhere
MOVED = "301 301 301 301 301 301 301"  # elsewhere, for good
LOG_IN = "200 200 302 302 302 302 302"  # the login of the admin
NO = "405 405 405 405 405 405 405"  # this method is not for this address
PEOPLE_PAGES = "302 302 403 403 403 200 403"  # the admin: who manages people
ANYBODY = "200 200 200 200 200 200 200"  # no login needed

API_SIGNED_IN = "401 200 200 200 200 200 200"  # the API: whoever is logged in
API_THEIRS = "401 404 200 404 200 200 404"  # the API: what belongs to others
API_CHANGE_THEIRS = "401 404 403 404 200 200 404"  # the API: changes what belongs to others
API_RUN_THEIRS_AGAIN = "401 403 403 404 201 201 403"  # the API: who may submit, of what they may see
API_SUBMITTED = "401 403 403 201 201 201 403"  # the API: who may submit
API_OPERATED = "401 403 403 403 200 200 403"  # the API: who operates

#: name of the address: answers to GET, and to an empty POST
TABLE = {
    "admin:(?P<url>.*)$": (STAFF_NOTHING, STAFF_NOTHING),
    "admin:<path:object_id>/": (TO_LOGIN, TO_LOGIN),
    "admin:app_list": (SEEN_APP, SEEN_APP),
    "admin:auth_group_add": (PEOPLE_PAGES, PEOPLE_PAGES),
    "admin:auth_group_change": (PEOPLE_PAGES, PEOPLE_PAGES),
    "admin:auth_group_changelist": (PEOPLE_PAGES, PEOPLE_PAGES),
    "admin:auth_group_delete": (PEOPLE_PAGES, PEOPLE_PAGES),
    "admin:auth_group_history": (PEOPLE_PAGES, PEOPLE_PAGES),
    "admin:auth_user_add": (PEOPLE_PAGES, PEOPLE_PAGES),
    "admin:auth_user_change": (PEOPLE_PAGES, PEOPLE_PAGES),
    "admin:auth_user_changelist": (PEOPLE_PAGES, PEOPLE_PAGES),
    "admin:auth_user_delete": (PEOPLE_PAGES, PEOPLE_PAGES),
    "admin:auth_user_history": (PEOPLE_PAGES, PEOPLE_PAGES),
    "admin:auth_user_password_change": (PEOPLE_PAGES, PEOPLE_PAGES),
    "admin:autocomplete": (REFUSED, STAFF_NO_POST),
    "admin:django_celery_results_taskresult_add": (REFUSED, REFUSED),
    "admin:django_celery_results_taskresult_change": (SEEN, REFUSED),
    "admin:django_celery_results_taskresult_changelist": (SEEN, SEEN),
    "admin:django_celery_results_taskresult_delete": (REFUSED, REFUSED),
    "admin:django_celery_results_taskresult_history": (SEEN, SEEN),
    "admin:index": (STAFF, STAFF),
    "admin:poolwise_apitoken_add": (PEOPLE_PAGES, PEOPLE_PAGES),
    "admin:poolwise_apitoken_change": (PEOPLE_PAGES, REFUSED),
    "admin:poolwise_apitoken_changelist": (PEOPLE_PAGES, PEOPLE_PAGES),
    "admin:poolwise_apitoken_delete": (REFUSED, REFUSED),
    "admin:poolwise_apitoken_history": (PEOPLE_PAGES, PEOPLE_PAGES),
    "admin:poolwise_auditentry_add": (REFUSED, REFUSED),
    "admin:poolwise_auditentry_change": (OPERATED, REFUSED),
    "admin:poolwise_auditentry_changelist": (OPERATED, OPERATED),
    "admin:poolwise_auditentry_delete": (REFUSED, REFUSED),
    "admin:poolwise_auditentry_history": (OPERATED, OPERATED),
    "admin:poolwise_comparison_add": (REFUSED, REFUSED),
    "admin:poolwise_comparison_change": (SEEN_ELSEWHERE, REFUSED),
    "admin:poolwise_comparison_changelist": (SEEN, SEEN),
    "admin:poolwise_comparison_delete": (REFUSED, REFUSED),
    "admin:poolwise_comparison_history": (SEEN, SEEN),
    "admin:poolwise_job_add": (REFUSED, REFUSED),
    "admin:poolwise_job_change": (SEEN_ELSEWHERE, REFUSED),
    "admin:poolwise_job_changelist": (SEEN, SEEN),
    "admin:poolwise_job_delete": (REFUSED, REFUSED),
    "admin:poolwise_job_history": (SEEN, SEEN),
    "admin:poolwise_pinneddefinition_add": (OPERATED, OPERATED),
    "admin:poolwise_pinneddefinition_change": (SEEN, OPERATED),
    "admin:poolwise_pinneddefinition_changelist": (SEEN, SEEN),
    "admin:poolwise_pinneddefinition_delete": (OPERATED, OPERATED),
    "admin:poolwise_pinneddefinition_history": (SEEN, SEEN),
    "admin:poolwise_pool_add": (REFUSED, REFUSED),
    "admin:poolwise_pool_change": (SEEN, REFUSED),
    "admin:poolwise_pool_changelist": (SEEN, SEEN),
    "admin:poolwise_pool_delete": (REFUSED, REFUSED),
    "admin:poolwise_pool_history": (SEEN, SEEN),
    "admin:poolwise_pause_action": (OPERATED, OPERATED),
    "admin:poolwise_pause_add": (REFUSED, REFUSED),
    "admin:poolwise_pause_change": (SEEN, REFUSED),
    "admin:poolwise_pause_changelist": (SEEN, SEEN),
    "admin:poolwise_pause_choose": (OPERATED, OPERATED),
    "admin:poolwise_pause_delete": (REFUSED, REFUSED),
    "admin:poolwise_pause_history": (SEEN, SEEN),
    "admin:poolwise_vega": (NOWHERE, NOWHERE),
    "admin:jsi18n": (STAFF, STAFF_NO_POST),
    "admin:login": (LOG_IN, ANYBODY),
    "admin:logout": (STAFF_NO_POST, TO_LOGIN),
    "admin:password_change": (STAFF, STAFF),
    "admin:password_change_done": (STAFF, STAFF_NO_POST),
    "admin:view_on_site": (STAFF_NOTHING, STAFF_NOTHING),
    "api:api-root": (NOWHERE, NOWHERE),
    "api:cancel": (NO, API_CHANGE_THEIRS),
    "api:cancel_comparison": (NO, API_CHANGE_THEIRS),
    "api:drain_pool": (NO, API_OPERATED),
    "api:get_comparison": (API_THEIRS, NO),
    "api:get_definition": (API_SIGNED_IN, NO),
    "api:get_job": (API_THEIRS, NO),
    "api:get_pool_": (API_SIGNED_IN, NO),
    "api:get_queue": (API_SIGNED_IN, NO),
    "api:get_result": (API_THEIRS, NO),
    "api:list_comparisons": (API_SIGNED_IN, API_SUBMITTED),
    "api:list_definitions": (API_SIGNED_IN, NO),
    "api:list_jobs": (API_SIGNED_IN, API_SUBMITTED),
    "api:list_pools": (API_SIGNED_IN, NO),
    "api:openapi-json": (ANYBODY, ANYBODY),
    "api:pause_definition": (NO, API_OPERATED),
    "api:pause_pool": (NO, API_OPERATED),
    "api:plan": (API_SIGNED_IN, API_SUBMITTED),
    "api:purge_pool": (NO, API_OPERATED),
    "api:resume_definition": (NO, API_OPERATED),
    "api:resume_pool": (NO, API_OPERATED),
    "api:run_again": (NO, API_RUN_THEIRS_AGAIN),
    "api:submit": (API_SIGNED_IN, API_SUBMITTED),
    "api:submit_many": (NO, API_SUBMITTED),
    "poolwise:cancel": (NO, CHANGE_THEIRS),
    "poolwise:cancel-comparison": (NO, CHANGE_THEIRS),
    "poolwise:catalogue": (SIGNED_IN, NO),
    "poolwise:comparison": (THEIRS, NO),
    "poolwise:comparison-bundle": (ABSENT, NO),
    "poolwise:comparison-chart": (ABSENT, NO),
    "poolwise:comparison-report": (ABSENT, NO),
    "poolwise:comparisons": (SIGNED_IN, NO),
    "poolwise:definition": (SIGNED_IN, SUBMITTERS),
    "poolwise:disturbances": (SIGNED_IN, NO),
    "poolwise:estimate": (NO, ABSENT),
    "poolwise:favicon": (MOVED, NO),
    "poolwise:healthz": (ANYBODY, NO),
    "poolwise:job": (THEIRS, NO),
    "poolwise:jobs": (SIGNED_IN, NO),
    "poolwise:new-comparison": (SIGNED_IN, SUBMITTERS),
    "poolwise:pools": (SIGNED_IN, NO),
    "poolwise:result": (THEIRS, NO),
    "poolwise:run-again": (NO, CHANGE_THEIRS),
    "login": (ANYBODY, ANYBODY),
    "logout": (NO, TO_LOGIN),
    "nowhere": (NOWHERE, NOWHERE),
    "unknown-endpoint": (NOWHERE, NOWHERE),
}


def _walk(patterns: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[str, URLPattern]]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _walk(
                pattern.url_patterns, (*names, *([pattern.namespace] if pattern.namespace else []))
            )
        else:
            yield ":".join((*names, pattern.name or str(pattern.pattern))), pattern


ADDRESSES = dict(_walk(get_resolver().url_patterns))


@pytest.fixture
def things(administrator: Any) -> dict[str, Any]:
    """Another user's job with its result, and a comparison."""
    job = Job.objects.create(
        definition="io.wait",
        kind="io",
        params={"duration_s": 1},
        pool="threads",
        user=administrator,
        state="succeeded",
    )
    TaskResult.objects.create(task_id=str(job.pk), status="SUCCESS", result="1", task_name="io.wait")
    comparison = Comparison.objects.create(
        definition="io.wait", params={}, copies=1, rounds=1, user=administrator, state="finished"
    )
    PinnedDefinition.objects.create(definition="io.wait", pool="gevent")
    pause = Pause.objects.create(kind="pool", name="threads", state="paused")
    entry = AuditEntry.objects.create(action="pause", target="pool threads")
    token, _ = tokens.create(administrator, "laptop")
    return {"job": job, "comparison": comparison, "pause": pause, "auditentry": entry, "apitoken": token}


def _address(name: str, pattern: URLPattern, things: dict[str, Any]) -> str:
    """Return an address that the pattern matches, of another user's things."""
    known = {
        "poolwise:definition": ["io.wait"],
        "poolwise:comparison-chart": [things["comparison"].pk, "makespan", "svg"],
        "admin:app_list": ["poolwise"],
        "admin:view_on_site": [1, 1],
        "admin:poolwise_vega": ["0"],
        "admin:auth_user_password_change": [things["job"].user_id],
        "admin:poolwise_pause_action": ["pool", "gevent", "pause"],
        "unknown-endpoint": ["nothing/here"],
        **{f"api:{action}_definition": ["io.wait"] for action in ("get", "pause", "resume")},
        **{f"api:{action}_pool": ["gevent"] for action in ("pause", "drain", "resume", "purge")},
        **{f"api:get_{what}": ["gevent"] for what in ("pool_", "queue")},
    }
    if name == "admin:(?P<url>.*)$":
        return "/admin/nothing-here/"
    if name == "nowhere":
        return "/admin/poolwise/pool/%00/change/"
    if name == "admin:<path:object_id>/":
        return "/admin/poolwise/job/1/"
    if name not in known and pattern.pattern.converters:
        known[name] = [_key(name, things)]
    return reverse(name, args=known.get(name, []))


def _key(name: str, things: dict[str, Any]) -> Any:
    keys = {
        "pinneddefinition": "io.wait", "pool": Pool.objects.first() and "gevent",
        "taskresult": TaskResult.objects.get().pk, "user": things["job"].user_id, "group": Group.objects.first().pk,
        **{word: things[word].pk for word in ("comparison", "pause", "auditentry", "apitoken")},
    }  # fmt: skip
    model = name.replace("poolwise", "")
    return next((key for word, key in keys.items() if word in model), things["job"].pk)


@pytest.fixture
def people(db: None) -> dict[str, Any]:
    """One person a role."""
    people: dict[str, Any] = {"stranger": None}
    for name in PEOPLE[1:]:
        people[name] = get_user_model().objects.create_user(name, is_staff=name != "nobody")
        if name in ROLES:
            people[name].groups.add(Group.objects.get(name=name))
    return people


def _browser(person: Any) -> Client:
    browser = Client(raise_request_exception=False)
    if person is not None:
        browser.force_login(person)
    return browser


def _answers(browsers: list[Client], method: str, address: str, **options: Any) -> str:
    return " ".join(str(getattr(browser, method)(address, **options).status_code) for browser in browsers)


def _posted(name: str) -> dict[str, Any]:
    """Return what goes with a POST: nothing to a page, to the API what it takes."""
    if not name.startswith("api:"):
        return {}
    asked = {
        "definition": "io.wait", "pool": "gevent", "pools": ["gevent"], "params": {}, "reason": "night", "confirm": True,
        "rounds": 1, "copies": 1, "jobs": [{"definition": "io.wait"}],
    }  # fmt: skip
    wanted = {"api:submit": ("definition", "pool", "params"), "api:purge_pool": ("reason", "confirm")}
    wanted["api:submit_many"] = ("jobs",)
    wanted |= {"api:plan": ("definition", "pools", "params", "rounds", "copies")}
    wanted |= {"api:list_jobs": wanted["api:submit"], "api:list_comparisons": wanted["api:plan"]}
    keys = wanted.get(
        name, () if name in ("api:cancel", "api:run_again", "api:cancel_comparison") else ("reason",)
    )
    return {"data": {key: asked[key] for key in keys}, "content_type": "application/json"}


def test_every_address_has_a_row_and_every_row_an_address() -> None:
    assert ADDRESSES.keys() == TABLE.keys()


@pytest.mark.slow
def test_every_address_answers_each_role_as_the_table_says(
    things: dict[str, Any], people: dict[str, Any], sent: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of a thousand refusals each would be written down with its traceback.
    monkeypatch.setattr(logging.getLogger("django.request"), "disabled", True)

    def log_in() -> list[Client]:
        return [_browser(people[name]) for name in PEOPLE]

    rows, browsers = {}, log_in()
    for name, pattern in ADDRESSES.items():
        address, before = _address(name, pattern, things), _stored()
        answers = _answers(browsers, "get", address)
        assert _stored() == before, f"GET {address} changed something"
        rows[name] = (answers, _answers(browsers, "post", address, **_posted(name)))
        if "login" in name or "logout" in name:  # whoever has logged out is in again for the next address
            browsers = log_in()
    assert {name: row for name, row in rows.items() if row != TABLE[name]} == {}


def _stored() -> Any:
    models = (Job, Comparison, PinnedDefinition, Group, get_user_model())
    return [
        list(model.objects.order_by("pk").values_list("pk", *_COLUMNS.get(model, ()))) for model in models
    ]


_COLUMNS: dict[Any, tuple[str, ...]] = {Job: ("state", "cancel_requested_at"), Comparison: ("state",)}


@pytest.mark.slow
def test_no_address_takes_a_post_without_the_token_against_forgery(
    things: dict[str, Any], administrator: Any
) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(administrator)
    answers = {
        name: browser.post(_address(name, pattern, things), **_posted(name)).status_code
        for name, pattern in ADDRESSES.items()
    }
    # Django asks for the token first, the API after it has looked whether an address takes a POST at all.
    nothing = {name for name, (_, posted) in TABLE.items() if name.startswith("api:") and posted == NO}
    refused = {name for name, status in answers.items() if status == 403}
    assert answers.keys() - refused == nothing


def test_the_roles_are_groups_with_these_permissions_and_no_others() -> None:
    for name, wanted in ROLES.items():
        permissions = Group.objects.get(name=name).permissions.values_list(
            "content_type__app_label", "codename"
        )
        assert {".".join(pair) for pair in permissions} == set(wanted), name
    assert set(ROLES["viewer"]) < set(ROLES["operator"]) < set(ROLES["administrator"])
    assert set(ROLES["submitter"]) < set(ROLES["operator"])


def test_a_changed_role_is_set_anew_and_a_group_of_ones_own_is_left_alone() -> None:
    own = Group.objects.create(name="night shift")
    own.permissions.set(Group.objects.get(name="operator").permissions.all())
    Group.objects.get(name="viewer").permissions.clear()
    Group.objects.get(name="submitter").delete()
    make_roles()
    assert Group.objects.get(name="viewer").permissions.count() == len(ROLES["viewer"])
    assert Group.objects.get(name="submitter").permissions.count() == 1
    assert own.permissions.count() == len(ROLES["operator"])


def test_who_may_not_submit_sees_no_button_that_would(people: dict[str, Any], things: dict[str, Any]) -> None:
    viewer = _browser(people["viewer"])
    form = viewer.get("/definitions/io.wait/").content.decode()
    assert "disabled>Submit" in form
    assert "Submitting needs the role submitter" in form
    page = viewer.get(things["job"].get_absolute_url()).content.decode()
    assert "again-form" not in page
    assert "cancel-form" not in page
