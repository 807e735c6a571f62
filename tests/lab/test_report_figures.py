"""The figures of batches and comparisons."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from poolwise.lab import report
from poolwise.lab.report.figures import Percentiles
from poolwise.management.comparison_text import as_json
from poolwise.models import Batch, Comparison, Job, JobState

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def comparison() -> Comparison:
    return Comparison.objects.create(definition="io.wait", params={"duration_s": 0.1}, copies=2)


def batch_of(comparison: Comparison, pool: str, position: int, **fields: Any) -> Batch:
    return Batch.objects.create(
        comparison=comparison, pool=pool, round=1, position=position, released_at=NOON, **fields
    )


def ended(pool: str, *, start: datetime = NOON, run_s: float = 1.0, **fields: Any) -> Job:
    defaults: dict[str, Any] = {
        "definition": "io.wait", "kind": "io", "pool": pool, "state": JobState.SUCCEEDED, "published_at": start,
        "started_at": start, "finished_at": start + timedelta(seconds=run_s), "broker_wait_s": 0.01,
        "worker_wait_s": 0.02, "run_s": run_s, "cpu_s": run_s / 4, "created_at": start,
    }  # fmt: skip
    return Job.objects.create(**(defaults | fields))


def test_a_batch_is_counted_by_state_and_measured_from_first_published_to_last_finished(
    comparison: Comparison,
) -> None:
    batch = batch_of(comparison, "gevent", 1, slots=200)
    ended("gevent", batch=batch, run_s=2)
    ended("gevent", batch=batch, start=NOON + timedelta(seconds=1), run_s=4, state=JobState.FAILED)
    [figures] = report.figures(comparison)
    assert (figures.jobs, figures.succeeded, figures.failed) == (2, 1, 1)
    assert (figures.name, figures.model, figures.slots) == ("gevent", "gevent", 200)
    assert figures.makespan_s == 5
    assert (figures.run_s.p50, figures.run_s.p95) == (3, pytest.approx(3.9))
    assert figures.cpu_share == pytest.approx(0.25)


def test_a_batch_with_a_job_under_way_has_no_makespan_yet(comparison: Comparison) -> None:
    batch = batch_of(comparison, "gevent", 1)
    ended("gevent", batch=batch)
    Job.objects.create(definition="io.wait", kind="io", pool="gevent", batch=batch)
    [figures] = report.figures(comparison)
    assert figures.makespan_s is None
    assert figures.unfinished == 1


def test_an_empty_batch_has_figures_without_values(comparison: Comparison) -> None:
    batch_of(comparison, "prefork", 1)
    [figures] = report.figures(comparison)
    assert figures.jobs == 0
    assert figures.cpu_share is None
    assert figures.broker_wait_s == Percentiles(p50=None, p95=None)


def test_the_makespan_of_a_retried_job_counts_from_its_first_attempt(comparison: Comparison) -> None:
    batch = batch_of(comparison, "gevent", 1)
    first = {"attempt": 1, "published_at": (NOON - timedelta(seconds=10)).timestamp()}
    ended("gevent", batch=batch, attempt=2, history=[first])
    [figures] = report.figures(comparison)
    assert figures.makespan_s == 11


def test_the_speed_up_is_relative_to_the_slowest_pool(comparison: Comparison) -> None:
    for position, (pool, run_s) in enumerate([("prefork", 8.0), ("gevent", 2.0)], start=1):
        ended(pool, batch=batch_of(comparison, pool, position), run_s=run_s)
    pools = report.figures(comparison)
    assert [(pool.name, pool.speed_up) for pool in pools] == [("prefork", 1), ("gevent", 4)]


def test_rounds_are_pooled_and_the_makespan_is_their_median(comparison: Comparison) -> None:
    for position, run_s in enumerate([1.0, 2.0, 9.0], start=1):
        ended("gevent", batch=batch_of(comparison, "gevent", position), run_s=run_s)
    [pool] = report.figures(comparison)
    assert pool.jobs == 3
    assert pool.makespan_s == 2
    assert pool.makespans_s == [1, 2, 9]


def test_the_figures_of_a_comparison_are_plain_json(comparison: Comparison) -> None:
    ended("gevent", batch=batch_of(comparison, "gevent", 1))
    figures = as_json(comparison)
    assert json.loads(json.dumps(figures)) == figures
    assert {"definition", "params", "copies", "pools"} <= figures.keys()
    wanted = (
        "name model slots jobs succeeded failed makespan_s run_s broker_wait_s worker_wait_s cpu_s cpu_share"
    )
    assert set(wanted.split()) <= figures["pools"][0].keys()
