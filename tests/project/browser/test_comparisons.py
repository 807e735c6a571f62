"""Comparisons in a browser: one real comparison from the form to its charts, and the page at every size and theme."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from poolwise.models import Comparison
from tests.helpers import report_sample as sample
from tests.helpers.platform import Platform
from tests.project.browser.conftest import log_in, schemes

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SLOW_MS = 120_000


def drawn(page: Page) -> int:
    """Wait until every chart is drawn; return how many there are."""
    charts = page.locator("[data-chart]")
    for chart in charts.all():
        expect(chart).to_have_attribute("aria-busy", "false", timeout=60_000)  # the script is made once
        expect(chart.locator("svg").first).to_be_visible()
    return charts.count()


@pytest.mark.services
def test_from_the_form_to_the_answer(page: Page, platform: Platform) -> None:
    page.goto("/")
    page.get_by_role("link", name="Comparisons").click()
    page.get_by_role("link", name="New comparison").first.click()
    page.get_by_label("Job", exact=True).select_option("io.wait")
    page.get_by_label(re.compile("Duration")).fill("0.02")
    for box in page.get_by_role("group", name="Pools").get_by_role("checkbox").all():
        box.set_checked(box.get_attribute("value") in ("threads", "gevent"))
    expect(page.get_by_role("radio", name=re.compile("Quick"))).to_be_checked()
    page.get_by_role("button", name="Start comparison").click()

    expect(page.get_by_role("heading", name="Timed wait compared")).to_be_visible()
    expect(page.locator(".tile").first).to_be_visible()
    expect(page.locator("#answer")).to_contain_text(re.compile("threads|gevent"), timeout=SLOW_MS)
    comparison = Comparison.objects.get()
    assert comparison.state == "finished"
    assert comparison.report is not None
    expect(page.locator("#answer")).to_have_text(comparison.report["answer"]["text"])
    assert drawn(page) >= 4


def test_the_pages_draw_their_charts_and_do_not_scroll_sideways(page: Page, administrator: Any) -> None:
    comparison = sample.store(administrator, report=sample.report(sweep=sample.sweep()))
    other = sample.store(administrator)
    for path, charts in {
        "/comparisons/": 0,
        "/comparisons/new/?definition=io.wait": 0,
        f"/comparisons/{comparison.pk}/": 5,
        f"/comparisons/{comparison.pk}/?with={other.pk}": 6,
    }.items():
        page.goto(path)
        assert drawn(page) == charts, path
        for scheme in schemes(page):
            assert drawn(page) == charts, (path, scheme)


def test_a_chart_follows_the_theme_and_its_table_opens(
    open_page: Callable[..., Page], administrator: Any
) -> None:
    comparison = sample.store(administrator)
    page = open_page(width=400, scheme="dark")
    log_in(page)
    page.goto(f"/comparisons/{comparison.pk}/")
    drawn(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    colour = "getComputedStyle(document.querySelector('[data-chart=chart-ratios] svg text')).fill"
    dark = page.evaluate(colour)
    page.emulate_media(color_scheme="light")
    page.wait_for_function(f"before => {colour} !== before", arg=dark)
    page.locator("#ratios").get_by_text("As a table").click()
    expect(page.locator("#ratios").get_by_role("cell", name="16.8×", exact=True)).to_be_visible()
