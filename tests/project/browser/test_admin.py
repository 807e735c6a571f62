"""The admin in a browser, under the content policy: the fixtures fail a test on any error in its console."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone
from playwright.sync_api import Page, expect

from poolwise.models import Job, JobState, PoolSample

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def busy_hour(make: Callable[..., Job]) -> None:
    """A few jobs that ended, and the backlog they left."""
    cache.clear()
    for minute in range(8):
        at = timezone.now() - timedelta(minutes=minute)
        make(state=JobState.SUCCEEDED, published_at=at, started_at=at, finished_at=at, run_s=0.5, cpu_s=0.1,
             broker_wait_s=0.01, worker_wait_s=0.01)  # fmt: skip
        PoolSample.objects.create(
            pool="gevent", at=at, queued=minute, running=1, workers=1, slots=9, memory_bytes=1
        )


def drawn(page: Page) -> Any:
    for chart in page.locator("[data-chart]").all():
        expect(chart).to_have_attribute("aria-busy", "false")
    chart = page.locator("[data-chart]").first
    return chart.locator("svg").first


def test_the_dashboard_draws_its_chart_which_follows_the_theme_and_the_width(page: Page) -> None:
    page.goto("/admin/")
    svg = drawn(page)
    for words in (
        "Backlog",
        "Service time",
        "Throughput",
        "Jobs queued",
        "Median run",
        "Time, UTC",
        "gevent",
    ):
        expect(svg.get_by_text(words, exact=True).first).to_be_visible()

    page.get_by_text("The chart’s figures as a table").click()
    expect(page.get_by_role("cell", name="500 ms").first).to_be_visible()

    colour = "element => getComputedStyle(element.querySelector('text')).fill"
    light = svg.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        f"before => ({colour})(document.querySelector('[data-chart] svg')) !== before", arg=light
    )
    page.set_viewport_size({"width": 400, "height": 800})
    page.wait_for_function("document.querySelector('[data-chart] svg').clientWidth < 400")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_every_list_opens_and_fits_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    for address in ("/admin/poolwise/job/", "/admin/poolwise/pool/", "/admin/poolwise/comparison/"):
        page.goto(address)
        expect(page.get_by_role("heading", level=1).first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, address


def test_jobs_are_chosen_and_run_again(page: Page) -> None:
    page.goto("/admin/poolwise/job/?state=succeeded")
    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option("run_again")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text("8 jobs submitted again.")).to_be_visible()
