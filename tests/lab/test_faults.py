import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from poolwise.control import drain, pause, resume
from poolwise.lab import feed, probes, progress
from poolwise.lab.run import watch
from poolwise.lifecycle.submission import cancel
from poolwise.models import Comparison, Job, JobState
from tests.lab.conftest import Bench, planned, running_batch

pytestmark = pytest.mark.django_db
LOST = [{"attempt": 1, "ending": "lost", "error_type": "WorkerLost"}]


def void_reasons(comparison: Comparison) -> list[str]:
    return list(comparison.batches.order_by("position").values_list("void_reason", flat=True))


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        ({"attempt": 2, "history": LOST}, "worker process of 1 job died"),
        ({"state": JobState.FAILED, "error_type": "WorkerLost"}, "worker process of 1 job died"),
        (
            {"state": JobState.FAILED, "attempt": 2, "history": LOST, "error_type": "WorkerLost"},
            "worker process of 1 job died",
        ),
        ({"state": JobState.CANCELLED}, "1 of its jobs were cancelled"),
        ({"cancel_requested_at": timezone.now()}, "1 of its jobs were cancelled"),
    ],
)
def test_a_batch_with_a_lost_or_cancelled_job_is_void_and_repeated(
    bench: Bench, ended: Any, reason: str
) -> None:
    comparison = planned(("alpha", "beta"))
    bench.tick()
    bench.end_jobs()
    Job.objects.filter(pk=Job.objects.first().pk).update(**ended)
    bench.tick()
    void, again, beta = comparison.batches.order_by("position")
    assert reason in void.void_reason
    assert (again.pool, again.round, again.role, again.void_reason) == ("alpha", 1, "measured", "")
    assert (void.position, again.position, beta.position) == (1, 2, 3)
    bench.run_on(comparison)
    assert comparison.state == Comparison.State.FINISHED
    assert Job.objects.count() == 6


def test_failed_and_retried_jobs_alone_make_no_batch_void(bench: Bench) -> None:
    comparison = planned(("alpha",))
    bench.tick()
    bench.end_jobs(JobState.FAILED, error_type="ValueError")
    retried = [{"attempt": 1, "ending": "failed", "error_type": "FlakyError"}]
    Job.objects.filter(pk=Job.objects.first().pk).update(attempt=2, history=retried)
    bench.run_on(comparison)
    assert void_reasons(comparison) == [""]


@pytest.mark.parametrize(("kind", "name"), [("pool", "alpha"), ("definition", "io.wait")])
def test_a_short_pause_within_a_batch_makes_it_void(bench: Bench, kind: str, name: str) -> None:
    comparison = planned(("alpha",))
    bench.tick()
    pause(kind, name, user=None, reason="maintenance")
    resume(kind, name, user=None, reason="done")
    bench.end_jobs()
    bench.tick()
    assert void_reasons(comparison) == [f"The {kind} {name} was paused or drained while it ran.", ""]
    bench.run_on(comparison)
    assert comparison.state == Comparison.State.FINISHED


def test_a_batch_whose_pool_is_paused_is_repeated_after_the_resume(bench: Bench) -> None:
    comparison = planned(("alpha",))
    pause("pool", "beta", user=None, reason="of no concern")
    bench.tick()
    drain("alpha", user=None, reason="maintenance")
    watch()
    assert not Job.objects.live().exists()
    assert bench.tick() == 0, "the void batch ends"
    assert bench.tick() == 0, "the next one waits"
    assert "is draining" in progress(comparison)["alpha"]["note"]
    resume("pool", "alpha", user=None, reason="done")
    bench.run_on(comparison)
    assert comparison.state == Comparison.State.FINISHED
    assert void_reasons(comparison) == ["The pool alpha was paused or drained while it ran.", ""]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda bench: bench.remove("alpha-1@h"), "alpha-1@h left"),
        (lambda bench: bench.add("alpha-2@h", "alpha"), "alpha-2@h joined"),
    ],
)
def test_a_worker_that_leaves_or_joins_makes_the_running_batch_void_at_once(
    bench: Bench, change: Any, reason: str
) -> None:
    comparison = planned(("alpha", "beta"))
    bench.tick()
    watch()
    assert void_reasons(comparison) == ["", ""]
    change(bench)
    bench.heartbeat()
    watch()
    assert reason in running_batch(comparison).void_reason
    assert "invalid and will be repeated" in progress(comparison)["alpha"]["note"]
    assert not Job.objects.live().exists(), "queued jobs are cancelled"
    bench.add("alpha-3@h", "alpha")
    bench.run_on(comparison)
    assert comparison.state == Comparison.State.FINISHED
    assert len(void_reasons(comparison)) == 3


def test_workers_of_other_pools_may_join_and_leave(bench: Bench) -> None:
    comparison = planned(("alpha",))
    bench.tick()
    bench.remove("beta-1@h")
    bench.heartbeat()
    watch()
    bench.run_on(comparison)
    assert void_reasons(comparison) == [""]


def test_a_void_batch_waits_for_its_jobs_that_still_run(bench: Bench) -> None:
    comparison = planned(("alpha",))
    bench.tick()
    Job.objects.filter(pk=Job.objects.first().pk).update(state=JobState.RUNNING)
    bench.add("alpha-2@h", "alpha")
    bench.heartbeat()
    watch()
    watch()
    assert bench.tick() == 0
    assert comparison.batches.count() == 1
    bench.end_jobs(JobState.CANCELLED)
    bench.tick()
    assert comparison.batches.count() == 2


def test_a_restart_of_redis_makes_the_batch_void(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = planned(("alpha",))
    bench.tick()
    monkeypatch.setattr(probes, "redis_run_id", lambda: "another")
    bench.heartbeat()
    watch()
    assert running_batch(comparison).void_reason == "Redis was restarted."


def test_three_void_batches_of_a_pool_end_the_comparison_with_a_reason(bench: Bench) -> None:
    comparison = planned(("alpha", "beta"))
    for _ in range(3):
        while not bench.tick():
            pass
        bench.end_jobs()
        cancelled = Job.objects.order_by("-created_at").first()
        Job.objects.filter(pk=cancelled.pk).update(state=JobState.CANCELLED)
    bench.tick()
    comparison.refresh_from_db()
    assert comparison.state == Comparison.State.CANCELLED
    assert comparison.end_reason.startswith(
        "3 batches of alpha were invalid; last reason: 1 of its jobs were cancelled"
    )
    assert not Job.objects.filter(pool="beta").exists()


def test_a_job_cancelled_by_a_user_makes_its_batch_void(bench: Bench) -> None:
    comparison = planned(("alpha",))
    bench.tick()
    cancel(Job.objects.first(), user=None)
    bench.end_jobs()
    bench.tick()
    assert "cancelled" in void_reasons(comparison)[0]


def test_a_batch_whose_jobs_were_published_late_is_void(bench: Bench) -> None:
    comparison = planned(("alpha",))
    bench.tick()
    Job.objects.filter(pk=Job.objects.first().pk).update(published_at=timezone.now() + timedelta(seconds=5))
    bench.end_jobs()
    bench.tick()
    assert re.search(r"published up to 5\.\d s late", void_reasons(comparison)[0])


@pytest.mark.parametrize("options", [{}, {"in_flight": 1}, {"arrival_rate_per_s": 10.0}])
def test_lateness_is_computed_from_the_database_alone(bench: Bench, options: Any) -> None:
    comparison = planned(("alpha",), copies=2, **options)
    bench.tick()
    batch = running_batch(comparison)
    start = batch.released_at
    [first, second] = Job.objects.all() if Job.objects.count() == 2 else [*Job.objects.all(), None]
    if second is None:
        second = Job.objects.create(definition="io.wait", pool="alpha", batch=batch)
    due_s = {"in_flight": 1.0, "arrival_rate_per_s": 0.1}.get(next(iter(options), ""), 0.0)
    Job.objects.filter(pk=first.pk).update(created_at=start, finished_at=start + timedelta(seconds=1))
    Job.objects.filter(pk=second.pk).update(
        created_at=start + timedelta(seconds=due_s + 3), finished_at=start + timedelta(seconds=9)
    )
    assert feed.lateness_s(comparison, batch) == pytest.approx(3, abs=0.01)


def test_the_largest_figures_of_a_batch_are_kept(bench: Bench) -> None:
    comparison = planned(("alpha",))
    bench.tick()
    for memory, lag in ((500, 0.1), (900, 0.5), (200, 0.2)):
        bench.change("alpha-1@h", memory_bytes=memory, loop_lag_s=lag)
        bench.heartbeat()
        watch()
    watched = running_batch(comparison).probe["watched"]
    assert (watched["memory_bytes"], watched["loop_lag_s"]) == (900, 0.5)


def test_nothing_is_watched_where_nothing_runs(bench: Bench) -> None:
    watch()
    comparison = planned(("alpha",))
    watch()
    assert comparison.batches.get().probe == {}
