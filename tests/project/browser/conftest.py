"""A headless Chromium in front of a live server."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from poolwise.models import Job
from tests.helpers.services import absent

PASSWORD = "ada-ada-ada"
TIMEOUT_MS = 60_000
SCHEMES: list[tuple[int, Literal["light", "dark"]]] = [(1280, "light"), (400, "dark")]


@pytest.fixture(scope="package")
def chromium(suite_redis: None) -> Iterator[Browser]:
    """The browser, shared by the package: while it is there, no test of this process can run an event loop."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        absent("Chromium", "sudo apt install chromium")
    # Playwright's synchronous interface keeps an event loop in this thread, which Django takes for async code.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def open_page(chromium: Browser, live_server: Any) -> Iterator[Callable[..., Page]]:
    """Open a page of a size and colour scheme; the test fails if the browser's console shows an error."""
    faults: list[str] = []
    contexts = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            faults.append(f"{message.type}: {message.text}")

    def open_page(*, width: int = 1280, scheme: Any = "light") -> Page:
        context = chromium.new_context(
            base_url=live_server.url, viewport={"width": width, "height": 800}, color_scheme=scheme
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", note)
        page.on("pageerror", lambda error: faults.append(str(error)))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not faults


@pytest.fixture
def page(open_page: Callable[..., Page], administrator: Any) -> Page:
    """A page on which the administrator has logged in."""
    page = open_page()
    log_in(page)
    return page


def log_in(page: Page) -> None:
    """Give the browser a session of the administrator; `test_pages.py` has the way through the form."""
    client = Client()
    client.force_login(get_user_model().objects.get(username="ada"))
    cookie = client.cookies[settings.SESSION_COOKIE_NAME]
    page.context.add_cookies(
        [{"name": cookie.key, "value": cookie.value, "domain": "localhost", "path": "/"}]
    )


def schemes(page: Page) -> Iterator[str]:
    """Show the page wide and light, then narrow and dark, without loading it again; it must fit both screens."""
    for width, scheme in SCHEMES:
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)
        # Not at once: charts are drawn anew for it.
        page.wait_for_function(f"document.documentElement.scrollWidth <= {width}")
        yield f"{width}-{scheme}"


@pytest.fixture
def make(transactional_db: None, administrator: Any) -> Callable[..., Job]:
    """Store a job of the administrator, which no worker knows of."""

    def make_job(**fields: Any) -> Job:
        defaults: dict[str, Any] = {"definition": "io.wait", "kind": "io", "params": {"duration_s": 0.25}}
        return Job.objects.create(**(defaults | {"pool": "gevent", "user": administrator} | fields))

    return make_job
