"""The Content-Security-Policy in a real browser: no page of the site or the admin breaks it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from playwright.sync_api import Browser, Page

from poolwise.models import Comparison, Job

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
_NOTE = (
    "window.broken = []; document.addEventListener('securitypolicyviolation',"
    " event => window.broken.push(event.violatedDirective + ' ' + event.blockedURI))"
)


def test_no_page_breaks_the_content_security_policy(
    page: Page, make: Callable[..., Job], administrator: Any
) -> None:
    job = make(state="succeeded", run_s=0.1)
    comparison = Comparison.objects.create(
        definition="io.wait", params={}, copies=1, rounds=1, user=administrator, state="finished"
    )
    group = Group.objects.get(name="operator").pk
    page.add_init_script(_NOTE)
    for path in (
        *("/", "/definitions/io.wait/", "/jobs/", job.get_absolute_url(), "/pools/", "/comparisons/"),
        *("/comparisons/new/?definition=io.wait", f"/comparisons/{comparison.pk}/", "/accounts/login/"),
        *(
            "/admin/",
            "/admin/poolwise/",
            "/admin/poolwise/job/",
            "/admin/poolwise/pool/",
        ),
        *(
            "/admin/poolwise/pool/gevent/change/",
            "/admin/poolwise/pinneddefinition/add/",
            "/admin/poolwise/comparison/",
        ),
        *("/admin/django_celery_results/taskresult/", "/admin/auth/user/", "/admin/auth/user/add/"),
        *(f"/admin/auth/user/{administrator.pk}/change/", f"/admin/auth/group/{group}/change/"),
        *("/admin/password_change/", f"/admin/auth/user/{administrator.pk}/password/"),
    ):
        page.goto(path)
        page.wait_for_load_state("load")
        assert page.evaluate("window.broken") == [], path


def test_a_page_that_broke_it_would_be_noticed(chromium: Browser, live_server: Any) -> None:
    context = chromium.new_context(base_url=live_server.url)
    page = context.new_page()
    page.add_init_script(_NOTE)
    page.goto("/accounts/login/")
    page.evaluate(
        "document.body.appendChild(document.createElement('p')).setAttribute('style', 'color: red')"
    )
    page.wait_for_function("window.broken.length === 1")
    context.close()
