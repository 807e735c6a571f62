"""What would disturb a comparison that starts now, as sentences."""

import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from poolwise.lab.disturbances import disturbances
from poolwise.lifecycle import environment
from poolwise.models import Batch, Comparison, Job, Pause
from tests.lab.conftest import Bench

disturbing = sys.modules["poolwise.lab.disturbances"]  # the room exports its function under the same name
pytestmark = pytest.mark.django_db
POOLS = ["threads", "gevent"]


@pytest.fixture
def live() -> Callable[..., Job]:
    """Store a job that has not ended."""

    def live_job(pool: str = "threads", state: str = "running", **fields: Any) -> Job:
        return Job.objects.create(definition="io.wait", kind="io", pool=pool, state=state, **fields)

    return live_job


@pytest.fixture
def cpu_used(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Make the machine's CPU seconds grow by a number at each reading, and time by one second."""

    def use(cores: float) -> None:
        def readings(step: float) -> Iterator[float]:
            return (number * step for number in count())

        cpu_s, mono_s = readings(cores), readings(1.0)
        monkeypatch.setattr(disturbing, "machine_cpu_s", lambda: next(cpu_s))
        # Its name for the module, not the module: other threads of this process read the clock too.
        clock = SimpleNamespace(monotonic=lambda: next(mono_s), sleep=lambda _: None)
        monkeypatch.setattr(disturbing, "time", clock)
        monkeypatch.setattr(disturbing.psutil, "cpu_count", lambda: 4)

    return use


def test_an_idle_platform_disturbs_nothing(live: Callable[..., Job]) -> None:
    live(state="succeeded")
    live(state="queued", run_after=timezone.now() + timedelta(hours=1))  # scheduled
    assert disturbances(POOLS) == []


def test_jobs_of_a_compared_pool_are_counted(live: Callable[..., Job]) -> None:
    live(pool="gevent", state="queued")
    for state in ("running", "queued", "queued"):
        live(state=state)
    assert disturbances(POOLS) == [
        "On threads 1 job is running and 2 jobs are queued.",
        "On gevent 1 job is queued.",
    ]


def test_jobs_of_other_pools_count_only_while_they_run(live: Callable[..., Job]) -> None:
    live(pool="prefork", state="queued")
    live(pool="gone", state="running")
    assert disturbances(POOLS) == []
    live(pool="prefork")
    live(pool="asyncio")
    assert disturbances(POOLS) == ["2 jobs are running on pools that are not compared (prefork, asyncio)."]


def test_a_live_comparison_is_named_once_and_not_by_its_jobs(live: Callable[..., Job]) -> None:
    comparison = Comparison.objects.create(definition="io.wait", copies=1, state="running")
    live(batch=Batch.objects.create(comparison=comparison, pool="threads", round=1, position=1))
    assert disturbances(POOLS) == [
        "Another comparison is running or planned; this one starts when it has ended."
    ]
    Comparison.objects.create(definition="io.wait", copies=1)
    assert disturbances(POOLS)[0].startswith("2 other comparisons are running or planned")
    Comparison.objects.update(state="cancelled")
    assert disturbances(POOLS) == ["On threads 1 job is running."]


def test_a_paused_pool_is_named_if_it_is_compared() -> None:
    for name in ("gevent", "prefork"):
        Pause.objects.create(kind=Pause.Kind.POOL, name=name, state=Pause.State.DRAINING)
    assert disturbances(POOLS) == [
        "The pool gevent is draining: the comparison waits until somebody resumes it."
    ]


def test_a_full_queue_is_named(settings: Any, live: Callable[..., Job]) -> None:
    settings.JOB_MAX_QUEUED = 1
    live(state="queued")
    assert disturbances(POOLS)[-1] == "The queue of threads is full: the comparison waits until jobs end."


def test_a_busy_machine_is_named_only_where_it_is_measured(cpu_used: Callable[[float], None]) -> None:
    cpu_used(1.3)
    assert disturbances(POOLS) == []
    assert disturbances(POOLS, cpu_over_s=1.0) == ["1.3 of the 4 cores of this machine are busy."]


def test_a_platform_that_idles_is_no_busy_machine(cpu_used: Callable[[float], None]) -> None:
    cpu_used(0.3)
    assert disturbances(POOLS, cpu_over_s=1.0) == []


def test_the_real_machine_is_measured_within_the_time() -> None:
    found = disturbances(POOLS, cpu_over_s=0.1)
    assert all("of this machine are busy" in text for text in found)


def test_this_machine_does_not_matter_to_workers_of_another_one(
    bench: Bench, cpu_used: Callable[[float], None]
) -> None:
    cpu_used(1.3)
    for name in list(bench.workers):
        bench.change(name, machine="elsewhere")
    bench.heartbeat()
    assert disturbances(["alpha"], cpu_over_s=1.0) == []
    bench.change("alpha-1@h", machine=environment.machine())
    bench.heartbeat()
    assert disturbances(["alpha"], cpu_over_s=1.0) != []


def test_without_redis_the_machine_is_measured_all_the_same(
    monkeypatch: pytest.MonkeyPatch, cpu_used: Callable[[float], None]
) -> None:
    def away() -> None:
        raise disturbing.BrokerUnavailable

    monkeypatch.setattr(disturbing.heartbeats, "pools_up", away)
    cpu_used(1.3)
    assert len(disturbances(POOLS, cpu_over_s=1.0)) == 1
