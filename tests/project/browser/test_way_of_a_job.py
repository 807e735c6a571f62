"""A person's way through the platform: submit, watch, read, run again, cancel, open the admin."""

import re

import pytest
from playwright.sync_api import Page, expect

from poolwise.models import Job
from tests.helpers.platform import Platform

pytestmark = [pytest.mark.browser, pytest.mark.services]
SLOW_MS = 30_000


def submit(page: Page, definition: str, *, pools: list[str], copies: int = 1, **fields: str) -> None:
    """Fill the form of a definition in, and press Submit."""
    page.goto(f"/definitions/{definition}/")
    for label, value in fields.items():
        page.get_by_label(re.compile(label.replace("_", " "), re.I)).fill(value)
    for box in page.get_by_role("group", name="Pools").get_by_role("checkbox").all():
        box.uncheck()
    for pool in pools:
        page.get_by_role("checkbox", name=re.compile(rf"^\s*{pool}")).check()
    page.get_by_label("Copies per pool").fill(str(copies))
    page.get_by_role("button", name="Submit").click()


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent", "asyncio"])
def test_from_the_catalogue_to_the_result_and_the_admin(page: Page, platform: Platform, pool: str) -> None:
    page.goto("/")
    page.get_by_label("Search definitions").fill("timed wait")
    expect(page.get_by_role("link", name="HTTP GET")).to_have_count(0)
    page.get_by_role("link", name="Timed wait").click()
    expect(page.get_by_role("group", name="Pools").get_by_text("up")).to_have_count(4)
    submit(page, "io.wait", pools=[pool], duration="0.5")
    expect(page.get_by_text("was submitted")).to_be_visible()
    page.evaluate("window.untouched = true")

    expect(page.locator(".pill.big")).to_have_text("Succeeded", timeout=SLOW_MS)
    assert page.evaluate("window.untouched"), "the page was reloaded"
    expect(page.get_by_label("Result as JSON")).to_have_text("0.5")
    expect(page.get_by_role("img", name=re.compile("Broker wait .* Off CPU"))).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    expect(page).to_have_title(re.compile("succeeded"))

    page.goto("/admin/poolwise/job/")
    expect(page.locator("#result_list")).to_contain_text("io.wait")
    expect(page.locator("#result_list")).to_contain_text(pool)


def test_many_copies_show_their_progress_without_a_reload(page: Page, platform: Platform) -> None:
    submit(page, "io.wait", pools=["threads", "gevent"], copies=20, duration="1")
    page.evaluate("window.untouched = true")
    expect(page.get_by_text(re.compile(r"^One submission: \d+ of 40 jobs ended"))).to_be_visible()
    expect(page.get_by_text("40 of 40 jobs ended")).to_be_visible(timeout=SLOW_MS)
    assert page.evaluate("window.untouched"), "the page was reloaded"
    assert Job.objects.filter(state="succeeded").count() == 40
    expect(page.get_by_role("link", name=re.compile(r"Succeeded\s+40"))).to_be_visible()


def test_a_submission_to_two_pools_leads_to_their_comparison(page: Page, platform: Platform) -> None:
    submit(page, "io.wait", pools=["threads", "gevent"], duration="0.3")
    expect(page.get_by_role("rowheader", name="threads")).to_be_visible()
    expect(page.get_by_text("2 of 2 jobs ended")).to_be_visible(timeout=SLOW_MS)
    expect(page.get_by_text("not finished")).to_have_count(0)
    page.get_by_role("link", name="Compare properly").click()
    expect(page.get_by_label("Duration")).to_have_value("0.3")
    chosen = page.get_by_role("group", name="Pools").get_by_role("checkbox", checked=True)
    expect(chosen).to_have_count(2)


def test_a_failure_shows_its_traceback_and_runs_again_with_changes(page: Page, platform: Platform) -> None:
    submit(page, "endings.raise_error", pools=["threads"], message="it broke <b>here</b>")
    expect(page.locator(".pill.big")).to_have_text("Failed", timeout=SLOW_MS)
    expect(page.locator(".error-line")).to_contain_text("it broke <b>here</b>")
    expect(page.get_by_label("Traceback")).to_contain_text("raise")
    page.get_by_role("link", name="Run again with changes").click()
    expect(page.get_by_label("Message")).to_have_value("it broke <b>here</b>")
    page.get_by_label("Message").fill("and again")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator(".error-line")).to_contain_text("and again", timeout=SLOW_MS)
    expect(page.get_by_role("link", name="failed job on threads")).to_be_visible()


@pytest.mark.parametrize("pool", ["threads", "asyncio"])
def test_a_running_job_is_cancelled(page: Page, platform: Platform, pool: str) -> None:
    submit(page, "endings.slow", pools=[pool], duration="60")
    expect(page.locator(".pill.big")).to_have_text("Running", timeout=SLOW_MS)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("was asked to stop the job")).to_be_visible()
    expect(page.locator(".pill.big")).to_have_text("Cancelled", timeout=SLOW_MS)


def test_log_lines_and_earlier_attempts_are_shown(page: Page, platform: Platform) -> None:
    submit(page, "endings.log_lines", pools=["gevent"])
    expect(page.locator(".pill.big")).to_have_text("Succeeded", timeout=SLOW_MS)
    assert page.locator(".log li").count() > 1
    submit(page, "endings.flaky", pools=["asyncio"])
    expect(page.locator(".pill.big")).to_have_text("Succeeded", timeout=SLOW_MS)
    expect(page.get_by_role("heading", name="Earlier attempts")).to_be_visible()
