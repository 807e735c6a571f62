"""What is pruned, what never is, and that no batch holds others up for long."""

from datetime import timedelta
from io import StringIO
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import OperationalError
from django.utils import timezone
from django_celery_results.models import TaskResult

from poolwise.coordinator import retention
from poolwise.models import AuditEntry, Batch, Comparison, Job, JobLog, JobState
from tests.helpers.pace import limit_s

pytestmark = pytest.mark.django_db
OLD = timedelta(days=40)


def make(count: int, age: timedelta = OLD, state: str = JobState.SUCCEEDED, **fields: Any) -> list[Job]:
    at = timezone.now() - age
    ended = None if state in (JobState.QUEUED, JobState.RUNNING) else at
    values = {"definition": "io.wait", "kind": "io", "pool": "gevent", "state": state} | fields
    return Job.objects.bulk_create(
        [Job(created_at=at, finished_at=ended, **values) for _ in range(count)], batch_size=500
    )


def with_results(jobs: list[Job]) -> None:
    TaskResult.objects.bulk_create([TaskResult(task_id=str(job.pk), result="1") for job in jobs])
    JobLog.objects.bulk_create([JobLog(job=job, attempt=1, lines=[[0, "info", "x"]]) for job in jobs])


def results_without_a_job(count: int, age: timedelta) -> None:
    TaskResult.objects.bulk_create([TaskResult(task_id=str(uuid4())) for _ in range(count)])
    TaskResult.objects.exclude(
        task_id__in=[str(pk) for pk in Job.objects.values_list("pk", flat=True)]
    ).update(date_done=timezone.now() - age)


@pytest.mark.slow
def test_many_old_jobs_go_in_short_transactions_with_their_logs_and_results() -> None:
    with_results(make(2_000))
    kept = make(20, age=timedelta(days=1))
    with_results(kept)
    pruned = retention.prune()
    assert (pruned.jobs, pruned.is_complete) == (2_000, True)
    assert pruned.longest_s < limit_s(2.0)  # some 50 ms on an idle machine
    assert set(Job.objects.values_list("pk", flat=True)) == {job.pk for job in kept}
    assert (JobLog.objects.count(), TaskResult.objects.count()) == (20, 20)


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING])
def test_a_live_job_is_never_pruned_however_old_or_many(settings: Any, state: str) -> None:
    settings.JOB_KEEP_MAX = 0
    live = make(3, state=state)
    make(2)
    assert retention.prune().jobs == 2
    assert set(Job.objects.all()) == set(live)


def test_a_job_that_waited_long_and_ended_lately_is_kept() -> None:
    [job] = make(1)
    Job.objects.filter(pk=job.pk).update(finished_at=timezone.now())
    assert retention.prune().jobs == 0


def test_beyond_the_number_that_is_kept_the_oldest_go(settings: Any) -> None:
    settings.JOB_KEEP_MAX = 3
    jobs = [make(1, age=timedelta(hours=hours))[0] for hours in range(5)]
    assert retention.prune().jobs == 2
    assert set(Job.objects.all()) == set(jobs[:3])


@pytest.mark.parametrize(
    ("state", "report", "goes"),
    [
        ("finished", {"answer": {"state": "none", "text": "x"}}, True),
        ("cancelled", None, True),
        ("running", None, False),
        ("finished", None, False),
    ],
)
def test_the_jobs_of_a_comparison_go_once_its_report_is_frozen_or_will_never_be(
    state: str, report: Any, goes: bool
) -> None:
    comparison = Comparison.objects.create(definition="io.wait", copies=1, state=state, report=report)
    batch = Batch.objects.create(comparison=comparison, pool="gevent", round=1, position=1)
    make(2, batch=batch)
    assert retention.prune().jobs == (2 if goes else 0)
    assert Comparison.objects.filter(pk=comparison.pk).exists()


def test_a_rerun_outlives_its_parent() -> None:
    [parent] = make(1)
    [child] = make(1, age=timedelta(hours=1), parent=parent)
    retention.prune()
    child.refresh_from_db()
    assert child.parent_id is None


def test_results_without_a_job_and_old_audit_entries_go_by_age() -> None:
    results_without_a_job(700, OLD)
    results_without_a_job(0, OLD)
    recent = make(2, age=timedelta(hours=1))
    with_results(recent)
    for days in (10, 400):
        AuditEntry.objects.create(action="pause", target="pool x", at=timezone.now() - timedelta(days=days))
    TaskResult.objects.create(task_id="not-a-uuid-and-new")
    pruned = retention.prune()
    assert (pruned.results, pruned.audit_entries) == (700, 1)
    assert TaskResult.objects.count() == 3


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> retention.Turns:
    """Turns that follow each other at once, in a database where every query takes longer than a turn may."""
    monkeypatch.setattr(retention, "_TURN_S", 0.0)
    monkeypatch.setattr(retention, "AGAIN_S", 0.0)
    return retention.Turns()


def test_a_turn_is_bounded_and_the_next_comes_soon_until_nothing_is_left(
    turns: retention.Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 1)
    make(3)
    first = turns.take()
    assert (first.jobs, first.is_complete, Job.objects.count()) == (1, False, 2)
    monkeypatch.setattr(retention, "_TURN_S", 5.0)
    second = turns.take()
    assert (second.jobs, second.is_complete) == (2, True)
    assert turns.take() is None


@pytest.mark.parametrize("keep_max", [1, 1_000])
def test_turns_get_to_the_end_however_slow_the_database_is(
    turns: retention.Turns, settings: Any, monkeypatch: pytest.MonkeyPatch, keep_max: int
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    settings.JOB_KEEP_MAX = keep_max
    make(5)
    recent = [make(1, age=timedelta(hours=hours))[0] for hours in range(3)]
    results_without_a_job(3, OLD)
    taken = [turns.take() for _ in range(15)]
    assert taken[-1] is None
    assert sum(pruned.jobs for pruned in taken if pruned) == (7 if keep_max == 1 else 5)
    assert set(Job.objects.all()) == set(recent[:keep_max])
    assert TaskResult.objects.count() == 0


@pytest.mark.parametrize("keep_max", [0, 1, 3, 5, 6, 9])
def test_jobs_of_the_same_instant_are_counted_once(
    settings: Any, monkeypatch: pytest.MonkeyPatch, keep_max: int
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    settings.JOB_KEEP_MAX = keep_max
    make(6)
    Job.objects.update(created_at=timezone.now(), finished_at=timezone.now())
    newest = list(Job.objects.order_by("-created_at", "-id")[:keep_max])
    assert retention.would_prune().jobs == retention.prune().jobs == max(0, 6 - keep_max)
    assert set(Job.objects.all()) == set(newest)


def test_a_turn_that_failed_is_begun_anew(turns: retention.Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    make(2)
    monkeypatch.setattr(retention, "BATCH", 1)
    turns.take()
    with monkeypatch.context() as patch:
        patch.setattr(retention, "_delete", Mock(side_effect=OperationalError("away")))
        with pytest.raises(OperationalError):
            turns.take()
    assert turns.take().jobs == 1


def test_the_command_says_what_it_would_do_and_does_it() -> None:
    with_results(make(3))
    results_without_a_job(2, OLD)
    out = StringIO()
    call_command("prune", "--dry-run", stdout=out)
    assert "would prune 3 jobs with their logs and results, 2 results without a job, 0" in out.getvalue()
    assert Job.objects.count() == 3
    call_command("prune", stdout=out)
    assert "\npruned 3 jobs" in out.getvalue()
    assert not Job.objects.exists()
