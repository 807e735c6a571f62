import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from poolwise.lab import estimate_s, probes, progress, run, stop
from poolwise.lab.run import advance
from poolwise.lifecycle.heartbeats import COORDINATOR, Heartbeat, send
from poolwise.models import Batch, Comparison, Job, JobState
from tests.helpers.core import messages
from tests.lab.conftest import POOLS, Bench, planned, running_batch

pytestmark = pytest.mark.django_db


def test_batches_run_one_after_another_to_the_end(bench: Bench, own_keys: Any, settings: Any) -> None:
    comparison = planned()
    for number, pool in enumerate(POOLS, start=1):
        assert bench.tick() == 1
        assert [job.pool for job in Job.objects.live()] == [pool] * 2
        assert len(messages(own_keys, settings.JOB_POOLS[pool]["queue"])) == 2
        assert bench.tick() == 0, "a batch waits for the one before it"
        assert Job.objects.count() == 2 * number
        bench.end_jobs()
    bench.run_on(comparison, 3)
    assert comparison.state == Comparison.State.FINISHED
    assert comparison.finished_at
    assert not comparison.batches.filter(finished_at=None).exists()


def test_the_report_is_frozen_once_before_a_comparison_counts_as_finished(bench: Bench) -> None:
    planned(("alpha",))
    states: list[str] = []
    for _ in range(5):
        bench.heartbeat()
        advance(lambda ended: states.append(Comparison.objects.get(pk=ended.pk).state))
        bench.end_jobs()
    assert states == [Comparison.State.RUNNING]
    assert Comparison.objects.get().state == Comparison.State.FINISHED


def test_a_running_or_retrying_job_keeps_its_batch_open(bench: Bench) -> None:
    planned()
    bench.tick()
    bench.end_jobs()
    for state in (JobState.RUNNING, JobState.QUEUED):
        Job.objects.filter(pk=Job.objects.first().pk).update(state=state)
        assert bench.tick() == 0
    bench.end_jobs(JobState.FAILED)
    assert bench.tick() == 1


def test_the_jobs_of_a_batch_have_its_user_and_request_id(bench: Bench, user: Any) -> None:
    comparison = planned(user=user)
    bench.tick()
    job = Job.objects.first()
    assert (job.batch, job.user, job.params) == (comparison.batches.first(), user, {"duration_s": 0.01})
    assert job.request_id.startswith("comparison-")
    assert job.is_published


def test_a_batch_is_not_delayed_by_the_limit_of_its_queue(bench: Bench, settings: Any) -> None:
    settings.JOB_MAX_QUEUED = 1
    planned(copies=5)
    assert bench.tick() == 1
    assert Job.objects.count() == 5


def test_only_the_oldest_comparison_runs(bench: Bench) -> None:
    first, second = planned(("alpha",)), planned(("beta",))
    bench.tick()
    assert bench.tick() == 0
    assert not second.batches.filter(released_at__isnull=False)
    bench.end_jobs()
    # The step that ends the first releases the second, unless a heartbeat of the first is still awaited.
    assert bench.tick() + bench.tick() == 1
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, second.state) == (Comparison.State.FINISHED, Comparison.State.RUNNING)


def test_a_comparison_that_runs_is_not_overtaken_by_one_with_an_older_stamp(bench: Bench) -> None:
    first, late = planned(("alpha",)), planned(("beta",))
    bench.tick()
    Comparison.objects.filter(pk=late.pk).update(created_at=timezone.now() - timedelta(hours=1))
    assert run.current() == first


def test_a_batch_that_another_coordinator_released_is_not_released_twice(bench: Bench) -> None:
    comparison = planned()
    stale = comparison.batches.get(position=1)
    assert bench.tick() == 1
    assert not run.release(comparison, stale, run.heartbeats.pools_up())
    assert Job.objects.count() == 2


def test_without_a_comparison_nothing_is_released(db: None) -> None:
    assert advance() == 0


def test_no_batch_is_released_while_redis_is_unavailable(bench: Bench, own_redis: Any) -> None:
    comparison = planned()
    assert advance() == 0
    assert not Job.objects.exists()
    assert progress(comparison)["alpha"]["note"] == "Redis does not answer."


def test_a_comparison_waits_for_a_worker_of_each_pool_with_a_note(bench: Bench, own_keys: Any) -> None:
    beta = bench.workers.pop("beta-1@h")
    comparison = planned()
    assert bench.tick() == 0
    assert progress(comparison)["alpha"]["note"] == "No coordinator is running."
    send(own_keys, Heartbeat("c@h", COORDINATOR, 1, "h"))
    assert "No worker serves the pool beta" in progress(comparison)["beta"]["note"]
    assert {progress(comparison)[pool]["note"] for pool in ("alpha", "gamma")} == {""}
    bench.workers["beta-1@h"] = beta
    assert bench.tick() == 1
    assert progress(comparison)["alpha"]["note"] == ""


def test_a_batch_waits_for_a_worker_with_a_note(bench: Bench, own_keys: Any) -> None:
    comparison = planned()
    bench.tick()
    bench.end_jobs()
    bench.remove("beta-1@h")
    send(own_keys, Heartbeat("c@h", COORDINATOR, 1, "h"))
    assert bench.tick() == 0
    comparison.refresh_from_db()
    assert "No worker serves the pool beta" in progress(comparison)["beta"]["note"]
    bench.add("beta-2@h", "beta")
    assert bench.tick() == 1


# --- measurements ---------------------------------------------------------------------------------------
def test_a_batch_keeps_its_slots_and_the_heartbeats_before_and_after_it(bench: Bench) -> None:
    bench.change("alpha-1@h", slots=7, memory_bytes=100)
    bench.add("alpha-2@h", "alpha", slots=5)
    comparison = planned(("alpha",))
    bench.tick()
    bench.change("alpha-1@h", memory_bytes=300)
    bench.end_jobs()
    bench.tick()
    assert "end" not in comparison.batches.get().probe, "no heartbeat since the last job"
    bench.tick()
    batch = comparison.batches.get()
    assert batch.slots == 12
    assert [worker["memory_bytes"] for worker in batch.probe["release"]["workers"]] == [100, 0]
    assert [worker["memory_bytes"] for worker in batch.probe["end"]["workers"]] == [300, 0]
    assert batch.probe["busy"]["machine_cpu_s"] >= batch.probe["release"]["machine_cpu_s"] > 0


def test_a_pool_runs_its_next_batch_after_its_heartbeats_were_read(bench: Bench) -> None:
    planned(("alpha",), rounds=2)
    bench.tick()
    bench.end_jobs()
    assert [bench.tick(), bench.tick()] == [0, 1]


def test_the_environment_is_kept_when_a_comparison_starts(bench: Bench) -> None:
    comparison = planned()
    assert comparison.environment == {}
    bench.tick()
    comparison.refresh_from_db()
    assert comparison.environment["cores"] >= 1
    assert comparison.environment["broker"]["kind"] == "redis"


def other_job(pool: str, start: Any, *, ran_s: float | None, cpu_s: float | None = None) -> None:
    """Store a job of nobody's batch that ran for so long, or still runs."""
    end = None if ran_s is None else start + timedelta(seconds=ran_s)
    state = JobState.RUNNING if end is None else JobState.SUCCEEDED
    Job.objects.create(
        definition="io.wait", kind="io", params={}, pool=pool, state=state, started_at=start, finished_at=end, cpu_s=cpu_s
    )  # fmt: skip


def test_what_others_took_is_counted_in_slots_of_the_pool_and_cpu_of_all(bench: Bench) -> None:
    comparison = planned(("alpha",))
    bench.tick()
    batch, end = running_batch(comparison), timezone.now()
    start = end - timedelta(seconds=10)
    other_job("alpha", start + timedelta(seconds=2), ran_s=3, cpu_s=0.6)
    other_job("beta", start - timedelta(seconds=4), ran_s=8, cpu_s=4.0)  # half of it before the batch
    other_job("beta", start - timedelta(hours=1), ran_s=5, cpu_s=5.0)
    assert probes.others(batch, start, end) == {"slot_s": 3.0, "cpu_s": pytest.approx(0.6 + 2.0)}
    other_job("alpha", start + timedelta(seconds=6), ran_s=None)
    assert probes.others(batch, start, end) == {"slot_s": 7.0, "cpu_s": pytest.approx(2.6)}


def test_an_ended_batch_keeps_what_others_took(bench: Bench) -> None:
    comparison = planned(("alpha",))
    bench.tick()
    start = running_batch(comparison).released_at
    other_job("alpha", start - timedelta(seconds=1), ran_s=1.5, cpu_s=0.75)
    bench.end_jobs()
    time.sleep(0.5)
    bench.tick()
    assert comparison.batches.get().probe["others"] == {"slot_s": 0.5, "cpu_s": 0.25}


# --- ending early ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("gone", ["definition", "pool", "parameter"])
def test_a_comparison_that_cannot_continue_is_cancelled_and_blocks_no_other(
    bench: Bench, settings: Any, gone: str
) -> None:
    broken, sound = planned(("alpha",)), planned(("beta",))
    if gone == "definition":
        Comparison.objects.filter(pk=broken.pk).update(definition="shop.sold")
    elif gone == "pool":
        settings.JOB_POOLS = {name: settings.JOB_POOLS[name] for name in ("beta", "gamma")}
    else:
        Comparison.objects.filter(pk=broken.pk).update(params={"old": 1})
    assert bench.tick() == 0
    broken.refresh_from_db()
    assert broken.state == Comparison.State.CANCELLED
    assert broken.end_reason
    assert bench.tick() == 1
    assert {job.batch.comparison for job in Job.objects.all()} == {sound}


def test_a_stopped_comparison_cancels_its_live_jobs_and_releases_no_more(bench: Bench) -> None:
    comparison = planned()
    bench.tick()
    Job.objects.filter(pk=Job.objects.first().pk).update(state=JobState.RUNNING)
    stop(comparison, reason="enough")
    comparison.refresh_from_db()
    assert (comparison.state, comparison.end_reason) == (Comparison.State.CANCELLED, "enough")
    assert sorted(Job.objects.values_list("state", flat=True)) == [JobState.CANCELLED, JobState.RUNNING]
    assert Job.objects.running().get().cancel_requested_at
    assert comparison.batches.first().void_reason == "The comparison was cancelled."
    bench.end_jobs()
    assert bench.tick() == 0
    assert Job.objects.count() == 2


def test_a_comparison_stopped_at_the_moment_of_a_release_gets_no_jobs(bench: Bench) -> None:
    comparison = planned()
    batch = comparison.batches.get(position=1)
    bench.heartbeat()
    stop(comparison)
    assert not run.release(comparison, batch, run.heartbeats.pools_up())
    assert not Job.objects.exists()
    comparison.refresh_from_db()
    assert comparison.state == Comparison.State.CANCELLED


def test_a_finished_comparison_cannot_be_stopped(bench: Bench) -> None:
    comparison = planned(("alpha",))
    bench.run_on(comparison)
    stop(comparison)
    comparison.refresh_from_db()
    assert comparison.state == Comparison.State.FINISHED


# --- progress --------------------------------------------------------------------------------------
def test_progress_counts_planned_started_and_ended_jobs(bench: Bench) -> None:
    comparison = planned(("alpha", "beta"), copies=3, rounds=2, seed=1)
    bench.tick()
    pool = Job.objects.first().pool
    other = {"alpha": "beta", "beta": "alpha"}[pool]
    first, second, _ = Job.objects.all()
    Job.objects.filter(pk=first.pk).update(state=JobState.RUNNING)
    Job.objects.filter(pk=second.pk).update(state=JobState.FAILED)
    counts = {
        name: (row["planned"], row["begun"], row["ended"]) for name, row in progress(comparison).items()
    }
    assert counts == {pool: (6, 2, 1), other: (6, 0, 0)}


def test_the_time_left_is_estimated_from_the_batches_that_have_ended(bench: Bench) -> None:
    comparison = planned(("alpha", "beta"), rounds=3)
    assert estimate_s(comparison) is None
    bench.tick()
    bench.end_jobs()
    bench.tick()
    first = comparison.batches.order_by("position").first()
    Batch.objects.filter(pk=first.pk).update(released_at=first.finished_at - timedelta(seconds=10))
    Batch.objects.filter(pk=running_batch(comparison).pk).update(
        released_at=timezone.now() - timedelta(seconds=4)
    )
    assert estimate_s(comparison) == pytest.approx(46, abs=0.5)
    stop(comparison)
    comparison.refresh_from_db()
    assert estimate_s(comparison) == 0.0


def test_the_time_left_of_a_budget_is_what_is_not_spent_with_the_pilots(bench: Bench) -> None:
    comparison = planned(("alpha", "beta"), budget_s=30.0)
    assert estimate_s(comparison) == pytest.approx(30 + 2 * 1.5)
    comparison.batches.filter(pool="alpha").update(finished_at=timezone.now())
    assert estimate_s(comparison) == pytest.approx(30 + 1.5)
    now = timezone.now()
    Batch.objects.create(
        comparison=comparison, pool="alpha", round=1, position=9, released_at=now - timedelta(seconds=12), finished_at=now
    )  # fmt: skip
    assert estimate_s(comparison) == pytest.approx(18 + 1.5)


def test_one_query_shows_whether_a_comparison_is_wanted(bench: Bench, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        assert not run.is_wanted()
    comparison = planned()
    with django_assert_num_queries(1):
        assert run.is_wanted()
    stop(comparison)
    assert not run.is_wanted()
    Comparison.objects.update(changed_slots={"alpha-1@h": {"slots": 2}})
    assert run.is_wanted(), "its slots are not restored yet"
