from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone
from django_celery_results.models import TaskResult
from hypothesis import given
from hypothesis import strategies as st

from poolwise.lifecycle import folding, recorder
from poolwise.lifecycle.stream import Ending, Entry, Outcome, Place, Started
from poolwise.models import Job, JobLog, JobState
from poolwise.support.timing import Timings, wall_now

PLACE = Place("w1@host", 42, "MainThread", "job-1")


def timings(run_s: float = 0.5) -> Timings:
    now = wall_now()
    return Timings(now - 3, now - 2, now - 1, now - 1 + run_s, 1.0, 1.0, run_s, 0.1)


def started(job: Job, attempt: int = 1, place: Place = PLACE) -> Started:
    return Started(str(job.pk), attempt, place, timings())


def ended(
    job: Job, ending: Ending = Ending.SUCCEEDED, attempt: int = 1, place: Place = PLACE, **fields
) -> Outcome:
    return Outcome(str(job.pk), attempt, place, timings(), ending, **fields)


@pytest.fixture
def job(db: None) -> Job:
    return Job.objects.create(
        definition="io.wait", kind="io", pool="gevent", max_attempts=2, due_at=timezone.now()
    )


def test_a_start_makes_a_queued_job_running_and_takes_it_off_the_publisher(job: Job) -> None:
    recorder.record([started(job)])
    job.refresh_from_db()
    assert (job.state, job.worker, job.pid, job.due_at) == (JobState.RUNNING, "w1@host", 42, None)
    assert job.broker_wait_s == 1.0


def test_an_end_sets_every_duration_and_the_result(job: Job) -> None:
    recorded = recorder.record([started(job), ended(job, result='{"n": 1}', log=((0.1, "info", "hello"),))])
    job.refresh_from_db()
    names = ("broker_wait_s", "worker_wait_s", "run_s", "cpu_s", "off_cpu_s", "record_lag_s", "result_bytes")
    assert job.state == JobState.SUCCEEDED
    assert all(getattr(job, name) is not None for name in names)
    assert TaskResult.objects.get(task_id=job.pk).result == '{"n": 1}'
    assert JobLog.objects.get(job=job).lines == [[0.1, "info", "hello"]]
    assert [done.id for done in recorded.ended] == [job.pk]


def test_recording_the_same_entries_twice_changes_nothing(job: Job) -> None:
    entries = [started(job), ended(job, result="1")]
    recorder.record(entries)
    before = Job.objects.values().get()
    recorded = recorder.record(entries)
    assert recorded.stale == 2
    assert Job.objects.values().get() == before


def test_the_first_ending_of_an_attempt_wins(job: Job) -> None:
    recorder.record([ended(job, result="1"), ended(job, Ending.FAILED, error="late")])
    job.refresh_from_db()
    assert (job.state, job.error) == (JobState.SUCCEEDED, "")


def test_a_failure_that_may_be_retried_goes_back_to_the_queue_with_the_next_attempt(job: Job) -> None:
    recorder.record([started(job), ended(job, Ending.FAILED, error="no luck", retry_in_s=5)])
    job.refresh_from_db()
    assert (job.state, job.attempt, job.worker, job.run_s) == (JobState.QUEUED, 2, "", None)
    assert job.due_at > timezone.now() + timedelta(seconds=4)
    assert job.history[0]["error"] == "no luck"


@pytest.mark.parametrize(("delay_s", "is_scheduled"), [(3600, True), (0, False)])
def test_a_retry_after_a_while_waits_for_its_time_and_not_for_a_slot(
    job: Job, delay_s: float, is_scheduled: bool
) -> None:
    recorder.record([started(job), ended(job, Ending.FAILED, retry_in_s=delay_s)])
    now = timezone.now()
    assert Job.objects.scheduled(now=now).exists() is is_scheduled
    assert Job.objects.due(now=now).exists() is not is_scheduled


def test_attempts_are_bounded(job: Job) -> None:
    recorder.record([ended(job, Ending.LOST)])
    recorder.record([ended(job, Ending.LOST, attempt=2, error="gone")])
    job.refresh_from_db()
    assert (job.state, job.attempt) == (JobState.FAILED, 2)
    assert job.error == "gone All 2 attempts ended so: the job is taken for poison and not tried again."


def test_an_older_attempt_is_dropped(job: Job) -> None:
    recorder.record([ended(job, Ending.LOST)])
    recorded = recorder.record([ended(job, result="1", attempt=1)])
    job.refresh_from_db()
    assert recorded.stale == 1
    assert (job.state, job.attempt) == (JobState.QUEUED, 2)


def test_a_released_job_waits_again_with_the_same_attempt(job: Job) -> None:
    recorder.record([started(job), ended(job, Ending.RELEASED)])
    job.refresh_from_db()
    assert (job.state, job.attempt, job.started_at) == (JobState.QUEUED, 1, None)
    assert job.is_published  # its message waits in its queue, for as long as it takes


@pytest.mark.parametrize("ending", [Ending.SUCCEEDED, Ending.FAILED, Ending.CANCELLED])
def test_a_job_that_has_ended_and_is_begun_once_more_is_unwanted(job: Job, ending: Ending) -> None:
    first = [started(job), ended(job, ending)]
    assert recorder.record(first).unwanted == []
    assert recorder.record(first).unwanted == []  # the same run, reported again
    again = [replace(timings(), started_at=wall_now() + 1), timings()]
    for at, place in zip(again, (PLACE, Place("w2@host")), strict=True):
        recorded = recorder.record([Started(str(job.pk), 1, place, at)])
        assert (recorded.unwanted, recorded.stale) == ([job.pk], 1)


def test_only_the_worker_of_a_job_can_release_it(job: Job) -> None:
    recorder.record([started(job), ended(job, Ending.RELEASED, place=Place("w2@host"))])
    job.refresh_from_db()
    assert job.state == JobState.RUNNING


def test_a_start_after_a_release_that_is_still_to_come_belongs_to_the_new_worker(job: Job) -> None:
    first, second = started(job), started(job, place=Place("w2@host"))
    recorder.record([first, second])
    job.refresh_from_db()
    assert (job.state, job.worker) == (JobState.RUNNING, "w2@host")
    recorder.record([ended(job, Ending.RELEASED), first])
    job.refresh_from_db()
    assert (job.state, job.worker, job.attempt) == (JobState.RUNNING, "w2@host", 1)


def test_what_was_cancelled_before_it_began_is_no_report_of_a_run(job: Job) -> None:
    never_begun = Outcome(str(job.pk), 1, Place(), Timings(finished_at=wall_now()), Ending.CANCELLED)
    recorder.record([started(job)])
    assert recorder.record([never_begun]).stale == 1
    recorder.record([ended(job, Ending.RELEASED)])
    assert recorder.record([never_begun]).applied == 1
    job.refresh_from_db()
    assert (job.state, job.started_at) == (JobState.CANCELLED, None)


def test_a_job_asked_to_stop_is_not_tried_again(job: Job) -> None:
    Job.objects.update(cancel_requested_at=timezone.now())
    recorder.record([ended(job, Ending.LOST)])
    job.refresh_from_db()
    assert job.state == JobState.FAILED


def test_an_unknown_job_is_counted_and_dropped(db: None) -> None:
    stray = Job(pk=uuid4())
    assert recorder.record([ended(stray), Started("no uuid", 1, PLACE, timings())]).unknown == 2
    assert not TaskResult.objects.exists()


def entries_for(job: Job) -> st.SearchStrategy[Entry]:
    attempts, places = st.integers(1, 3), st.sampled_from([PLACE, Place("w2@host", 43)])
    starts = st.builds(started, st.just(job), attempts, places)
    ends = st.builds(ended, st.just(job), st.sampled_from(Ending), attempts, places)
    return starts | ends


@pytest.mark.slow
@given(data=st.data())
def test_in_whatever_order_entries_come_a_job_ends_at_most_once_and_attempts_only_grow(data) -> None:
    job = Job(definition="d", kind="io", pool="p", max_attempts=3)
    now = timezone.now()
    endings = 0
    for entry in data.draw(st.lists(entries_for(job), max_size=12)):
        attempt, had_ended = job.attempt, job.has_ended
        changed = folding.fold(job, entry, now=now)
        assert attempt <= job.attempt <= job.max_attempts
        assert not (had_ended and changed)
        assert changed == recorder_changes(had_ended, attempt, entry, changed)
        endings += job.has_ended and not had_ended
        assert len(job.history) == job.attempt - 1
    assert endings <= 1


def recorder_changes(had_ended: bool, attempt: int, entry: Entry, changed: bool) -> bool:
    """An entry of another attempt, or after the end, must not have changed anything."""
    return False if had_ended or entry.attempt != attempt else changed


@pytest.mark.parametrize("ending", [Ending.RELEASED, Ending.LOST])
def test_a_job_given_back_and_begun_again_in_one_batch_runs(job: Job, ending: Ending) -> None:
    attempt = 1 if ending is Ending.RELEASED else 2
    recorder.record([started(job), ended(job, ending), started(job, attempt=attempt)])
    job.refresh_from_db()
    assert (job.state, job.attempt) == (JobState.RUNNING, attempt)
    assert TaskResult.objects.get(task_id=job.pk).status == "RETRY"
