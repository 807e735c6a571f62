"""Jobs that ran on a worker that went away, or whose report did."""

from collections.abc import Callable
from typing import Any

import pytest

from poolwise.coordinator.recording import record_new
from poolwise.coordinator.recovery import Recovery
from poolwise.lifecycle import stream
from poolwise.lifecycle.stream import Ending, Outcome, Place, Reader
from poolwise.models import Job, JobState
from poolwise.support.redis import key
from poolwise.support.timing import Timings
from tests.coordinator.recovery.conftest import Clock
from tests.helpers.core import claim

pytestmark = pytest.mark.django_db


def ended(job: Job) -> Outcome:
    return Outcome(
        str(job.pk), job.attempt, Place("w1@host", 42), Timings(1, 2, 3, 4, 1, 1, 1, 1), Ending.SUCCEEDED
    )


def test_the_jobs_of_a_dead_worker_are_tried_again_with_their_history(
    recovery: Recovery, running: Any, heartbeat: Any
) -> None:
    job = running()
    heartbeat(ago_s=6)
    assert recovery.sweep() == 1
    job.refresh_from_db()
    assert (job.state, job.attempt, job.worker, job.is_published) == (JobState.QUEUED, 2, "", False)
    [past] = job.history
    assert (past["ending"], past["error_type"], past["worker"]) == ("lost", "WorkerLost", "w1@host")
    assert past["run_s"] > 50
    assert recovery.sweep() == 0


def test_a_job_recovered_after_its_last_attempt_has_failed_with_its_durations(
    recovery: Recovery, running: Any, heartbeat: Any
) -> None:
    job = running(attempt=3)
    heartbeat(ago_s=6)
    recovery.sweep()
    job.refresh_from_db()
    assert (job.state, job.error_type, job.worker, job.pid) == (JobState.FAILED, "WorkerLost", "w1@host", 42)
    assert "w1@host" in job.error
    assert "last attempt of 3" not in job.error  # it has no history: as far as is known each attempt ended so
    assert job.run_s > 50
    assert job.broker_wait_s == 0.5


def set_redis_clock(client: Any, by_s: int) -> None:
    """Let Redis' clock be so far off from here on, as far as recovery can see."""
    client.set_response_callback("TIME", lambda time, **_: (int(time[0]) + by_s, int(time[1])))


def test_redis_clock_set_forward_has_nobody_taken_for_dead(
    recovery: Recovery, running: Any, heartbeat: Any, clock: Clock, own_keys: Any
) -> None:
    reserved = [(str(running().pk), 1)]
    heartbeat(reserved=reserved)
    assert recovery.sweep() == 0
    for times in (1, 2, 3):
        set_redis_clock(own_keys, 30 * times)
        clock.advance(1)
        assert recovery.sweep() == 0
        heartbeat(ago_s=-30 * times, reserved=reserved)  # the next heartbeat, by the clock as it is now
        assert recovery.sweep() == 0
    clock.advance(4.9)
    assert recovery.sweep() == 0
    clock.advance(0.2)
    assert recovery.sweep() == 1


@pytest.mark.parametrize("by_s", [-3, -30, -7200])
def test_redis_clock_set_back_hides_no_dead_worker_and_has_no_other_taken_for_dead(
    recovery: Recovery, running: Any, heartbeat: Any, clock: Clock, own_keys: Any, by_s: int
) -> None:
    dead, lives = running("dead@host"), running("lives@host")
    reserved = {job.worker: [(str(job.pk), 1)] for job in (dead, lives)}
    for job in (dead, lives):
        heartbeat(job.worker, reserved=reserved[job.worker])
    assert recovery.sweep() == 0
    set_redis_clock(own_keys, by_s)
    recovered = 0
    for _ in range(5):
        assert recovered == 0
        clock.advance(1)
        heartbeat("lives@host", ago_s=-by_s, reserved=reserved["lives@host"])
        recovered += recovery.sweep()
    assert recovered == 1
    dead.refresh_from_db()
    assert (dead.state, dead.attempt) == (JobState.QUEUED, 2)


def test_a_heartbeat_that_was_not_there_before_is_no_older_than_that(
    recovery: Recovery, running: Any, heartbeat: Any, clock: Clock
) -> None:
    reserved = [(str(running("new@host").pk), 1)]
    recovery.sweep()
    clock.advance(1)
    heartbeat(
        "new@host", ago_s=30, reserved=reserved
    )  # given a moment ago, just before the clock was set forward
    assert recovery.sweep() == 0
    clock.advance(4.1)
    assert recovery.sweep() == 1


@pytest.mark.parametrize(
    ("endings", "reason"), [(("lost", "lost"), "taken for poison"), (("lost", "failed"), "last attempt of 3")]
)
def test_a_job_that_ended_its_worker_each_time_is_called_poison(
    recovery: Recovery, running: Any, heartbeat: Any, endings: tuple[str, str], reason: str
) -> None:
    job = running(attempt=3, history=[{"ending": ending} for ending in endings])
    heartbeat(ago_s=6)
    recovery.sweep()
    job.refresh_from_db()
    assert job.state == JobState.FAILED
    assert reason in job.error


def test_the_message_of_a_lost_attempt_that_comes_late_is_known_however_late_it_comes(
    recovery: Recovery, running: Any, heartbeat: Any, own_keys: Any
) -> None:
    job = running()
    started = stream.Started(str(job.pk), 1, Place("w1@host", 42), Timings())
    claim(own_keys, started, "frozen")
    heartbeat(ago_s=6)
    assert recovery.sweep() == 1
    stream.report(own_keys, ended(job))  # it was frozen, and ends after all
    assert own_keys.ttl(key("claim", job.pk, 1)) > 29 * 86_400


def test_a_worker_that_never_sent_a_heartbeat_gets_the_time_for_one(
    recovery: Recovery, running: Any, clock: Clock
) -> None:
    # Also where its clock, and so the job's `started_at`, is an hour off.
    running("new@host")
    assert recovery.sweep() == 0
    clock.advance(4.9)
    assert recovery.sweep() == 0
    clock.advance(0.2)
    assert recovery.sweep() == 1


def test_a_heartbeat_in_between_starts_the_count_anew(
    recovery: Recovery, running: Any, heartbeat: Any, clock: Clock, own_keys: Any
) -> None:
    job = running()
    recovery.sweep()
    clock.advance(4)
    heartbeat(reserved=[(str(job.pk), 1)])
    assert recovery.sweep() == 0
    own_keys.delete(key("heartbeats"), key("heartbeats", "at"), key("heartbeats", "reserved"))
    clock.advance(4)
    assert recovery.sweep() == 0


def test_a_job_whose_living_worker_does_not_know_of_it_is_tried_again(
    recovery: Recovery, running: Any, heartbeat: Any, clock: Clock
) -> None:
    # Redis lost the report of its end.
    known, forgotten = running(), running()
    for _ in range(3):
        heartbeat(reserved=[(str(known.pk), 1), (str(forgotten.pk), 2)])
        recovery.sweep()
        clock.advance(2.6)
    forgotten.refresh_from_db()
    known.refresh_from_db()
    assert (known.state, forgotten.state, forgotten.attempt) == (JobState.RUNNING, JobState.QUEUED, 2)
    assert "no report arrived" in forgotten.history[0]["error"]


def test_jobs_of_a_worker_that_does_not_report_what_it_reserved_are_left_alone(
    recovery: Recovery, running: Any, heartbeat: Any, clock: Clock
) -> None:
    running()
    heartbeat()  # of an older release
    recovery.sweep()
    clock.advance(60)
    heartbeat()
    assert recovery.sweep() == 0


def test_only_running_jobs_are_recovered(
    recovery: Recovery, make: Callable[..., Job], heartbeat: Any
) -> None:
    heartbeat("old@host", ago_s=60)
    make(worker="old@host", due_at=None, state=JobState.SUCCEEDED)
    make(worker="old@host", state=JobState.CANCELLED)
    assert recovery.sweep() == 0


def test_a_report_that_comes_after_the_recovery_is_dropped(
    recovery: Recovery, running: Any, heartbeat: Any, own_keys: Any
) -> None:
    job, reader = running(), Reader(own_keys, "reader")
    reader.prepare()
    heartbeat(ago_s=6)
    recovery.sweep()
    stream.report(own_keys, ended(job))
    record_new(reader)
    job.refresh_from_db()
    assert (job.state, job.attempt) == (JobState.QUEUED, 2)


def test_nothing_counts_as_missing_while_reports_wait_to_be_recorded(
    recovery: Recovery, running: Any, heartbeat: Any, own_keys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = running()
    heartbeat(ago_s=6)
    stream.report(own_keys, ended(job))  # its worker died just after it
    assert 0 <= stream.backlog_s(own_keys) < 2
    monkeypatch.setattr(stream, "backlog_s", lambda client: 3.6)  # older than its silence, at least
    assert recovery.sweep() == 0
    monkeypatch.undo()
    reader = Reader(own_keys, "reader")
    reader.prepare()
    record_new(reader)
    assert stream.backlog_s(own_keys) == 0
    assert recovery.sweep() == 0
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED


def test_what_a_dead_worker_ran_is_recovered_though_younger_reports_wait(
    recovery: Recovery, running: Any, heartbeat: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    running()
    heartbeat(ago_s=6)
    monkeypatch.setattr(stream, "backlog_s", lambda client: 3.0)
    assert recovery.sweep() == 1


def test_what_a_worker_ran_whose_end_was_seen_is_recovered_at_once(
    recovery: Recovery, running: Any, heartbeat: Any, end: Any, clock: Clock
) -> None:
    lost, other = running(), running("w2@host")
    for job in (lost, other):
        heartbeat(job.worker, reserved=[(str(job.pk), 1)])
    assert recovery.sweep() == 0
    end()
    clock.advance(1)
    assert recovery.sweep() == 1
    lost.refresh_from_db()
    assert (lost.state, lost.attempt, lost.history[0]["ending"]) == (JobState.QUEUED, 2, "lost")
    clock.advance(1)
    assert recovery.sweep() == 0


def test_what_may_have_ended_before_its_worker_did_is_not_recovered(
    recovery: Recovery,
    running: Any,
    heartbeat: Any,
    end: Any,
    clock: Clock,
    own_keys: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = running()
    heartbeat(reserved=[(str(job.pk), 1)])
    recovery.sweep()
    stream.report(own_keys, ended(job))
    end()
    for age_s in (1, 2, 3):
        clock.advance(1)
        monkeypatch.setattr(stream, "backlog_s", lambda client, age_s=age_s: age_s + 0.1)
        assert recovery.sweep() == 0, "the report is older than the mark"
    clock.advance(1)
    monkeypatch.setattr(stream, "backlog_s", lambda client: 2.9)  # only younger ones wait
    assert recovery.sweep() == 1


def test_a_mark_counts_only_once_the_time_after_an_outage_is_over(
    recovery: Recovery, running: Any, heartbeat: Any, end: Any, clock: Clock
) -> None:
    running()
    heartbeat()
    end()
    assert recovery.sweep(is_after_outage=True) == 0
    clock.advance(1)
    assert recovery.sweep() == 1


def test_what_a_living_worker_did_not_reserve_is_not_counted_while_reports_wait(
    recovery: Recovery, running: Any, heartbeat: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    running()
    monkeypatch.setattr(stream, "backlog_s", lambda client: 2.5)
    for _ in range(4):
        heartbeat(reserved=[])
        assert recovery.sweep() == 0
        clock.advance(3)


def test_a_worker_without_heartbeats_for_an_hour_is_removed(
    recovery: Recovery, heartbeat: Any, own_keys: Any
) -> None:
    heartbeat("old", ago_s=3700, reserved=[("a", 1)])
    heartbeat("new", reserved=[])
    recovery.sweep()
    assert own_keys.hkeys(key("heartbeats")) == ["new"]
    assert own_keys.hkeys(key("heartbeats", "reserved")) == ["new"]
