"""The card of one submission: a row per pool, and the way to a comparison."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from poolwise.models import Batch, Comparison, Job
from poolwise.reports import JobFilter, submission
from tests.helpers.posted import HTMX, text_of

pytestmark = pytest.mark.django_db
CARD = "/jobs/?submission=s-1"
NEW = "/comparisons/new/?submission=s-1"
START = timezone.now() - timedelta(minutes=5)


@pytest.fixture
def ran(make: Callable[..., Job]) -> Callable[..., Job]:
    """Store a job of the submission s-1 that ran for `run_s` and finished `after_s` after the first was published."""

    def ran_job(pool: str, run_s: float | None, *, after_s: float = 1.0, **fields: Any) -> Job:
        finished_at = START + timedelta(seconds=after_s)
        values = {
            "state": "succeeded", "run_s": run_s, "cpu_s": run_s and run_s / 4, "broker_wait_s": 0.01, "worker_wait_s": 0.02,
            "published_at": START, "finished_at": finished_at, "request_id": "s-1",
        }  # fmt: skip
        return make(pool=pool, **values | fields)

    return ran_job


def rows_of(page: str) -> dict[str, list[str]]:
    """Return the cells of the card's rows by pool, without tags."""
    table = page.split('<table class="by-pool">')[1].split("</table>")[0].split("<tbody>")[1]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in table.split("<tr>")[1:]]
    plain = [[" ".join(re.sub(r"<[^>]+>", "", cell).split()) for cell in row] for row in rows]
    return {row[0]: row[1:] for row in plain}


def test_each_pool_has_a_row_in_the_order_of_the_settings(bob: Client, ran: Callable[..., Job]) -> None:
    for run_s in (0.2, 0.3, 0.7):
        ran("threads", run_s, after_s=2.0)
    ran("prefork", 0.5, after_s=1.25, cpu_s=0.5)
    page = text_of(bob.get(CARD))
    assert list(rows_of(page)) == ["prefork", "threads"]
    assert rows_of(page)["threads"] == ["3", "30 ms", "300 ms", "25 %", "2.00 s"]
    assert rows_of(page)["prefork"] == ["1", "30 ms", "500 ms", "100 %", "1.25 s"]
    assert "n: prefork 1, threads 3" in page
    assert "One submission is no comparison" in page


def test_a_pool_that_has_not_finished_says_so(bob: Client, ran: Callable[..., Job]) -> None:
    ran("threads", 0.2)
    ran("threads", None, state="running", finished_at=None)
    ran("gevent", 0.2)
    page = text_of(bob.get(CARD))
    assert rows_of(page)["threads"] == ["1 of 2", "30 ms", "200 ms", "25 %", "not finished"]
    assert rows_of(page)["gevent"][-1] == "1.00 s"
    assert "2 of 3 jobs ended" in page


def test_jobs_that_did_not_succeed_are_counted(bob: Client, ran: Callable[..., Job]) -> None:
    ran("threads", 0.2, state="failed")
    ran("threads", 0.2)
    ran("threads", None, state="cancelled", published_at=None, finished_at=None)
    page = text_of(bob.get(CARD))
    assert rows_of(page)["threads"][0] == "3 1 failed 1 cancelled"
    assert "3 of 3 jobs ended" in page
    assert "n: threads 2" in page


def test_jobs_that_never_ran_have_no_figures(bob: Client, make: Callable[..., Job]) -> None:
    make(pool="gevent", request_id="s-1")
    assert rows_of(text_of(bob.get(CARD)))["gevent"] == ["0 of 1", "–", "–", "–", "not finished"]


def test_waiting_for_the_gil_is_named(bob: Client, ran: Callable[..., Job]) -> None:
    ran("threads", 1.0, cpu_s=0.1, gil_wait_s=0.9)
    ran("prefork", 1.0, cpu_s=0.98, gil_wait_s=0.01)
    rows = rows_of(text_of(bob.get(CARD)))
    assert rows["threads"][3] == "10 % 90 % waiting for the GIL"
    assert rows["prefork"][3] == "98 %"


def test_the_total_time_of_a_retried_job_begins_with_its_first_attempt(
    user: Any, ran: Callable[..., Job]
) -> None:
    first = (START - timedelta(seconds=9)).timestamp()
    ran("threads", 0.2, attempt=2, history=[{"attempt": 1, "published_at": first}])
    [pool] = submission(user, JobFilter(submission="s-1")).pools
    assert pool.total_s == pytest.approx(10.0, abs=0.001)


def test_the_other_filters_do_not_hide_a_pool(bob: Client, ran: Callable[..., Job]) -> None:
    ran("threads", 0.2)
    ran("gevent", 0.2)
    page = text_of(bob.get(CARD + "&pool=gevent&state=succeeded"))
    assert list(rows_of(page)) == ["threads", "gevent"]
    assert page.count('id="job-') == 1


def test_the_card_is_refreshed_with_the_list(bob: Client, ran: Callable[..., Job]) -> None:
    job = ran("threads", None, state="queued", finished_at=None)
    first = text_of(bob.get(CARD, headers=HTMX))
    seen = first.split('"seen": "')[1].split('"')[0]
    assert rows_of(first)["threads"][0] == "0 of 1"
    assert bob.get(CARD + f"&seen={seen}", headers=HTMX).status_code == 204
    Job.objects.filter(pk=job.pk).update(state="succeeded", run_s=0.2, finished_at=START)
    changed = text_of(bob.get(CARD + f"&seen={seen}", headers=HTMX))
    assert rows_of(changed)["threads"][0] == "1"


def test_the_number_of_queries_does_not_depend_on_the_number_of_pools_or_jobs(
    bob: Client, ran: Callable[..., Job]
) -> None:
    ran("threads", 0.2)
    with CaptureQueriesContext(connection) as one:
        bob.get(CARD)
    for pool in ("prefork", "threads", "gevent", "asyncio"):
        for _ in range(3):
            ran(pool, 0.2)
    with CaptureQueriesContext(connection) as many:
        bob.get(CARD)
    assert len(many) == len(one)


@pytest.mark.parametrize("query", ["", "?submission=s-2"])
def test_without_jobs_of_the_submission_there_is_no_table(
    bob: Client, ran: Callable[..., Job], query: str
) -> None:
    ran("threads", 0.2)
    assert "by-pool" not in text_of(bob.get(f"/jobs/{query}"))


def test_the_jobs_of_a_comparison_are_no_submission_to_compare(
    bob: Client, user: Any, ran: Callable[..., Job]
) -> None:
    comparison = Comparison.objects.create(definition="io.wait", copies=1, user=user)
    batch = Batch.objects.create(comparison=comparison, pool="threads", round=1, position=1)
    ran("threads", 0.2, batch=batch)
    page = text_of(bob.get(CARD))
    assert "1 of 1 job ended" in page
    assert "by-pool" not in page
    assert "/comparisons/new/?" not in page


def test_compare_properly_fills_the_form_in(bob: Client, ran: Callable[..., Job]) -> None:
    for pool in ("threads", "gevent"):
        ran(pool, 0.2, params={"duration_s": 0.37})
    page = text_of(bob.get(CARD))
    assert re.search(rf'href="{re.escape(NEW)}">Compare properly<', page)
    form = text_of(bob.get(NEW))
    assert re.search(r'name="param-duration_s" value="0.37"', form)
    assert re.findall(r'name="pools" value="(\w+)"[^>]* checked', form) == ["threads", "gevent"]
    assert '<option value="io.wait" selected' in form
    assert f'Filled in from <a href="{CARD}">one submission</a>' in form
    assert "Its jobs differ" not in form


def test_a_submission_to_one_pool_is_compared_on_all(bob: Client, ran: Callable[..., Job]) -> None:
    ran("threads", 0.2)
    page = text_of(bob.get(CARD))
    assert "One pool is no comparison" in page
    assert "Compare on all pools" in page
    chosen = re.findall(r'name="pools" value="(\w+)"[^>]* checked', text_of(bob.get(NEW)))
    assert chosen == ["prefork", "threads", "gevent", "asyncio"]


def test_jobs_with_different_parameters_are_named_in_the_form(bob: Client, ran: Callable[..., Job]) -> None:
    ran("threads", 0.2, params={"duration_s": 0.1}, created_at=START)
    ran("gevent", 0.2, params={"duration_s": 0.4})
    form = text_of(bob.get(NEW))
    assert "Its jobs differ in definition or parameters" in form
    assert re.search(r'name="param-duration_s" value="0.4"', form)


@pytest.mark.parametrize("changes", [{"definition": "gone.away"}, {"definition": "cpu.primes"}])
def test_several_definitions_or_an_unknown_one_cannot_be_compared(
    bob: Client, ran: Callable[..., Job], changes: dict[str, Any]
) -> None:
    if changes["definition"] != "gone.away":
        ran("threads", 0.2)
    ran("gevent", 0.2, **changes)
    page = text_of(bob.get(CARD))
    assert "gevent" in rows_of(page)
    assert "/comparisons/new/?" not in page


def test_who_may_not_submit_gets_no_button(bob: Client, user: Any, ran: Callable[..., Job]) -> None:
    user.groups.clear()
    ran("threads", 0.2)
    page = text_of(bob.get(CARD))
    assert "threads" in rows_of(page)
    assert "/comparisons/new/?" not in page


def test_anothers_submission_fills_nothing_in(
    bob: Client, user: Any, administrator: Any, ran: Callable[..., Job]
) -> None:
    ran("threads", 0.2, user=administrator)
    for owner in ("", "&owner=all"):
        assert "No job chosen" in text_of(bob.get(NEW + owner))
        assert "by-pool" not in text_of(bob.get(CARD + owner))
    user.user_permissions.add(Permission.objects.get(codename="view_job"))
    page = text_of(bob.get(CARD + "&owner=all"))
    assert f"{NEW}&amp;owner=all" in page
    assert "io.wait" in text_of(bob.get(NEW + "&owner=all"))


@pytest.mark.parametrize("query", ["submission=%00", "submission=", "submission=s-1&owner=me"])
def test_a_submission_that_cannot_be_read_fills_nothing_in(
    bob: Client, ran: Callable[..., Job], query: str
) -> None:
    ran("threads", 0.2)
    response = bob.get(f"/comparisons/new/?{query}")
    assert response.status_code == 200
    assert "No job chosen" in text_of(response)
