"""What holds for every page."""

import pytest
from django.test import Client

from tests.helpers.posted import WAIT, text_of

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/", WAIT, "/jobs/", "/accounts/login/"])
def test_a_page_needs_no_inline_style_or_script(bob: Client, path: str) -> None:
    response = bob.get(path)
    page = text_of(response)
    assert "style=" not in page
    assert "<script>" not in page
    assert "'unsafe" not in response["Content-Security-Policy"]


@pytest.mark.parametrize(
    "template", ["400.html", "403.html", "404.html", "500.html", "503.html", "403_csrf.html"]
)
def test_an_error_page_renders_with_no_context_at_all(template: str) -> None:
    from django.template.loader import get_template

    assert "Go to the catalogue" in get_template(template).render()
