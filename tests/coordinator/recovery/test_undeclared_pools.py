"""Jobs on a pool that was taken out of the settings: they can be found, and an operator is warned."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from structlog.testing import capture_logs

from poolwise import reports
from poolwise.control import tokens
from poolwise.coordinator.pool_samples import sample
from poolwise.coordinator.recovery import UndeclaredPools
from poolwise.models import Job, JobState

pytestmark = pytest.mark.django_db


def make(pool: str = "former", **fields: Any) -> Job:
    return Job.objects.create(**{"definition": "io.wait", "kind": "io", "pool": pool, **fields})


def test_known_pools_are_the_declared_ones_and_then_those_of_jobs(settings: Any) -> None:
    declared = list(settings.JOB_POOLS)
    assert reports.known_pools() == declared
    for pool in ("zeta", "gevent", "alpha", "zeta"):
        make(pool, state=JobState.SUCCEEDED)
    assert reports.known_pools() == [*declared, "alpha", "zeta"]


def test_known_pools_are_found_along_an_index_and_not_in_every_job() -> None:
    with CaptureQueriesContext(connection) as asked:
        reports.known_pools()
    [query] = asked.captured_queries
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL takes no index for a table without rows")
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
        steps = [row[3] for row in cursor.fetchall() if "poolwise_job" in row[3]]
    assert steps
    assert all(step.startswith("SEARCH") and "COVERING INDEX" in step for step in steps)


def test_the_list_the_api_and_the_admin_offer_a_pool_that_jobs_still_name(
    client: Client, administrator: Any
) -> None:
    client.force_login(administrator)
    job, other = make(user=administrator), make("gevent", user=administrator)
    headers = {"Authorization": f"Bearer {tokens.create(administrator, 'test')[1]}"}
    for path in ("/jobs/?pool=former", "/admin/poolwise/job/?pool=former", "/api/jobs?pool=former"):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 200, path
        assert str(job.pk) in answer.content.decode(), path
        assert str(other.pk) not in answer.content.decode(), path
    assert '<option value="former"' in client.get("/jobs/").content.decode()
    assert "?pool=former" in client.get("/admin/poolwise/job/").content.decode()


def test_an_operator_reads_on_the_jobs_page_what_to_do(client: Client, administrator: Any) -> None:
    client.force_login(administrator)
    page = client.get(make().get_absolute_url()).content.decode()
    assert "The pool former is no longer declared" in page
    assert "<code>manage.py purge former</code>" in page


def test_the_coordinator_warns_once_for_as_long_as_jobs_wait_on_an_undeclared_pool(own_keys: Any) -> None:
    make()
    make()
    make("gevent")
    make("past", state=JobState.SUCCEEDED)
    undeclared = UndeclaredPools()
    with capture_logs() as lines:
        undeclared.warn(sample(own_keys))
        undeclared.warn(sample(own_keys))
    assert [(line["log_level"], line["pool"], line["jobs"]) for line in lines] == [("warning", "former", 2)]
    Job.objects.filter(pool="former").update(state=JobState.CANCELLED)
    undeclared.warn(sample(own_keys))
    make()
    with capture_logs() as lines:
        undeclared.warn(sample(own_keys))
    assert len(lines) == 1
