"""The report of a comparison as one HTML file, from its page."""

from typing import Any

import pytest
from django.test import Client

from poolwise.charts import export
from poolwise.models import Comparison
from tests.helpers import handout_sample
from tests.helpers import report_sample as sample
from tests.helpers.posted import text_of

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "draw_all", lambda specs: dict.fromkeys(specs, "<svg></svg>"))


def address(comparison: Comparison, more: str = "report.html") -> str:
    return f"/comparisons/{comparison.pk}/{more}"


def test_the_page_offers_the_file(bob: Client, user: Any) -> None:
    comparison = sample.store(user, report=handout_sample.report())
    page = text_of(bob.get(address(comparison, "")))
    assert f'href="{address(comparison)}"' in page
    assert "Report (HTML)" in page


def test_the_file_is_a_download_named_after_the_job(bob: Client, user: Any) -> None:
    comparison = sample.store(user, report=handout_sample.report(), params={"note": "<script>x</script>"})
    response = bob.get(address(comparison))
    assert response["Content-Disposition"] == f'attachment; filename="io.wait-{comparison.pk.hex[:8]}.html"'
    assert response["Content-Type"] == "text/html; charset=utf-8"
    assert "equally fast within 8 %" in text_of(response)
    assert "<script" not in text_of(response)


def test_a_comparison_without_a_report_has_no_file(bob: Client, user: Any) -> None:
    comparison = sample.store(user, report=None, state="running")
    assert bob.get(address(comparison)).status_code == 404
    assert "Report (HTML)" not in text_of(bob.get(address(comparison, "")))


def test_anothers_report_is_not_found(bob: Client, administrator: Any) -> None:
    other = sample.store(administrator, report=handout_sample.report())
    assert bob.get(address(other)).status_code == 404


def test_who_is_not_logged_in_is_sent_to_the_login(client: Client) -> None:
    response = client.get(address(sample.store(report=handout_sample.report())))
    assert response.status_code == 302
    assert "login" in response["Location"]
