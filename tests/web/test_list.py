"""The list of jobs: filters, pages, refresh."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from poolwise.models import Job
from poolwise.reports import JobFilter, job_list, list_jobs, paging
from tests.helpers.posted import HTMX, text_of

pytestmark = pytest.mark.django_db
#: Keys of moments that no database holds in UTC.
NEVER = ("0001-01-01T00:00:00+14:00_" + "0" * 32, "9999-12-31T23:59:59-14:00_" + "0" * 32)


@pytest.mark.parametrize(
    "query", ["state=failed", "pool=threads", "definition=cpu.primes", "q=needle", "q=Å", "submission=s-1"]
)
def test_a_filter_leaves_what_fits(bob: Client, make: Callable[..., Job], query: str) -> None:
    other = make()
    wanted = make(
        state="failed",
        pool="threads",
        definition="cpu.primes",
        params={"text": "a needle in Åland"},
        request_id="s-1",
    )
    page = text_of(bob.get(f"/jobs/?{query}"))
    assert str(wanted.pk) in page
    assert str(other.pk) not in page


@pytest.mark.parametrize("query", ["state=bogus", "pool=nowhere", "submission=%00", "definition=%27"])
def test_a_filter_that_does_not_exist_is_named(bob: Client, make: Callable[..., Job], query: str) -> None:
    make()
    response = bob.get(f"/jobs/?{query}")
    assert response.status_code == 200
    assert "Invalid filters" in text_of(response)


def test_the_list_is_friendly_when_empty(bob: Client) -> None:
    assert "You have no jobs yet" in text_of(bob.get("/jobs/"))
    assert "No job matches these filters" in text_of(bob.get("/jobs/?q=x"))


def _ids(page: str) -> list[str]:
    return [part.split('"')[0] for part in page.split('id="job-')[1:]]


def test_pages_follow_each_other_without_gap_or_repeat(
    bob: Client, make: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "PAGE_SIZE", 3)
    now = timezone.now()  # five of them at the same instant, as the copies of one submission are
    jobs = [make(created_at=now - timedelta(seconds=max(0, i - 4))) for i in range(8)]
    expected = [str(j.pk) for j in sorted(jobs, key=lambda j: (j.created_at, j.pk.hex), reverse=True)]
    first = bob.get("/jobs/")
    second = bob.get("/jobs/" + first.context["links"]["older"])
    third = bob.get("/jobs/" + second.context["links"]["older"])
    assert [*_ids(text_of(first)), *_ids(text_of(second)), *_ids(text_of(third))] == expected
    assert third.context["links"]["older"] is None
    back = bob.get("/jobs/" + third.context["links"]["newer"])
    assert _ids(text_of(back)) == expected[3:6]
    again = bob.get("/jobs/" + back.context["links"]["newer"])
    assert _ids(text_of(again)) == expected[:3]


@pytest.mark.parametrize(
    "key", [*("x", "2026-01-01_zz", "2026-01-01T00:00:00_" + "0" * 32, "_", "9" * 400), *NEVER]
)
def test_a_bad_page_key_shows_the_first_page(bob: Client, make: Callable[..., Job], key: str) -> None:
    job = make()
    assert str(job.pk) in text_of(bob.get("/jobs/", {"before": key}))
    assert str(job.pk) in text_of(bob.get("/jobs/", {"after": key}))


@pytest.mark.parametrize(
    "query", ["q=0.25&state=queued&submission=s", "state=failed", "pool=gevent&owner=all"]
)
def test_no_query_of_the_list_counts_without_limit_or_skips_rows(
    bob: Client, make: Callable[..., Job], query: str
) -> None:
    make()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        bob.get(f"/jobs/?{query}")
    sql = [query["sql"] for query in queries if "poolwise_job" in query["sql"]]
    assert sql
    assert all("LIMIT" in text for text in sql)
    # Only the query for the edge of the search uses OFFSET, on rows of the index.
    assert all(text.startswith('SELECT "poolwise_job"."created_at" AS') for text in sql if "OFFSET" in text)


def test_filters_together_read_the_newest_jobs_and_the_page_says_so(
    bob: Client, make: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_list, "SEARCH_LIMIT", 3)
    now = timezone.now()
    jobs = [make(state="failed", created_at=now - timedelta(minutes=minute)) for minute in range(6)]
    assert len(_ids(text_of(bob.get("/jobs/")))) == 6
    for query in ("state=failed", "pool=gevent", "q=0.25", "state=failed&pool=gevent&definition=io.wait"):
        page = text_of(bob.get(f"/jobs/?{query}"))
        assert str(jobs[0].pk) in page
        assert str(jobs[5].pk) not in page
        assert "Searched only the newest 3 of your jobs" in page


def test_nothing_is_noted_where_all_was_searched(
    bob: Client, make: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_list, "SEARCH_LIMIT", 3)
    jobs = [make(state="failed") for _ in range(3)]
    page = text_of(bob.get("/jobs/?state=failed&q=0.25"))
    assert set(_ids(page)) == {str(job.pk) for job in jobs}
    assert "Looked for among" not in page


@pytest.mark.parametrize("query", ["state=failed", "pool=threads", "definition=cpu.primes"])
def test_one_filter_finds_the_oldest_of_everybodys_jobs(
    client: Client, administrator: Any, make: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    monkeypatch.setattr(job_list, "SEARCH_LIMIT", 3)
    client.force_login(administrator)
    ago = timezone.now() - timedelta(days=9)
    wanted = make(state="failed", pool="threads", definition="cpu.primes", created_at=ago)
    for _ in range(6):
        make()
    page = text_of(client.get(f"/jobs/?owner=all&{query}"))
    assert str(wanted.pk) in page
    assert "Looked for among" not in page


@pytest.mark.slow
@pytest.mark.parametrize(
    "query",
    [
        {"owner": ""},
        {"owner": "", "state": "failed"},
        {"state": "failed"},
        {"pool": "threads"},
        {"definition": "cpu.primes"},
        {"definition": "cpu.primes", "pool": "threads"},
    ],
    ids=str,
)
def test_jobs_of_long_ago_are_not_looked_for_among_all_that_came_since(
    administrator: Any, query: dict[str, str]
) -> None:
    old = {"definition": "cpu.primes", "pool": "threads", "state": "failed", "user": administrator}
    new = {"definition": "io.wait", "pool": "gevent", "state": "succeeded"}
    ago = timezone.now() - timedelta(days=9)
    made = [Job(created_at=ago + timedelta(seconds=i), **(old if i < 1_000 else new)) for i in range(2_000)]
    Job.objects.bulk_create(made, batch_size=500)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE poolwise_job")
    jobs = list_jobs(administrator, JobFilter(**{"owner": "all"} | query)).jobs
    assert jobs.count() == 1_000
    for plan in (jobs[:51].explain(), jobs.reverse()[:51].explain()):
        assert "job_newest" not in plan


def test_the_refresh_answers_204_until_something_changed(bob: Client, make: Callable[..., Job]) -> None:
    job = make()
    first = text_of(bob.get("/jobs/", headers=HTMX))
    seen = first.split('"seen": "')[1].split('"')[0]
    assert "every 1500ms" in first
    assert bob.get("/jobs/", {"seen": seen}, headers=HTMX).status_code == 204
    Job.objects.filter(pk=job.pk).update(state="cancelled")
    changed = bob.get("/jobs/", {"seen": seen}, headers=HTMX)
    assert changed.status_code == 200
    assert "every 10000ms" in text_of(changed)


def test_a_live_part_is_never_cached_as_the_page(bob: Client) -> None:
    response = bob.get("/jobs/", headers=HTMX)
    assert "<html" not in text_of(response)
    assert "HX-Request" in response["Vary"]
    assert "no-store" in response["Cache-Control"]


def test_text_of_parameters_is_escaped(bob: Client, make: Callable[..., Job]) -> None:
    job = make(params={"text": "<script>alert(1)</script>"}, error="<b>", error_type="<i>", state="failed")
    for path in ("/jobs/", job.get_absolute_url(), "/jobs/?q=<script>"):
        page = text_of(bob.get(path))
        assert "<script>alert" not in page
        assert "<b>" not in page
