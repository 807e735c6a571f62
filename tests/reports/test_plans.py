"""Lists read a part of one index, with the statistics of ANALYZE and without, by a constant number of queries."""

from collections import Counter
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from benchmarks.filling import OLD_DEFINITION, OLD_POOL, USERS, fill
from poolwise.models import Comparison, Job
from poolwise.reports import job_list, paging

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
FILTERS = (
    "",
    "state=queued",
    "state=succeeded",
    "state=running",
    "pool=gevent",
    f"pool={OLD_POOL}",
    f"definition={OLD_DEFINITION}",
    "age=24h",
    "kind=cpu",
    "pool=threads&state=cancelled",
    "state=failed&definition=cpu.primes",
    "q=nothing",
)


@pytest.fixture
def reader(administrator: Any, client: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Somebody who sees all of two thousand jobs, of which a search reads the newest 200."""
    fill(2_000, sampled_s=3_600, comparisons=60)
    monkeypatch.setattr(job_list, "SEARCH_LIMIT", 200)
    client.force_login(administrator)
    return client


def addresses() -> list[str]:
    """Return the pages that read many jobs."""
    job = Job.objects.filter(stall_s__gt=0).order_by("-created_at")[0]
    middle = Job.objects.order_by("-created_at")[1_000]
    cursor = f"{middle.created_at:%Y-%m-%dT%H:%M:%S}Z_{middle.pk.hex}"
    lists = [
        *FILTERS,
        "submission=request-400",
        f"before={cursor}",
        f"after={cursor}",
        f"state=failed&before={cursor}",
    ]
    return [
        *(f"/jobs/?owner={owner}&{query}" for owner in ("", "all") for query in lists),
        *(f"/admin/poolwise/job/?{query}" for query in FILTERS[:3]),
        "/",
        "/comparisons/",
        "/admin/?window=7d",
        job.get_absolute_url(),
    ]


def statements(client: Client, address: str) -> list[str]:
    """Return the statements of a page, with their values."""
    cache.clear()
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return [query["sql"] for query in captured]


def plan_of(statement: str) -> list[str]:
    """Return the steps of SQLite's plan."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {statement.replace('%', '%%')}", [])
        return [row[3] for row in cursor.fetchall()]


def faults_of(statement: str) -> list[str]:
    """Return the steps that read or sort more than a list needs."""
    steps = plan_of(statement)
    scans = [
        step for step in steps if step.startswith("SCAN poolwise_job") and "INDEX job_newest" not in step
    ]
    # A stalled job's page sorts a thousand at most.
    sorts = [step for step in steps if step == "USE TEMP B-TREE FOR ORDER BY" and "U0" not in statement]
    return [*scans, *sorts]


def test_no_page_scans_or_sorts_the_jobs(reader: Client) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL plans small tables otherwise than large ones")
    Job.objects.filter(pool="gevent").update(user=USERS[0])
    asked = {
        text for address in addresses() for text in statements(reader, address) if '"poolwise_job"' in text
    }
    reads = [text for text in asked if text.startswith(("SELECT", "WITH"))]
    assert [faults for text in reads if (faults := (faults_of(text), text))[0]] == []
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    assert [faults for text in reads if (faults := (faults_of(text), text))[0]] == []


def test_no_page_asks_more_often_for_more_rows(reader: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Counter[tuple[str, int]]()
    pages = [*addresses(), "/admin/poolwise/comparison/", "/admin/django_celery_results/taskresult/"]
    for size in (5, 50):
        monkeypatch.setattr(paging, "PAGE_SIZE", size)
        for address in pages:
            asked[address, size] = len(statements(reader, address))
    assert {address: asked[address, 50] for address in pages} == {
        address: asked[address, 5] for address in pages
    }
    assert Comparison.objects.count() > 50
