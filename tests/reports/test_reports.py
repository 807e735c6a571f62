"""Figures of pools: what they count, and what they leave unattributed."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from django.core.cache import cache
from django.utils import timezone

from poolwise import reports
from poolwise.lifecycle import heartbeats
from poolwise.lifecycle.heartbeats import Heartbeat
from poolwise.models import Batch, Comparison, Job, JobState, PoolConfiguration, PoolSample
from poolwise.reports import WINDOWS, ended_jobs
from poolwise.support.errors import BrokerUnavailable

pytestmark = pytest.mark.django_db
HOUR = WINDOWS["1h"]
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_cache() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def ended(pool: str, *, start: datetime = NOON, run_s: float = 1.0, **fields: Any) -> Job:
    defaults: dict[str, Any] = {
        "definition": "io.wait", "kind": "io", "pool": pool, "state": JobState.SUCCEEDED, "published_at": start,
        "started_at": start, "finished_at": start + timedelta(seconds=run_s), "broker_wait_s": 0.01,
        "worker_wait_s": 0.02, "run_s": run_s, "cpu_s": run_s / 4, "created_at": start,
    }  # fmt: skip
    return Job.objects.create(**(defaults | fields))


def pool_of(dashboard: reports.Dashboard, name: str) -> reports.PoolFigures:
    return next(figures for figures in dashboard.pools if figures.name == name)


def test_the_dashboard_counts_what_ended_within_the_window() -> None:
    for index in range(4):
        ended(
            "gevent",
            start=NOON - timedelta(minutes=index),
            state=JobState.FAILED if index == 3 else JobState.SUCCEEDED,
        )
    ended("gevent", start=NOON - timedelta(hours=3))
    ended("gevent", start=NOON - timedelta(minutes=5), state=JobState.CANCELLED)
    figures = pool_of(reports.dashboard(HOUR, now=NOON + timedelta(seconds=30)), "gevent")
    assert (figures.done, figures.failed, figures.cancelled) == (4, 1, 1)
    assert figures.failure_rate == 0.25
    assert figures.wait.p50 == pytest.approx(0.03)


def test_a_pool_without_jobs_has_no_failure_rate() -> None:
    dashboard = reports.dashboard(HOUR)
    assert dashboard.is_empty
    assert pool_of(dashboard, "prefork").failure_rate is None


def test_the_dashboard_pairs_backlog_with_service_time_in_the_same_buckets() -> None:
    ended("gevent", start=NOON, run_s=2.0)
    for queued in (10, 30):
        PoolSample.objects.create(
            pool="gevent", at=NOON + timedelta(seconds=queued), queued=queued, running=1, workers=1, slots=1,
            memory_bytes=1,
        )  # fmt: skip
    dashboard = reports.dashboard(HOUR, now=NOON + timedelta(minutes=2))
    [point] = [point for point in dashboard.points if point.at == NOON]
    assert (point.queued, point.queued_max, point.run_p50_s) == (20, 30, 2)


def test_a_backlog_alone_is_not_an_empty_dashboard() -> None:
    PoolSample.objects.create(pool="gevent", queued=3, running=0, workers=0, slots=0, memory_bytes=0)
    assert not reports.dashboard(HOUR).is_empty


def test_many_jobs_are_read_in_part_yet_every_bucket_has_its_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ended_jobs, "MAX_ROWS", 20)  # 5 for each of 4 pools
    for minute in range(30):
        ended("gevent", start=NOON - timedelta(minutes=minute), run_s=1.0 + minute)
    dashboard = reports.dashboard(HOUR, now=NOON + timedelta(seconds=59))
    figures = pool_of(dashboard, "gevent")
    assert (figures.done, figures.run.n, figures.is_partial) == (30, 5, True)
    assert len([point for point in dashboard.points if point.run_p50_s]) == 30


def test_the_dashboard_reads_within_its_limit(django_assert_max_num_queries: Callable[..., Any]) -> None:
    for minute in range(30):
        ended("gevent", start=NOON - timedelta(minutes=minute))
    with django_assert_max_num_queries(17):  # three a pool, and the changes
        reports.dashboard(WINDOWS["7d"], now=NOON)


def test_throughput_is_jobs_a_minute_and_zero_where_none_ended() -> None:
    for second in (0, 10, 20):
        ended("gevent", start=NOON + timedelta(seconds=second), run_s=1)
    dashboard = reports.dashboard(HOUR, now=NOON + timedelta(minutes=2, seconds=5))
    rates = {point.at: point.per_minute for point in dashboard.points if point.pool == "gevent"}
    assert rates[NOON] == 3
    assert rates[NOON + timedelta(minutes=1)] == 0
    assert NOON + timedelta(minutes=2) not in rates  # it has only begun


def test_the_time_of_a_pool_is_split_into_waiting_and_working() -> None:
    ended("gevent", run_s=4.0, cpu_s=1.0, broker_wait_s=3.0, worker_wait_s=1.0)
    time = pool_of(reports.dashboard(HOUR, now=NOON + timedelta(minutes=1)), "gevent").time
    assert (time.n, time.wait_s, time.cpu_s, time.off_cpu_s, time.wait_share) == (1, 4, 1, 3, 0.5)


def test_definitions_are_ranked_by_their_median_run_and_by_their_failures() -> None:
    ended("gevent", definition="io.wait", run_s=1.0)
    ended("threads", definition="cpu.primes", run_s=9.0)
    for state in (JobState.FAILED, JobState.FAILED, JobState.SUCCEEDED):
        ended("gevent", definition="endings.flaky", run_s=0.1, state=state)
    definitions = reports.dashboard(HOUR, now=NOON + timedelta(minutes=1)).definitions
    assert [definition.name for definition in reports.slowest(definitions, 2)] == ["cpu.primes", "io.wait"]
    [worst] = reports.most_failing(definitions, 5)
    assert (worst.name, worst.failed, worst.done) == ("endings.flaky", 2, 3)


def test_the_jobs_of_a_comparison_do_not_count_as_where_a_definition_runs() -> None:
    comparison = Comparison.objects.create(definition="io.wait", copies=2)
    batch = Batch.objects.create(comparison=comparison, pool="prefork", round=1, position=1)
    ended("prefork", batch=batch)
    ended("gevent")
    [definition] = reports.dashboard(HOUR, now=NOON + timedelta(minutes=1)).definitions
    assert (definition.done, definition.pools) == (2, {"gevent": 1})


def configured(pool: str, at: datetime, **details: Any) -> None:
    PoolConfiguration.objects.create(pool=pool, at=at, details=details)


def test_a_change_names_what_differs_and_the_first_configuration_is_none() -> None:
    configured("gevent", NOON, slots=100, celery="5.6.0")
    configured("gevent", NOON + timedelta(minutes=5), slots=200, celery="5.7.0")
    [change] = reports.changes(NOON - timedelta(minutes=1), 60)
    assert (change.pool, change.at) == ("gevent", NOON + timedelta(minutes=5))
    assert change.text == "slots 100 → 200, celery 5.6.0 → 5.7.0"


def test_a_change_is_compared_with_what_the_pool_had_before_the_window() -> None:
    configured("gevent", NOON - timedelta(days=3), slots=100)
    configured("gevent", NOON, slots=150)
    assert [change.text for change in reports.changes(NOON, 60)] == ["slots 100 → 150"]


def test_what_is_back_within_a_bucket_is_no_change() -> None:
    for second, slots in enumerate((16, 8, 16)):
        configured("threads", NOON + timedelta(seconds=second * 10), slots=slots)
    assert reports.changes(NOON, 60) == []


def test_queues_come_from_the_database() -> None:
    old = timezone.now() - timedelta(minutes=3)
    Job.objects.create(definition="io.wait", kind="io", pool="gevent", created_at=old)
    Job.objects.create(definition="io.wait", kind="io", pool="gevent", state=JobState.RUNNING)
    ended("threads")
    assert reports.queues() == {"gevent": reports.Queue(queued=1, running=1, oldest_at=old)}


def test_a_pool_is_up_by_its_workers_heartbeats_and_down_without(redis_client: redis.Redis) -> None:
    heartbeats.send(redis_client, Heartbeat("g1", "gevent", 1, "here", slots=200, in_use=3, memory_bytes=7))
    heartbeats.send(redis_client, Heartbeat("g2", "gevent", 2, "here", slots=200, in_use=4, memory_bytes=8))
    now = reports.pools_now()
    gevent = now.pools["gevent"]
    assert (gevent.state, gevent.in_use, gevent.slots, gevent.memory_bytes) == ("up", 7, 400, 15)
    assert (now.pools["prefork"].state, now.has_coordinator) == ("down", False)


def test_a_pool_whose_workers_lost_their_broker_is_up_and_says_so(redis_client: redis.Redis) -> None:
    heartbeats.send(redis_client, Heartbeat("g1", "gevent", 1, "here", is_connected=False))
    gevent = reports.pools_now().pools["gevent"]
    assert (gevent.state, gevent.state_text) == ("up", "Up, but without a broker")
    heartbeats.send(redis_client, Heartbeat("g2", "gevent", 2, "here"))
    now = reports.pools_now()
    assert now.pools["gevent"].state_text == "Up"
    assert [worker.name for worker in now.pools["gevent"].unconnected] == ["g1"]
    lost = [notice for notice in now.notices if "lost their broker" in notice.problem]
    assert [notice.problem for notice in lost] == ["Workers of the pool gevent have lost their broker."]


def test_a_pool_is_unknown_while_redis_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise BrokerUnavailable

    monkeypatch.setattr(heartbeats, "pools_up", refuse)
    Job.objects.create(definition="io.wait", kind="io", pool="gevent")
    now = reports.pools_now()
    assert now.redis_is_away
    assert (now.pools["gevent"].state, now.pools["gevent"].queued) == ("unknown", 1)
    assert now.notices == [reports.REDIS_AWAY]
