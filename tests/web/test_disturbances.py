"""What would disturb a comparison, on its form."""

import pytest
from django.test import Client

from poolwise.models import Job
from tests.helpers.posted import text_of

pytestmark = pytest.mark.django_db
NOW = "This would disturb the comparison now"


def test_the_form_names_what_runs_on_the_chosen_pools(bob: Client) -> None:
    page = text_of(bob.get("/comparisons/new/?definition=io.wait"))
    assert NOW not in page
    assert 'hx-get="/comparisons/disturbances/"' in page
    Job.objects.create(definition="io.wait", kind="io", pool="threads", state="running")
    page = text_of(bob.get("/comparisons/new/?definition=io.wait"))
    assert NOW in page
    assert "On threads 1 job is running." in page


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("pools=threads&pools=gevent", "On threads 1 job is running."),
        ("pools=gevent&pools=nowhere", "1 job is running on pools that are not compared (threads)."),
        ("", "1 job is running on pools that are not compared (threads)."),
    ],
)
def test_the_refreshed_part_follows_the_chosen_pools(bob: Client, query: str, words: str) -> None:
    Job.objects.create(definition="io.wait", kind="io", pool="threads", state="running")
    part = text_of(bob.get(f"/comparisons/disturbances/?{query}"))
    assert words in part
    assert "<html" not in part
    assert "nowhere" not in part
