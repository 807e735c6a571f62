"""Every page in the browser: no error in its console, no sideways scrolling, and usable by keyboard."""

from collections.abc import Callable
from typing import Any

import pytest
from django_celery_results.models import TaskResult
from playwright.sync_api import Page, expect

from poolwise.models import Job, JobLog
from tests.project.browser.conftest import PASSWORD, schemes

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PATHS = ["/", "/?q=nothing-fits", "/definitions/io.http_get/", "/jobs/", "/jobs/?q=nothing-fits", "/pools/"]


@pytest.fixture
def failed(make: Callable[..., Job]) -> Job:
    """A failed job with everything that its page can show."""
    job = make(
        state="failed", broker_wait_s=0.01, worker_wait_s=0.2, run_s=0.5, cpu_s=0.1, off_cpu_s=0.4, record_lag_s=0.1,
        error_type="a.very.long.module.path.VeryLongErrorName" * 3, error="x" * 300, attempt=2, worker="w" * 90,
        params={"text": "y" * 400}, history=[{"attempt": 1, "ending": "failed", "error": "z" * 200, "run_s": 1.0}],
    )  # fmt: skip
    TaskResult.objects.create(
        task_id=str(job.pk), traceback="File " + "t" * 300, result="{}", status="FAILURE"
    )
    JobLog.objects.create(job=job, attempt=2, lines=[[0.1, "info", "l" * 300]])
    return job


def test_no_page_scrolls_sideways_or_fills_the_console(page: Page, failed: Job) -> None:
    for path in [*PATHS, failed.get_absolute_url()]:
        page.goto(path)
        page.wait_for_load_state("networkidle")
        assert len(list(schemes(page))) == 2, path


def test_a_person_logs_in_and_out(open_page: Callable[..., Page], administrator: Any) -> None:
    page = open_page()
    page.goto("/jobs/")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Jobs").first.wait_for()
    assert page.url.endswith("/jobs/")
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Username").wait_for()


def test_the_list_follows_the_database_and_pauses(page: Page, make: Callable[..., Job]) -> None:
    job = make()
    page.goto("/jobs/")
    row = page.locator("table.jobs tbody tr")
    expect(row.locator(".pill")).to_have_text("Queued")
    Job.objects.filter(pk=job.pk).update(state="running")
    expect(row.locator(".pill")).to_have_text("Running", timeout=5_000)
    live = page.get_by_role("button", name="Live")
    live.click()
    expect(page.get_by_role("button", name="Paused")).to_have_attribute("aria-pressed", "false")
    Job.objects.filter(pk=job.pk).update(state="succeeded")
    page.wait_for_timeout(2_500)
    expect(row.locator(".pill")).to_have_text("Running")
    page.get_by_role("button", name="Paused").click()
    expect(row.locator(".pill")).to_have_text("Succeeded", timeout=3_000)
    expect(page.get_by_role("status").last).to_have_text("0 jobs live, 1 ended")


def test_filters_work_without_a_reload_and_stay_in_the_address(page: Page, make: Callable[..., Job]) -> None:
    make(), make(pool="threads", params={"duration_s": 7})
    page.goto("/jobs/")
    page.evaluate("window.untouched = true")
    page.get_by_label("Pool").select_option("threads")
    expect(page.locator("table.jobs tbody tr")).to_have_count(1)
    page.get_by_label("Search").fill("nothing")
    expect(page.get_by_text("No job matches these filters")).to_be_visible()
    assert page.url.endswith("/jobs/?q=nothing&pool=threads")
    assert page.evaluate("window.untouched")


def test_a_job_is_submitted_by_keyboard_alone(page: Page, monkeypatch: Any) -> None:
    monkeypatch.setattr("poolwise.lifecycle.submission.publish_from_web", lambda jobs, **_: 0)
    page.goto("/definitions/io.wait/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "id_param-duration_s":
            break
    page.keyboard.press("Control+A")
    page.keyboard.type("0.75")
    page.keyboard.press("Enter")
    page.get_by_text("was submitted").wait_for()
    assert Job.objects.get().params == {"duration_s": 0.75}


def test_an_error_is_announced_and_leads_to_its_field(page: Page) -> None:
    page.goto("/definitions/io.wait/")
    page.get_by_label("Duration").fill("601")
    page.get_by_role("button", name="Submit").click()
    summary = page.get_by_role("alert").filter(has_text="Nothing was submitted")
    expect(summary).to_be_focused()
    summary.get_by_role("link", name="Duration").click()
    expect(page.get_by_label("Duration")).to_be_focused()
    assert not Job.objects.exists()
